use super::*;

fn group(status: Option<u16>, backend: Option<&str>, count: usize) -> AnswerGroup {
    let failure = status.is_none().then(|| "reset".to_owned());
    AnswerGroup { status, failure, backend: backend.map(Into::into), reason: None, count }
}

fn stretch(at_ms: u64, until_ms: u64, status: Option<u16>) -> Stretch {
    let (hop, backend) = match status {
        None => (Hop::Connection, None),
        Some(200) => (Hop::Backend, Some("backend-v1")),
        Some(_) => (Hop::Gateway, None),
    };
    Stretch { at_ms, until_ms, hop, answers: group(status, backend, 1 + (until_ms - at_ms) as usize / 10) }
}

fn drawn(strip: &Strip) -> Vec<(&'static str, u64)> {
    strip.segments.iter().map(|piece| (piece.class, piece.grow)).collect()
}

#[test]
fn a_claim_shows_what_was_wanted_what_else_and_what_failed() {
    let observed = Observed {
        settled: vec![group(Some(503), None, 20)],
        stretches: vec![stretch(20, 100, Some(200)), stretch(110, 110, None), stretch(120, 310, Some(503))],
        ..Observed::default()
    };
    let strip = Strip::of_claim(&observed).unwrap();
    assert_eq!(drawn(&strip), [("none", 20), ("other", 90), ("broken", 10), ("good", 190)]);
    assert_eq!(strip.segments[2].tip, "at 110 ms: 1 × no answer (reset), nobody answered");
    let key: Vec<_> = strip.key.iter().map(|key| key.words.as_str()).collect();
    assert_eq!(key, ["9 × 200 from backend-v1", "1 × no answer (reset)", "20 × 503"]);
    assert_eq!(strip.label, "30 requests over time");
}

#[test]
fn a_claim_without_requests_has_no_strip() {
    assert!(Strip::of_claim(&Observed::default()).is_none());
}

#[test]
fn a_claim_that_never_held_shows_nothing_as_wanted() {
    let observed = Observed { stretches: vec![stretch(0, 90, Some(200))], ..Observed::default() };
    assert_eq!(drawn(&Strip::of_claim(&observed).unwrap()), [("other", 90)]);
}

#[test]
fn among_many_stretches_no_failure_is_lost() {
    let stretches: Vec<Stretch> = (0..1_000)
        .map(|number| {
            stretch(
                number * 10,
                number * 10,
                if number == 777 { None } else { Some(200 + (number % 2) as u16) },
            )
        })
        .collect();
    let settled = vec![group(Some(200), Some("backend-v1"), 1), group(Some(201), None, 1)];
    let strip = Strip::of_claim(&Observed { settled, stretches, ..Observed::default() }).unwrap();
    assert_eq!(strip.segments.len(), DRAWN);
    let broken: Vec<_> = strip.segments.iter().filter(|piece| piece.class == "broken").collect();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].tip.contains("no answer (reset)"), "{}", broken[0].tip);
    assert_eq!((strip.rows.len(), strip.more), (ROWS, 800));
}
