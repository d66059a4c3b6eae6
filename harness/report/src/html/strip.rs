//! Requests over time as a strip: what was answered as wanted, what otherwise, what not at all.

use crate::text;
use meshproof_model::event::{AnswerGroup, Hop, Observed, Stretch, Traffic};

/// More stretches than this are drawn together, so that each can still be seen and touched.
const DRAWN: usize = 150;
/// At most so many rows in a table; the report as data has all.
const ROWS: usize = 200;
/// So many failures of constant traffic are shown at once, on paper as well; more have to be asked for.
const SHOWN: usize = 20;

/// How an answer compares with what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// As wanted.
    Good,
    /// Something else was answered.
    Other,
    /// A failure: no answer at all, or with constant traffic anything but what was wanted.
    Broken,
}

impl Match {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Other => "other",
            Self::Broken => "broken",
        }
    }
}

/// A strip with what belongs to it.
pub(super) struct Strip {
    /// What it shows, for those who do not see it.
    pub(super) label: String,
    /// Where it begins and how wide it is, in percent of the scenario; a strip of one claim has all the width.
    pub(super) left: String,
    pub(super) width: String,
    pub(super) segments: Vec<Segment>,
    pub(super) key: Vec<Key>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) rows: Vec<Row>,
    /// What the table leaves out.
    pub(super) more: usize,
    /// Title of the table.
    pub(super) title: String,
    /// Whether the table is shown at once.
    pub(super) open: bool,
}

/// A piece of the strip.
pub(super) struct Segment {
    pub(super) class: &'static str,
    /// Milliseconds: its share of the width.
    pub(super) grow: u64,
    pub(super) tip: String,
}

/// What a colour means.
pub(super) struct Key {
    pub(super) class: &'static str,
    pub(super) words: String,
}

/// A row of the table below the strip.
pub(super) struct Row {
    pub(super) class: &'static str,
    pub(super) at: String,
    pub(super) count: String,
    pub(super) answer: String,
    pub(super) hop: String,
}

impl Strip {
    /// The answers to the requests of a claim; nothing if it sent none.
    pub(super) fn of_claim(observed: &Observed) -> Option<Self> {
        let stretches = observed.stretches.as_slice();
        let (first, last) = (stretches.first()?, stretches.last()?);
        let compare = |stretch: &Stretch| compare(stretch, &observed.settled);
        let total: usize = stretches.iter().map(|stretch| stretch.answers.count).sum();
        Some(Self {
            label: format!("{} over time", text::count(total, "request")),
            left: "0".into(),
            width: "100".into(),
            segments: segments(stretches, 0, last.until_ms.max(1), &compare),
            key: key(stretches, &compare),
            from: format!("first after {}", text::duration(first.at_ms)),
            to: text::duration(last.until_ms),
            rows: rows(stretches, &compare),
            more: stretches.len().saturating_sub(ROWS),
            title: "every answer over time".into(),
            open: false,
        })
    }

    /// Constant traffic, where it belongs in a scenario that took `whole_ms`. Times count from the scenario's start, as on
    /// its axis.
    pub(super) fn of_traffic(traffic: &Traffic, whole_ms: u64) -> Self {
        let traffic = &on_the_scenarios_clock(traffic);
        let end = traffic.started_ms + traffic.lasted_ms;
        let compare = |stretch: &Stretch| compare_traffic(stretch, traffic);
        let failures = traffic.failures.len();
        let rows = traffic.failures.iter().take(ROWS).map(|failure| Row {
            class: Match::Broken.class(),
            at: text::precise(failure.at_ms),
            count: String::new(),
            answer: if failure.seen.contains(&failure.reason) {
                failure.seen.clone()
            } else {
                format!("{} ({})", failure.seen, failure.reason)
            },
            hop: failure.hop.to_string(),
        });
        Self {
            label: format!(
                "{} at {} a second: {}; longest gap {}",
                text::count(usize::try_from(traffic.sent).unwrap_or(usize::MAX), "request"),
                traffic.rate,
                if failures == 0 { "none failed".to_owned() } else { format!("{failures} failed") },
                text::duration(traffic.longest_gap_ms)
            ),
            left: super::percent(traffic.started_ms, whole_ms),
            width: super::percent(traffic.lasted_ms, whole_ms.max(end)),
            segments: segments(&traffic.stretches, traffic.started_ms, end, &compare),
            key: key(&traffic.stretches, &compare),
            from: format!("from {}", text::duration(traffic.started_ms)),
            to: text::duration(end),
            rows: rows.collect(),
            more: failures.saturating_sub(ROWS),
            title: text::count(failures, "failure"),
            open: failures <= SHOWN,
        }
    }
}

fn on_the_scenarios_clock(traffic: &Traffic) -> Traffic {
    let mut traffic = traffic.clone();
    for stretch in &mut traffic.stretches {
        stretch.at_ms += traffic.started_ms;
        stretch.until_ms += traffic.started_ms;
    }
    traffic.failures.iter_mut().for_each(|failure| failure.at_ms += traffic.started_ms);
    traffic
}

