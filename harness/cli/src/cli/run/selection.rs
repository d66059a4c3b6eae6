//! Which of the scenarios a person means. Pure: everything needed is handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::node::closest;
use meshproof_report::Report;

/// More shares than this are a slip of the pen.
const MOST: u32 = 1_000;

/// One of several shares of a selection, `2/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if of <= MOST && (1..=of).contains(&index) => Ok(Self { index, of }),
            Some((_, of)) if of > MOST => Err(format!("{of} shares are too many; {MOST} are the most")),
            Some((index, of)) => {
                Err(format!("there is no share {index} of {of}; the first is 1/{}", of.max(1)))
            }
            None => Err("write e.g. 2/3: the second of three shares".to_owned()),
        }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Checks requirement ids given by a person; spelling them in lower case is fine.
///
/// # Errors
/// One that is not in the catalogue, with one that is close to it.
pub(super) fn requirements(ids: &[String], catalogue: &Catalogue) -> Result<BTreeSet<String>, String> {
    let known: Vec<&str> = catalogue.requirements.iter().map(|requirement| requirement.id.as_str()).collect();
    let check = |id: &String| match known.iter().find(|known| known.eq_ignore_ascii_case(id)) {
        Some(known) => Ok((*known).to_owned()),
        None => Err(match closest(id, &known) {
            Some(near) => format!("there is no requirement `{id}`; did you mean `{near}`?"),
            None => format!("there is no requirement `{id}`; `meshproof list --requirements` lists them"),
        }),
    };
    ids.iter().map(check).collect()
}

/// What has to run again after this run: scenarios that were not proved, and those it did not come to.
pub(super) fn unproved(report: &Report) -> BTreeSet<String> {
    let red = report.scenarios.iter().filter(|scenario| !scenario.verdict.is_good());
    red.map(|scenario| scenario.id.clone()).chain(report.not_run().into_iter().map(str::to_owned)).collect()
}

/// How long each of these scenarios took in this run; nothing unless it knows all of them, since every share must be cut
/// by the same measure. Repetitions count with their mean.
pub(super) fn durations(ids: &[String], report: &Report) -> Option<BTreeMap<String, u64>> {
    let took = |id: &String| {
        let own = report.scenarios.iter().filter(|scenario| scenario.id == *id);
        let times: Vec<u64> = own.map(|scenario| scenario.duration_ms + scenario.cleanup_ms).collect();
        let mean = times.iter().sum::<u64>().checked_div(times.len() as u64)?;
        Some((id.clone(), mean))
    };
    ids.iter().map(took).collect()
}

/// The scenarios of a share, in their order. Whoever cuts the same selection by the same durations gets the same shares,
/// which together are the selection: the longest first, each to the share that has least so far. Without durations all
/// count the same.
pub(super) fn share(ids: &[String], durations: Option<&BTreeMap<String, u64>>, share: Share) -> Vec<String> {
    let weight = |id: &String| durations.map_or(1, |known| known.get(id).copied().unwrap_or_default().max(1));
    let mut longest_first: Vec<(u64, &String)> = ids.iter().map(|id| (weight(id), id)).collect();
    longest_first.sort_by(|(a, one), (b, other)| b.cmp(a).then(one.cmp(other)));
    let mut shares: Vec<(u64, BTreeSet<&String>)> = vec![Default::default(); share.of as usize];
    for (weight, id) in longest_first {
        // The first of equals: `min_by_key` takes that one.
        if let Some((load, own)) = shares.iter_mut().min_by_key(|(load, _)| *load) {
            *load += weight;
            own.insert(id);
        }
    }
    let own = shares.into_iter().nth(share.index as usize - 1).unwrap_or_default().1;
    ids.iter().filter(|id| own.contains(id)).cloned().collect()
}

#[cfg(test)]
mod tests;
