//! Where the scenarios hold a value: what has to be edited when the document changes it.

use serde::Serialize;

use super::facts;

/// A file of the scenarios: its path as people call it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path for people.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// A line that holds a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Held {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The value as it stands there.
    #[serde(skip)]
    pub value: String,
}

/// Lines that hold `value`, which may be kept as a fingerprint. Short numbers stand everywhere and are not looked for.
pub(super) fn holding(value: &str, files: &[File]) -> Vec<Held> {
    let hashed = facts::is_hashed(value);
    if !hashed && value.chars().count() < 4 {
        return Vec::new();
    }
    let mut all = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            let found =
                if hashed { sentence(line).filter(|s| facts::kept(s) == value) } else { word(line, value) };
            if let Some(found) = found {
                all.push(Held { file: file.path.clone(), line: at + 1, value: found.to_owned() });
            }
        }
    }
    all
}

/// What stands behind a line's first colon.
fn sentence(line: &str) -> Option<&str> {
    let (_, value) = line.split_once(": ")?;
    Some(value.trim().trim_matches(['"', '\'']))
}

/// The value, if it stands in the line on its own: not as a part of a longer name.
fn word<'a>(line: &'a str, value: &str) -> Option<&'a str> {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let alone = |at: &usize| {
        let before = line.get(..*at).and_then(|text| text.chars().next_back());
        let mut after = line.get(at + value.len()..).unwrap_or_default().chars();
        let (first, second) = (after.next(), after.next());
        // `1.8.8` is not in `1.8.8.1`, but in `1.8.8.` at the end of a sentence.
        let goes_on = first == Some('.') && second.is_some_and(char::is_alphanumeric);
        !before.is_some_and(part) && !first.is_some_and(part) && !goes_on
    };
    let at = line.match_indices(value).map(|(at, _)| at).find(alone)?;
    line.get(at..at + value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_it_stands_on_its_own() {
        let text = "namespace: ferry\nname: ferry-2\n# at version 1.8.8.\nversion: 1.8.8.1\nferry/ferry\n";
        let files = [File { path: "a.yaml".into(), text: text.into() }];
        let lines = |value: &str| holding(value, &files).iter().map(|held| held.line).collect::<Vec<_>>();
        assert_eq!(lines("ferry"), [1, 5]);
        assert_eq!(lines("1.8.8"), [3]);
        assert_eq!(lines("fer"), [0; 0]);
    }

    #[test]
    fn a_sentence_is_found_by_its_fingerprint() {
        let files = [File { path: "a.yaml".into(), text: "x: 1\n  message: the ferry is at sea\n".into() }];
        let held = holding(&facts::kept("the ferry is at sea"), &files);
        assert_eq!((held[0].line, held[0].value.as_str()), (2, "the ferry is at sea"));
    }
}
