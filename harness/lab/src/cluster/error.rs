//! Why a cluster could not be had.

mod install;

pub use install::InstallError;

use super::api::ApiError;
use super::istio::IstioError;
use super::lease::LeaseError;
use super::network::SubnetError;
use super::state::StateError;
use crate::cache::CacheError;
use crate::command::CommandError;
use crate::engine::EngineError;
use crate::host_changes::NotAgreed;
use crate::supply::SupplyError;
use crate::supply::istio::NoSuchIstio;
use meshproof_model::scenario::node::Problem;

/// A cluster could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Something could not be built or fetched.
    #[error(transparent)]
    Supply(#[from] SupplyError),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The cluster's own files failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The API server refused, or something in the cluster did not come about.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Istio.
    #[error(transparent)]
    Istio(#[from] IstioError),
    /// Another root for Istio.
    #[error("replacing the root of Istio's certificates: {0}")]
    Authority(String),
    /// The implementation.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The implementation's file.
    #[error("the implementation's file is not well formed: {0}")]
    Implementation(#[from] Box<Problem>),
    /// The docker network.
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// Docker's events cannot be watched.
    #[error("watching docker's events: {0}")]
    Events(std::io::Error),
    /// A node is on no network.
    #[error("node {0} has no address on the cluster's network; `docker inspect {0}` says more")]
    NoAddress(String),
    /// The control plane cannot be stopped: nothing could be asked any more.
    #[error("{0} is the control plane: stop another node (`needs: {{nodes: 3}}`)")]
    ControlPlane(String),
    /// kubeadm names no DNS image.
    #[error("`kubeadm config images list` in the control-plane node names no CoreDNS image")]
    NoDnsImage,
    /// The load balancer's image is missing.
    #[error("the image load-balancer is missing: the workspace's images were not built")]
    NoLoadBalancer,
    /// Another Istio was asked for than can be supplied, or one that is too old.
    #[error(transparent)]
    NoSuchIstio(#[from] NoSuchIstio),
    /// istiod is not the one that was installed.
    #[error("Istio {wanted} was installed in {namespace}, but istiod says that it is {seen}")]
    OtherIstio {
        /// What was installed.
        wanted: String,
        /// Where.
        namespace: String,
        /// What istiod says.
        seen: String,
    },
    /// Somebody else's cluster has this name.
    #[error(
        "a kind cluster of this name that meshproof did not make is there (container {0}); \
             give another name with --cluster, or remove it with `kind delete cluster`"
    )]
    Foreign(String),
    /// Nobody could look at a cluster that is there. That it is silent does not mean that it is dead.
    #[error(
        "nobody could look at cluster {name}, so nothing in it was touched.\n  tried   {tried}\n  seen    {seen}\n  do      \
         put that right and try again; if nothing in the cluster is wanted any more, \
         `meshproof up --recreate --cluster {name}` makes it again"
    )]
    Silent {
        /// The cluster's name.
        name: String,
        /// What was asked.
        tried: String,
        /// What came of it.
        seen: String,
    },
    /// A cluster would have to be made again, and nobody agreed to what would be lost.
    #[error(
        "cluster {name} would have to be made again: {reason}. It is left as it is: {loss}.\n  do      save what is wanted of \
         it, then `{command}`; or use another one with --cluster NAME"
    )]
    WouldLose {
        /// The cluster's name.
        name: String,
        /// Why it cannot be used as it is.
        reason: String,
        /// What would be lost.
        loss: String,
        /// The command that makes it again.
        command: String,
    },
    /// Another run works with the cluster, or it cannot be said that this one does.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The Lease was lost on the way.
    #[error(
        "somebody else took the cluster meanwhile: what is left of the work was not done; try again when they have ended"
    )]
    Interrupted,
    /// The host would have to be changed, and nobody agreed.
    #[error(transparent)]
    NotAgreed(#[from] NotAgreed),
    /// There is no such context.
    #[error(
        "the kubeconfig {path} has no context {name}; it has: {known}. Name one of those with --context, or another file with \
         KUBECONFIG"
    )]
    NoContext {
        /// Its name.
        name: String,
        /// Where it was looked for.
        path: String,
        /// Those there are.
        known: String,
    },
    /// The API server of an existing cluster could not be asked.
    #[error(transparent)]
    Unreachable(Box<Unreachable>),
    /// An existing cluster is not fit for the scenarios.
    #[error("nothing is run on {context}:\n  - {}", reasons.join("\n  - "))]
    Refused {
        /// Its context.
        context: String,
        /// Everything that speaks against it.
        reasons: Vec<String>,
    },
    /// Somebody else's cluster is not taken apart.
    #[error("{0} is not a cluster of meshproof's own: its nodes and its Istio are left alone")]
    NotOurs(String),
    /// Pods get out.
    #[error(
        "a pod on node {0} can reach addresses outside of this host, although that should be refused; \
             check `iptables -S DOCKER-USER`"
    )]
    Open(String),
}

/// Why the API server of an existing cluster could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the API server {server} of context {context} (in {path}) could not be asked{by}: {seen}. {advice}")]
pub struct Unreachable {
    /// The context.
    pub context: String,
    /// The kubeconfig that has it.
    pub path: String,
    /// The server's address.
    pub server: String,
    /// The proxy by which it was asked, with a space before it; else empty.
    pub by: String,
    /// What became of it.
    pub seen: String,
    /// What to do.
    pub advice: &'static str,
}

impl ClusterError {
    /// Whether the host is not fit (exit code 3), as opposed to something having failed on it (4).
    pub fn is_unfit_host(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_unfit_host(),
            Self::Supply(error) => error.is_unfit_host(),
            Self::Foreign(_) | Self::Subnet(_) | Self::NoSuchIstio(_) => true,
            Self::NoContext { .. } | Self::Refused { .. } => true,
            Self::Unreachable(_) | Self::Api(ApiError::Kubeconfig { .. }) => true,
            Self::Lease(LeaseError::Held(_) | LeaseError::Denied(_)) => true,
            Self::Install(InstallError::NotOurs(_) | InstallError::Left(_) | InstallError::Lacks(_)) => true,
            Self::NotAgreed(_) | Self::Silent { .. } | Self::WouldLose { .. } => true,
            _ => false,
        }
    }
}
