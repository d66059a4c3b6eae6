//! The gRPC service: authentication and the loop that drives one [`Session`].

use super::acks::{ProxyState, Rejection};
use super::hub::Hub;
use super::session::{Acknowledgement, Session};
use crate::MAX_MESSAGE_BYTES;
use crate::proto::configuration_server::{Configuration, ConfigurationServer};
use crate::proto::{DeltaRequest, DeltaResponse, Node};
use futures::Stream;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

/// Decides who may open a stream. The controller implements it with a TokenReview.
#[tonic::async_trait]
pub trait Authenticate: Send + Sync + 'static {
    /// Checks the bearer token of a new stream.
    ///
    /// # Errors
    /// [`Refusal::Denied`] when the token is not good, [`Refusal::Unavailable`] when that could not be found
    /// out; the proxy retries either way.
    async fn authenticate(&self, token: &str) -> Result<Caller, Refusal>;
}

/// An authenticated proxy: what it may say of itself in [`Node`], and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of its pod.
    pub pod: String,
    /// The only load balancer whose configuration it may have.
    pub load_balancer: String,
}

/// Why a stream is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is missing, expired, for another audience or of another account.
    #[error("{0}")]
    Denied(String),
    /// The check could not be made.
    #[error("{0}")]
    Unavailable(String),
}

pub(super) struct Service {
    hub: Hub,
    authenticate: Arc<dyn Authenticate>,
}

impl Service {
    pub(super) fn new(hub: Hub, authenticate: Arc<dyn Authenticate>) -> Self {
        Self { hub, authenticate }
    }
}

impl Hub {
    /// The gRPC service, to be added to a tonic server (or use [`serve`](super::serve())).
    pub fn service(&self, authenticate: Arc<dyn Authenticate>) -> ConfigurationServer<impl Configuration> {
        ConfigurationServer::new(Service::new(self.clone(), authenticate))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl Configuration for Service {
    type DeltaStream = Pin<Box<dyn Stream<Item = Result<DeltaResponse, Status>> + Send>>;

    async fn delta(
        &self,
        request: Request<Streaming<DeltaRequest>>,
    ) -> Result<Response<Self::DeltaStream>, Status> {
        if !*self.hub.serving().borrow() {
            return Err(not_leader());
        }
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        let caller = self.authenticate.authenticate(token).await.map_err(|refusal| match refusal {
            Refusal::Denied(message) => Status::unauthenticated(message),
            Refusal::Unavailable(message) => Status::unavailable(message),
        })?;
        // One slot: a session has at most one response outstanding.
        let (responses, receiver) = mpsc::channel(1);
        let (hub, requests) = (self.hub.clone(), request.into_inner());
        tokio::spawn(async move {
            if let Err(status) = drive(hub, caller, requests, &responses).await {
                let _ = responses.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn not_leader() -> Status {
    Status::unavailable("this replica of alb-controller is not the leader: connect again")
}

/// Drives one stream until either side ends it.
async fn drive(
    hub: Hub,
    caller: Caller,
    mut requests: Streaming<DeltaRequest>,
    responses: &mpsc::Sender<Result<DeltaResponse, Status>>,
) -> Result<(), Status> {
    let Some(first) = requests.message().await? else { return Ok(()) };
    let mut node = first.node.unwrap_or_default();
    let capabilities: BTreeSet<String> = std::mem::take(&mut node.capabilities).into_iter().collect();
    check(&node, &caller)?;
    tracing::info!(
        node = node.id,
        load_balancer = node.load_balancer,
        version = node.version,
        "proxy connected"
    );

    let mut session = Session::new(first.initial_versions).capable_of(capabilities.clone());
    let registration = hub.register(&node, &capabilities);
    let mut snapshots = hub.snapshots(&node.load_balancer);
    let mut serving = hub.serving();
    snapshots.mark_changed();
    loop {
        let response = tokio::select! {
            // Losing leadership outranks everything: a stale leader must not configure anyone.
            biased;
            lost = serving.wait_for(|serving| !serving) => {
                drop(lost);
                return Err(not_leader());
            }
            () = responses.closed() => break,
            message = requests.next() => match message {
                Some(Ok(request)) => {
                    receive(&mut session, request, &node);
                    session.next_response()
                }
                Some(Err(status)) => {
                    tracing::debug!(node = node.id, %status, "the proxy's stream broke");
                    break;
                }
                None => break,
            },
            changed = snapshots.changed() => {
                if changed.is_err() {
                    break;
                }
                let snapshot = snapshots.borrow_and_update().clone();
                snapshot.and_then(|snapshot| session.publish(snapshot))
            }
        };
        registration.report(state(&session, &node, &capabilities));
        if let Some(response) = response
            && responses.send(Ok(response)).await.is_err()
        {
            break;
        }
    }
    tracing::info!(node = node.id, load_balancer = node.load_balancer, "proxy disconnected");
    Ok(())
}

fn check(node: &Node, caller: &Caller) -> Result<(), Status> {
    if node.id.is_empty() || node.load_balancer.is_empty() {
        return Err(Status::invalid_argument("the first message must carry node.id and node.load_balancer"));
    }
    if node.id != caller.pod {
        let message = format!("the token belongs to pod {}, not to {}", caller.pod, node.id);
        return Err(Status::permission_denied(message));
    }
    if node.load_balancer != caller.load_balancer {
        let Caller { pod, load_balancer } = caller;
        let message = format!("pod {pod} serves {load_balancer}, not {}", node.load_balancer);
        return Err(Status::permission_denied(message));
    }
    Ok(())
}

/// Feeds an answer of the proxy to the session.
fn receive(session: &mut Session, request: DeltaRequest, node: &Node) {
    if let Acknowledgement::Refused { message, .. } = session.receive(request) {
        tracing::warn!(
            node = node.id,
            load_balancer = node.load_balancer,
            message,
            "proxy refused configuration"
        );
    }
}

/// What the session knows of the proxy.
fn state(session: &Session, node: &Node, capabilities: &BTreeSet<String>) -> ProxyState {
    let refused = session.refusals().map(|(name, version, message)| {
        (name.to_owned(), Rejection { version: version.to_owned(), message: message.to_owned() })
    });
    ProxyState {
        node: node.id.clone(),
        capabilities: capabilities.clone(),
        acknowledged: session.acknowledged().cloned(),
        refused: refused.collect(),
        refused_snapshot: session.refused_snapshot().cloned(),
    }
}
