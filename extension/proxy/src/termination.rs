//! TLS with clients: which listener of a port a connection is for, what it is shown, and whom it lets in. Built with the
//! configuration, used when connections are accepted.

mod clients;
mod policy;
mod shown;

use crate::tls_info::ClientTls;
use crate::upstream::{Certificate, identity};
use alb_config::proto::{ClientValidation, TlsMode};
use alb_route::HostMap;
use clients::Clients;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{ServerConfig, ServerConnection};
use shown::Shown;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Protocols that are spoken in TLS, the one to be preferred first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The listeners of a port whose clients speak TLS.
#[derive(Debug)]
pub(crate) struct TlsPort {
    listeners: HostMap<Arc<TlsListener>>,
    /// Whether all of them are for HTTP. A port of TLSRoutes hands connections on, and says nothing of its own: whom nobody
    /// wants finds the connection closed (so the Gateway API's conformance suite has it).
    pub(crate) is_for_http: bool,
}

impl TlsPort {
    pub(crate) fn new(listeners: HostMap<Arc<TlsListener>>, is_for_http: bool) -> Self {
        Self { listeners, is_for_http }
    }

    /// The listener for the name that a client asks for (RFC 6066 section 3): the most specific one. One that asks for none
    /// is for the listener for any.
    pub(crate) fn listener(&self, server_name: Option<&str>) -> Option<&Arc<TlsListener>> {
        self.listeners.find(server_name.unwrap_or_default())
    }
}

/// One listener.
#[derive(Debug)]
pub(crate) struct TlsListener {
    pub(crate) name: Arc<str>,
    pub(crate) mode: TlsMode,
    /// Without: TLS ends at a pod.
    pub(crate) handshake: Option<Handshake>,
    pub(crate) certificates: Vec<Arc<Certificate>>,
    /// What goes on for its connections when its certificates are replaced.
    pub(crate) standing: Arc<Standing>,
}

impl TlsListener {
    /// Whether it shows just these certificates.
    pub(crate) fn shows(&self, certificates: &[Arc<Certificate>]) -> bool {
        self.certificates.len() == certificates.len()
            && self.certificates.iter().zip(certificates).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// How to answer a handshake.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    pub(crate) config: Arc<ServerConfig>,
    clients: Option<Arc<Clients>>,
}

/// What is the same for all connections that were let in by the same rule. Who was let in by another one has to come again.
#[derive(Debug)]
pub(crate) struct Standing {
    validation: Option<ClientValidation>,
    mode: TlsMode,
    /// Of versions, cipher suites and curves.
    policy: String,
    clients: Option<Arc<Clients>>,
    /// Tickets let a client in without its certificate's being looked at again (RFC 8446 section 4.6.1), and so are good for
    /// this listener, under this rule, only.
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// The listener is gone, or lets in others: what is open ends, gracefully.
    pub(crate) retired: CancellationToken,
}

impl Standing {
    /// Of a listener that is new, or lets in others than it did.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub(crate) fn new(
        validation: Option<&ClientValidation>,
        mode: TlsMode,
        policy: &str,
    ) -> Result<Self, String> {
        let clients = validation.map(Clients::new).transpose()?.map(Arc::new);
        // Without tickets every connection is a whole handshake: slower, not wrong.
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()
            .inspect_err(|error| tracing::warn!(%error, "no session tickets"))
            .ok();
        Ok(Self {
            validation: validation.cloned(),
            mode,
            policy: policy.to_owned(),
            clients,
            tickets,
            retired: CancellationToken::new(),
        })
    }

    /// Whether it is this rule.
    pub(crate) fn is_for(&self, validation: Option<&ClientValidation>, mode: TlsMode, policy: &str) -> bool {
        self.validation.as_ref() == validation && self.mode == mode && self.policy == policy
    }
}

impl Handshake {
    /// A handshake that shows one of these certificates. With none of them, and where nobody can be let in, it fails.
    ///
    /// # Errors
    /// When the library refuses the versions of TLS, or nobody knows the policy.
    pub(crate) fn new(certificates: Vec<Arc<Certificate>>, standing: &Standing) -> Result<Self, String> {
        let builder = ServerConfig::builder_with_provider(policy::provider(&standing.policy)?)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS versions: {error}"))?;
        let builder = match &standing.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
            None => builder.with_no_client_auth(),
        };
        let lets_in = standing.clients.as_ref().is_none_or(|clients| clients.lets_in_anybody());
        let shown = Shown::new(if lets_in { certificates } else { Vec::new() });
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        if standing.mode == TlsMode::TerminateHttp {
            config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        }
        // Nothing is kept for clients that may come again: they keep it themselves.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(tickets) = &standing.tickets {
            config.ticketer = tickets.clone();
        }
        Ok(Self { config: Arc::new(config), clients: standing.clients.clone() })
    }

    /// What a handshake has come to.
    pub(crate) fn outcome(&self, listener: &Arc<str>, connection: &ServerConnection) -> ClientTls {
        let chain = connection.peer_certificates().unwrap_or_default();
        let proved = self.clients.as_ref().filter(|clients| clients.have_proved(chain));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ClientTls {
            listener: listener.clone(),
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "unknown",
            },
            server_name: connection.server_name().map(str::to_owned),
            alpn: connection.alpn_protocol().map(text),
            client_identity: proved.and_then(|_| chain.first()).and_then(identity),
        }
    }
}
