use super::*;

const FROM: i64 = 1_700_000_000_000;
const PROXY: &str = "10.244.2.22";

/// A line of the program at so many milliseconds after the window's beginning.
fn line(at: i64, number: u64, content: serde_json::Value) -> String {
    let mut content = content;
    content["line"] = number.into();
    content["time_ms"] = (FROM + at).into();
    content.to_string()
}

fn tls(at: i64, number: u64, port: u16, alpn: &[&str]) -> String {
    let connection = json!({"peer": format!("127.0.0.6:{port}"), "begins_with": "tls", "alpn": alpn});
    line(at, number, json!({"connection": connection}))
}

fn request(at: i64, number: u64, path: &str) -> String {
    line(at, number, json!({"request": null, "path": path, "peer": "127.0.0.6:9", "method": "GET"}))
}

fn entry(at: i64, client: &str, port: Option<u16>) -> SidecarEntry {
    let time = Timestamp::from_millisecond(FROM + at).unwrap().to_string();
    SidecarEntry {
        time: Some(time),
        downstream_remote_address: Some(format!("{client}:4711")),
        upstream_local_address: port.map(|port| format!("127.0.0.6:{port}")),
        ..SidecarEntry::default()
    }
}

/// Three attempts, and the control.
fn tried() -> Vec<String> {
    vec![
        tls(10, 1, 40_001, &[]),
        tls(60, 2, 40_002, &["http/1.1"]),
        tls(110, 3, 40_003, &[]),
        request(900, 4, "/control"),
    ]
}

fn told() -> Vec<SidecarEntry> {
    (0..3).map(|n| entry(9 + i64::from(n) * 50, PROXY, Some(40_001 + n))).collect()
}

fn seen(log: &[String], sidecar: Sidecar) -> Seen {
    let control = Control {
        path: "/control".into(),
        sent_ms: FROM + 880,
        answered_ms: FROM + 930,
        good: true,
        summary: "200".into(),
    };
    Seen {
        pod: "backend-v1-6c8f9d7b54-q2w8z".into(),
        programs: vec![Written::parse(&log.join("\n"))],
        sidecar,
        control,
    }
}

fn judged(log: &[String], sidecar: Sidecar, answers: usize) -> Testimony {
    let proxies = [PROXY.parse().unwrap()].into();
    let window = Window { from: FROM, to: FROM + 800 };
    judge(&[seen(log, sidecar)], window, &vec![Some(503); answers], &proxies)
}

fn against(log: &[String], sidecar: Sidecar, answers: usize) -> String {
    let testimony = judged(log, sidecar, answers);
    assert!(!testimony.held, "{}", testimony.summary);
    testimony.summary
}

#[test]
fn an_attempt_for_every_answer_and_no_clear_text() {
    let testimony = judged(&tried(), Sidecar::Wrote(told()), 3);
    assert!(testimony.held, "{}", testimony.summary);
    assert!(!testimony.summary.contains("4000"), "a port of the day: {}", testimony.summary);
    let by_times = told().into_iter().map(|entry| SidecarEntry { upstream_local_address: None, ..entry });
    assert!(judged(&tried(), Sidecar::Wrote(by_times.collect()), 3).held, "told by the times alone");
    let silent = judged(&tried(), Sidecar::Silent, 3);
    assert!(silent.held && silent.summary.contains("keeps no access log"), "{}", silent.summary);
}

#[test]
fn a_503_without_trying_is_against_it() {
    let control = [request(900, 1, "/control")];
    assert!(against(&control, Sidecar::Wrote(told()), 3).contains("without trying"));
    assert!(against(&tried(), Sidecar::Wrote(told()), 4).contains("4 times and tried TLS 3 times"));
    let early: Vec<_> = [tls(-50, 1, 40_001, &[]), request(900, 2, "/control")].into_iter().collect();
    assert!(against(&early, Sidecar::Wrote(told()), 1).contains("without trying"), "before the claim held");
}

