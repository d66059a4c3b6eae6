//! What the proxy holds, as a pure state machine: a response in, its answer out.

use crate::proto::{DeltaRequest, DeltaResponse, Error, Node, Resource};
use std::collections::HashMap;
use std::sync::Arc;

/// Resources by name.
pub type Resources = HashMap<Arc<str>, Arc<Resource>>;

/// Why a response is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// What is wrong; shows in the status of the object it came from.
    pub message: String,
    /// Names of the resources at fault. The server sends the others again without these; with none named it
    /// waits for the next snapshot.
    pub resources: Vec<String>,
}

/// The proxy's copy of its load balancer's resources. It outlives connections.
#[derive(Debug, Default)]
pub struct Store {
    resources: Resources,
}

impl Store {
    /// The resources held.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// First message of a new stream: who asks, and what it holds from earlier ones.
    pub fn hello(&self, node: Node) -> DeltaRequest {
        let initial_versions = self
            .resources
            .iter()
            .map(|(name, resource)| (name.to_string(), resource.version.clone()))
            .collect();
        DeltaRequest { node: Some(node), initial_versions, ..DeltaRequest::default() }
    }

    /// Applies a response whole or not at all, and returns the ACK or NACK to send.
    ///
    /// `apply` sees what would be held and decides; when it refuses, nothing changes.
    pub fn receive(
        &mut self,
        response: DeltaResponse,
        apply: impl FnOnce(&Resources) -> Result<(), Rejection>,
    ) -> DeltaRequest {
        let response_nonce = response.nonce.clone();
        let error = match self.stage(response).and_then(|staged| apply(&staged).map(|()| staged)) {
            Ok(staged) => {
                self.resources = staged;
                None
            }
            Err(Rejection { message, resources }) => Some(Error { message, resources }),
        };
        DeltaRequest { response_nonce, error, ..DeltaRequest::default() }
    }

    /// What would be held after `response`.
    fn stage(&self, response: DeltaResponse) -> Result<Resources, Rejection> {
        let unknown: Vec<String> =
            response.resources.iter().filter(|r| r.kind.is_none()).map(|r| r.name.clone()).collect();
        if !unknown.is_empty() {
            return Err(Rejection {
                message: "a resource of a kind that this proxy does not know: \
                          alb-proxy is older than alb-controller; update it"
                    .to_owned(),
                resources: unknown,
            });
        }
        let mut staged = self.resources.clone();
        for name in &response.removed {
            staged.remove(name.as_str());
        }
        for resource in response.resources {
            staged.insert(Arc::from(resource.name.as_str()), Arc::new(resource));
        }
        Ok(staged)
    }
}
