//! Several reports as one: shares of a selection that ran elsewhere, repetitions, runs of different scenarios.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Part, ReadError, Report, named, write_report};
use meshproof_model::event::{Partition, ScenarioResult, Verdict};
use meshproof_model::{digest, verdict};

/// Reports that do not make one.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One of them cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// They are about different things.
    #[error("{one} and {other} do not belong together: {what}; `meshproof report diff` compares such runs")]
    Different {
        /// A run.
        one: String,
        /// Another.
        other: String,
        /// In what they differ.
        what: String,
    },
    /// One is about the conformance suite.
    #[error(
        "run {0} is of the Gateway API's conformance suite, which is not merged with anything: its own report says all"
    )]
    Conformance(String),
    /// There is something where the merged report would go.
    #[error("{} is not empty; name a folder that is, or is not there yet", .0.display())]
    Occupied(PathBuf),
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A folder of evidence, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moved {
    /// Index of the report it belongs to.
    part: usize,
    from: PathBuf,
    to: PathBuf,
}

/// Reads reports and writes one of all of them into `into`: `report.json`, `junit.xml`, `report.html`, transcripts and
/// evidence. A scenario that is in several of them counts as repeated. Shares that are missing make the verdict an error.
///
/// # Errors
/// See [`MergeError`]; nothing has been written unless it is [`MergeError::Io`].
pub fn merge_into(folders: &[PathBuf], into: &Path) -> Result<Report, MergeError> {
    let parts = folders.iter().map(|folder| Report::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let name =
        into.file_name().map_or_else(|| "merged".to_owned(), |name| name.to_string_lossy().into_owned());
    let (report, evidence) = merge(&parts, name)?;
    if fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(MergeError::Occupied(into.to_owned()));
    }
    for Moved { part, from, to } in evidence {
        let Some(folder) = folders.get(part) else { continue };
        // A report may be named by its file.
        let folder = if folder.is_dir() { folder.as_path() } else { folder.parent().unwrap_or(folder) };
        // Links in a report from elsewhere may lead anywhere: only what is really in its folder is taken along.
        let (real, inside) = (folder.join(from).canonicalize(), folder.canonicalize());
        if let (Ok(real), Ok(inside)) = (real, inside)
            && real.starts_with(&inside)
        {
            copy(&real, &into.join(to))?;
        }
    }
    write_report(into, &report)?;
    Ok(report)
}

/// Copies a folder. Evidence that was thrown away meanwhile is no reason to have no report.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(to).map_err(|error| named(to, error))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).map_err(|error| named(&target, error))?;
        }
    }
    Ok(())
}

/// One report of several, and what happens to their evidence.
fn merge(parts: &[Report], run: String) -> Result<(Report, Vec<Moved>), MergeError> {
    if let Some(part) = parts.iter().find(|part| part.conformance.is_some()) {
        return Err(MergeError::Conformance(part.run.clone()));
    }
    same(parts, "Kubernetes", |report| Some(report.cluster.as_ref()?.kubernetes.clone()))?;
    // A share of nothing but scenarios that begin without Istio has none to tell of.
    same(parts, "Istio", |report| non_empty(&report.cluster.as_ref()?.istio))?;
    same(parts, "implementation", |report| Some(report.implementation.as_ref()?.name.clone()))?;
    same(parts, "the implementation's version", |report| {
        non_empty(&report.implementation.as_ref()?.version)
    })?;
    for (at, part) in parts.iter().enumerate() {
        for before in parts.iter().take(at) {
            if let Some(what) = before.basis.difference(&part.basis) {
                let (one, other) = (before.run.clone(), part.run.clone());
                return Err(MergeError::Different { one, other, what });
            }
        }
    }
    same(parts, "pack", |report| Some(report.pack.as_ref()?.name.clone()))?;
    same(parts, "edition", |report| {
        report
            .pack
            .as_ref()
            .map(|pack| pack.edition.clone().unwrap_or_else(|| "each scenario's own".to_owned()))
    })?;
    same(parts, "the pack's requirements", |report| {
        let promised = serde_json::to_vec(&report.pack.as_ref()?.requirements).ok()?;
        Some(digest::bytes(&promised))
    })?;
    same(parts, "selection", |report| {
        report.partition.as_ref().map(|share| format!("{} shares of {}", share.of, share.whole.join(", ")))
    })?;
    let mut merged = Report {
        schema: meshproof_model::event::SCHEMA,
        run,
        started: parts.iter().map(|part| part.started.clone()).min().unwrap_or_default(),
        selected: selected(parts),
        pack: parts.iter().find_map(|part| part.pack.clone()),
        ..Report::default()
    };
    // What the first says counts, but for what it could not know.
    for part in parts.iter().rev() {
        if let (Some(cluster), Some(implementation)) = (&part.cluster, &part.implementation) {
            merged.ready(cluster, implementation);
        }
    }
    for part in parts {
        merged.basis.add(&part.basis);
        for (id, attempts) in &part.attempts {
            merged.attempts.entry(id.clone()).or_default().extend(attempts.iter().cloned());
        }
        merged.flaky.extend(part.flaky.iter().cloned());
        merged.timings.total += part.timings.total;
        for (phase, ms) in &part.timings.phases {
            *merged.timings.phases.entry(phase.clone()).or_default() += ms;
        }
        for (phase, error) in &part.errors {
            let taken = merged.errors.contains_key(phase);
            let phase = if taken { format!("{phase} of {}", part.run) } else { phase.clone() };
            merged.errors.insert(phase, error.clone());
        }
        let (run, started, total_ms) = (part.run.clone(), part.started.clone(), part.timings.total);
        merged.parts.push(Part { run, started, total_ms });
    }
    merged.flaky.sort();
    merged.flaky.dedup();
    let missing = missing_shares(parts);
    if !missing.is_empty() {
        merged.errors.insert("shares".into(), format!("missing: {}", missing.join(", ")));
    }
    let (scenarios, evidence) = scenarios(parts, &merged.selected);
    merged.scenarios = scenarios;
    judge(&mut merged, parts);
    Ok((merged, evidence))
}

