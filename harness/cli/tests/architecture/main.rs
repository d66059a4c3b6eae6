//! Which crate of the workspace may use which, and that within a crate no two folders use each other.
//!
//! The arrows between crates are read from their `Cargo.toml`, those between modules from their sources. An arrow that is not in
//! the tables below is a decision: it is taken here, with a reason, or not at all.

mod circles;
mod crates;
mod modules;

use std::error::Error;
use std::path::{Path, PathBuf};

use circles::circles;
use crates::{Kind, Member, members};
use modules::Modules;

/// What each crate may use of the workspace, tests included. See ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    // The judge.
    ("meshproof-model", &[]),
    ("meshproof-run", &["meshproof-model"]),
    ("meshproof-lab", &["meshproof-model"]),
    ("meshproof-document", &["meshproof-model"]),
    ("meshproof-report", &["meshproof-model"]),
    // It implements the ports of `run`, against clusters that `lab` makes among others.
    ("meshproof-cluster", &["meshproof-model", "meshproof-run", "meshproof-lab"]),
    (
        "meshproof",
        &[
            "meshproof-model",
            "meshproof-run",
            "meshproof-lab",
            "meshproof-document",
            "meshproof-report",
            "meshproof-cluster",
        ],
    ),
    // The judged.
    ("alb-api", &[]),
    ("alb-route", &[]),
    ("alb-config", &[]),
    ("alb-runtime", &["alb-runtime"]),
    ("alb-controller", &["alb-api", "alb-config", "alb-runtime"]),
    ("alb-controller-istio-extension", &["alb-api", "alb-runtime"]),
    ("alb-proxy", &["alb-config", "alb-route", "alb-runtime"]),
    // What stands beside both.
    ("echo-backend", &[]),
    ("load-balancer", &["alb-runtime"]),
    ("meshproof-scenarios", &[]),
];

/// What only the tests of a crate may use.
const OF_TESTS: &[(&str, &[&str])] = &[
    // An Envoy, as the lab makes it.
    ("alb-proxy", &["meshproof-lab", "meshproof-model"]),
    // The pack put to the test; what its files say of this workspace's gateway is compared with its programs.
    (
        "meshproof-scenarios",
        &[
            "alb-api",
            "meshproof",
            "meshproof-cluster",
            "meshproof-document",
            "meshproof-lab",
            "meshproof-model",
            "meshproof-report",
            "meshproof-run",
        ],
    ),
];

/// What a crate must not use from elsewhere: an async runtime, a cluster, anything on the wire.
const NOT_OF: &[(&str, &[&str])] = &[
    (
        "meshproof-model",
        &["tokio", "tokio-util", "futures", "kube", "k8s-openapi", "gateway-api", "hyper", "reqwest", "duct"],
    ),
    ("meshproof-document", &["tokio", "futures", "kube", "k8s-openapi", "gateway-api", "hyper", "reqwest"]),
    ("meshproof-report", &["tokio", "futures", "kube", "k8s-openapi", "gateway-api", "hyper", "reqwest"]),
    ("meshproof-run", &["kube", "k8s-openapi", "gateway-api", "hyper", "reqwest", "duct"]),
];

/// Circles that are there, each with the reason why: crate, folder (empty for the crate's own), modules in it.
const KNOWN: &[(&str, &str, &[&str], &str)] = &[
    (
        "alb-proxy",
        "",
        &[
            "accept",
            "affinity",
            "config",
            "faults",
            "filters",
            "matching",
            "mirrors",
            "pipeline",
            "proxy",
            "termination",
            "upstream",
        ],
        "the row of stages and what it is built from are handed over in one place; faults on purpose reach into several stages",
    ),
    (
        "meshproof-document",
        "scaffold",
        &["draft", "kubectl", "objects", "printed", "programs", "variables"],
        "a command within a command is read by the programs again; what they have in common wants a file below them",
    ),
    (
        "alb-controller",
        "",
        &["faults", "plan", "translate"],
        "a fault on purpose changes statuses and writes of every kind from one file; nothing that is shipped has it",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn workspace() -> Result<Vec<Member>, Box<dyn Error>> {
    members(&root())
}

fn allowed(table: &'static [(&str, &[&str])], name: &str) -> &'static [&'static str] {
    table.iter().find(|(known, _)| *known == name).map(|(_, all)| *all).unwrap_or_default()
}

#[test]
fn every_crate_uses_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    let all = workspace().unwrap();
    for member in &all {
        if !ARROWS.iter().any(|(known, _)| *known == member.name) {
            wrong.push(format!("{}: say in ARROWS what it may use", member.name));
        }
        for (name, kind) in &member.uses {
            let fine = allowed(ARROWS, &member.name).contains(&name.as_str())
                || *kind == Kind::OfTests && allowed(OF_TESTS, &member.name).contains(&name.as_str());
            if all.iter().any(|other| other.name == *name) && !fine {
                wrong.push(format!("{} must not use {name}", member.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_crate_of_the_judge_knows_the_judged() {
    let all = workspace().unwrap();
    let judged: Vec<&str> =
        all.iter().filter(|member| member.folder.starts_with("extension")).map(|m| m.name.as_str()).collect();
    assert!(judged.len() >= 7, "{judged:?}");
    for member in all.iter().filter(|member| member.folder.starts_with("harness")) {
        let known: Vec<_> = member.uses.iter().filter(|(name, _)| judged.contains(&name.as_str())).collect();
        assert!(known.is_empty(), "{} uses {known:?}: names of a gateway are data of its file", member.name);
    }
}

#[test]
fn what_is_pure_stays_pure() {
    for member in workspace().unwrap() {
        let kept_out = allowed(NOT_OF, &member.name);
        let used =
            |name: &&&str| member.uses.iter().any(|(used, kind)| used == **name && *kind != Kind::OfTests);
        let wrong: Vec<_> = kept_out.iter().filter(used).collect();
        assert!(wrong.is_empty(), "{} must not use {wrong:?}", member.name);
    }
}

#[test]
fn no_two_folders_of_a_crate_use_each_other() {
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    for member in workspace().unwrap() {
        let sources = root().join(&member.folder).join("src");
        let modules = Modules::read(&sources).unwrap();
        for circle in circles(&modules) {
            let known = KNOWN.iter().position(|(name, folder, of, _)| {
                *name == member.name
                    && *folder == circle.folder
                    && circle.of.iter().all(|m| of.contains(&&**m))
            });
            match known {
                Some(at) => met.push(at),
                None => wrong.push(format!("{}: {circle}", member.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let gone: Vec<_> = (0..KNOWN.len()).filter(|at| !met.contains(at)).map(|at| KNOWN[at].0).collect();
    assert!(gone.is_empty(), "cut since, and to be taken out of KNOWN: {gone:?}");
}
