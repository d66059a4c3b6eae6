//! What the translation needs besides the world: the controller's flags.

use alb_api::Edition;
use serde::Deserialize;
use serde_json::Value;

/// The controller's flags, as far as they bear on what should be.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// DNS zone of frontends.
    pub zone: String,
    /// The edition of the document to follow.
    pub edition: Edition,
    /// The proxies' Deployment.
    pub proxy: ProxyTemplate,
}

/// Parameters of the proxies' Deployment, from the chart.
#[derive(Debug, Clone, Default)]
pub struct ProxyTemplate {
    /// Image reference.
    pub image: String,
    /// `imagePullPolicy`.
    pub pull_policy: String,
    /// Replicas of each load balancer.
    pub replicas: u32,
    /// `resources` of the container, as in a pod specification.
    pub resources: Value,
    /// Where the pods may run, as fields of a pod specification: `nodeSelector`, `tolerations`, `affinity`,
    /// `topologySpreadConstraints`, `priorityClassName`.
    pub scheduling: Value,
    /// `maxUnavailable` of a PodDisruptionBudget; none without one.
    pub max_unavailable: Option<Value>,
    /// A HorizontalPodAutoscaler instead of a number of replicas.
    pub autoscaling: Option<Autoscaling>,
    /// ALPN protocol towards mesh services; only tests set it.
    pub upstream_alpn_for_tests: String,
    /// What the proxies log (a tracing filter).
    pub log: String,
    /// Seconds a terminating proxy lets running requests end.
    pub drain_seconds: u32,
    /// What the proxies make of requests, by environment variable of alb-proxy; an empty value leaves its default.
    pub request_policy: Vec<(&'static str, String)>,
}

/// Parameters of the proxies' HorizontalPodAutoscaler, from the chart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaling {
    /// Least number of replicas.
    pub min_replicas: u32,
    /// Greatest number of replicas.
    pub max_replicas: u32,
    /// Average use of processor time to aim at, in percent of what a pod requests.
    #[serde(rename = "targetCPUUtilizationPercentage")]
    pub target_cpu_utilization_percentage: u32,
}
