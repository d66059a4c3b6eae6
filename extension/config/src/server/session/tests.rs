//! Whatever happens on the way, a proxy ends up with what was published last, and the server knows it.

use super::*;
use crate::Entry;
use crate::client::{Rejection, Store};
use crate::proto::{Certificate, Frontend, Node, RouteRule};
use proptest::prelude::*;

/// A snapshot of up to six resources whose content is a small number.
fn snapshot(contents: &[Option<u8>]) -> Snapshot {
    Snapshot::new(contents.iter().enumerate().filter_map(|(index, content)| {
        let fqdn = content.as_ref()?.to_string();
        Some((format!("frontend/{index}"), Kind::Frontend(Frontend { fqdn, ..Frontend::default() })))
    }))
}

fn holds(store: &Store) -> BTreeMap<String, String> {
    store.resources().iter().map(|(name, resource)| (name.to_string(), resource.version.clone())).collect()
}

fn wanted(snapshot: &Snapshot) -> BTreeMap<String, String> {
    snapshot.versions().map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// Lets proxy and server talk until neither has anything to say.
fn settle(session: &mut Session, store: &mut Store, mut response: Option<DeltaResponse>) {
    for _ in 0..10 {
        let Some(sent) = response else { return };
        session.receive(store.receive(sent, |_| Ok(())));
        response = session.next_response();
    }
    panic!("proxy and server do not come to rest");
}

/// What the server says of the proxy is true at any time, and complete when neither has anything to say.
fn check(
    session: &Session,
    store: &Store,
    current: Option<&Snapshot>,
    in_flight: bool,
) -> Result<(), TestCaseError> {
    let held = holds(store);
    let refused: BTreeMap<&str, &str> =
        session.refusals().map(|(name, version, _)| (name, version)).collect();
    for (name, version) in session.acknowledged().into_iter().flat_map(Snapshot::versions) {
        let holds = held.get(name).map(String::as_str) == Some(version);
        prop_assert!(holds || refused.contains_key(name), "{name} is not held");
    }
    let Some(current) = current else { return Ok(()) };
    let refused_whole = session.refused_snapshot().is_some_and(|(snapshot, _)| snapshot == current);
    if !in_flight && !refused_whole {
        prop_assert_eq!(session.acknowledged(), Some(current));
        for (name, version) in refused {
            prop_assert_eq!(current.version(name), Some(version), "only what is wanted counts as refused");
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Event {
    /// A new snapshot; its response is delivered at once, or left in flight.
    Publish { contents: Vec<Option<u8>>, deliver: bool },
    /// Whatever is in flight is delivered.
    Deliver,
    /// The stream breaks before the answer arrives, and a new one starts, perhaps on another replica.
    Reconnect { delivered: bool },
    /// The proxy refuses what is in flight, naming a resource or not.
    Refuse { named: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let contents = proptest::collection::vec(proptest::option::of(0..4_u8), 0..6);
    prop_oneof![
        4 => (contents, any::<bool>()).prop_map(|(contents, deliver)| Event::Publish { contents, deliver }),
        2 => Just(Event::Deliver),
        1 => any::<bool>().prop_map(|delivered| Event::Reconnect { delivered }),
        1 => any::<bool>().prop_map(|named| Event::Refuse { named }),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_snapshots_answers_and_reconnects_converges(
        events in proptest::collection::vec(event(), 0..40),
        last in proptest::collection::vec(proptest::option::of(4..8_u8), 0..6),
    ) {
        let mut store = Store::default();
        let mut session = Session::new([]);
        let mut current = None;
        let mut in_flight: Option<DeltaResponse> = None;
        for event in events {
            match event {
                Event::Publish { contents, deliver } => {
                    let published = snapshot(&contents);
                    current = Some(published.clone());
                    let response = session.publish(published);
                    prop_assert!(in_flight.is_none() || response.is_none(), "one response at a time");
                    in_flight = in_flight.or(response);
                    if deliver && let Some(response) = in_flight.take() {
                        session.receive(store.receive(response, |_| Ok(())));
                        in_flight = session.next_response();
                    }
                }
                Event::Deliver => if let Some(response) = in_flight.take() {
                    session.receive(store.receive(response, |_| Ok(())));
                    in_flight = session.next_response();
                },
                Event::Reconnect { delivered } => {
                    if let Some(response) = in_flight.take() && delivered {
                        store.receive(response, |_| Ok(()));
                    }
                    session = Session::new(store.hello(Node::default()).initial_versions);
                    in_flight = current.clone().and_then(|snapshot| session.publish(snapshot));
                }
                Event::Refuse { named } => if let Some(response) = in_flight.take() {
                    let before = holds(&store);
                    let resources = response.resources.first().map(|r| r.name.clone()).filter(|_| named);
                    let refusal = Rejection { message: "no".into(), resources: resources.into_iter().collect() };
                    session.receive(store.receive(response, |_| Err(refusal)));
                    prop_assert_eq!(before, holds(&store), "a refused response changes nothing");
                    in_flight = session.next_response();
                },
            }
            check(&session, &store, current.as_ref(), in_flight.is_some())?;
        }
        // One more resource than before: this snapshot is none that was refused as a whole.
        let last: Vec<_> = last.into_iter().chain([Some(9)]).collect();
        let last = snapshot(&last);
        let response = session.publish(last.clone());
        settle(&mut session, &mut store, in_flight.or(response));
        prop_assert_eq!(holds(&store), wanted(&last));
        check(&session, &store, Some(&last), false)?;
    }

    #[test]
    fn only_what_differs_is_sent(
        before in proptest::collection::vec(proptest::option::of(0..4_u8), 6),
        after in proptest::collection::vec(proptest::option::of(0..4_u8), 6),
    ) {
        let mut store = Store::default();
        let mut session = Session::new([]);
        let first = session.publish(snapshot(&before));
        settle(&mut session, &mut store, first);
        let response = session.publish(snapshot(&after)).unwrap_or_default();
        let changed = before.iter().zip(&after).filter(|(b, a)| a.is_some() && a != b).count();
        let removed = before.iter().zip(&after).filter(|(b, a)| a.is_none() && b.is_some()).count();
        prop_assert_eq!((response.resources.len(), response.removed.len()), (changed, removed));
    }
}

#[test]
fn the_first_response_is_sent_even_when_nothing_differs() {
    let published = snapshot(&[Some(1)]);
    let mut session = Session::new(wanted(&published));
    let response = session.publish(published.clone()).expect("tells the proxy that it is complete");
    assert!(response.resources.is_empty() && response.removed.is_empty());
    let answer = DeltaRequest { response_nonce: response.nonce, ..DeltaRequest::default() };
    assert_eq!(session.receive(answer), Acknowledgement::Applied { snapshot: published.clone() });
    assert_eq!(session.publish(published), None, "nothing to say");
}

#[test]
fn a_refused_resource_holds_back_only_itself() {
    let mut store = Store::default();
    let mut session = Session::new([]);
    let response = session.publish(snapshot(&[Some(1), Some(2)])).unwrap();
    let refusal = Rejection { message: "port taken".into(), resources: vec!["frontend/0".into()] };
    session.receive(store.receive(response, |_| Err(refusal)));
    let second = session.next_response().expect("the rest is sent again");
    assert_eq!(second.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["frontend/1"]);
    settle(&mut session, &mut store, Some(second));
    assert_eq!(
        session.refusals().map(|(name, _, message)| (name, message)).collect::<Vec<_>>(),
        [("frontend/0", "port taken")]
    );

    let repaired = snapshot(&[Some(3), Some(2)]);
    let response = session.publish(repaired.clone());
    settle(&mut session, &mut store, response);
    assert_eq!(holds(&store), wanted(&repaired));
    assert_eq!(session.refusals().count(), 0);
}

#[test]
fn a_refused_change_that_is_taken_back_counts_as_acknowledged() {
    let mut store = Store::default();
    let mut session = Session::new([]);
    let response = session.publish(snapshot(&[Some(1), Some(2)]));
    settle(&mut session, &mut store, response);
    let response = session.publish(snapshot(&[Some(3), Some(4)])).unwrap();
    let refusal = Rejection { message: "port taken".into(), resources: vec!["frontend/0".into()] };
    session.receive(store.receive(response, |_| Err(refusal)));
    let rest = session.next_response();
    settle(&mut session, &mut store, rest);
    assert_eq!(session.acknowledged(), Some(&snapshot(&[Some(3), Some(4)])), "but for the refusal");
    assert_eq!(session.refusals().count(), 1);

    let back = snapshot(&[Some(1), Some(4)]);
    assert_eq!(session.publish(back.clone()), None, "it holds that already");
    assert_eq!(session.acknowledged(), Some(&back));
    assert_eq!(session.refusals().count(), 0);
    assert_eq!(holds(&store), wanted(&back));
}

#[test]
fn a_snapshot_that_was_refused_as_a_whole_may_be_tried_again_after_another() {
    let mut store = Store::default();
    let mut session = Session::new([]);
    let response = session.publish(snapshot(&[Some(1)]));
    settle(&mut session, &mut store, response);
    let response = session.publish(snapshot(&[Some(2)])).unwrap();
    let refusal = Rejection { message: "no".into(), resources: Vec::new() };
    session.receive(store.receive(response, |_| Err(refusal)));
    assert_eq!(session.next_response(), None);

    assert_eq!(session.publish(snapshot(&[Some(1)])), None, "it holds that already");
    assert_eq!(session.refused_snapshot(), None);
    assert!(session.publish(snapshot(&[Some(2)])).is_some());
}

#[test]
fn a_refusal_without_names_waits_for_the_next_snapshot() {
    let mut session = Session::new([]);
    let response = session.publish(snapshot(&[Some(1)])).unwrap();
    let error = Some(Error { message: "no".into(), resources: Vec::new() });
    session.receive(DeltaRequest { response_nonce: response.nonce, error, ..DeltaRequest::default() });
    assert_eq!(session.next_response(), None);
    assert_eq!(session.publish(snapshot(&[Some(1)])), None, "the same content again");
    assert!(session.publish(snapshot(&[Some(2)])).is_some());
}

#[test]
fn an_answer_to_an_unknown_nonce_means_nothing() {
    let mut session = Session::new([]);
    session.publish(snapshot(&[Some(1)])).unwrap();
    let answer = DeltaRequest { response_nonce: "7".into(), ..DeltaRequest::default() };
    assert_eq!(session.receive(answer), Acknowledgement::Stale);
    assert_eq!(session.next_response(), None, "the first is still outstanding");
}

#[test]
fn what_nobody_knows_is_kept_by_those_who_hold_it_and_others_get_a_stand_in() {
    let frontend = |fqdn: &str| Kind::Frontend(Frontend { fqdn: fqdn.into(), ..Frontend::default() });
    let unknown = |instead| {
        let entry = Entry::Unknown { instead };
        snapshot(&[Some(1)]).with([("frontend/x".to_owned(), Some(entry))])
    };
    let known = snapshot(&[Some(1)]).with([("frontend/x".to_owned(), Some(frontend("known").into()))]);
    let version = |store: &Store| holds(store).get("frontend/x").cloned();

    let mut store = Store::default();
    let mut session = Session::new([]);
    let response = session.publish(known.clone());
    settle(&mut session, &mut store, response);
    // Another controller, which has just started.
    let held = store.hello(Node::default()).initial_versions;
    let mut session = Session::new(held);
    let response = session.publish(unknown(Some(frontend("stand-in"))));
    settle(&mut session, &mut store, response);
    assert_eq!(version(&store).as_deref(), known.version("frontend/x"));
    let gone = session.publish(snapshot(&[Some(1)]));
    settle(&mut session, &mut store, gone);
    assert_eq!(version(&store), None, "known not to exist");

    let mut session = Session::new([]);
    let response = session.publish(unknown(None));
    settle(&mut session, &mut store, response);
    assert_eq!(version(&store), None, "nothing stands in for it");
    let response = session.publish(unknown(Some(frontend("stand-in"))));
    settle(&mut session, &mut store, response);
    assert!(version(&store).is_some());
    let response = session.publish(known.clone());
    settle(&mut session, &mut store, response);
    assert_eq!(version(&store).as_deref(), known.version("frontend/x"));
}

#[test]
fn a_response_holds_what_differs_and_nothing_else() {
    let many = |changed: u8| snapshot(&[vec![Some(1); 5], vec![Some(changed)]].concat());
    let mut session = Session::new([]);
    let response = session.publish(many(1)).unwrap();
    assert_eq!(response.resources.len(), 6);
    session.receive(DeltaRequest { response_nonce: response.nonce, ..DeltaRequest::default() });
    let response = session.publish(many(2)).unwrap();
    assert_eq!(response.resources.len(), 1);
    // Before the answer comes, it is changed again and back.
    assert_eq!(session.publish(many(3)), None);
    assert_eq!(session.publish(many(2)), None);
    session.receive(DeltaRequest { response_nonce: response.nonce, ..DeltaRequest::default() });
    assert_eq!(session.next_response(), None);
    assert_eq!(session.acknowledged(), Some(&many(2)));
}

#[test]
fn what_not_every_proxy_understands_is_given_to_those_who_do() {
    let certificate = (Kind::Certificate(Certificate::default()), capability::TLS_LISTENERS);
    let grpc = (Kind::GrpcRouteRule(RouteRule::default()), capability::GRPC_ROUTES);
    for (kind, needed) in [certificate, grpc] {
        let snapshot = || snapshot(&[Some(1)]).with([("other/a".to_owned(), Some(kind.clone().into()))]);
        let mut older = Session::new([]).capable_of(["something-else".to_owned()]);
        assert_eq!(older.publish(snapshot()).unwrap().resources.len(), 1);
        let mut newer = Session::new([]).capable_of([needed.to_owned()]);
        assert_eq!(newer.publish(snapshot()).unwrap().resources.len(), 2);
    }
}
