//! Whether a run on somebody else's mesh came to what was expected. Pure.

use std::collections::BTreeSet;

use super::Expected;

/// What came of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; nothing if a signal ended it.
    pub exit: Option<u8>,
    /// What it printed, on both outputs.
    pub output: String,
    /// What the cluster held before and after.
    pub before: Holdings,
    /// The same after it.
    pub after: Holdings,
}

/// Objects that a run could leave behind, as `kind/name`.
pub type Holdings = BTreeSet<String>;

/// Why an outcome is not the one expected.
pub fn against(expected: &Expected, outcome: &Outcome) -> Option<String> {
    let exit = outcome.exit.map_or("a signal".to_owned(), |exit| format!("exit code {exit}"));
    if outcome.exit != Some(expected.exit) {
        return Some(format!("it ended with {exit}, and exit code {} was expected", expected.exit));
    }
    // Lines are folded where the terminal ends.
    let said = plain(&outcome.output);
    if let Some(missing) = expected.says.iter().find(|text| !said.contains(&plain(text))) {
        return Some(format!("it did not say `{missing}`"));
    }
    let listed = |all: BTreeSet<&String>| all.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let (left, lost): (BTreeSet<_>, BTreeSet<_>) = (
        outcome.after.difference(&outcome.before).collect(),
        outcome.before.difference(&outcome.after).collect(),
    );
    match (left.is_empty(), lost.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("it left behind {}", listed(left))),
        (true, false) => Some(format!("it took away {}", listed(lost))),
    }
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(exit: u8, output: &str) -> Outcome {
        let held = Holdings::from(["namespace/default".to_owned()]);
        Outcome { exit: Some(exit), output: output.into(), before: held.clone(), after: held }
    }

    fn expected() -> Expected {
        let says = vec!["set meshConfig.accessLogFile".into()];
        Expected { scenario: "one".into(), implementation: None, exit: 3, says }
    }

    #[test]
    fn code_words_and_cluster_have_to_be_as_expected() {
        assert_eq!(against(&expected(), &outcome(3, "set\n    meshConfig.accessLogFile to")), None);
        let why = |outcome: &Outcome| against(&expected(), outcome).unwrap();
        assert_eq!(why(&outcome(1, "")), "it ended with exit code 1, and exit code 3 was expected");
        assert_eq!(why(&outcome(3, "refused")), "it did not say `set meshConfig.accessLogFile`");
        assert!(why(&Outcome { exit: None, ..outcome(3, "") }).contains("a signal"));
        let mut left = outcome(3, "set meshConfig.accessLogFile");
        left.after.insert("namespace/shop".into());
        assert_eq!(why(&left), "it left behind namespace/shop");
        std::mem::swap(&mut left.before, &mut left.after);
        assert_eq!(why(&left), "it took away namespace/shop");
    }
}
