//! What people ask of a gateway beside a mesh, answered from what the runs saw. Found by the words of steps, the names of witnesses
//! and Istio's kinds: neither a gateway nor a document is known here.

use std::collections::BTreeSet;

use super::promises::{heard, reasons_of, saw, scenarios, took};
use super::{Cell, Evidence, Notes, Row};
use crate::json::Report;
use crate::text;
use meshproof_model::event::{
    AnswerGroup, ScenarioResult, StepKind, StepResult, Testimony, Traffic, Verdict,
};

/// Witnesses that saw the gateway's connections to pods of the mesh.
const MUTUAL_TLS: &str = "mtls-from-extension";
/// The one that looked at the gateway's certificate.
const ISSUED: &str = "issued-by-istio";
/// Those that would have seen the gateway send clear text to a pod of the mesh.
const CLEAR_TEXT: [&str; 2] = ["never-clear-text", MUTUAL_TLS];
/// The one that looked at certificates of connections opened since a change.
const NEWEST: &str = "newest-certificate";
/// What an object of Istio's that asks for mutual TLS is called where a step says what it made or deleted.
const POLICY: &str = "peerauthentication/";

/// How a step names a route.
const ROUTE: &str = "httproute/";

/// What is asked, by id.
type Question = (&'static str, &'static str, fn(&Report) -> Found);

const QUESTIONS: [Question; 8] = [
    ("mesh", "Does it join the mesh, and how?", joins),
    ("strict", "What is answered while STRICT applies?", strict),
    ("strict-gone", "What is answered once the PeerAuthentication is deleted?", strict_gone),
    ("clear-text", "Was anything ever sent in clear text to a pod that takes mutual TLS?", clear_text),
    ("routes", "How soon does a route take effect?", routes),
    ("certificates", "How soon are new certificates used, and what does that cost?", certificates),
    ("rollout", "How many requests does a rolling restart cost?", rollout),
    ("failover", "How many requests does it cost when a pod or a node goes?", failover),
];

/// An answer, and the reasons beside it.
#[derive(Debug, Default)]
struct Found {
    verdict: Option<Verdict>,
    says: String,
    measured: Vec<String>,
    evidence: Vec<Evidence>,
    reasons: Vec<String>,
}

/// A step with its scenario.
type At<'a> = (&'a ScenarioResult, &'a StepResult);

/// A row for each question.
pub(super) fn rows(reports: &[Report], notes: &mut Notes) -> Vec<Row> {
    let mut cell = |found: Found| {
        let Found { verdict, says, measured, evidence, reasons } = found;
        Cell { verdict, says, measured, evidence, notes: notes.places(reasons.iter().map(String::as_str)) }
    };
    let mut row = |(id, asked, answer): Question| Row {
        id: id.to_owned(),
        text: asked.to_owned(),
        lines: String::new(),
        cells: reports.iter().map(|report| cell(answer(report))).collect(),
    };
    QUESTIONS.into_iter().map(&mut row).collect()
}

fn steps(report: &Report) -> impl Iterator<Item = At<'_>> {
    scenarios(report).flat_map(|scenario| scenario.steps.iter().map(move |step| (scenario, step)))
}

/// What witnesses of these names said, with where they said it. Where nothing is promised, it says nothing for or against.
fn testimonies<'a>(report: &'a Report, names: &'a [&str]) -> Vec<(At<'a>, &'a Testimony)> {
    let said = |(scenario, step): At<'a>| {
        let heard = step.observed.witnesses.iter().filter(|one| names.contains(&one.witness.as_str()));
        heard.map(move |testimony| ((scenario, step), testimony)).collect::<Vec<_>>()
    };
    steps(report).filter(|(_, step)| step.verdict != Verdict::Measured).flat_map(said).collect()
}

