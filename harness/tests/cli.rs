//! The command as its users call it, as far as no cluster is needed: exit codes and messages are an interface.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::fs;
use std::process::{Command, Output};

fn meshproof(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshproof")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    assert_eq!(meshproof(&["--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn nothing_selected_is_said_with_a_code_of_its_own() {
    let output = meshproof(&["run", "no-such-scenario"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output).contains("no-such-scenario"), "{}", said(&output));
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_column_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("odd")).unwrap();
    let scenario =
        "title: odd\ndocument: {name: d, edition: 2025-08-25}\nnamespace: odd\nsteps:\n- aply: a.yaml\n";
    fs::write(folder.path().join("odd/scenario.yaml"), scenario).unwrap();
    let output = meshproof(&["run", "--scenarios", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(said.contains("odd/scenario.yaml:5:") && said.contains("aply"), "{said}");
}

#[test]
fn the_scenarios_of_this_workspace_are_listed() {
    let output = meshproof(&["list"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("service-mesh-integration"));
}
