//! Command line and environment.

use crate::settings::Settings;
use alb_config::capability;
use alb_config::client::ClientOptions;
use alb_config::proto::Node;
use alb_route::{EncodedSlashes, Normalization, PathPolicy};
use clap::Parser;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
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
    /// Threads that serve requests. By default as many as there are processors for it.
    #[arg(long, env = "ALB_PROXY_WORKERS", default_value_t = processors())]
    pub workers: usize,
    /// Log filter, such as "info" or "info,alb_proxy=debug".
    #[arg(long, env = "ALB_PROXY_LOG", default_value = "info")]
    pub log: String,
    /// Networks (such as 10.0.0.0/8) and addresses of proxies in front of this one whose word about their clients is believed,
    /// comma-separated: their X-Forwarded-*, Forwarded and client certificate fields are kept. Everybody else's are removed.
    #[arg(long, env = "ALB_PROXY_TRUSTED_CLIENTS", value_delimiter = ',', value_parser = network)]
    pub trusted_clients: Vec<Option<IpNet>>,
    /// How far paths are normalised before a route is looked up: none, base (RFC 3986), or merge-slashes.
    #[arg(long, env = "ALB_PROXY_PATH_NORMALIZATION", default_value = "merge-slashes")]
    pub path_normalization: Normalization,
    /// What becomes of encoded slashes in paths: reject, keep or decode.
    #[arg(long, env = "ALB_PROXY_ENCODED_SLASHES", default_value = "reject")]
    pub encoded_slashes: EncodedSlashes,
    /// Connections that one client's address may have to one frontend.
    #[arg(long, env = "ALB_PROXY_MAX_CONNECTIONS_PER_CLIENT", default_value_t = 512)]
    pub max_connections_per_client: usize,
    /// For tests that must fail: application protocols to offer to mesh services, comma-separated.
    #[arg(long, env = "ALB_PROXY_UPSTREAM_ALPN_FOR_TESTS", value_delimiter = ',', hide = true)]
    pub upstream_alpn_for_tests: Vec<String>,
}

/// Processors that this program may use, its control group's limit included.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A network, or an address that stands for itself; none for nothing (an unset chart value).
fn network(text: &str) -> Result<Option<IpNet>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network
        .map(Some)
        .ok_or_else(|| format!("{text:?} is neither a network such as 10.0.0.0/8 nor an address"))
}

impl Options {
    /// What the options say of the data plane.
    pub fn settings(&self) -> Settings {
        Settings {
            upstream_alpn: self.upstream_alpn(),
            trusted_clients: self.trusted_clients.iter().copied().flatten().collect(),
            path: PathPolicy {
                normalization: self.path_normalization,
                encoded_slashes: self.encoded_slashes,
            },
            max_connections_per_peer: self.max_connections_per_client,
            ..Settings::default()
        }
    }

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
                capabilities: [
                    capability::ROUTE_FILTERS,
                    capability::GRPC_ROUTES,
                    capability::TLS_LISTENERS,
                    capability::SESSION_AFFINITY,
                    capability::TLS_POLICIES,
                ]
                .map(str::to_owned)
                .into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_trust_and_what_becomes_of_paths_is_said_once_and_read_strictly() {
        let parse = |more: &[&str]| {
            let args = ["alb-proxy", "--node-id", "n", "--load-balancer", "ns/a"];
            Options::try_parse_from(args.iter().chain(more)).map(|options| options.settings())
        };
        let settings = parse(&["--trusted-clients", "10.0.0.0/8, 192.0.2.1,2001:db8::/32"]).unwrap();
        let trusted: Vec<_> = settings.trusted_clients.iter().map(ToString::to_string).collect();
        assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]);
        let default = parse(&["--trusted-clients", ""]).unwrap();
        assert!(default.trusted_clients.is_empty());
        assert_eq!(default.path, PathPolicy::default());
        assert_eq!(default.max_connections_per_peer, Settings::default().max_connections_per_peer);
        for (name, value) in [
            ("--trusted-clients", "10.0.0.0/33"),
            ("--path-normalization", "all"),
            ("--encoded-slashes", "yes"),
        ] {
            let error = parse(&[name, value]).err().unwrap().to_string();
            assert!(error.contains(value), "{error}");
        }
    }

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
