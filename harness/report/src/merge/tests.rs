use super::*;
use crate::sample;

fn proved(run: &str) -> Report {
    Report { run: run.into(), ..Report::from_events(&sample::proved_run()) }
}

fn failed(run: &str) -> Report {
    Report { run: run.into(), ..Report::from_events(&sample::failed_run()) }
}

/// The proved scenario, as one share of a selection of two.
fn share(index: u32) -> Report {
    let whole: Vec<String> = vec!["service-mesh-integration".into(), "broken/istio-alpn".into()];
    let mut report = failed(&format!("run-{index}"));
    let own = whole[index as usize - 1].clone();
    report.scenarios.retain(|scenario| scenario.id == own);
    report.verdict = Some(verdict::of_run(&report.scenarios));
    report.exit_code = report.verdict.map(verdict::exit_code);
    report.selected = vec![own];
    report.partition = Some(Partition { index, of: 2, whole });
    report
}

fn names(report: &Report) -> Vec<String> {
    report.scenarios.iter().map(ScenarioResult::name).collect()
}

#[test]
fn shares_make_a_whole_whatever_the_order() {
    let (merged, evidence) = merge(&[share(2), share(1)], "all".into()).unwrap();
    assert_eq!(names(&merged), ["service-mesh-integration", "broken/istio-alpn"]);
    assert_eq!((merged.verdict, merged.exit_code), (Some(Verdict::Failed), Some(1)));
    assert_eq!(merged.partition, None);
    assert_eq!(merged.timings.total, 2 * 61_377);
    assert_eq!(merged.parts.len(), 2);
    let same = PathBuf::from("evidence/broken/istio-alpn");
    assert_eq!(evidence, [Moved { part: 0, from: same.clone(), to: same }]);
}

#[test]
fn a_missing_share_is_an_error_even_if_all_the_others_are_proved() {
    let (merged, _) = merge(&[share(1)], "all".into()).unwrap();
    assert_eq!((merged.verdict, merged.exit_code), (Some(Verdict::Error), Some(4)));
    assert_eq!(merged.errors["shares"], "missing: 2/2");
    assert_eq!(merged.not_run(), ["broken/istio-alpn"]);
}

#[test]
fn a_scenario_that_is_there_twice_counts_as_repeated() {
    let (merged, evidence) = merge(&[failed("one"), failed("two")], "all".into()).unwrap();
    assert_eq!(
        names(&merged),
        [
            "service-mesh-integration",
            "service-mesh-integration~2",
            "broken/istio-alpn",
            "broken/istio-alpn~2"
        ]
    );
    let to: Vec<_> = evidence.iter().map(|moved| (moved.part, moved.to.display().to_string())).collect();
    assert_eq!(to, [(0, "evidence/broken/istio-alpn".into()), (1, "evidence/broken/istio-alpn~2".into())]);
}

#[test]
fn runs_against_different_things_are_not_merged() {
    let mut other = proved("other");
    other.cluster.as_mut().unwrap().istio = "1.30".into();
    let error = merge(&[proved("one"), other], "all".into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "one and other do not belong together: Istio is `1.31` in one and `1.30` in the other; `meshproof report \
         diff` compares such runs"
    );
}

#[test]
fn runs_of_different_builds_are_not_merged_and_the_difference_is_named() {
    type Change = fn(&mut Report);
    let named =
        |digest: &str| meshproof_model::event::Named::from([("it".to_owned(), digest.to_owned().into())]);
    let mut one = proved("one");
    one.basis.harness.source = "sha256:1".into();
    let digests = &mut one.basis.digests;
    (digests.images, digests.charts, digests.scenarios) =
        (named("sha256:1"), named("sha256:1"), named("sha256:1"));
    let mut same = one.clone();
    same.run = "same".into();
    assert!(merge(&[one.clone(), same], "all".into()).is_ok());
    let changes: [(Change, &str); 4] = [
        (|r| r.basis.harness.source = "sha256:2".into(), "the digest of meshproof's source is sha256:"),
        (
            |r| r.basis.digests.images = [("it".to_owned(), "sha256:2".to_owned().into())].into(),
            "image it is sha256:1 in one and sha256:2",
        ),
        (
            |r| r.basis.digests.charts = [("it".to_owned(), "sha256:2".to_owned().into())].into(),
            "chart it is sha256:1",
        ),
        (
            |r| r.basis.digests.scenarios = [("it".to_owned(), "sha256:2".to_owned().into())].into(),
            "scenario it is sha256:1",
        ),
    ];
    for (change, what) in changes {
        let mut other = Report { run: "other".into(), ..one.clone() };
        change(&mut other);
        let error = merge(&[one.clone(), other], "all".into()).unwrap_err().to_string();
        assert!(
            error.starts_with("one and other do not belong together: ") && error.contains(what),
            "{error}"
        );
    }
}

