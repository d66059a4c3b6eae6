//! Everything that can be wrong with a scenario is told before it runs, with its place.

mod otherwise;

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::time::Duration;

use rstest::rstest;

use super::*;

const HEAD: &str = "title: t\ndocument: {name: d, edition: 2025-08-25}\nnamespace: ns\nsteps:\n";

fn load(text: &str) -> Result<Scenario, Problems> {
    load_with(text, &[])
}

fn load_with(text: &str, files: &[(&str, &str)]) -> Result<Scenario, Problems> {
    load_for(&Implementation::built_in().unwrap(), text, files)
}

/// The scenario as it reads for an implementation.
fn load_for(
    implementation: &Implementation,
    text: &str,
    files: &[(&str, &str)],
) -> Result<Scenario, Problems> {
    let mut all: BTreeMap<PathBuf, String> =
        files.iter().map(|(name, text)| (Path::new("s").join(name), (*text).to_owned())).collect();
    all.insert("s/scenario.yaml".into(), text.into());
    let read = move |path: &Path| all.get(path).cloned().ok_or_else(|| Error::from(ErrorKind::NotFound));
    Scenario::load_with(Path::new("s"), "s", &Catalogue::built_in().unwrap(), implementation, &read)
}

/// The problem of a scenario made of these steps, its line counted from the first step.
fn problem(steps: &str) -> (usize, usize, String) {
    let problems = load(&format!("{HEAD}{steps}")).unwrap_err().0;
    let (line, column) = problems[0].span.position();
    (line - HEAD.lines().count(), column, problems[0].message.clone())
}

#[test]
fn a_scenario_is_read_in_its_order() {
    let text = format!(
        "{HEAD}- install: implementation\n  cites: L47-49\n  proves: [R10]\n- pods: azure-alb-system\n  become:\n  - {{prefix: \
         alb-controller-, count: 2, ready: 1/1, restarts: 0}}\n  within: rollout\n  stays: 2s\n  proves: [R12, R3]\n- \
         request: {{gateway: gateway-01, from: plain}}\n  becomes: {{status: 200}}\n  within: 30s\n  stays: 20 requests\n  \
         witness: clear-text-refused\n  erratum: E1\n"
    );
    let scenario = load(&text).unwrap();
    let [install, pods, request] = &scenario.steps[..] else { panic!("{:?}", scenario.steps) };
    assert_eq!((install.info.word.as_str(), install.info.cites.as_deref()), ("install", Some("L47-49")));
    assert_eq!((install.within, install.info.line), (limits::INSTALL, 5));
    assert_eq!(
        (pods.within, pods.stays),
        (Duration::from_secs(120), Some(Stays::Time(Duration::from_secs(2))))
    );
    assert_eq!(request.stays, Some(Stays::Requests(20)));
    assert_eq!(request.witnesses, ["clear-text-refused"]);
    let info = scenario.info();
    assert_eq!(info.requirements.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["R3", "R10", "R12"]);
    assert_eq!(info.errata.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["E1"]);
}

#[rstest]
#[case::unknown_key("- delete: pod/a\n  wihtin: 3s\n", (2, 3), "unknown key `wihtin`")]
#[case::unknown_word("- aply: a.yaml\n", (1, 3), "a step must say what it does or claims")]
#[case::two_words("- apply: a.yaml\n  delete: pod/a\n", (1, 3), "a step is one thing: `apply` and `delete` are two")]
#[case::certificate_without_names("- certificates: ca\n  servers: {secret: a}\n", (2, 12), "`names` is missing")]
#[case::missing_file("- apply: a.yaml\n", (1, 10), "file `a.yaml` cannot be read: entity not found")]
#[case::missing_file_in_list("- apply: [a.yaml]\n", (1, 11), "file `a.yaml` cannot be read: entity not found")]
#[case::no_requirement("- delete: pod/a\n  proves: [R1, R99]\n", (2, 16), "there is no requirement `R99`")]
#[case::no_erratum("- delete: pod/a\n  erratum: E7\n", (2, 12), "there is no erratum `E7`")]
#[case::no_limit("- absent: pod/a\n", (1, 3), "the claim `absent` has no time limit")]
#[case::wrong_limit("- absent: pod/a\n  within: soon\n", (2, 11), "`soon` is no time limit")]
#[case::zero_limit("- absent: pod/a\n  within: 0s\n", (2, 11), "`0s` is no time limit")]
#[case::stay_in_requests("- absent: pod/a\n  within: 1s\n  stays: 3 requests\n", (3, 10), "`absent` sends no requests")]
#[case::stay_of_an_action("- delete: pod/a\n  stays: 3s\n", (2, 3), "unknown key `stays`")]
#[case::wrong_stay("- absent: pod/a\n  within: 1s\n  stays: long\n", (3, 10), "cannot stay `long`")]
#[case::unknown_kind("- delete: gatway/a\n", (1, 11), "unknown kind `gatway`")]
#[case::no_name("- delete: gateway\n", (1, 11), "expected kind/name, found `gateway`")]
#[case::unknown_witness(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  witness: [me]\n", (4, 13), "there is no witness `me`")]
#[case::unknown_vantage(
    "- request: {gateway: g, from: afar}\n  becomes: {status: 200}\n  within: 1s\n", (1, 31), "unknown vantage `afar`")]
