//! A small proved run and a small failed one, for the tests of the reporters.

use std::path::PathBuf;

use serde_json::json;

use meshproof_model::event::{
    AnswerGroup, Broken, ClusterInfo, Conformance, ConformanceCount, ConformanceProfile, ConformanceTest,
    Diagnosis, ErratumInfo, Event, Failure, Hop, ImplementationInfo, Instead, MustFail, Observed,
    RequirementInfo, RequirementResult, ScenarioInfo, ScenarioResult, Stayed, StepInfo, StepKind, StepResult,
    Stretch, Testimony, Verdict,
};

fn info(index: usize, kind: StepKind, word: &str, name: &str, proves: &[&str]) -> StepInfo {
    StepInfo {
        index,
        name: name.into(),
        word: word.into(),
        kind,
        expected: (kind == StepKind::Claim).then(|| format!("{name} within 30s")),
        cites: None,
        proves: proves.iter().map(ToString::to_string).collect(),
        waives: vec![],
        sets_aside: vec![],
        errata: vec![],
        line: 6 + 4 * index,
        must_fail: None,
        breaks: vec![],
        measured: false,
        waived: None,
        instead: None,
    }
}

fn proved_step(info: StepInfo, started_ms: u64, duration_ms: u64, observed: Observed) -> StepResult {
    StepResult { info, verdict: Verdict::Proved, started_ms, duration_ms, observed, failure: None }
}

fn saw(summary: &str) -> Observed {
    Observed { summary: summary.into(), ..Observed::default() }
}

fn group(status: u16, backend: Option<&str>, reason: &str, count: usize) -> AnswerGroup {
    AnswerGroup {
        status: Some(status),
        failure: None,
        backend: backend.map(Into::into),
        reason: Some(reason.into()),
        count,
    }
}

/// Answers of these groups one after the other, one every 10 ms.
fn stretches(groups: &[AnswerGroup]) -> Vec<Stretch> {
    let mut at_ms = 4;
    let stretch = |group: &AnswerGroup| {
        let until_ms = at_ms + 10 * (group.count as u64 - 1);
        let hop = if group.backend.is_some() { Hop::Backend } else { Hop::Gateway };
        let stretch = Stretch { at_ms, until_ms, hop, answers: group.clone() };
        at_ms = until_ms + 10;
        stretch
    };
    groups.iter().map(stretch).collect()
}

fn install() -> StepResult {
    let mut step = info(0, StepKind::Action, "install", "install implementation", &["R10"]);
    step.cites = Some("L47-49".into());
    proved_step(step, 0, 4_213, saw("alb-controller 1.8.8, alb-controller-servicemesh-extension 1.8.8"))
}

fn pods() -> StepResult {
    let step = info(
        1,
        StepKind::Claim,
        "pods",
        "pods in azure-alb-system become as described",
        &["R3", "R12", "R13"],
    );
    let mut observed = saw("2 × alb-controller 1/1, 2 × alb-controller-istio-extension 2/2 after 3.1 s");
    observed.detail = json!({"pods": [
        {"name": "alb-controller-6c8f9d7b54-q2w8z", "ready": "1/1", "restarts": 0, "uid": "9c1b1f0e"},
        {"name": "alb-controller-istio-extension-6c8f9d7b54-q2w8z", "ready": "2/2", "restarts": 0},
    ]});
    observed.became_ms = Some(3_100);
    proved_step(step, 4_214, 3_100, observed)
}

fn request(index: usize, status: u16, requirement: &str) -> StepInfo {
    let name = format!("request / of gateway-01 from outside becomes {status}, stays for 20 requests");
    info(index, StepKind::Claim, "request", &name, &[requirement])
}

