//! `report.html`: one self-contained page for people. No script and nothing from elsewhere: it works offline, and where
//! artifacts are shown without scripts.

mod conformance;
mod evidence;
mod mutants;
mod requirements;
mod scenario;
mod strip;

use std::path::Path;

use askama::Template;

use self::requirements::{Requirement, Tile};
use self::scenario::Scenario;
use super::json::Report;
use super::rounds::Rounds;
use super::text;
use crate::mutants::Table;
use meshproof_model::event::{ScenarioResult, StepResult, Verdict};

/// The page. `results` is the folder it will stand in: evidence found there is linked.
pub(super) fn render(report: &Report, results: &Path) -> Result<String, askama::Error> {
    Page::new(report, results).render()
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    run: String,
    verdict: Sign,
    headline: String,
    subline: String,
    facts: Vec<Named>,
    errors: Vec<Named>,
    culprits: Vec<Culprit>,
    not_run: Vec<String>,
    tiles: Vec<Tile>,
    requirements: Vec<Requirement>,
    scenarios: Vec<Scenario>,
    rounds: Vec<String>,
    phases: Vec<Phase>,
    mutants: Option<mutants::Mutants>,
    conformance: Option<conformance::Section>,
    /// Whether the page is about scenarios, and so about requirements.
    proves: bool,
}

struct Named {
    name: String,
    value: String,
}

struct Sign {
    word: String,
    sign: &'static str,
}

struct Link {
    name: String,
    link: String,
}

struct Phase {
    name: String,
    took: String,
    width: String,
}

/// What keeps a scenario from being proved, for the top of the page.
struct Culprit {
    scenario: String,
    anchor: String,
    verdict: Sign,
    step: String,
    cites: String,
    proves: Vec<String>,
    expected: String,
    seen: String,
    why: Option<Named>,
    next: String,
    evidence: Option<Link>,
}

impl From<Verdict> for Sign {
    fn from(verdict: Verdict) -> Self {
        Self { word: verdict.to_string(), sign: text::sign(verdict) }
    }
}

fn named(name: impl Into<String>, value: impl Into<String>) -> Named {
    Named { name: name.into(), value: value.into() }
}

impl Page {
    fn new(report: &Report, results: &Path) -> Self {
        let requirements = requirements::of(report);
        // Without a verdict the run was broken off: never green.
        let verdict = Sign::from(report.verdict.unwrap_or(Verdict::Error));
        let mut rounds = Rounds::default();
        report.scenarios.iter().for_each(|scenario| rounds.add(scenario));
        Self {
            run: report.run.clone(),
            verdict,
            headline: headline(report, &requirements),
            subline: subline(report),
            facts: facts(report),
            errors: report.errors.iter().map(|(phase, error)| named(phase, error)).collect(),
            culprits: report.scenarios.iter().filter_map(|scenario| culprit(scenario, results)).collect(),
            not_run: report.not_run().into_iter().map(str::to_owned).collect(),
            tiles: requirements::tiles(&requirements),
            requirements,
            scenarios: report.scenarios.iter().map(|scenario| Scenario::new(scenario, results)).collect(),
            rounds: rounds.lines(),
            phases: phases(report),
            mutants: mutants::of(
                &Table::last_measured(),
                report.pack.as_ref().map(|pack| pack.name.as_str()),
            )
            .filter(|_| report.conformance.is_none()),
            conformance: report.conformance.as_ref().map(conformance::Section::new),
            proves: report.conformance.is_none() || !report.scenarios.is_empty(),
        }
    }
}

/// What came of the requirements, and what must not be read without.
fn headline(report: &Report, requirements: &[Requirement]) -> String {
    if let Some(conformance) = report.conformance.as_ref().filter(|_| report.scenarios.is_empty()) {
        return format!("Gateway API conformance {}", conformance.version);
    }
    std::iter::once(requirements::headline(requirements))
        .chain(report.caveats())
        .collect::<Vec<_>>()
        .join("; ")
}

/// `2 of 3 scenarios proved in 1 min 05 s`.
fn subline(report: &Report) -> String {
    if let Some(conformance) = report.conformance.as_ref().filter(|_| report.scenarios.is_empty()) {
        return format!("{} in {}", conformance.summary(), text::duration(report.timings.total));
    }
    let of = |verdict| report.scenarios.iter().filter(|scenario| scenario.verdict == verdict).count();
    let mut line =
        format!("{} of {} proved", of(Verdict::Proved), text::count(report.scenarios.len(), "scenario"));
    for verdict in [Verdict::Partly, Verdict::Measured, Verdict::Waived] {
        if of(verdict) > 0 {
            line.push_str(&format!(", {} {verdict}", of(verdict)));
        }
    }
    line.push_str(&format!(" in {}", text::duration(report.timings.total)));
    if report.verdict.is_none() { format!("{line}; the run was broken off") } else { line }
}