#[case::no_status("- request: {gateway: g}\n  becomes: {backend: b}\n  within: 1s\n", (2, 12), "`status` is missing")]
#[case::impossible_status("- request: {gateway: g}\n  becomes: {status: 20}\n  within: 1s\n", (2, 21), "20 is no HTTP status")]
#[case::wrong_ready(
    "- pods: ns\n  become: [{prefix: a, count: 1, ready: yes}]\n  within: 1s\n", (2, 41), "`yes` is not as kubectl's READY column")]
#[case::text_for_number(
    "- pods: ns\n  become: [{prefix: a, count: two, ready: 1/1}]\n  within: 1s\n", (2, 31), "expected a whole number, found text")]
#[case::status_key("- status: gateway/g\n  becomes: {stauts: {}}\n  within: 1s\n", (2, 12), "`status` is missing")]
#[case::install_what("- install: everything\n", (1, 12), "cannot install `everything`")]
#[case::install_values("- install: implementation\n  values: {other: {}}\n", (2, 12), "unknown key `other`")]
#[case::install_only("- install: implementation\n  only: other\n", (2, 9), "there is no release `other`")]
#[case::istio_version("- install-istio: istio-system\n  version: odlest\n", (2, 12), "`odlest` is no version of Istio")]
#[case::unfit_because("- unfit: {istio: none}\n  within: 1s\n", (1, 3), "`because` is missing")]
#[case::unknown_chart("- helm: lint ${charts.other}\n", (1, 9), "unknown placeholder ${charts.other}")]
#[case::fails_and_says("- helm: lint c\n  fails: a\n  says: b\n", (1, 9), "what fails says only why")]
#[case::scale_what("- scale: pod/a\n  to: 0\n", (1, 10), "a pod cannot be rolled out")]
#[case::unknown_placeholder("- delete: pod/${me}\n", (1, 11), "unknown placeholder ${me}")]
#[case::empty_list_of_pods("- pods: ns\n  become: []\n  within: 1s\n", (2, 11), "`become` says nothing, so anything would do")]
#[case::empty_witnesses(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  witness: []\n", (4, 12),
    "`witness` says nothing, so anything would do")]
#[case::empty_namespaces("- not-restarted: []\n  within: 1s\n", (1, 18), "`not-restarted` says nothing, so anything would do")]
#[case::empty_event("- event: pod/a\n  becomes: {}\n  within: 1s\n", (2, 12), "`becomes` says nothing, so anything would do")]
#[case::any_event("- event: pod/a\n  becomes: {type: Warning}\n  within: 1s\n", (2, 12), "any event about it would do")]
#[case::any_message("- event: pod/a\n  becomes: {message: \"*\"}\n  within: 1s\n", (2, 22), "`*` fits anything")]
#[case::empty_status("- status: gateway/g\n  becomes: {status: {}}\n  within: 1s\n", (2, 21), "an empty mapping fits anything")]
#[case::empty_element(
    "- status: gateway/g\n  becomes: {status: {listeners: [{}]}}\n  within: 1s\n", (2, 34), "an empty mapping fits anything")]
#[case::any_list(
    "- status: gateway/g\n  becomes: {status: {conditions: [\"*\"]}}\n  within: 1s\n", (2, 34), "a list of just `*` fits anything")]
