use super::*;
use crate::sample;
use meshproof_model::event::{
    AnswerGroup, Basis, Event, Hop, Observed, PackInfo, StepInfo, StepResult, Testimony, Traffic,
    TrafficFailure,
};
use meshproof_model::requirement::Requirement;

/// Requirements of a small pack.
fn pack() -> PackInfo {
    let one = |id: &str, text: &str| Requirement {
        id: id.into(),
        kind: Default::default(),
        lines: "L1,L2".into(),
        text: text.into(),
        waived: None,
        unbroken: false,
        measured: None,
        since: None,
        until: None,
    };
    PackInfo {
        name: "sample".into(),
        edition: None,
        requirements: vec![
            one("R3", "Two pods of the extension are Ready."),
            one("R10", "The chart installs."),
            one("R43", "A request is answered 200 by backend-v1."),
            one("R45", "Without the PeerAuthentication it is answered 503 | and <goes on>."),
            one("R99", "Nobody asks this."),
        ],
    }
}

fn report(events: &[Event], name: &str) -> Report {
    let mut report = Report::from_events(events);
    report.pack = Some(pack());
    if let Some(gateway) = &mut report.implementation {
        gateway.name = name.into();
    }
    report
}

/// A scenario with constant traffic while something is restarted, of which so many requests fail.
fn traffic(word: &str, failures: usize) -> Report {
    let mut report = report(&sample::proved_run(), "ours");
    let scenario = &mut report.scenarios[0];
    let step = |index: usize, word: &str, observed: Observed| StepResult {
        info: StepInfo { index, word: word.into(), ..scenario.steps[0].info.clone() },
        observed,
        ..scenario.steps[0].clone()
    };
    let failure = TrafficFailure {
        at_ms: 3,
        status: Some(503),
        reason: "reset".into(),
        hop: Hop::Gateway,
        seen: "503".into(),
    };
    let seen =
        Traffic { sent: 900, failures: vec![failure; failures], longest_gap_ms: 12, ..Traffic::default() };
    let unbroken = Observed { traffic: Some(Box::new(seen)), summary: "told".into(), ..Observed::default() };
    scenario.steps = vec![
        step(0, "traffic", Observed::default()),
        step(1, word, Observed::default()),
        step(2, "unbroken", unbroken),
    ];
    report
}

fn cell<'a>(comparison: &'a Comparison, id: &str, column: usize) -> &'a Cell {
    let rows = comparison.questions.iter().chain(&comparison.promises);
    &rows.into_iter().find(|row| row.id == id).unwrap().cells[column]
}

fn both() -> Comparison {
    of(&[report(&sample::proved_run(), "ours"), report(&sample::waived_run(), "theirs")]).unwrap()
}

#[test]
fn the_table_says_who_proved_what_and_why_not() {
    insta::assert_snapshot!("terminal", both().text());
    insta::assert_snapshot!("markdown", both().markdown());
}

#[test]
fn the_page_is_whole_and_holds_no_markup_of_others() {
    let page = both().html().unwrap();
    assert!(
        page.contains("answered 503 | and &#60;goes on&#62;.") || page.contains("&lt;goes on&gt;"),
        "escaped"
    );
    assert!(!page.contains("<goes on>"));
    for outside in ["<script", "src=", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} in a self-contained page");
    }
    // Every note that a cell points to is there, and every heading cell says what it heads.
    for number in 1..=both().notes.len() {
        assert!(page.contains(&format!("id=\"note-{number}\"")), "note {number}");
        assert!(page.contains(&format!("href=\"#note-{number}\"")), "nothing points to note {number}");
    }
    assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count());
    insta::assert_snapshot!("page", page);
}

#[test]
fn what_is_not_put_to_the_test_is_not_called_waived() {
    let comparison = both();
    assert_eq!(cell(&comparison, "R99", 0).verdict, None);
    assert_eq!(cell(&comparison, "R45", 1).verdict, Some(Verdict::Waived));
    let notes = &cell(&comparison, "R45", 1).notes;
    assert_eq!(comparison.notes[notes[0] - 1], "It announces an Istio ALPN.");
    assert!(
        comparison.headline().ends_with("4 promises: they differ in 2")
            || comparison.headline().contains("differ")
    );
}

