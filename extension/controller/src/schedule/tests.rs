//! The schedule, with a clock of the test's own.

use super::*;
use crate::plan::Action;
use crate::world::{Key, Watched};

fn target(name: &str) -> Target {
    (Watched::Gateway, Key::new("ns", name))
}

fn write(seen: &str, wish: &str, settling: Settling) -> Write {
    Write {
        target: target("gateway"),
        action: Action::PatchStatus(serde_json::Value::Null),
        seen: seen.to_owned(),
        fingerprint: wish.to_owned(),
        settling,
        urgency: Urgency::Parent,
    }
}

fn want(schedule: &mut Schedule, write: Write, now: Instant) -> Due {
    schedule.want(&write.target.clone(), Some(write), now);
    schedule.due(now)
}

fn wish(schedule: &mut Schedule, seen: &str, wish: &str, now: Instant) -> Due {
    want(schedule, write(seen, wish, Settling::No), now)
}

#[test]
fn a_write_is_not_sent_twice_while_its_effect_has_not_been_seen() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = wish(&mut schedule, "1", "a", now).writes;
    assert_eq!(sent.len(), 1);
    assert!(wish(&mut schedule, "1", "a", now).writes.is_empty(), "under way");
    schedule.ended(&sent[0], Ended::Well, now);
    assert!(wish(&mut schedule, "1", "a", now).writes.is_empty(), "done");
    assert_eq!(wish(&mut schedule, "1", "b", now).writes.len(), 1, "another wish");
}

#[test]
fn the_same_wish_is_sent_again_when_the_object_has_changed() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = wish(&mut schedule, "1", "a", now).writes;
    schedule.ended(&sent[0], Ended::Well, now);
    assert_eq!(wish(&mut schedule, "2", "a", now).writes.len(), 1);
}

#[test]
fn what_is_wanted_while_a_write_is_under_way_is_sent_after_it() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = wish(&mut schedule, "1", "a", now).writes;
    assert!(wish(&mut schedule, "1", "b", now).writes.is_empty());
    schedule.ended(&sent[0], Ended::Well, now);
    assert_eq!(schedule.due(now).writes[0].fingerprint, "b");
}

#[test]
fn a_settling_status_waits_and_is_then_written() {
    let now = Instant::now();
    for (settling, patience) in
        [(Settling::Acknowledgement, ACKNOWLEDGEMENT), (Settling::Connection, CONNECTION)]
    {
        let mut schedule = Schedule::default();
        let due = want(&mut schedule, write("1", "a", settling), now);
        assert!(due.writes.is_empty());
        assert_eq!(due.again, Some(now + patience));
        let later = now + patience / 2;
        let due = want(&mut schedule, write("1", "b", settling), later);
        assert_eq!(due.again, Some(now + patience), "another change does not put it off");
        assert_eq!(schedule.due(now + patience).writes.len(), 1);
    }
}

#[test]
fn a_status_that_has_settled_is_written_at_once() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    want(&mut schedule, write("1", "a", Settling::Acknowledgement), now);
    assert_eq!(wish(&mut schedule, "1", "b", now).writes.len(), 1);
}

#[test]
fn a_status_that_is_right_again_is_not_written() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    want(&mut schedule, write("1", "a", Settling::Connection), now);
    schedule.want(&target("gateway"), None, now + CONNECTION / 2);
    let due = schedule.due(now + CONNECTION);
    assert!(due.writes.is_empty() && due.again.is_none());
    assert_eq!(schedule.wanted().count(), 0);
}

#[test]
fn the_number_of_routes_is_written_at_once_and_in_a_burst_when_the_burst_is_over() {
    let (mut schedule, start) = (Schedule::default(), Instant::now());
    let mut counted = |routes: u32, now| {
        let due = want(&mut schedule, write("1", &routes.to_string(), Settling::AttachedRoutes), now);
        for write in &due.writes {
            schedule.ended(write, Ended::Well, now);
        }
        due
    };
    assert_eq!(counted(1, start).writes.len(), 1, "the first");
    let (mut now, mut writes, step) = (start, 0, QUIET / 20);
    for routes in 2..=7900 {
        now += step;
        writes += counted(routes, now).writes.len();
    }
    assert!(now - start > COUNTING * 3, "{:?}", now - start);
    assert_eq!(writes, 3, "no more than one in {COUNTING:?}");
    let due = schedule.due(now);
    assert_eq!(due.again, Some(now + QUIET), "and one when no more come");
    assert_eq!(schedule.due(now + QUIET).writes[0].fingerprint, "7900");
}