#[case::blank_output("- kubectl: get pods\n  says: \"  \"\n", (2, 9), "`says` says nothing, so anything would do")]
#[case::blank_backend(
    "- request: {gateway: g}\n  becomes: {status: 200, backend: \"\"}\n  within: 1s\n", (2, 35), "`` fits anything")]
#[case::any_refusal("- unfit: {istio: \">=1.24\"}\n  because: \"*\"\n  within: 1s\n", (2, 12), "`*` fits anything")]
#[case::any_prefix(
    "- pods: ns\n  become: [{prefix: \"\", count: 1, ready: 1/1}]\n  within: 1s\n", (2, 21), "`` fits anything")]
#[case::forgives_nothing(
    "- traffic: {gateway: g}\n  wants: {status: 200}\n- unbroken: traffic\n  within: 1s\n  but-for: {most: 0, because: b, seen: reset}\n",
    (5, 12), "nothing is forgiven")]
#[case::forgives_a_promise(
    "- traffic: {gateway: g}\n  wants: {status: 200}\n- unbroken: traffic\n  within: 1s\n  but-for: {most: 9, because: b, seen: reset}\n  proves: [R4]\n",
    (6, 11), "R4 promises that no request fails, and this claim forgives some: 9 at most, b")]
#[case::wavers_over_a_promise(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  may-waver: true\n  proves: [R2]\n", (5, 11),
    "R2 promises that no request fails, and this claim forgives some: until its limit the answer may go back and forth")]
#[case::traffic_nobody_judges(
    "- traffic: {gateway: g}\n  wants: {status: 200}\n- delete: pod/a\n", (1, 3), "nobody judges this traffic")]
#[case::traffic_after_traffic(
    "- traffic: {gateway: g}\n  wants: {status: 200}\n- traffic: {gateway: g}\n  wants: {status: 200}\n- unbroken: traffic\n  within: 1s\n",
    (1, 3), "nobody judges this traffic")]
#[case::a_promise_is_not_measured(
    "- absent: pod/a\n  within: 1s\n  measured: true\n  proves: [R20, R18]\n", (4, 11),
    "R18 is promised, so a claim about it is judged, not measured")]
#[case::an_erratum_is_not_measured(
    "- absent: pod/a\n  within: 1s\n  measured: true\n  erratum: E1\n", (3, 13), "an erratum is met by a claim that is judged, not measured")]
#[case::must_fail_for_a_reason_alone(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  must-fail: backend-not-found\n", (4, 14),
    "expected a mapping, found text")]
#[case::must_fail_unseen(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  must-fail: {diagnosis: backend-not-found}\n", (4, 14),
    "`sees` is missing")]
#[case::must_fail_for_no_reason(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  must-fail: {diagnosis: backend-not-fuond, sees: {status: 500}}\n",
    (4, 26), "there is no diagnosis `backend-not-fuond`")]
#[case::must_fail_and_see_anything(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  must-fail: {diagnosis: backend-not-found, sees: {}}\n",
    (4, 51), "an empty mapping fits anything")]
#[case::must_fail_and_be_measured(
    "- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  measured: true\n  must-fail: {diagnosis: backend-not-found, sees: {status: 500}}\n",
    (4, 13), "what must fail is judged, not measured")]
#[case::must_fail_of_nothing_seen(
    "- absent: pod/a\n  within: 1s\n  must-fail: {diagnosis: backend-not-found, sees: {status: 500}}\n", (1, 3),
    "a claim that must fail says what becomes of something")]
#[case::a_label_twice("- delete: pod/a\n  as: x\n- delete: pod/b\n  as: x\n", (4, 7), "line 6 has the label `x` already")]
#[case::scale_to("- scale: deployment/a\n", (1, 3), "`to` is missing")]
fn what_is_wrong_is_told_with_its_place(
    #[case] steps: &str,
    #[case] place: (usize, usize),
    #[case] message: &str,
) {
    let (line, column, found) = problem(steps);
    assert_eq!((found.as_str(), (line, column)), (message, place));
}

#[test]
fn every_step_that_is_wrong_is_told_at_once() {
    let problems = load(&format!("{HEAD}- delete: nope/a\n- absent: pod/a\n- apply: a.yaml\n")).unwrap_err();
    assert_eq!(problems.0.len(), 3, "{problems}");
}