#[test]
fn what_follows_the_deletion_of_the_last_policy_is_found() {
    let comparison = both();
    assert_eq!(cell(&comparison, "strict", 0).says, "200 from backend-v1 (ok)");
    assert_eq!(cell(&comparison, "strict-gone", 0).says, "503 (upstream_tls_handshake_failed)");
    let theirs = cell(&comparison, "strict-gone", 1);
    assert_eq!((theirs.says.as_str(), theirs.verdict), ("200 from backend-v1 (ok)", Some(Verdict::Partly)));
    // One that another policy outlasts says nothing of what happens without any.
    let mut outlasted = report(&sample::proved_run(), "ours");
    let steps = &mut outlasted.scenarios[0].steps;
    steps[0].observed.summary = "peerauthentication/strict in istio-system created".into();
    let comparison = of(&[outlasted]).unwrap();
    assert_eq!(cell(&comparison, "strict-gone", 0).verdict, None);
}

#[test]
fn a_gateway_of_which_no_witness_saw_an_identity_is_not_said_to_have_joined() {
    let mut stranger = report(&sample::proved_run(), "stranger");
    stranger.implementation.as_mut().unwrap().reaches_pods = Some("clear text to the pods".into());
    for step in &mut stranger.scenarios[0].steps {
        step.observed.witnesses.clear();
    }
    let mut doubtful = report(&sample::proved_run(), "doubtful");
    for testimony in doubtful.scenarios[0].steps.iter_mut().flat_map(|step| &mut step.observed.witnesses) {
        testimony.held = false;
    }
    let mut certified = report(&sample::proved_run(), "certified");
    certified.scenarios[0].steps[2].observed.witnesses.push(Testimony {
        witness: "issued-by-istio".into(),
        held: true,
        summary: "the gateway's certificate chains to istiod's root and names spiffe://d/ns/n/sa/s".into(),
        detail: serde_json::Value::Null,
    });
    let comparison = of(&[report(&sample::proved_run(), "ours"), stranger, doubtful, certified]).unwrap();
    let of = |id: &str| [0, 1, 2, 3].map(|column| cell(&comparison, id, column).verdict);
    let (proved, failed) = (Some(Verdict::Proved), Some(Verdict::Failed));
    assert_eq!(of("mesh"), [proved, Some(Verdict::Waived), failed, proved]);
    assert_eq!(of("clear-text"), [proved, Some(Verdict::Waived), failed, proved]);
    let says = &cell(&comparison, "mesh", 1).says;
    assert!(says.starts_with("no: ") && says.ends_with("its file says: clear text to the pods"), "{says}");
    let says = &cell(&comparison, "mesh", 3).says;
    assert!(says.contains("as spiffe://d/ns/n/sa/s, with a certificate"), "{says}");
}

#[test]
fn requests_that_a_rollout_costs_are_counted_where_something_was_restarted() {
    let comparison = of(&[traffic("restart", 2)]).unwrap();
    let rollout = cell(&comparison, "rollout", 0);
    assert_eq!(rollout.says, "requests failed");
    assert_eq!(rollout.measured[0], "2 of 900 requests");
    assert_eq!(cell(&comparison, "failover", 0).verdict, None);
    let comparison = of(&[traffic("stop-node", 0)]).unwrap();
    assert_eq!(cell(&comparison, "failover", 0).says, "no request failed");
    assert_eq!(cell(&comparison, "rollout", 0).verdict, None);
    let comparison = of(&[traffic("rotate-root", 0)]).unwrap();
    assert_eq!(cell(&comparison, "certificates", 0).says, "no request failed");
}

#[test]
fn a_failure_is_told_with_its_cause() {
    let mut failed = sample::failed();
    failed.id = "main".into();
    let mut red = report(&sample::failed_run(), "red");
    red.scenarios = vec![failed];
    let comparison = of(&[report(&sample::proved_run(), "ours"), red]).unwrap();
    let cell = cell(&comparison, "R45", 1);
    assert_eq!(cell.verdict, Some(Verdict::Failed));
    assert!(cell.says.contains("still after 30 s"), "{}", cell.says);
    assert!(comparison.notes[cell.notes[0] - 1].contains("(gateway-sends-istio-alpn)"));
    assert!(!comparison.is_good());
}

