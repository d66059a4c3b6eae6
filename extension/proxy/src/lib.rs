//! The data plane of an ApplicationLoadBalancer.
