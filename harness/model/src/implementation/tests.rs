//! The shipped files are well formed and agree with the programs; what is wrong with a file is told with its place.

use rstest::rstest;
use serde_json::json;

use super::*;

const ISTIO: &str = include_str!("../../../../implementations/istio.yaml");

fn istio() -> Implementation {
    Implementation::parse(Path::new("implementations/istio.yaml"), ISTIO.into()).unwrap()
}

#[test]
fn the_built_in_one_does_all_the_document_promises() {
    let alb = Implementation::built_in().unwrap();
    assert_eq!(alb.waived, Waived::default());
    assert!(alb.expectations.is_empty());
}

#[test]
fn release_names_and_version_are_the_documents() {
    let alb = Implementation::built_in().unwrap();
    let names: Vec<&str> = alb.releases.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["alb-controller", "alb-controller-servicemesh-extension"]);
    assert!(
        alb.releases.iter().all(|r| r.version == "1.8.8" && Path::new(&r.chart).join("Chart.yaml").is_file())
    );
    assert_eq!(alb.releases[0].values["image"]["tag"], json!("${images.alb-controller.tag}"));
    assert_eq!(alb.releases.iter().map(|r| r.in_mesh).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn another_edition_is_a_value_and_a_version_and_what_is_said_already_stays() {
    let alb = Implementation::built_in().unwrap();
    assert_eq!(alb.following("2025-08-25"), alb, "the charts follow that one by themselves");
    let mut newest = alb.following("2026-06-24");
    let values =
        |i: &Implementation| i.releases.iter().map(|r| r.values["edition"].clone()).collect::<Vec<_>>();
    let versions = |i: &Implementation| i.releases.iter().map(|r| r.version.clone()).collect::<Vec<_>>();
    assert_eq!(values(&newest), [json!("2026-06-24"), json!("2026-06-24")]);
    assert_eq!(versions(&newest), ["1.8.8", "1.11.1"]);
    assert!(newest.releases[1].is_of_another_edition() && !alb.releases[1].is_of_another_edition());
    newest.releases[0].values["edition"] = json!("2025-11-15");
    assert_eq!(values(&newest.following("2026-04-22"))[0], json!("2025-11-15"));
    assert_eq!(istio().following("2026-06-24"), istio());
}

#[test]
fn istios_gateways_have_identities_of_their_own() {
    let istio = istio();
    assert_eq!(istio.identity.of("shop", "front"), "spiffe://cluster.local/ns/shop/sa/front-istio");
    let principal = istio.placeholder("principal.front", "shop");
    assert_eq!(principal.as_deref(), Some("cluster.local/ns/shop/sa/front-istio"));
    assert!(istio.proxies.differ_by_gateway());
    assert_eq!((istio.releases.len(), istio.version), (0, None));
}

#[test]
fn in_another_mesh_a_gateway_has_its_identities_and_perhaps_a_log_that_nobody_reads() {
    let istio = istio().in_mesh("mesh.example", false);
    assert_eq!(istio.identity.of("shop", "front"), "spiffe://mesh.example/ns/shop/sa/front-istio");
    assert_eq!(istio.proxies.access_log, None);
    let alb = Implementation::built_in().unwrap().in_mesh("mesh.example", true);
    assert!(alb.proxies.access_log.is_some());
    assert!(alb.identity.of("n", "g").starts_with("spiffe://mesh.example/ns/azure-alb-system/"));
}

#[test]
fn a_message_that_is_not_given_has_no_value() {
    let istio = istio();
    assert_eq!(istio.placeholder("messages.httproute.Accepted", "n").as_deref(), Some("Route was valid"));
    assert_eq!(istio.placeholder("messages.httproute.Programmed", "n"), None);
}

#[test]
fn only_what_is_promised_in_no_part_is_waived() {
    let istio = istio();
    let waives = |ids: &[&str]| istio.waives(&ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(
        waives(&["R28", "R29"]).as_deref(),
        Some("The message is the vendor's; Istio writes its own.")
    );
    assert_eq!(waives(&["R28", "R26"]), None);
    assert_eq!(waives(&[]), None);
}

/// The file of Istio's gateway with one text replaced by another, and what is wrong with it then.
fn problem(text: &str, by: &str) -> String {
    assert!(ISTIO.contains(text), "{text}");
    let changed = ISTIO.replacen(text, by, 1);
    Implementation::parse(Path::new("i.yaml"), changed).unwrap_err().to_string()
}

#[rstest]
#[case::unknown_key("controller:", "controler:", "`controller` is missing")]
#[case::unknown_field("  access-log: istio", "  access-log: istio\n  acess: x", "unknown key `acess`")]
#[case::unknown_log("access-log: istio", "access-log: nginx", "`nginx` is no access log that can be read")]
#[case::unknown_type("type: IPAddress", "type: Address", "`Address` is no type of address")]
#[case::unknown_resolution("resolve: itself", "resolve: dns", "an address cannot be resolved by `dns`")]
#[case::no_zone("resolve: itself", "resolve: {zone: .internal, namespace: n}", "`.internal` is no DNS zone")]
#[case::unknown_requirement("    R3: ", "    R99: ", "there is no requirement `R99`")]
#[case::unknown_kind("applicationloadbalancer: ", "loadbalancer: ", "unknown kind `loadbalancer`")]
#[case::unknown_placeholder(
    "${gateway.name}-istio",
    "${gateway.nam}-istio",
    "unknown placeholder ${gateway.nam}"
)]
#[case::no_spiffe_id("spiffe: spiffe://", "spiffe: ", "is no SPIFFE id")]
#[case::no_reason(
    "    because: The gateway's own pod runs beside the Gateway.\n",
    "",
    "`because` is missing"
)]
#[case::a_fixed_field(
    "    become:\n",
    "    proves: [R22]\n    become:\n",
    "`proves` says what the step is, and stays"
)]
#[case::an_empty_reason(
    "    R3: Istio's gateway has no extension; each Gateway is itself a workload of the mesh.",
    "    R3: \"\"",
    "the reason is empty"
)]
#[case::a_blank_reason(
    "    R3: Istio's gateway has no extension; each Gateway is itself a workload of the mesh.",
    "    R3: \" .. \"",
    "the reason is empty"
)]
#[case::no_sentence_at_all(
    "    applicationloadbalancer: Istio's Gateways need no load balancer object.",
    "    applicationloadbalancer:",
    "expected text, found nothing"
)]
#[case::an_expectation_without_a_sentence(
    "    because: The gateway's own pod runs beside the Gateway.\n",
    "    because: \"\"\n",
    "the reason is empty"
)]
#[case::proved_all_the_same_for_no_reason(
    "      R22: Both Deployments are counted as the scenario says; one pod more is expected, and no other.",
    "      R22: \"\"",
    "the reason is empty"
)]
#[case::proved_all_the_same_without_reasons(
    "    still-proves:\n      R36: The parent has to be gateway-01, and the references resolved.\n",
    "    still-proves: [R36]\n",
    "expected a mapping, found a list"
)]
#[case::proves_what_there_is_not("      R36: The", "      R99: The", "there is no requirement `R99`")]
#[case::no_name("name: istio\n", "name: Istio's\n", "`Istio's` is no name")]
fn what_is_wrong_is_told(#[case] text: &str, #[case] by: &str, #[case] message: &str) {
    let problem = problem(text, by);
    assert!(problem.starts_with("i.yaml:") && problem.contains(message), "{problem}");
}

