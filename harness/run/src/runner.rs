//! Runs scenarios: steps in order, evidence before any clean-up, clean-up in reverse order, verdicts per requirement.

mod expectation;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::context::ledger::{self, Ledger};
use crate::context::traffic::Traffic;
use crate::context::{Context, Outside, Trouble, millis};
use crate::ports::{EvidenceRequest, PortError};
use crate::scenario::{Scenario, Step};
use meshproof_model::event::{
    ErratumInfo, Event, EventSink, Observed, PhaseEvents, ScenarioInfo, ScenarioResult, StepKind, StepResult,
    Verdict, result_name,
};
use meshproof_model::progress::Phase;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::verdict;

/// Whether a scenario's objects are left in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Keep {
    /// Always.
    Always,
    /// Only if the scenario did not end well.
    Failed,
    /// Never.
    Never,
}

/// Runs scenarios against one cluster.
pub struct Runner {
    /// Everything outside.
    pub outside: Outside,
    /// Who listens.
    pub sink: Arc<dyn EventSink>,
    /// Folder of the results of this run.
    pub results: PathBuf,
    /// What to leave in the cluster.
    pub keep: Keep,
    /// Ends the step under way; what it did is still undone.
    pub stop: CancellationToken,
}

impl Runner {
    /// Runs one scenario to its end.
    pub async fn run(&self, scenario: &Scenario) -> ScenarioResult {
        self.run_round(scenario, None).await
    }

    /// The same as one of several repetitions, counted from 1.
    pub async fn run_round(&self, scenario: &Scenario, round: Option<u32>) -> ScenarioResult {
        self.run_looked_at(scenario, round, std::future::ready(())).await
    }

    /// The same, with a look at the world after the last step that is taken and before anything is cleaned up.
    pub async fn run_looked_at(
        &self,
        scenario: &Scenario,
        round: Option<u32>,
        look: impl Future<Output = ()> + Send,
    ) -> ScenarioResult {
        let provided = self.provide(scenario).await;
        let info = ScenarioInfo { round, ..scenario.info() };
        self.sink.emit(&Event::ScenarioStarted { scenario: info.clone() });
        let blocked = match provided {
            Ok(()) => self.sweep(scenario).await.err(),
            Err(error) => Some(error),
        };
        // What is compiled once, and what an earlier run left, says nothing of how long the scenario takes.
        let begun = Instant::now();
        let mut so_far = SoFar { blocked, ..SoFar::default() };
        let below = PathBuf::from("evidence").join(result_name(&scenario.id, round));
        for step in order(&scenario.steps) {
            let result = match so_far.blocked.take_if(|_| step.info.waived.is_none()) {
                _ if step.info.waived.is_some() => {
                    if step.info.word == "unbroken" {
                        // The traffic that it would judge ends here all the same.
                        so_far.traffic = None;
                    }
                    waived(step, begun)
                }
                // Nothing can be put to the test on a cluster that is not as it should be.
                Some(error) => not_begun(step, error, begun),
                None if so_far.steps.iter().all(|done| done.verdict.is_good()) => {
                    self.step(scenario, step, begun, &mut so_far, below.clone()).await
                }
                None => skipped(step, begun),
            };
            let event = Event::StepFinished { scenario: scenario.id.clone(), step: Box::new(result.clone()) };
            self.sink.emit(&event);
            so_far.steps.push(result);
        }
        let unjudged = so_far.traffic.is_some();
        let SoFar { mut ledger, mut steps, traffic, .. } = so_far;
        steps.sort_by_key(|step| step.info.index);
        // Traffic that no step ended would see the clean-up.
        drop(traffic);
        let requirements = verdict::of_requirements(&info.requirements, &steps);
        let verdict = verdict::of_scenario(&requirements, &steps);
        let steps_ms = millis(begun.elapsed());
        look.await;
        let keep = match self.keep {
            Keep::Always => true,
            Keep::Failed => !verdict.is_good(),
            Keep::Never => false,
        };
        let (kept, mut problems) = if keep {
            (ledger.kept(), Vec::new())
        } else {
            (Vec::new(), self.clean_up(&scenario.id, &mut ledger).await)
        };
        if unjudged && verdict.is_good() {
            problems.push(
                "constant traffic was under way at the end, and no step judged how it fared".to_owned(),
            );
        }
        let result = ScenarioResult {
            id: info.id,
            title: info.title,
            round,
            document: info.document,
            broken: info.broken,
            // What stays behind would stand in the next one's way; what nobody judged may be anything.
            verdict: if verdict.is_good() && !problems.is_empty() { Verdict::Error } else { verdict },
            duration_ms: steps_ms,
            cleanup_ms: millis(begun.elapsed()).saturating_sub(steps_ms),
            requirements,
            errata: met(info.errata, &steps),
            steps,
            kept,
            problems,
        };
        self.sink.emit(&Event::ScenarioFinished { result: Box::new(result.clone()) });
        result
    }