fn answered() -> StepResult {
    let mut observed = saw("200 from backend-v1-6c8f9d7b54-q2w8z at 172.18.255.200:80 after 214 ms");
    observed.became_ms = Some(214);
    observed.stayed = Some(Stayed { ms: 412, requests: 20 });
    observed.answers = vec![group(404, None, "no_route", 2), group(200, Some("backend-v1"), "ok", 20)];
    observed.settled = vec![group(200, Some("backend-v1"), "ok", 20)];
    observed.stretches = stretches(&observed.answers);
    observed.witnesses = vec![
        Testimony {
            witness: "mtls-from-extension".into(),
            held: true,
            summary: "the sidecar of backend-v1-6c8f9d7b54-q2w8z saw \
                      spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension"
                .into(),
            detail: json!(null),
        },
        Testimony {
            witness: "clear-text-refused".into(),
            held: true,
            summary: "reset after 2 ms".into(),
            detail: json!(null),
        },
    ];
    proved_step(request(2, 200, "R43"), 7_320, 930, observed)
}

fn delete() -> StepResult {
    let step = info(3, StepKind::Action, "delete", "delete peer-authentication.yaml", &["R44"]);
    proved_step(step, 8_251, 12, saw("peerauthentication/default in isto-example-namespace deleted"))
}

fn requirement(id: &str, text: &str, verdict: Verdict) -> RequirementResult {
    RequirementResult { id: id.into(), text: text.into(), verdict, waived: None }
}

fn scenario(id: &str, title: &str, verdict: Verdict, steps: Vec<StepResult>) -> ScenarioResult {
    ScenarioResult {
        id: id.into(),
        title: title.into(),
        round: None,
        document: "service-mesh-integration 2025-08-25".into(),
        verdict,
        duration_ms: 12_480,
        cleanup_ms: 310,
        requirements: vec![
            requirement(
                "R10",
                "The extension's chart installs with the document's command.",
                Verdict::Proved,
            ),
            requirement("R43", "A request to the FQDN is answered 200 by backend-v1.", Verdict::Proved),
            requirement("R45", "Without the PeerAuthentication it is answered 503.", verdict),
        ],
        errata: vec![ErratumInfo {
            id: "E1".into(),
            problem: "The sample and the Gateway are in different namespaces, without a grant.".into(),
            correction: None,
        }],
        steps,
        kept: vec![],
        broken: None,
        problems: vec![],
    }
}

pub(super) fn proved() -> ScenarioResult {
    let mut observed = saw("503 upstream_tls_handshake_failed after 214 ms");
    observed.became_ms = Some(214);
    observed.stayed = Some(Stayed { ms: 380, requests: 20 });
    observed.answers =
        vec![group(200, Some("backend-v1"), "ok", 3), group(503, None, "upstream_tls_handshake_failed", 20)];
    observed.settled = vec![group(503, None, "upstream_tls_handshake_failed", 20)];
    observed.stretches = stretches(&observed.answers);
    let mut info = request(4, 503, "R45");
    info.cites = Some("L339".into());
    info.errata = vec!["E9".into()];
    let steps = vec![install(), pods(), answered(), delete(), proved_step(info, 8_264, 640, observed)];
    scenario(
        "service-mesh-integration",
        "STRICT answers 200; without the PeerAuthentication, 503",
        Verdict::Proved,
        steps,
    )
}

/// The same with a gateway that promises less: a step and a requirement are waived, another is asked for something else.
pub(super) fn waived() -> ScenarioResult {
    let because = "It has no extension.";
    let mut result = proved();
    let pods = &mut result.steps[1];
    pods.verdict = Verdict::Waived;
    pods.observed = saw(because);
    pods.info.waived = Some(because.into());
    pods.info.waives = std::mem::take(&mut pods.info.proves);
    let last = &mut result.steps[4];
    let of =
        std::mem::replace(&mut last.info.name, "request / of gateway-01 from outside becomes 200".into());
    last.info.waives = std::mem::take(&mut last.info.proves);
    last.info.instead = Some(Instead {
        of: Some(of),
        because: "It announces an Istio ALPN.".into(),
        still_proves: Default::default(),
    });
    last.observed = saw("20 × 200 from backend-v1");
    last.observed.answers = vec![group(200, Some("backend-v1"), "ok", 20)];
    last.observed.settled = last.observed.answers.clone();
    last.verdict = Verdict::Partly;
    result.verdict = Verdict::Partly;
    let requirement = &mut result.requirements[2];
    requirement.verdict = Verdict::Waived;
    requirement.waived = Some("It announces an Istio ALPN.".into());
    result
}

pub(super) fn waived_run() -> Vec<Event> {
    run(&[waived()], 0)
}

