//! The data of a new edition, as far as a program can write it: the rest is in our own words.

use super::Fragment;
use super::known::{Known, KnownFragment};
use super::pairing::{self, Pairing};
use meshproof_model::requirement::Document;
use meshproof_model::yaml;

/// Hints for a maintainer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// The data, with an empty `says` where something is still to be written.
    pub known: Known,
    /// Known fragments that the page does not have.
    pub gone: Vec<String>,
}

/// Puts the data of a new edition together; what is known of a fragment is kept.
pub fn hints(found: &[Fragment], before: Option<&Known>, document: Document) -> Hints {
    let old = before.map(|known| known.fragments.as_slice()).unwrap_or_default();
    let Pairing { pairs, new, gone, .. } = pairing::pair(old, found);
    let mut fragments = Vec::new();
    for (k, f, _) in &pairs {
        if let (Some(old), Some(new)) = (old.get(*k), found.get(*f)) {
            fragments.push(KnownFragment {
                kind: if old.kind.is_prose() { old.kind } else { new.kind },
                says: old.says.clone(),
                requirements: old.requirements.clone(),
                errata: old.errata.clone(),
                waived: old.waived.clone(),
                ..KnownFragment::of(new, old.id.clone())
            });
        }
    }
    for new in new.iter().filter_map(|f| found.get(*f)) {
        let id = format!("new-{}-at-{}", new.kind, new.place.line);
        let twice = fragments.iter().filter(|f| f.id.starts_with(&id)).count();
        fragments.push(KnownFragment::of(new, if twice == 0 { id } else { format!("{id}-{}", twice + 1) }));
    }
    fragments.sort_by_key(|fragment| fragment.lines.first());
    let gone = gone.iter().filter_map(|k| old.get(*k)).map(|old| old.id.clone()).collect();
    Hints { known: Known { document, fragments }, gone }
}

impl Hints {
    /// As a file below `scenarios/documents/`.
    ///
    /// # Errors
    /// Never for data of this shape.
    pub fn to_yaml(&self) -> Result<String, yaml::Error> {
        let mut text = String::from(
            "# What this edition says: fingerprints, facts, and what we say about it in our own words. The document's text is not\n\
             # kept. Written by `meshproof doc fingerprint FILE`; only id, kind, says, requirements, errata and waived are ours.\n",
        );
        if !self.gone.is_empty() {
            text.push_str(&format!("# Gone since the last edition: {}\n", self.gone.join(", ")));
        }
        let open = self.known.fragments.iter().filter(|fragment| fragment.says.is_empty()).count();
        if open > 0 {
            text.push_str(&format!("# Still to be written: {open} × says\n"));
        }
        Ok(text + &yaml::to_string(&self.known)?)
    }
}