#[test]
fn a_manifest_that_is_wrong_is_told_at_its_own_place() {
    let files = [("m.yaml", "apiVersion: v1\nkind: Pood\nmetadata: {name: a}\n")];
    let problems = load_with(&format!("{HEAD}- apply: m.yaml\n"), &files).unwrap_err();
    assert_eq!(problems.to_string(), "s/m.yaml:2:7: unknown kind Pood of v1");
}

#[test]
fn a_slip_of_the_pen_gets_advice() {
    let problems = load(&format!("{HEAD}- delete: pod/a\n  wihtin: 3s\n")).unwrap_err();
    assert_eq!(problems.0[0].help.as_deref(), Some("did you mean `within`?"));
}

#[rstest]
#[case::no_title(
    "document: {name: d, edition: e}\nnamespace: n\nsteps: []\n",
    "s/scenario.yaml:1:1: `title` is missing"
)]
#[case::unknown_field(
    "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nsteps: []\nx: 1\n",
    "s/scenario.yaml:5:1: unknown key `x`"
)]
#[case::unknown_need(
    "title: t\ndocument: {name: d, edition: e}\nneeds: {istio: old}\nnamespace: n\nsteps: []\n",
    "s/scenario.yaml:3:16: `old` is nothing that can be needed of Istio"
)]
#[case::no_steps(
    "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nsteps: []\n",
    "s/scenario.yaml:4:8: a scenario needs at least one step"
)]
#[case::expects_success(
    "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nexpects: {verdict: proved, diagnosis: d}\nsteps: []\n",
    "s/scenario.yaml:4:20: only `failed` can be expected"
)]
#[case::expects_nothing_seen(
    "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nexpects: {verdict: failed, step: x, diagnosis: d}\nsteps: []\n",
    "s/scenario.yaml:4:10: `sees` is missing"
)]
#[case::expects_of_no_step(
    "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nexpects: {verdict: failed, step: x, diagnosis: \
     no-proxy, sees: {status: 500}}\nsteps: [{delete: pod/a, as: y}]\n",
    "s/scenario.yaml:4:34: no step has the label `x`"
)]
#[case::not_yaml("title: [t\n", "s/scenario.yaml:2:1: did not find expected ',' or ']'")]
#[case::empty("", "s/scenario.yaml:1:1: the file is empty")]
fn a_scenario_must_be_complete(#[case] text: &str, #[case] message: &str) {
    assert_eq!(load(text).unwrap_err().to_string(), message);
}

#[test]
fn a_scenario_that_cannot_be_read_is_named() {
    let catalogue = Catalogue::built_in().unwrap();
    let implementation = Implementation::built_in().unwrap();
    let problems = Scenario::load(Path::new("nowhere"), "a/b", &catalogue, &implementation).unwrap_err();
    assert!(problems.to_string().starts_with("nowhere/a/b/scenario.yaml:1:1: cannot be read"), "{problems}");
}

/// A gateway that promises less than the document, and answers otherwise.
fn other() -> Implementation {
    let mut other = Implementation::built_in().unwrap();
    other.name = "other".into();
    other.gateway_class = "other-class".into();
    other.waived.requirements.insert("R12".into(), "It has no such pods.".into());
    other.waived.kinds.insert("applicationloadbalancer".into(), "It needs none.".into());
    other.waived.steps.insert("restart".into(), "It restarts by itself.".into());
    let file = "becomes: {status: 200, backend: backend-v1}\nbecause: It announces an Istio ALPN.\n";
    let source = Arc::new(Source { path: "implementations/other.yaml".into(), text: file.into() });
    let expectation =
        meshproof_model::implementation::expectation::expectation(&parse::document(&source).unwrap(), None);
    other.expectations.insert("without-peer-authentication".into(), expectation.unwrap());
    other
}

const REQUEST: &str = "- request: {gateway: g}\n  as: without-peer-authentication\n  becomes: {status: 503}\n  \
                       within: 1s\n  may-waver: true\n  proves: [R45]\n";

