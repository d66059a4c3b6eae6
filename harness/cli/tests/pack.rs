//! Packs as users of the command meet them, without a cluster.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The command, run in a folder with a cache of its own.
fn meshproof(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .args(arguments)
        .current_dir(folder)
        .env("MESHPROOF_CACHE", folder.join("cache"))
        .env_remove("MESHPROOF_PACK")
        .output()
        .unwrap()
}

fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (output.status.code().unwrap(), text.concat())
}

#[test]
fn a_new_pack_is_in_order_and_its_scenario_is_what_would_run() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("meshproof run --pack"), "{said}");
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check", "shop"]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("pack shop: 1 scenario, 1 requirement, nothing wrong"), "{said}");
    let (code, said) = told(&meshproof(folder.path(), &["run", "--list", "--pack", "shop"]));
    assert_eq!((code, said.trim()), (0, "answers"));
    let (code, said) = told(&meshproof(folder.path(), &["list", "--pack", "shop"]));
    assert!(code == 0 && said.contains("proved by answers"), "{said}");
    // In its folder it is the one at hand.
    let (code, said) = told(&meshproof(&folder.path().join("shop/scenarios"), &["list", "--requirements"]));
    assert!(code == 0 && said.contains("R1") && !said.contains("R2"), "{said}");
    // A second of the same name would be written over the first.
    let (code, said) = told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    assert!(code == 2 && said.contains("is there already"), "{said}");
}

#[test]
fn the_scenario_of_a_new_pack_can_be_put_to_every_gateway() {
    let folder = tempfile::tempdir().unwrap();
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    for gateway in ["alb", "istio", "envoy-gateway-mtls", "envoy-gateway-plain", "traefik"] {
        let plan = ["run", "--plan", "--json", "--pack", "shop", "--implementation", gateway];
        let output = meshproof(folder.path(), &plan);
        assert_eq!(output.status.code(), Some(0), "{gateway}: {}", told(&output).1);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = plan.to_string();
        assert!(text.contains("httproute/route") && text.contains("R1"), "{gateway}: {plan:#}");
    }
}

#[test]
fn a_diagnosis_of_a_pack_may_be_asked_for_and_what_is_wrong_with_it_has_a_place() {
    let folder = tempfile::tempdir().unwrap();
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    let file = folder.path().join("shop/pack.yaml");
    // The example of a new pack is one that can be read.
    let text = fs::read_to_string(&file).unwrap();
    let example =
        text.replace("# diagnoses:", "diagnoses:").replace("\n# - id", "\n- id").replace("\n#   ", "\n  ");
    assert!(example.contains("\n- id: backend-out-of-memory"), "{example}");
    fs::write(&file, &example).unwrap();
    let scenario = folder.path().join("shop/scenarios/answers/scenario.yaml");
    let steps = fs::read_to_string(&scenario).unwrap();
    let fails = "  must-fail: {diagnosis: backend-out-of-memory, sees: {status: 503}}\n";
    fs::write(&scenario, format!("{steps}{fails}")).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["run", "--list", "--pack", "shop"]));
    assert_eq!(code, 0, "{said}");
    fs::write(&file, example.replace("is: OOMKilled", "matches: '('")).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check", "shop"]));
    assert!(code == 2 && said.contains("pack.yaml:") && said.contains("no regular expression"), "{said}");
    // They may stand in a file of their own.
    let (at, end) = (example.find("diagnoses:").unwrap(), example.len());
    fs::write(folder.path().join("shop/causes.yaml"), &example[at..end]).unwrap();
    fs::write(&file, format!("{}diagnoses: causes.yaml\n", &example[..at])).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["run", "--list", "--pack", "shop"]));
    assert_eq!(code, 0, "{said}");
    fs::remove_file(folder.path().join("shop/causes.yaml")).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["run", "--list", "--pack", "shop"]));
    assert!(code == 2 && said.contains("causes.yaml"), "{said}");
}

