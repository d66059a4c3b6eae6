//! What is wrong is refused by the schemas, too.

use std::path::Path;

use anyhow::{Result, ensure};
use meshproof_run::reference;
use rstest::rstest;

use super::against;

const HEAD: &str = "title: t\ndocument: {name: d, edition: 2025-08-25}\nnamespace: ns\nsteps:\n";

#[rstest]
#[case::unknown_key("- delete: pod/a\n  wihtin: 3s\n")]
#[case::unknown_word("- aply: a.yaml\n")]
#[case::two_words("- apply: a.yaml\n  delete: pod/a\n")]
#[case::no_limit("- absent: pod/a\n")]
#[case::wrong_limit("- absent: pod/a\n  within: soon\n")]
#[case::limit_without_unit("- absent: pod/a\n  within: 30\n")]
#[case::stay_of_an_action("- delete: pod/a\n  stays: 3s\n")]
#[case::stay_in_requests("- absent: pod/a\n  within: 1s\n  stays: 3 requests\n")]
#[case::unknown_kind("- delete: gatway/a\n")]
#[case::unknown_witness("- request: {gateway: g}\n  becomes: {status: 200}\n  within: 1s\n  witness: [me]\n")]
#[case::unknown_vantage("- request: {gateway: g, from: afar}\n  becomes: {status: 200}\n  within: 1s\n")]
#[case::no_status("- request: {gateway: g}\n  becomes: {backend: b}\n  within: 1s\n")]
#[case::impossible_status("- request: {gateway: g}\n  becomes: {status: 20}\n  within: 1s\n")]
#[case::wrong_ready("- pods: ns\n  become: [{prefix: a, count: 1, ready: yes}]\n  within: 1s\n")]
#[case::empty_list("- pods: ns\n  become: []\n  within: 1s\n")]
#[case::text_for_number("- scale: deployment/a\n  to: two\n")]
#[case::fails_and_says("- helm: lint c\n  fails: a\n  says: b\n")]
#[case::two_pods("- kill: {pod: a, holder-of: lease/b}\n")]
#[case::never_what("- served: {gateway: g}\n  never: {}\n  within: 1s\n")]
#[case::both("- served: {gateway: g}\n  becomes: {status: 200}\n  never: {status: 404}\n  within: 1s\n")]
#[case::cannot_be_seen(
    "- absent: pod/a\n  within: 1s\n  must-fail: {diagnosis: no-endpoint, sees: {status: 503}}\n"
)]
#[case::no_step("  []\n")]
fn a_wrong_scenario_is_refused(#[case] steps: &str) -> Result<()> {
    let wrong = against(&reference::scenario(), Path::new("s.yaml"), format!("{HEAD}{steps}"))?;
    ensure!(wrong.is_some(), "nothing is wrong with {steps}");
    Ok(())
}

#[rstest]
#[case::unknown_key("version: 1.8.8", "verison: 1.8.8")]
#[case::type_of_address("type: Hostname", "type: DNS")]
#[case::resolution("resolve: {zone: alb.internal, namespace: azure-alb-dataplane}", "resolve: somehow")]
#[case::access_log("access-log: alb", "access-log: nginx")]
#[case::spiffe("spiffe: spiffe://", "spiffe: https://")]
#[case::lease("lease: azure-alb-system/alb-controller\n", "lease: alb-controller\n")]
#[case::no_class("gateway-class: azure-alb-external\n", "")]
#[case::object_of_message("  httproute:\n", "  grpcroute:\n")]
#[case::number("version: 1.8.8\ngateway", "version: 1.8\ngateway")]
#[case::reason("messages:", "waived: {kinds: {gateway: \"\"}}\nmessages:")]
#[case::kind("messages:", "waived: {kinds: {gatway: It has none.}}\nmessages:")]
#[case::step_itself("messages:", "expectations: {a: {because: So it is., proves: R1}}\nmessages:")]
#[case::no_reason("messages:", "expectations: {a: {becomes: b.yaml, within: 1s}}\nmessages:")]
fn a_wrong_implementation_file_is_refused(#[case] right: &str, #[case] wrong: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../implementations/alb.yaml");
    let text = std::fs::read_to_string(&path)?;
    ensure!(text.contains(right), "there is no `{right}`");
    let found = against(&reference::implementation(), &path, text.replacen(right, wrong, 1))?;
    ensure!(found.is_some(), "nothing is wrong with `{wrong}`");
    Ok(())
}
