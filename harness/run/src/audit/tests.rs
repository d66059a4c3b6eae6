//! Two pods, a and b, one Lease, and who may write when. Times are seconds.

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::*;

const A: &str = "web-6c8f9d7b54-aaaaa";
const B: &str = "web-6c8f9d7b54-bbbbb";

fn election() -> LeaderElection {
    let of = |name: &str| ("ns".to_owned(), name.to_owned());
    LeaderElection { deployment: of("web"), lease: of("web-lock"), service_account: "web".to_owned() }
}

fn at(seconds: f64) -> Timestamp {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    start + SignedDuration::from_micros((seconds * 1e6).round() as i64)
}

fn request(pod: &str, seconds: f64) -> Write {
    let pod = (!pod.is_empty()).then(|| Pod { namespace: "ns".to_owned(), name: pod.to_owned() });
    Write {
        received: at(seconds),
        done: at(seconds + 0.01),
        user: "system:serviceaccount:ns:web".to_owned(),
        pod,
        verb: "update".to_owned(),
        target: Target {
            resource: "secrets".to_owned(),
            namespace: "ns".to_owned(),
            name: "s".to_owned(),
            ..Target::default()
        },
        holding: None,
    }
}

/// A write of the Lease, by its resourceVersion, after which somebody of this name holds it for ten seconds.
fn lease(version: u64, pod: &str, seconds: f64, identity: &str) -> Write {
    let holding = Holding {
        identity: identity.to_owned(),
        seconds: Some(10),
        renewed: seconds.to_string(),
        version: Some(version),
    };
    let target = Target {
        group: "coordination.k8s.io".to_owned(),
        resource: "leases".to_owned(),
        namespace: "ns".to_owned(),
        name: "web-lock".to_owned(),
    };
    Write { target, holding: Some(holding), ..request(pod, seconds) }
}

fn log(writes: Vec<Write>) -> AuditLog {
    AuditLog { now: at(100.0), from: Some(at(-60.0)), own: true, writes }
}

/// The log of a hand-over: a holds the Lease from 0 and releases it at 10, b takes it at 10.1 and renews it at 12 and 14.
fn hand_over() -> Vec<Write> {
    vec![
        lease(1, A, 0.0, A),
        lease(2, A, 4.0, A),
        lease(3, A, 8.0, A),
        lease(4, A, 10.0, ""),
        lease(5, B, 10.1, B),
        lease(6, B, 12.0, B),
        lease(7, B, 14.0, B),
    ]
}

fn judged(writes: Vec<Write>) -> Finding {
    judge(&election(), &log(writes), at(1.0), at(13.0))
}

fn with(writes: impl IntoIterator<Item = Write>) -> Finding {
    judged(hand_over().into_iter().chain(writes).collect())
}

fn offences(finding: Finding) -> Vec<Offence> {
    let Finding::Others(offences) = finding else { panic!("{finding:?}") };
    offences
}

#[test]
fn writes_of_each_holder_in_its_time_are_those_of_the_only_writer() {
    let Finding::Alone { writes, holders } = with([request(A, 9.9), request(B, 10.2), request(B, 13.0)])
    else {
        panic!()
    };
    assert_eq!(writes, 3);
    assert_eq!(holders.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), [A, B]);
}

#[test]
fn a_write_by_another_is_told_with_pod_object_and_time() {
    let offences = offences(with([request(B, 5.0), request(B, 4.0)]));
    let [first, second] = offences.as_slice() else { panic!("{offences:?}") };
    assert_eq!((first.at, second.at), (at(4.0), at(5.0)));
    let said = first.to_string();
    assert_eq!(said, format!("ns/{B} updated secrets s in ns at {}, when {A} held the Lease", at(4.0)));
}

#[test]
fn a_write_after_the_lease_was_given_up_says_that_it_was_held_before() {
    let offences = offences(with([request(A, 11.0)]));
    assert_eq!(offences[0].held_until, Some(at(10.01)));
    assert!(offences[0].to_string().contains("it had held it itself until"), "{}", offences[0]);
}

// What comes while the Lease changes hands cannot be told from what came before.
#[rstest]
#[case::a_write_under_way_when_the_lease_is_released(A, 10.005, true)]
#[case::a_write_after_the_release_was_answered(A, 10.02, false)]
#[case::a_write_before_the_lease_was_asked_for(B, 10.05, false)]
#[case::a_write_while_it_is_being_taken(B, 10.105, true)]
fn at_the_change_of_hands(#[case] pod: &str, #[case] seconds: f64, #[case] fine: bool) {
    assert_eq!(matches!(with([request(pod, seconds)]), Finding::Alone { .. }), fine);
}

#[test]
fn a_write_that_came_in_time_may_take_long() {
    let slow = Write { done: at(11.5), ..request(A, 9.9) };
    assert!(matches!(with([slow]), Finding::Alone { writes: 1, .. }));
}

