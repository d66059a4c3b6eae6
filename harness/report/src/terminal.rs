//! The run as it goes, for the person who waits: bars on a terminal, plain lines everywhere else.

mod bars;
mod paint;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::{bars::Bars, paint::Paint};
use super::{explain::explain_below, rounds::Rounds, text};
use meshproof_model::event::{
    Conformance, ConformanceCount, ConformanceTest, Event, EventSink, ScenarioResult, StepResult, Verdict,
};
use meshproof_model::progress::Progress;
use meshproof_model::provider::Provider;
use meshproof_model::visible;

/// Plain lines repeat what a phase or step is doing at most this often.
const QUIET: Duration = Duration::from_secs(10);

/// Phases shorter than this are told only when they end.
const WORTH_ANNOUNCING: Duration = Duration::from_secs(1);

/// How the run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Moving bars for what runs, lines for what ended.
    Bars,
    /// Lines only.
    Plain,
}

/// Shows a run on stderr: bars if that is a terminal, plain lines if not. Colours as the terminal has
/// them, unless `NO_COLOR` is set. `verbose` tells every observation and each step's summary.
pub fn terminal(verbose: bool) -> Arc<Terminal> {
    let is_terminal = console::Term::stderr().is_term() && std::env::var_os("CI").is_none();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let paint = Paint::new(console::colors_enabled_stderr() && !no_color);
    let look = if is_terminal { Look::Bars } else { Look::Plain };
    Arc::new(Terminal::new(look, paint, Box::new(io::stderr()), verbose))
}

/// Shows events and progress.
pub struct Terminal {
    state: Mutex<State>,
    paint: Paint,
    verbose: bool,
}

struct State {
    bars: Option<Bars>,
    out: Box<dyn Write + Send>,
    running: BTreeMap<String, Running>,
    results: Option<PathBuf>,
    /// How each scenario ended, by its name among the results.
    ended: BTreeMap<String, Verdict>,
    /// Ids of scenarios that were not proved before.
    attempted: BTreeSet<String>,
    /// How many were proved in the run that this one follows.
    carried: usize,
    rounds: Rounds,
    steps: usize,
    /// What came of the Gateway API's conformance suite.
    conformance: Option<String>,
    /// Whether the cluster is somebody else's.
    existing: bool,
}

/// A phase or step under way.
struct Running {
    since: Instant,
    told: Instant,
    said: String,
}

impl Terminal {
    fn new(look: Look, paint: Paint, out: Box<dyn Write + Send>, verbose: bool) -> Self {
        let bars = (look == Look::Bars).then(Bars::new);
        let state = State {
            bars,
            out,
            running: BTreeMap::new(),
            results: None,
            ended: BTreeMap::new(),
            attempted: BTreeSet::new(),
            carried: 0,
            rounds: Rounds::default(),
            steps: 0,
            conformance: None,
            existing: false,
        };
        Self { state: Mutex::new(state), paint, verbose }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, state: &mut State, key: &str, label: &str, expected: Option<Duration>) {
        let now = Instant::now();
        if let Some(bars) = &mut state.bars {
            bars.begin(key, label, expected);
        }
        state.running.insert(key.to_string(), Running { since: now, told: now, said: String::new() });
    }

    /// What runs says what it is doing. On bars it replaces what was said before; plain lines say it only
    /// now and then, unless everything is wanted.
    fn note(&self, state: &mut State, key: &str, label: &str, message: &str) {
        if let Some(bars) = &mut state.bars {
            bars.note(key, message);
        }
        let plain = state.bars.is_none();
        let Some(running) = state.running.get_mut(key) else { return };
        let due = running.told.elapsed() >= QUIET || self.verbose;
        if plain && due && running.said != message {
            running.told = Instant::now();
            running.said = message.to_string();
            let elapsed = text::duration(text::ms(running.since.elapsed()));
            let line = if self.verbose {
                format!("    {} {message}", self.paint.dim("·"))
            } else {
                format!("    {} {label}, {elapsed} so far: {message}", self.paint.dim("·"))
            };
            state.say(&line);
        }
    }

    fn end(&self, state: &mut State, key: &str) {
        if let Some(bars) = &mut state.bars {
            bars.end(key);
        }
        state.running.remove(key);
    }

