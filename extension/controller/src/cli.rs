//! Flags. The chart sets them, by environment.

use crate::translate::{Autoscaling, ProxyTemplate, Settings};
use alb_api::Edition;
use clap::Parser;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// ALB Controller: Gateway API in, data-plane configuration and status out.
#[derive(Debug, Clone, Parser)]
#[command(name = "alb-controller", version)]
pub struct Args {
    /// Name of this pod: its identity in the Lease.
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,
    /// Address of this pod: where proxies find the leader.
    #[arg(long, env = "POD_IP")]
    pub pod_ip: IpAddr,
    /// DNS zone of frontends.
    #[arg(long, env = "ALB_ZONE", default_value = alb_api::names::DEFAULT_ZONE)]
    pub zone: String,
    /// The edition of the document to follow, by its date.
    #[arg(long, env = "ALB_EDITION", default_value_t)]
    pub edition: Edition,
    /// Where the configuration server listens.
    #[arg(long, env = "ALB_CONFIG_ADDRESS", default_value = "0.0.0.0:8443")]
    pub config_address: SocketAddr,
    /// Where health, readiness and metrics are served.
    #[arg(long, env = "ALB_ADMIN_ADDRESS", default_value_t = alb_runtime::admin::DEFAULT_ADDRESS)]
    pub admin_address: SocketAddr,
    /// What to log (a tracing filter).
    #[arg(long, env = "RUST_LOG", default_value = "info,kube=warn")]
    pub log: String,
    /// Image of the proxies.
    #[arg(long, env = "ALB_PROXY_IMAGE")]
    pub proxy_image: String,
    /// Pull policy of that image.
    #[arg(long, env = "ALB_PROXY_PULL_POLICY", default_value = "IfNotPresent")]
    pub proxy_pull_policy: String,
    /// Proxies of each load balancer.
    #[arg(long, env = "ALB_PROXY_REPLICAS", default_value_t = 2)]
    pub proxy_replicas: u32,
    /// Resource requests and limits of a proxy, as JSON.
    #[arg(long, env = "ALB_PROXY_RESOURCES", default_value = "{}", value_parser = object)]
    pub proxy_resources: Value,
    /// Where proxies may run: fields of a pod specification, as JSON.
    #[arg(long, env = "ALB_PROXY_SCHEDULING", default_value = "{}", value_parser = object)]
    pub proxy_scheduling: Value,
    /// `maxUnavailable` of the PodDisruptionBudget of each load balancer's proxies; none without it.
    #[arg(long, env = "ALB_PROXY_MAX_UNAVAILABLE")]
    pub proxy_max_unavailable: Option<String>,
    /// Parameters of the HorizontalPodAutoscaler of each load balancer's proxies, as JSON; none without them.
    #[arg(long, env = "ALB_PROXY_AUTOSCALING", value_parser = autoscaling)]
    pub proxy_autoscaling: Option<Autoscaling>,
    /// What proxies log (a tracing filter).
    #[arg(long, env = "ALB_PROXY_LOG", default_value = "info")]
    pub proxy_log: String,
    /// Seconds a terminating proxy lets running requests end.
    #[arg(long, env = "ALB_PROXY_DRAIN_SECONDS", default_value_t = 20)]
    pub proxy_drain_seconds: u32,
    /// Networks and addresses of proxies that the proxies believe, comma-separated.
    #[arg(long, env = "ALB_PROXY_TRUSTED_CLIENTS", default_value = "")]
    pub proxy_trusted_clients: String,
    /// How far proxies normalise paths.
    #[arg(long, env = "ALB_PROXY_PATH_NORMALIZATION", default_value = "")]
    pub proxy_path_normalization: String,
    /// What proxies make of encoded slashes in paths.
    #[arg(long, env = "ALB_PROXY_ENCODED_SLASHES", default_value = "")]
    pub proxy_encoded_slashes: String,
    /// Connections that one client's address may have to one frontend of a proxy.
    #[arg(long, env = "ALB_PROXY_MAX_CONNECTIONS_PER_CLIENT", default_value = "")]
    pub proxy_max_connections_per_client: String,
    /// For tests only: ALPN protocol of proxies towards services of the mesh.
    #[arg(long, env = "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS", default_value = "")]
    pub proxy_upstream_alpn_for_tests: String,
    /// Seconds after which a leader that is not heard of is replaced.
    #[arg(long, env = "ALB_LEASE_DURATION_SECONDS", default_value = "15", value_parser = seconds)]
    pub lease_duration: Duration,
    /// Seconds after which a leader that cannot renew its Lease stops acting as one.
    #[arg(long, env = "ALB_LEASE_RENEW_DEADLINE_SECONDS", default_value = "10", value_parser = seconds)]
    pub lease_renew_deadline: Duration,
    /// Seconds between attempts at the Lease.
    #[arg(long, env = "ALB_LEASE_RETRY_PERIOD_SECONDS", default_value = "2", value_parser = seconds)]
    pub lease_retry_period: Duration,
}

