use super::*;

fn names() -> Names {
    Names {
        namespace: "azure-alb-system".to_owned(),
        deployment: "alb-controller-istio-extension".to_owned(),
        controller: "alb-controller".to_owned(),
        custom_resource: "applicationloadbalancers.alb.networking.azure.io".to_owned(),
        edition: Edition::August2025,
    }
}

fn plane(namespace: &str, revision: &str, version: &str) -> ControlPlane {
    ControlPlane {
        namespace: namespace.to_owned(),
        name: "istiod".to_owned(),
        revision: Some(revision.to_owned()),
        version: Version::find(version),
    }
}

fn facts(injection: Injection, planes: &[ControlPlane]) -> Facts {
    Facts {
        injection: Some(injection),
        custom_resource: Some(true),
        controller: Some(true),
        control_planes: Some(planes.to_vec()),
    }
}

fn sidecar(revision: &str) -> Injection {
    Injection::Sidecar(Some(revision.to_owned()))
}

fn finding(facts: &Facts) -> Finding {
    match judge(facts, &names()) {
        Verdict::NotIntegrated(finding) => finding,
        other => panic!("expected a finding: {other:?}"),
    }
}

#[test]
fn says_nothing_before_it_has_looked_everywhere() {
    let all = facts(Injection::None, &[]);
    for unknown in [
        Facts { injection: None, ..all.clone() },
        Facts { custom_resource: None, ..all.clone() },
        Facts { controller: None, ..all.clone() },
        Facts { control_planes: None, ..all },
    ] {
        assert_eq!(judge(&unknown, &names()), Verdict::Looking);
    }
}

#[test]
fn a_missing_controller_blocks_and_is_named() {
    let all = facts(sidecar("default"), &[plane("istio-system", "default", "1.31.0")]);
    let found = finding(&Facts { custom_resource: Some(false), ..all.clone() });
    assert!(found.blocks && found.reason == reason::CONTROLLER_MISSING);
    assert!(found.message.contains("applicationloadbalancers.alb.networking.azure.io"), "{}", found.message);
    let found = finding(&Facts { controller: Some(false), ..all });
    assert!(
        found.message.contains("Deployment alb-controller does not exist in azure-alb-system"),
        "{}",
        found.message
    );
}

#[test]
fn without_istio_the_pod_is_ready_but_not_integrated_and_knows_the_way_on() {
    let found = finding(&facts(Injection::None, &[]));
    assert!(!found.blocks && found.reason == reason::ISTIO_MISSING);
    let command = "kubectl rollout restart deployment/alb-controller-istio-extension -n azure-alb-system";
    assert!(found.message.contains(command), "{}", found.message);
}

#[test]
fn istio_installed_later_asks_for_a_restart() {
    let found = finding(&facts(Injection::None, &[plane("istio-system", "default", "1.31.0")]));
    assert!(!found.blocks && found.reason == reason::SIDECAR_MISSING);
    assert!(found.message.contains("kubectl rollout restart"), "{}", found.message);
}

#[test]
fn an_istio_that_is_too_old_is_refused_and_one_that_is_new_enough_is_not() {
    let of = |version| facts(sidecar("default"), &[plane("istio-system", "default", version)]);
    let found = finding(&of("1.23.5"));
    assert!(found.blocks && found.reason == reason::ISTIO_TOO_OLD);
    assert!(
        found.message.contains("Istio 1.23.5") && found.message.contains("1.24 or later"),
        "{}",
        found.message
    );
    for version in ["1.24.0", "1.24", "1.31-alpha.x", "2.0.0"] {
        assert_eq!(judge(&of(version), &names()), Verdict::Integrated(Version::find(version)));
    }
    assert_eq!(judge(&of("latest"), &names()), Verdict::Integrated(None), "unknown is not too old");
}

#[test]
fn the_aks_add_on_alone_is_refused() {
    let add_on = plane(ADD_ON_NAMESPACE, "asm-1-25", "1.25.0");
    let found = finding(&facts(Injection::None, std::slice::from_ref(&add_on)));
    assert!(!found.blocks && found.reason == reason::ADD_ON_UNSUPPORTED);
    assert!(finding(&facts(sidecar("asm-1-25"), std::slice::from_ref(&add_on))).blocks);
    // Beside a supported one, it depends on whose sidecar it is.
    let both = [add_on, plane("istio-system", "default", "1.25.0")];
    assert!(matches!(judge(&facts(sidecar("default"), &both), &names()), Verdict::Integrated(_)));
    assert_eq!(finding(&facts(sidecar("asm-1-25"), &both)).reason, reason::ADD_ON_UNSUPPORTED);
}

#[test]
fn editions_that_know_revisions_take_the_add_on_as_any_other_istio() {
    let add_on = plane(ADD_ON_NAMESPACE, "asm-1-25", "1.25.0");
    for (edition, supported) in [
        (Edition::August2025, false),
        (Edition::November2025, false),
        (Edition::April2026, true),
        (Edition::June2026, true),
    ] {
        let names = Names { edition, ..names() };
        let verdict = judge(&facts(sidecar("asm-1-25"), std::slice::from_ref(&add_on)), &names);
        assert_eq!(
            verdict == Verdict::Integrated(Version::find("1.25.0")),
            supported,
            "{edition}: {verdict:?}"
        );
        let Verdict::NotIntegrated(found) =
            judge(&facts(Injection::None, std::slice::from_ref(&add_on)), &names)
        else {
            panic!("without a sidecar nothing is integrated")
        };
        let wanted = if supported { reason::SIDECAR_MISSING } else { reason::ADD_ON_UNSUPPORTED };
        assert_eq!(found.reason, wanted);
        assert_eq!(found.message.contains("revision=asm-1-25"), supported, "{}", found.message);
    }
    let old = plane(ADD_ON_NAMESPACE, "asm-1-23", "1.23.0");
    let names = Names { edition: Edition::June2026, ..names() };
    let verdict = judge(&facts(sidecar("asm-1-23"), &[old]), &names);
    assert!(matches!(verdict, Verdict::NotIntegrated(found) if found.reason == reason::ISTIO_TOO_OLD));
}

#[test]
fn of_several_revisions_the_sidecars_own_counts() {
    let both = [plane("istio-system", "old", "1.22.0"), plane("istio-system", "new", "1.27.0")];
    assert_eq!(judge(&facts(sidecar("new"), &both), &names()), Verdict::Integrated(Version::find("1.27.0")));
    assert_eq!(finding(&facts(sidecar("old"), &both)).reason, reason::ISTIO_TOO_OLD);
    assert_eq!(finding(&facts(Injection::None, &both)).reason, reason::SIDECAR_MISSING);
}

#[test]
fn a_control_plane_outside_the_cluster_is_accepted() {
    assert_eq!(judge(&facts(sidecar("default"), &[]), &names()), Verdict::Integrated(None));
}
