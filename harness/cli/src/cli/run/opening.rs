//! How every run begins and ends, whatever it does: who hears of it, and where its results go.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use tokio::time::Instant;

use crate::cli::exit;
use meshproof_model::event::{Event, EventSink, Fanout, Partition, Recorder, ScenarioInfo, Verdict};
use meshproof_report as report;
use meshproof_run::context::millis;

/// A run that has begun.
pub(in crate::cli) struct Opening {
    /// Its name, by which everything that it makes is known.
    pub(in crate::cli) name: String,
    /// Folder of its results.
    pub(in crate::cli) results: PathBuf,
    /// The terminal, and what is remembered for the reports.
    pub(in crate::cli) sink: Arc<dyn EventSink>,
    /// What is remembered.
    pub(in crate::cli) recorder: Arc<Recorder>,
    begun: Instant,
}

impl Opening {
    /// Begins a run of these scenarios, with its results in a folder below `results`.
    pub(in crate::cli) fn new(
        results: &Path,
        verbose: bool,
        scenarios: Vec<ScenarioInfo>,
        partition: Option<Partition>,
    ) -> Self {
        let recorder = Arc::new(Recorder::default());
        let sink: Arc<dyn EventSink> =
            Arc::new(Fanout::new().with(report::terminal(verbose)).with(recorder.clone()));
        let begun = Instant::now();
        let name = run_name();
        let results = results.join(&name);
        let started = jiff::Timestamp::now().to_string();
        sink.emit(&Event::RunStarted {
            run: name.clone(),
            started,
            results: results.clone(),
            scenarios,
            partition,
        });
        Self { name, results, sink, recorder, begun }
    }

    /// Tells how it ended, and writes what came of it; the exit code.
    pub(in crate::cli) fn end(&self, verdict: Verdict, exit_code: u8) -> u8 {
        let total_ms = millis(self.begun.elapsed());
        self.sink.emit(&Event::RunFinished { verdict, exit_code, total_ms });
        match report::write_all(&self.results, &self.recorder.events()) {
            Ok(()) => exit_code,
            Err(error) => {
                eprintln!("writing the results below {}: {error}", self.results.display());
                exit_code.max(exit::SETUP)
            }
        }
    }
}

/// Name of a run: sorts by time, and two that start together differ.
pub(in crate::cli) fn run_name() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{now}-{}", process::id())
}
