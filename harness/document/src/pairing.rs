//! Which fragment of a page is which known one. Place does not count, likeness does.

use std::collections::BTreeSet;

use super::facts::{self, Facts};
use super::known::KnownFragment;
use super::sentence::Shingles;
use super::{Fragment, Kind};

/// From here on two fragments are taken for editions of the same.
const ALIKE: f64 = 0.5;

/// The likeness of fragments that are the same.
const SAME: f64 = 2.0;

/// What the same values are worth in choosing among sentences that are alike: more than most rewordings take away.
const VALUES: f64 = 0.5;

/// From here on a new fragment may be what became of one that is gone: a sentence that was split, say.
const RESEMBLES: f64 = 0.25;

/// Which is which.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pairing {
    /// Position of the known fragment, position of the found one, and how alike they are, from 0 to 1.
    pub pairs: Vec<(usize, usize, f64)>,
    /// Found fragments that no known one stands for.
    pub new: Vec<usize>,
    /// Known fragments that are not there.
    pub gone: Vec<usize>,
    /// Found fragments that repeat, word for word, one that has its pair: in another tab, say.
    pub repeated: usize,
}

/// Pairs what is most alike first; of several that are equally alike, those at about the same place in their documents.
pub(super) fn pair(known: &[KnownFragment], found: &[Fragment]) -> Pairing {
    let shingles: Vec<Shingles> = known.iter().map(KnownFragment::shingles).collect();
    let mut candidates = Vec::new();
    for (k, (old, shingles)) in known.iter().zip(&shingles).enumerate() {
        for (f, new) in found.iter().enumerate() {
            let score = likeness(old, shingles, new);
            if score >= ALIKE {
                // Of two sentences that are alike, the one that says the same values is the same: that the other took its
                // place would be a change that nobody made.
                let rank = score + if old.kind.is_prose() { VALUES * same_values(old, new) } else { 0.0 };
                let distance = (k as f64 / known.len() as f64 - f as f64 / found.len() as f64).abs();
                candidates.push((k, f, score, rank, distance));
            }
        }
    }
    candidates.sort_by(|a, b| b.3.total_cmp(&a.3).then(a.4.total_cmp(&b.4)));
    let (mut of_known, mut of_found) = (vec![false; known.len()], vec![false; found.len()]);
    let mut pairing = Pairing::default();
    for (k, f, score, ..) in &candidates {
        if let (Some(a), Some(b)) = (of_known.get_mut(*k), of_found.get_mut(*f))
            && !*a
            && !*b
        {
            (*a, *b) = (true, true);
            pairing.pairs.push((*k, *f, score.min(1.0)));
        }
    }
    for (_, f, ..) in candidates.iter().filter(|(_, _, score, ..)| *score >= SAME) {
        if let Some(b) = of_found.get_mut(*f).filter(|b| !**b) {
            *b = true;
            pairing.repeated += 1;
        }
    }
    pairing.pairs.sort_by_key(|(k, ..)| *k);
    pairing.new = (0..found.len()).filter(|f| of_found.get(*f) == Some(&false)).collect();
    pairing.gone = (0..known.len()).filter(|k| of_known.get(*k) == Some(&false)).collect();
    pairing
}

/// Of the known fragments that are gone, the one that a new fragment resembles most.
pub(super) fn nearest(known: &[KnownFragment], gone: &[usize], new: &Fragment) -> Option<usize> {
    let scored = gone.iter().filter_map(|k| {
        let old = known.get(*k)?;
        let score = likeness(old, &old.shingles(), new);
        (score >= RESEMBLES).then_some((*k, score))
    });
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(k, _)| k)
}

/// Which share of a sentence's values (its code, numbers and versions) another has, from 0 to 1; 0 if it has none.
fn same_values(old: &KnownFragment, new: &Fragment) -> f64 {
    let values = |facts: &Facts| {
        let values = facts.iter().filter(|(key, _)| !key.starts_with("sense"));
        values.map(|(_, value)| facts::kept(value)).collect::<BTreeSet<_>>()
    };
    let (old, new) = (values(&old.facts), values(&new.facts));
    old.intersection(&new).count() as f64 / old.len().max(1) as f64
}

fn likeness(old: &KnownFragment, shingles: &Shingles, new: &Fragment) -> f64 {
    if old.kind.is_prose() != new.kind.is_prose() || !old.kind.is_prose() && old.kind != new.kind {
        return 0.0;
    }
    if old.fingerprint == new.fingerprint && new.problem.is_none() {
        return SAME;
    }
    let same_facts = facts::similarity(&old.facts, &new.facts);
    match old.kind {
        Kind::Promise | Kind::Remark => shingles.similarity(&new.shingles),
        Kind::Manifest => {
            let name = |facts: &Facts| facts.get("metadata.name").cloned();
            let named = if name(&old.facts) == name(&new.facts) { 0.25 } else { 0.0 };
            if old.what.eq_ignore_ascii_case(&new.what) { 0.4 + named + 0.35 * same_facts } else { 0.0 }
        }
        Kind::Command if old.what == new.what => 0.5 + 0.5 * same_facts,
        Kind::Command => {
            let verb = |what: &str| what.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
            if verb(&old.what) == verb(&new.what) { 0.2 + 0.5 * same_facts } else { 0.0 }
        }
        Kind::Output if old.what == new.what => 0.4 + 0.6 * same_facts,
        Kind::Output => 0.9 * same_facts,
    }
}