#[test]
fn what_a_run_carried_over_from_another_counts_once() {
    let parent = failed("parent");
    let mut rerun = failed("rerun");
    rerun.rerun_of = Some("parent".into());
    rerun.carried_over = vec!["service-mesh-integration".into()];
    let (merged, _) = merge(&[parent, rerun.clone()], "all".into()).unwrap();
    assert_eq!(names(&merged), ["service-mesh-integration", "broken/istio-alpn", "broken/istio-alpn~2"]);
    let (alone, _) = merge(&[rerun], "all".into()).unwrap();
    assert_eq!(alone.scenarios.len(), 2);
}

#[test]
fn a_share_without_istio_belongs_to_one_with_it() {
    let (mut with, mut without) = (share(1), share(2));
    without.cluster.as_mut().unwrap().istio = String::new();
    for (report, version) in [(&mut with, "1.31"), (&mut without, "")] {
        report.implementation.as_mut().unwrap().version = version.into();
    }
    for parts in [[with.clone(), without.clone()], [without, with]] {
        let (merged, _) = merge(&parts, "all".into()).unwrap();
        let (istio, version) = (merged.cluster.unwrap().istio, merged.implementation.unwrap().version);
        assert_eq!((istio.as_str(), version.as_str()), ("1.31", "1.31"));
    }
}

#[test]
fn a_run_that_was_broken_off_makes_no_proved_whole() {
    let broken_off = Report { verdict: None, exit_code: None, ..proved("broken-off") };
    let (merged, _) = merge(&[proved("one"), broken_off], "all".into()).unwrap();
    assert_eq!((merged.verdict, merged.exit_code), (Some(Verdict::Error), Some(4)));
}

#[test]
fn an_unfit_host_keeps_its_exit_code() {
    let unfit = Report { verdict: Some(Verdict::Error), exit_code: Some(3), ..Report::default() };
    assert_eq!(merge(&[proved("one"), unfit], "all".into()).unwrap().0.exit_code, Some(3));
}

/// Writes the failed run into a folder, with this as the id of its second scenario, and with evidence.
fn written(folder: &Path, id: &str) {
    super::super::write_all(folder, &sample::failed_run()).unwrap();
    fs::create_dir_all(folder.join("evidence/broken/istio-alpn")).unwrap();
    let json = fs::read_to_string(folder.join("report.json")).unwrap();
    let id = serde_json::to_string(id).unwrap();
    fs::write(
        folder.join("report.json"),
        json.replace(r#""id": "broken/istio-alpn""#, &format!("\"id\": {id}")),
    )
    .unwrap();
}

#[test]
fn a_report_from_elsewhere_writes_nowhere_else() {
    for id in ["../../stolen", "/tmp/meshproof-stolen", "..\\..\\stolen", "", "a\0b"] {
        let folder = tempfile::tempdir().unwrap();
        let (one, into) = (folder.path().join("one"), folder.path().join("a/b/all"));
        written(&one, id);
        let error = merge_into(&[one], &into).unwrap_err();
        assert!(matches!(error, MergeError::Read(ReadError::Unfit { .. })), "{error}");
        assert!(error.to_string().contains("scenarios[1].id"), "{error}");
        assert!(!into.exists() && !folder.path().join("a").exists());
    }
}

#[test]
#[cfg(unix)]
fn links_in_the_evidence_of_a_report_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, into) = (folder.path().join("one"), folder.path().join("two"), folder.path().join("all"));
    written(&one, "broken/istio-alpn");
    written(&two, "broken/istio-alpn");
    let secret = folder.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    std::os::unix::fs::symlink(secret.join("key"), one.join("evidence/broken/istio-alpn/key")).unwrap();
    std::os::unix::fs::symlink(&secret, one.join("evidence/broken/istio-alpn/folder")).unwrap();
    fs::remove_dir_all(two.join("evidence")).unwrap();
    fs::create_dir(two.join("evidence")).unwrap();
    std::os::unix::fs::symlink(&secret, two.join("evidence/broken")).unwrap();
    fs::create_dir(secret.join("istio-alpn")).unwrap();
    fs::write(secret.join("istio-alpn/key"), "secret").unwrap();
    merge_into(&[one, two], &into).unwrap();
    let evidence = into.join("evidence/broken");
    assert!(evidence.join("istio-alpn").is_dir());
    for taken in ["istio-alpn/key", "istio-alpn/folder", "istio-alpn~2"] {
        assert!(!evidence.join(taken).exists(), "{taken}");
    }
}

#[test]
fn everything_is_written_and_a_folder_with_something_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, into) = (folder.path().join("one"), folder.path().join("all"));
    super::super::write_all(&one, &sample::failed_run()).unwrap();
    let evidence = one.join("evidence/broken/istio-alpn/logs");
    fs::create_dir_all(&evidence).unwrap();
    fs::write(evidence.join("a.log"), "a").unwrap();
    merge_into(&[one.clone(), one.join("report.json")], &into).unwrap();
    for file in [
        "report.json",
        "junit.xml",
        "report.html",
        "transcript/service-mesh-integration~2.yaml",
        "evidence/broken/istio-alpn/logs/a.log",
        "evidence/broken/istio-alpn~2/logs/a.log",
    ] {
        assert!(into.join(file).is_file(), "{file}");
    }
    let error = merge_into(&[one], &into).unwrap_err();
    assert!(matches!(error, MergeError::Occupied(_)), "{error}");
}
