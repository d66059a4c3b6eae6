//! The catalogue on the page: what this run proved of it, what not, what it did not try.

use crate::event::Verdict;
use crate::report::json::Report;
use crate::report::text;
use crate::requirement::{Catalogue, Kind, Requirement as Promise};

/// What a run knows of a requirement. The order is that of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Failed,
    Error,
    Skipped,
    Proved,
    Measured,
    Open,
    Waived,
}

impl State {
    const ALL: [Self; 7] =
        [Self::Proved, Self::Failed, Self::Error, Self::Skipped, Self::Measured, Self::Open, Self::Waived];

    fn of(verdict: Option<Verdict>, kind: Kind) -> Self {
        match (verdict, kind) {
            (Some(Verdict::Proved), Kind::U) => Self::Measured,
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
    /// Why it is waived.
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

/// Every requirement of the catalogue with what this run knows of it. The worst verdict of all scenarios counts.
pub(super) fn of(report: &Report) -> Vec<Requirement> {
    let catalogue = Catalogue::built_in().map(|catalogue| catalogue.requirements).unwrap_or_default();
    catalogue.iter().map(|promise| requirement(report, promise)).collect()
}

fn requirement(report: &Report, promise: &Promise) -> Requirement {
    let every = report.scenarios.iter().flat_map(|scenario| &scenario.requirements);
    let own = every.filter(|requirement| requirement.id == promise.id);
    let state = State::of(own.map(|requirement| requirement.verdict).max(), promise.kind);
    Requirement {
        state,
        id: promise.id.clone(),
        text: promise.text.clone(),
        lines: promise.lines.replace(',', ", "),
        words: state.words(),
        class: state.class(),
        remark: promise.waived.clone().unwrap_or_default(),
        steps: steps_that_prove(report, &promise.id),
    }
}

fn steps_that_prove(report: &Report, id: &str) -> Vec<StepLink> {
    let several = report.scenarios.len() > 1;
    let mut links = Vec::new();
    for scenario in &report.scenarios {
        for step in scenario.steps.iter().filter(|step| step.info.proves.iter().any(|proved| proved == id)) {
            let number = step.info.index + 1;
            let name = scenario.name();
            let label = if several { format!("{name} {number}") } else { format!("step {number}") };
            links.push(StepLink { anchor: super::step_anchor(&name, number), label });
        }
    }
    links
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

/// What the run says of the document, in one line: `R45 is not proved; 30 of 31 requirements are`.
pub(super) fn headline(requirements: &[Requirement]) -> String {
    let held = |state| matches!(state, State::Proved | State::Measured);
    let tried: Vec<&Requirement> =
        requirements.iter().filter(|r| !matches!(r.state, State::Open | State::Waived)).collect();
    let not: Vec<&str> = tried.iter().filter(|r| !held(r.state)).map(|r| r.id.as_str()).collect();
    let proved = tried.len() - not.len();
    match (tried.len(), not.as_slice()) {
        (0, _) => "No requirement was put to the test".to_owned(),
        (of, []) if of == proved => format!("{} proved", text::count(of, "requirement")),
        (of, [one]) => format!("{one} is not proved; {proved} of {} are", text::count(of, "requirement")),
        (of, several) if several.len() <= 6 => {
            format!(
                "{} are not proved; {proved} of {} are",
                several.join(", "),
                text::count(of, "requirement")
            )
        }
        (of, several) => {
            format!("{} of {} are not proved", several.len(), text::count(of, "requirement"))
        }
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
        use State::{Failed, Measured, Open, Proved, Skipped, Waived};
        for (states, said) in [
            (&[Open, Waived][..], "No requirement was put to the test"),
            (&[Proved, Measured, Open], "2 requirements proved"),
            (&[Proved, Failed, Open], "R2 is not proved; 1 of 2 requirements are"),
            (&[Failed, Skipped], "R1, R2 are not proved; 0 of 2 requirements are"),
            (&[Failed; 7], "7 of 7 requirements are not proved"),
        ] {
            assert_eq!(headline(&of(states)), said);
        }
    }

    #[test]
    fn only_states_that_occur_have_a_tile() {
        let tiles = tiles(&of(&[State::Open, State::Proved, State::Open]));
        let tiles: Vec<_> = tiles.iter().map(|tile| (tile.count, tile.words)).collect();
        assert_eq!(tiles, [(1, "proved"), (2, "not in this run")]);
    }
}
