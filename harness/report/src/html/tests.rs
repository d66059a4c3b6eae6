use super::*;
use crate::sample;
use meshproof_model::event::{Hop, Traffic, TrafficFailure};

fn rendered(report: &Report) -> String {
    render(report, Path::new("nowhere")).unwrap()
}

fn page() -> String {
    rendered(&Report::from_events(&sample::failed_run()))
}

/// The page without its style sheet, which is no behaviour, and without the requirements this run is not about.
fn skeleton() -> String {
    let page = page();
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let mut within_open = false;
    let told = |line: &&str| {
        let is_row = line.contains("<tr id=\"R") && line.contains("class=\"open\"");
        let untold = within_open || is_row || line.contains("class=\"chip open\"");
        within_open = (within_open || is_row) && !line.contains("</tr>");
        !untold
    };
    // What was last measured of mutants is not about this run.
    let (before_mutants, rest) =
        after.split_once("<section class=\"card\" id=\"mutants\">").unwrap_or((after, ""));
    let after_mutants = rest.split_once("</section>\n").map_or("", |(_, rest)| rest);
    let after = before_mutants.trim_end().lines().chain(after_mutants.lines());
    let lines: Vec<&str> = before.lines().chain(after).filter(told).collect();
    lines.join("\n")
}

#[test]
fn the_page_tells_the_run() {
    insta::assert_snapshot!(skeleton());
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = page();
    for outside in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
}

#[test]
fn what_was_seen_is_text_never_markup() {
    assert!(page().contains("keeps 200 &#60;after&#62; the deletion"));
}

#[test]
fn a_failed_step_is_open_and_a_proved_one_closed() {
    let page = page();
    assert!(
        page.contains(
            "<div class=\"step claim failed\" id=\"broken-istio-alpn-step-5\">\n      <details open>"
        )
    );
    assert!(page.contains("id=\"service-mesh-integration-step-3\">\n      <details>"));
}

#[test]
fn what_failed_stands_on_top() {
    let page = page();
    let top = page.split("id=\"requirements\"").next().unwrap();
    for part in ["R45 failed", "broken/istio-alpn", "gateway-sends-istio-alpn", "step 5 of 6"] {
        assert!(top.contains(part), "{part}");
    }
}

#[test]
fn what_is_waived_is_not_counted_as_proved() {
    let page = rendered(&Report::from_events(&sample::waived_run()));
    assert!(page.contains("2 requirements proved"));
    assert!(page.contains("<div class=\"step claim waived\" id=\"service-mesh-integration-step-2\">"));
    assert!(page.contains("It announces an Istio ALPN."));
}

#[test]
fn a_run_broken_off_is_not_green() {
    let mut events = sample::proved_run();
    events.pop();
    let page = rendered(&Report::from_events(&events));
    assert!(page.contains("<header class=\"top error\">"));
    assert!(page.contains("the run was broken off"));
}

#[test]
fn what_was_to_run_and_did_not_is_named() {
    let mut report = Report::from_events(&sample::proved_run());
    report.selected.push("missing".into());
    assert!(rendered(&report).contains("<strong>Not run</strong><br><code>missing</code>"));
}

#[test]
fn repetitions_have_places_of_their_own() {
    let round = |round| ScenarioResult { round: Some(round), ..sample::proved() };
    let mut report = Report::from_events(&sample::proved_run());
    report.scenarios = vec![round(1), round(2)];
    let page = rendered(&report);
    for part in [
        "id=\"service-mesh-integration\"",
        "id=\"service-mesh-integration-round-2-step-5\"",
        "href=\"transcript/service-mesh-integration~2.yaml\"",
        "2 of 2 rounds proved",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn every_failure_of_constant_traffic_is_marked_and_listed() {
    let mut report = Report::from_events(&sample::proved_run());
    let failure = |at_ms| TrafficFailure {
        at_ms,
        status: Some(503),
        reason: "no_endpoint".into(),
        hop: Hop::Gateway,
        seen: "503 (no_endpoint)".into(),
    };
    let stretch = |at_ms, until_ms, status, count| {
        let answers = meshproof_model::event::AnswerGroup {
            status: Some(status),
            failure: None,
            backend: None,
            reason: None,
            count,
        };
        meshproof_model::event::Stretch { at_ms, until_ms, hop: Hop::Gateway, answers }
    };
    let traffic = Traffic {
        started_ms: 1_000,
        lasted_ms: 2_000,
        rate: 50.0,
        sent: 100,
        stretches: vec![
            stretch(0, 980, 200, 50),
            stretch(1_000, 1_020, 503, 2),
            stretch(1_040, 1_980, 200, 48),
        ],
        failures: vec![failure(1_000), failure(1_020)],
        longest_gap_ms: 60,
        ..Traffic::default()
    };
    report.scenarios[0].steps[2].observed.traffic = Some(Box::new(traffic));
    let page = rendered(&report);
    for part in [
        "100 requests at 50 a second: 2 failed; longest gap 60 ms",
        "<i class=\"broken\" style=\"flex-grow:40\" tabindex=\"0\">\
         <span>2.000 s to 2.020 s: 2 × 503, answered by the gateway</span></i>",
        "<summary>2 failures</summary>",
        "margin-left:8.01%;width:16.03%",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for when in ["2.000 s", "2.020 s"] {
        assert_eq!(page.matches(&format!("<td class=\"when\">{when}</td>")).count(), 1, "{when}");
    }
}