/// The labels there are, and what their steps are to prove.
fn labels() -> Labels {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    crate::scenario::labels::all(&root)
}

#[test]
fn the_shipped_files_speak_of_steps_there_are() {
    assert_eq!(istio().names_steps_of(&labels()), Ok(()));
    assert_eq!(Implementation::built_in().unwrap().names_steps_of(&labels()), Ok(()));
}

#[rstest]
#[case::of_a_step_that_is_read_otherwise(
    "  without-peer-authentication:",
    "  without-peerauthentication:",
    "without-peer-authentication"
)]
#[case::of_a_step_that_is_waived("    nothing-restarted:", "    nothing-restared:", "nothing-restarted")]
fn a_label_no_step_has_is_told_with_what_may_be_meant(
    #[case] text: &str,
    #[case] by: &str,
    #[case] meant: &str,
) {
    let waived = "  steps:\n    nothing-restarted: Nobody looks.\n  # Objects that";
    let changed = ISTIO.replacen("  # Objects that", waived, 1).replacen(text, by, 1);
    let line = changed.lines().position(|line| line.starts_with(by)).unwrap() + 1;
    let column = by.len() - by.trim_start().len() + 1;
    let wrong = Implementation::parse(Path::new("i.yaml"), changed).unwrap();
    let problems = wrong.names_steps_of(&labels()).unwrap_err();
    let told =
        format!("i.yaml:{line}:{column}: no scenario has a step `{}`", by.trim().trim_end_matches(':'));
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
    assert_eq!(problems[0].help, Some(format!("did you mean `{meant}`?")));
}

