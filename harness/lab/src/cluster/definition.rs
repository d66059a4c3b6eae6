//! What a cluster is made of. Two clusters with the same definition are interchangeable, so a running one is used
//! again; one with another definition is replaced, and the difference is said.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Everything that decides what a cluster is. What is put into it later (implementation, images of the workspace)
/// is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Number of nodes; the first is the control plane.
    pub nodes: u8,
    /// Version of Kubernetes, e.g. `v1.34.4`.
    pub kubernetes: String,
    /// Node image with its tag or digest.
    pub node_image: String,
    /// Istio's version, hub, tag and build of Envoy in one line; `none` without Istio.
    pub istio: String,
    /// Hash of what kind and kubeadm are told.
    pub kind_config: String,
    /// Hash of the manifests and values put into every cluster.
    pub manifests: String,
}

impl Definition {
    /// A key that changes whenever anything in the definition does.
    pub fn key(&self) -> String {
        let fields = self.fields();
        fingerprint(fields.iter().flat_map(|(name, value)| [*name, value.as_str()]))
    }

    /// What differs, as a person would say it; nothing if nothing does.
    pub fn difference(&self, wanted: &Self) -> Option<String> {
        let changes: Vec<String> = self
            .fields()
            .into_iter()
            .zip(wanted.fields())
            .filter(|((_, is), (_, should))| is != should)
            .map(|((name, is), (_, should))| format!("{name}: {is} → {should}"))
            .collect();
        (!changes.is_empty()).then(|| changes.join(", "))
    }

    fn fields(&self) -> [(&'static str, String); 6] {
        [
            ("nodes", self.nodes.to_string()),
            ("Kubernetes", self.kubernetes.clone()),
            ("node image", self.node_image.clone()),
            ("Istio", self.istio.clone()),
            ("kind configuration", self.kind_config.clone()),
            ("cluster manifests", self.manifests.clone()),
        ]
    }
}

/// Twelve hexadecimal digits over the given parts, in order. Parts are framed by their length, so that no two lists
/// run together.
pub(crate) fn fingerprint<S: AsRef<str>>(parts: impl IntoIterator<Item = S>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(6).fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            nodes: 1,
            kubernetes: "v1.34.4".into(),
            node_image: "node:a".into(),
            istio: "1.31.0".into(),
            kind_config: "k".into(),
            manifests: "m".into(),
        }
    }

    #[test]
    fn equal_definitions_have_equal_keys_and_no_difference() {
        assert_eq!(definition().key(), definition().key());
        assert_eq!(definition().difference(&definition()), None);
    }

    #[test]
    fn every_field_changes_the_key() {
        let base = definition();
        let others = [
            Definition { nodes: 2, ..base.clone() },
            Definition { kubernetes: "v1.35.0".into(), ..base.clone() },
            Definition { node_image: "node:b".into(), ..base.clone() },
            Definition { istio: "none".into(), ..base.clone() },
            Definition { kind_config: "l".into(), ..base.clone() },
            Definition { manifests: "n".into(), ..base.clone() },
        ];
        for other in others {
            assert_ne!(other.key(), base.key(), "{other:?}");
            assert!(base.difference(&other).is_some());
        }
    }

    #[test]
    fn a_difference_reads_as_a_sentence() {
        let wanted = Definition { nodes: 3, istio: "none".into(), ..definition() };
        assert_eq!(definition().difference(&wanted).as_deref(), Some("nodes: 1 → 3, Istio: 1.31.0 → none"));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(fingerprint(["ab", "c"]), fingerprint(["a", "bc"]));
    }
}
