use super::super::facts::EngineFacts;
use super::*;

/// A good host: root on Debian, everything built, an engine of its own.
fn good() -> Facts {
    Facts {
        system: "Debian".to_owned(),
        processors: 2,
        memory_available: 8 << 30,
        cache: "/cache".to_owned(),
        disk_free: Some(50 << 30),
        root: true,
        cgroup_version: 2,
        engine: Some(EngineFacts { host: "unix:///x".to_owned(), version: "20".to_owned(), private: true }),
        tools: ["go", "cargo", "rustup", "gcc", "apt-get", "debootstrap", "python3", "docker", "dockerd"]
            .map(|tool| (tool.to_owned(), String::new()))
            .into(),
        musl_target: true,
        workspace: true,
        inotify_instances: Some(1024),
        ..Facts::default()
    }
}

fn level(facts: &Facts, about: &str) -> Option<Level> {
    let (findings, _) = judge(facts, ImageSource::Auto);
    findings.into_iter().find(|finding| finding.about == about).map(|finding| finding.level)
}

fn to_build(phases: &[&str]) -> Vec<(String, Option<f64>)> {
    phases.iter().map(|phase| ((*phase).to_owned(), None)).collect()
}

#[test]
fn a_good_host_lacks_nothing_and_builds_nothing() {
    let (findings, plan) = judge(&good(), ImageSource::Auto);
    assert!(
        findings.iter().all(|finding| matches!(finding.level, Level::Good | Level::Handled)),
        "{findings:?}"
    );
    assert_eq!(plan.source, ImageSource::Source);
    assert!(plan.build.is_empty());
}

#[test]
fn without_an_engine_root_gets_a_private_one_and_others_get_advice() {
    let mut facts = Facts { engine: None, ..good() };
    assert_eq!(level(&facts, "Docker Engine"), Some(Level::Handled));
    facts.root = false;
    let (findings, _) = judge(&facts, ImageSource::Auto);
    assert_eq!(findings[0].level, Level::Missing);
    assert!(findings[0].remedy.contains("apt-get install docker.io"));
}

#[test]
fn a_withheld_capability_is_handled_unless_the_engine_is_not_ours() {
    let mut facts = Facts { lacks_sys_resource: true, ..good() };
    assert_eq!(level(&facts, "capabilities"), Some(Level::Handled));
    facts.engine = Some(EngineFacts { private: false, ..EngineFacts::default() });
    assert_eq!(level(&facts, "capabilities"), Some(Level::Warning));
}

#[test]
fn a_registry_is_used_when_it_answers_and_its_nodes_would_run() {
    let mut facts = Facts { registry_answers: Some(true), ..good() };
    assert_eq!(judge(&facts, ImageSource::Auto).1.source, ImageSource::Registry);
    facts.cgroup_version = 1;
    assert_eq!(judge(&facts, ImageSource::Auto).1.source, ImageSource::Source);
    let (findings, _) = judge(&facts, ImageSource::Registry);
    assert!(findings.iter().any(|f| f.about == "control groups" && f.level == Level::Missing));
}

#[test]
fn an_explicit_registry_needs_the_released_programs() {
    let (findings, _) = judge(&good(), ImageSource::Registry);
    let registry = findings.iter().find(|finding| finding.about == "registry").unwrap();
    assert_eq!(registry.level, Level::Missing);
    assert!(registry.what.contains("kind, helm, istioctl"), "{}", registry.what);
}

#[test]
fn with_a_registry_only_the_extensions_images_are_built() {
    let facts = Facts {
        registry_answers: Some(true),
        to_build: to_build(&["compile kubernetes", workspace::PHASE]),
        ..good()
    };
    assert_eq!(judge(&facts, ImageSource::Auto).1.build, to_build(&[workspace::PHASE]));
}

#[test]
fn compilers_are_asked_for_only_when_something_is_to_be_built() {
    let mut facts = good();
    facts.tools.remove("go");
    assert_eq!(level(&facts, "go"), None);
    facts.to_build = to_build(&["compile kubernetes"]);
    assert_eq!(level(&facts, "go"), Some(Level::Missing));
    facts.tools.remove("gcc");
    assert_eq!(level(&facts, "gcc"), Some(Level::Handled), "root can install it");
    facts.root = false;
    assert_eq!(level(&facts, "gcc"), Some(Level::Missing));
    assert_eq!(level(&facts, "root"), Some(Level::Missing));
}

#[test]
fn little_memory_or_disk_is_a_warning() {
    let facts = Facts { memory_available: 1 << 30, disk_free: Some(1 << 30), ..good() };
    assert_eq!(level(&facts, "memory"), Some(Level::Warning));
    assert_eq!(level(&facts, "disk"), Some(Level::Warning));
}

#[test]
fn every_missing_thing_says_how_to_get_it() {
    let bare = Facts { to_build: to_build(&["compile kubernetes", workspace::PHASE]), ..Facts::default() };
    for wanted in [ImageSource::Auto, ImageSource::Registry, ImageSource::Source] {
        for finding in judge(&bare, wanted).0 {
            assert!(finding.level != Level::Missing || !finding.remedy.is_empty(), "{finding:?}");
        }
    }
}

fn what(facts: &Facts, about: &str) -> String {
    let (findings, _) = judge(facts, ImageSource::Auto);
    let found = findings.into_iter().find(|finding| finding.about == about);
    found.map(|finding| format!("{} {}", finding.what, finding.remedy)).unwrap_or_default()
}

#[test]
fn what_would_change_on_the_host_is_listed_beforehand() {
    assert_eq!(level(&good(), "host changes"), Some(Level::Good));
    let mut facts =
        Facts { engine: None, inotify_instances: Some(128), to_build: to_build(&["compile etcd"]), ..good() };
    facts.tools.remove("gcc");
    facts.tools.remove("dockerd");
    let changes = what(&facts, "host changes");
    for word in ["private engine", "docker.io", "gcc", "max_user_instances", "--host-changes allow"] {
        assert!(changes.contains(word), "{word}: {changes}");
    }
    let theirs = Facts { engine: Some(EngineFacts { private: false, ..EngineFacts::default() }), ..good() };
    assert!(what(&theirs, "host changes").contains("DOCKER-USER"));
}

#[test]
fn who_may_use_docker_and_is_not_root_can_run_and_hears_what_is_not_enforced() {
    let mut facts = good();
    facts.engine = Some(EngineFacts { private: false, ..EngineFacts::default() });
    facts.root = false;
    let (findings, _) = judge(&facts, ImageSource::Auto);
    assert!(findings.iter().all(|finding| finding.level != Level::Missing), "{findings:?}");
    assert_eq!(level(&facts, "pods stay in"), Some(Level::Warning));
    assert!(what(&facts, "pods stay in").contains("not enforced"));
    facts.root = true;
    assert_eq!(level(&facts, "pods stay in"), Some(Level::Handled));
}

#[test]
fn a_proxy_is_named_with_its_variable_and_what_is_excepted() {
    assert_eq!(level(&good(), "proxy"), None);
    let proxy = Some("HTTPS_PROXY=http://p:3128".to_owned());
    let facts = Facts { proxy, no_proxy: Some("172.16.0.0/12".to_owned()), ..good() };
    let said = what(&facts, "proxy");
    assert!(said.contains("HTTPS_PROXY=http://p:3128") && said.contains("NO_PROXY=172.16.0.0/12"), "{said}");
}