#[test]
fn two_runs_give_one_table() {
    let mut later = sample::proved_run();
    for event in &mut later {
        match event {
            Event::RunStarted { run, started, .. } => {
                (*run, *started) = ("2026-12-24T00-00-00".into(), "2026-12-24T00:00:00Z".into());
            }
            Event::RunFinished { total_ms, .. } => *total_ms = 1,
            Event::ScenarioFinished { result } => {
                for step in &mut result.steps {
                    step.observed.became_ms = step.observed.became_ms.map(|ms| ms + 77);
                    step.observed.summary =
                        step.observed.summary.replace("q2w8z", "x9k2p").replace("214 ms", "9 ms");
                    for testimony in &mut step.observed.witnesses {
                        testimony.summary = testimony.summary.replace("q2w8z", "x9k2p");
                    }
                }
            }
            _ => {}
        }
    }
    let one = of(&[report(&sample::proved_run(), "ours")]).unwrap();
    let two = of(&[report(&later, "ours")]).unwrap();
    assert_ne!(one, two);
    assert_eq!(one.normalised().unwrap(), two.normalised().unwrap());
    let other = of(&[report(&sample::waived_run(), "ours")]).unwrap();
    assert_ne!(one.normalised().unwrap(), other.normalised().unwrap());
    assert_eq!(two.differences(&one).unwrap(), Vec::<String>::new());
    let differences = other.differences(&one).unwrap();
    assert!(
        differences.contains(&"R45".to_owned()) && differences.contains(&"strict-gone".to_owned()),
        "{differences:?}"
    );
    assert!(!differences.contains(&"R10".to_owned()), "{differences:?}");
}

#[test]
fn reports_that_do_not_belong_together_are_refused() {
    let ours = || report(&sample::proved_run(), "ours");
    assert_eq!(of(&[]), Err(Incomparable::Nothing));
    let error = of(&[ours(), ours()]).unwrap_err().to_string();
    assert!(error.contains("both about ours 1.8.8") && error.contains("report merge"), "{error}");
    let mut other = report(&sample::proved_run(), "theirs");
    other.pack = Some(PackInfo { name: "another".into(), ..pack() });
    let error = of(&[ours(), other]).unwrap_err().to_string();
    assert!(error.contains("is about the pack sample") && error.contains("about another"), "{error}");
    let mut nameless = ours();
    nameless.implementation = None;
    assert!(matches!(of(&[nameless]), Err(Incomparable::Nameless(_))));
}

#[test]
fn runs_that_were_not_made_alike_are_told() {
    let (ours, mut theirs) = (report(&sample::proved_run(), "ours"), report(&sample::waived_run(), "theirs"));
    theirs.cluster.as_mut().unwrap().istio = "1.24".into();
    theirs.selected.push("lost".into());
    theirs.verdict = None;
    let mut basis = Basis::default();
    basis.harness.source = "sha256:0".into();
    let mut first = ours.clone();
    first.basis.harness.source = "sha256:1".into();
    theirs.basis = basis;
    let caveats = of(&[first, theirs]).unwrap().caveats.join("\n");
    for told in
        ["Istio is 1.31 for the one and 1.24", "meshproof's source is another", "broken off", "not run: lost"]
    {
        assert!(caveats.contains(told), "{told} in {caveats}");
    }
    assert!(both().caveats.is_empty(), "{:?}", both().caveats);
}

#[test]
fn the_comparison_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    both().write(folder.path()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("comparison.json")).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), both());
    for file in ["comparison.md", "comparison.html"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
}

/// A group of answers stays what it is, however many there were.
#[test]
fn answers_are_told_without_their_number() {
    let mut many = report(&sample::proved_run(), "ours");
    let group = AnswerGroup { count: 7, ..many.scenarios[0].steps[4].observed.settled[0].clone() };
    many.scenarios[0].steps[4].observed.settled = vec![group.clone(), group];
    let comparison = of(&[many]).unwrap();
    assert_eq!(cell(&comparison, "strict-gone", 0).says, "503 (upstream_tls_handshake_failed)");
}
