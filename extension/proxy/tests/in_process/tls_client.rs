//! A client that speaks TLS, and frontends for it.

use crate::support::{Answer, Authority, Client, Issued, PORT, Wanted, World, soon};
use alb_config::Kind;
use alb_config::proto;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A listener in few words: name, hostname, names of certificates.
pub(crate) type Listener<'a> = (&'a str, &'a str, &'a [&'a str]);

/// A listener as the controller would send it.
pub(crate) fn tls_listener((name, hostname, certificates): Listener<'_>) -> proto::TlsListener {
    proto::TlsListener {
        listener: Some(proto::Listener {
            name: name.into(),
            bind_port: PORT.into(),
            port: 443,
            hostname: hostname.into(),
        }),
        certificates: certificates.iter().map(|name| format!("certificate/{name}")).collect(),
        ..proto::TlsListener::default()
    }
}

/// A frontend on [`PORT`] whose clients speak TLS.
pub(crate) fn https(mut wanted: Wanted, listeners: Vec<proto::TlsListener>) -> Wanted {
    wanted.put(
        "frontend/fe".into(),
        Kind::Frontend(proto::Frontend {
            fqdn: "fe.alb.internal".into(),
            gateway: "ns/fe".into(),
            tls_listeners: listeners,
            ..proto::Frontend::default()
        }),
    );
    wanted
}

pub(crate) fn certificate(mut wanted: Wanted, name: &str, issued: &Issued) -> Wanted {
    wanted.put(format!("certificate/{name}"), issued.certificate());
    wanted
}

/// Sends everything at a listener to a backend.
pub(crate) fn at(wanted: Wanted, listener: &str, prefix: &str, backend: &str) -> Wanted {
    wanted.rule_with("fe", prefix, &[(backend, 1)], |rule| {
        rule.route = format!("ns/{listener}");
        rule.listeners[0].listener = listener.into();
    })
}

/// What a client offers, and whom it trusts.
pub(crate) struct TlsClient<'a> {
    pub(crate) authority: &'a Authority,
    /// What it asks for; none: no name.
    pub(crate) server_name: Option<&'a str>,
    pub(crate) alpn: &'a [&'a str],
    pub(crate) certificate: Option<&'a Issued>,
}

impl<'a> TlsClient<'a> {
    pub(crate) fn new(authority: &'a Authority, server_name: &'a str) -> Self {
        Self { authority, server_name: Some(server_name), alpn: &[], certificate: None }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der.clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match self.certificate {
            Some(issued) => {
                config.with_client_auth_cert(issued.chain_der.clone(), issued.private_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = self.server_name.is_some();
        config
    }

    /// Opens a connection; the certificate has to be for the name that was asked for, or for `a.example` without one.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        connect(&Arc::new(self.config()), self.server_name.unwrap_or("a.example"), address).await
    }

    pub(crate) async fn http1(&self, world: &World) -> Client {
        Client::http1_over(self.connect(world.address(PORT)).await.unwrap()).await
    }

    /// Opens a connection, and sends a request for a host.
    pub(crate) async fn get(&self, world: &World, host: &str, path: &str) -> Answer {
        self.http1(world).await.send(request(host, path)).await
    }
}

/// Opens a connection with a client that may come again.
pub(crate) async fn connect(
    config: &Arc<ClientConfig>,
    name: &str,
    address: SocketAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("a handshake", TlsConnector::from(config.clone()).connect(name, stream)).await
}

pub(crate) fn request(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

/// The certificate that the server has shown.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The alert that ended a handshake.
pub(crate) fn alert(error: &io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}
