//! Command line and environment.

use alb_config::client::ClientOptions;
use alb_config::proto::Node;
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The data plane of an ApplicationLoadBalancer.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// Name of this proxy: its pod's name.
    #[arg(long, env = "POD_NAME")]
    pub node_id: String,
    /// The load balancer it serves: "<namespace>/<name>", or the ALB resource id.
    #[arg(long, env = "ALB_PROXY_LOAD_BALANCER")]
    pub load_balancer: String,
    /// Where the controller serves the configuration.
    #[arg(
        long,
        env = "ALB_PROXY_CONFIG_URL",
        default_value = "https://alb-controller-config.azure-alb-system.svc:8443"
    )]
    pub config_url: String,
    /// PEM file of the CA that the controller's certificate must chain to. None: clear text, for tests.
    #[arg(long, env = "ALB_PROXY_CONFIG_CA_FILE")]
    pub config_ca_file: Option<PathBuf>,
    /// Service-account token for the controller.
    #[arg(long, env = "ALB_PROXY_CONFIG_TOKEN_FILE")]
    pub config_token_file: Option<PathBuf>,
    /// Address of health, readiness, metrics and debug pages.
    #[arg(long, env = "ALB_PROXY_ADMIN_ADDRESS", default_value_t = alb_runtime::admin::DEFAULT_ADDRESS)]
    pub admin_address: SocketAddr,
    /// Seconds after SIGTERM in which connections are still accepted, unready: load balancers need that long to notice.
    #[arg(long, env = "ALB_PROXY_DRAIN_NOTICE_SECONDS", default_value_t = 5)]
    pub drain_notice_seconds: u64,
    /// Seconds after that in which requests in flight may finish.
    #[arg(long, env = "ALB_PROXY_DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,
    /// Threads that serve requests.
    #[arg(long, env = "ALB_PROXY_WORKERS", default_value_t = 2)]
    pub workers: usize,
    /// Log filter, such as "info" or "info,alb_proxy=debug".
    #[arg(long, env = "ALB_PROXY_LOG", default_value = "info")]
    pub log: String,
    /// For tests that must fail: application protocols to offer to mesh services, comma-separated.
    #[arg(long, env = "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS", value_delimiter = ',', hide = true)]
    pub upstream_alpn_for_tests: Vec<String>,
}

impl Options {
    /// Application protocols to offer; empty values (an unset chart value) do not count.
    pub fn upstream_alpn(&self) -> Vec<Vec<u8>> {
        self.upstream_alpn_for_tests
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty())
            .map(|name| name.as_bytes().to_vec())
            .collect()
    }

    /// How to reach the controller.
    pub fn client(&self) -> ClientOptions {
        ClientOptions {
            url: self.config_url.clone(),
            ca_file: self.config_ca_file.clone(),
            token_file: self.config_token_file.clone(),
            node: Node {
                id: self.node_id.clone(),
                load_balancer: self.load_balancer.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Node::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_application_protocol_is_offered_unless_a_test_asks_for_it() {
        let parse = |more: &[&str]| {
            let args = ["alb-proxy", "--node-id", "n", "--load-balancer", "ns/a"];
            Options::try_parse_from(args.iter().chain(more)).unwrap().upstream_alpn()
        };
        assert!(parse(&[]).is_empty());
        assert!(parse(&["--upstream-alpn-for-tests", ""]).is_empty());
        assert_eq!(
            parse(&["--upstream-alpn-for-tests", "istio-peer-exchange,istio"]),
            [b"istio-peer-exchange".to_vec(), b"istio".to_vec()]
        );
    }
}
