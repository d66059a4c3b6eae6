//! The prober as the runner sees it.

use std::net::SocketAddr;

use futures::FutureExt;

use super::{ProbeError, Prober};
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::{PortError, PortFuture, Replicas, Requests};
use meshproof_run::probe::{Answer, Ask};

impl From<ProbeError> for PortError {
    fn from(error: ProbeError) -> Self {
        let doing = match &error {
            ProbeError::NoAddress { fqdn, .. } => format!("looking for the address of frontend {fqdn}"),
            ProbeError::NotReady { what, .. } => format!("waiting for {what}"),
            _ => "sending a request".to_string(),
        };
        let next = match &error {
            ProbeError::NotReady { hint, .. } => Some(hint.clone()),
            _ => None,
        };
        Self { doing, seen: error.to_string(), next }
    }
}

impl Requests for Prober {
    fn send<'a>(&'a self, from: Vantage, ask: &'a Ask) -> PortFuture<'a, Answer> {
        async move { Ok(Self::send(self, from, ask).await?) }.boxed()
    }

    fn frontend<'a>(&'a self, fqdn: &'a str) -> PortFuture<'a, SocketAddr> {
        async move { Ok(Self::frontend(self, fqdn, None).await?.address) }.boxed()
    }

    fn replicas<'a>(&'a self, fqdn: &'a str, port: u16) -> PortFuture<'a, Replicas> {
        async move { Ok(Self::replicas(self, fqdn, port).await?) }.boxed()
    }
}