    fn phase_started(&self, phase: &str, expected: Option<Duration>) {
        let mut state = self.lock();
        self.begin(&mut state, phase, phase, expected);
        if state.bars.is_none()
            && let Some(expected) = expected.filter(|expected| *expected >= WORTH_ANNOUNCING)
        {
            let about = self.paint.dim(&format!("(about {})", text::duration(text::ms(expected))));
            state.say(&format!("… {phase} {about}"));
        }
    }

    fn phase_finished(&self, phase: &str, elapsed_ms: u64, error: Option<&str>) {
        let mut state = self.lock();
        self.end(&mut state, phase);
        let verdict = if error.is_some() { Verdict::Error } else { Verdict::Proved };
        let took = self.paint.dim(&text::duration(elapsed_ms));
        let mut line = format!("{} {phase} {took}", self.paint.sign(verdict));
        if let Some(error) = error {
            line.push_str(&format!(": {error}"));
        }
        state.say(&line);
    }

    fn step_finished(&self, state: &mut State, scenario: &str, step: &StepResult) {
        self.end(state, &step_key(scenario, step.info.index));
        let number = format!("{:>2}/{}", step.info.index + 1, state.steps);
        let proves = step.info.proves.join(" ");
        let mut line =
            format!("  {} {} {}", self.paint.sign(step.verdict), self.paint.dim(&number), step.info.name);
        if step.verdict.is_taken() {
            line.push_str(&format!("  {}", self.paint.dim(&text::duration(step.duration_ms))));
        }
        if !proves.is_empty() {
            line.push_str(&format!("  {}", self.paint.verdict(step.verdict, &proves)));
        }
        if !step.info.sets_aside.is_empty() && step.info.waived.is_none() {
            let not = format!("does not prove {}", step.info.sets_aside.join(" "));
            line.push_str(&format!("  {}", self.paint.dim(&not)));
        }
        if !step.info.waives.is_empty() && step.info.waived.is_none() {
            line.push_str(&format!(
                "  {}",
                self.paint.dim(&format!("waived {}", step.info.waives.join(" ")))
            ));
        }
        state.say(&line);
        if let Some(because) = &step.info.waived {
            state.say(&format!("         {}", self.paint.dim(&format!("waived: {because}"))));
        } else if let Some(instead) = &step.info.instead {
            let instead = format!("instead {}", text::in_other_words(instead));
            state.say(&format!("         {}", self.paint.dim(&instead)));
        }
        // Of a measured claim the summary is all there is to say.
        let worth_telling = self.verbose || (step.info.measured && step.verdict != Verdict::Skipped);
        if worth_telling && step.info.waived.is_none() && !step.observed.summary.is_empty() {
            state.say(&format!("         {}", self.paint.dim(&step.observed.summary)));
        }
        if self.verbose {
            for testimony in &step.observed.witnesses {
                let sign = if testimony.held { Verdict::Proved } else { Verdict::Failed };
                state.say(&format!(
                    "         {} {}: {}",
                    self.paint.sign(sign),
                    testimony.witness,
                    self.paint.dim(&testimony.summary)
                ));
            }
        }
    }

    fn scenario_finished(&self, state: &mut State, result: &ScenarioResult) {
        state.ended.insert(result.name(), result.verdict);
        state.rounds.add(result);
        let mut line = format!(
            "  {} in {}: {}",
            self.paint.verdict(result.verdict, &result.verdict.to_string()),
            text::duration(result.duration_ms),
            text::outcome(result),
        );
        if !result.errata.is_empty() {
            let ids: Vec<&str> = result.errata.iter().map(|erratum| erratum.id.as_str()).collect();
            line.push_str(&format!("; errata met: {}", ids.join(", ")));
        }
        state.say(&line);
        for erratum in result.errata.iter().filter(|_| shows_errata(result)) {
            let correction =
                erratum.correction.iter().map(|correction| format!("{} {correction}", erratum.id));
            correction.for_each(|correction| state.say(&format!("    {}", self.paint.dim(&correction))));
        }
        let explanation = explain_below(result, state.results.as_deref());
        if !explanation.is_empty() {
            state.say("");
            state.say(explanation.trim_end());
        }
        if !result.kept.is_empty() {
            let what_next = match state.existing {
                true => "remove it with helm and kubectl before the next run",
                false => "`meshproof status` says how to reach it, `meshproof down` removes it",
            };
            state.say(&format!("  left in the cluster: {}; {what_next}", result.kept.join(", ")));
        }
        state.say("");
    }

