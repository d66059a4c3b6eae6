//! Phases with their times, as a table that shows what overlapped.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshproof_model::progress::Progress;

/// Columns of the drawing beside the numbers.
const WIDTH: usize = 40;

/// One phase that ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PhaseTime {
    /// Its name.
    pub name: String,
    /// When it began, since the recording did.
    pub start: Duration,
    /// How long it took.
    pub took: Duration,
}

/// Records phases and hands them on.
pub struct PhaseRecorder<'a> {
    since: Instant,
    next: &'a dyn Progress,
    phases: Mutex<Vec<(String, Duration, Option<Duration>)>>,
}

impl<'a> PhaseRecorder<'a> {
    /// Starts recording; what is heard goes on to `next`.
    pub fn new(next: &'a dyn Progress) -> Self {
        Self { since: Instant::now(), next, phases: Mutex::default() }
    }

    /// The phases that ended, in the order in which they began.
    pub fn phases(&self) -> Vec<PhaseTime> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases
            .iter()
            .filter_map(|(name, start, took)| {
                took.map(|took| PhaseTime { name: name.clone(), start: *start, took })
            })
            .collect()
    }
}

impl Progress for PhaseRecorder<'_> {
    fn started(&self, phase: &str, expected: Option<Duration>) {
        let now = self.since.elapsed();
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).push((phase.to_owned(), now, None));
        self.next.started(phase, expected);
    }

    fn note(&self, phase: &str, message: &str) {
        self.next.note(phase, message);
    }

    fn finished(&self, phase: &str, elapsed: Duration, error: Option<&str>) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let open = phases.iter_mut().rev().find(|(name, _, took)| name == phase && took.is_none());
        if let Some((_, _, took)) = open {
            *took = Some(elapsed);
        }
        drop(phases);
        self.next.finished(phase, elapsed, error);
    }
}

/// A table of phases with a drawing of when each ran; `total` is the time of the whole.
pub fn table(title: &str, phases: &[PhaseTime], total: Duration) -> String {
    let name =
        phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(0).max(title.chars().count());
    let mut text = format!("{title:<name$}  {:>7}  {:>7}\n", "from", "took");
    for phase in phases {
        let (start, took) = (phase.start.as_secs_f64(), phase.took.as_secs_f64());
        let bar = bar(phase.start, phase.took, total);
        text += &format!("{:<name$}  {start:>5.1} s  {took:>5.1} s  {bar}\n", phase.name);
    }
    text += &format!("{:<name$}  {:>7}  {:>5.1} s\n", "total", "", total.as_secs_f64());
    text
}

fn bar(start: Duration, took: Duration, total: Duration) -> String {
    let scale = |time: Duration| {
        let share = time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        // In 0..=WIDTH, so neither sign nor size is lost.
        (share * WIDTH as f64).round().clamp(0.0, WIDTH as f64) as usize
    };
    let from = scale(start).min(WIDTH - 1);
    let to = scale(start + took).max(from + 1);
    format!("{}{}", "·".repeat(from), "█".repeat(to - from))
}

/// The middle of an odd number of times; of an even number, the later of the two middle ones.
pub fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::progress::Silent;

    fn phase(name: &str, start: u64, took: u64) -> PhaseTime {
        PhaseTime {
            name: name.into(),
            start: Duration::from_millis(start),
            took: Duration::from_millis(took),
        }
    }

    #[test]
    fn a_table_shows_times_and_overlap() {
        let phases = [phase("kind", 0, 10_000), phase("istio", 5_000, 10_000)];
        let table = table("up", &phases, Duration::from_secs(20));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], format!("kind     0.0 s   10.0 s  {}", "█".repeat(20)));
        assert_eq!(lines[2], format!("istio    5.0 s   10.0 s  {}{}", "·".repeat(10), "█".repeat(20)));
        assert_eq!(lines[3], "total            20.0 s");
    }

    #[test]
    fn a_phase_too_short_to_draw_is_drawn() {
        assert_eq!(
            bar(Duration::from_secs(20), Duration::ZERO, Duration::from_secs(20)).chars().last(),
            Some('█')
        );
        assert!(!bar(Duration::ZERO, Duration::ZERO, Duration::ZERO).is_empty());
    }

    #[test]
    fn phases_of_the_same_name_are_told_apart_and_unfinished_ones_left_out() {
        let recorder = PhaseRecorder::new(&Silent);
        for took in [1, 2] {
            recorder.started("load", None);
            recorder.finished("load", Duration::from_secs(took), None);
        }
        recorder.started("open", None);
        let took: Vec<u64> = recorder.phases().iter().map(|phase| phase.took.as_secs()).collect();
        assert_eq!(took, [1, 2]);
    }

    #[test]
    fn the_median_is_one_of_the_times() {
        let times = |list: &[u64]| list.iter().copied().map(Duration::from_secs).collect();
        assert_eq!(median(times(&[3, 1, 2])), Some(Duration::from_secs(2)));
        assert_eq!(median(Vec::new()), None);
    }
}
