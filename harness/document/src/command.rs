//! Commands: a skeleton that stays the same from edition to edition, and values parsed out of it.

use super::facts::Facts;

/// Programs whose commands are recognised in running text.
const PROGRAMS: &[&str] = &[
    "az",
    "curl",
    "dig",
    "docker",
    "helm",
    "istioctl",
    "kubectl",
    "kustomize",
    "nslookup",
    "openssl",
    "wget",
];

/// Options that take no value.
const SWITCHES: &[&str] = &[
    "A",
    "all",
    "all-namespaces",
    "atomic",
    "create-namespace",
    "debug",
    "devel",
    "dry-run",
    "fail",
    "force",
    "head",
    "i",
    "I",
    "ignore-not-found",
    "include",
    "insecure",
    "install",
    "it",
    "k",
    "L",
    "location",
    "no-headers",
    "q",
    "recursive",
    "s",
    "S",
    "server-side",
    "show-labels",
    "silent",
    "t",
    "v",
    "verbose",
    "w",
    "wait",
    "watch",
    "y",
    "yes",
];

/// A command, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// Program and verb, and for kubectl the kind of object: `kubectl get gateway`.
    pub skeleton: String,
    /// Everything else.
    pub facts: Facts,
}

/// Whether a text begins as a command does: a known program and something for it to do.
pub(super) fn is_command(text: &str) -> bool {
    let mut words = text.split_whitespace();
    words.next().is_some_and(|first| PROGRAMS.contains(&first)) && words.next().is_some()
}

/// Whether a text can be the name of a variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Takes a command apart.
pub(super) fn parse(words: &[String]) -> Command {
    let mut words = words.iter().map(String::as_str);
    let program = words.next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program).trim_end_matches(".exe");
    let arguments = Arguments::of(program, words);
    match program {
        "kubectl" | "k" | "oc" => kubectl(arguments),
        "helm" => helm(arguments),
        "curl" | "wget" => {
            let mut facts = arguments.facts;
            list(&mut facts, "url", &arguments.positional);
            Command { skeleton: program.to_owned(), facts }
        }
        _ => other(program, arguments),
    }
}

/// The words behind a program: options as facts, the rest in order.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Words that are no options.
    pub(super) positional: Vec<String>,
    /// Options by their long names.
    pub(super) facts: Facts,
}

impl Arguments {
    /// Takes them apart.
    pub(super) fn of<'a>(program: &str, words: impl Iterator<Item = &'a str>) -> Self {
        let mut arguments = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                arguments
                    .facts
                    .insert("runs".into(), words.by_ref().map(value).collect::<Vec<_>>().join(" "));
                break;
            }
            let Some(option) =
                word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|o| !o.is_empty())
            else {
                arguments.positional.push(value(word));
                continue;
            };
            let (name, given) = match option.split_once('=') {
                Some((name, given)) => (name, Some(given)),
                None => (option, None),
            };
            let is_value = |next: &&str| *next == "-" || !next.starts_with('-');
            let takes = !SWITCHES.contains(&name) && words.peek().is_some_and(is_value);
            let given = given.or_else(|| if takes { words.next() } else { None });
            arguments.option(long(program, name), given.map_or_else(|| "yes".to_owned(), value));
        }
        arguments
    }

    fn option(&mut self, name: &str, value: String) {
        // `--set a=b` is about `a`.
        let (key, value) = match value.split_once('=') {
            Some((key, inner)) if name.starts_with("set") => (format!("set {key}"), inner.to_owned()),
            _ => (name.to_owned(), value),
        };
        append(&mut self.facts, &key, value);
    }

    /// Takes the next word that is no option.
    fn next(&mut self) -> Option<String> {
        (!self.positional.is_empty()).then(|| self.positional.remove(0))
    }
}

/// The long name of an option.
fn long<'a>(program: &str, name: &'a str) -> &'a str {
    match (program, name) {
        ("az", "n") => "name",
        ("az", "g") => "resource-group",
        ("kubectl" | "helm" | "oc" | "k", "n") => "namespace",
        ("helm", "f") => "values",
        ("kubectl" | "oc" | "k", "f" | "filename") => "file",
        ("kubectl" | "oc" | "k", "l") => "selector",
        ("kubectl" | "oc" | "k", "A") => "all-namespaces",
        ("curl", "H") => "header",
        ("curl", "X") => "request",
        ("curl", "k") => "insecure",
        (_, "o") => "output",
        _ => name,
    }
}

/// A word as a value: a placeholder loses the words in it.
pub(super) fn value(word: &str) -> String {
    match (word.find('<'), word.rfind('>')) {
        (Some(open), Some(close)) if open < close => {
            let before = word.get(..open).unwrap_or_default();
            format!("{before}<placeholder>{}", word.get(close + 1..).unwrap_or_default())
        }
        _ => word.to_owned(),
    }
}

fn append(facts: &mut Facts, key: &str, value: String) {
    let all = facts.entry(key.to_owned()).or_default();
    if !all.is_empty() {
        all.push_str(", ");
    }
    all.push_str(&value);
}

fn list(facts: &mut Facts, key: &str, values: &[String]) {
    values.iter().for_each(|value| append(facts, key, value.clone()));
}

