//! Who made the cluster that scenarios run on.

/// Who made a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// meshproof, with kind.
    Kind,
    /// Somebody else. It is never created or deleted, and left as it was found.
    Existing,
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Kind => "kind",
            Self::Existing => "existing",
        })
    }
}