#[test]
fn a_claim_of_which_nothing_is_promised_is_waived_and_an_action_taken_all_the_same() {
    let steps = "- pods: ns\n  become: none\n  within: 1s\n  proves: [R12]\n- pods: ns\n  become: none\n  within: 1s\n  \
                 proves: [R12, R13]\n- install: implementation\n  proves: [R12]\n- kubectl: get pods\n  as: restart\n";
    let scenario = load_for(&other(), &format!("{HEAD}{steps}"), &[]).unwrap();
    let waived: Vec<_> = scenario.steps.iter().map(|step| step.info.waived.as_deref()).collect();
    assert_eq!(waived, [Some("It has no such pods."), None, None, Some("It restarts by itself.")]);
    let proves: Vec<_> = scenario.steps.iter().map(|step| step.info.proves.join(" ")).collect();
    assert_eq!(proves, ["", "R13", "", ""]);
    assert_eq!(scenario.steps[1].info.waives, ["R12"]);
    let waived = |id: &str| scenario.requirements.iter().find(|r| r.id == id).unwrap().waived.as_deref();
    assert_eq!((waived("R12"), waived("R13")), (Some("It has no such pods."), None));
}

#[test]
fn an_expectation_stands_instead_of_the_steps_own_and_says_why() {
    let text = format!("{HEAD}{REQUEST}");
    let step = load_for(&other(), &text, &[]).unwrap().steps.remove(0);
    assert_eq!(step.info.name, "http://<g>/ from outside becomes 200 from backend-v1");
    let instead = step.info.instead.unwrap();
    assert_eq!(instead.of.as_deref(), Some("http://<g>/ from outside becomes 503"));
    assert_eq!(instead.because, "It announces an Istio ALPN.");
    assert_eq!((step.info.proves, step.info.sets_aside), (vec![], vec!["R45".to_owned()]));
    let own = load(&text).unwrap().steps.remove(0).info;
    assert_eq!((own.name.as_str(), own.instead), ("http://<g>/ from outside becomes 503", None));
}

/// The other gateway with an expectation of these lines.
fn expecting(lines: &str) -> Implementation {
    let mut other = other();
    let source =
        Arc::new(Source { path: "i/other.yaml".into(), text: format!("{lines}because: It differs.\n") });
    let document = parse::document(&source).unwrap();
    let expectation = meshproof_model::implementation::expectation::expectation(&document, None).unwrap();
    other.expectations.insert("without-peer-authentication".into(), expectation);
    other
}

#[rstest]
#[case::a_witness(
    "becomes: {status: 200}\nwitness: [clear-text-answered]\n",
    "i/other.yaml:2:1: `witness` is part of"
)]
#[case::the_subject("request: {gateway: h}\n", "i/other.yaml:1:1: `request` is part of")]
#[case::the_kind("measured: true\n", "i/other.yaml:1:1: `measured` is part of")]
#[case::how_it_fails("may-waver: true\n", "i/other.yaml:1:1: `may-waver` is part of")]
fn what_makes_a_step_worth_believing_stays_while_somebody_counts_on_it(
    #[case] lines: &str,
    #[case] told: &str,
) {
    let problems = load_for(&expecting(lines), &format!("{HEAD}{REQUEST}"), &[]).unwrap_err();
    assert!(problems.to_string().starts_with(told), "{problems}");
}

#[test]
fn a_step_of_which_nothing_is_promised_may_be_another() {
    let mut other = expecting("becomes: {status: 200}\nwitness: [clear-text-answered]\nmay-waver: false\n");
    other.waived.requirements.insert("R45".into(), "It goes on.".into());
    let step = load_for(&other, &format!("{HEAD}{REQUEST}"), &[]).unwrap().steps.remove(0);
    assert_eq!(
        (step.witnesses, step.info.waives),
        (vec!["clear-text-answered".to_owned()], vec!["R45".to_owned()])
    );
    assert!(step.info.proves.is_empty() && step.info.sets_aside.is_empty());
}

#[test]
fn a_step_read_otherwise_proves_only_what_its_file_says() {
    let more = REQUEST.replace("[R45]", "[R45, R44]");
    let other = expecting("becomes: {status: 200}\nstill-proves: {R44: It was deleted.}\n");
    let step = load_for(&other, &format!("{HEAD}{more}"), &[]).unwrap().steps.remove(0).info;
    assert_eq!((step.proves, step.sets_aside), (vec!["R44".to_owned()], vec!["R45".to_owned()]));
    assert_eq!(step.instead.unwrap().still_proves["R44"], "It was deleted.");
}

