//! Istio's control plane, in several versions.

use super::*;

const UPGRADE: &str = "- install-istio: istio-system\n  version: oldest\n- install-istio: istio-system\n  version: newest\n\
                       - install-istio: istio-system\n  version: oldest\n";

#[tokio::test(start_paused = true)]
async fn versions_are_provided_before_the_scenario_begins_and_the_last_one_is_removed() {
    let ran = run(World::default(), UPGRADE, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(
        ran.calls,
        [
            "provide Istio newest oldest",
            "install Istio istio-system oldest",
            "install Istio istio-system newest",
            "install Istio istio-system oldest",
            "uninstall Istio istio-system",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_version_nothing_has_to_be_provided() {
    let ran = run(World::default(), "- install-istio: istio-system\n", Keep::Never).await;
    assert_eq!(ran.calls, ["install Istio istio-system", "uninstall Istio istio-system"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_cannot_be_had_lets_nothing_begin() {
    let world = World { broken: Some("provide"), ..World::default() };
    let ran = run(world, UPGRADE, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Error);
    assert_eq!(ran.calls, ["provide Istio newest oldest"]);
}
