//! ALB Controller Istio Extension: workload certificate in, Secret out.
