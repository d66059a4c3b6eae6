//! Istio's inbound filter chains as Envoy configuration (istio `pilot/pkg/networking/core/filterchain_options.go`).

use serde_json::{Value, json};

/// Mode of the PeerAuthentication that applies to the pod; without any it is PERMISSIVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Strict,
    Permissive,
    Disable,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Strict, Self::Permissive, Self::Disable];
}

/// How the Service names its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortKind {
    /// Without name and appProtocol: the protocol is detected.
    Unnamed,
    /// Called `http`.
    Http,
}

impl PortKind {
    pub(crate) const ALL: [Self; 2] = [Self::Unnamed, Self::Http];
}

const MTLS_HTTP: &[&str] = &["istio-http/1.0", "istio-http/1.1", "istio-h2"];
const MTLS_TCP: &[&str] = &["istio-peer-exchange", "istio"];
const ALL_ISTIO: &[&str] = &["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
const PLAIN_HTTP: &[&str] = &["http/1.1", "h2c"];
const ANY: &[&str] = &[];

/// One chain: what it matches and what it does.
struct Chain {
    alpn: &'static [&'static str],
    /// Whether the connection must be TLS.
    tls: bool,
    http: bool,
    /// Whether mutual TLS ends here; otherwise the bytes pass as they are.
    terminate: bool,
}

const fn mtls(alpn: &'static [&'static str], http: bool) -> Chain {
    Chain { alpn, tls: true, http, terminate: true }
}

const fn plain(alpn: &'static [&'static str], http: bool) -> Chain {
    Chain { alpn, tls: false, http, terminate: false }
}

fn chains(mode: Mode, port: PortKind) -> Vec<Chain> {
    match (mode, port) {
        (Mode::Strict, PortKind::Unnamed) => vec![mtls(MTLS_HTTP, true), mtls(ANY, false)],
        (Mode::Strict, PortKind::Http) => vec![mtls(ANY, true)],
        (Mode::Permissive, PortKind::Unnamed) => vec![
            mtls(MTLS_HTTP, true),
            plain(PLAIN_HTTP, true),
            mtls(MTLS_TCP, false),
            plain(ANY, false),
            // TLS without an Istio protocol is the application's own: passed through.
            Chain { alpn: ANY, tls: true, http: false, terminate: false },
        ],
        (Mode::Permissive, PortKind::Http) => vec![mtls(ALL_ISTIO, true), plain(ANY, true)],
        (Mode::Disable, PortKind::Unnamed) => vec![plain(PLAIN_HTTP, true), plain(ANY, false)],
        (Mode::Disable, PortKind::Http) => vec![plain(ANY, true)],
    }
}

/// Whether the application learns the caller's identity: only where an HTTP chain ends mutual TLS. `alpn` is what the
/// client offers over mutual TLS (perhaps empty); none is clear text.
pub(crate) fn forwards_client_certificate(mode: Mode, port: PortKind, alpn: Option<&str>) -> bool {
    let Some(alpn) = alpn else { return false };
    match (mode, port) {
        (Mode::Strict, PortKind::Http) | (Mode::Permissive, PortKind::Http) => true,
        (Mode::Strict | Mode::Permissive, PortKind::Unnamed) => MTLS_HTTP.contains(&alpn),
        (Mode::Disable, _) => false,
    }
}

/// The port in the container on which a combination listens.
pub(crate) fn port_number(mode: Mode, port: PortKind) -> u16 {
    20_000 + (mode as u16) * 10 + port as u16
}

/// Port of the application in the container.
const APP: u16 = 3000;

/// Envoy's bootstrap: an application, and a sidecar's inbound listener for each combination.
pub(crate) fn bootstrap(certificate: &str, key: &str, roots: &str) -> Value {
    let identity = Identity { certificate, key, roots };
    let mut listeners = vec![app()];
    for mode in Mode::ALL {
        for port in PortKind::ALL {
            listeners.push(inbound(mode, port, &identity));
        }
    }
    let app = json!({"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", APP)}}]});
    json!({
        "static_resources": {
            "listeners": listeners,
            "clusters": [{
                "name": "inbound",
                "connect_timeout": "1s",
                "type": "STATIC",
                "load_assignment": {"cluster_name": "inbound", "endpoints": [app]},
            }],
        },
    })
}

struct Identity<'a> {
    certificate: &'a str,
    key: &'a str,
    roots: &'a str,
}

fn address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

/// Answers HTTP/1.1 in clear text, and anything else with an HTTP error, as applications do.
fn app() -> Value {
    let seen = json!({"header": {"key": "x-seen-client-cert", "value": "%REQ(X-FORWARDED-CLIENT-CERT)%"}});
    let route = json!({
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "app"}},
        "response_headers_to_add": [seen],
    });
    let more = json!({"codec_type": "HTTP1", "forward_client_cert_details": "ALWAYS_FORWARD_ONLY"});
    json!({
        "name": "app",
        "address": address("127.0.0.1", APP),
        "filter_chains": [{"filters": [http("app", route, more)]}],
    })
}

fn inbound(mode: Mode, port: PortKind, identity: &Identity<'_>) -> Value {
    let chains = chains(mode, port);
    let mut inspectors = Vec::new();
    if chains.iter().any(|chain| chain.tls) {
        inspectors.push(inspector("tls_inspector", "TlsInspector"));
    }
    if chains.iter().any(|chain| chain.alpn.contains(&"http/1.1")) {
        inspectors.push(inspector("http_inspector", "HttpInspector"));
    }
    json!({
        "name": format!("{mode:?}-{port:?}"),
        "address": address("0.0.0.0", port_number(mode, port)),
        "listener_filters": inspectors,
        "filter_chains": chains.iter().map(|chain| filter_chain(chain, identity)).collect::<Vec<_>>(),
    })
}

fn inspector(name: &str, kind: &str) -> Value {
    let kind = format!("type.googleapis.com/envoy.extensions.filters.listener.{name}.v3.{kind}");
    json!({"name": format!("envoy.filters.listener.{name}"), "typed_config": {"@type": kind}})
}

fn filter_chain(chain: &Chain, identity: &Identity<'_>) -> Value {
    let filter = if chain.http {
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "inbound"}});
        let details = json!({
            "forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": {"subject": true, "dns": true, "uri": true},
        });
        http("inbound", route, details)
    } else {
        json!({
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "inbound",
                "cluster": "inbound",
            },
        })
    };
    let mut matched = json!({"transport_protocol": if chain.tls { "tls" } else { "raw_buffer" }});
    if !chain.alpn.is_empty() {
        matched["application_protocols"] = json!(chain.alpn);
    }
    let mut made = json!({"filter_chain_match": matched, "filters": [filter]});
    if chain.terminate {
        made["transport_socket"] = transport_socket(chain.http, identity);
    }
    made
}

fn http(name: &str, route: Value, more: Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    if let (Some(manager), Value::Object(more)) = (manager.as_object_mut(), more) {
        manager.extend(more);
    }
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager})
}

/// Mutual TLS as `BuildInboundTLS` makes it.
fn transport_socket(http: bool, identity: &Identity<'_>) -> Value {
    let agreed = if http { vec!["h2", "http/1.1"] } else { vec!["istio-peer-exchange", "h2", "http/1.1"] };
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "alpn_protocols": agreed,
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": identity.certificate},
                    "private_key": {"inline_string": identity.key},
                }],
                "validation_context": {"trusted_ca": {"inline_string": identity.roots}},
            },
        },
    })
}