    /// Makes sure that the versions of Istio can be had that the scenario installs.
    async fn provide(&self, scenario: &Scenario) -> Result<(), PortError> {
        let versions = scenario.istio_versions();
        if versions.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                Err(PortError::new(format!("providing Istio for {}", scenario.id), "it was interrupted"))
            }
            provided = self.outside.mesh.provide(&versions) => provided,
        }
    }

    /// Removes what an earlier run left of the scenario's objects.
    async fn sweep(&self, scenario: &Scenario) -> Result<(), PortError> {
        let progress = PhaseEvents(self.sink.as_ref());
        let phase = Phase::start(&progress, format!("sweep before {}", scenario.id), None);
        match sweep(&scenario.steps, &self.outside).await {
            Ok(found) => {
                if !found.is_empty() {
                    phase.note(&format!("removed what an earlier run left: {}", found.join("; ")));
                }
                phase.done();
                Ok(())
            }
            Err(error) => {
                phase.fail(&error.to_string());
                Err(error)
            }
        }
    }

    async fn step(
        &self,
        scenario: &Scenario,
        step: &Step,
        begun: Instant,
        so_far: &mut SoFar,
        evidence: PathBuf,
    ) -> StepResult {
        let started = Instant::now();
        let started_ms = millis(started.duration_since(begun));
        let (id, info) = (scenario.id.clone(), step.info.clone());
        self.sink.emit(&Event::StepStarted { scenario: id, step: info, started_ms });
        if let (StepKind::Action, Some(traffic)) = (step.info.kind, so_far.traffic.as_mut()) {
            traffic.action(&step.info.name);
        }
        let outcome = {
            let mut context = self.context(scenario, step, begun, so_far);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => Err(interrupted(step)),
                outcome = in_time(step, &mut context) => outcome,
            }
        };
        let sees = match (&step.sees, &outcome) {
            (Some(sees), Err(trouble)) if trouble.verdict == Verdict::Failed => {
                let mut context = self.context(scenario, step, begun, so_far);
                context.stays = None;
                context.witnesses = &[];
                Some(tokio::select! {
                    biased;
                    () = self.stop.cancelled() => Err(interrupted(step)),
                    seen = sees.run(&mut context) => seen,
                })
            }
            _ => None,
        };
        let duration_ms = millis(started.elapsed());
        let result = |verdict, observed, failure| StepResult {
            info: step.info.clone(),
            verdict,
            started_ms,
            duration_ms,
            observed,
            failure,
        };
        match outcome {
            Ok(observed) => match &step.info.must_fail {
                None => result(expectation::held(&step.info), observed, None),
                Some(wanted) => {
                    let failure = expectation::unexpected_success(step, wanted, &observed);
                    result(Verdict::Failed, observed, Some(failure))
                }
            },
            Err(trouble) if trouble.verdict == Verdict::Waived => {
                not_shown(step, trouble, started_ms, duration_ms)
            }
            Err(trouble) if step.info.measured && trouble.verdict == Verdict::Failed => {
                result(Verdict::Measured, expectation::measured(trouble), None)
            }
            Err(mut trouble) => {
                if !self.stop.is_cancelled() {
                    let since = Since { scenario: begun, step: started, deleted: deleted(&so_far.steps) };
                    self.evidence(scenario, step, &so_far.ledger, since, evidence, &mut trouble).await;
                }
                let verdict = expectation::verdict(step, &mut trouble, sees);
                result(verdict, trouble.observed, Some(trouble.failure))
            }
        }
    }

    /// What a step, or a claim in its place, gets to work with from now on.
    fn context<'a>(
        &'a self,
        scenario: &'a Scenario,
        step: &'a Step,
        begun: Instant,
        so_far: &'a mut SoFar,
    ) -> Context<'a> {
        let SoFar { ledger, pods, values, fallen, traffic, .. } = so_far;
        Context {
            outside: &self.outside,
            ledger,
            pods,
            values,
            fallen,
            traffic,
            sink: self.sink.as_ref(),
            scenario: &scenario.id,
            namespace: &scenario.namespace,
            step: step.info.index,
            begun,
            started: Instant::now(),
            within: step.within,
            stays: step.stays,
            witnesses: &step.witnesses,
        }
    }

    /// Collects evidence while everything is still there, in folder `below` of the results.
    async fn evidence(
        &self,
        scenario: &Scenario,
        step: &Step,
        ledger: &Ledger,
        since: Since,
        below: PathBuf,
        trouble: &mut Trouble,
    ) {
        let progress = PhaseEvents(self.sink.as_ref());
        let phase = Phase::start(&progress, format!("evidence of {}", scenario.id), None);
        let mut namespaces = ledger.touched();
        if !namespaces.contains(&scenario.namespace) {
            namespaces.push(scenario.namespace.clone());
        }
        let request = EvidenceRequest {
            scenario: scenario.id.clone(),
            step: step.info.index,
            word: step.info.word.clone(),
            name: step.info.name.clone(),
            expected: trouble.failure.expected.clone(),
            seen: trouble.failure.seen.clone(),
            namespace: scenario.namespace.clone(),
            about: step.word.about(),
            namespaces,
            witness: trouble.witness.take(),
            expected_status: trouble.expected_status,
            expected_reason: trouble.expected_reason.clone(),
            against: trouble.against.clone(),
            detail: match &trouble.detail {
                serde_json::Value::Null => trouble.observed.detail.clone(),
                detail => detail.clone(),
            },
            since: at(since.step),
            scenario_since: at(since.scenario),
            deleted: since.deleted,
            directory: self.results.join(&below),
        };
        let evidence = self.outside.evidence.collect(&request).await;
        for missing in &evidence.missing {
            phase.note(missing);
        }
        phase.done();
        trouble.failure.diagnosis = evidence.diagnosis;
        trouble.failure.evidence = (!evidence.files.is_empty()).then_some(below);
    }

    async fn clean_up(&self, id: &str, ledger: &mut Ledger) -> Vec<String> {
        let progress = PhaseEvents(self.sink.as_ref());
        let phase = Phase::start(&progress, format!("clean-up of {id}"), None);
        let problems = ledger.undo(&self.outside).await;
        match problems.is_empty() {
            true => drop(phase.done()),
            false => phase.fail(&problems.join("; ")),
        }
        problems
    }
}

