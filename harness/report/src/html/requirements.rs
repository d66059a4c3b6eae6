//! The catalogue on the page: what this run proved of it, what not, what it did not try.

use crate::json::Report;
use crate::text;
use meshproof_model::event::{ScenarioResult, StepResult, Verdict};
use meshproof_model::requirement::{Catalogue, Kind, Requirement as Promise};

/// What a run knows of a requirement. The order is that of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Failed,
    Error,
    Skipped,
    Proved,
    Partly,
    Measured,
    Open,
    Waived,
}

impl State {
    const ALL: [Self; 8] = [
        Self::Proved,
        Self::Partly,
        Self::Failed,
        Self::Error,
        Self::Skipped,
        Self::Measured,
        Self::Open,
        Self::Waived,
    ];

    fn of(verdict: Option<Verdict>, kind: Kind) -> Self {
        match (verdict, kind) {
            (Some(Verdict::Waived), _) => Self::Waived,
            (Some(Verdict::Measured), _) => Self::Measured,
            (Some(Verdict::Partly), _) => Self::Partly,
            (Some(Verdict::Proved), _) => Self::Proved,
            (Some(Verdict::Failed), _) => Self::Failed,
            (Some(Verdict::Error), _) => Self::Error,
            (Some(Verdict::Skipped), _) => Self::Skipped,
            (None, Kind::A) => Self::Waived,
            (None, _) => Self::Open,
        }
    }

    /// For people.
    fn words(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Partly => "partly",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Skipped => "not reached",
            Self::Measured => "measured",
            Self::Open => "not in this run",
            Self::Waived => "waived",
        }
    }

    /// For the style sheet.
    fn class(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Open => "open",
            other => other.words(),
        }
    }
}

/// A requirement on the page.
pub(super) struct Requirement {
    state: State,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) lines: String,
    pub(super) words: &'static str,
    pub(super) class: &'static str,
    /// Why it is waived, or proved in part only.
    pub(super) remark: String,
    pub(super) steps: Vec<StepLink>,
}

/// A link to a step that proves it.
pub(super) struct StepLink {
    pub(super) anchor: String,
    pub(super) label: String,
}

/// How many requirements are in a state.
pub(super) struct Tile {
    pub(super) count: usize,
    pub(super) words: &'static str,
    pub(super) class: &'static str,
}

/// Every requirement of the pack with what this run knows of it, over all scenarios.
pub(super) fn of(report: &Report) -> Vec<Requirement> {
    let built_in = || Catalogue::built_in().map(|catalogue| catalogue.requirements).unwrap_or_default();
    let promises = report.pack.as_ref().map_or_else(built_in, |pack| pack.requirements.clone());
    promises.iter().map(|promise| requirement(report, promise)).collect()
}

fn requirement(report: &Report, promise: &Promise) -> Requirement {
    let every = report.scenarios.iter().flat_map(|scenario| &scenario.requirements);
    let own: Vec<_> = every.filter(|requirement| requirement.id == promise.id).collect();
    let verdict = Verdict::of_parts(own.iter().map(|requirement| requirement.verdict));
    let waived = own.iter().find_map(|requirement| requirement.waived.as_ref());
    let state = State::of(verdict, promise.kind);
    Requirement {
        state,
        id: promise.id.clone(),
        text: promise.text.clone(),
        lines: promise.lines.replace(',', ", "),
        words: state.words(),
        class: state.class(),
        remark: promise.waived.as_ref().or(waived).cloned().unwrap_or_default(),
        steps: links(report, &promise.id),
    }
}

/// Every step about a requirement, with its scenario.
fn steps_about<'a>(
    report: &'a Report,
    id: &'a str,
) -> impl Iterator<Item = (&'a ScenarioResult, &'a StepResult)> {
    let every =
        report.scenarios.iter().flat_map(|scenario| scenario.steps.iter().map(move |step| (scenario, step)));
    let about =
        move |step: &StepResult| step.info.proves.iter().chain(&step.info.sets_aside).any(|it| it == id);
    every.filter(move |(_, step)| about(step))
}

/// Links to the steps about a requirement; of repetitions only the first, and those that did not end well.
fn links(report: &Report, id: &str) -> Vec<StepLink> {
    let several = report.scenarios.len() > 1;
    let worth = |(scenario, step): &(&ScenarioResult, &StepResult)| {
        scenario.round.is_none_or(|round| round == 1) || !step.verdict.is_good()
    };
    let link = |(scenario, step): (&ScenarioResult, &StepResult)| {
        let (name, number) = (scenario.name(), step.info.index + 1);
        let label = if several { format!("{name}, step {number}") } else { format!("step {number}") };
        StepLink { anchor: super::step_anchor(&name, number), label }
    };
    steps_about(report, id).filter(worth).map(link).collect()
}

