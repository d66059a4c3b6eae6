//! Which cluster is wanted.

use crate::supply::{ImageSource, Wanted};

/// Name of the cluster when none is given.
pub const DEFAULT_NAME: &str = "meshproof";

/// Name of the cluster that is meant where none is given: what `MESHPROOF_CLUSTER` says, or [`DEFAULT_NAME`].
pub fn default_name() -> String {
    let named = std::env::var("MESHPROOF_CLUSTER").ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

/// Which Istio a cluster gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IstioChoice {
    /// The pinned one.
    #[default]
    Pinned,
    /// This version, by key or number (see [`Matrix`](crate::supply::istio::Matrix)).
    Version(String),
    /// None at all.
    None,
}

impl std::str::FromStr for IstioChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Self::None,
            "pinned" => Self::Pinned,
            version => Self::Version(version.to_owned()),
        })
    }
}

impl std::fmt::Display for IstioChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Pinned => "pinned",
            Self::Version(version) => version,
            Self::None => "none",
        })
    }
}

/// What cluster is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its name; kind's context is `kind-<name>`.
    pub name: String,
    /// Number of nodes; the first is the control plane.
    pub nodes: u8,
    /// Its Istio.
    pub istio: IstioChoice,
    /// Istio is out of it for now, though it belongs there.
    pub without_istio: bool,
    /// It is made again, whatever is in it.
    pub recreate: bool,
    /// Where images and programs come from.
    pub image_source: ImageSource,
    /// Which images of this workspace its nodes get.
    pub images: Wanted,
}

impl ClusterSpec {
    /// The command that makes such a cluster, whatever is there.
    pub fn command(&self) -> String {
        let mut command = "meshproof up --recreate".to_owned();
        if self.name != default_name() {
            command += &format!(" --cluster {}", self.name);
        }
        if self.nodes > 1 {
            command += &format!(" --nodes {}", self.nodes);
        }
        match &self.istio {
            IstioChoice::Pinned => {}
            IstioChoice::Version(version) => command += &format!(" --istio {version}"),
            IstioChoice::None => command += " --istio none",
        }
        command
    }
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            name: default_name(),
            nodes: 1,
            istio: IstioChoice::default(),
            without_istio: false,
            recreate: false,
            image_source: ImageSource::default(),
            images: Wanted::default(),
        }
    }
}