impl Args {
    /// The part that the translation needs.
    pub fn settings(&self) -> Settings {
        Settings {
            zone: self.zone.clone(),
            edition: self.edition,
            proxy: ProxyTemplate {
                image: self.proxy_image.clone(),
                pull_policy: self.proxy_pull_policy.clone(),
                replicas: self.proxy_replicas,
                resources: self.proxy_resources.clone(),
                scheduling: self.proxy_scheduling.clone(),
                // A number, or a percentage.
                max_unavailable: self.proxy_max_unavailable.as_ref().map(|text| match text.parse::<u32>() {
                    Ok(number) => number.into(),
                    Err(_) => text.clone().into(),
                }),
                autoscaling: self.proxy_autoscaling.clone(),
                upstream_alpn_for_tests: self.proxy_upstream_alpn_for_tests.clone(),
                log: self.proxy_log.clone(),
                drain_seconds: self.proxy_drain_seconds,
                request_policy: vec![
                    ("ALB_PROXY_TRUSTED_CLIENTS", self.proxy_trusted_clients.clone()),
                    ("ALB_PROXY_PATH_NORMALIZATION", self.proxy_path_normalization.clone()),
                    ("ALB_PROXY_ENCODED_SLASHES", self.proxy_encoded_slashes.clone()),
                    ("ALB_PROXY_MAX_CONNECTIONS_PER_CLIENT", self.proxy_max_connections_per_client.clone()),
                ],
            },
        }
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn autoscaling(text: &str) -> Result<Autoscaling, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_the_chart_is_one_that_is_read() {
        let folder =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/alb-controller/templates/deployment.yaml");
        let template = std::fs::read_to_string(folder).unwrap();
        let (cli, faults) = (include_str!("cli.rs"), ["ALB_FAULT", "ALB_PROXY_FAULT"]);
        let variables = template.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
        let variables: Vec<&str> = variables.filter(|name| name.starts_with("ALB_")).collect();
        assert!(variables.len() > 10, "{variables:?}");
        for variable in variables.into_iter().filter(|name| !faults.contains(name)) {
            assert!(cli.contains(&format!("env = \"{variable}\"")), "{variable}");
        }
    }

    #[test]
    fn what_the_chart_says_of_the_proxies_is_what_they_get() {
        let args = |extra: &[&str]| {
            let required =
                ["alb-controller", "--pod-name", "pod", "--pod-ip", "10.0.0.1", "--proxy-image", "it"];
            Args::try_parse_from(required.iter().chain(extra)).map(|args| args.settings().proxy)
        };
        let plain = args(&[]).unwrap();
        assert_eq!((plain.max_unavailable, plain.autoscaling), (None, None));
        assert_eq!(args(&["--proxy-max-unavailable", "1"]).unwrap().max_unavailable, Some(1.into()));
        assert_eq!(args(&["--proxy-max-unavailable", "25%"]).unwrap().max_unavailable, Some("25%".into()));
        let json = r#"{"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 70}"#;
        assert_eq!(args(&["--proxy-autoscaling", json]).unwrap().autoscaling.unwrap().max_replicas, 5);
        assert!(args(&["--proxy-autoscaling", "{}"]).is_err());
        assert!(args(&["--proxy-scheduling", "[]"]).is_err());
    }
}
