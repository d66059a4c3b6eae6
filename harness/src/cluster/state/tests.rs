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
        running: true,
        networks: vec![NETWORK.into()],
    }
}

fn record(stage: Stage) -> Record {
    Record {
        stage,
        definition: definition(),
        nodes: vec![node()],
        pool: None,
        images: Vec::new(),
        istio: None,
        istio_out: false,
    }
}

fn replaced_because(verdict: Verdict) -> String {
    match verdict {
        Verdict::Replace(reason) => reason,
        other => panic!("expected a replacement, got {other:?}"),
    }
}

#[test]
fn nothing_there_means_create() {
    assert_eq!(assess(None, &[], &definition(), NETWORK), Verdict::Create);
}

#[test]
fn an_unchanged_running_cluster_is_used() {
    assert_eq!(assess(Some(&record(Stage::Ready)), &[node()], &definition(), NETWORK), Verdict::Use);
}

#[test]
fn containers_without_a_record_are_remains() {
    let reason = replaced_because(assess(None, &[node()], &definition(), NETWORK));
    assert!(reason.contains("without a record"), "{reason}");
}

#[test]
fn a_killed_creation_is_replaced_even_if_its_containers_run() {
    let reason = replaced_because(assess(Some(&record(Stage::Creating)), &[node()], &definition(), NETWORK));
    assert_eq!(reason, "its creation was interrupted");
}

#[test]
fn another_definition_is_replaced_and_says_what_changed() {
    let wanted = Definition { nodes: 2, ..definition() };
    let reason = replaced_because(assess(Some(&record(Stage::Ready)), &[node()], &wanted, NETWORK));
    assert_eq!(reason, "its definition changed (nodes: 1 → 2)");
}

#[test]
fn after_a_reboot_stopped_missing_or_restarted_nodes_are_replaced() {
    let ready = record(Stage::Ready);
    let stopped = NodeContainer { running: false, ..node() };
    let restarted = NodeContainer { started_at: "2026-01-02T00:00:00Z".into(), ..node() };
    let cases = [(vec![], "is gone"), (vec![stopped], "does not run"), (vec![restarted], "was restarted")];
    for (seen, words) in cases {
        let reason = replaced_because(assess(Some(&ready), &seen, &definition(), NETWORK));
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn somebody_elses_kind_cluster_of_the_same_name_is_left_alone() {
    let stranger = NodeContainer { networks: vec!["kind".into()], ..node() };
    let verdict = assess(Some(&record(Stage::Ready)), &[stranger], &definition(), NETWORK);
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
fn a_record_survives_writing_and_reading_and_nonsense_counts_as_none() {
    let cache = tempfile::tempdir().unwrap();
    let state = StateDir::new(cache.path(), "m");
    state.create().unwrap();
    state.write(&record(Stage::Ready)).unwrap();
    assert_eq!(state.read(), Some(record(Stage::Ready)));
    state.write_file("cluster.json", b"{\"stage\":").unwrap();
    assert_eq!(state.read(), None);
}