#[test]
fn what_is_broken_on_purpose_fails_at_one_step_and_proves_no_requirement() {
    let head = HEAD.replace(
        "steps:",
        "expects: {verdict: failed, step: x, diagnosis: no-proxy, sees: {status: 500}}\nsteps:",
    );
    let ask = "- request: {gateway: g}\n  becomes: {status: 200}\n  as: x\n  within: 1s\n  proves: [R43]\n";
    let scenario = load(&format!("{head}{ask}")).unwrap();
    let info = scenario.info();
    let broken = info.broken.unwrap();
    assert_eq!((broken.step, broken.with.diagnosis.as_str()), (0, "no-proxy"));
    assert_eq!(broken.with.sees, "http://<g>/ from outside becomes 500");
    assert!(info.requirements.is_empty() && info.steps[0].proves.is_empty());
    assert_eq!(info.steps[0].breaks, ["R43"]);
}

#[test]
fn a_problem_of_an_expectation_is_told_in_its_own_file() {
    let mut other = other();
    let source =
        Arc::new(Source { path: "i/other.yaml".into(), text: "becomes: {status: 20}\nbecause: b\n".into() });
    let wrong =
        meshproof_model::implementation::expectation::expectation(&parse::document(&source).unwrap(), None)
            .unwrap();
    other.expectations.insert("without-peer-authentication".into(), wrong);
    let problems = load_for(&other, &format!("{HEAD}{REQUEST}"), &[]).unwrap_err();
    assert_eq!(problems.to_string(), "i/other.yaml:1:19: 20 is no HTTP status");
}

#[test]
fn placeholders_are_the_implementations() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: \"${implementation.class}\"}\n";
    let text = format!("{HEAD}- apply: g.yaml\n- delete: gateway/${{implementation.class}}\n");
    let scenario = load_for(&other(), &text, &[("g.yaml", gateway)]).unwrap();
    assert_eq!(scenario.steps[1].info.name, "delete gateway/other-class");
    assert_eq!(scenario.steps[0].word.creates()[0].name, "other-class");
}

#[test]
fn objects_of_a_kind_the_implementation_has_no_use_for_are_left_out() {
    let files = [(
        "a.yaml",
        "apiVersion: alb.networking.azure.io/v1\nkind: ApplicationLoadBalancer\nmetadata: {name: a}\n---\n\
                             apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n",
    )];
    let ids = |implementation: &Implementation| {
        let scenario = load_for(implementation, &format!("{HEAD}- apply: a.yaml\n"), &files).unwrap();
        scenario.steps[0].word.creates().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(ids(&other()), ["namespace/b"]);
    assert_eq!(ids(&Implementation::built_in().unwrap()), ["applicationloadbalancer/a in ns", "namespace/b"]);
}

#[test]
fn a_scenario_about_another_implementation_has_no_steps() {
    let text = "title: t\ndocument: {name: d, edition: e}\nneeds: {implementation: alb}\nnamespace: n\nsteps:\n- install: \
                implementation\n  values: {alb-controller: {}}\n";
    assert_eq!(load(text).unwrap().steps.len(), 1);
    let scenario = load_for(&other(), text, &[]).unwrap();
    assert!(scenario.steps.is_empty() && !scenario.is_about(&other()));
}

#[test]
fn a_scenario_is_known_by_everything_it_reads() {
    let root = tempfile::tempdir().unwrap();
    let load = |files: &[(&str, &str)]| {
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (catalogue, implementation) =
            (Catalogue::built_in().unwrap(), Implementation::built_in().unwrap());
        Scenario::load(root.path(), "one", &catalogue, &implementation).unwrap().digest
    };
    let text = "title: t\ndocument: {name: d, edition: e}\nnamespace: n\nsteps:\n- apply: ../shared.yaml\n";
    let manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n";
    let first = load(&[("one/scenario.yaml", text), ("shared.yaml", manifest)]);
    assert_eq!(load(&[]), first);
    assert_eq!(load(&[("two/scenario.yaml", "another")]), first);
    let mut seen = vec![first];
    for (name, text) in [
        ("shared.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {a: b}}\n".to_owned()),
        ("one/values.yaml", "a: 1\n".to_owned()),
        ("one/scenario.yaml", text.replace("title: t", "title: u")),
    ] {
        let digest = load(&[(name, &text)]);
        assert!(!seen.contains(&digest), "{name} does not count");
        seen.push(digest);
    }
}