#[test]
fn a_number_that_changes_now_and_then_waits_for_nothing() {
    let (mut schedule, mut now) = (Schedule::default(), Instant::now());
    for routes in 1..5 {
        let due = want(&mut schedule, write("1", &routes.to_string(), Settling::AttachedRoutes), now);
        assert_eq!(due.writes.len(), 1);
        schedule.ended(&due.writes[0], Ended::Well, now);
        now += QUIET;
    }
}

#[test]
fn what_is_more_than_a_number_does_not_wait_for_one() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = want(&mut schedule, write("1", "a", Settling::AttachedRoutes), now).writes;
    schedule.ended(&sent[0], Ended::Well, now);
    assert!(want(&mut schedule, write("1", "b", Settling::AttachedRoutes), now).writes.is_empty());
    assert_eq!(wish(&mut schedule, "2", "c", now).writes.len(), 1);
}

#[test]
fn failures_are_retried_after_longer_and_longer_pauses() {
    let (mut schedule, mut now) = (Schedule::default(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let sent = wish(&mut schedule, "1", "a", now).writes;
        schedule.ended(&sent[0], Ended::Badly, now);
        let again = wish(&mut schedule, "1", "a", now).again.unwrap();
        pauses.push(again - now);
        now = again;
    }
    assert_eq!(pauses[0], MIN_PAUSE);
    assert!(pauses.windows(2).all(|pair| pair[1] >= pair[0]));
    assert_eq!(pauses[9], MAX_PAUSE);
}

#[test]
fn a_conflict_is_retried_soon() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = wish(&mut schedule, "1", "a", now).writes;
    schedule.ended(&sent[0], Ended::Stale, now);
    assert_eq!(wish(&mut schedule, "1", "a", now).again, Some(now + CONFLICT_PAUSE));
    assert_eq!(wish(&mut schedule, "1", "a", now + CONFLICT_PAUSE).writes.len(), 1);
}

/// A thousand objects at once: a handful of writes under way, each object in its turn, what is needed most first.
#[test]
fn a_handful_of_writes_is_under_way_and_nobody_waits_for_ever() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let of = |index: u32, urgency| Write {
        target: target(&format!("object-{index:04}")),
        urgency,
        ..write("1", "a", Settling::No)
    };
    for index in 0..1000 {
        let urgency = if index % 10 == 0 { Urgency::New } else { Urgency::Change };
        let write = of(index, urgency);
        schedule.want(&write.target.clone(), Some(write), now);
    }
    let mut under_way = schedule.due(now).writes;
    let mut order = Vec::new();
    while let Some(write) = (!under_way.is_empty()).then(|| under_way.remove(0)) {
        assert!(under_way.len() < MAX_IN_FLIGHT);
        schedule.ended(&write, Ended::Well, now);
        order.push(write.urgency);
        under_way.extend(schedule.due(now).writes);
        if order.len() == 500 {
            // What becomes urgent meanwhile does not wait for the rest.
            let write = of(5000, Urgency::DataPlane);
            schedule.want(&write.target.clone(), Some(write), now);
        }
    }
    assert_eq!(order.len(), 1001);
    assert!(order[..100].iter().all(|urgency| *urgency == Urgency::New));
    let urgent = order.iter().position(|urgency| *urgency == Urgency::DataPlane).unwrap();
    assert!(urgent < 500 + 2 * MAX_IN_FLIGHT, "{urgent}");
}

#[test]
fn what_is_under_way_when_leadership_changes_still_counts() {
    let (mut schedule, now) = (Schedule::default(), Instant::now());
    let sent = wish(&mut schedule, "1", "a", now).writes;
    schedule.reset();
    assert!(wish(&mut schedule, "1", "a", now).writes.is_empty(), "under way");
    schedule.ended(&sent[0], Ended::Stale, now);
    assert_eq!(schedule.due(now + CONFLICT_PAUSE).writes.len(), 1);
}