fn phases(report: &Report) -> Vec<Phase> {
    let longest = report.timings.phases.values().copied().max().unwrap_or(1).max(1);
    let mut phases: Vec<(&String, u64)> =
        report.timings.phases.iter().map(|(name, ms)| (name, *ms)).collect();
    phases.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
    let phase = |(name, ms): (&String, u64)| Phase {
        name: name.clone(),
        took: text::duration(ms),
        width: percent(ms, longest),
    };
    phases.into_iter().map(phase).collect()
}

fn facts(report: &Report) -> Vec<Named> {
    let mut facts = vec![named("run", &report.run), named("started", text::moment(&report.started))];
    facts.extend(report.pack.as_ref().map(|pack| named("pack", &pack.name)));
    let edition = report.pack.as_ref().and_then(|pack| pack.edition.as_ref());
    facts.extend(edition.map(|edition| named("edition", edition)));
    if let Some(cluster) = &report.cluster {
        facts.push(named("cluster", format!("{}, {}", cluster.provider, text::count(cluster.nodes, "node"))));
        facts.push(named("Kubernetes", &cluster.kubernetes));
        let istio = if cluster.istio.is_empty() { "none" } else { &cluster.istio };
        facts.push(named("Istio", istio));
    }
    if let Some(gateway) = &report.implementation {
        facts.push(named("implementation", format!("{} {}", gateway.name, gateway.version)));
        facts.push(named("GatewayClass", &gateway.gateway_class));
    }
    if let Some(share) = &report.partition {
        facts.push(named("share", format!("{} of {}", share.index, share.of)));
    }
    if !report.parts.is_empty() {
        let runs: Vec<&str> = report.parts.iter().map(|part| part.run.as_str()).collect();
        facts.push(named("merged from", runs.join(", ")));
    }
    if let Some(parent) = &report.rerun_of {
        facts.push(named("rerun of", parent));
    }
    for (id, attempts) in &report.attempts {
        let told: Vec<_> =
            attempts.iter().map(|a| format!("{} in run {}: {}", a.verdict, a.run, a.why)).collect();
        facts.push(named(format!("{id} before"), told.join("; ")));
    }
    // Those of scenarios are many; report.json has them.
    let basis = report.basis.lines().into_iter().filter(|(what, _)| !what.starts_with("scenario "));
    facts.extend(basis.map(|(what, value)| named(what, value)));
    if let Some(code) = report.exit_code {
        facts.push(named("exit code", code.to_string()));
    }
    facts
}

fn culprit(scenario: &ScenarioResult, results: &Path) -> Option<Culprit> {
    let step: &StepResult = scenario.culprit()?;
    let failure = step.failure.as_ref();
    let diagnosis = failure.and_then(|failure| failure.diagnosis.as_ref());
    let number = step.info.index + 1;
    let folder = failure.and_then(|failure| failure.evidence.as_deref());
    Some(Culprit {
        scenario: scenario.name(),
        anchor: step_anchor(&scenario.name(), number),
        verdict: step.verdict.into(),
        step: format!("step {number} of {}: {}", scenario.steps.len(), step.info.name),
        cites: step.info.cites.clone().unwrap_or_default(),
        proves: step.info.proves.clone(),
        expected: failure.map_or_else(|| step.info.name.clone(), |failure| failure.expected.clone()),
        seen: failure.map_or_else(|| step.observed.summary.clone(), |failure| failure.seen.clone()),
        why: diagnosis.map(|diagnosis| named(&diagnosis.id, &diagnosis.title)),
        next: diagnosis
            .map(|diagnosis| diagnosis.next.clone())
            .or_else(|| failure.and_then(|failure| failure.next.clone()))
            .unwrap_or_default(),
        evidence: folder.and_then(|folder| evidence::links(folder, results).into_iter().next()),
    })
}

/// A share of the whole as CSS wants it.
fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}", (part as f64 * 100.0 / whole.max(1) as f64).min(100.0))
}

fn anchor(name: &str) -> String {
    name.replace('/', "-").replace('~', "-round-")
}

fn step_anchor(scenario: &str, number: usize) -> String {
    format!("{}-step-{number}", anchor(scenario))
}

#[cfg(test)]
mod tests;
