//! What the suite prints while it runs: that of `go test -v`, whose lines of a frame begin with a control character
//! (`-test.v=test2json`), so that nothing that a test prints can be taken for one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use meshproof_model::event::{ConformanceTest, Verdict};

/// Begins a line of a frame.
const MARK: char = '\u{16}';
/// How many lines of a test that is not proved are kept.
const KEPT: usize = 400;

/// What a line told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A test began.
    Started(String),
    /// A test ended.
    Finished(Box<ConformanceTest>),
}

/// Reads what the suite prints, line by line.
#[derive(Debug, Default)]
pub struct Stream {
    /// The top, below which every test is.
    root: String,
    /// Whose output follows.
    current: String,
    running: BTreeMap<String, Running>,
    ended: BTreeSet<String>,
    /// What is printed outside of any test: the suite's own set-up and end.
    outside: VecDeque<String>,
    failed: bool,
}

#[derive(Debug, Default)]
struct Running {
    lines: VecDeque<String>,
    failed: Vec<String>,
}

impl Stream {
    /// For a suite whose tests are all below one, `Conformance` say.
    pub fn new(root: &str) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    /// Takes a line, without its end.
    pub fn line(&mut self, line: &str) -> Option<Told> {
        // A frame may follow text whose line was not ended.
        let Some((before, frame)) = line.split_once(MARK) else {
            self.output(line);
            return None;
        };
        if !before.trim().is_empty() {
            self.output(before);
        }
        self.frame(frame.trim_start_matches(MARK).trim())
    }

    fn frame(&mut self, frame: &str) -> Option<Told> {
        if let Some(rest) = frame.strip_prefix("=== ") {
            let (word, name) = rest.split_once(char::is_whitespace)?;
            self.current = name.trim().to_owned();
            let test = self.test_of(name.trim())?;
            let is_new = word == "RUN" && !self.running.contains_key(&test);
            return is_new.then(|| {
                self.running.insert(test.clone(), Running::default());
                Told::Started(test)
            });
        }
        let (word, rest) = frame.strip_prefix("--- ")?.split_once(": ")?;
        let (name, took) = rest.rsplit_once(" (").unwrap_or((rest, "0s)"));
        let verdict = match word {
            "PASS" => Verdict::Proved,
            "SKIP" => Verdict::Skipped,
            _ => Verdict::Failed,
        };
        if name == self.root {
            self.failed |= verdict == Verdict::Failed;
            return None;
        }
        let test = self.test_of(name)?;
        let path = format!("{}/{test}", self.root);
        if name != path {
            let part = name.strip_prefix(&path).unwrap_or(name).trim_start_matches('/').to_owned();
            if verdict == Verdict::Failed
                && let Some(running) = self.running.get_mut(&test)
            {
                running.failed.push(part);
            }
            return None;
        }
        let running = self.running.remove(&test).unwrap_or_default();
        self.ended.insert(test.clone());
        let took = took.trim_end_matches(')').trim_end_matches('s').parse::<f64>().unwrap_or_default();
        Some(Told::Finished(Box::new(ended(test, verdict, (took * 1000.0) as u64, running))))
    }

    /// The test that a name is of: the part below the root.
    fn test_of(&self, name: &str) -> Option<String> {
        let below = name.strip_prefix(&self.root)?.strip_prefix('/')?;
        Some(below.split('/').next().unwrap_or(below).to_owned())
    }

    fn output(&mut self, line: &str) {
        let lines = match self.test_of(&self.current) {
            Some(test) if !self.ended.contains(&test) => &mut self.running.entry(test).or_default().lines,
            _ => &mut self.outside,
        };
        lines.push_back(line.to_owned());
        if lines.len() > KEPT {
            lines.pop_front();
        }
    }

    /// What is left when the suite has ended: tests without an end, and why the suite itself failed, if no test did.
    pub fn end(self) -> (Vec<ConformanceTest>, Option<String>) {
        let cut = self.running.into_iter().map(|(name, running)| {
            let mut test = ended(name, Verdict::Error, 0, running);
            test.why = "it did not come to its end".to_owned();
            test
        });
        let lines: Vec<String> = self.outside.into_iter().collect();
        let why = (self.failed && self.ended.is_empty()).then(|| reason(&lines));
        (cut.collect(), why)
    }
}

