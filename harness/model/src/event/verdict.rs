//! What is known, in one word: the same for steps, requirements, scenarios and runs, in every report.

use serde::{Deserialize, Serialize};

/// What is known of a requirement, step, scenario or run. From good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every claim held as the scenario says (for an action: it was done).
    Proved,
    /// What was put to the test held, but not all of it was, or not as the scenario says: a step was waived, or read otherwise
    /// for the implementation.
    Partly,
    /// Seen and recorded. Nothing is promised, so nothing is proved.
    Measured,
    /// Not put to the test: the implementation does not promise it, or nothing on this cluster could show it. Neither good nor
    /// bad.
    Waived,
    /// Not reached, because an earlier step did not end well.
    Skipped,
    /// Something that is no claim went wrong: set-up, a tool, the API server. Says nothing about the implementation.
    Error,
    /// A claim did not hold.
    Failed,
}

impl Verdict {
    /// Every verdict, from good to bad.
    pub const ALL: [Self; 7] =
        [Self::Proved, Self::Partly, Self::Measured, Self::Waived, Self::Skipped, Self::Error, Self::Failed];

    /// Whether nothing went wrong.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Proved | Self::Partly | Self::Measured | Self::Waived)
    }

    /// Whether a step with this verdict was taken at all.
    pub fn is_taken(self) -> bool {
        !matches!(self, Self::Skipped | Self::Waived)
    }

    /// What is known of one thing if these are known of its parts: proved only if every part is. Nothing of nothing.
    pub fn of_parts(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(|a, b| match (a, b) {
            (a, b) if a == b || !a.is_good() || !b.is_good() => a.max(b),
            (Self::Proved, Self::Measured) | (Self::Measured, Self::Proved) => Self::Measured,
            _ => Self::Partly,
        })
    }

    /// The same where what was only measured stands beside what was promised, and takes nothing from it.
    pub fn beside(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        let (measured, promised): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|verdict| *verdict == Self::Measured);
        Self::of_parts(promised).or(measured.first().copied())
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Proved => "proved",
            Self::Partly => "partly",
            Self::Measured => "measured",
            Self::Waived => "waived",
            Self::Skipped => "skipped",
            Self::Error => "error",
            Self::Failed => "failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, *};

    #[test]
    fn a_thing_is_proved_only_if_every_part_is() {
        for (parts, whole) in [
            (&[Proved, Proved][..], Some(Proved)),
            (&[Proved, Waived], Some(Partly)),
            (&[Waived, Proved, Waived], Some(Partly)),
            (&[Proved, Partly], Some(Partly)),
            (&[Waived, Measured], Some(Partly)),
            (&[Proved, Measured], Some(Measured)),
            (&[Waived, Waived], Some(Waived)),
            (&[Waived, Error, Proved], Some(Error)),
            (&[Error, Failed, Skipped], Some(Failed)),
            (&[], None),
        ] {
            assert_eq!(Verdict::of_parts(parts.iter().copied()), whole, "{parts:?}");
            assert_eq!(Verdict::of_parts(parts.iter().rev().copied()), whole, "{parts:?}");
        }
    }

    #[test]
    fn what_is_measured_beside_a_promise_takes_nothing_from_it() {
        assert_eq!(Verdict::beside([Measured, Proved, Measured]), Some(Proved));
        assert_eq!(Verdict::beside([Measured, Waived]), Some(Waived));
        assert_eq!(Verdict::beside([Measured]), Some(Measured));
    }

    #[test]
    fn the_word_is_the_same_everywhere() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.to_string());
        }
    }
}