/// Does what the step says. Claims keep their limit themselves, for they tell what is still missing; an action is ended.
async fn in_time(step: &Step, context: &mut Context<'_>) -> Result<Observed, Trouble> {
    match step.info.kind {
        StepKind::Claim => step.word.run(context).await,
        StepKind::Action => {
            let limit = step.within.saturating_add(limits::GRACE);
            match timeout(limit, step.word.run(context)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(overdue(step)),
            }
        }
    }
}

/// What came before a step that did not end well.
struct Since {
    scenario: Instant,
    step: Instant,
    /// Objects that were deleted, in words.
    deleted: Vec<String>,
}

/// The time of day of a moment that has passed (RFC 3339, whole seconds: logs of other clocks are compared with it).
fn at(moment: Instant) -> String {
    let now = jiff::Timestamp::now();
    let passed = jiff::SignedDuration::try_from(moment.elapsed()).unwrap_or_default();
    now.checked_sub(passed).unwrap_or(now).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Objects that steps have deleted, as they tell it.
fn deleted(steps: &[StepResult]) -> Vec<String> {
    let details = steps.iter().filter_map(|step| step.observed.detail.as_array()).flatten();
    let gone = details.filter(|detail| detail["result"] == "deleted");
    gone.filter_map(|detail| Some(detail["object"].as_str()?.to_owned())).collect()
}

/// What the steps before have left for the next one.
#[derive(Default)]
struct SoFar {
    /// Why nothing can begin.
    blocked: Option<PortError>,
    ledger: Ledger,
    pods: BTreeMap<crate::context::pods::Share, Vec<crate::context::pods::Pod>>,
    values: BTreeMap<String, String>,
    fallen: HashMap<ObjectRef, String>,
    traffic: Option<Traffic>,
    steps: Vec<StepResult>,
}

/// Those of the document's errata that some step met: was to, and ended well.
fn met(errata: Vec<ErratumInfo>, steps: &[StepResult]) -> Vec<ErratumInfo> {
    let good = |step: &&StepResult| step.verdict == Verdict::Proved;
    let met: BTreeSet<_> = steps.iter().filter(good).flat_map(|step| &step.info.errata).collect();
    errata.into_iter().filter(|erratum| met.contains(&erratum.id)).collect()
}

/// The order in which steps are taken: as written, but for claims that are awaited while objects are applied and statuses
/// read. They come before the first step that is more than that.
fn order(steps: &[Step]) -> Vec<&Step> {
    let (mut taken, mut waiting) = (Vec::new(), Vec::new());
    for step in steps {
        if step.meanwhile {
            waiting.push(step);
            continue;
        }
        if !matches!(step.info.word.as_str(), "apply" | "status") {
            taken.append(&mut waiting);
        }
        taken.push(step);
    }
    taken.append(&mut waiting);
    taken
}

fn not_begun(step: &Step, error: PortError, begun: Instant) -> StepResult {
    let trouble = Trouble::from(error);
    let skipped = skipped(step, begun);
    StepResult {
        verdict: Verdict::Error,
        observed: trouble.observed,
        failure: Some(trouble.failure),
        ..skipped
    }
}

fn skipped(step: &Step, begun: Instant) -> StepResult {
    StepResult {
        info: step.info.clone(),
        verdict: Verdict::Skipped,
        started_ms: millis(begun.elapsed()),
        duration_ms: 0,
        observed: Observed { summary: "not reached".into(), ..Observed::default() },
        failure: None,
    }
}

/// A step the implementation is not put to.
fn waived(step: &Step, begun: Instant) -> StepResult {
    let summary = step.info.waived.clone().unwrap_or_default();
    let observed = Observed { summary, ..Observed::default() };
    StepResult { verdict: Verdict::Waived, observed, ..skipped(step, begun) }
}

/// Removes what an earlier run left of what these steps make; returns what was there.
async fn sweep(steps: &[Step], outside: &Outside) -> Result<Vec<String>, PortError> {
    let taken = steps.iter().filter(|step| step.info.waived.is_none());
    let made: Vec<ObjectRef> = taken.clone().flat_map(|step| step.word.creates()).collect();
    ledger::sweep(&made, taken.clone().any(|step| step.word.installs()), outside).await
}

/// A claim of which this cluster shows nothing. It counts like one that is waived: for nothing, and what it was to prove is proved
/// in part at most.
fn not_shown(step: &Step, trouble: Trouble, started_ms: u64, duration_ms: u64) -> StepResult {
    let mut info = step.info.clone();
    info.waived = Some(trouble.failure.seen);
    let observed = trouble.observed;
    StepResult { info, verdict: Verdict::Waived, started_ms, duration_ms, observed, failure: None }
}

fn overdue(step: &Step) -> Trouble {
    let doing = format!("running the step `{}`", step.info.name);
    let expected = format!("it to end within {:?}", step.within);
    Trouble::error(doing, expected, "it went on, and was ended").next(
        "see in the evidence what it waited for; if it only needs longer, give the step a limit of its own: `within: 15m`",
    )
}

fn interrupted(step: &Step) -> Trouble {
    Trouble::error(format!("running the step `{}`", step.info.name), "it to end", "it was interrupted")
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;
