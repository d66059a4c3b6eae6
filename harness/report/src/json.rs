//! `report.json`: the run for machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use meshproof_model::event::{
    self, Arguments, Attempt, Basis, ClusterInfo, Conformance, Event, ImplementationInfo, PackInfo,
    Partition, ScenarioResult, Verdict,
};

/// Milliseconds per phase, in the order in which the phases first ended, and `total`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// The whole run, of a merged report the sum; 0 while it lasts.
    pub total: u64,
    /// Phases by name; one that ran several times counts with the sum.
    #[serde(flatten)]
    pub phases: BTreeMap<String, u64>,
}

/// A run that went into a merged report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub run: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// How long it took.
    pub total_ms: u64,
}

/// The content of `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape, see [`event::SCHEMA`].
    pub schema: u32,
    /// Name of the run and of its folder.
    pub run: String,
    /// When it started (RFC 3339).
    pub started: String,
    /// The worst verdict; `None` when the run was interrupted.
    pub verdict: Option<Verdict>,
    /// Exit code of the command; `None` when the run was interrupted.
    pub exit_code: Option<u8>,
    /// Where it ran; `None` when it did not come so far.
    pub cluster: Option<ClusterInfo>,
    /// What was tested; `None` when it did not come so far.
    pub implementation: Option<ImplementationInfo>,
    /// What it rests on: the harness, the mesh, digests.
    #[serde(flatten)]
    pub basis: Basis,
    /// What was to be proved; nothing in reports from before packs were told, which are about the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackInfo>,
    /// What was asked of the run; nothing in a merged report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Arguments>,
    /// The run it follows, of which it ran again what was not proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// Ids of scenarios that were proved there and did not run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried_over: Vec<String>,
    /// Why nothing of the run it follows is carried over: what it proved then, it proved of something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_carried_over: Option<String>,
    /// Ids of scenarios that were proved only when they ran again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flaky: Vec<String>,
    /// How scenarios ended before they ran again, by id, the first first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attempts: BTreeMap<String, Vec<Attempt>>,
    /// What took how long.
    pub timings: Timings,
    /// Ids of the scenarios that were to run, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selected: Vec<String>,
    /// Which share of a selection they are, if other runs have the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// The runs it was merged from, if it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// Phases that did not end well, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, String>,
    /// Every scenario that ended, in the order in which they ended.
    pub scenarios: Vec<ScenarioResult>,
    /// What the Gateway API's conformance suite found, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conformance: Option<Conformance>,
}

impl Report {
    /// What a stream of events amounts to, a broken-off one included.
    pub fn from_events(events: &[Event]) -> Self {
        let mut report = Self { schema: event::SCHEMA, ..Self::default() };
        for event in events {
            report.take(event);
        }
        report
    }

    /// Ids of the scenarios that were to run and did not come to their end.
    pub fn not_run(&self) -> Vec<&str> {
        let ended = |id: &&str| self.scenarios.iter().any(|scenario| scenario.id == **id);
        self.selected.iter().map(String::as_str).filter(|id| !ended(id)).collect()
    }

    /// A cluster is ready, which may be one of several. What begins without Istio runs last, with Istio taken out: the version
    /// is that of the scenarios it was there for, as is that of a gateway that comes with it.
    pub(super) fn ready(&mut self, cluster: &ClusterInfo, implementation: &ImplementationInfo) {
        let told = |now: &str, before: Option<&str>| {
            if now.is_empty() { before.unwrap_or_default() } else { now }.to_owned()
        };
        let istio = told(&cluster.istio, self.cluster.as_ref().map(|before| before.istio.as_str()));
        let before = self.implementation.as_ref().filter(|before| before.name == implementation.name);
        let version = told(&implementation.version, before.map(|before| before.version.as_str()));
        self.cluster = Some(ClusterInfo { istio, ..cluster.clone() });
        self.implementation = Some(ImplementationInfo { version, ..implementation.clone() });
    }