/// A world that was broken on purpose and turned red as it had to.
pub(super) fn red() -> ScenarioResult {
    let mut result = failed();
    let must_fail =
        MustFail { diagnosis: "gateway-sends-istio-alpn".into(), sees: "200 from backend-v1".into() };
    result.steps.truncate(5);
    let step = &mut result.steps[4];
    step.verdict = Verdict::Proved;
    step.info.breaks = std::mem::take(&mut step.info.proves);
    step.info.must_fail = Some(must_fail.clone());
    result.verdict = Verdict::Proved;
    result.requirements = vec![];
    result.broken = Some(Broken { step: 4, with: must_fail });
    result
}

pub(super) fn failed() -> ScenarioResult {
    let id = "broken/istio-alpn";
    let mut observed = saw("200 from backend-v1-6c8f9d7b54-q2w8z, 450 times");
    observed.answers = vec![group(200, Some("backend-v1"), "ok", 450)];
    observed.stretches = stretches(&observed.answers);
    observed.witnesses = vec![Testimony {
        witness: "clear-text-answered".into(),
        held: true,
        summary: "200 from backend-v1-6c8f9d7b54-q2w8z straight at 10.244.0.17:3000".into(),
        detail: json!(null),
    }];
    let mut info = request(4, 503, "R45");
    info.cites = Some("L339".into());
    let step = StepResult {
        info,
        verdict: Verdict::Failed,
        started_ms: 8_264,
        duration_ms: 30_004,
        observed,
        failure: Some(Failure {
            doing: "waiting for 503 from gateway-01 after the PeerAuthentication was deleted".into(),
            expected: "503 (upstream_tls_handshake_failed) within 30 s".into(),
            seen: "200 from backend-v1-6c8f9d7b54-q2w8z, still after 30 s".into(),
            next: None,
            diagnosis: Some(Diagnosis {
                id: "gateway-sends-istio-alpn".into(),
                title: "the gateway offers an Istio ALPN, which a PERMISSIVE sidecar still takes for the mesh's own \
                        mutual TLS"
                    .into(),
                because: vec![
                    "the access log of alb-proxy shows ALPN `istio` agreed on with \
                     isto-example-namespace/backend-v1-6c8f9d7b54-q2w8z"
                        .into(),
                    "no PeerAuthentication is in isto-example-namespace or istio-system".into(),
                ],
                next: "take --upstream-alpn-for-tests off the proxy (chart value dataPlane.testing.upstreamAlpn)"
                    .into(),
            }),
            evidence: Some(PathBuf::from("evidence").join(id)),
        }),
    };
    let skipped = StepResult {
        info: info_of_skipped(),
        verdict: Verdict::Skipped,
        started_ms: 38_268,
        duration_ms: 0,
        observed: Observed::default(),
        failure: None,
    };
    let steps = vec![install(), pods(), answered(), delete(), step, skipped];
    scenario(id, "An Istio ALPN keeps 200 <after> the deletion", Verdict::Failed, steps)
}

fn info_of_skipped() -> StepInfo {
    info(5, StepKind::Action, "apply", "apply peer-authentication.yaml", &["R46"])
}

fn plan(result: &ScenarioResult) -> ScenarioInfo {
    ScenarioInfo {
        id: result.id.clone(),
        title: result.title.clone(),
        path: PathBuf::from("scenarios").join(&result.id).join("scenario.yaml"),
        document: result.document.clone(),
        requirements: result
            .requirements
            .iter()
            .map(|r| RequirementInfo { id: r.id.clone(), text: r.text.clone(), waived: r.waived.clone() })
            .collect(),
        errata: result.errata.clone(),
        steps: result.steps.iter().map(|step| step.info.clone()).collect(),
        round: result.round,
        broken: result.broken.clone(),
    }
}

