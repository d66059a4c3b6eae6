//! What is different between two runs: verdicts first, then what was seen, then times beyond noise.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Report, normalise, text as words};
use meshproof_model::event::{Different, ImplementationInfo, ScenarioResult, StepResult, Traffic, Verdict};

/// When a time counts as changed: both must be exceeded. One run is no statistic; less than this comes and goes.
pub const NOISE: Noise = Noise { percent: 25, ms: 500 };

/// Differences of time that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Noise {
    /// Part of the smaller time.
    pub percent: u64,
    /// Milliseconds.
    pub ms: u64,
}

/// How many times as many failures of constant traffic make a difference, from [`FEW`] more on.
const TIMES: usize = 3;

/// So many failures more or less, of a kind that both runs had, say nothing.
const FEW: usize = 10;

impl Noise {
    fn is_exceeded(self, a: u64, b: u64) -> bool {
        let difference = a.abs_diff(b);
        difference >= self.ms && difference.saturating_mul(100) >= a.min(b).saturating_mul(self.percent)
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The run as a whole.
    Run,
    /// What it ran on and what was under test.
    Setting,
    /// A requirement, over all scenarios.
    Requirement,
    /// A scenario.
    Scenario,
    /// A step of a scenario.
    Step,
    /// A phase of setting up or cleaning up.
    Phase,
}

/// In which respect something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// The verdict, or whether there is one at all.
    Verdict,
    /// A step came or went.
    Presence,
    /// A version.
    Version,
    /// What it is by content: digests, and settings of the mesh.
    Content,
    /// What was answered once the claim held (at all, if it never did); how often does not count.
    Answers,
    /// What the witnesses found.
    Witnesses,
    /// The named cause of a failure.
    Diagnosis,
    /// Failures of constant traffic: whether there are any, why, and how many if that is out of all proportion.
    Traffic,
    /// How long it took, beyond [`NOISE`].
    Time,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// A verdict got worse: what was proved is not any more, or is not even tried; something new is not proved.
    Worse,
    /// A verdict got better.
    Better,
    /// Neither.
    Other,
}

/// Something that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The scenario concerned, by its name among the results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Id of the requirement, name of the step, phase or setting; nothing for a scenario or the run itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// In which respect.
    pub aspect: Aspect,
    /// As it was; nothing if it was not there.
    pub a: Option<String>,
    /// As it is; nothing if it is not there.
    pub b: Option<String>,
    /// Which way it goes.
    pub grade: Grade,
}

/// One of the two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its name.
    pub run: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// Its verdict; nothing if it was broken off.
    pub verdict: Option<Verdict>,
}

/// Everything that is different between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Version of this shape.
    pub schema: u32,
    /// The run that is taken as given.
    pub a: Side,
    /// The run that is compared with it.
    pub b: Side,
    /// What difference of time counts.
    pub noise: Noise,
    /// What is different: the run, the requirements, then the scenarios in order.
    pub changes: Vec<Change>,
}

/// Version of the shape of [`Diff`] as JSON.
const SCHEMA: u32 = 1;

impl Diff {
    /// Whether a verdict got worse.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.grade == Grade::Worse)
    }

    /// The same for people.
    pub fn text(&self) -> String {
        text::render(self)
    }
}

/// Compares run `b` with run `a`. Addresses, generated names, times and counts of attempts do not count.
pub fn diff(a: &Report, b: &Report) -> Diff {
    let side = |report: &Report| Side {
        run: report.run.clone(),
        started: report.started.clone(),
        verdict: report.verdict,
    };
    let mut changes = Changes::default();
    // Broken off is as good as an error.
    let verdict = |report: &Report| Some(report.verdict.unwrap_or(Verdict::Error));
    changes.verdict(Place::of(Subject::Run), verdict(a), verdict(b));
    changes.settings(a, b);
    changes.requirements(a, b);
    changes.scenarios(a, b);
    changes.phases(a, b);
    Diff { schema: SCHEMA, a: side(a), b: side(b), noise: NOISE, changes: changes.0 }
}

/// Where a change is.
#[derive(Clone)]
struct Place {
    subject: Subject,
    scenario: Option<String>,
    name: Option<String>,
}

impl Place {
    fn of(subject: Subject) -> Self {
        Self { subject, scenario: None, name: None }
    }

    fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    fn within(self, scenario: &ScenarioResult) -> Self {
        Self { scenario: Some(scenario.name()), ..self }
    }
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    /// Notes a change, if it is one.
    fn note(&mut self, place: Place, aspect: Aspect, a: Option<String>, b: Option<String>, grade: Grade) {
        if a != b {
            let Place { subject, scenario, name } = place;
            self.0.push(Change { subject, scenario, name, aspect, a, b, grade });
        }
    }