#[test]
fn attempts_of_somebody_else_are_not_the_gateways() {
    let others = (0..3).map(|n| entry(9 + i64::from(n) * 50, "10.244.0.99", Some(40_001 + n))).collect();
    assert!(against(&tried(), Sidecar::Wrote(others), 3).contains("without trying"));
    let untold = vec![entry(900, "10.244.0.7", Some(50_000))];
    assert!(against(&tried(), Sidecar::Wrote(untold), 3).contains("without trying"));
    assert!(against(&tried(), Sidecar::None, 3).contains("without trying"), "the program sees the address");
}

#[test]
fn without_a_sidecar_the_program_sees_whose_they_are() {
    let log: Vec<_> =
        tried().iter().map(|line| line.replace("127.0.0.6:40", &format!("{PROXY}:40"))).collect();
    assert!(judged(&log, Sidecar::None, 3).held);
}

#[test]
fn clear_text_beside_it_is_against_it_in_the_window_only() {
    let mut log = tried();
    log.insert(3, request(700, 4, "/orders"));
    log[4] = request(900, 5, "/control");
    let why = against(&log, Sidecar::Wrote(told()), 3);
    assert!(why.contains("the request /orders came to the program of backend-v1 in clear text"), "{why}");
    log[3] = request(850, 4, "/orders");
    assert!(judged(&log, Sidecar::Wrote(told()), 3).held, "after the claim held");
    log[3] = line(5, 4, json!({"connection": {"peer": "127.0.0.6:7", "begins_with": "clear-text"}}));
    assert!(against(&log, Sidecar::Wrote(told()), 3).contains("a connection in clear text"));
}

#[test]
fn an_istio_alpn_is_against_it() {
    let mut log = tried();
    log[1] = tls(60, 2, 40_002, &["istio-peer-exchange", "istio"]);
    assert!(against(&log, Sidecar::Wrote(told()), 2).contains("Istio ALPN"));
}

#[test]
fn what_the_sidecar_turned_away_counts() {
    let away = |flags: &str| {
        let entry =
            |n: i64| SidecarEntry { response_flags: Some(flags.into()), ..entry(n * 50, PROXY, None) };
        Sidecar::Wrote((0..3).map(entry).collect())
    };
    let control = [request(900, 1, "/control")];
    for flags in ["NR", "DPE"] {
        let testimony = judged(&control, away(flags), 3);
        assert!(testimony.held && testimony.summary.contains("turned away by the sidecar"));
    }
    assert!(!judged(&control, away("-"), 3).held);
}

#[test]
fn a_control_that_does_not_come_through_proves_nothing() {
    let hear = |change: fn(&mut Seen)| {
        let mut seen = seen(&tried(), Sidecar::Wrote(told()));
        change(&mut seen);
        let window = Window { from: FROM, to: FROM + 800 };
        judge(&[seen], window, &[Some(503); 3], &[PROXY.parse().unwrap()].into())
    };
    let refused = hear(|seen| (seen.control.good, seen.control.summary) = (false, "reset".into()));
    assert!(!refused.held && refused.summary.contains("got reset"), "{}", refused.summary);
    assert!(hear(|seen| seen.control.path = "/lost".into()).summary.contains("control's request is missing"));
    assert!(
        hear(|seen| seen.programs[0].lines.iter_mut().for_each(|line| line.line += 5))
            .summary
            .contains("reach back")
    );
    assert!(!hear(|seen| seen.programs.clear()).held);
}

#[test]
fn a_clock_that_goes_wrong_is_seen_by_the_control() {
    let hours = 7_200_000;
    let late = |line: &String| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["time_ms"] = (line["time_ms"].as_i64().unwrap() + hours).into();
        line.to_string()
    };
    let log: Vec<_> = tried().iter().map(late).collect();
    let told = told().into_iter().enumerate();
    let told = told.map(|(n, _)| entry(9 + hours + i64::try_from(n).unwrap() * 50, PROXY, None)).collect();
    let testimony = judged(&log, Sidecar::Wrote(told), 3);
    assert!(testimony.held, "{}", testimony.summary);
}

#[test]
fn only_a_row_of_503_can_be_looked_into() {
    for answers in [vec![], vec![Some(503), Some(200)], vec![None]] {
        let window = Window { from: FROM, to: FROM + 800 };
        assert!(!judge(&[], window, &answers, &BTreeSet::new()).held);
    }
}
