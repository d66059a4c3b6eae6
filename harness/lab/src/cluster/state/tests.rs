use super::*;

const NETWORK: &str = "meshproof-m";

fn definition() -> Definition {
    Definition {
        nodes: 1,
        kubernetes: "v1.34.4".into(),
        node_image: "node:a".into(),
        istio: "none".into(),
        kind_config: "k".into(),
        manifests: "m".into(),
    }
}

fn node() -> NodeContainer {
    NodeContainer {
        name: "m-control-plane".into(),
        id: "abc".into(),
        started_at: "2026-01-01T00:00:00Z".into(),
        state: ContainerState::Running,
        networks: vec![NETWORK.into()],
    }
}

pub(crate) fn record(stage: Stage) -> Record {
    Record {
        stage,
        definition: definition(),
        nodes: vec![node()],
        pool: None,
        images: Vec::new(),
        istio: None,
        istio_out: false,
        engine: None,
    }
}

fn known(stage: Stage) -> Recorded {
    Recorded::Known(Box::new(record(stage)))
}

fn assess(recorded: &Recorded, seen: &[NodeContainer], wanted: &Definition) -> Verdict {
    super::assess(recorded, seen, wanted, NETWORK, None)
}

/// Why it is made again, in one word and in all.
fn replaced(verdict: Verdict) -> (Because, String) {
    match verdict {
        Verdict::Replace(because, reason) => (because, reason),
        other => panic!("expected a replacement, got {other:?}"),
    }
}

fn in_state(state: ContainerState) -> NodeContainer {
    NodeContainer { state, ..node() }
}

/// A cluster of two nodes, its worker being as given.
fn with_worker(worker: Option<NodeContainer>) -> Verdict {
    let as_made = NodeContainer { name: "m-worker".into(), id: "def".into(), ..node() };
    let record = Record { nodes: vec![node(), as_made], ..record(Stage::Ready) };
    let seen: Vec<_> = std::iter::once(node()).chain(worker).collect();
    assess(&Recorded::Known(Box::new(record)), &seen, &definition())
}

fn worker(state: ContainerState) -> NodeContainer {
    NodeContainer { name: "m-worker".into(), id: "def".into(), state, ..node() }
}

#[test]
fn nothing_there_means_create() {
    assert_eq!(assess(&Recorded::Nothing, &[], &definition()), Verdict::Create);
}

#[test]
fn an_unchanged_running_cluster_is_used() {
    assert_eq!(assess(&known(Stage::Ready), &[node()], &definition()), Verdict::Use);
}

#[test]
fn nobody_knows_what_is_in_containers_without_a_record_that_run() {
    for recorded in [Recorded::Nothing, Recorded::Unreadable("half of it".into())] {
        for state in [ContainerState::Running, ContainerState::Paused, ContainerState::Unknown] {
            let (because, reason) = replaced(assess(&recorded, &[in_state(state)], &definition()));
            assert_eq!(because, Because::Unrecorded, "{state:?}");
            assert!(reason.contains("m-control-plane"), "{reason}");
        }
        let (because, _) = replaced(assess(&recorded, &[in_state(ContainerState::Exited)], &definition()));
        assert_eq!(because, Because::Dead);
    }
}

#[test]
fn a_killed_creation_is_unfinished_even_if_its_containers_run() {
    let verdict = assess(&known(Stage::Creating), &[node()], &definition());
    assert_eq!(replaced(verdict), (Because::Unfinished, "its creation was interrupted".to_owned()));
}

#[test]
fn another_definition_says_what_changed() {
    let wanted = Definition { nodes: 2, ..definition() };
    let verdict = assess(&known(Stage::Ready), &[node()], &wanted);
    assert_eq!(replaced(verdict), (Because::Different, "its definition changed (nodes: 1 → 2)".to_owned()));
}

