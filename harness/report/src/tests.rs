//! Everything a run leaves behind, from texts that no reporter chose.

use std::fs;

use proptest::prelude::*;

use super::*;
use meshproof_model::event::{EventSink, ScenarioResult};
use meshproof_model::visible::is_odd;

/// The failed run, with this text wherever one comes from a program, an object or a file.
fn run_with(text: &str) -> Vec<Event> {
    let tell = |result: &mut ScenarioResult| {
        result.title = text.into();
        result.problems = vec![text.into()];
        result.kept = vec![text.into()];
        for requirement in &mut result.requirements {
            requirement.text = text.into();
            requirement.waived = Some(text.into());
        }
        for erratum in &mut result.errata {
            (erratum.problem, erratum.correction) = (text.into(), Some(text.into()));
        }
        for step in &mut result.steps {
            step.info.name = text.into();
            step.observed.summary = text.into();
            step.observed.detail = serde_json::json!({text: [text]});
            for group in &mut step.observed.answers {
                (group.backend, group.reason) = (Some(text.into()), Some(text.into()));
            }
            for testimony in &mut step.observed.witnesses {
                (testimony.witness, testimony.summary) = (text.into(), text.into());
            }
            if let Some(failure) = &mut step.failure {
                (failure.doing, failure.expected, failure.seen) = (text.into(), text.into(), text.into());
                failure.next = Some(text.into());
                if let Some(diagnosis) = &mut failure.diagnosis {
                    (diagnosis.title, diagnosis.next) = (text.into(), text.into());
                    diagnosis.because = vec![text.into()];
                }
            }
        }
    };
    let mut events = sample::failed_run();
    for event in &mut events {
        match event {
            Event::PhaseFinished { error, .. } => *error = Some(text.into()),
            Event::PhaseNote { message, .. } | Event::Observed { message, .. } => *message = text.into(),
            Event::ScenarioStarted { scenario } => scenario.title = text.into(),
            Event::StepStarted { step, .. } => step.name = text.into(),
            Event::ScenarioFinished { result } => tell(result),
            Event::StepFinished { step, .. } => {
                step.info.name = text.into();
                step.observed.summary = text.into();
            }
            _ => {}
        }
    }
    events
}

/// What people and machines get to see of a run, door by door.
fn doors(events: &[Event]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("run");
    write_all(&results, events).unwrap();
    let read = |name: &str| (name.to_owned(), fs::read_to_string(results.join(name)).unwrap());
    let mut doors: Vec<_> =
        ["report.json", "junit.xml", "report.html", "transcript/broken/istio-alpn.yaml"].map(read).into();
    for verbose in [false, true] {
        let (shown, terminal) = Terminal::on_a_page(verbose);
        events.iter().for_each(|event| terminal.emit(event));
        doors.push(("terminal".to_owned(), shown()));
    }
    doors
}

fn check(text: &str) -> Result<(), TestCaseError> {
    for (door, shown) in doors(&run_with(text)) {
        let odd: Vec<char> = shown.chars().filter(|c| is_odd(*c)).collect();
        prop_assert!(odd.is_empty(), "{door} holds {odd:?}");
        match door.as_str() {
            "junit.xml" => {
                let read = quick_junit::Report::deserialize_from_str(&shown);
                prop_assert!(read.is_ok(), "{read:?}\n{shown}");
            }
            "report.json" => prop_assert!(serde_json::from_str::<Report>(&shown).is_ok()),
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn what_a_program_prints_that_thinks_it_is_at_a_terminal_is_shown_and_does_nothing() {
    let text = "\u{1b}[31mred\u{1b}[0m bell \u{7} feed \u{c} end ]]> <script>alert(1)</script> & \u{fffe} &#0; \u{202e}turned";
    check(text).unwrap();
    for (door, shown) in doors(&run_with(text)) {
        // JSON escapes the backslash once more.
        let seen = shown.contains("\\u{1b}[31mred") && shown.contains("\\u{202e}turned");
        assert!(seen, "{door} does not show it: {shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_text_gets_through_a_reporter_with_a_character_that_cannot_be_seen(
        text in prop::collection::vec(any::<char>(), 1..12),
        odd in prop::sample::select(vec!['\0', '\u{1b}', '\u{7f}', '\u{9b}', '\u{202a}', '\u{2069}', '\u{200b}', '\u{2028}', '\u{fffe}', '\u{ffff}', '\r']),
    ) {
        check(&text.into_iter().chain([odd, '<', '&']).collect::<String>())?;
    }
}

#[test]
fn a_run_is_written_and_linked_as_latest() {
    let folder = tempfile::tempdir().unwrap();
    for run in ["one", "two"] {
        write_all(&folder.path().join(run), &sample::failed_run()).unwrap();
    }
    let latest = folder.path().join("latest");
    assert_eq!(fs::read_link(&latest).unwrap(), Path::new("two"));
    for file in ["report.json", "junit.xml", "report.html", "transcript/broken/istio-alpn.yaml"] {
        assert!(latest.join(file).is_file(), "{file}");
    }
}

#[test]
fn an_error_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "a file where a folder is needed").unwrap();
    let error = write_all(&occupied, &[]).unwrap_err();
    assert!(error.to_string().contains("occupied"), "{error}");
}
