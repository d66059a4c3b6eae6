//! A proxy with its client, a certificate authority, and resources in few words.
#![allow(dead_code)] // each test crate uses its part

use alb_config::Kind;
use alb_config::client::{Rejection, Resources};
use alb_config::proto::{self, backend, weighted_backend};
use alb_proxy::{AccessLog, Metrics, Proxy, Record, Settings};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// SPIFFE ids as Istio makes them.
pub(crate) const GATEWAY: &str =
    "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";
pub(crate) const POD: &str = "spiffe://cluster.local/ns/test-infra/sa/default";
pub(crate) const OTHER_POD: &str = "spiffe://cluster.local/ns/test-infra/sa/other";

/// The bind port of the frontend that [`World::get`] asks.
pub(crate) const PORT: u16 = 10_000;

/// Everything that must happen does so long before this.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// A certificate authority like istiod's.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "cluster.local");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate with one name, a SPIFFE id or a DNS name.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // No subject, as in Istio's. The same one as the authority's would look self-signed.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![match name.starts_with("spiffe://") {
            true => SanType::URI(name.try_into().unwrap()),
            false => SanType::DnsName(name.try_into().unwrap()),
        }];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            chain_der: vec![certificate.der().clone()],
            key_der: key.serialize_der(),
            roots: self.pem.clone(),
        }
    }

    /// A server that shows `issued` and takes only clients of `clients`, as a sidecar under STRICT does.
    pub(crate) fn mutual_tls_server(issued: &Issued, clients: &Authority) -> Arc<rustls::ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(clients.der.clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(issued.chain_der.clone(), issued.private_key())
            .unwrap();
        Arc::new(config)
    }

    /// A server that asks nothing of its clients.
    pub(crate) fn tls_server(issued: &Issued) -> Arc<rustls::ServerConfig> {
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(issued.chain_der.clone(), issued.private_key())
            .unwrap();
        Arc::new(config)
    }
}

pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) chain_der: Vec<CertificateDer<'static>>,
    pub(crate) key_der: Vec<u8>,
    pub(crate) roots: String,
}

impl Issued {
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).unwrap()
    }

    /// The Certificate that the controller would send.
    pub(crate) fn certificate(&self) -> Kind {
        Kind::Certificate(proto::Certificate {
            certificate_chain: self.chain.clone().into_bytes(),
            private_key: self.key.clone().into_bytes(),
        })
    }

    /// The Secret that the extension would publish.
    pub(crate) fn secret(&self) -> Kind {
        Kind::Secret(proto::Secret {
            certificate_chain: self.chain.clone().into_bytes(),
            private_key: self.key.clone().into_bytes(),
            trust_bundle: self.roots.clone().into_bytes(),
        })
    }
}

/// Resources by name, in the order of writing.
#[derive(Default, Clone)]
pub(crate) struct Wanted(Vec<(String, Kind)>);

impl Wanted {
    /// A frontend on [`PORT`] whose rule 0 sends everything to the backend `b`.
    pub(crate) fn new() -> Self {
        Self::default().frontend("fe", PORT).rule("fe", "/", &[("b", 1)])
    }

    pub(crate) fn frontend(mut self, name: &str, bind_port: u16) -> Self {
        let listener = proto::Listener {
            name: "http".into(),
            bind_port: bind_port.into(),
            port: 80,
            hostname: String::new(),
        };
        self.put(
            format!("frontend/{name}"),
            Kind::Frontend(proto::Frontend {
                fqdn: format!("{name}.alb.internal"),
                gateway: format!("ns/{name}"),
                listeners: vec![listener],
                ..proto::Frontend::default()
            }),
        );
        self
    }

    /// A rule for a path prefix; a backend called "invalid" is an invalid reference.
    pub(crate) fn rule(self, frontend: &str, prefix: &str, backends: &[(&str, u32)]) -> Self {
        self.rule_with(frontend, prefix, backends, |_| {})
    }

