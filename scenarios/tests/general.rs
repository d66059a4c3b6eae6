//! Scenarios that every gateway can be put to, and why the others are about the gateway of this workspace alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_model::scenario::discover;
use meshproof_run::scenario::Scenario;

/// Gateways that nobody here wrote, as they are built and run here.
const PEERS: [&str; 5] =
    ["istio", "envoy-gateway-mtls", "envoy-gateway-istio-alpn", "envoy-gateway-plain", "traefik"];

/// At least so many are for all of them.
const FOR_ALL: usize = 12;

/// What is about the gateway of this workspace alone, and why.
const OURS_ALONE: [(&str, &str); 14] = [
    ("aks-add-on", "what its extension says of the Istio of AKS"),
    ("aks-add-on-supported", "what its extension reads from the Istio of AKS"),
    ("as-written", "the document's own commands, which install its chart"),
    ("as-written-2025-11-15", "the document's own commands and printed statuses"),
    ("bring-your-own", "its annotations, its TrafficController and its types of addresses"),
    ("extension-first", "its extension before everything that this needs"),
    ("frontend-name", "how it names frontends"),
    ("helm-namespace", "values of its chart"),
    ("istio-versions", "what its extension says of a version of Istio"),
    ("provider-values", "values of its chart"),
    ("rotation", "a value of its chart makes certificates short-lived"),
    (
        "sample-strips-label",
        "the page's own commands and printed statuses; the label comes after the Services",
    ),
    (
        "test-infra",
        "the label comes after the Services: objects that another gateway needs for each are made with them",
    ),
    ("without-extension", "its extension is left out"),
];

fn scenarios(of: Option<&str>) -> Result<Vec<Scenario>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pack = Pack::load(root)?;
    let file = of.map(|name| root.join("../implementations").join(name).with_extension("yaml"));
    let implementation = Implementation::choose_for(file.as_deref(), &pack)?;
    let all = Scenario::load_all(&pack.scenarios, &pack.catalogue, &implementation)?;
    let meant = |scenario: &Scenario| {
        scenario.is_about(&implementation) && !scenario.id.starts_with(discover::BROKEN)
    };
    Ok(all.into_iter().filter(meant).collect())
}

fn ids(scenarios: &[Scenario]) -> BTreeSet<&str> {
    scenarios.iter().map(|scenario| scenario.id.as_str()).collect()
}

#[test]
fn every_peer_can_be_put_to_all_but_what_is_about_ours_alone() -> Result<()> {
    let ours = scenarios(None)?;
    let alone: BTreeMap<_, _> = OURS_ALONE.into();
    assert!(alone.values().all(|why| !why.is_empty()));
    let general: BTreeSet<_> = ids(&ours).into_iter().filter(|id| !alone.contains_key(id)).collect();
    assert!(general.len() >= FOR_ALL, "{}: {general:?}", general.len());
    for peer in PEERS {
        let theirs = scenarios(Some(peer))?;
        assert_eq!(ids(&theirs), general, "{peer}");
        for scenario in &theirs {
            let waived = scenario.steps.iter().filter(|step| step.info.waived.is_some()).count();
            assert!(waived < scenario.steps.len(), "{peer}: nothing of {} is put to it", scenario.id);
        }
    }
    Ok(())
}

#[test]
fn what_is_about_ours_alone_says_so_itself() -> Result<()> {
    let ours = scenarios(None)?;
    let said: BTreeSet<_> =
        ours.iter().filter(|s| s.needs.implementation.is_some()).map(|s| s.id.as_str()).collect();
    assert_eq!(said, OURS_ALONE.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>());
    Ok(())
}
