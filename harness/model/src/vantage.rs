//! Where requests start.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// This host, through the frontend's load-balancer address.
    Outside,
    /// A pod without a sidecar, in a namespace without the injection label.
    Plain,
    /// A pod with a sidecar: a member of the mesh.
    Mesh,
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "outside",
            Self::Plain => "plain",
            Self::Mesh => "mesh",
        })
    }
}

impl Vantage {
    /// Namespace of its pod; `None` for [`Self::Outside`], which has none.
    pub fn namespace(self) -> Option<&'static str> {
        match self {
            Self::Outside => None,
            Self::Plain => Some("meshproof-plain"),
            Self::Mesh => Some("meshproof-mesh"),
        }
    }
}
