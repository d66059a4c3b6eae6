use super::super::super::program::Line;
use super::*;

const CLIENT: &str = "spiffe://mesh.example/ns/gateways/sa/gateway";
const POD: &str = "backend-v1-6c8f9d7b54-q2w8z";

fn seen(id: &str, port: u16) -> Seen {
    Seen {
        pod: POD.into(),
        request_id: Some(id.into()),
        received_id: Some(id.into()),
        peer: Some(SocketAddr::from(([127, 0, 0, 6], port))),
    }
}

fn answered(id: &str, port: u16) -> While {
    While { good: true, summary: "200".into(), seen: seen(id, port), forwarded: None }
}

fn facts() -> Facts {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let claimed = vec![seen("a", 1)];
    let answers: Vec<While> = ids[1..].iter().zip(2..).map(|(id, port)| answered(id, port)).collect();
    let lines = ids.iter().zip(1..).map(|(id, port)| Line {
        line: 1,
        path: Some("/".into()),
        request: Some((*id).to_owned()),
        peer: seen(id, port).peer,
        ..Line::default()
    });
    let pod = BackendPod {
        namespace: "shop".into(),
        name: POD.into(),
        address: "10.244.0.17:3000".parse().unwrap(),
        service_account: "default".into(),
        sidecar: true,
    };
    let programs = [(POD.to_owned(), vec![Written { lines: lines.collect() }])].into();
    Facts { pods: vec![pod], claimed, answers, programs, ..Facts::default() }
}

fn against(change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = facts();
    change(&mut facts);
    let testimony = judge(&facts, CLIENT, "backend-v1");
    assert!(!testimony.held, "{}", testimony.summary);
    testimony.summary
}

#[test]
fn who_is_answered_while_all_others_are_denied_has_shown_the_identity() {
    let testimony = judge(&facts(), CLIENT, "backend-v1");
    assert!(testimony.held, "{}", testimony.summary);
    assert!(!testimony.summary.contains(POD), "a name of the day: {}", testimony.summary);
}

#[test]
fn who_is_refused_then_has_another_identity_or_none() {
    let why =
        against(|facts| facts.answers[3] = While { good: false, summary: "503".into(), ..answered("e", 5) });
    assert!(why.contains("does not answer the gateway: 503"), "{why}");
}

#[test]
fn connections_from_before_prove_nothing() {
    let why = against(|facts| facts.answers.iter_mut().for_each(|answer| answer.seen = seen("a", 1)));
    assert!(why.contains("made 0 new connections"), "{why}");
}

#[test]
fn behind_an_http_port_the_sidecar_tells_whose_a_request_is() {
    let forwarded = |said: &str| {
        let mut facts = facts();
        for answer in &mut facts.answers {
            answer.seen = seen("a", 1);
            answer.forwarded = Some(said.to_owned());
        }
        judge(&facts, CLIENT, "backend-v1")
    };
    let own = format!("By=spiffe://x;Hash=1;URI={CLIENT}");
    assert!(forwarded(&own).held);
    assert!(forwarded(&format!("URI=spiffe://forged,{own}")).held, "what a client sent stands before");
    for other in
        [format!("{own},By=x;URI=spiffe://other"), "By=x;Hash=1".to_owned(), format!("URI={CLIENT}-2")]
    {
        assert!(!forwarded(&other).held, "{other}");
    }
}

#[test]
fn an_answer_that_the_program_did_not_give_or_that_passed_the_sidecar_by_is_against_it() {
    assert!(against(|facts| facts.programs.clear()).contains("knows nothing of the request a"));
    let past: SocketAddr = "10.244.0.9:1".parse().unwrap();
    let why = against(|facts| {
        facts.claimed[0].peer = Some(past);
        facts.programs.get_mut(POD).unwrap()[0].lines[0].peer = Some(past);
    });
    assert!(why.contains("past its sidecar"), "{why}");
    assert!(against(|facts| facts.claimed[0].pod = "other".into()).contains("not behind the Service"));
}

#[test]
fn the_gateways_word_and_the_sidecars_are_heard_first() {
    assert_eq!(
        against(|facts| facts.against_gateway = Some("its log says none".into())),
        "its log says none"
    );
    assert!(
        against(|facts| facts.not_in_force.push(POD.into())).contains("did not take an AuthorizationPolicy")
    );
    assert!(against(|facts| facts.pods[0].sidecar = false).contains("has no sidecar"));
    assert!(against(|facts| facts.claimed.clear()).contains("no answer 200"));
}

#[test]
fn a_policy_is_in_force_when_an_active_listener_has_it() {
    let listener = |state: &str| {
        let rules = json!({"policies": {"ns[shop]-policy[meshproof-1]-rule[0]": {}}});
        json!({"configs": [{"name": "virtualInbound", state: {"listener": {"filters": [{"rules": rules}]}}}]})
            .to_string()
    };
    assert!(is_in_force(&listener("active_state"), "meshproof-1"));
    assert!(!is_in_force(&listener("warming_state"), "meshproof-1"));
    assert!(!is_in_force(&listener("active_state"), "meshproof-10") && !is_in_force("", "meshproof-1"));
}

#[test]
fn everybody_else_is_denied() {
    assert_eq!(
        spec("mesh.example/ns/a/sa/b", &[("app".to_owned(), "b".to_owned())].into())["spec"],
        json!({"selector": {"matchLabels": {"app": "b"}}, "action": "DENY",
            "rules": [{"from": [{"source": {"notPrincipals": ["mesh.example/ns/a/sa/b"]}}]}]})
    );
}