fn kubectl(mut arguments: Arguments) -> Command {
    let verb = arguments.next().unwrap_or_default();
    let mut skeleton = format!("kubectl {verb}");
    if matches!(verb.as_str(), "rollout" | "config" | "set" | "auth" | "top" | "certificate")
        && let Some(second) = arguments.next()
    {
        skeleton.push_str(&format!(" {second}"));
    }
    let takes_names_only =
        matches!(verb.as_str(), "logs" | "exec" | "attach" | "cp" | "port-forward" | "config");
    if let Some(subject) = arguments.positional.first().cloned() {
        let (kind, name) = match subject.split_once('/') {
            Some((kind, name)) => (Some(kind), Some(name)),
            None if takes_names_only => (None, Some(subject.as_str())),
            None => (Some(subject.as_str()), None),
        };
        arguments.positional.remove(0);
        if let Some(kind) = kind {
            skeleton.push_str(&format!(" {}", singular(kind)));
        }
        list(&mut arguments.facts, "name", &name.map(str::to_owned).into_iter().collect::<Vec<_>>());
    }
    for word in std::mem::take(&mut arguments.positional) {
        match word.split_once('=') {
            Some((key, value)) => append(&mut arguments.facts, key, value.to_owned()),
            None => append(&mut arguments.facts, "name", word),
        }
    }
    Command { skeleton, facts: arguments.facts }
}

/// A kind in one spelling, whatever kubectl accepts.
fn singular(kind: &str) -> String {
    let kind = kind.split('.').next().unwrap_or_default().to_lowercase();
    let kind = match kind.as_str() {
        "po" => "pod",
        "svc" => "service",
        "ns" => "namespace",
        "deploy" => "deployment",
        "ing" => "ingress",
        "cm" => "configmap",
        "sa" => "serviceaccount",
        "gtw" => "gateway",
        other => other,
    };
    if let Some(stem) = kind.strip_suffix("ies") {
        return format!("{stem}y");
    }
    if let Some(stem) = kind.strip_suffix("es").filter(|stem| stem.ends_with("ss")) {
        return stem.to_owned();
    }
    kind.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(kind).to_owned()
}

fn helm(mut arguments: Arguments) -> Command {
    let verb = arguments.next().unwrap_or_default();
    let mut skeleton = format!("helm {verb}");
    match verb.as_str() {
        "install" | "upgrade" | "template" | "uninstall" | "rollback" => {
            if verb == "upgrade" && arguments.facts.remove("install").is_some() {
                // Installs as well, so it stands for the same step.
                skeleton = "helm install".to_owned();
                append(&mut arguments.facts, "upgrade", "yes".into());
            }
            for key in ["release", "chart"] {
                if let Some(word) = arguments.next() {
                    append(&mut arguments.facts, key, word);
                }
            }
        }
        "repo" | "registry" | "show" | "dependency" | "get" => {
            if let Some(second) = arguments.next() {
                skeleton.push_str(&format!(" {second}"));
            }
        }
        _ => {}
    }
    let rest = std::mem::take(&mut arguments.positional);
    list(&mut arguments.facts, "argument", &rest);
    Command { skeleton, facts: arguments.facts }
}

/// Any other program: plain words in front are its verb.
fn other(program: &str, mut arguments: Arguments) -> Command {
    let mut skeleton = program.to_owned();
    let verbs = if PROGRAMS.contains(&program) { 4 } else { 0 };
    let is_verb = |word: &String| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    while arguments.positional.first().is_some_and(is_verb) && skeleton.matches(' ').count() < verbs {
        skeleton.push_str(&format!(" {}", arguments.next().unwrap_or_default()));
    }
    let rest = std::mem::take(&mut arguments.positional);
    list(&mut arguments.facts, "argument", &rest);
    Command { skeleton, facts: arguments.facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let Command { skeleton, facts } = parse(&words);
        let facts: Vec<_> = facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{skeleton}: {}", facts.join(" "))
    }

    #[test]
    fn kubectl_commands_are_alike_however_they_are_spelt() {
        assert_eq!(shown("kubectl get po -n a"), "kubectl get pod: namespace=a");
        assert_eq!(shown("kubectl --namespace=a get pods"), "kubectl get pod: namespace=a");
        assert_eq!(
            shown("kubectl delete PeerAuthentication x -n b"),
            "kubectl delete peerauthentication: name=x namespace=b"
        );
        assert_eq!(
            shown("kubectl rollout restart deployment/d"),
            "kubectl rollout restart deployment: name=d"
        );
        assert_eq!(
            shown("kubectl label ns a istio-injection=enabled"),
            "kubectl label namespace: istio-injection=enabled name=a"
        );
        assert_eq!(shown("kubectl logs p -c istio-proxy"), "kubectl logs: c=istio-proxy name=p");
        assert_eq!(shown("kubectl exec p -- curl -s x"), "kubectl exec: name=p runs=curl -s x");
    }

    #[test]
    fn helm_commands_name_release_chart_and_version() {
        let expected = "helm install: chart=oci://x namespace=$N release=r version=1.8.8";
        assert_eq!(shown("helm install r oci://x --namespace $N --version 1.8.8"), expected);
        assert_eq!(
            shown("helm upgrade --install r c --set a.b=c"),
            "helm install: chart=c release=r set a.b=c upgrade=yes"
        );
        assert_eq!(shown("helm repo add n u"), "helm repo add: argument=n, u");
    }

    #[test]
    fn other_commands_have_verbs_and_options() {
        assert_eq!(
            shown("az network alb show -g $G --name <your-name> -o tsv"),
            "az network alb show: name=<placeholder> output=tsv resource-group=$G"
        );
        assert_eq!(shown("curl -k https://$f/x"), "curl: insecure=yes url=https://$f/x");
        assert_eq!(shown("echo a b"), "echo: argument=a, b");
    }

    #[test]
    fn odd_commands_are_commands_too() {
        for line in
            ["", "kubectl", "helm", "kubectl -n", "az --", "kubectl get /", "curl -", "kubectl rollout"]
        {
            let _ = shown(line);
        }
    }
}
