use super::*;

const CLIENT: &str = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";
const POD: &str = "backend-v1-6bbdbd646d-9s7qv";

fn facts() -> Facts {
    let entry =
        AccessLogEntry::parse(include_str!("../../../../../fixtures/recorded/access-log-200.json")).unwrap();
    let log = include_str!("../../../../../fixtures/recorded/sidecar-access-log.txt");
    let pod = BackendPod {
        namespace: "isto-example-namespace".into(),
        name: POD.into(),
        address: "10.244.0.17:3000".parse().unwrap(),
        service_account: "default".into(),
        sidecar: true,
    };
    let (form, peer) = (Mesh::sample().access_log.form, "127.0.0.6:40001");
    let written = log.lines().filter_map(|line| form.parse(line)).filter(|entry| entry.is_from(CLIENT));
    let written = written.map(|entry| SidecarEntry { upstream_local_address: Some(peer.into()), ..entry });
    let answer = |id: &str| Seen {
        pod: POD.into(),
        request_id: Some(id.into()),
        received_id: Some(id.into()),
        peer: Some(peer.parse().unwrap()),
    };
    let lines = [entry.request_id.as_str(), "b", "unknown"].map(|id| Line {
        line: 1,
        path: Some("/".into()),
        request: Some(id.into()),
        peer: Some(peer.parse().unwrap()),
        ..Line::default()
    });
    Facts {
        answers: vec![answer(&entry.request_id), answer("b")],
        accounts: Some([("b".to_owned(), entry.clone()), (entry.request_id.clone(), entry)].into()),
        identities: [(POD.to_owned(), pod.spiffe_id(&Mesh::sample()))].into(),
        pods: vec![pod],
        sidecars: [(POD.into(), written.collect())].into(),
        programs: [(POD.into(), vec![Written { lines: lines.to_vec() }])].into(),
        counters: BTreeMap::new(),
    }
}

#[test]
fn gateway_and_sidecar_agree() {
    let testimony = judge(&facts(), CLIENT, "backend-v1");
    assert!(testimony.held, "{}", testimony.summary);
    assert!(!testimony.summary.contains(POD), "a name of the day in the summary: {}", testimony.summary);
}

#[test]
fn the_gateways_word_alone_is_not_enough() {
    let mut facts = facts();
    facts.sidecars.insert(POD.into(), vec![]);
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(!testimony.held);
    assert!(testimony.summary.contains("for 0 of 2 answers only"), "{}", testimony.summary);
}

#[test]
fn a_connection_of_another_answer_is_not_enough() {
    let mut facts = facts();
    facts.answers[1].peer = Some("127.0.0.6:40002".parse().unwrap());
    facts.programs.get_mut(POD).unwrap()[0].lines[1].peer = facts.answers[1].peer;
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(
        !testimony.held && testimony.summary.contains("for 1 of 2 answers only"),
        "{}",
        testimony.summary
    );
    // On an HTTP port it is the request that counts, whoever else shares the sidecar's connection.
    let request = |id: &str, entry: &SidecarEntry| SidecarEntry {
        path: Some("/".into()),
        request_id: Some(id.into()),
        ..entry.clone()
    };
    let entries = facts.sidecars.get_mut(POD).unwrap();
    let more = request("b", &entries[0]);
    entries.push(more);
    assert!(judge(&facts, CLIENT, "backend-v1").held);
    facts.sidecars.get_mut(POD).unwrap()[1].request_id = Some("c".into());
    assert!(!judge(&facts, CLIENT, "backend-v1").held);
}

#[test]
fn an_answer_that_the_program_did_not_give_is_against_it() {
    let mut facts = facts();
    facts.answers[1].received_id = facts.answers[0].received_id.clone();
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(
        !testimony.held && testimony.summary.contains("is the one of two answers"),
        "{}",
        testimony.summary
    );
    let mut facts = self::facts();
    facts.programs.get_mut(POD).unwrap()[0].lines.remove(1);
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(
        !testimony.held && testimony.summary.contains("knows nothing of the request b"),
        "{}",
        testimony.summary
    );
}

#[test]
fn of_a_gateway_without_a_log_the_sidecars_word_has_to_do() {
    let mut facts = facts();
    facts.accounts = None;
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(testimony.held && testimony.summary.contains("keeps no log"), "{}", testimony.summary);
    facts.sidecars.clear();
    assert!(!judge(&facts, CLIENT, "backend-v1").held);
}

#[test]
fn an_answer_in_clear_text_is_against_it() {
    let mut facts = facts();
    for entry in facts.accounts.iter_mut().flatten().map(|(_, entry)| entry) {
        entry.upstream_tls = None;
    }
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(!testimony.held);
    assert!(testimony.summary.contains("TLS mode none"), "{}", testimony.summary);
}

#[test]
fn another_identity_on_either_side_is_against_it() {
    let mut facts = facts();
    facts.identities.insert(POD.into(), "spiffe://cluster.local/ns/isto-example-namespace/sa/other".into());
    assert!(!judge(&facts, CLIENT, "backend-v1").held);
    assert!(!judge(&self::facts(), "spiffe://cluster.local/ns/a/sa/b", "backend-v1").held);
}

#[test]
fn an_answer_without_a_line_in_the_gateways_log_is_against_it() {
    let mut facts = facts();
    facts.answers.push(Seen { request_id: Some("unknown".into()), ..facts.answers[0].clone() });
    assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("no line for the answer unknown"));
    facts.answers.last_mut().unwrap().request_id = None;
    assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("no request id"));
}

#[test]
fn a_pod_without_a_sidecar_cannot_have_seen_mutual_tls() {
    let mut facts = facts();
    facts.pods[0].sidecar = false;
    assert!(judge(&facts, CLIENT, "backend-v1").summary.contains("has no sidecar"));
}

#[test]
fn counters_that_know_of_no_handshake_are_against_it() {
    let counters = |handshakes, without| {
        let after = [("handshake".to_string(), handshakes), ("no_certificate".to_string(), without)];
        let mut facts = facts();
        facts.counters.insert(POD.into(), (BTreeMap::new(), after.into()));
        judge(&facts, CLIENT, "backend-v1")
    };
    assert!(counters(1, 0).held);
    assert!(counters(0, 0).summary.contains("counts no TLS handshake"));
    assert!(counters(2, 1).summary.contains("1 TLS connections without a client certificate"));
}

#[test]
fn without_a_good_answer_there_is_nothing_to_prove() {
    assert!(!judge(&Facts::default(), CLIENT, "backend-v1").held);
}