/// Checks that all reports that tell something tell the same.
fn same(parts: &[Report], what: &str, tell: impl Fn(&Report) -> Option<String>) -> Result<(), MergeError> {
    let mut told = parts.iter().filter_map(|part| Some((&part.run, tell(part)?)));
    let Some((one, first)) = told.next() else { return Ok(()) };
    match told.find(|(_, other)| *other != first) {
        None => Ok(()),
        Some((other, second)) => Err(MergeError::Different {
            one: one.clone(),
            other: other.clone(),
            what: format!("{what} is `{first}` in one and `{second}` in the other"),
        }),
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What all of them were to run, in the order of the whole selection if it is known.
fn selected(parts: &[Report]) -> Vec<String> {
    let whole = parts.iter().find_map(|part| part.partition.as_ref()).map(|share| share.whole.as_slice());
    let each = whole.unwrap_or_default().iter().chain(parts.iter().flat_map(|part| &part.selected));
    let mut selected: Vec<String> = Vec::new();
    for id in each {
        if !selected.contains(id) {
            selected.push(id.clone());
        }
    }
    selected
}

/// Shares of the selection that no report is about, as `2/3`.
fn missing_shares(parts: &[Report]) -> Vec<String> {
    let shares: Vec<&Partition> = parts.iter().filter_map(|part| part.partition.as_ref()).collect();
    let of = shares.first().map_or(0, |share| share.of);
    let missing = (1..=of).filter(|index| !shares.iter().any(|share| share.index == *index));
    missing.map(|index| format!("{index}/{of}")).collect()
}

/// Every scenario, those that stand there several times numbered; in the order of the selection.
fn scenarios(parts: &[Report], selected: &[String]) -> (Vec<ScenarioResult>, Vec<Moved>) {
    // What a run only carried over counts once: in the run that proved it, or else in the first that carried it over.
    let counts = |part: &Report, scenario: &ScenarioResult| {
        let Some(parent) = part.rerun_of.as_ref().filter(|_| part.carried_over.contains(&scenario.id)) else {
            return true;
        };
        let carries = |other: &&Report| {
            other.run == *parent
                || other.rerun_of.as_ref() == Some(parent) && other.carried_over.contains(&scenario.id)
        };
        parts.iter().find(carries).is_some_and(|first| std::ptr::eq(first, part))
    };
    let mut all = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        all.extend(
            part.scenarios.iter().filter(|scenario| counts(part, scenario)).map(|scenario| (at, scenario)),
        );
    }
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, scenario) in &all {
        *times.entry(&scenario.id).or_default() += 1;
    }
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut merged, mut evidence) = (Vec::new(), Vec::new());
    for (part, scenario) in all {
        let number = seen.entry(&scenario.id).or_default();
        *number += 1;
        let repeated = times.get(scenario.id.as_str()).is_some_and(|times| *times > 1);
        let mut scenario = ScenarioResult { round: repeated.then_some(*number), ..scenario.clone() };
        let to = Path::new("evidence").join(scenario.name());
        for failure in scenario.steps.iter_mut().filter_map(|step| step.failure.as_mut()) {
            if let Some(from) = &mut failure.evidence {
                evidence.push(Moved { part, from: std::mem::replace(from, to.clone()), to: to.clone() });
            }
        }
        merged.push(scenario);
    }
    let place = |id: &str| selected.iter().position(|known| known == id).unwrap_or(usize::MAX);
    merged.sort_by_key(|scenario| (place(&scenario.id), scenario.round));
    (merged, evidence)
}

/// The worst verdict of all; nothing that was to run may be missing.
fn judge(merged: &mut Report, parts: &[Report]) {
    let broken_off = parts.iter().any(|part| part.verdict.is_none());
    let incomplete = broken_off || !merged.not_run().is_empty() || merged.errors.contains_key("shares");
    let scenarios = verdict::of_run(&merged.scenarios);
    // What went wrong outside of any scenario stands in the verdict of the part alone.
    let outside = parts.iter().filter_map(|part| part.verdict).filter(|verdict| !verdict.is_good());
    let incomplete = incomplete.then_some(Verdict::Error);
    let worst = outside.chain(incomplete).fold(scenarios, Verdict::max);
    // Other codes than those of a verdict (an unfit host, say) are kept: they tell more.
    let told = parts.iter().filter_map(|part| part.exit_code).max().filter(|code| *code > 1);
    merged.verdict = Some(worst);
    merged.exit_code = Some(match worst {
        Verdict::Error => told.unwrap_or_else(|| verdict::exit_code(worst)),
        _ => verdict::exit_code(worst),
    });
}

#[cfg(test)]
mod tests;
