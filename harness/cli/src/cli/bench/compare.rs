//! Figures of two gateways beside each other: medians, ratios, and the goals that there are for these. Pure.

use std::fmt::Write as _;

use serde::Serialize;

/// The smallest of the sorted values that at least this share of them does not exceed.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The middle one, of two the smaller.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Goal {
    /// So many times the other gateway's, or less.
    RatioAtMost(f64),
    /// So many times the other gateway's, or more.
    RatioAtLeast(f64),
    /// Ours is so much, or less, whatever the other's is.
    AtMost(f64),
    /// Ours is so much, or more, whatever the other's is.
    AtLeast(f64),
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Line {
    /// What was going on.
    pub(super) during: String,
    /// What was measured, with its unit.
    pub(super) figure: &'static str,
    pub(super) ours: f64,
    pub(super) theirs: f64,
    pub(super) ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) goal: Option<Goal>,
    /// Whether the goal is reached; nothing without a goal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reached: Option<bool>,
}

impl Line {
    /// Of the medians of all rounds.
    pub(super) fn new(
        during: impl ToString,
        figure: &'static str,
        ours: Vec<f64>,
        theirs: Vec<f64>,
        goal: Option<Goal>,
    ) -> Self {
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours / theirs;
        let reached = goal.map(|goal| match goal {
            Goal::RatioAtMost(most) => ratio <= most,
            Goal::RatioAtLeast(least) => ratio >= least,
            Goal::AtMost(most) => ours <= most,
            Goal::AtLeast(least) => ours >= least,
        });
        Self { during: during.to_string(), figure, ours, theirs, ratio, goal, reached }
    }
}

/// As a table; what goes on is said once.
pub(super) fn table(ours: &str, theirs: &str, lines: &[Line]) -> String {
    let mut text = format!("{:<34}{:<20}{ours:>20}{theirs:>12}{:>8}  goal\n", "load", "figure", "ratio");
    let mut last = "";
    for line in lines {
        let during = if last == line.during { "" } else { &line.during };
        last = &line.during;
        let goal = line.goal.map(|goal| match goal {
            Goal::RatioAtMost(most) => format!("ratio ≤ {most:.2}"),
            Goal::RatioAtLeast(least) => format!("ratio ≥ {least:.2}"),
            Goal::AtMost(most) => format!("≤ {}", number(most)),
            Goal::AtLeast(least) => format!("≥ {}", number(least)),
        });
        let reached = match line.reached {
            Some(true) => " reached",
            Some(false) => " missed",
            None => "",
        };
        let (ours, theirs) = (number(line.ours), number(line.theirs));
        let row = format!(
            "{during:<34}{:<20}{ours:>20}{theirs:>12}{:>8.2}  {}{reached}",
            line.figure,
            line.ratio,
            goal.unwrap_or_default()
        );
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// As many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_one_of_the_values() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| percentile(&sorted, share)), [50.0, 99.0, 100.0]);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
        assert!(percentile(&[], 0.5).is_nan());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn a_goal_is_reached_or_missed_and_what_cannot_be_measured_reaches_none() {
        let reached = |goal, ours, theirs| Line::new("", "", ours, theirs, Some(goal)).reached;
        assert_eq!(reached(Goal::RatioAtMost(0.75), vec![3.0], vec![4.0]), Some(true));
        assert_eq!(reached(Goal::RatioAtMost(0.75), vec![3.1], vec![4.0]), Some(false));
        assert_eq!(reached(Goal::RatioAtLeast(1.2), vec![6.0, 7.0, 9.0], vec![5.0]), Some(true));
        assert_eq!(reached(Goal::RatioAtLeast(1.2), vec![5.9], vec![5.0]), Some(false));
        assert_eq!(reached(Goal::AtMost(12.0), vec![12.0], vec![]), Some(true));
        assert_eq!(reached(Goal::AtLeast(99.9), vec![99.8], vec![100.0]), Some(false));
        assert_eq!(reached(Goal::AtMost(12.0), vec![], vec![1.0]), Some(false));
        assert_eq!(Line::new("", "", vec![1.0], vec![1.0], None).reached, None);
    }

    #[test]
    fn the_table_says_what_goes_on_once_and_every_goal_beside_its_figure() {
        let line = |figure, ours, goal| Line::new("closed loop", figure, vec![ours], vec![1000.0], goal);
        let lines = [
            line("requests a second", 1234.0, Some(Goal::RatioAtLeast(1.2))),
            line("p50, ms", 12.34, None),
            line("memory, MiB", 26.0, Some(Goal::AtMost(25.0))),
        ];
        insta::assert_snapshot!(table("alb", "istio", &lines), @r"
        load                              figure                               alb       istio   ratio  goal
        closed loop                       requests a second                   1234        1000    1.23  ratio ≥ 1.20 reached
                                          p50, ms                             12.3        1000    0.01
                                          memory, MiB                         26.0        1000    0.03  ≤ 25.0 missed
        ");
    }
}
