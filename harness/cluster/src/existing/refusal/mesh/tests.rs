use super::*;
use crate::mesh::injection::tests::{everywhere, injector, labels};
use crate::mesh::{AccessLog, PastSidecars, Policy};

const SHOP: &str = "shop";

fn made(name: &str, with: &[(&str, &str)]) -> Made {
    Made { scenario: SHOP.into(), name: name.into(), labels: labels(with) }
}

/// What a scenario with a namespace in the mesh and these witnesses makes.
fn plan(witnesses: &[&str]) -> Plan {
    Plan {
        made: vec![made("shop-ns", &[("istio-injection", "enabled")])],
        witnesses: witnesses.iter().map(|witness| (SHOP.to_owned(), (*witness).to_owned())).collect(),
        identity: "spiffe://cluster.local/ns/gateways/sa/gateway".into(),
        in_mesh: ["gateways".to_owned()].into(),
        outside: ["gateways".to_owned()].into(),
        drains: [SHOP.to_owned()].into(),
        traffic: [SHOP.to_owned(), "other".to_owned()].into(),
        ..Plan::default()
    }
}

/// A mesh as Istio's charts install it.
fn found(mesh: Mesh) -> Found {
    let injectors = Some(vec![injector("default", "default", "istio-system")]);
    Found { meshes: vec![mesh], injectors, ..Found::default() }
}

fn asked_of(mesh: Mesh) -> Vec<String> {
    reasons(&plan(&["mtls-from-extension"]), &found(mesh))
}

/// The one line, which has to hold all of this.
fn one(reasons: &[String], holds: &[&str]) {
    let [line] = reasons else { panic!("one reason was expected: {reasons:?}") };
    for text in holds {
        assert!(line.contains(text), "{text} is not in: {line}");
    }
}

#[test]
fn what_the_witnesses_need_of_a_mesh_is_asked_for_by_the_settings_name() {
    assert_eq!(asked_of(Mesh::sample()), Vec::<String>::new());
    one(
        &asked_of(Mesh::with_log(LogForm::Off)),
        &["shop hears", "set meshConfig.accessLogFile to /dev/stdout"],
    );
    let text = LogForm::new("/dev/stdout", "TEXT", "").unwrap();
    one(
        &asked_of(Mesh::with_log(text)),
        &[
            "does not hold %DOWNSTREAM_TLS_VERSION%, %DOWNSTREAM_PEER_URI_SAN%: add it to meshConfig.accessLogFormat",
        ],
    );
    let domain = asked_of(Mesh { trust_domain: "mesh.example".into(), ..Mesh::sample() });
    one(&domain, &["meshConfig.trustDomain", "mesh.example"]);
}

#[test]
fn who_decides_about_the_log_is_named() {
    let by = "Telemetry istio-system/mesh (spec.accessLogging)";
    let log = AccessLog { form: LogForm::Off, by: by.into(), form_by: by.into() };
    one(&asked_of(Mesh { access_log: log, ..Mesh::sample() }), &[by]);
}

#[test]
fn a_scenario_without_such_witnesses_needs_nothing_of_the_log() {
    assert!(reasons(&plan(&["issued-by-istio"]), &found(Mesh::with_log(LogForm::Off))).is_empty());
    let quiet = Plan { traffic: BTreeSet::new(), ..plan(&["mtls-from-extension"]) };
    assert!(reasons(&quiet, &found(Mesh::with_log(LogForm::Off))).is_empty(), "a policy shows it");
    let mut plan = plan(&["tls-without-istio-alpn-refused"]);
    let off = found(Mesh::with_log(LogForm::Off));
    assert!(reasons(&plan, &off).is_empty(), "the program tells");
    plan.http.insert(SHOP.into());
    one(&reasons(&plan, &off), &["meshConfig.accessLogFile"]);
}

#[test]
fn scenarios_that_lack_the_same_share_a_line() {
    let mut plan = plan(&["mtls-from-extension"]);
    plan.witnesses.insert(("other".into(), "mtls-from-extension".into()));
    one(&reasons(&plan, &found(Mesh::with_log(LogForm::Off))), &["other, shop hears"]);
}

#[test]
fn a_label_that_nobody_injects_by_is_refused() {
    let canary = Mesh { revision: "canary".into(), namespace: "mesh".into(), ..Mesh::sample() };
    let mut revised = found(canary);
    revised.injectors = Some(vec![injector("canary", "canary", "mesh")]);
    one(
        &reasons(&plan(&[]), &revised),
        &["istio-injection: enabled", "no webhook", "set default --revision canary"],
    );
    revised.injectors = Some(vec![injector("canary", "default", "mesh")]);
    assert_eq!(reasons(&plan(&[]), &revised), Vec::<String>::new());
    let by_revision = Plan { made: vec![made("n", &[("istio.io/rev", "canary")])], ..plan(&[]) };
    one(&reasons(&by_revision, &revised), &["istio.io/rev: canary"]);
    revised.injectors = None;
    assert_eq!(reasons(&by_revision, &revised), Vec::<String>::new(), "it is not for this user to know");
    assert_eq!(
        reasons(&plan(&[]), &Found { injectors: Some(vec![]), ..Found::default() }),
        Vec::<String>::new()
    );
}