    fn test_finished(&self, state: &mut State, test: &ConformanceTest) {
        self.end(state, &test_key(&test.name));
        let took = self.paint.dim(&text::duration(test.duration_ms));
        let mut line = format!("  {} {} {took}", self.paint.sign(test.verdict), test.name);
        if !test.failed.is_empty() {
            line.push_str(&format!("  {}", self.paint.verdict(test.verdict, &test.failed.join(", "))));
        }
        state.say(&line);
        if !test.why.is_empty() {
            state.say(&format!("         {}", self.paint.dim(&test.why)));
        }
    }

    fn suite_finished(&self, state: &mut State, result: &Conformance) {
        for (name, profile) in &result.profiles {
            let line = |part: &str, count: &ConformanceCount| {
                let of = count.passed + count.failed + count.skipped;
                format!("{part} {} of {of}", count.passed)
            };
            let (core, extended) = (line("core", &profile.core), line("extended", &profile.extended));
            let line = format!(
                "  {name}: {core}, {extended} tests; {} claimed, {} not",
                text::count(profile.claimed.len(), "extended feature"),
                profile.unclaimed.len()
            );
            state.say(&line);
        }
        for problem in &result.problems {
            state.say(&format!("  {} {problem}", self.paint.sign(Verdict::Error)));
        }
        let report = state.results.as_ref().zip(result.report.as_ref());
        if let Some(line) = report.map(|(results, file)| format!("  report {}", results.join(file).display()))
        {
            state.say(&line);
        }
        state.conformance = Some(format!("conformance {}: {}", result.version, result.summary()));
    }

    fn run_finished(&self, state: &mut State, verdict: Verdict, total_ms: u64) {
        if let Some(bars) = &mut state.bars {
            bars.clear();
        }
        for line in state.rounds.lines() {
            state.say(&format!("  {line}"));
        }
        let scenarios = state.ended.len();
        let mut tally: BTreeMap<Verdict, usize> = BTreeMap::new();
        state.ended.values().for_each(|verdict| *tally.entry(*verdict).or_default() += 1);
        let mut parts: Vec<String> =
            tally.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let flaky = state.flaky();
        if !flaky.is_empty() {
            parts.push(format!("{} flaky ({})", flaky.len(), flaky.join(", ")));
        }
        if state.carried > 0 {
            parts.push(format!("{} carried over", state.carried));
        }
        let detail = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        let ran =
            if scenarios == 0 { "no scenario ran".to_string() } else { text::count(scenarios, "scenario") };
        let took = text::duration(total_ms);
        let ran = state.conformance.clone().filter(|_| scenarios == 0).unwrap_or(ran);
        state.say(&format!("{} {ran}{detail} in {took}", self.paint.sign(verdict)));
        let is_told = scenarios > 0 || state.conformance.is_some();
        if let Some(results) = state.results.clone().filter(|_| is_told) {
            state.say(&format!("  report {}", results.join("report.html").display()));
        }
    }
}

/// Whether the scenario is about errata: some of its claims had to fail. Only then is it told how to correct each.
fn shows_errata(result: &ScenarioResult) -> bool {
    result.steps.iter().any(|step| step.info.must_fail.is_some())
}

impl State {
    /// Scenarios that were proved only when they ran again.
    fn flaky(&self) -> Vec<String> {
        let good = |id: &&String| self.ended.get(*id).is_some_and(|verdict| verdict.is_good());
        self.attempted.iter().filter(good).cloned().collect()
    }

    /// Writes a line, above the bars if there are any. A broken pipe is not the run's problem.
    fn say(&mut self, line: &str) {
        match &self.bars {
            Some(bars) => bars.say(line),
            None => {
                let _ = writeln!(self.out, "{line}");
            }
        }
    }
}

fn step_key(scenario: &str, index: usize) -> String {
    format!("{scenario}#{index}")
}

