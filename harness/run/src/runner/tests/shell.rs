//! The document's commands, literally.

use super::*;

const RUN: &str = "- shell: a.sh\n  substitute: table.yaml\n";

#[tokio::test(start_paused = true)]
async fn commands_run_as_printed_but_for_the_table_and_what_they_apply_is_removed() {
    let world = World { by_shell: vec!["deployment/d in ns"], ..World::default() };
    let ran = run(world, RUN, Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved, "{:?}", ran.result.culprit());
    assert_eq!(
        ran.calls,
        ["shell : az get-credentials\nkubectl apply -f deployment.yaml", "delete deployment/d in ns"]
    );
    let observed = &ran.result.steps[0].observed;
    assert_eq!(observed.detail["commands"][1], "kubectl apply -f https://far/a.yaml", "as printed");
    assert_eq!(observed.detail["replaced"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(start_paused = true)]
async fn commands_that_must_fail_do_so_for_the_reason_given() {
    let fails = |why: &str| format!("- shell: wrong.sh\n  fails: {why}\n");
    let ran = run(World::default(), &fails("NotFound"), Keep::Never).await;
    assert_eq!(ran.result.verdict, Verdict::Proved);
    assert_eq!(ran.result.steps[0].observed.summary, "exit code 1: Error from server (NotFound): no");

    let ran = run(World::default(), &fails("Forbidden"), Keep::Never).await;
    let failure = ran.result.culprit().and_then(|step| step.failure.as_ref()).unwrap();
    assert_eq!(failure.expected, "a failure that says `Forbidden`");

    let unexpected = format!("{RUN}  fails: NotFound\n");
    assert_eq!(run(World::default(), &unexpected, Keep::Never).await.result.verdict, Verdict::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_must_say_something_does() {
    let says = |what: &str| format!("{RUN}  says: {what}\n");
    let ran = run(World::default(), &says("don"), Keep::Never).await;
    assert_eq!(ran.result.steps[0].observed.summary, "done");
    assert_eq!(run(World::default(), &says("nothing"), Keep::Never).await.result.verdict, Verdict::Failed);
}