/// a dies at 5 without a word, b waits until the Lease has run out.
fn death() -> Vec<Write> {
    vec![lease(1, A, 0.0, A), lease(2, A, 4.0, A), lease(3, B, 14.2, B), lease(4, B, 18.0, B)]
}

#[rstest]
#[case::a_last_write_of_the_one_that_died(A, 4.5, true)]
#[case::while_it_runs_out_it_is_held(A, 13.9, true)]
#[case::a_lease_that_has_run_out_is_held_by_nobody(A, 14.1, false)]
#[case::whoever_waits_for_it_does_not_write(B, 14.1, false)]
#[case::whoever_has_it_does(B, 14.3, true)]
#[case::the_one_before_wakes_up(A, 15.0, false)]
fn after_a_death(#[case] pod: &str, #[case] seconds: f64, #[case] fine: bool) {
    let writes = death().into_iter().chain([request(pod, seconds)]).collect();
    let finding = judge(&election(), &log(writes), at(1.0), at(15.0));
    assert_eq!(matches!(finding, Finding::Alone { .. }), fine, "{finding:?}");
}

#[test]
fn a_renewal_in_the_name_of_another_is_a_write_by_another() {
    let offences = offences(with([lease(8, A, 14.5, B), lease(9, B, 15.0, B)]));
    assert_eq!((offences.len(), offences[0].target.resource.as_str()), (1, "leases"));
}

#[test]
fn a_holder_is_known_by_its_token_whatever_it_calls_itself() {
    let name = format!("{A}_9c1b1f0e-5a53-4f6e-9f0e-6c1f6a1f2b7d");
    let writes =
        vec![lease(1, A, 0.0, &name), lease(2, A, 4.0, &name), request(A, 5.0), lease(3, A, 8.0, &name)];
    let finding = judge(&election(), &log(writes), at(1.0), at(6.0));
    assert!(matches!(finding, Finding::Alone { writes: 1, .. }), "{finding:?}");
}

#[test]
fn writes_of_the_lease_are_ordered_by_their_version() {
    // The release was answered late: after the Lease had been taken.
    let mut writes = hand_over();
    writes[3].done = at(10.3);
    writes.push(request(B, 11.0));
    assert!(matches!(judged(writes), Finding::Alone { .. }));
    // Without versions the order of the answers has to do.
    let mut writes = hand_over();
    for write in &mut writes {
        write.holding.as_mut().unwrap().version = None;
    }
    writes.reverse();
    writes.push(request(A, 11.0));
    assert_eq!(offences(judged(writes)).len(), 1);
}

#[test]
fn a_change_of_the_lease_that_is_no_renewal_does_not_lengthen_it() {
    let mut labelled = lease(3, "", 9.0, A);
    labelled.user = "kubernetes-admin".to_owned();
    labelled.holding.as_mut().unwrap().renewed = "4".to_owned();
    let writes =
        vec![lease(1, A, 0.0, A), lease(2, A, 4.0, A), labelled, request(A, 15.0), lease(4, A, 16.0, A)];
    assert_eq!(offences(judge(&election(), &log(writes), at(1.0), at(15.5))).len(), 1, "it ran out at 14");
}

#[test]
fn whoever_changes_the_lease_before_the_first_renewal_is_not_its_holder() {
    let mut labelled = lease(1, "", -1.0, A);
    labelled.user = "kubernetes-admin".to_owned();
    let writes = std::iter::once(labelled).chain(hand_over().into_iter().skip(1)).chain([request(A, 5.0)]);
    assert!(matches!(judged(writes.collect()), Finding::Alone { writes: 1, .. }));
}

#[test]
fn a_lease_that_has_run_out_may_be_taken_again_or_given_up() {
    let writes = vec![lease(1, A, 0.0, A), lease(2, A, 20.0, ""), lease(3, A, 30.0, A), request(A, 31.0)];
    let writes = writes.into_iter().chain([lease(4, A, 32.0, A)]).collect();
    let finding = judge(&election(), &log(writes), at(-5.0), at(31.5));
    assert!(matches!(finding, Finding::Alone { writes: 1, .. }), "{finding:?}");
}

#[test]
fn before_there_was_a_lease_nobody_held_it() {
    let early = || hand_over().into_iter().chain([request(A, -3.0)]).collect::<Vec<_>>();
    let since = |writes, from| judge(&election(), &AuditLog { from, ..log(writes) }, at(-5.0), at(13.0));
    assert_eq!(offences(since(early(), None)).len(), 1, "the log has everything");
    assert_eq!(offences(since(early(), Some(at(-60.0)))).len(), 1, "it would have run out long since");
    let finding = since(early(), Some(at(-6.0)));
    let Finding::Unshown(why) = &finding else { panic!("{finding:?}") };
    assert!(why.contains("is not in the audit log any more"), "{why}");
}