/// The first of these as evidence, and whatever does not bear its claim out.
fn as_evidence(testimonies: &[(At<'_>, &Testimony)]) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for (at, ((scenario, step), testimony)) in testimonies.iter().enumerate() {
        if at == 0 || !testimony.held {
            evidence.extend(heard(scenario, step, &|name| name == testimony.witness));
        }
    }
    evidence
}

fn not_tried() -> Found {
    Found { says: "no scenario of its run asks".to_owned(), ..Found::default() }
}

/// The first identity (SPIFFE id) that a text names.
fn identity(text: &str) -> Option<&str> {
    let at = text.find("spiffe://")?;
    let id = text.get(at..)?;
    let end = id.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ')' | '"')).unwrap_or(id.len());
    id.get(..end)
}

fn joins(report: &Report) -> Found {
    let (seen, issued) = (testimonies(report, &[MUTUAL_TLS]), testimonies(report, &[ISSUED]));
    let held = |all: &[(At<'_>, &Testimony)]| all.iter().any(|(_, testimony)| testimony.held);
    let mut evidence = as_evidence(&issued);
    evidence.extend(as_evidence(&seen));
    let named =
        issued.iter().chain(&seen).filter(|(_, one)| one.held).find_map(|(_, one)| identity(&one.summary));
    let who = named.map(|id| format!(" as {id}")).unwrap_or_default();
    let way = report.implementation.as_ref().and_then(|gateway| gateway.reaches_pods.as_ref());
    let way = way.map(|way| format!("; by what its file says: {way}")).unwrap_or_default();
    match (held(&seen), held(&issued)) {
        (true, true) => Found {
            verdict: Some(Verdict::Proved),
            says: format!("yes: mutual TLS{who}, with a certificate that chains to istiod's root{way}"),
            evidence,
            ..Found::default()
        },
        (true, false) => Found {
            verdict: Some(Verdict::Proved),
            says: format!("yes: mutual TLS{who}, as the sidecars of the pods behind it saw{way}"),
            evidence,
            ..Found::default()
        },
        (false, _) if seen.is_empty() && issued.is_empty() => Found {
            verdict: scenarios(report).next().map(|_| Verdict::Waived),
            says: format!("no: nothing in its run showed an identity of it{way}"),
            reasons: no_identity(report),
            ..Found::default()
        },
        (false, _) => Found {
            verdict: Some(Verdict::Failed),
            says: "not shown: no sidecar saw mutual TLS of it".to_owned(),
            evidence,
            ..Found::default()
        },
    }
}

/// Why requests behind STRICT are read otherwise for it.
fn no_identity(report: &Report) -> Vec<String> {
    strict(report).reasons
}

/// The first deletion of a PeerAuthentication that left none of those that the scenario had made, with the claim about answers
/// before it and the one after.
fn deletion(report: &Report) -> Option<(Option<At<'_>>, At<'_>)> {
    let is_answer = |step: &&StepResult| step.info.word == "request" && step.verdict.is_taken();
    scenarios(report).find_map(|scenario| {
        let mut there = BTreeSet::new();
        let at = scenario.steps.iter().position(|step| {
            step.info.kind == StepKind::Action
                && step.verdict == Verdict::Proved
                && policies(&step.observed.summary, &mut there)
                && there.is_empty()
        })?;
        let (before, after) = scenario.steps.split_at(at);
        let after = after.iter().find(is_answer)?;
        Some((before.iter().rev().find(is_answer).map(|step| (scenario, step)), (scenario, after)))
    })
}

/// Follows what a step says of the policies that it made and deleted; whether it deleted one.
fn policies<'a>(summary: &'a str, there: &mut BTreeSet<&'a str>) -> bool {
    let mut deleted = false;
    for told in summary.split("; ").filter(|told| told.starts_with(POLICY)) {
        let (name, what) = told.rsplit_once(' ').unwrap_or((told, ""));
        if what == "deleted" {
            there.remove(name);
            deleted = true;
        } else {
            there.insert(name);
        }
    }
    deleted
}

/// What a claim about answers came to, in words that two runs have in common.
fn answered((scenario, step): At<'_>) -> Found {
    let groups = step.telling_answers();
    let mut kinds: Vec<String> = Vec::new();
    // Of an answer without a body (HEAD) nobody knows whose it is.
    let is_bodiless = |group: &AnswerGroup| {
        let same = |other: &AnswerGroup| other.status == group.status && other.backend.is_some();
        group.backend.is_none() && groups.iter().any(same)
    };
    for group in groups.iter().filter(|group| !is_bodiless(group)) {
        let kind = text::answer(group);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut evidence = vec![saw(scenario, step)];
    evidence.extend(heard(scenario, step, &|_| true));
    Found {
        verdict: Some(step.verdict),
        says: if kinds.is_empty() { step.observed.summary.clone() } else { kinds.join(", ") },
        measured: took(step),
        evidence,
        reasons: reasons_of(step, ""),
    }
}

fn strict(report: &Report) -> Found {
    deletion(report).and_then(|(before, _)| before).map_or_else(not_tried, answered)
}

fn strict_gone(report: &Report) -> Found {
    deletion(report).map_or_else(not_tried, |(_, after)| answered(after))
}

fn clear_text(report: &Report) -> Found {
    let all = testimonies(report, &CLEAR_TEXT);
    if all.is_empty() {
        return Found {
            verdict: scenarios(report).next().map(|_| Verdict::Waived),
            says: "nothing shows that it was not".to_owned(),
            reasons: no_identity(report),
            ..Found::default()
        };
    }
    let against = all.iter().filter(|(_, testimony)| !testimony.held).count();
    let looked = text::count(all.len(), "time");
    match against {
        0 => Found {
            verdict: Some(Verdict::Proved),
            says: "never: whenever its connections were looked at, they were mutual TLS".to_owned(),
            measured: vec![format!("looked {looked}")],
            evidence: as_evidence(&all),
            ..Found::default()
        },
        _ => Found {
            verdict: Some(Verdict::Failed),
            says: "not every connection was seen to be mutual TLS".to_owned(),
            measured: vec![format!("looked {looked}, {against} not borne out")],
            evidence: as_evidence(&all),
            ..Found::default()
        },
    }
}

fn routes(report: &Report) -> Found {
    let served: Vec<At<'_>> = steps(report).filter(|(_, step)| taken(step, "served")).collect();
    if served.is_empty() {
        return told(report);
    }
    let mut found =
        Found { verdict: Verdict::of_parts(served.iter().map(|(_, step)| step.verdict)), ..Found::default() };
    for (scenario, step) in &served {
        found.evidence.push(saw(scenario, step));
        found.reasons.extend(reasons_of(step, ""));
        // What the status said just before.
        let before = scenario.steps.iter().take_while(|one| one.info.index < step.info.index);
        let status = before.filter(|one| taken(one, "status")).last();
        if let Some((status, ms)) = status.and_then(|one| Some((one, one.observed.became_ms?))) {
            let object =
                status.info.name.split_whitespace().find(|word| word.contains('/')).unwrap_or("status");
            found.measured.push(format!("{object} says so after {}", text::duration(ms)));
        }
        if let Some(ms) = step.observed.became_ms {
            found.measured.push(format!("first answer {} later", text::duration(ms)));
        }
    }
    found.says = match found.verdict {
        Some(verdict) if verdict.is_good() => "from the first request after its status says so".to_owned(),
        _ => served
            .iter()
            .find(|(_, step)| !step.verdict.is_good())
            .map(|at| at.1.observed.summary.clone())
            .unwrap_or_default(),
    };
    found
}

/// What statuses of routes said, where nobody asked whether that was so.
fn told(report: &Report) -> Found {
    let is_route = |step: &StepResult| taken(step, "status") && step.info.name.contains(ROUTE);
    let told: Vec<At<'_>> = steps(report).filter(|(_, step)| is_route(step)).collect();
    if told.is_empty() {
        return not_tried();
    }
    let unasked = steps(report).filter(|(_, step)| step.info.word == "served");
    Found {
        verdict: Some(Verdict::Waived),
        says: "only its status says so; that it is served from then on was not asked".to_owned(),
        measured: told.iter().flat_map(|(_, step)| took(step)).collect(),
        evidence: told.iter().map(|(scenario, step)| saw(scenario, step)).collect(),
        reasons: unasked.flat_map(|(_, step)| reasons_of(step, "")).collect(),
    }
}

fn taken(step: &StepResult, word: &str) -> bool {
    step.info.word == word && step.verdict.is_taken()
}

fn certificates(report: &Report) -> Found {
    let rotations: Vec<At<'_>> = steps(report).filter(|(_, step)| taken(step, "rotations")).collect();
    let newest = testimonies(report, &[NEWEST]);
    let traffic = during(report, &["rotations", "rotate-root"]);
    let mut found = lost(&traffic);
    let seen: Vec<Verdict> = rotations.iter().map(|(_, step)| step.verdict).collect();
    if seen.is_empty() && newest.is_empty() && traffic.is_empty() {
        return not_tried();
    }
    found.verdict = Verdict::of_parts(seen.into_iter().chain(found.verdict));
    for (scenario, step) in &rotations {
        found.evidence.insert(0, saw(scenario, step));
        found
            .measured
            .extend(took(step).into_iter().map(|took| format!("{}, {took}", step.observed.summary)));
    }
    found.evidence.extend(as_evidence(&newest));
    let newest = newest.iter().all(|(_, testimony)| testimony.held) && !newest.is_empty();
    if newest && found.verdict.is_some_and(Verdict::is_good) {
        found.says = match found.says.is_empty() {
            true => "new connections carry the newest one".to_owned(),
            false => format!("new connections carry the newest one; {}", found.says),
        };
    }
    found
}

fn rollout(report: &Report) -> Found {
    let traffic = during(report, &["restart", "rollout"]);
    if traffic.is_empty() { not_tried() } else { lost(&traffic) }
}

fn failover(report: &Report) -> Found {
    let traffic = during(report, &["kill", "stop-node"]);
    if traffic.is_empty() { not_tried() } else { lost(&traffic) }
}

/// Claims about constant traffic while one of these things was done.
fn during<'a>(report: &'a Report, words: &[&str]) -> Vec<(At<'a>, &'a Traffic)> {
    let mut found = Vec::new();
    for scenario in scenarios(report) {
        let mut done = false;
        for step in &scenario.steps {
            match step.info.word.as_str() {
                "traffic" => done = false,
                word if words.contains(&word) => done = true,
                _ => {}
            }
            if let Some(traffic) = step.observed.traffic.as_deref().filter(|_| done) {
                found.push(((scenario, step), traffic));
            }
        }
    }
    found
}

/// What constant traffic lost.
fn lost(traffic: &[(At<'_>, &Traffic)]) -> Found {
    let (sent, failed): (u64, usize) = traffic
        .iter()
        .fold((0, 0), |(sent, failed), (_, one)| (sent + one.sent, failed + one.failures.len()));
    let gap = traffic.iter().map(|(_, one)| one.longest_gap_ms).max().unwrap_or_default();
    let mut found = Found {
        verdict: Verdict::of_parts(traffic.iter().map(|((_, step), _)| step.verdict)),
        ..Found::default()
    };
    if traffic.is_empty() {
        return found;
    }
    found.says = if failed == 0 { "no request failed".to_owned() } else { "requests failed".to_owned() };
    found.measured = vec![
        format!("{failed} of {sent} requests"),
        format!("no answer as wanted for {} at most", text::duration(gap)),
    ];
    for ((scenario, step), _) in traffic {
        found.evidence.push(saw(scenario, step));
        found.reasons.extend(reasons_of(step, ""));
    }
    found
}
