//! Why an implementation could not be installed or removed.

use crate::cluster::api::ApiError;
use crate::cluster::state::StateError;
use crate::command::CommandError;
use meshproof_model::scenario::node::Problem;

/// The implementation could not be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// An image the charts need is not among the artifacts.
    #[error("the image {0} is missing: it is none of those that were made or named for this cluster")]
    ImageMissing(String),
    /// A chart, or an image of the workspace, cannot be read.
    #[error("reading the chart of release {release}, or its images: {source}")]
    Chart {
        /// The release.
        release: String,
        /// Why.
        source: std::io::Error,
    },
    /// Plain manifests cannot be read.
    #[error("reading the manifests of {implementation}: {source}")]
    Manifests {
        /// The implementation.
        implementation: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something of the implementation's file cannot be filled in.
    #[error(transparent)]
    File(#[from] Box<Problem>),
    /// A gateway that is said to be installed is not there as it is said.
    #[error("{}", .0.join("; "))]
    Lacks(Vec<String>),
    /// helm looks at `--version` for charts from elsewhere only.
    #[error(
        "the chart of release {release} ({chart}) is version {found}, and the implementation file says {wanted}; name that \
         version's chart, or correct `version`"
    )]
    OtherVersion {
        /// The release.
        release: String,
        /// Its chart.
        chart: String,
        /// The version that the chart says it is.
        found: String,
        /// The version that was to be installed.
        wanted: String,
    },
    /// What is installed is not what is to be judged, and not this program's to replace.
    #[error(
        "{0}, and it is not replaced on a cluster that is somebody else's; `helm uninstall` it, or name its chart in an \
         implementation file"
    )]
    Stale(String),
    /// Nobody takes the GatewayClass.
    #[error(
        "GatewayClass {class} of {controller} was not accepted within {limit} s; is what brings it (Istio, say) \
         installed? `kubectl get gatewayclasses` lists those there are"
    )]
    NoClass {
        /// The class.
        class: String,
        /// The controller that should accept it.
        controller: String,
        /// Seconds.
        limit: u64,
    },
    /// A file could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The images could not be put into the nodes again.
    #[error(transparent)]
    Cluster(#[from] Box<super::ClusterError>),
    /// helm failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The API server refused, or pods did not become ready.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Somebody else's things.
    #[error(
        "{0}: no run of meshproof made it, and it is left alone; rename or remove it, or use another cluster"
    )]
    NotOurs(String),
    /// Somebody else's things are in what would be removed.
    #[error("{0}")]
    Left(String),
    /// Something is still there after removal.
    #[error(
        "{0} is still there {1} s after its removal; `kubectl get -o yaml` says what holds it, finalizers perhaps"
    )]
    Remains(String, u64),
}