/// An answer of a claim: wanted is what was answered when the claim had come to hold.
fn compare(stretch: &Stretch, settled: &[AnswerGroup]) -> Match {
    let answer = |group: &AnswerGroup| (group.status, group.failure.clone(), group.backend.clone());
    if settled.iter().any(|group| answer(group) == answer(&stretch.answers)) {
        Match::Good
    } else if stretch.hop == Hop::Connection {
        Match::Broken
    } else {
        Match::Other
    }
}

/// An answer of constant traffic: what failed is listed.
fn compare_traffic(stretch: &Stretch, traffic: &Traffic) -> Match {
    let failed = traffic.failures.iter().any(|failure| {
        (stretch.at_ms..=stretch.until_ms).contains(&failure.at_ms)
            && (failure.status, failure.hop) == (stretch.answers.status, stretch.hop)
    });
    if failed { Match::Broken } else { Match::Good }
}

/// The strip from `from` to `to`: each stretch lasts until the next one begins.
fn segments(stretches: &[Stretch], from: u64, to: u64, compare: &dyn Fn(&Stretch) -> Match) -> Vec<Segment> {
    let mut pieces: Vec<Segment> = Vec::new();
    let start = stretches.first().map_or(to, |first| first.at_ms);
    if start > from {
        pieces.push(Segment { class: "none", grow: start - from, tip: String::new() });
    }
    if stretches.len() > DRAWN {
        pieces.extend(together(stretches, start, to, compare));
        return pieces;
    }
    for (index, stretch) in stretches.iter().enumerate() {
        let end = stretches.get(index + 1).map_or(to.max(stretch.until_ms), |next| next.at_ms);
        pieces.push(Segment {
            class: compare(stretch).class(),
            grow: (end - stretch.at_ms.min(end)).max(1),
            tip: format!("{}: {}, {}", span(stretch), text::answers(&stretch.answers), by(stretch.hop)),
        });
    }
    pieces
}

/// Many stretches in pieces of equal time; the worst of a piece gives its colour.
fn together(stretches: &[Stretch], from: u64, to: u64, compare: &dyn Fn(&Stretch) -> Match) -> Vec<Segment> {
    let pieces = DRAWN as u64;
    let length = (to.max(from + 1) - from).div_ceil(pieces).max(1);
    let piece = |number: u64| {
        let (start, end) = (from + number * length, from + (number + 1) * length);
        let own: Vec<&Stretch> = stretches.iter().filter(|s| s.at_ms < end && s.until_ms >= start).collect();
        let mut kinds: Vec<(Match, String)> =
            own.iter().map(|stretch| (compare(stretch), text::answer(&stretch.answers))).collect();
        kinds.sort_by(|one, other| other.cmp(one));
        kinds.dedup();
        let class = kinds.first().map_or("none", |(worst, _)| worst.class());
        let answers: Vec<String> = kinds.into_iter().map(|(_, answer)| answer).collect();
        let tip = match answers.is_empty() {
            true => String::new(),
            false => {
                format!("{} to {}: {}", text::precise(start), text::precise(end), answers.join(", "))
            }
        };
        Segment { class, grow: length, tip }
    };
    (0..pieces).map(piece).collect()
}

/// `at 1.200 s` or `1.200 s to 3.400 s`.
fn span(stretch: &Stretch) -> String {
    match (stretch.at_ms, stretch.until_ms) {
        (at, until) if at == until => format!("at {}", text::precise(at)),
        (at, until) => format!("{} to {}", text::precise(at), text::precise(until)),
    }
}

fn by(hop: Hop) -> String {
    match hop {
        Hop::Connection => "nobody answered".into(),
        hop => format!("answered by the {hop}"),
    }
}

/// Each kind of answer once, with its number, in order of first appearance.
fn key(stretches: &[Stretch], compare: &dyn Fn(&Stretch) -> Match) -> Vec<Key> {
    let mut kinds: Vec<(&'static str, AnswerGroup)> = Vec::new();
    for stretch in stretches {
        let class = compare(stretch).class();
        let alike = |(known, group): &&mut (&'static str, AnswerGroup)| {
            *known == class && text::answer(group) == text::answer(&stretch.answers)
        };
        match kinds.iter_mut().find(alike) {
            Some((_, group)) => group.count += stretch.answers.count,
            None => kinds.push((class, stretch.answers.clone())),
        }
    }
    kinds.into_iter().map(|(class, group)| Key { class, words: text::answers(&group) }).collect()
}

fn rows(stretches: &[Stretch], compare: &dyn Fn(&Stretch) -> Match) -> Vec<Row> {
    let row = |stretch: &Stretch| Row {
        class: compare(stretch).class(),
        at: span(stretch).trim_start_matches("at ").to_owned(),
        count: stretch.answers.count.to_string(),
        answer: text::answer(&stretch.answers),
        hop: stretch.hop.to_string(),
    };
    stretches.iter().take(ROWS).map(row).collect()
}

#[cfg(test)]
mod tests;
