use super::*;
use meshproof_model::pack::Pack;
use meshproof_model::workspace;

/// The main scenario as it is read for a gateway of the checkout.
fn plan_of(name: &str) -> Plan {
    let root = workspace::root().unwrap();
    let mut pack = Pack::load(&root.join(meshproof_model::pack::FOLDER)).unwrap();
    let file = root.join("implementations").join(format!("{name}.yaml"));
    // What a platform team has to give.
    let declared = Implementation::declares(Some(&file)).unwrap();
    let missing = declared.iter().filter(|(_, declaration)| declaration.default.is_none());
    pack.vars.given = missing.map(|(name, _)| (name.clone(), format!("the-{name}"))).collect();
    let implementation = Implementation::choose_for(Some(&file), &pack).unwrap();
    let id = "service-mesh-integration";
    let scenario = Scenario::load(&pack.scenarios, id, &pack.catalogue, &implementation).unwrap();
    of(&implementation, &[scenario])
}

/// Without the place where the checkout is.
fn text_of(name: &str) -> String {
    let root = workspace::root().unwrap();
    text::of(&plan_of(name)).unwrap().replace(&root.display().to_string(), "<checkout>")
}

#[test]
fn the_plan_says_everything_in_order() {
    insta::assert_snapshot!("alb", text_of("alb"));
    insta::assert_snapshot!("istio", text_of("istio"));
}

/// They cannot be run here; what a run would do is looked at by people.
#[test]
fn the_plans_for_gateways_that_cannot_be_run_here_are_whole() {
    for name in ["agc", "agc-add-on", "kgateway"] {
        insta::assert_snapshot!(name, text_of(name));
    }
    let add_on = plan_of("agc-add-on");
    assert!(add_on.installs.is_empty());
    assert!(add_on.requires.contains(&"deployment/alb-controller in kube-system, ready".to_owned()));
}

#[test]
fn what_a_gateway_needs_beside_its_charts_is_in_its_plan() {
    let plan = plan_of("envoy-gateway-mtls");
    let kinds: Vec<_> =
        plan.installs.iter().flat_map(|install| &install.objects).map(|one| one["kind"].clone()).collect();
    for kind in ["GatewayClass", "EnvoyProxy", "Secret", "BackendTLSPolicy"] {
        assert!(kinds.iter().any(|one| one == kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn nothing_is_left_to_be_filled_in_but_what_a_run_finds_out() {
    let plan = plan_of("alb");
    let objects: Vec<_> =
        plan.scenarios.iter().flat_map(|one| &one.steps).flat_map(|step| &step.objects).collect();
    assert!(objects.len() > 10, "{}", objects.len());
    let kinds = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert!(kinds("Gateway") == 1 && kinds("HTTPRoute") == 1 && kinds("PeerAuthentication") == 2);
    let gateway = objects.iter().find(|object| object["kind"] == "Gateway").unwrap();
    assert_eq!(gateway["spec"]["gatewayClassName"], "azure-alb-external");
    for object in objects {
        let text = object.to_string();
        for filled in ["${implementation.", "${vars."] {
            assert!(!text.contains(filled), "{text}");
        }
    }
    let steps: Vec<usize> = plan.scenarios[0].steps.iter().map(|step| step.number).collect();
    assert_eq!(steps, (1..=steps.len()).collect::<Vec<_>>());
    let first = &plan.scenarios[0].steps[0];
    assert!(first.place.ends_with("service-mesh-integration/scenario.yaml:8"), "{}", first.place);
}

#[test]
fn what_is_waived_makes_nothing_and_says_why() {
    let plan = plan_of("istio");
    assert!(plan.installs.is_empty());
    let waived: Vec<_> = plan.scenarios[0].steps.iter().filter(|step| step.waived.is_some()).collect();
    assert!(!waived.is_empty() && waived.iter().all(|step| step.objects.is_empty()));
    let instead = plan.scenarios[0].steps.iter().filter(|step| step.instead.is_some()).count();
    assert!(instead >= 3, "{instead}");
}
