//! Which commands change nothing: those of a list, with flags of a list. Whatever is not on it is taken for a change: a plugin is
//! called like a command, and one flag is enough to run a program (`helm template --post-renderer`) or to write a file.

use crate::ports::Tool;

/// A command that only reads, and the flags with which it still does.
struct Reads {
    /// Its words.
    verb: &'static [&'static str],
    /// Flags with a value.
    values: &'static [&'static str],
    /// Flags without one.
    switches: &'static [&'static str],
}

/// Flags that the tools take before the words of a command, each with a value. Of any other flag it is not known there whether the
/// next word is its value or the command.
const ANYWHERE: &[&str] = &["n", "namespace"];

const KUBECTL: &[Reads] = &[
    Reads {
        verb: &["api-resources"],
        values: &["api-group", "namespaced", "o", "output", "sort-by"],
        switches: &["no-headers"],
    },
    Reads {
        verb: &["auth", "can-i"],
        values: &["as", "as-group", "subresource"],
        switches: &["A", "all-namespaces", "list", "q", "quiet"],
    },
    Reads {
        verb: &["describe"],
        values: &["l", "selector"],
        switches: &["A", "all-namespaces", "show-events"],
    },
    Reads { verb: &["explain"], values: &["api-version"], switches: &["recursive"] },
    Reads {
        verb: &["get"],
        values: &["L", "field-selector", "l", "label-columns", "o", "output", "selector", "sort-by"],
        switches: &["A", "all-namespaces", "ignore-not-found", "no-headers", "show-kind", "show-labels"],
    },
    Reads {
        verb: &["logs"],
        values: &["c", "container", "l", "selector", "since", "since-time", "tail"],
        switches: &["all-containers", "all-pods", "ignore-errors", "p", "prefix", "previous", "timestamps"],
    },
    Reads {
        verb: &["rollout", "history"],
        values: &["l", "o", "output", "revision", "selector"],
        switches: &[],
    },
    Reads {
        verb: &["rollout", "status"],
        values: &["l", "revision", "selector", "timeout"],
        switches: &["w", "watch"],
    },
    Reads { verb: &["version"], values: &["o", "output"], switches: &["client"] },
    Reads {
        verb: &["wait"],
        values: &["field-selector", "for", "l", "o", "output", "selector", "timeout"],
        switches: &["A", "all", "all-namespaces"],
    },
];

const HELM: &[Reads] = &[
    Reads { verb: &["get", "hooks"], values: &["revision"], switches: &[] },
    Reads { verb: &["get", "manifest"], values: &["revision"], switches: &[] },
    Reads { verb: &["get", "metadata"], values: &["o", "output", "revision"], switches: &[] },
    Reads { verb: &["get", "notes"], values: &["revision"], switches: &[] },
    Reads { verb: &["get", "values"], values: &["o", "output", "revision"], switches: &["a", "all"] },
    Reads { verb: &["history"], values: &["max", "o", "output"], switches: &[] },
    Reads {
        verb: &["lint"],
        values: &["f", "kube-version", "set", "set-json", "set-string", "values"],
        switches: &["quiet", "strict", "with-subcharts"],
    },
    Reads {
        verb: &["list"],
        values: &["f", "filter", "l", "m", "max", "o", "offset", "output", "selector"],
        switches: &[
            "A",
            "a",
            "all",
            "all-namespaces",
            "d",
            "date",
            "deployed",
            "failed",
            "no-headers",
            "pending",
            "q",
            "r",
            "reverse",
            "short",
            "superseded",
            "uninstalled",
            "uninstalling",
        ],
    },
    Reads { verb: &["show", "all"], values: &["version"], switches: &[] },
    Reads { verb: &["show", "chart"], values: &["version"], switches: &[] },
    Reads { verb: &["show", "crds"], values: &["version"], switches: &[] },
    Reads { verb: &["show", "readme"], values: &["version"], switches: &[] },
    Reads { verb: &["show", "values"], values: &["version"], switches: &[] },
    Reads {
        verb: &["status"],
        values: &["o", "output", "revision"],
        switches: &["show-desc", "show-resources"],
    },
    Reads {
        verb: &["template"],
        values: &[
            "a",
            "api-versions",
            "f",
            "kube-version",
            "name-template",
            "s",
            "set",
            "set-json",
            "set-string",
            "show-only",
            "values",
            "version",
        ],
        switches: &[
            "g",
            "generate-name",
            "include-crds",
            "is-upgrade",
            "no-hooks",
            "skip-crds",
            "skip-tests",
        ],
    },
    Reads { verb: &["version"], values: &["template"], switches: &["short"] },
];

/// Flags that lead to another cluster than that of the run, or make the tool somebody else there.
const ELSEWHERE: &[&str] = &[
    "as-uid",
    "certificate-authority",
    "client-certificate",
    "client-key",
    "cluster",
    "context",
    "kube-apiserver",
    "kube-as-group",
    "kube-as-user",
    "kube-ca-file",
    "kube-context",
    "kube-insecure-skip-tls-verify",
    "kube-tls-server-name",
    "kube-token",
    "kubeconfig",
    "password",
    "server",
    "tls-server-name",
    "token",
    "user",
    "username",
];

/// Whether a command changes nothing, whatever comes of it.
pub(super) fn only_reads(tool: Tool, args: &[String]) -> bool {
    let known = match tool {
        Tool::Kubectl => KUBECTL,
        Tool::Helm => HELM,
    };
    known.iter().any(|reads| reads.is(args))
}