fn ended(name: String, verdict: Verdict, duration_ms: u64, running: Running) -> ConformanceTest {
    let lines: Vec<String> = running.lines.into_iter().collect();
    let good = verdict == Verdict::Proved;
    ConformanceTest {
        name,
        description: String::new(),
        features: Vec::new(),
        verdict,
        duration_ms,
        failed: running.failed,
        why: if good { String::new() } else { reason(&lines) },
        output: if good { String::new() } else { lines.join("\n") },
    }
}

/// Why, in one line: what the first assertion that failed says, else the last line.
fn reason(lines: &[String]) -> String {
    let at = lines.iter().position(|line| line.trim_start().starts_with("Error:"));
    let said = match at {
        Some(at) => {
            let of_error = lines[at..].iter().take_while(|line| {
                let line = line.trim_start();
                !line.starts_with("Test:")
            });
            of_error
                .map(|line| line.trim().trim_start_matches("Error:").trim_start_matches("Messages:").trim())
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        }
        None => lines.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default(),
    };
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    if said.chars().count() > 400 { said.chars().take(400).chain(['…']).collect() } else { said }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<String>, Vec<ConformanceTest>, Stream) {
        let (mut started, mut finished) = (Vec::new(), Vec::new());
        let mut stream = Stream::new("Conformance");
        for line in text.lines() {
            match stream.line(&line.replace('~', "\u{16}")) {
                Some(Told::Started(name)) => started.push(name),
                Some(Told::Finished(test)) => finished.push(*test),
                None => {}
            }
        }
        (started, finished, stream)
    }

    #[test]
    fn tests_that_run_side_by_side_keep_their_own_output() {
        let (started, finished, _) = told(
            "~=== RUN   Conformance\n\
             ~=== RUN   Conformance/A\n    a.go:1: of a\n~=== PAUSE Conformance/A\n\
             ~=== RUN   Conformance/B\n~=== RUN   Conformance/B/first\n--- PASS: Conformance/A (9.00s)\n\
             ~=== CONT  Conformance/A\n    a.go:2: more of a\n\
             ~=== NAME  Conformance/B/first\n    b.go:7:\n        \tError:      \tReceived unexpected error:\n        \
             \t            \tno route\n        \tTest:       \tConformance/B/first\n\
             ~    --- FAIL: Conformance/B/first (0.50s)\n~--- FAIL: Conformance/B (1.25s)\n\
             ~--- PASS: Conformance/A (2.00s)\n",
        );
        assert_eq!(started, ["A", "B"]);
        let [b, a] = &finished[..] else { panic!("{finished:?}") };
        assert_eq!((b.name.as_str(), b.verdict, b.duration_ms), ("B", Verdict::Failed, 1250));
        assert_eq!(
            (b.failed.as_slice(), b.why.as_str()),
            (&["first".to_owned()][..], "Received unexpected error: no route")
        );
        assert!(!b.output.contains("of a") && b.output.contains("--- PASS: Conformance/A (9.00s)"));
        assert_eq!((a.verdict, a.duration_ms, a.output.as_str()), (Verdict::Proved, 2000, ""));
    }

    #[test]
    fn a_test_that_is_cut_off_has_no_verdict_but_an_error() {
        let (_, finished, stream) = told("~=== RUN   Conformance\n~=== RUN   Conformance/A\npanic: boom\n");
        assert!(finished.is_empty());
        let (cut, why) = stream.end();
        assert_eq!((cut[0].name.as_str(), cut[0].verdict), ("A", Verdict::Error));
        assert!(cut[0].output.contains("panic: boom"));
        assert_eq!(why, None);
    }

    #[test]
    fn a_suite_that_does_not_come_to_its_tests_says_why() {
        let (_, _, stream) = told(
            "~=== RUN   Conformance\n    suite.go:1:\n        \tError:      \tgateways are not ready\n\
             ~--- FAIL: Conformance (300.00s)\nFAIL\n",
        );
        assert_eq!(stream.end(), (vec![], Some("gateways are not ready FAIL".to_owned())));
    }

    #[test]
    fn what_is_skipped_says_why() {
        let (_, finished, _) =
            told("~=== RUN   Conformance/A\n    a.go:1: needs addresses\n~--- SKIP: Conformance/A (0.00s)\n");
        assert_eq!(
            (finished[0].verdict, finished[0].why.as_str()),
            (Verdict::Skipped, "a.go:1: needs addresses")
        );
    }
}