/// The whole stream of a run of one scenario.
fn run(results: &[ScenarioResult], exit_code: u8) -> Vec<Event> {
    let mut events = vec![Event::RunStarted {
        run: "2026-11-23T16-02-04".into(),
        started: "2026-11-23T16:02:04Z".into(),
        results: PathBuf::from("target/meshproof/2026-11-23T16-02-04"),
        scenarios: results.iter().map(plan).collect(),
        partition: None,
    }];
    for (phase, elapsed_ms) in [("engine", 140), ("cluster", 17_902), ("istio", 6_120)] {
        events.push(Event::PhaseStarted { phase: phase.into(), expected_ms: Some(elapsed_ms + 500) });
        events.push(Event::PhaseNote { phase: phase.into(), message: "waiting for its pods".into() });
        events.push(Event::PhaseFinished { phase: phase.into(), elapsed_ms, error: None });
    }
    events.push(Event::ClusterReady {
        cluster: ClusterInfo {
            provider: "kind".into(),
            kubernetes: "v1.34.4".into(),
            istio: "1.31".into(),
            nodes: 1,
        },
        implementation: ImplementationInfo {
            name: "alb-controller".into(),
            version: "1.8.8".into(),
            gateway_class: "azure-alb-external".into(),
            reaches_pods: None,
        },
    });
    for result in results {
        events.push(Event::ScenarioStarted { scenario: plan(result) });
        for step in &result.steps {
            let scenario = result.id.clone();
            if step.verdict.is_taken() {
                let started_ms = step.started_ms;
                events.push(Event::StepStarted {
                    scenario: scenario.clone(),
                    step: step.info.clone(),
                    started_ms,
                });
            }
            if step.info.kind == StepKind::Claim {
                events.push(Event::Observed {
                    scenario: scenario.clone(),
                    step: step.info.index,
                    at_ms: step.started_ms + 20,
                    message: "not yet, because 404 (no_route)".into(),
                });
            }
            events.push(Event::StepFinished { scenario, step: Box::new(step.clone()) });
        }
        events.push(Event::ScenarioFinished { result: Box::new(result.clone()) });
    }
    let verdict = meshproof_model::verdict::of_run(results);
    events.push(Event::RunFinished { verdict, exit_code, total_ms: 61_377 });
    events
}

pub(super) fn proved_run() -> Vec<Event> {
    run(&[proved()], 0)
}

pub(super) fn failed_run() -> Vec<Event> {
    run(&[proved(), failed()], 1)
}

/// A run of the conformance suite: a test that passed, one that failed, one about a feature that is not claimed.
pub(crate) fn conformance_run() -> Vec<Event> {
    let test = |name: &str, verdict, duration_ms, why: &str| ConformanceTest {
        name: name.to_owned(),
        description: String::new(),
        features: vec!["Gateway".to_owned()],
        verdict,
        duration_ms,
        failed: Vec::new(),
        why: why.to_owned(),
        output: String::new(),
    };
    let passed = test("HTTPRouteSimpleSameNamespace", Verdict::Proved, 1_200, "");
    let failed = ConformanceTest {
        failed: vec!["0_request".to_owned()],
        output: "    redirect.go:1: expected 302, seen 404".to_owned(),
        ..test("HTTPRouteRedirectHostAndStatus", Verdict::Failed, 30_000, "expected 302, seen 404")
    };
    let unclaimed = test("HTTPRouteCORS", Verdict::Waived, 0, "a feature of it is not claimed");
    let count = |passed, failed| ConformanceCount { passed, failed, skipped: 0 };
    let profile = ConformanceProfile {
        core: count(33, 1),
        extended: count(1, 0),
        claimed: vec!["HTTPRouteRequestTimeout".to_owned()],
        unclaimed: vec!["HTTPRouteCORS".to_owned()],
    };
    let result = Conformance {
        version: "v1.6.3".to_owned(),
        profiles: [("GATEWAY-HTTP".to_owned(), profile)].into(),
        tests: vec![passed.clone(), failed.clone(), unclaimed],
        report: Some("conformance-report.yaml".to_owned()),
        problems: Vec::new(),
    };
    let ended = |test: ConformanceTest| Event::ConformanceTestFinished { test: Box::new(test) };
    vec![
        Event::ConformanceTestStarted { name: passed.name.clone() },
        ended(passed),
        ended(failed),
        Event::ConformanceFinished { result: Box::new(result) },
        Event::RunFinished { verdict: Verdict::Failed, exit_code: 1, total_ms: 40_000 },
    ]
}
