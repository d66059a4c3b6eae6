//! Packs that are made of pages: what comes out can be read, holds every command, and tells what was not understood.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use meshproof::cli::doc::scaffold::{load, readable};
use meshproof_document::page;
use meshproof_document::scaffold::Scaffold;
use meshproof_model::implementation::Implementation;

const PAGES: &[(&str, &str)] = &[
    ("url-rewrite", include_str!("../../../fixtures/pages/url-rewrite.md")),
    ("traffic-splitting", include_str!("../../../fixtures/pages/traffic-splitting.md")),
    ("backend-tls", include_str!("../../../fixtures/pages/backend-tls.md")),
];

fn made(name: &str, text: &str) -> Scaffold {
    let mut scaffold = Scaffold::of(&page::read(text), name);
    readable(&mut scaffold).unwrap();
    scaffold
}

fn tree(files: &BTreeMap<String, String>) -> String {
    files.iter().map(|(name, text)| format!("=== {name}\n{text}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_made_of_each_page() {
    for (name, text) in PAGES {
        insta::assert_snapshot!(*name, tree(&made(name, text).files()));
    }
}

#[test]
fn what_comes_out_can_be_read_and_every_line_of_a_command_is_in_it() {
    for (name, text) in PAGES {
        let scaffold = made(name, text);
        let files = scaffold.files();
        let scenario = load(&files, name, &Implementation::built_in().unwrap()).unwrap().unwrap();
        assert!(scenario.steps.len() > scaffold.counts().steps, "the gateway is given besides");
        let all = tree(&files);
        // What the loader refuses is a page's fault, never the form that it was given here.
        assert!(!all.contains("unknown key") && !all.contains("must say what it does"), "{all}");
        for (at, line) in text.lines().enumerate() {
            let line = line.trim().trim_start_matches("$ ");
            let program =
                ["kubectl", "helm", "curl", "az ", "openssl", "Get-Az"].iter().any(|p| line.starts_with(p));
            // What only chooses where later commands look is followed.
            if program && !line.contains("set-context") {
                assert!(cites(&all, at + 1), "{name}: L{} {line}", at + 1);
            }
        }
    }
}

/// Whether a line is cited anywhere: `L5`, or within `L3-7`.
fn cites(text: &str, line: usize) -> bool {
    let number =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().ok();
    text.split('L').skip(1).any(|rest| {
        let Some(first) = number(rest) else { return false };
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let last =
            after.strip_prefix('-').and_then(|rest| number(rest.trim_start_matches('L'))).unwrap_or(first);
        (first..=last).contains(&line)
    })
}

fn scaffold(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshproof")).args(["doc", "scaffold"]).args(arguments).output().unwrap()
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("A Page.md");
    std::fs::write(&page, PAGES[0].1).unwrap();
    let out = folder.path().join("pack");
    let arguments = [page.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let first = scaffold(&arguments);
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(out.join("a-page/scenario.yaml").is_file() && out.join("pack.yaml").is_file());
    let written = std::fs::read_to_string(out.join("README.md")).unwrap();
    let again = scaffold(&arguments);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(2));
    assert!(said.contains("is not empty, and nothing is overwritten"), "{said}");
    assert_eq!(std::fs::read_to_string(out.join("README.md")).unwrap(), written);
    let named = scaffold(&[arguments[0], "--name", "../x"]);
    assert_eq!(named.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&named.stderr).contains("a pack is not called"));
}

#[test]
fn odd_pages_are_read_as_far_as_they_can() {
    let lone = "```bash\nkubectl apply -f - <<EOF\napiVersion: v1\nkind: Pod\nmetadata: {name: a";
    for (what, text) in [
        (
            "no front matter, and lines as Windows ends them",
            "# A\r\n\r\n```bash\r\nkubectl get pods\r\n```\r\n",
        ),
        ("a block that never ends", lone),
        ("tabs in YAML", "```yaml\napiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n```\n"),
        ("a list in a list", "1. a\n   - b\n\n     ```bash\n     kubectl delete gateway g\n     ```\n"),
        (
            "control characters",
            "# A\u{1b}[31m\n\n```bash\nkubectl get pod \u{7}x -n \u{202e}y\necho \u{1b}\n```\n",
        ),
        ("placeholders", "```bash\nkubectl delete gateway <name> -n ${NS:-x}\ncurl http://<fqdn>/\n```\n"),
        (
            "braces",
            "```yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"${HOME}\"}\n```\n",
        ),
        ("flags that lead elsewhere", "```bash\nkubectl get pods --context other\n```\n"),
        (
            "an option without its value",
            "```bash\nkubectl apply -f\ncurl -H\nhelm install\nfor\nfor i in\ndone\n```\n",
        ),
        ("a prompt and nothing", "```console\n$ \n$\n```\n"),
        ("no command at all", "Words only.\n"),
        ("objects that are none", "```yaml\nkind: [a]\nmetadata: b\n---\n- 1\n---\nkind: X\n```\n"),
        ("a status without an object", "```output\nstatus:\n  a: 1\n```\n"),
        (
            "a status that fits anything",
            "```bash\nkubectl get gateway g -o yaml\n```\n\n```output\nstatus:\n  conditions: []\n  x: {}\n```\n",
        ),
        (
            "a namespace that is none",
            "```bash\nkubectl create namespace\nkubectl create ns ''\nkubectl get pods -n ''\n```\n",
        ),
        (
            "pods without columns that count",
            "```bash\nkubectl get pods\n```\n\n```output\nNAME  READY\n\na  x\n```\n",
        ),
    ] {
        let mut scaffold = Scaffold::of(&page::read(text), "odd");
        readable(&mut scaffold).unwrap_or_else(|why| panic!("{what}: {why}\n{}", tree(&scaffold.files())));
        for (name, text) in scaffold.files() {
            assert!(!text.chars().any(meshproof_model::visible::is_odd), "{what}: {name}");
        }
    }
}

#[test]
fn what_a_command_prints_becomes_its_claim_and_without_it_the_command_stays() {
    let steps = |text: &str| {
        let scaffold = made("odd", text);
        assert_eq!(scaffold.open(), [], "{}", tree(&scaffold.files()));
        let scenario = scaffold.files().remove("odd/scenario.yaml").unwrap();
        scenario.lines().filter(|line| line.starts_with("- ")).skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let command = |line: &str| format!("```bash\n{line}\n```\n");
    let printed = |text: &str| format!("\n```output\n{text}\n```\n");
    for line in
        ["get pods", "get pods -n a", "get po -n a -o wide", "get gateway g -n a -o yaml", "get pods -A"]
    {
        let line = format!("kubectl {line}");
        assert_eq!(steps(&command(&line)), [line.replacen("kubectl", "- kubectl:", 1)]);
    }
    let table = "NAME                   READY  STATUS\na-6648c5d5c-sdd9t      1/1  Running";
    assert_eq!(steps(&(command("kubectl get pods -n a") + &printed(table))), ["- pods: a"]);
    let status = "status:\n  conditions:\n  - type: Accepted\n    status: \"True\"";
    assert_eq!(
        steps(&(command("kubectl get gtw g -n a -o yaml") + &printed(status))),
        ["- status: gateway/g"]
    );
    let field = "kubectl get gateway g -o jsonpath='{.status.addresses[0].value}'";
    assert_eq!(steps(&(command(field) + &printed("x.example"))), ["- value: gateway/g"]);
    let says = command("helm list -n a") + &printed("NAME  STATUS\nferry  deployed");
    assert_eq!(steps(&says), ["- helm: list -n a"]);
}

#[test]
fn a_large_page_is_read_in_time_and_a_larger_one_is_refused() {
    let block = "A sentence must be here.\n\n```bash\nkubectl get gateway g -o yaml < <a\nX=<b>$X'\n```\n\n";
    let started = std::time::Instant::now();
    let read = Scaffold::of(&page::read(&block.repeat(2000)), "large");
    assert!(read.counts().sentences > 1000);
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("larger.md");
    std::fs::write(&page, block.repeat(60_000)).unwrap();
    let output = scaffold(&[page.to_str().unwrap(), "--out", folder.path().join("x").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bytes"));
    assert!(started.elapsed().as_secs() < 60);
}