    pub(crate) fn rule_with(
        mut self,
        frontend: &str,
        prefix: &str,
        backends: &[(&str, u32)],
        change: impl FnOnce(&mut proto::RouteRule),
    ) -> Self {
        let backends = backends.iter().map(|(name, weight)| proto::WeightedBackend {
            weight: *weight,
            target: Some(match *name {
                "invalid" => weighted_backend::Target::Invalid("BackendNotFound".into()),
                name => weighted_backend::Target::Backend(format!("backend/{name}")),
            }),
        });
        let mut rule = proto::RouteRule {
            route: format!("ns/{frontend}-route"),
            listeners: vec![proto::ListenerRef {
                frontend: format!("frontend/{frontend}"),
                listener: "http".into(),
            }],
            matches: vec![proto::Match {
                path: Some(proto::r#match::Path::Prefix(prefix.into())),
                ..proto::Match::default()
            }],
            backends: backends.collect(),
            ..proto::RouteRule::default()
        };
        change(&mut rule);
        self.put(format!("route/{frontend}{prefix}"), Kind::RouteRule(rule));
        self
    }

    /// A rule for a path prefix with filters of its own.
    pub(crate) fn filtered(
        self,
        frontend: &str,
        prefix: &str,
        backends: &[(&str, u32)],
        filters: Vec<proto::filter::Kind>,
    ) -> Self {
        self.rule_with(frontend, prefix, backends, |rule| {
            let behind = std::mem::take(&mut rule.backends)
                .into_iter()
                .map(|backend| proto::FilteredBackend { backend: Some(backend), filters: Vec::new() });
            let backends = behind.collect();
            let filters = filters.into_iter().map(|kind| proto::Filter { kind: Some(kind) }).collect();
            rule.filtered = Some(proto::Filtered { filters, backends });
        })
    }

    /// A rule of a GRPCRoute.
    pub(crate) fn grpc_rule(mut self, name: &str, backend: &str, path: Option<proto::r#match::Path>) -> Self {
        let rule = proto::RouteRule {
            route: "ns/grpc".into(),
            listeners: vec![proto::ListenerRef { frontend: "frontend/fe".into(), listener: "http".into() }],
            matches: path
                .map(|path| proto::Match { path: Some(path), ..proto::Match::default() })
                .into_iter()
                .collect(),
            backends: vec![proto::WeightedBackend {
                weight: 1,
                target: Some(weighted_backend::Target::Backend(format!("backend/{backend}"))),
            }],
            ..proto::RouteRule::default()
        };
        self.put(format!("grpc-route/{name}"), Kind::GrpcRouteRule(rule));
        self
    }

    pub(crate) fn clear_text(self, name: &str, addresses: &[SocketAddr]) -> Self {
        self.backend(name, addresses, "", backend::Security::ClearText(proto::ClearText {}))
    }

    pub(crate) fn mutual_tls(self, name: &str, addresses: &[SocketAddr], spiffe_id: &str) -> Self {
        let mtls = proto::IstioMtls { secret: "secret/istio".into() };
        self.backend(name, addresses, spiffe_id, backend::Security::IstioMtls(mtls))
    }

    pub(crate) fn server_tls(self, name: &str, addresses: &[SocketAddr], tls: proto::ServerTls) -> Self {
        self.backend(name, addresses, "", backend::Security::ServerTls(tls))
    }

    pub(crate) fn backend(
        mut self,
        name: &str,
        addresses: &[SocketAddr],
        spiffe_id: &str,
        security: backend::Security,
    ) -> Self {
        let endpoints = addresses.iter().enumerate().map(|(index, address)| proto::Endpoint {
            address: address.ip().to_string(),
            port: address.port().into(),
            pod: format!("ns/{name}-{index}"),
            spiffe_id: spiffe_id.into(),
            node: "node".into(),
        });
        self.put(
            format!("backend/{name}"),
            Kind::Backend(proto::Backend {
                service: format!("ns/{name}"),
                port: 8080,
                endpoints: endpoints.collect(),
                protocol: proto::Protocol::Http1.into(),
                security: Some(security),
            }),
        );
        self
    }

    /// The backend speaks HTTP/2.
    pub(crate) fn http2(mut self, name: &str) -> Self {
        let name = format!("backend/{name}");
        for (other, kind) in &mut self.0 {
            if let Kind::Backend(backend) = kind
                && *other == name
            {
                backend.protocol = proto::Protocol::Http2.into();
            }
        }
        self
    }

    pub(crate) fn secret(mut self, secret: Kind) -> Self {
        self.put("secret/istio".into(), secret);
        self
    }

    pub(crate) fn put(&mut self, name: String, kind: Kind) {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, kind));
    }

    pub(crate) fn resources(&self) -> Resources {
        self.0
            .iter()
            .map(|(name, kind)| {
                let version = alb_config::version_of(kind);
                let resource = proto::Resource { name: name.clone(), version, kind: Some(kind.clone()) };
                (Arc::from(name.as_str()), Arc::new(resource))
            })
            .collect()
    }
}

