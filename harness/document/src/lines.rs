//! Lines of a document as scenarios and requirements cite them: `L47-49`, `L18,L26`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Ranges of lines, both ends counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lines(Vec<(usize, usize)>);

/// Text that is no such lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no lines of a document; write `L47`, `L47-49` or `L18,L26`")]
pub struct NoLines(String);

impl Lines {
    /// One range.
    pub fn range(first: usize, last: usize) -> Self {
        Self(vec![(first, last.max(first))])
    }

    /// The first line.
    pub fn first(&self) -> usize {
        self.0.iter().map(|(first, _)| *first).min().unwrap_or_default()
    }

    /// Whether a line is in both.
    pub fn overlap(&self, other: &Self) -> bool {
        self.0.iter().any(|(a, b)| other.0.iter().any(|(c, d)| a <= d && c <= b))
    }
}

impl FromStr for Lines {
    type Err = NoLines;

    fn from_str(text: &str) -> Result<Self, NoLines> {
        let no = || NoLines(text.to_owned());
        let range = |part: &str| {
            let part = part.trim().strip_prefix('L')?;
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.trim_start_matches('L').parse().ok()?);
            (0 < first && first <= last).then_some((first, last))
        };
        text.split(',').map(|part| range(part).ok_or_else(no)).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Lines {
    type Error = NoLines;

    fn try_from(text: String) -> Result<Self, NoLines> {
        text.parse()
    }
}

impl From<Lines> for String {
    fn from(lines: Lines) -> Self {
        lines.to_string()
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |(first, last): &(usize, usize)| match first == last {
            true => format!("L{first}"),
            false => format!("L{first}-{last}"),
        };
        f.write_str(&self.0.iter().map(show).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        for text in ["L47", "L47-49", "L18,L26"] {
            assert_eq!(text.parse::<Lines>().unwrap().to_string(), text);
        }
        for text in ["", "47", "L0", "L5-4", "L", "L1-"] {
            assert!(text.parse::<Lines>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_that_share_a_line_overlap() {
        let lines: Lines = "L10-12,L20".parse().unwrap();
        assert!(lines.overlap(&Lines::range(12, 14)) && lines.overlap(&Lines::range(20, 20)));
        assert!(!lines.overlap(&Lines::range(13, 19)));
    }
}
