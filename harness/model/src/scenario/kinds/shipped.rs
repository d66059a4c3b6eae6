//! The kinds that are known without a cluster: Kubernetes' own, the Gateway API's, Istio's, and those of the gateways that come
//! with this repository. A new kind is one line here.
//!
//! The version is the one that is read; an object is written in the version that its manifest names.

use super::Kind;

macro_rules! kinds {
    ($($word:literal $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        &[$(Kind { word: $word, group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced, assumed: false }),*]
    };
}

/// Every kind that scenarios may apply, delete or look at. Two of one name: one has its group in its word.
#[rustfmt::skip]
pub static KINDS: &[Kind] = kinds! {
    "namespace"                         ""                               "v1"       "Namespace"                      "namespaces"                        false;
    "pod"                               ""                               "v1"       "Pod"                            "pods"                              true;
    "service"                           ""                               "v1"       "Service"                        "services"                          true;
    "serviceaccount"                    ""                               "v1"       "ServiceAccount"                 "serviceaccounts"                   true;
    "secret"                            ""                               "v1"       "Secret"                         "secrets"                           true;
    "configmap"                         ""                               "v1"       "ConfigMap"                      "configmaps"                        true;
    "event"                             ""                               "v1"       "Event"                          "events"                            true;
    "node"                              ""                               "v1"       "Node"                           "nodes"                             false;
    "endpoints"                         ""                               "v1"       "Endpoints"                      "endpoints"                         true;
    "limitrange"                        ""                               "v1"       "LimitRange"                     "limitranges"                       true;
    "persistentvolume"                  ""                               "v1"       "PersistentVolume"               "persistentvolumes"                 false;
    "persistentvolumeclaim"             ""                               "v1"       "PersistentVolumeClaim"          "persistentvolumeclaims"            true;
    "podtemplate"                       ""                               "v1"       "PodTemplate"                    "podtemplates"                      true;
    "replicationcontroller"             ""                               "v1"       "ReplicationController"          "replicationcontrollers"            true;
    "resourcequota"                     ""                               "v1"       "ResourceQuota"                  "resourcequotas"                    true;
    "deployment"                        "apps"                           "v1"       "Deployment"                     "deployments"                       true;
    "daemonset"                         "apps"                           "v1"       "DaemonSet"                      "daemonsets"                        true;
    "replicaset"                        "apps"                           "v1"       "ReplicaSet"                     "replicasets"                       true;
    "statefulset"                       "apps"                           "v1"       "StatefulSet"                    "statefulsets"                      true;
    "controllerrevision"                "apps"                           "v1"       "ControllerRevision"             "controllerrevisions"               true;
    "job"                               "batch"                          "v1"       "Job"                            "jobs"                              true;
    "cronjob"                           "batch"                          "v1"       "CronJob"                        "cronjobs"                          true;
    "horizontalpodautoscaler"           "autoscaling"                    "v2"       "HorizontalPodAutoscaler"        "horizontalpodautoscalers"          true;
    "lease"                             "coordination.k8s.io"            "v1"       "Lease"                          "leases"                            true;
    "ingress"                           "networking.k8s.io"              "v1"       "Ingress"                        "ingresses"                         true;
    "ingressclass"                      "networking.k8s.io"              "v1"       "IngressClass"                   "ingressclasses"                    false;
    "networkpolicy"                     "networking.k8s.io"              "v1"       "NetworkPolicy"                  "networkpolicies"                   true;
    "poddisruptionbudget"               "policy"                         "v1"       "PodDisruptionBudget"            "poddisruptionbudgets"              true;
    "role"                              "rbac.authorization.k8s.io"      "v1"       "Role"                           "roles"                             true;
    "rolebinding"                       "rbac.authorization.k8s.io"      "v1"       "RoleBinding"                    "rolebindings"                      true;
    "clusterrole"                       "rbac.authorization.k8s.io"      "v1"       "ClusterRole"                    "clusterroles"                      false;
    "clusterrolebinding"                "rbac.authorization.k8s.io"      "v1"       "ClusterRoleBinding"             "clusterrolebindings"               false;
    "endpointslice"                     "discovery.k8s.io"               "v1"       "EndpointSlice"                  "endpointslices"                    true;
    "priorityclass"                     "scheduling.k8s.io"              "v1"       "PriorityClass"                  "priorityclasses"                   false;
    "storageclass"                      "storage.k8s.io"                 "v1"       "StorageClass"                   "storageclasses"                    false;
    "customresourcedefinition"          "apiextensions.k8s.io"           "v1"       "CustomResourceDefinition"       "customresourcedefinitions"         false;
    "mutatingwebhookconfiguration"      "admissionregistration.k8s.io"   "v1"       "MutatingWebhookConfiguration"   "mutatingwebhookconfigurations"     false;
    "validatingwebhookconfiguration"    "admissionregistration.k8s.io"   "v1"       "ValidatingWebhookConfiguration" "validatingwebhookconfigurations"   false;
    "gatewayclass"                      "gateway.networking.k8s.io"      "v1"       "GatewayClass"                   "gatewayclasses"                    false;
    "gateway"                           "gateway.networking.k8s.io"      "v1"       "Gateway"                        "gateways"                          true;
    "httproute"                         "gateway.networking.k8s.io"      "v1"       "HTTPRoute"                      "httproutes"                        true;
    "grpcroute"                         "gateway.networking.k8s.io"      "v1"       "GRPCRoute"                      "grpcroutes"                        true;
    "tlsroute"                          "gateway.networking.k8s.io"      "v1"       "TLSRoute"                       "tlsroutes"                         true;
    "tcproute"                          "gateway.networking.k8s.io"      "v1"       "TCPRoute"                       "tcproutes"                         true;
    "udproute"                          "gateway.networking.k8s.io"      "v1"       "UDPRoute"                       "udproutes"                         true;
    "referencegrant"                    "gateway.networking.k8s.io"      "v1beta1"  "ReferenceGrant"                 "referencegrants"                   true;
    "backendtlspolicy"                  "gateway.networking.k8s.io"      "v1"       "BackendTLSPolicy"               "backendtlspolicies"                true;
    "peerauthentication"                "security.istio.io"              "v1"       "PeerAuthentication"             "peerauthentications"               true;
    "authorizationpolicy"               "security.istio.io"              "v1"       "AuthorizationPolicy"            "authorizationpolicies"             true;
    "requestauthentication"             "security.istio.io"              "v1"       "RequestAuthentication"          "requestauthentications"            true;
    "virtualservice"                    "networking.istio.io"            "v1"       "VirtualService"                 "virtualservices"                   true;
    "destinationrule"                   "networking.istio.io"            "v1"       "DestinationRule"                "destinationrules"                  true;
    "serviceentry"                      "networking.istio.io"            "v1"       "ServiceEntry"                   "serviceentries"                    true;
    "sidecar"                           "networking.istio.io"            "v1"       "Sidecar"                        "sidecars"                          true;
    "workloadentry"                     "networking.istio.io"            "v1"       "WorkloadEntry"                  "workloadentries"                   true;
    "workloadgroup"                     "networking.istio.io"            "v1"       "WorkloadGroup"                  "workloadgroups"                    true;
    "envoyfilter"                       "networking.istio.io"            "v1alpha3" "EnvoyFilter"                    "envoyfilters"                      true;
    "proxyconfig"                       "networking.istio.io"            "v1beta1"  "ProxyConfig"                    "proxyconfigs"                      true;
    "gateway.networking.istio.io"       "networking.istio.io"            "v1"       "Gateway"                        "gateways"                          true;
    "telemetry"                         "telemetry.istio.io"             "v1"       "Telemetry"                      "telemetries"                       true;
    "wasmplugin"                        "extensions.istio.io"            "v1alpha1" "WasmPlugin"                     "wasmplugins"                       true;
    "applicationloadbalancer"           "alb.networking.azure.io"        "v1"       "ApplicationLoadBalancer"        "applicationloadbalancers"          true;
    "trafficcontroller"                 "alb.networking.azure.io"        "v1"       "TrafficController"              "trafficcontrollers"                false;
};