/// The flag by which a command would leave the cluster of the run.
pub(super) fn leads_elsewhere(args: &[String]) -> Option<&str> {
    args.iter().map(String::as_str).take_while(|arg| *arg != "--").find(|arg| {
        let name = arg.strip_prefix("--").and_then(|flag| flag.split('=').next());
        // kubectl's short form of --server; helm has a -s of its own, of `template`.
        name.is_some_and(|name| ELSEWHERE.contains(&name))
    })
}

impl Reads {
    fn is(&self, args: &[String]) -> bool {
        let mut args = args.iter().map(String::as_str);
        let mut verb = self.verb.iter();
        while verb.len() > 0 {
            match args.next() {
                Some(flag) if flag.starts_with('-') => {
                    if !flag_fits(flag, ANYWHERE, &[], &mut args) {
                        return false;
                    }
                }
                Some(word) if Some(&word) == verb.next() => {}
                _ => return false,
            }
        }
        let values: Vec<&str> = self.values.iter().chain(ANYWHERE).copied().collect();
        while let Some(arg) = args.next() {
            if arg == "--" {
                return true;
            }
            if arg.len() > 1 && arg.starts_with('-') && !flag_fits(arg, &values, self.switches, &mut args) {
                return false;
            }
            // A chart that is fetched, or a file that is read from anywhere.
            if arg.contains("://") {
                return false;
            }
        }
        true
    }
}

/// Whether a flag is one of these; takes its value if that stands alone.
fn flag_fits<'a>(
    flag: &'a str,
    values: &[&str],
    switches: &[&str],
    args: &mut impl Iterator<Item = &'a str>,
) -> bool {
    if let Some(long) = flag.strip_prefix("--") {
        return match long.split_once('=') {
            Some((name, value)) => {
                let known = name.len() > 1 && (values.contains(&name) || switches.contains(&name));
                known && fits(name, value)
            }
            None if long.len() > 1 && switches.contains(&long) => true,
            None => {
                long.len() > 1 && values.contains(&long) && args.next().is_some_and(|value| fits(long, value))
            }
        };
    }
    // Several in one: `-Ao wide`, `-nshop`.
    let mut letters = flag.get(1..).unwrap_or_default();
    while let Some(letter) = letters.chars().next() {
        let rest = letters.get(letter.len_utf8()..).unwrap_or_default();
        let name = &letters[..letter.len_utf8()];
        if values.contains(&name) {
            let alone = if rest.is_empty() { args.next() } else { Some(rest.trim_start_matches('=')) };
            return alone.is_some_and(|value| fits(name, value));
        }
        if !switches.contains(&name) {
            return false;
        }
        letters = rest;
    }
    true
}

/// Whether a flag's value still only reads: some outputs are made by files of the machine, and charts' values may be fetched.
fn fits(name: &str, value: &str) -> bool {
    let by_file =
        matches!(name, "o" | "output") && value.split('=').next().is_some_and(|how| how.ends_with("-file"));
    !by_file && !value.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn known_commands_with_known_flags_only_read() {
        for line in [
            "get gateway g -n shop",
            "get pods -Ao wide --show-labels",
            "get namespace shared -o jsonpath={.metadata.labels.team}/{.metadata.labels.istio-injection}",
            "-n shop get pods",
            "--namespace=shop logs deployment/a --tail 5 -c app",
            "rollout status deployment/a",
            "rollout -n shop status deployment/a --timeout=5m",
            "auth can-i get secrets --as system:serviceaccount:a:b",
            "wait --for=condition=Ready pod/a",
        ] {
            assert!(only_reads(Tool::Kubectl, &args(line)), "{line}");
        }
        for line in
            ["list --namespace a --short", "template ${charts.c} --set a=b", "get values r -n a", "list -Aa"]
        {
            assert!(only_reads(Tool::Helm, &args(line)), "{line}");
        }
    }

    #[test]
    fn everything_else_is_taken_for_a_change() {
        for line in [
            "delete gateway g",
            "rollout restart deployment/a",
            "rollout",
            "auth reconcile -f a.yaml",
            "apply -f get",
            "exec a -- get",
            "neat get pods",
            "--some-flag get delete pod a",
            "-A get delete pod a",
            "-n get delete pod a",
            "get --raw /api/v1/namespaces/a/services/b/proxy/stop",
            "get pods --kubeconfig other",
            "get pods --context=other",
            "get -f https://example.org/a.yaml",
            "get pods -o jsonpath-file=/etc/passwd",
            "get pods --profile=cpu --profile-output=/tmp/x",
            "get pods --as=admin",
            "logs a -f",
            "wait -f a.yaml",
        ] {
            assert!(!only_reads(Tool::Kubectl, &args(line)), "{line}");
        }
        for line in [
            "template c --post-renderer ./program",
            "template c --post-renderer=./program",
            "template --post-renderer-args x c",
            "template c --output-dir /tmp",
            "template c --validate",
            "template oci://example.org/c",
            "template c -f https://example.org/values.yaml",
            "get all r --template x",
            "plugin list",
            "show chart c --repo https://example.org",
            "list --kube-context other",
            "upgrade a b",
            "describe a",
            "get",
        ] {
            assert!(!only_reads(Tool::Helm, &args(line)), "{line}");
        }
    }

    #[test]
    fn what_leads_to_another_cluster_is_found() {
        assert_eq!(leads_elsewhere(&args("get pods --kubeconfig=x")), Some("--kubeconfig=x"));
        assert_eq!(leads_elsewhere(&args("list --kube-context x")), Some("--kube-context"));
        assert_eq!(leads_elsewhere(&args("exec a -- program --context x")), None);
        assert_eq!(leads_elsewhere(&args("get pods -l context=x")), None);
    }
}