    fn verdict(&mut self, place: Place, a: Option<Verdict>, b: Option<Verdict>) {
        let word = |verdict: Option<Verdict>| verdict.map(|verdict| verdict.to_string());
        self.note(place, Aspect::Verdict, word(a), word(b), grade(a, b));
    }

    fn time(&mut self, place: Place, a: u64, b: u64) {
        if NOISE.is_exceeded(a, b) {
            self.note(place, Aspect::Time, Some(words::duration(a)), Some(words::duration(b)), Grade::Other);
        }
    }

    fn settings(&mut self, a: &Report, b: &Report) {
        let cluster = |report: &Report| report.cluster.clone().unwrap_or_default();
        let gateway = |report: &Report| report.implementation.clone().unwrap_or_default();
        let (one, other) = (cluster(a), cluster(b));
        let (tested, instead) = (gateway(a), gateway(b));
        let named = |gateway: &ImplementationInfo| match gateway.version.as_str() {
            "" => gateway.name.clone(),
            version => format!("{} {version}", gateway.name),
        };
        let unknown = |a: &str, b: &str| a.is_empty() || b.is_empty();
        // What did not come so far has no setting to compare.
        if a.cluster.is_some() && b.cluster.is_some() {
            for (name, a, b) in [
                ("Kubernetes", one.kubernetes, other.kubernetes),
                ("Istio", one.istio, other.istio),
                ("nodes", one.nodes.to_string(), other.nodes.to_string()),
            ] {
                // A run of nothing but scenarios that begin without Istio has no version of it to compare.
                if !unknown(&a, &b) {
                    let place = Place::of(Subject::Setting).named(name);
                    self.note(place, Aspect::Version, Some(a), Some(b), Grade::Other);
                }
            }
            if tested.name != instead.name || !unknown(&tested.version, &instead.version) {
                let place = Place::of(Subject::Setting).named("implementation");
                let (a, b) = (named(&tested), named(&instead));
                self.note(place, Aspect::Version, Some(a), Some(b), Grade::Other);
            }
        }
        // Of what the verdicts are, whatever it calls itself: chart, images, scenarios, the judge.
        for Different { what, one, two } in a.basis.differences(&b.basis) {
            let name = what.trim_start_matches("the digest of ").trim_start_matches("the ");
            let place = Place::of(Subject::Setting).named(name);
            self.note(place, Aspect::Content, Some(one), Some(two), Grade::Other);
        }
    }

    fn requirements(&mut self, a: &Report, b: &Report) {
        let (one, other) = (requirements(a), requirements(b));
        let mut ids: Vec<&str> = one.keys().chain(other.keys()).copied().collect();
        ids.sort_by_key(|id| (id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok(), *id));
        ids.dedup();
        for id in ids {
            let place = Place::of(Subject::Requirement).named(id);
            self.verdict(place, one.get(id).copied(), other.get(id).copied());
        }
    }

    fn scenarios(&mut self, a: &Report, b: &Report) {
        for scenario in &a.scenarios {
            let place = Place::of(Subject::Scenario).within(scenario);
            match b.scenarios.iter().find(|other| other.name() == scenario.name()) {
                None => self.verdict(place, Some(scenario.verdict), None),
                Some(other) => {
                    self.verdict(place.clone(), Some(scenario.verdict), Some(other.verdict));
                    if proved(scenario.verdict, other.verdict) {
                        self.time(place, scenario.duration_ms, other.duration_ms);
                    }
                    self.steps(scenario, other);
                }
            }
        }
        for scenario in &b.scenarios {
            if !a.scenarios.iter().any(|other| other.name() == scenario.name()) {
                self.verdict(Place::of(Subject::Scenario).within(scenario), None, Some(scenario.verdict));
            }
        }
    }

    /// Steps belong together by their names; those that have the same, in order.
    fn steps(&mut self, a: &ScenarioResult, b: &ScenarioResult) {
        let (ones, mut others) = (keyed(a), keyed(b));
        for (key, one) in ones {
            let place = Place::of(Subject::Step).within(a).named(&one.info.name);
            match others.iter().position(|(other, _)| *other == key) {
                None => self.note(place, Aspect::Presence, Some("there".into()), None, Grade::Other),
                Some(at) => {
                    let (_, other) = others.remove(at);
                    self.step(&place, one, other);
                }
            }
        }
        for (_, other) in others {
            let place = Place::of(Subject::Step).within(b).named(&other.info.name);
            self.note(place, Aspect::Presence, None, Some("there".into()), Grade::Other);
        }
    }

