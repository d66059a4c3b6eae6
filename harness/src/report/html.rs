//! `report.html`: one self-contained page for people.

use std::path::Path;

use askama::Template;
use serde_json::Value;

use super::{
    json::Report,
    text::{self, answers},
};
use crate::{
    event::{Failure, ScenarioResult, StepKind, StepResult, Testimony, Verdict},
    requirement::{Catalogue, Kind},
};

/// At most so many evidence files are linked from a step; the index names all.
const LINKS: usize = 40;

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
    facts: Vec<Named>,
    errors: Vec<Named>,
    requirements: Vec<Requirement>,
    legend: String,
    scenarios: Vec<Scenario>,
    phases: Vec<Phase>,
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

struct Requirement {
    id: String,
    text: String,
    lines: String,
    state: String,
    class: &'static str,
    remark: String,
    steps: Vec<StepLink>,
}

struct StepLink {
    anchor: String,
    label: String,
}

struct Scenario {
    anchor: String,
    id: String,
    title: String,
    document: String,
    took: String,
    transcript: String,
    verdict: Sign,
    errata: Vec<Named>,
    problems: Vec<String>,
    steps: Vec<Step>,
}

struct Step {
    anchor: String,
    number: usize,
    name: String,
    kind: &'static str,
    verdict: Sign,
    proves: Vec<String>,
    result: String,
    left: String,
    width: String,
    took: String,
    open: bool,
    failure: Option<Failure>,
    fields: Vec<Named>,
    answers: Vec<String>,
    witnesses: Vec<Witness>,
    evidence: Vec<Link>,
    detail: String,
}

struct Witness {
    name: String,
    summary: String,
    verdict: Sign,
    detail: String,
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
        let requirements = requirements(report);
        let proved = report.scenarios.iter().filter(|scenario| scenario.verdict == Verdict::Proved).count();
        let headline = format!(
            "{proved} of {} proved, {}, {}",
            text::count(report.scenarios.len(), "scenario"),
            legend(&requirements),
            text::duration(report.timings.total)
        );
        // Without a verdict the run was broken off: never green.
        let verdict = report
            .verdict
            .map_or(Sign { word: "error".into(), sign: text::sign(Verdict::Error) }, Sign::from);
        let errors = report.errors.iter().map(|(phase, error)| named(phase, error)).collect();
        let longest = report.timings.phases.values().copied().max().unwrap_or(1).max(1);
        let mut phases: Vec<(&String, u64)> =
            report.timings.phases.iter().map(|(name, ms)| (name, *ms)).collect();
        phases.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
        let phases = phases
            .into_iter()
            .map(|(name, ms)| Phase {
                name: name.clone(),
                took: text::duration(ms),
                width: percent(ms, longest),
            })
            .collect();
        Self {
            run: report.run.clone(),
            verdict,
            headline,
            facts: facts(report),
            errors,
            legend: legend(&requirements),
            requirements,
            scenarios: report.scenarios.iter().map(|scenario| Scenario::new(scenario, results)).collect(),
            phases,
        }
    }
}

fn facts(report: &Report) -> Vec<Named> {
    let mut facts = vec![named("run", &report.run), named("started", &report.started)];
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
    facts.push(named("total", text::duration(report.timings.total)));
    if let Some(code) = report.exit_code {
        facts.push(named("exit code", code.to_string()));
    }
    facts
}