#[test]
fn what_no_step_of_the_label_proves_is_not_proved_all_the_same() {
    let changed = ISTIO.replacen("      R22: Both", "      R46: Both", 1);
    let wrong = Implementation::parse(Path::new("i.yaml"), changed).unwrap();
    let problem = wrong.names_steps_of(&labels()).unwrap_err().remove(0).to_string();
    assert!(problem.ends_with("no step `backends` is to prove R46, whoever is asked"), "{problem}");
}

#[test]
fn a_problem_has_its_line_and_column() {
    let line = ISTIO.lines().position(|line| line.starts_with("  access-log")).unwrap() + 1;
    assert!(problem("access-log: istio", "access-log: nginx").starts_with(&format!("i.yaml:{line}:15: ")));
}

#[test]
fn a_chart_that_is_not_there_is_told_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alb.yaml");
    std::fs::write(&file, ALB).unwrap();
    let problem = Implementation::load(&file).unwrap_err().to_string();
    assert!(problem.contains("alb.yaml:14:10: there is no chart in "), "{problem}");
    let missing = Implementation::load(&folder.path().join("none.yaml")).unwrap_err().to_string();
    assert!(missing.contains("none.yaml:1:1: cannot be read"), "{missing}");
}

#[test]
fn what_a_file_says_of_another_packs_requirements_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let pack = "name: shop\nabout: A shop.\neditions: [e]\n";
    std::fs::write(folder.path().join("pack.yaml"), pack).unwrap();
    let requirements = "document: {name: shop, edition: e}\nrequirements:\n- {id: S1, text: t}\n";
    std::fs::write(folder.path().join("requirements.yaml"), requirements).unwrap();
    let pack = Pack::load(folder.path()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../implementations");
    let istio = Implementation::choose_for(Some(&root.join("istio.yaml")), &pack).unwrap();
    assert!(istio.waived.requirements.is_empty() && istio.expectations.is_empty());
    assert!(istio.waived.kinds.contains_key("applicationloadbalancer"), "kinds are nobody's own");
    assert_eq!(istio.names_steps_of(&Labels::new()), Ok(()));

    // One that does not say whose they are speaks of the pack that it is put to.
    let file = folder.path().join("own.yaml");
    let own = |more: &str| {
        let text = ISTIO.replace("pack: service-mesh-integration\n", more);
        let text = text.split("waived:").next().unwrap().to_owned();
        std::fs::write(
            &file,
            format!("{text}waived: {{requirements: {{S1: It sells nothing., R3: why}}}}\n"),
        )
        .unwrap();
        Implementation::choose_for(Some(&file), &pack).map_err(|problem| problem.to_string())
    };
    assert!(own("").unwrap_err().contains("there is no requirement `R3`"));
    assert!(own("pack: shop\n").unwrap_err().contains("there is no requirement `R3`"));
    assert!(own("pack: other\n").unwrap().waived.requirements.is_empty());
    assert!(Implementation::choose_for(None, &pack).is_ok());
}
