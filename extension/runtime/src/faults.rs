//! Faults on purpose: ways in which a program is wrong, chosen by name when it starts.
//!
//! They exist only with the feature `faults`, in images of their own that nothing but mutants uses; no image that is
//! shipped has a line of it. A program asks where it would do right; the first time a fault makes it do wrong, it says so in
//! its log, so that a mutant that never acted is not taken for one that nobody noticed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The environment variable that names the fault.
pub const VARIABLE: &str = "ALB_FAULT";
/// How long a program with the fault `restarts` lives.
const LIFE: Duration = Duration::from_secs(12);

static CHOSEN: LazyLock<Option<String>> =
    LazyLock::new(|| std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()));
static ACTED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
static COUNTED: AtomicU64 = AtomicU64::new(0);

/// Says which fault is chosen, and begins those that need no occasion. Call it once, when the log is set up.
pub fn begin() {
    let Some(name) = CHOSEN.as_deref() else { return };
    tracing::warn!("fault on purpose chosen: {name}");
    if is("restarts") {
        std::thread::spawn(|| {
            std::thread::sleep(LIFE);
            acted("restarts");
            std::process::exit(1);
        });
    }
}

/// Whether this fault is chosen.
pub fn is(name: &str) -> bool {
    CHOSEN.as_deref() == Some(name)
}

/// The same, where asking means that it acts.
pub fn acts(name: &'static str) -> bool {
    let chosen = is(name);
    if chosen {
        acted(name);
    }
    chosen
}

/// Notes that a fault has made a difference; the first time, the log says so.
pub fn acted(name: &'static str) {
    if ACTED.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
        tracing::warn!("fault on purpose acted: {name}");
    }
}

/// True once in so many calls, the first time at the end of the first round.
pub fn one_in(number: u64) -> bool {
    (COUNTED.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_variable_no_fault_is_chosen() {
        assert!(!is("restarts") && !acts("restarts"));
        begin();
    }

    #[test]
    fn a_share_is_taken_from_the_end_of_each_round() {
        let taken: Vec<bool> = (0..4).map(|_| one_in(2)).collect();
        assert_eq!(taken, [false, true, false, true]);
    }
}