/// Keeps the access log for the test to read.
struct Kept(mpsc::UnboundedSender<Record>);

impl AccessLog for Kept {
    fn write(&self, record: Record) {
        let _ = self.0.send(record);
    }
}

/// A proxy whose bind ports are whatever loopback ports are free.
pub(crate) struct World {
    pub(crate) proxy: Arc<Proxy>,
    addresses: Arc<Mutex<HashMap<u16, SocketAddr>>>,
    log: mpsc::UnboundedReceiver<Record>,
    registry: prometheus_client::registry::Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let addresses = Arc::new(Mutex::new(HashMap::new()));
        let known = addresses.clone();
        let bind = move |port: u16| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            known.lock().unwrap().insert(port, listener.local_addr()?);
            TcpListener::from_std(listener)
        };
        let mut settings = Settings { bind: Arc::new(bind), ..Settings::default() };
        change(&mut settings);
        let (sender, log) = mpsc::unbounded_channel();
        let mut registry = prometheus_client::registry::Registry::default();
        let metrics = Metrics::new(&mut registry);
        let proxy = Arc::new(Proxy::new(settings, Arc::new(Kept(sender)), metrics));
        Self { proxy, addresses, log, registry }
    }

    /// A proxy that serves `wanted`.
    pub(crate) fn serving(wanted: &Wanted) -> Self {
        Self::new().applied(wanted)
    }

    /// Serves `wanted` from the start.
    pub(crate) fn applied(self, wanted: &Wanted) -> Self {
        self.apply(wanted);
        self
    }

    pub(crate) fn apply(&self, wanted: &Wanted) {
        self.proxy.apply(&wanted.resources()).unwrap();
    }

    pub(crate) fn refuses(&self, wanted: &Wanted) -> Rejection {
        self.proxy.apply(&wanted.resources()).unwrap_err()
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        self.addresses.lock().unwrap()[&port]
    }

    /// One GET over a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("host", "fe.alb.internal").body(Full::default()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let mut client = Client::http1(self.address(PORT)).await;
        client.send(request).await
    }

    /// The next line of the access log.
    pub(crate) async fn logged(&mut self) -> Record {
        soon("an access log line", self.log.recv()).await.unwrap()
    }

    /// Value of a metric whose line starts with `name`; 0 when there is none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let line = self.series(name).into_iter().next();
        line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    /// Lines of the metrics page that start with `name`.
    pub(crate) fn series(&self, name: &str) -> Vec<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response<hyper::body::Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = soon("the response's body", body.collect()).await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The first line of an error's body.
    pub(crate) fn reason(&self) -> (u16, &str) {
        (self.status.as_u16(), self.text().lines().next().unwrap_or_default())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self))
    }
}

/// A client's connection.
pub(crate) enum Client {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn http1(address: SocketAddr) -> Self {
        Self::http1_over(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/1.1 over a connection that is open.
    pub(crate) async fn http1_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (requests, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(requests)
    }

    pub(crate) async fn http2(address: SocketAddr) -> Self {
        Self::http2_over(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/2 over a connection that is open.
    pub(crate) async fn http2_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self::Http2(requests)
    }

    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let response = match self {
            Self::Http1(requests) => {
                requests.ready().await?;
                soon("a response", requests.send_request(request)).await?
            }
            Self::Http2(requests) => {
                requests.ready().await?;
                soon("a response", requests.send_request(request)).await?
            }
        };
        Ok(Answer::read(response).await)
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let uri = match self {
            Self::Http1(_) => path.to_owned(),
            Self::Http2(_) => format!("http://fe.alb.internal{path}"),
        };
        self.send(Request::get(uri).header("host", "fe.alb.internal").body(Full::default()).unwrap()).await
    }
}