/// Those states that occur, with their numbers.
pub(super) fn tiles(requirements: &[Requirement]) -> Vec<Tile> {
    let tile = |state: State| Tile {
        count: requirements.iter().filter(|requirement| requirement.state == state).count(),
        words: state.words(),
        class: state.class(),
    };
    State::ALL.into_iter().map(tile).filter(|tile| tile.count > 0).collect()
}

/// More requirements than this are counted, not named.
const NAMED: usize = 6;

/// What the run says of the document, in one line: `R45 failed, 2 not reached; 29 of 32 requirements proved`. Only what is
/// proved is called so.
pub(super) fn headline(requirements: &[Requirement]) -> String {
    let of = |state| requirements.iter().filter(move |requirement| requirement.state == state);
    let named = |state| {
        let ids: Vec<&str> = of(state).map(|requirement| requirement.id.as_str()).collect();
        if ids.len() > NAMED { text::count(ids.len(), "requirement") } else { ids.join(", ") }
    };
    let proved = of(State::Proved).count();
    let mut not = Vec::new();
    if of(State::Failed).next().is_some() {
        not.push(format!("{} failed", named(State::Failed)));
    }
    if of(State::Error).next().is_some() {
        not.push(format!("{} not put to the test for an error", named(State::Error)));
    }
    let skipped = of(State::Skipped).count();
    if skipped > 0 {
        not.push(format!("{skipped} not reached"));
    }
    if of(State::Partly).next().is_some() {
        not.push(format!("{} proved in part", named(State::Partly)));
    }
    if of(State::Measured).next().is_some() {
        not.push(format!("{} measured", named(State::Measured)));
    }
    let untried = of(State::Open).count() + of(State::Waived).count();
    match (requirements.len() - untried, not.is_empty()) {
        (0, _) => "No requirement was put to the test".to_owned(),
        (of, true) => format!("{} proved", text::count(of, "requirement")),
        (of, false) => format!("{}; {proved} of {} proved", not.join(", "), text::count(of, "requirement")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(states: &[State]) -> Vec<Requirement> {
        let one = |(number, state): (usize, &State)| Requirement {
            state: *state,
            id: format!("R{}", number + 1),
            text: String::new(),
            lines: String::new(),
            words: state.words(),
            class: state.class(),
            remark: String::new(),
            steps: vec![],
        };
        states.iter().enumerate().map(one).collect()
    }

    #[test]
    fn the_headline_says_what_was_not_proved() {
        use State::{Error, Failed, Measured, Open, Partly, Proved, Skipped, Waived};
        for (states, said) in [
            (&[Open, Waived][..], "No requirement was put to the test"),
            (&[Proved, Proved, Open], "2 requirements proved"),
            (&[Proved, Measured, Open], "R2 measured; 1 of 2 requirements proved"),
            (&[Proved, Partly, Partly], "R2, R3 proved in part; 1 of 3 requirements proved"),
            (&[Proved, Failed, Open], "R2 failed; 1 of 2 requirements proved"),
            (&[Failed, Failed, Skipped], "R1, R2 failed, 1 not reached; 0 of 3 requirements proved"),
            (&[Failed; 7], "7 requirements failed; 0 of 7 requirements proved"),
            (&[Error], "R1 not put to the test for an error; 0 of 1 requirement proved"),
        ] {
            assert_eq!(headline(&of(states)), said);
        }
    }

    #[test]
    fn what_is_only_measured_is_not_called_proved() {
        let mut report = Report::from_events(&crate::sample::proved_run());
        let state = |report: &Report| super::of(report).into_iter().find(|r| r.id == "R43").unwrap().state;
        assert_eq!(state(&report), State::Proved);
        let verdict = |report: &mut Report, verdict| {
            let r43 = report.scenarios[0].requirements.iter_mut().find(|r| r.id == "R43").unwrap();
            r43.verdict = verdict;
        };
        verdict(&mut report, Verdict::Measured);
        assert_eq!(state(&report), State::Measured);
        verdict(&mut report, Verdict::Partly);
        assert_eq!(state(&report), State::Partly);
    }

    #[test]
    fn of_repetitions_the_first_is_linked_and_those_that_went_wrong() {
        use crate::sample;
        let round =
            |round, result: ScenarioResult| ScenarioResult { id: "s".into(), round: Some(round), ..result };
        let mut report = Report::from_events(&sample::proved_run());
        report.scenarios =
            vec![round(1, sample::proved()), round(2, sample::proved()), round(3, sample::failed())];
        let labels: Vec<String> = links(&report, "R45").into_iter().map(|link| link.label).collect();
        assert_eq!(labels, ["s, step 5", "s~3, step 5"]);
    }

    #[test]
    fn only_states_that_occur_have_a_tile() {
        let tiles = tiles(&of(&[State::Open, State::Proved, State::Open]));
        let tiles: Vec<_> = tiles.iter().map(|tile| (tile.count, tile.words)).collect();
        assert_eq!(tiles, [(1, "proved"), (2, "not in this run")]);
    }
}