fn test_key(name: &str) -> String {
    format!("conformance {name}")
}

impl EventSink for Terminal {
    fn emit(&self, event: &Event) {
        // Only then painted: colours are escape sequences, too.
        match &visible::of(event).unwrap_or_else(|_| event.clone()) {
            Event::PhaseStarted { phase, expected_ms } => {
                self.phase_started(phase, expected_ms.map(Duration::from_millis));
            }
            Event::PhaseNote { phase, message } => self.note(&mut self.lock(), phase, phase, message),
            Event::PhaseFinished { phase, elapsed_ms, error } => {
                self.phase_finished(phase, *elapsed_ms, error.as_deref());
            }
            Event::RunStarted { results, .. } => self.lock().results = Some(results.clone()),
            Event::Asked { rerun_of: Some(parent), .. } => {
                self.lock().say(&self.paint.dim(&format!("  again what run {parent} did not prove")));
            }
            Event::Proves { .. } | Event::Asked { .. } | Event::RestsOn { .. } => {}
            Event::CarriedOver { result, attempts } => {
                let mut state = self.lock();
                state.carried += 1;
                state.ended.insert(result.name(), result.verdict);
                if !attempts.is_empty() {
                    state.attempted.insert(result.id.clone());
                }
            }
            Event::NotCarriedOver { why } => {
                let line = format!("  nothing of it is carried over: {why}");
                self.lock().say(&self.paint.dim(&line));
            }
            Event::Attempted { scenario, attempt } => {
                let mut state = self.lock();
                state.attempted.insert(scenario.clone());
                let run = format!("  {scenario} {} in run {}: {}", attempt.verdict, attempt.run, attempt.why);
                state.say(&format!("{}; it runs again", self.paint.dim(&run)));
            }
            Event::ClusterReady { cluster, implementation } => {
                let istio = if cluster.istio.is_empty() { "no Istio" } else { &cluster.istio };
                let line = format!(
                    "  {}: Kubernetes {}, Istio {istio}, {}; {} {}",
                    cluster.provider,
                    cluster.kubernetes,
                    text::count(cluster.nodes, "node"),
                    implementation.name,
                    implementation.version
                );
                let mut state = self.lock();
                state.existing = cluster.provider == Provider::Existing.to_string();
                state.say(&self.paint.dim(&line));
            }
            Event::ScenarioStarted { scenario } => {
                let mut state = self.lock();
                state.steps = scenario.steps.len();
                let round = scenario.round.map(|round| format!("  (round {round})")).unwrap_or_default();
                let line = format!("\n{}  {}{round}", self.paint.bold(&scenario.id), scenario.title);
                state.say(&line);
            }
            Event::StepStarted { scenario, step, .. } => {
                let mut state = self.lock();
                let label = format!("{}/{} {}", step.index + 1, state.steps, step.name);
                self.begin(&mut state, &step_key(scenario, step.index), &label, None);
            }
            Event::Observed { scenario, step, message, .. } => {
                let label = format!("step {}", step + 1);
                self.note(&mut self.lock(), &step_key(scenario, *step), &label, message);
            }
            Event::StepFinished { scenario, step } => self.step_finished(&mut self.lock(), scenario, step),
            Event::ConformanceTestStarted { name } => {
                self.begin(&mut self.lock(), &test_key(name), name, None);
            }
            Event::ConformanceTestFinished { test } => self.test_finished(&mut self.lock(), test),
            Event::ConformanceFinished { result } => self.suite_finished(&mut self.lock(), result),
            Event::ScenarioFinished { result } => self.scenario_finished(&mut self.lock(), result),
            Event::RunFinished { verdict, total_ms, .. } => {
                self.run_finished(&mut self.lock(), *verdict, *total_ms);
            }
        }
    }
}

impl Progress for Terminal {
    fn started(&self, phase: &str, expected: Option<Duration>) {
        self.phase_started(&visible::text(phase), expected);
    }

    fn note(&self, phase: &str, message: &str) {
        let phase = visible::text(phase);
        Self::note(self, &mut self.lock(), &phase, &phase, &visible::text(message));
    }