/// Every word docker has, and whether it proves that the cluster is dead.
#[test]
fn only_a_control_plane_that_ended_or_is_gone_is_dead() {
    let ready = known(Stage::Ready);
    let restarted = NodeContainer { started_at: "2026-01-02T00:00:00Z".into(), ..node() };
    let dead = [
        (vec![], "is gone"),
        (vec![in_state(ContainerState::Exited)], "does not run"),
        (vec![in_state(ContainerState::Dead)], "does not run"),
        (vec![in_state(ContainerState::Removing)], "does not run"),
        (vec![restarted], "was restarted"),
    ];
    for (seen, words) in dead {
        let (because, reason) = replaced(assess(&ready, &seen, &definition()));
        assert!(because == Because::Dead && reason.contains(words), "{because:?}: {reason}");
    }
    let paused = assess(&ready, &[in_state(ContainerState::Paused)], &definition());
    assert_eq!(paused, Verdict::Paused(vec!["m-control-plane".into()]));
    for state in [
        ContainerState::Running,
        ContainerState::Restarting,
        ContainerState::Created,
        ContainerState::Unknown,
    ] {
        assert_eq!(assess(&ready, &[in_state(state)], &definition()), Verdict::Use, "{state:?}");
    }
}

#[test]
fn a_paused_cluster_of_another_definition_is_not_touched_either() {
    let wanted = Definition { nodes: 2, ..definition() };
    let verdict = assess(&known(Stage::Ready), &[in_state(ContainerState::Paused)], &wanted);
    assert!(matches!(verdict, Verdict::Paused(_)), "{verdict:?}");
}

#[test]
fn a_worker_that_stopped_is_started_and_costs_nobody_the_cluster() {
    let restarted = NodeContainer { started_at: "later".into(), ..worker(ContainerState::Running) };
    for stopped in [worker(ContainerState::Exited), restarted] {
        assert_eq!(with_worker(Some(stopped)), Verdict::Start(vec!["m-worker".into()]));
    }
    assert_eq!(with_worker(Some(worker(ContainerState::Running))), Verdict::Use);
    assert_eq!(with_worker(Some(worker(ContainerState::Paused))), Verdict::Paused(vec!["m-worker".into()]));
    assert_eq!(replaced(with_worker(None)).0, Because::Incomplete);
}

#[test]
fn nodes_in_another_engine_are_not_gone() {
    let elsewhere = |seen: &[NodeContainer], engine| {
        super::assess(&known(Stage::Ready), seen, &definition(), NETWORK, engine)
    };
    assert_eq!(elsewhere(&[], Some("unix:///other")), Verdict::Elsewhere("unix:///other".into()));
    assert_eq!(replaced(elsewhere(&[], None)).0, Because::Dead);
    // The same engine may go by several names.
    assert_eq!(elsewhere(&[node()], Some("unix:///other")), Verdict::Use);
}

#[test]
fn somebody_elses_kind_cluster_of_the_same_name_is_left_alone() {
    let stranger = NodeContainer { networks: vec!["kind".into()], ..node() };
    let verdict = assess(&known(Stage::Ready), &[stranger], &definition());
    assert_eq!(verdict, Verdict::Foreign("m-control-plane".into()));
}

#[test]
fn removing_leaves_nothing_and_may_be_repeated() {
    let cache = tempfile::tempdir().unwrap();
    let state = StateDir::new(cache.path(), "m");
    state.create().unwrap();
    state.write(&record(Stage::Creating)).unwrap();
    assert_eq!(StateDir::list(cache.path()), ["m"]);
    state.remove().unwrap();
    assert_eq!(StateDir::list(cache.path()), [""; 0]);
    state.remove().unwrap();
}

#[test]
fn a_record_survives_writing_and_reading_and_nonsense_is_told_from_none() {
    let cache = tempfile::tempdir().unwrap();
    let state = StateDir::new(cache.path(), "m");
    state.create().unwrap();
    state.write(&record(Stage::Ready)).unwrap();
    assert_eq!(state.read(), Some(record(Stage::Ready)));
    state.write_file("cluster.json", b"{\"stage\":").unwrap();
    assert_eq!(state.read(), None);
    assert!(matches!(state.recorded(), Recorded::Unreadable(why) if why.contains("cluster.json")));
    let absent = StateDir::new(cache.path(), "n");
    assert_eq!(absent.recorded(), Recorded::Nothing);
}

#[test]
fn a_record_of_an_earlier_meshproof_is_read() {
    let mut old = serde_json::to_value(record(Stage::Ready)).unwrap();
    old.as_object_mut().unwrap().remove("engine");
    let node = old["nodes"][0].as_object_mut().unwrap();
    node.remove("state");
    node.insert("running".into(), true.into());
    assert_eq!(serde_json::from_value::<Record>(old).unwrap(), record(Stage::Ready));
}
