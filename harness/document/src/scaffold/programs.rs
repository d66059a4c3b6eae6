//! Programs that are no client of the cluster: what only a cloud has, what works on this machine, what merely shows something.

use super::draft::Draft;
use super::entry::{Asked, Kind, Reason, Step};
use super::objects::left_to_reader;
use super::variables::{self, Value};
use crate::page::Place;

/// Clients of clouds.
const CLOUDS: &[&str] =
    &["aws", "az", "azd", "bicep", "eksctl", "gcloud", "kubelogin", "pulumi", "terraform", "tofu"];

/// Programs that read what another prints, and show less of it.
const FILTERS: &[&str] = &[
    "awk", "column", "cut", "grep", "head", "jq", "less", "more", "sed", "sort", "tail", "tee", "tr", "uniq",
    "wc", "xargs", "yq",
];

/// Commands that show something, wait, or tidy up: a claim waits by itself.
const SILENT: &[&str] = &[
    "cat", "cd", "clear", "date", "echo", "ls", "mkdir", "printf", "pwd", "set", "sleep", "true", "unset",
    "wait",
];

/// Programs that work on this machine alone.
const LOCAL: &[&str] = &["base64", "cp", "envsubst", "jq", "mv", "openssl", "rm", "sed", "touch", "yq"];

/// Whether a program asks a cloud. PowerShell's commands are called `Get-AzResource`.
pub(super) fn is_cloud(program: &str) -> bool {
    let verb = program.split_once('-').is_some_and(|(verb, rest)| {
        verb.chars().all(char::is_alphabetic)
            && rest.starts_with("Az")
            && verb.starts_with(char::is_uppercase)
    });
    CLOUDS.contains(&program) || verb
}

/// Whether it only shows less of what another prints.
pub(super) fn is_filter(program: &str) -> bool {
    FILTERS.contains(&program)
}

/// Whether it does nothing that a run would miss.
pub(super) fn is_silent(program: &str) -> bool {
    SILENT.contains(&program)
}

/// Whether it works on this machine alone, in a shell.
pub(super) fn is_local(program: &str) -> bool {
    LOCAL.contains(&program)
}

/// A reason for what only a cloud has.
pub(super) fn needs_cloud(program: &str) -> Reason {
    let why = format!("`{program}` asks a cloud, and a cluster of meshproof's own has none");
    Reason::new(Kind::Cloud, why, "write what stands for it here, or leave it out if nothing later needs it")
}

/// A reason for what is fetched from a registry.
pub(super) fn needs_registry() -> Reason {
    let why = "a chart that has to be fetched from a registry";
    let next = "if it installs the gateway under test, `given: implementation` already stands for it; else put the chart's path here";
    Reason::new(Kind::Fetch, why, next)
}

/// A reason for what nobody here understands.
pub(super) fn no_word(program: &str) -> Reason {
    let why = format!("the vocabulary has no word for `{program}`");
    Reason::new(Kind::Unknown, why, "write a step for it, or leave it out if nothing later needs it")
}

impl Draft {
    /// helm, as it is written.
    pub(super) fn helm(&mut self, place: &Place, what: &str, words: &[String], reason: Option<Reason>) {
        let arguments = crate::command::Arguments::of("helm", words.iter().skip(1).map(String::as_str));
        let mut positional = arguments.positional.iter().map(String::as_str);
        let verb = positional.next().unwrap_or_default();
        let chart = match verb {
            "install" | "upgrade" | "template" => positional.nth(1),
            "pull" | "show" => positional.next_back(),
            _ => None,
        };
        let fetches = matches!(verb, "repo" | "registry" | "pull" | "push" | "search" | "dependency")
            || words.iter().any(|word| word.contains("://"))
            || chart.is_some_and(|chart| chart.contains('/') && !chart.starts_with(['.', '/']));
        let step = Step::new("helm", super::kubectl::literal(words));
        let file = chart.filter(|chart| chart.starts_with(['.', '/'])).map(str::to_owned);
        let file = file.or_else(|| arguments.facts.get("values").cloned());
        let missing = file.map(|file| {
            let why = format!("{file} is not on the page");
            Reason::new(Kind::Fetch, why, "put its path here, and take the comment signs off")
        });
        match fetches.then(needs_registry).or(reason).or(missing) {
            Some(reason) => self.would_run(place, what, step, reason),
            None => self.run(place, what, step, Asked::Text),
        }
    }

    /// A line that works on this machine, as it is: one file of commands for all that stand next to each other.
    pub(super) fn script(&mut self, place: &Place, what: &str, line: &str) {
        let mut before = String::new();
        let mut unknown = Vec::new();
        for name in variables::used(line) {
            match self.variables.get(name) {
                Some(Value::Text(text)) => before.push_str(&format!("{name}='{}'\n", text.replace('\'', "'\\''"))),
                Some(Value::Address { gateway, namespace }) => before.push_str(&format!(
                    "{name}=$(kubectl get gateway {gateway} -n {namespace} -o jsonpath='{{.status.addresses[0].value}}')\n"
                )),
                Some(Value::Unknown { .. }) => unknown.push(format!("${name}")),
                None => {}
            }
        }
        let reason = self.unknown(&unknown).or_else(|| left_to_reader(line));
        let before_it = self.script_before(place).filter(|_| reason.is_none() && self.aside.is_none());
        if let Some(entry) = before_it.and_then(|at| self.entries.get_mut(at))
            && let Some(file) = entry.step.as_ref().and_then(|step| step.files.first())
            && let Some(text) = self.files.get_mut(file)
        {
            let new: Vec<&str> = before.lines().filter(|set| !text.contains(*set)).collect();
            new.into_iter().chain([line]).for_each(|line| text.push_str(&format!("{line}\n")));
            entry.cite((place.line, place.end));
            return;
        }
        let name = what.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let file = self.keep(&name, "sh", &format!("set -e\n{before}{line}\n"));
        let step = Step::of_file("shell", &file);
        match reason {
            Some(reason) => self.would_run(place, what, step, reason),
            None => self.run(place, what, step, Asked::Text),
        }
    }

    /// The entry of the commands that stand right before this place and run on this machine.
    pub(super) fn script_before(&self, place: &Place) -> Option<usize> {
        let last = self.entries.last()?;
        let is_script = last.off.is_none() && last.step.as_ref().is_some_and(|step| step.word == "shell");
        (is_script && last.section == place.section.join(": ")).then(|| self.entries.len() - 1)
    }
}