/// Every requirement of the catalogue with what this run knows of it. The worst verdict of all scenarios
/// counts.
fn requirements(report: &Report) -> Vec<Requirement> {
    let catalogue = Catalogue::built_in().map(|catalogue| catalogue.requirements).unwrap_or_default();
    catalogue
        .iter()
        .map(|promise| {
            let verdict = report
                .scenarios
                .iter()
                .flat_map(|scenario| &scenario.requirements)
                .filter(|requirement| requirement.id == promise.id)
                .map(|requirement| requirement.verdict)
                .max();
            let (state, class) = match (verdict, promise.kind) {
                (Some(Verdict::Proved), Kind::U) => ("measured", "measured"),
                (Some(Verdict::Proved), _) => ("proved", "proved"),
                (Some(Verdict::Failed), _) => ("failed", "failed"),
                (Some(Verdict::Error), _) => ("error", "error"),
                (Some(Verdict::Skipped), _) => ("skipped", "skipped"),
                (None, Kind::A) => ("waived", "waived"),
                (None, _) => ("not run", "open"),
            };
            Requirement {
                id: promise.id.clone(),
                text: promise.text.clone(),
                lines: promise.lines.clone(),
                state: state.into(),
                class,
                remark: promise.waived.clone().unwrap_or_default(),
                steps: steps_that_prove(report, &promise.id),
            }
        })
        .collect()
}

fn steps_that_prove(report: &Report, id: &str) -> Vec<StepLink> {
    let several = report.scenarios.len() > 1;
    let mut links = Vec::new();
    for scenario in &report.scenarios {
        for step in scenario.steps.iter().filter(|step| step.info.proves.iter().any(|proved| proved == id)) {
            let number = step.info.index + 1;
            let label = if several { format!("{} {number}", scenario.id) } else { format!("step {number}") };
            links.push(StepLink { anchor: step_anchor(&scenario.id, number), label });
        }
    }
    links
}

/// `31 proved, 2 failed, 1 waived, 14 not run`.
fn legend(requirements: &[Requirement]) -> String {
    let states = ["proved", "failed", "error", "skipped", "measured", "waived", "not run"];
    let parts: Vec<String> = states
        .into_iter()
        .filter_map(|state| {
            let count = requirements.iter().filter(|requirement| requirement.state == state).count();
            (count > 0).then(|| format!("{count} {state}"))
        })
        .collect();
    format!("{}: {}", text::count(requirements.len(), "requirement"), parts.join(", "))
}

impl Scenario {
    fn new(scenario: &ScenarioResult, results: &Path) -> Self {
        Self {
            anchor: anchor(&scenario.id),
            id: scenario.id.clone(),
            title: scenario.title.clone(),
            document: scenario.document.clone(),
            took: text::duration(scenario.duration_ms),
            transcript: format!("transcript/{}.yaml", scenario.id),
            verdict: scenario.verdict.into(),
            errata: scenario.errata.iter().map(|erratum| named(&erratum.id, &erratum.problem)).collect(),
            problems: scenario.problems.clone(),
            steps: scenario.steps.iter().map(|step| Step::new(scenario, step, results)).collect(),
        }
    }
}

impl Step {
    fn new(scenario: &ScenarioResult, step: &StepResult, results: &Path) -> Self {
        let number = step.info.index + 1;
        let evidence = step.failure.as_ref().and_then(|failure| failure.evidence.as_deref());
        Self {
            anchor: step_anchor(&scenario.id, number),
            number,
            name: step.info.name.clone(),
            kind: match step.info.kind {
                StepKind::Action => "action",
                StepKind::Claim => "claim",
            },
            verdict: step.verdict.into(),
            proves: step.info.proves.clone(),
            result: step.observed.summary.clone(),
            left: percent(step.started_ms, scenario.duration_ms),
            width: percent(step.duration_ms, scenario.duration_ms),
            took: if step.verdict == Verdict::Skipped {
                String::new()
            } else {
                text::duration(step.duration_ms)
            },
            open: matches!(step.verdict, Verdict::Failed | Verdict::Error),
            failure: step.failure.clone(),
            fields: fields(step),
            answers: step.observed.answers.iter().map(answers).collect(),
            witnesses: step.observed.witnesses.iter().map(Witness::new).collect(),
            evidence: evidence.map(|folder| links(folder, results)).unwrap_or_default(),
            detail: pretty(&step.observed.detail),
        }
    }
}