    /// What must stand beside the verdict, for people: what was proved only at another attempt, and what this run says
    /// nothing of.
    pub fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if !self.flaky.is_empty() {
            caveats.push(format!(
                "{} flaky (proved only when run again): {}",
                self.flaky.len(),
                self.flaky.join(", ")
            ));
        }
        if let Some(parent) = &self.rerun_of {
            caveats.push(match &self.not_carried_over {
                Some(why) => format!("what run {parent} proved is not in here, for {why}"),
                None => format!("{} carried over from run {parent}", self.carried_over.len()),
            });
        }
        caveats
    }

    fn end(&mut self, result: &ScenarioResult) {
        if result.verdict.is_good() && self.attempts.contains_key(&result.id) {
            self.flaky.push(result.id.clone());
        }
        self.scenarios.push(result.clone());
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, started, scenarios, partition, .. } => {
                self.run.clone_from(run);
                self.started.clone_from(started);
                self.selected = scenarios.iter().map(|scenario| scenario.id.clone()).collect();
                self.partition.clone_from(partition);
            }
            Event::ClusterReady { cluster, implementation } => self.ready(cluster, implementation),
            Event::PhaseFinished { phase, elapsed_ms, error } => {
                *self.timings.phases.entry(phase.clone()).or_default() += elapsed_ms;
                if let Some(error) = error {
                    self.errors.insert(phase.clone(), error.clone());
                }
            }
            Event::Asked { arguments, rerun_of } => {
                self.arguments = Some((**arguments).clone());
                self.rerun_of.clone_from(rerun_of);
            }
            Event::Proves { pack } => self.pack = Some((**pack).clone()),
            Event::RestsOn { basis } => self.basis.add(basis),
            Event::CarriedOver { result, attempts } => {
                self.carried_over.push(result.id.clone());
                if !attempts.is_empty() {
                    self.attempts.insert(result.id.clone(), attempts.clone());
                }
                self.end(result);
            }
            Event::NotCarriedOver { why } => self.not_carried_over = Some(why.clone()),
            Event::Attempted { scenario, attempt } => {
                self.attempts.entry(scenario.clone()).or_default().push(attempt.clone());
                self.scenarios.retain(|result| result.id != *scenario);
            }
            Event::ScenarioFinished { result } => self.end(result),
            // Until all of it is known, what a run that is cut off has found.
            Event::ConformanceTestFinished { test } => {
                self.conformance.get_or_insert_default().tests.push((**test).clone());
            }
            Event::ConformanceFinished { result } => self.conformance = Some((**result).clone()),
            Event::RunFinished { verdict, exit_code, total_ms } => {
                self.verdict = Some(*verdict);
                self.exit_code = Some(*exit_code);
                self.timings.total = *total_ms;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_report_has_the_promised_shape() {
        let report = serde_json::to_value(Report::from_events(&sample::proved_run())).unwrap();
        for path in [
            "/schema",
            "/cluster/provider",
            "/cluster/kubernetes",
            "/cluster/istio",
            "/cluster/nodes",
            "/implementation",
            "/timings/total",
            "/timings/cluster",
            "/scenarios/0/id",
            "/scenarios/0/title",
            "/scenarios/0/verdict",
            "/scenarios/0/requirements/0/id",
            "/scenarios/0/requirements/0/verdict",
            "/scenarios/0/errata",
            "/scenarios/0/steps/0/name",
            "/scenarios/0/steps/0/kind",
            "/scenarios/0/steps/0/verdict",
            "/scenarios/0/steps/0/started_ms",
            "/scenarios/0/steps/0/duration_ms",
            "/scenarios/0/steps/0/observed",
        ] {
            assert!(report.pointer(path).is_some(), "{path} is missing");
        }
        assert_eq!(report.pointer("/scenarios/0/verdict"), Some(&serde_json::json!("proved")));
    }

    #[test]
    fn istio_taken_out_for_the_last_scenarios_is_still_what_the_others_ran_on() {
        let ready = |istio: &str, nodes| Event::ClusterReady {
            cluster: ClusterInfo { istio: istio.into(), nodes, ..ClusterInfo::default() },
            // Its version is that of the Istio it comes with.
            implementation: ImplementationInfo { version: istio.into(), ..ImplementationInfo::default() },
        };
        let told = |events: &[Event]| {
            let report = Report::from_events(events);
            let (cluster, implementation) = (report.cluster.unwrap(), report.implementation.unwrap());
            assert_eq!(cluster.istio, implementation.version);
            (cluster.istio, cluster.nodes)
        };
        assert_eq!(told(&[ready("1.31", 1), ready("", 3)]), ("1.31".into(), 3));
        assert_eq!(told(&[ready("", 1), ready("1.31", 1)]), ("1.31".into(), 1));
        assert_eq!(told(&[ready("", 1)]), (String::new(), 1));
    }

    #[test]
    fn the_report_reads_back_as_it_was_written() {
        let report = Report::from_events(&sample::failed_run());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn what_is_waived_says_why() {
        let report = serde_json::to_value(Report::from_events(&sample::waived_run())).unwrap();
        let at = |path: &str| report.pointer(path).and_then(serde_json::Value::as_str);
        assert_eq!(at("/scenarios/0/steps/1/verdict"), Some("waived"));
        assert_eq!(at("/scenarios/0/steps/1/waived"), Some("It has no extension."));
        assert_eq!(at("/scenarios/0/requirements/2/waived"), Some("It announces an Istio ALPN."));
        assert_eq!(at("/scenarios/0/steps/4/instead/because"), Some("It announces an Istio ALPN."));
    }

    #[test]
    fn a_run_broken_off_has_no_verdict_and_keeps_what_ended() {
        let mut events = sample::proved_run();
        events.pop();
        let report = Report::from_events(&events);
        assert_eq!((report.verdict, report.exit_code, report.scenarios.len()), (None, None, 1));
    }

    #[test]
    fn only_the_last_attempt_counts_and_what_it_took_is_told() {
        let (failed, proved) =
            (sample::failed(), ScenarioResult { id: sample::failed().id, ..sample::proved() });
        let ended = |result: &ScenarioResult| Event::ScenarioFinished { result: Box::new(result.clone()) };
        let attempt = Attempt::of("run", &failed);
        let again = Event::Attempted { scenario: failed.id.clone(), attempt: attempt.clone() };
        let report = Report::from_events(&[ended(&failed), again.clone(), ended(&proved)]);
        assert_eq!((report.scenarios.len(), report.scenarios[0].verdict), (1, Verdict::Proved));
        assert_eq!(report.flaky, std::slice::from_ref(&failed.id));
        assert_eq!(report.attempts[&failed.id], [attempt]);
        assert!(report.caveats()[0].starts_with("1 flaky"), "{:?}", report.caveats());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        let report = Report::from_events(&[ended(&failed), again, ended(&failed)]);
        assert!(report.flaky.is_empty() && report.scenarios.len() == 1);
    }

    #[test]
    fn the_report_says_what_was_proved_of_what() {
        let mut events = sample::proved_run();
        let mut basis = event::Basis::default();
        basis.harness.source = "sha256:0".into();
        basis.digests.images = [("echo".to_owned(), "sha256:1".to_owned().into())].into();
        events.insert(1, Event::RestsOn { basis: Box::new(basis) });
        let report = serde_json::to_value(Report::from_events(&events)).unwrap();
        assert_eq!(report["schema"], 2);
        assert_eq!(report["digests"]["images"]["echo"], "sha256:1");
        assert!(report["harness"]["source"].as_str().unwrap().starts_with("sha256:"));
    }

    #[test]
    fn a_phase_that_ran_twice_counts_with_the_sum() {
        let phase = |elapsed_ms| Event::PhaseFinished { phase: "images".into(), elapsed_ms, error: None };
        let report = Report::from_events(&[phase(5), phase(7)]);
        assert_eq!(report.timings.phases.get("images"), Some(&12));
    }
}
