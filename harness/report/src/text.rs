//! Small pieces of text that several reporters share.

use std::time::Duration;

use meshproof_model::event::{AnswerGroup, Broken, Instead, RequirementResult, ScenarioResult, Verdict};

/// `312 ms`, `4.2 s`, `2 min 05 s`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        _ => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// The same to the millisecond, to tell requests apart: `312 ms`, `4.230 s`, `2 min 05.000 s`.
pub(super) fn precise(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{:03} s", ms / 1_000, ms % 1_000),
        _ => format!("{} min {:02}.{:03} s", ms / 60_000, ms % 60_000 / 1_000, ms % 1_000),
    }
}

/// A time as RFC 3339 writes it, for people: `2026-11-23 23:27:10 UTC`. Anything else stays as it is.
pub(super) fn moment(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

/// Milliseconds of a duration.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `20 × 200 from backend-v1 (ok)`.
pub(super) fn answers(group: &AnswerGroup) -> String {
    format!("{} × {}", group.count, answer(group))
}

/// The same without the count.
pub(super) fn answer(group: &AnswerGroup) -> String {
    let mut text = match (group.status, &group.failure) {
        (Some(status), _) => status.to_string(),
        (None, Some(failure)) => format!("no answer ({failure})"),
        (None, None) => "no answer".to_string(),
    };
    if let Some(backend) = &group.backend {
        text.push_str(&format!(" from {backend}"));
    }
    // Of a request that nobody answered the reason is how it failed.
    if let Some(reason) = group.reason.as_ref().filter(|reason| Some(*reason) != group.failure.as_ref()) {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

/// A sign for a verdict, one column wide.
pub(super) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proved => "✓",
        Verdict::Partly => "◐",
        Verdict::Measured => "≈",
        Verdict::Waived => "○",
        Verdict::Failed => "✗",
        Verdict::Error => "!",
        Verdict::Skipped => "–",
    }
}

/// What the implementation is asked for instead of what the scenario says, and why.
pub(super) fn in_other_words(instead: &Instead) -> String {
    let of = instead.of.as_ref().map_or_else(|| "what the scenario says".to_owned(), |of| format!("`{of}`"));
    let still = instead.still_proves.iter().map(|(id, because)| format!(" It still proves {id}: {because}"));
    format!("of {of}: {}{}", instead.because, still.collect::<String>())
}

/// What came of a scenario: what it proved of what, or whether a world that is broken on purpose turned red.
pub(super) fn outcome(result: &ScenarioResult) -> String {
    match &result.broken {
        None => requirements(&result.requirements),
        Some(Broken { step, with }) if result.is_red_as_expected() => {
            format!("red as expected: step {} failed with {}", step + 1, with.diagnosis)
        }
        Some(Broken { step, with }) => {
            format!("not red as expected: step {} was to fail with {with}", step + 1)
        }
    }
}

/// `29 of 32 requirements proved, 2 partly, 1 waived`.
fn requirements(requirements: &[RequirementResult]) -> String {
    let of = |verdict| requirements.iter().filter(|requirement| requirement.verdict == verdict).count();
    let mut text = format!("{} of {} proved", of(Verdict::Proved), count(requirements.len(), "requirement"));
    for verdict in [Verdict::Partly, Verdict::Measured, Verdict::Waived] {
        if of(verdict) > 0 {
            text.push_str(&format!(", {} {verdict}", of(verdict)));
        }
    }
    text
}

/// `1 step`, `2 steps`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        assert_eq!([312, 4_230, 125_000].map(duration), ["312 ms", "4.2 s", "2 min 05 s"]);
        assert_eq!([312, 4_230, 125_000].map(precise), ["312 ms", "4.230 s", "2 min 05.000 s"]);
    }

    #[test]
    fn a_moment_has_no_fractions() {
        assert_eq!(moment("2026-11-23T23:27:10.5302476Z"), "2026-11-23 23:27:10 UTC");
        assert_eq!(moment("yesterday"), "yesterday");
    }

    #[test]
    fn an_answer_says_who_and_why() {
        let mut group = AnswerGroup {
            status: Some(200),
            failure: None,
            backend: Some("backend-v1".into()),
            reason: None,
            count: 3,
        };
        assert_eq!(answers(&group), "3 × 200 from backend-v1");
        group = AnswerGroup {
            status: None,
            failure: Some("reset".into()),
            backend: None,
            reason: None,
            count: 1,
        };
        assert_eq!(answers(&group), "1 × no answer (reset)");
        group.reason = Some("reset".into());
        assert_eq!(answers(&group), "1 × no answer (reset)", "said once");
    }
}