#[test]
fn another_gateways_file_can_be_put_to_a_pack_that_it_says_nothing_of() {
    let folder = tempfile::tempdir().unwrap();
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    let istio = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../implementations/istio.yaml");
    let istio = istio.to_str().unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check", "shop", "--implementation", istio]));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_is_wrong_with_a_pack_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    let file = folder.path().join("shop/scenarios/answers/scenario.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("request:", "reqest:")).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check", "shop"]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("scenario.yaml:14:3") && said.contains("did you mean `request`?"), "{said}");
    let (code, said) = told(&meshproof(folder.path(), &["run", "--pack", "shop"]));
    assert!(code == 2 && said.contains("did you mean `request`?"), "{said}");
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check", "nowhere"]));
    assert!(code == 2 && said.contains("nowhere/pack.yaml") && said.contains("pack new"), "{said}");
}

#[test]
fn a_variable_without_a_value_is_told_before_anything_is_made_and_an_unknown_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    let file = folder.path().join("shop/pack.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(", default: /hello", "")).unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["run", "--pack", "shop"]));
    assert_eq!(code, 2, "{said}");
    for words in [
        "scenario.yaml:14:",
        "the variable `path` (path of the route) has no value",
        "--set path=VALUE",
        "MESHPROOF_VAR_PATH",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let list = ["run", "--list", "--pack", "shop"];
    let values = folder.path().join("values.yaml");
    fs::write(&values, "path: /b\n").unwrap();
    for more in [&["--set", "path=/a"][..], &["--vars", values.to_str().unwrap()]] {
        let (code, said) = told(&meshproof(folder.path(), &[&list[..], more].concat()));
        assert_eq!(code, 0, "{said}");
    }
    let (code, said) = told(&meshproof(folder.path(), &[&list[..], &["--set", "pth=/a"]].concat()));
    assert!(code == 2 && said.contains("there is no variable `pth`; did you mean `path`?"), "{said}");
    // Commands that read scenarios and do not run them take values in the same way, and say the same before they begin.
    for other in [&["up", "--for-scenarios", "--pack", "shop"][..], &["mutants", "--list", "--pack", "shop"]]
    {
        let (code, said) = told(&meshproof(folder.path(), &[other, &["--set", "pth=/a"]].concat()));
        assert!(code == 2 && said.contains("did you mean `path`?"), "{other:?}: {said}");
    }
    let (code, said) = told(&meshproof(folder.path(), &["up", "--for-scenarios", "--pack", "shop"]));
    assert!(code == 2 && said.contains("has no value"), "{said}");
    let (code, said) = told(&meshproof(folder.path(), &[&list[..], &["--set", "path"]].concat()));
    assert!(code == 2 && said.contains("is not NAME=VALUE"), "{said}");
}

#[test]
fn outside_of_a_checkout_the_pack_that_is_compiled_in_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = told(&meshproof(folder.path(), &["run", "--list", "service-mesh-integration"]));
    assert_eq!((code, said.trim()), (0, "service-mesh-integration"));
    assert!(folder.path().join("cache/packs").is_dir());
    let (code, said) = told(&meshproof(folder.path(), &["pack", "check"]));
    assert!(code == 0 && said.contains("pack service-mesh-integration"), "{said}");
    // A variable names another one, and an argument yet another.
    told(&meshproof(folder.path(), &["pack", "new", "shop"]));
    let list = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        command.args(["run", "--list"]).args(arguments).current_dir(folder.path());
        command.env("MESHPROOF_CACHE", folder.path().join("cache")).env("MESHPROOF_PACK", "nowhere");
        told(&command.output().unwrap())
    };
    assert_eq!(list(&["--pack", "shop"]), (0, "answers\n".to_owned()));
    let (code, said) = list(&[]);
    assert!(code == 2 && said.contains("nowhere/pack.yaml"), "{said}");
}