fn fields(step: &StepResult) -> Vec<Named> {
    let mut fields = Vec::new();
    if let Some(lines) = &step.info.cites {
        fields.push(named("document", lines));
    }
    if !step.info.errata.is_empty() {
        fields.push(named("errata", step.info.errata.join(", ")));
    }
    if let Some(ms) = step.observed.became_ms {
        fields.push(named("became so", format!("after {}", text::duration(ms))));
    }
    if let Some(stayed) = step.observed.stayed {
        let requests = if stayed.requests == 0 {
            String::new()
        } else {
            format!(", {}", text::count(stayed.requests, "request"))
        };
        fields.push(named("stayed so", format!("for {}{requests}", text::duration(stayed.ms))));
    }
    fields.push(named("scenario", format!("line {}", step.info.line)));
    fields
}

impl Witness {
    fn new(testimony: &Testimony) -> Self {
        let verdict = if testimony.held { Verdict::Proved } else { Verdict::Failed };
        Self {
            name: testimony.witness.clone(),
            summary: testimony.summary.clone(),
            verdict: verdict.into(),
            detail: pretty(&testimony.detail),
        }
    }
}

/// Links to the files of an evidence folder, its index first.
fn links(folder: &Path, results: &Path) -> Vec<Link> {
    let mut names = Vec::new();
    let mut folders = vec![results.join(folder)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(results.join(folder)) {
                names.push(below.display().to_string());
            }
        }
    }
    names.sort_by_key(|name| (name != "index.md", name.clone()));
    names.truncate(LINKS);
    names.into_iter().map(|name| Link { link: format!("{}/{name}", folder.display()), name }).collect()
}

fn pretty(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

/// A share of the whole as CSS wants it.
fn percent(part: u64, whole: u64) -> String {
    format!("{:.2}", (part as f64 * 100.0 / whole.max(1) as f64).min(100.0))
}

fn anchor(id: &str) -> String {
    id.replace('/', "-")
}

fn step_anchor(scenario: &str, number: usize) -> String {
    format!("{}-{number}", anchor(scenario))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn page() -> String {
        render(&Report::from_events(&sample::failed_run()), Path::new("nowhere")).unwrap()
    }

    /// The page without its style sheet, which is no behaviour.
    fn skeleton() -> String {
        let page = page();
        let (before, rest) = page.split_once("<style>").unwrap();
        let (_, after) = rest.split_once("</style>").unwrap();
        format!("{before}{after}")
    }

    #[test]
    fn the_page_tells_the_run() {
        insta::assert_snapshot!(skeleton());
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = page();
        for outside in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside} in the page");
        }
    }

    #[test]
    fn what_was_seen_is_text_never_markup() {
        assert!(page().contains("keeps 200 &#60;after&#62; the deletion"));
    }

    #[test]
    fn a_failed_step_is_open_and_a_proved_one_closed() {
        let page = page();
        assert!(page.contains("<details class=\"step claim failed\" id=\"broken-istio-alpn-5\" open>"));
        assert!(page.contains("id=\"service-mesh-integration-3\">"));
    }

    #[test]
    fn a_run_broken_off_is_not_green() {
        let mut events = sample::proved_run();
        events.pop();
        let page = render(&Report::from_events(&events), Path::new("nowhere")).unwrap();
        assert!(page.contains("badge big error"));
    }

    #[test]
    fn evidence_is_linked_with_its_index_first() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence/broken/istio-alpn");
        std::fs::create_dir_all(evidence.join("logs")).unwrap();
        std::fs::write(evidence.join("logs/a.log"), "").unwrap();
        std::fs::write(evidence.join("index.md"), "").unwrap();
        let links = links(Path::new("evidence/broken/istio-alpn"), folder.path());
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["index.md", "logs/a.log"]);
        assert_eq!(links[1].link, "evidence/broken/istio-alpn/logs/a.log");
    }
}
