//! Requests from a vantage, sent.
//!
//! An unreachable target is an answer with a [`Failure`](meshproof_run::probe::Failure); a [`ProbeError`] means that the question
//! could not be asked at all.

mod direct;
pub mod envoy;
mod error;
pub(crate) mod forwarded;
pub mod frontend;
mod hang_up;
pub mod inside;
pub mod outside;
mod port;
mod proxy_logs;
mod relay;
mod replicas;
pub mod route;

use std::net::SocketAddr;

use meshproof_model::implementation::Resolution;
use meshproof_model::vantage::Vantage;
use meshproof_run::ports::Replicas;
use meshproof_run::probe::client::Client;
use meshproof_run::probe::{Answer, Ask};

pub use self::{
    error::ProbeError,
    frontend::Frontend,
    inside::VantagePods,
    outside::Outside,
    proxy_logs::{LivingLog, ProxyLogs},
};

/// Sends requests from any vantage. Vantage pods are made on first use and kept until
/// [`Prober::remove`].
pub struct Prober {
    local_only: bool,
    resolution: Resolution,
    outside: Outside,
    pods: VantagePods,
    ways: replicas::Ways,
    client: kube::Client,
}

impl Prober {
    /// A prober for a cluster. `image` is the echo image's reference for the vantage pods; `local_only`
    /// refuses addresses that only the default route reaches (true for kind clusters); `resolution` is how the gateways'
    /// names lead to addresses; `run` is the id of the run, which what is made gets as label.
    pub fn new(
        client: kube::Client,
        image: impl Into<String>,
        local_only: bool,
        resolution: Resolution,
        run: &str,
    ) -> Self {
        Self {
            local_only,
            resolution,
            outside: Outside::new(local_only),
            pods: VantagePods::new(client.clone(), image.into(), run),
            ways: replicas::Ways::default(),
            client,
        }
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When the question cannot be asked: no vantage pod, no exec, a URL that is none. An unreachable
    /// target is an [`Answer`] with a failure.
    pub async fn send(&self, vantage: Vantage, ask: &Ask) -> Result<Answer, ProbeError> {
        let client = Client::any();
        let ask = &Ask { headers: client.headers(&ask.headers), ..ask.clone() };
        let answer = match vantage {
            Vantage::Outside => self.outside.send(ask).await,
            Vantage::Plain | Vantage::Mesh => self.pods.send(vantage, ask).await,
        };
        Ok(Answer { sent_as: Some(client.trace), ..answer? })
    }

    /// The load-balancer address behind a frontend's name, see [`Frontend`]. Without a `port`, the first
    /// the frontend offers.
    ///
    /// # Errors
    /// When no Service or no address belongs to the name.
    pub async fn frontend(&self, fqdn: &str, port: Option<u16>) -> Result<Frontend, ProbeError> {
        frontend::resolve(&self.client, &self.resolution, fqdn, port).await
    }

    /// The pods that serve a port of a frontend, each with an address of its own on this host.
    ///
    /// # Errors
    /// When the API server cannot be asked, or this host gives no port.
    pub async fn replicas(&self, fqdn: &str, port: u16) -> Result<Replicas, ProbeError> {
        self.ways.to(&self.client, &self.resolution, fqdn, port).await
    }

    /// Sends half a request to `address` from outside and hangs up, so that the gateway closes the
    /// connection to the pod that carried it.
    ///
    /// # Errors
    /// When the address must not be asked from here, or does not take the connection.
    pub async fn hang_up(&self, address: SocketAddr, host: &str, path: &str) -> Result<(), ProbeError> {
        hang_up::hang_up(address, host, path, self.local_only).await
    }

    /// The vantage pods, for making them ahead of the first request.
    pub fn pods(&self) -> &VantagePods {
        &self.pods
    }

    /// Removes what was made, vantage pods and their namespaces, and waits until it is gone.
    ///
    /// # Errors
    /// When the API server refuses, or something does not go.
    pub async fn remove(&self) -> Result<(), ProbeError> {
        self.pods.remove().await
    }
}