#[test]
fn pods_of_others_and_other_times_are_no_matter() {
    let others = [
        request("web-proxy-6c8f9d7b54-aaaaa", 5.0),
        Write { pod: Some(Pod { namespace: "elsewhere".to_owned(), name: B.to_owned() }), ..request(B, 5.0) },
        request(B, 0.5),
        // After the last that is known of the Lease: it may have been taken meanwhile.
        request(A, 14.5),
        Write { user: "system:serviceaccount:ns:other".to_owned(), ..request("", 5.0) },
    ];
    assert!(matches!(with(others), Finding::Alone { writes: 0, .. }));
}

#[test]
fn a_token_that_names_no_pod_shows_nothing() {
    let finding = with([request("", 5.0)]);
    let Finding::Unshown(why) = &finding else { panic!("{finding:?}") };
    assert!(why.contains("does not say which pod"), "{why}");
}

#[test]
fn a_log_that_does_not_reach_back_far_enough_shows_nothing() {
    let log = AuditLog { from: Some(at(2.0)), ..log(hand_over()) };
    let finding = judge(&election(), &log, at(1.0), at(13.0));
    let Finding::Unshown(why) = &finding else { panic!("{finding:?}") };
    assert!(why.contains("reaches back"), "{why}");
}

#[test]
fn a_log_that_does_not_reach_until_now_shows_nothing_yet() {
    assert!(matches!(judge(&election(), &log(hand_over()), at(1.0), at(14.5)), Finding::NotYet(_)));
    assert!(matches!(judged(Vec::new()), Finding::NotYet(_)));
}

#[test]
fn of_the_log_of_another_only_what_it_has_counts() {
    let foreign = |writes| AuditLog { own: false, ..log(writes) };
    let judged = |writes| judge(&election(), &foreign(writes), at(1.0), at(13.0));
    assert!(matches!(judged(Vec::new()), Finding::Unshown(_)), "it may not keep Leases");
    assert!(matches!(judged(hand_over()), Finding::Unshown(_)), "it may keep nothing but Leases");
    let writes = hand_over().into_iter().chain([request(B, 11.0)]).collect();
    assert!(matches!(judged(writes), Finding::Alone { writes: 1, .. }));
}

/// The extension's entries of a rolling restart, as an API server wrote them: the first leader ends, then its successor, and each
/// that takes over publishes its certificate.
const RECORDED: &str = include_str!("../../../../fixtures/recorded/audit-log.jsonl");
const EXTENSION: &str = "alb-controller-istio-extension";

fn recorded(text: &str) -> Finding {
    let of = || ("azure-alb-system".to_owned(), EXTENSION.to_owned());
    let election = LeaderElection { deployment: of(), lease: of(), service_account: EXTENSION.to_owned() };
    let writes = text.lines().filter_map(|line| entry::write(line).unwrap()).collect();
    let at = |time: &str| format!("2026-12-01T07:{time}Z").parse::<Timestamp>().unwrap();
    let log = AuditLog { now: at("48:59.6"), from: None, own: true, writes };
    judge(&election, &log, at("48:20"), at("48:55"))
}

#[test]
fn a_recorded_rolling_restart_has_one_writer_at_a_time() {
    let Finding::Alone { writes, holders } = recorded(RECORDED) else { panic!("{:?}", recorded(RECORDED)) };
    assert_eq!(writes, 3);
    let holders: Vec<_> = holders.iter().filter_map(|pod| pod.name.rsplit('-').next()).collect();
    assert_eq!(holders, ["dt4c9", "sm6vs", "9n7qh"]);
}

#[test]
fn the_same_with_a_write_by_the_pod_that_lost_the_race_has_two() {
    // The second leader's certificate is published by the pod whose request for the Lease came second.
    let (winner, loser) = (format!("{EXTENSION}-7b888d4566-sm6vs"), format!("{EXTENSION}-6b7c655668-s86wr"));
    let of_winner = |line: &&str| line.contains("\"secrets\"") && line.contains(&winner);
    assert_eq!(RECORDED.lines().filter(of_winner).count(), 1);
    let lines: Vec<String> = RECORDED
        .lines()
        .map(|line| if of_winner(&line) { line.replace(&winner, &loser) } else { line.to_owned() })
        .collect();
    let offences = offences(recorded(&lines.join("\n")));
    let [offence] = offences.as_slice() else { panic!("{offences:?}") };
    assert_eq!(
        offence.to_string(),
        format!(
            "azure-alb-system/{loser} updated secrets {EXTENSION}-identity in azure-alb-system at \
             2026-12-01T07:48:38.808784Z, when {winner} held the Lease"
        )
    );
}
