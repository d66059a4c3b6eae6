//! Every cause that can be named is either provoked on a cluster, by a scenario or a mutant that requires its id, or it stands
//! here with the reason why nothing provokes it there. Each is provoked by facts in the tests of its rule in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use meshproof_run::diagnosis;

/// What no scenario and no mutant provokes, and why.
const BY_FACTS_ALONE: &[(&str, &[&str])] = &[
    (
        "the node or its kubelet would have to fail, and every scenario after this one with it",
        &["node-not-ready", "pod-evicted", "out-of-memory", "pod-unschedulable"],
    ),
    (
        "a fault of any workload, of which the document promises nothing; the rule reads what the kubelet or the API server \
         writes, as it was recorded",
        &[
            "image-missing",
            "volume-not-mounted",
            "container-config-missing",
            "readiness-probe-fails",
            "pod-not-ready",
            "quota-exceeded",
            "pod-security",
            "pods-refused",
            "backend-scaled-to-zero",
            "selector-matches-nothing",
            "wrong-port-name",
            "nothing-listens",
            "upstream-timeout",
        ],
    ),
    (
        "the control plane would have to be broken for everything that shares the cluster",
        &["listener-rejected", "istiod-not-ready", "injector-unreachable", "sidecar-out-of-date"],
    ),
    (
        "a status that scenarios require as it is: the step that reads it proves the refusal itself",
        &[
            "wrong-class",
            "listener-not-accepted",
            "reference-not-permitted",
            "backend-kind-unsupported",
            "backend-protocol-unsupported",
            "route-hostname-mismatch",
            "route-without-listener",
            "route-not-supported",
            "route-missing",
            "no-matching-rule",
            "ingress-not-supported",
            "backend-tls-policy-not-usable",
            "backend-not-verified",
            "address-of-another-gateway",
        ],
    ),
    (
        "what the extension finds is required as its Event by the scenarios that begin without a mesh, or with another",
        &["controller-missing", "istio-missing", "istio-too-old", "istio-add-on-unsupported"],
    ),
    (
        "an implementation that is not there, or is none of this edition: the installation fails before any claim",
        &["controller-not-running", "configuration-refused", "no-proxy", "no-address"],
    ),
    (
        "certificates are refused by scenarios that require the refusal; none of a mesh in order expires or is foreign",
        &["certificate-expired", "certificate-not-trusted"],
    ),
];

/// Ids that scenarios and mutants require, by the file that does.
fn required() -> Result<BTreeMap<String, String>> {
    let mut required = BTreeMap::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path)?;
                for (at, mark) in text.match_indices("diagnosis: ") {
                    let rest = &text[at + mark.len()..];
                    let end =
                        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
                    required.insert(rest[..end].to_owned(), path.display().to_string());
                }
            }
        }
    }
    Ok(required)
}

#[test]
fn every_cause_is_required_by_a_scenario_or_a_mutant_or_somebody_said_why_not() -> Result<()> {
    let required = required()?;
    let known: BTreeSet<&str> = diagnosis::causes().collect();
    for (id, file) in &required {
        ensure!(id == "unknown" || known.contains(id.as_str()), "{file} requires {id}, which no rule names");
    }
    let excused: Vec<&str> = BY_FACTS_ALONE.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    for id in &excused {
        ensure!(known.contains(id), "{id} is excused, and no rule names it");
        ensure!(excused.iter().filter(|other| other == &id).count() == 1, "{id} is excused twice");
        ensure!(!required.contains_key(*id), "{id} is excused, and {} requires it", required[*id]);
    }
    let open: Vec<_> =
        known.iter().filter(|id| !required.contains_key(**id) && !excused.contains(*id)).collect();
    ensure!(open.is_empty(), "nothing on a cluster provokes {open:?}, and nobody said why");
    Ok(())
}
