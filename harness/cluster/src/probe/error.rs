//! Why a question could not be asked.

use std::{net::SocketAddr, time::Duration};

use meshproof_lab::cluster::exec::ExecError;

/// The question could not be asked. What answers badly is an [`Answer`], not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The URL cannot be used.
    #[error("`{url}` is not a URL that can be requested: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What TLS needs cannot be used.
    #[error("{what} cannot be used: {reason}")]
    Tls {
        /// What it is.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The pod of a vantage is not what requests from it are taken for.
    #[error("pod {pod} of the vantage `{vantage}` is not what it is taken for: {why}")]
    NoControl {
        /// The vantage.
        vantage: super::Vantage,
        /// `namespace/pod`.
        pod: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A vantage's namespace could not be removed.
    #[error("{what}")]
    Left {
        /// Why.
        what: String,
    },
    /// The API server refused or did not answer.
    #[error("{doing}: {source}")]
    Kubernetes {
        /// What was being done, as a sentence without a full stop.
        doing: String,
        /// The client's error.
        source: Box<kube::Error>,
    },
    /// A command in a container could not be run, or failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// An Envoy's admin interface could not be asked, or did not answer.
    #[error("asking the Envoy of {pod} for {question}: {reason}")]
    Envoy {
        /// Path below the admin interface.
        question: String,
        /// `namespace/pod`.
        pod: String,
        /// What came instead of an answer.
        reason: String,
    },
    /// A vantage pod, or another thing needed first, is not there in time.
    #[error("{what} not ready after {waited:?}: {seen}; {hint}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last state seen.
        seen: String,
        /// What to do next.
        hint: String,
    },
    /// This host gives no port to listen on.
    #[error("listening on loopback for connections to one pod: {reason}")]
    Port {
        /// The kernel's word.
        reason: String,
    },
    /// The frontend has no address to connect to.
    #[error("frontend {fqdn} has no load-balancer address: {reason}")]
    NoAddress {
        /// Name asked for.
        fqdn: String,
        /// What was seen instead.
        reason: String,
    },
    /// The address would be reached by the default route: the traffic would leave this host.
    #[error(
        "refusing to connect to {address}: no local bridge has a route to it, so the request would leave this host by \
         the default route; is the cluster's docker network still there? (`meshproof status` says)"
    )]
    NotLocal {
        /// Where the request would have gone.
        address: SocketAddr,
    },
    /// An answer of the program in the vantage pod could not be read.
    #[error(
        "the probe in {pod} printed something that is not its JSON line: {reason}; it printed: {printed}"
    )]
    Output {
        /// `namespace/pod`.
        pod: String,
        /// The parser's words.
        reason: String,
        /// The first line of what it printed.
        printed: String,
    },
}

impl ProbeError {
    /// Wraps an API error with what was being done.
    pub fn kubernetes(doing: impl Into<String>, source: kube::Error) -> Self {
        Self::Kubernetes { doing: doing.into(), source: Box::new(source) }
    }
}