#[test]
fn sidecars_where_there_should_be_none_are_refused() {
    let mut all = found(Mesh::sample());
    all.injectors.get_or_insert_default().push(everywhere());
    one(&reasons(&plan(&[]), &all), &["gateways", "enableNamespacesByDefault"]);
    let outside = Plan { made: vec![made("clear", &[])], outside: BTreeSet::new(), ..plan(&[]) };
    one(&reasons(&outside, &all), &["makes namespace clear outside the mesh", "enableNamespacesByDefault"]);
    let refused = Plan { made: vec![made("clear", &[("istio-injection", "disabled")])], ..outside };
    assert_eq!(reasons(&refused, &all), Vec::<String>::new());
}

#[test]
fn a_control_plane_has_to_look_at_what_is_made() {
    let selecting = |text: &str| {
        let selector = crate::mesh::selector::Selector::of(&serde_json::from_str(text).unwrap());
        Mesh { discovery: vec![selector], ..Mesh::sample() }
    };
    let team = selecting(r#"{"matchLabels": {"team": "shop"}}"#);
    one(&asked_of(team), &["meshConfig.discoverySelectors", "gateways, shop-ns"]);
    let enabled = selecting(r#"{"matchLabels": {"istio-injection": "enabled"}}"#);
    one(&asked_of(enabled), &["does not look at gateways:"]);
    let most = r#"{"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]}]}"#;
    assert_eq!(asked_of(selecting(most)), Vec::<String>::new());
}

#[test]
fn a_mesh_that_keeps_connections_too_long_is_refused() {
    let keeping = |seconds| Mesh { drain: Some(Duration::from_secs(seconds)), ..Mesh::sample() };
    assert_eq!(asked_of(keeping(45)), Vec::<String>::new());
    one(&asked_of(keeping(120)), &["meshConfig.defaultConfig.drainDuration", "for 120 s"]);
}

#[test]
fn policies_for_the_whole_mesh_are_named() {
    let with = |name: &str, does, witnesses: &[&str]| {
        let policies = vec![Policy { name: name.into(), does }];
        reasons(&plan(witnesses), &Found { policies, ..found(Mesh::sample()) })
    };
    let strict = "PeerAuthentication istio-system/default";
    one(
        &with(strict, Does::Strict, &["clear-text-answered"]),
        &[strict, "spec.mtls.mode: STRICT", "shop cannot be run"],
    );
    assert_eq!(with(strict, Does::Strict, &["clear-text-refused"]), Vec::<String>::new());
    one(
        &with("AuthorizationPolicy istio-system/nothing", Does::Authorizes, &[]),
        &["nothing decides about requests"],
    );
    let filter = "EnvoyFilter istio-system/gzip";
    one(&with(filter, Does::TellsTls, &["nothing-made-by-hand"]), &[filter]);
    assert_eq!(with(filter, Does::TellsTls, &[]), Vec::<String>::new());
    // A scenario outside the mesh is not concerned.
    let outside =
        Plan { made: vec![made("clear", &[])], outside: BTreeSet::new(), ..plan(&["clear-text-answered"]) };
    let policies = vec![Policy { name: strict.into(), does: Does::Strict }];
    assert_eq!(reasons(&outside, &Found { policies, ..found(Mesh::sample()) }), Vec::<String>::new());
}

#[test]
fn of_two_control_planes_the_one_that_injects_counts() {
    let old = Mesh { revision: "old".into(), ..Mesh::with_log(LogForm::Off) };
    let meshes = vec![old, Mesh { revision: "new".into(), ..Mesh::sample() }];
    let tagged = |revision: &str| {
        let injectors = Some(vec![injector(revision, "default", "istio-system")]);
        reasons(
            &plan(&["mtls-from-extension"]),
            &Found { meshes: meshes.clone(), injectors, ..Found::default() },
        )
    };
    assert_eq!(tagged("new"), Vec::<String>::new());
    one(&tagged("old"), &["control plane old in istio-system"]);
}

#[test]
fn what_passes_sidecars_by_is_refused_where_it_concerns_a_backend() {
    let setting = |ports: &[u16]| PastSidecars {
        setting: "global.proxy.excludeInboundPorts: 3000".into(),
        ports: ports.to_vec(),
        excludes: true,
    };
    let plan = Plan { ports: [(SHOP.to_owned(), 3000)].into(), ..plan(&[]) };
    let with = |ports: &[u16]| {
        reasons(&plan, &found(Mesh { past_sidecars: vec![setting(ports)], ..Mesh::sample() }))
    };
    one(&with(&[3000]), &["port 3000", "global.proxy.excludeInboundPorts"]);
    assert_eq!(with(&[9090]), Vec::<String>::new());
}