    fn finished(&self, phase: &str, elapsed: Duration, error: Option<&str>) {
        let error = error.map(visible::text);
        self.phase_finished(&visible::text(phase), text::ms(elapsed), error.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// A writer whose content can be read afterwards.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        /// One without colours that writes onto a page, and what reads it.
        pub(crate) fn on_a_page(verbose: bool) -> (impl Fn() -> String, Self) {
            let page = Page::default();
            let terminal = Self::new(Look::Plain, Paint::new(false), Box::new(page.clone()), verbose);
            (move || String::from_utf8(page.0.lock().unwrap().clone()).unwrap(), terminal)
        }
    }

    fn shown(events: &[Event], colours: bool, verbose: bool) -> String {
        let page = Page::default();
        let terminal = Terminal::new(Look::Plain, Paint::new(colours), Box::new(page.clone()), verbose);
        events.iter().for_each(|event| terminal.emit(event));
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn plain_lines_tell_a_run_from_phases_to_the_explanation() {
        insta::assert_snapshot!(shown(&sample::failed_run(), false, false));
    }

    #[test]
    fn a_scenario_that_was_proved_only_when_it_ran_again_is_in_the_last_line() {
        let failed = sample::failed();
        let attempt = meshproof_model::event::Attempt::of("first", &failed);
        let proved = ScenarioResult { id: failed.id.clone(), ..sample::proved() };
        let end = Event::RunFinished { verdict: Verdict::Proved, exit_code: 0, total_ms: 1_000 };
        let carried = Event::CarriedOver { result: Box::new(sample::proved()), attempts: vec![] };
        let ended = |result| Event::ScenarioFinished { result: Box::new(result) };
        let again = Event::Attempted { scenario: failed.id.clone(), attempt };
        let shown = shown(&[carried, ended(failed), again, ended(proved), end], false, false);
        let last = "✓ 2 scenarios: 2 proved, 1 flaky (broken/istio-alpn), 1 carried over in 1.0 s";
        assert!(shown.contains(last) && shown.contains("broken/istio-alpn failed in run first"), "{shown}");
    }

    #[test]
    fn everything_is_told_when_asked_for() {
        insta::assert_snapshot!(shown(&sample::proved_run(), false, true));
    }

    #[test]
    fn what_is_waived_or_expected_otherwise_is_told_with_the_reason() {
        insta::assert_snapshot!(shown(&sample::waived_run(), false, false));
    }

    #[test]
    fn what_is_kept_is_told_with_what_to_do_about_it() {
        let mut result = sample::proved();
        result.kept = vec!["the implementation".into(), "namespace/isto-example-namespace".into()];
        let shown = shown(&[Event::ScenarioFinished { result: Box::new(result) }], false, false);
        assert!(shown.contains(
            "left in the cluster: the implementation, namespace/isto-example-namespace; `meshproof status`"
        ));
    }

    #[test]
    fn without_colours_there_is_no_escape_sequence() {
        assert!(!shown(&sample::failed_run(), false, true).contains('\u{1b}'));
        assert!(shown(&sample::failed_run(), true, false).contains('\u{1b}'));
    }

    #[test]
    fn progress_and_events_look_the_same() {
        let page = Page::default();
        let terminal = Terminal::new(Look::Plain, Paint::new(false), Box::new(page.clone()), false);
        terminal.started("cluster", Some(Duration::from_secs(18)));
        Progress::note(&terminal, "cluster", "nodes start");
        terminal.finished("cluster", Duration::from_millis(17_902), None);
        terminal.finished("engine", Duration::from_millis(5), Some("no Docker Engine answers"));
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "… cluster (about 18.0 s)\n✓ cluster 17.9 s\n! engine 5 ms: no Docker Engine answers\n"
        );
    }

    #[test]
    fn the_conformance_suite_is_told_test_by_test() {
        let shown = shown(&sample::conformance_run(), false, false);
        for said in [
            "✓ HTTPRouteSimpleSameNamespace 1.2 s",
            "✗ HTTPRouteRedirectHostAndStatus 30.0 s  0_request",
            "expected 302, seen 404",
            "GATEWAY-HTTP: core 33 of 34, extended 1 of 1 tests; 1 extended feature claimed, 1 not",
            "✗ conformance v1.6.3: 1 proved, 1 failed, 1 not claimed in",
        ] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
    }
}
