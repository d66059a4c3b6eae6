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
fn what_belongs_to_another_edition_is_left_out_and_one_that_is_not_there_is_told_with_the_nearest() {
    let output = meshproof(&["run", "--list", "--edition", "2026-06-24"]);
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let has = |id: &str| listed.lines().any(|line| line == id);
    assert!(has("test-infra") && has("failover") && has("aks-add-on-supported"), "{listed}");
    assert!(!has("service-mesh-integration") && !has("aks-add-on"), "{listed}");
    assert!(said(&output).contains("left out: aks-add-on, which is about"), "{}", said(&output));
    let named = meshproof(&["run", "--list", "--edition", "2025-08-25", "test-infra"]);
    assert_eq!(named.status.code(), Some(5), "{}", said(&named));
    for command in [&["run", "--list"][..], &["list"]] {
        let output = meshproof(&[command, &["--edition", "2026-06-25"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains("the nearest is 2026-06-24"), "{}", said(&output));
    }
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
fn an_istio_that_is_too_old_is_refused_by_name_before_anything_is_made() {
    let (cache, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = ["run", "service-mesh-integration", "--results", results.path().to_str().unwrap()];
    for too_old in ["1.23.6", "too-old"] {
        for command in [&["up"][..], &run] {
            let output = Command::new(env!("CARGO_BIN_EXE_meshproof"))
                .args(command)
                .args(["--istio", too_old, "--cluster", "too-old"])
                .env("MESHPROOF_CACHE", cache.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(3), "{}", said(&output));
            let refused = format!("Istio {too_old} is too old: the document promises 1.24 and later");
            assert!(said(&output).contains(&refused), "{}", said(&output));
        }
    }
    assert!(!cache.path().join("entries").exists() && !cache.path().join("clusters").exists());
}

/// A run on the context `c` of a kubeconfig with this text, through no proxy but that of `https_proxy`; with where its results
/// are.
fn run_on(kubeconfig: &str, https_proxy: Option<&str>) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    fs::write(&file, kubeconfig).unwrap();
    (run_with(&file, folder.path(), https_proxy), folder)
}

fn run_with(kubeconfig: &std::path::Path, folder: &std::path::Path, https_proxy: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
    for variable in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(variable);
    }
    if let Some(proxy) = https_proxy {
        command.env("HTTPS_PROXY", proxy);
    }
    let results = folder.join("results");
    command
        .args(["run", "unlabelled", "--context", "c", "--results", results.to_str().unwrap()])
        .env("KUBECONFIG", kubeconfig)
        .env("MESHPROOF_CACHE", folder.join("cache"))
        .output()
        .unwrap()
}

/// A kubeconfig whose context `c` leads to this server.
fn leading_to(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: k, cluster: {{server: '{server}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    )
}

#[test]
fn what_is_wrong_with_a_kubeconfig_is_the_environments_fault_and_said_with_its_place() {
    let no_server = leading_to("s").replace("cluster: {server: 's'}", "cluster: {}");
    let no_user = leading_to("https://127.0.0.1:1").replace("users: [{name: u,", "users: [{name: v,");
    for (text, words) in [
        ("contexts: [\n  - {", "kubeconfig"),
        ("", "has no context c; it has: none"),
        (&leading_to("s").replace("name: c,", "name: d,"), "has no context c; it has: d"),
        (&no_server, "has no server"),
        (&no_user, "user u"),
    ] {
        let (output, folder) = run_on(text, None);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        let file = folder.path().join("kubeconfig");
        assert!(said.contains(words) && said.contains(file.to_str().unwrap()), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (unreadable, words) in [("none", "No such file"), (".", "irectory")] {
        let output = run_with(&folder.path().join(unreadable), folder.path(), None);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_server_that_refuses_is_named_with_the_reason_on_the_terminal_and_in_every_report() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("https://{free}");
    // What is on this host is asked without a proxy, whatever the environment says.
    let (output, folder) = run_on(&leading_to(&server), Some("http://127.0.0.1:9"));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let latest = folder.path().join("results/latest");
    let told = ["junit.xml", "report.json", "report.html"]
        .map(|name| fs::read_to_string(latest.join(name)).unwrap());
    for text in told.iter().chain([&said(&output)]) {
        for word in [&server, "refused", "context c"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("ServiceError") && !text.contains("HTTPS_PROXY"), "{text}");
    }
}

#[test]
fn a_proxy_that_stands_in_the_way_is_named_with_its_variable() {
    // Nobody has this address; it is never dialled but through the proxy, and that refuses.
    let (output, _folder) =
        run_on(&leading_to("https://192.0.2.1:6443"), Some("http://me:secret@127.0.0.1:9"));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in ["HTTPS_PROXY", "NO_PROXY", "127.0.0.1:9", "https://192.0.2.1:6443", "refused"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
}

/// Nothing answers, nothing is installed, and there is an `apt-get` that must not be called.
#[test]
fn the_host_is_not_changed_where_nobody_agreed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (programs, called) = (folder.path().join("bin"), folder.path().join("called"));
    fs::create_dir(&programs).unwrap();
    let apt = programs.join("apt-get");
    fs::write(&apt, format!("#!/bin/sh\n: > '{}'\nexit 1\n", called.display())).unwrap();
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).unwrap();
    for said_before in [None, Some("refuse")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT", "MESHPROOF_HOST_CHANGES"] {
            command.env_remove(variable);
        }
        command.args(["up", "--cluster", "nobody-agreed"]).env("PATH", &programs);
        command.env("MESHPROOF_CACHE", folder.path().join("cache")).stdin(std::process::Stdio::null());
        if let Some(said_before) = said_before {
            command.args(["--host-changes", said_before]);
        }
        let output = command.output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        // Who is not root cannot be asked to agree, and hears what to do.
        assert!(
            said.contains("--host-changes allow") && said.contains("docker.io")
                || said.contains("needs root"),
            "{said}"
        );
        assert!(!called.exists());
    }
}

#[test]
fn the_scenarios_of_this_workspace_are_listed() {
    let output = meshproof(&["list"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("service-mesh-integration"));
}

fn listed() -> serde_json::Value {
    let output = meshproof(&["list", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn requirements_are_listed_for_programs() {
    let listed = listed();
    let requirements = listed["requirements"].as_array().unwrap();
    assert_eq!(requirements.len(), 54);
    for requirement in requirements {
        assert!(
            requirement["id"].is_string()
                && requirement["text"].is_string()
                && requirement["kind"].is_string()
        );
        assert!(requirement["scenarios"].is_array(), "{requirement}");
        assert!(requirement["waived"].is_string() || requirement["waived"].is_null(), "{requirement}");
    }
    let of = |id: &str| requirements.iter().find(|requirement| requirement["id"] == id).unwrap();
    assert!(of("R45")["scenarios"].as_array().unwrap().contains(&"service-mesh-integration".into()));
    assert!(of("R47")["waived"].is_string());
}

/// A folder with scenarios, data of a page, and the page.
fn documented() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "scenarios/one/scenario.yaml",
        "title: one\ndocument: {name: page, edition: 2025-01-02}\nnamespace: quay-one\nsteps:\n- install: implementation\n  \
         cites: L8\n- apply: quay.yaml\n  cites: L11-14\n",
    );
    write("scenarios/one/quay.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: quay-one\n");
    write(
        "page.md",
        "---\ntitle: Page\nms.date: 1/2/2025\n---\n# Page\n\n```bash\nhelm install harbour c --version 1.0.0\n```\n```yaml\n\
         apiVersion: v1\nkind: Namespace\nmetadata:\n  name: quay-one\n```\n",
    );
    folder
}

#[test]
fn a_document_is_compared_with_its_data_and_the_exit_code_tells_drift() {
    let folder = documented();
    let (page, root) = (folder.path().join("page.md"), folder.path().join("scenarios"));
    let doc = |what: &str, more: &[&str]| {
        let mut arguments = vec!["doc", what, page.to_str().unwrap(), "--scenarios", root.to_str().unwrap()];
        arguments.extend(more);
        meshproof(&arguments)
    };
    let without = doc("check", &[]);
    assert_eq!(without.status.code(), Some(2));
    assert!(said(&without).contains("meshproof doc fingerprint"), "{}", said(&without));

    let printed = doc("fingerprint", &[]);
    assert_eq!(printed.status.code(), Some(0), "{}", said(&printed));
    let data = String::from_utf8(printed.stdout).unwrap().replace("says: ''", "says: ours");
    fs::create_dir_all(root.join("documents")).unwrap();
    fs::write(root.join("documents/page.yaml"), data).unwrap();
    let same = doc("check", &[]);
    assert_eq!(same.status.code(), Some(0), "{}{}", said(&same), String::from_utf8_lossy(&same.stdout));

    let later = fs::read_to_string(&page).unwrap().replace("quay-one", "quay-two").replace("1.0.0", "1.1.0");
    fs::write(&page, later).unwrap();
    let drift = doc("check", &["--json"]);
    assert_eq!(drift.status.code(), Some(1), "{}", said(&drift));
    let json: serde_json::Value = serde_json::from_slice(&drift.stdout).unwrap();
    assert_eq!((&json["counts"]["changed"], &json["covered"]), (&2.into(), &false.into()));
    assert_eq!(json["fragments"][0]["changes"][0]["new"], "1.1.0");
    assert_eq!(json["fragments"][1]["steps"][0]["line"], 7);

    fs::write(&page, "# Soup\n\nCarrots are cut into small pieces.\n").unwrap();
    let other = doc("check", &[]);
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("is it the right document?"), "{}", said(&other));
}

#[test]
fn a_page_beside_the_document_is_no_edition_of_it_and_named_after_itself() {
    let folder = documented();
    let root = folder.path().join("scenarios");
    let page = |name: &str| folder.path().join(name).display().to_string();
    let doc = |what: &str, file: &str| meshproof(&["doc", what, file, "--scenarios", root.to_str().unwrap()]);
    let more = "\n```bash\nkubectl get pods -n quay-one\n```\n\nIt must be ready within 5 minutes. Nothing else is supported.\n";
    let own = fs::read_to_string(page("page.md")).unwrap() + more;
    fs::write(page("page.md"), own).unwrap();
    let printed = doc("fingerprint", &page("page.md"));
    let data = String::from_utf8(printed.stdout).unwrap().replace("says: ''", "says: ours");
    fs::create_dir_all(root.join("documents")).unwrap();
    fs::write(root.join("documents/page.yaml"), data).unwrap();
    let sibling = "# How to rewrite\n\nPaths can be rewritten.\n\n```yaml\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: quay-one\n```\n";
    fs::write(page("rewrite.md"), sibling).unwrap();
    let checked = doc("check", &page("rewrite.md"));
    assert_eq!(checked.status.code(), Some(2), "{}", said(&checked));
    assert!(said(&checked).contains("hardly an edition of page: it says 20 % of what"), "{}", said(&checked));
    assert!(checked.stdout.is_empty());
    let printed = doc("fingerprint", &page("rewrite.md"));
    assert_eq!(printed.status.code(), Some(2));
    assert!(said(&printed).contains("hardly an edition of page"), "{}", said(&printed));
    assert!(String::from_utf8_lossy(&printed.stdout).contains("name: rewrite\n"));
}

#[test]
fn a_hostile_page_does_nothing_to_a_terminal() {
    let folder = documented();
    let (page, root) = (folder.path().join("page.md"), folder.path().join("scenarios"));
    let doc = |what: &str, more: &[&str]| {
        let mut arguments = vec!["doc", what, page.to_str().unwrap(), "--scenarios", root.to_str().unwrap()];
        arguments.extend(more);
        meshproof(&arguments)
    };
    let data = String::from_utf8(doc("fingerprint", &[]).stdout).unwrap().replace("says: ''", "says: ours");
    fs::create_dir_all(root.join("documents")).unwrap();
    fs::write(root.join("documents/page.yaml"), data).unwrap();
    let hostile = "\n## \u{1b}]0;owned\u{7}\n\nYou must \u{1b}[2J never \u{202e}turn `a\u{9b}b` \u{fffe}.\n\n```bash\nkubectl get \u{1b}[31mpods -n x\u{2066}\n```\n";
    let text = fs::read_to_string(&page).unwrap() + hostile;
    fs::write(&page, text).unwrap();
    for (what, more) in
        [("check", &[][..]), ("check", &["--all"]), ("check", &["--json"]), ("fingerprint", &[])]
    {
        let output = doc(what, more);
        for (door, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let text = String::from_utf8_lossy(bytes);
            let odd = |c: &char| {
                (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{2066}' | '\u{fffe}')
            };
            let odd: Vec<char> = text.chars().filter(odd).collect();
            assert!(odd.is_empty(), "doc {what} {more:?}, {door}: {odd:?}\n{text}");
        }
        if more == ["--json"] {
            assert!(serde_json::from_slice::<serde_json::Value>(&output.stdout).is_ok());
        }
    }
    let shown = String::from_utf8(doc("check", &[]).stdout).unwrap();
    assert!(shown.contains("\\u{1b}[2J") && shown.contains("\\u{202e}turn"), "{shown}");
}

#[test]
fn a_document_that_cannot_be_read_is_a_usage_error() {
    let folder = documented();
    let root = folder.path().join("scenarios");
    let check = |file: &std::path::Path| {
        meshproof(&["doc", "check", file.to_str().unwrap(), "--scenarios", root.to_str().unwrap()])
    };
    let missing = check(&folder.path().join("nowhere.md"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("nowhere.md cannot be read"), "{}", said(&missing));
    let empty = folder.path().join("empty.md");
    fs::write(&empty, "\r\n").unwrap();
    assert!(said(&check(&empty)).contains("empty.md is empty"), "{}", said(&check(&empty)));
    let binary = folder.path().join("binary.md");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(check(&binary).status.code(), Some(2));
    assert_eq!(check(folder.path()).status.code(), Some(2));
    assert_eq!(meshproof(&["doc", "check"]).status.code(), Some(2));
}