    fn step(&mut self, place: &Place, a: &StepResult, b: &StepResult) {
        self.verdict(place.clone(), Some(a.verdict), Some(b.verdict));
        let mut seen = |aspect, tell: &dyn Fn(&StepResult) -> Option<String>| {
            let ran = |step: &&StepResult| step.verdict.is_taken();
            // A step that was not reached or not taken saw nothing, which says nothing.
            if [a, b].iter().all(ran) {
                self.note(place.clone(), aspect, tell(a), tell(b), Grade::Other);
            }
        };
        seen(Aspect::Diagnosis, &diagnosis);
        seen(Aspect::Answers, &answers);
        seen(Aspect::Witnesses, &witnesses);
        // Not how many there were: what is forgiven or measured is another number each time.
        if fares_differently(a.observed.traffic.as_deref(), b.observed.traffic.as_deref()) {
            seen(Aspect::Traffic, &traffic);
        }
        if proved(a.verdict, b.verdict) {
            self.time(place.clone(), a.duration_ms, b.duration_ms);
        }
    }

    fn phases(&mut self, a: &Report, b: &Report) {
        for (phase, one) in &a.timings.phases {
            if let Some(other) = b.timings.phases.get(phase) {
                self.time(Place::of(Subject::Phase).named(phase), *one, *other);
            }
        }
    }
}

/// Whether both came to the same good end: only then their times can be compared.
fn proved(a: Verdict, b: Verdict) -> bool {
    a == b && a.is_good() && a.is_taken()
}

fn grade(a: Option<Verdict>, b: Option<Verdict>) -> Grade {
    match (a, b) {
        // What is waived is neither good nor bad, but what was proved and no longer is has got worse.
        (Some(Verdict::Waived), Some(Verdict::Proved | Verdict::Partly)) => Grade::Better,
        (Some(Verdict::Proved | Verdict::Partly), Some(Verdict::Waived) | None) => Grade::Worse,
        (Some(Verdict::Waived), Some(b)) if b.is_good() => Grade::Other,
        (_, Some(Verdict::Waived)) => Grade::Other,
        (Some(a), Some(b)) if b > a => Grade::Worse,
        (Some(a), Some(b)) if b < a => Grade::Better,
        (None, Some(b)) if !b.is_good() => Grade::Worse,
        _ => Grade::Other,
    }
}

/// What is known of each requirement over all scenarios.
fn requirements(report: &Report) -> BTreeMap<&str, Verdict> {
    let mut worst: BTreeMap<&str, Verdict> = BTreeMap::new();
    for requirement in report.scenarios.iter().flat_map(|scenario| &scenario.requirements) {
        let verdict = worst.entry(&requirement.id).or_insert(requirement.verdict);
        *verdict = Verdict::of_parts([*verdict, requirement.verdict]).unwrap_or(requirement.verdict);
    }
    worst
}

/// Steps with their name and how many of the same name come before.
fn keyed(scenario: &ScenarioResult) -> Vec<((&str, usize), &StepResult)> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let mut keyed = Vec::new();
    for step in &scenario.steps {
        let before = times.entry(&step.info.name).or_default();
        keyed.push(((step.info.name.as_str(), *before), step));
        *before += 1;
    }
    keyed
}

fn diagnosis(step: &StepResult) -> Option<String> {
    step.failure.as_ref()?.diagnosis.as_ref().map(|diagnosis| diagnosis.id.clone())
}

fn answers(step: &StepResult) -> Option<String> {
    let each: BTreeSet<String> =
        step.telling_answers().iter().map(|group| normalise(&words::answer(group))).collect();
    (!each.is_empty()).then(|| each.into_iter().collect::<Vec<_>>().join(", "))
}

fn witnesses(step: &StepResult) -> Option<String> {
    let each = step.observed.witnesses.iter().map(|testimony| {
        format!("{} {}", testimony.witness, if testimony.held { "holds" } else { "does not hold" })
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join(", "))
}

/// Whether constant traffic failed in one run only, for other reasons, or out of all proportion.
fn fares_differently(a: Option<&Traffic>, b: Option<&Traffic>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_some() != b.is_some() };
    let (fewer, more) = (a.failures.len().min(b.failures.len()), a.failures.len().max(b.failures.len()));
    reasons(a) != reasons(b) || more - fewer >= FEW && more > fewer.saturating_mul(TIMES)
}

/// Why requests of constant traffic failed, each reason once.
fn reasons(traffic: &Traffic) -> BTreeSet<&str> {
    traffic.failures.iter().map(|failure| failure.reason.as_str()).collect()
}

fn traffic(step: &StepResult) -> Option<String> {
    let traffic = step.observed.traffic.as_ref()?;
    let failures = words::count(traffic.failures.len(), "failure");
    let reasons: Vec<&str> = reasons(traffic).into_iter().collect();
    Some(if reasons.is_empty() { failures } else { format!("{failures} ({})", reasons.join(", ")) })
}

#[cfg(test)]
mod tests;
