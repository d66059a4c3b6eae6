//! Moving bars: one for each phase or step under way.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::text;

const WIDTH: usize = 16;

/// All bars.
pub(super) struct Bars {
    all: MultiProgress,
    running: BTreeMap<String, ProgressBar>,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self { all: MultiProgress::new(), running: BTreeMap::new() }
    }

    pub(super) fn begin(&mut self, key: &str, label: &str, expected: Option<Duration>) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.set_style(style(expected));
        bar.set_prefix(label.to_string());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.running.insert(key.to_string(), bar);
    }

    pub(super) fn note(&self, key: &str, message: &str) {
        if let Some(bar) = self.running.get(key) {
            bar.set_message(message.lines().next().unwrap_or_default().to_string());
        }
    }

    pub(super) fn end(&mut self, key: &str) {
        if let Some(bar) = self.running.remove(key) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    pub(super) fn clear(&mut self) {
        for (_, bar) in std::mem::take(&mut self.running) {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }

    /// Writes lines above the bars.
    pub(super) fn say(&self, text: &str) {
        let _ = self.all.println(text);
    }
}

/// With an expected time, a bar that fills as the time passes; otherwise a spinner.
fn style(expected: Option<Duration>) -> ProgressStyle {
    let template = if expected.is_some() {
        "{spinner} {prefix} {time_bar} {wide_msg:.dim}"
    } else {
        "{spinner} {prefix} {time_bar:.dim} {wide_msg:.dim}"
    };
    // The template is a constant and known to be good; the plain spinner stands in if it ever is not.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.with_key("time_bar", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&time_bar(state.elapsed(), expected));
    })
}

/// `━━━━╌╌╌╌ 4.0 s of 8.0 s`. A phase that takes longer than expected keeps a full bar and goes on counting.
fn time_bar(elapsed: Duration, expected: Option<Duration>) -> String {
    // Tenths of a second from the start: milliseconds would only flicker.
    let took = match elapsed.as_secs() {
        0..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        _ => text::duration(text::ms(elapsed)),
    };
    let Some(expected) = expected.filter(|expected| !expected.is_zero()) else { return took };
    let done = (elapsed.as_secs_f64() / expected.as_secs_f64()).min(1.0);
    let full = (done * WIDTH as f64) as usize;
    let mut bar = String::new();
    let _ = write!(bar, "{}{}", "━".repeat(full), "╌".repeat(WIDTH - full));
    format!("{bar} {took} of {}", text::duration(text::ms(expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_with_the_expected_time_and_never_overflows() {
        let expected = Some(Duration::from_secs(8));
        assert_eq!(time_bar(Duration::from_secs(4), expected), "━━━━━━━━╌╌╌╌╌╌╌╌ 4.0 s of 8.0 s");
        assert!(time_bar(Duration::from_secs(80), expected).starts_with(&"━".repeat(WIDTH)));
        assert_eq!(time_bar(Duration::from_millis(300), None), "0.3 s");
    }
}
