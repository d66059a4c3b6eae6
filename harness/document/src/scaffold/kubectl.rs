//! kubectl's commands, in the vocabulary's words where one fits and as they are written where none does.

use super::draft::Draft;
use super::entry::{Asked, Kind, Reason, Step};
use super::printed::kind_word;
use super::said::Said;
use super::variables::Value;
use crate::command::Arguments;
use crate::page::Place;

/// The words behind a program: one text where that is split as it was, a list otherwise.
pub(super) fn literal(words: &[String]) -> Said {
    let words = words.get(1..).unwrap_or_default();
    let whole = |word: &String| !word.is_empty() && !word.contains(char::is_whitespace);
    match words.iter().all(whole) {
        true => Said::text(words.join(" ")),
        false => Said::List(words.iter().map(Said::text).collect()),
    }
}

/// A command as it was read.
struct Command<'a> {
    place: &'a Place,
    what: &'a str,
    words: &'a [String],
    arguments: Arguments,
    /// Why it cannot run, if it cannot.
    reason: Option<Reason>,
}

impl Command<'_> {
    fn option(&self, name: &str) -> Option<&String> {
        self.arguments.facts.get(name)
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.option(name).is_some())
    }

    fn word(&self, at: usize) -> &str {
        self.arguments.positional.get(at).map(String::as_str).unwrap_or_default()
    }

    /// Objects of a command such as `delete KIND NAME…` or `delete KIND/NAME…`, from this word on.
    fn objects(&self, from: usize) -> Option<Vec<(&'static str, String)>> {
        let words = self.arguments.positional.get(from..)?;
        if words.iter().any(|word| word.contains('/')) {
            let pair = |word: &String| {
                word.split_once('/').and_then(|(kind, name)| Some((kind_word(kind)?, name.to_owned())))
            };
            return words.iter().map(pair).collect();
        }
        let (kind, names) = words.split_first()?;
        let kind = kind_word(kind)?;
        (!names.is_empty()).then(|| names.iter().map(|name| (kind, name.clone())).collect())
    }
}

impl Draft {
    /// Reads one command of kubectl.
    pub(super) fn kubectl(
        &mut self,
        place: &Place,
        what: &str,
        words: &[String],
        input: Option<&(usize, String, bool)>,
        reason: Option<Reason>,
    ) {
        let arguments = Arguments::of("kubectl", words.iter().skip(1).map(String::as_str));
        let command = Command { place, what, words, arguments, reason };
        match command.word(0) {
            "apply" | "create" | "replace" if command.has(&["file"]) => self.apply_files(&command, input),
            "delete" if command.has(&["file"]) => self.delete_files(&command, input),
            "create" if matches!(command.word(1), "namespace" | "ns") && command.reason.is_none() => {
                self.make_namespace(place, what, command.word(2));
            }
            "delete" => self.delete(command),
            "get" => self.get(command),
            "rollout" if command.word(1) == "restart" => self.restart(command),
            "scale" => self.scale(command),
            "config" => self.config(&command),
            "port-forward" | "proxy" | "edit" | "attach" | "debug" => self.leave(place, what, endless()),
            "logs" if command.has(&["f", "follow", "file"]) => self.leave(place, what, endless()),
            "exec" | "run" if command.has(&["it", "ti", "i", "t", "stdin", "tty"]) => {
                let why = "it waits for somebody at a terminal";
                self.leave(
                    place,
                    what,
                    Reason::new(Kind::Unknown, why, "write what it should show as a step, without -it"),
                );
            }
            _ => self.as_written(command, Asked::Text),
        }
    }

    fn finish(&mut self, command: &Command<'_>, step: Step, asked: Asked) {
        match command.reason.clone() {
            Some(reason) => self.would_run(command.place, command.what, step, reason),
            None => self.run(command.place, command.what, step, asked),
        }
    }

    /// As it is, unless it needs a file that is not there.
    fn as_written(&mut self, mut command: Command<'_>, asked: Asked) {
        if let Some(namespace) = command.option("namespace").cloned() {
            self.namespace(Some(&namespace));
        }
        let file = ["from-file", "from-env-file", "cert", "key", "file", "kustomize", "k", "patch-file"];
        let file = file.iter().find_map(|option| command.option(option)).cloned();
        if let Some(file) = file {
            let why = format!("it reads {file}, which is not on the page");
            let next =
                "lay the file beside the scenario, and write the object that comes of it as a manifest";
            command.reason = command.reason.or_else(|| Some(Reason::new(Kind::Fetch, why, next)));
        }
        let step = self.literally(&command);
        self.finish(&command, step, asked);
    }

    /// A command as it is, in the namespace that the page has chosen before it.
    fn literally(&self, command: &Command<'_>) -> Step {
        let mut words = command.words.to_vec();
        let own = command.has(&["namespace", "all-namespaces"]);
        if let (Some(current), false, false) = (&self.current, own, words.is_empty()) {
            words.splice(1..1, ["-n".to_owned(), current.clone()]);
        }
        Step::new("kubectl", literal(&words))
    }

    fn apply_files(&mut self, command: &Command<'_>, input: Option<&(usize, String, bool)>) {
        let files = command.option("file").cloned().unwrap_or_default();
        for file in files.split(", ") {
            if let ("-", Some((line, text, literal))) = (file, input) {
                self.apply(command.place, command.what, text, *line, *literal);
                continue;
            }
            self.apply_file(command, file);
        }
    }

    fn apply_file(&mut self, command: &Command<'_>, file: &str) {
        let Some(known) = self.known_file(file) else {
            return self.leave(command.place, command.what, not_here(file));
        };
        // A manifest shown in a block of its own, which this command applies.
        if let Some(entry) = self.shown.take().and_then(|at| self.entries.get_mut(at))
            && entry.step.as_ref().is_some_and(|step| step.files == [known.clone()])
        {
            entry.cite((command.place.line, command.place.end));
            return;
        }
        self.finish(command, Step::of_file("apply", &known), Asked::Nothing);
    }

    /// The file beside the scenario that a command means: one of this name, or the manifest that was shown last.
    fn known_file(&mut self, file: &str) -> Option<String> {
        if file == "-" || file.contains("://") {
            return None;
        }
        let name = file.rsplit('/').next().unwrap_or(file);
        let name = name.strip_suffix(".yml").map_or_else(|| name.to_owned(), |stem| format!("{stem}.yaml"));
        if self.files.contains_key(&name) {
            return Some(name);
        }
        let step = self.entries.get_mut(self.shown?)?.step.as_mut()?;
        let old = step.files.first()?.clone();
        let is_name =
            name.ends_with(".yaml") && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !is_name || name.starts_with('.') {
            return Some(old);
        }
        // From now on it is called as the page calls it.
        let text = self.files.remove(&old)?;
        self.files.insert(name.clone(), text);
        self.objects
            .iter_mut()
            .filter(|object| object.file == old)
            .for_each(|object| object.file.clone_from(&name));
        for assumed in &mut self.assumed {
            assumed.reason.next = assumed.reason.next.replace(&old, &name);
        }
        *step = Step::of_file(step.word, &name);
        Some(name)
    }

    fn delete_files(&mut self, command: &Command<'_>, input: Option<&(usize, String, bool)>) {
        let files = command.option("file").cloned().unwrap_or_default();
        for file in files.split(", ") {
            let known = match (file, input) {
                ("-", Some((_, text, _))) => {
                    let text = super::objects::dedent(&self.variables.expand(text).0);
                    Some(self.keep("deleted", "yaml", &text))
                }
                _ => self.known_file(file),
            };
            match known {
                Some(known) => self.finish(command, Step::of_file("delete", &known), Asked::Nothing),
                None => self.leave(command.place, command.what, not_here(file)),
            }
        }
    }

    fn delete(&mut self, command: Command<'_>) {
        let tolerant = command.has(&["ignore-not-found", "all", "selector", "all-namespaces"]);
        let Some(objects) = command.objects(1).filter(|_| !tolerant) else {
            return self.as_written(command, Asked::Nothing);
        };
        let namespace = self.namespace(command.option("namespace"));
        for (kind, name) in objects {
            let step = Step::new("delete", Said::text(format!("{kind}/{name}")));
            let step = if is_namespaced(kind) { step.within(&namespace) } else { step };
            self.finish(&command, step, Asked::Nothing);
        }
    }

    fn get(&mut self, command: Command<'_>) {
        if command.has(&["w", "watch", "watch-only"]) {
            let why = "it watches, and does not end";
            let next = "a claim waits by itself: write what is to be seen (`status`, `pods`)";
            return self.leave(command.place, command.what, Reason::new(Kind::Unknown, why, next));
        }
        let namespace = self.namespace(command.option("namespace"));
        let output = command.option("output").cloned().unwrap_or_default();
        let everywhere = command.has(&["all-namespaces"]);
        let one = command.objects(1).filter(|objects| objects.len() == 1 && !everywhere);
        let one = one.and_then(|objects| objects.into_iter().next());
        if let (Some((kind, name)), Some(path)) = (&one, json_path(&output)) {
            let step =
                field(&format!("{kind}/{name}"), path, &command.arguments_name(path)).within(&namespace);
            return self.finish(&command, step, Asked::Field { address: is_address(path) });
        }
        let pods = kind_word(command.word(1)) == Some("pod") && command.arguments.positional.len() == 2;
        // What is printed makes a claim of it; until then it is a command like any other.
        let asked = match (one, output.as_str()) {
            (Some((kind, name)), "yaml" | "json") => Asked::Object { kind: kind.to_owned(), name, namespace },
            (None, "" | "wide") if pods && !everywhere && !command.has(&["selector"]) => {
                Asked::Pods { namespace }
            }
            _ => Asked::Text,
        };
        let step = self.literally(&command);
        self.finish(&command, step, asked);
    }

    fn restart(&mut self, command: Command<'_>) {
        let namespace = self.namespace(command.option("namespace"));
        let all = kind_word(command.word(2)) == Some("deployment") && command.arguments.positional.len() == 3;
        if all && !command.has(&["selector"]) {
            return self.finish(
                &command,
                Step::new("restart", Said::text("deployments")).within(namespace),
                Asked::Nothing,
            );
        }
        let deployments =
            command.objects(2).filter(|objects| objects.iter().all(|(kind, _)| *kind == "deployment"));
        let Some(deployments) = deployments else { return self.as_written(command, Asked::Nothing) };
        for (kind, name) in deployments {
            let step = Step::new("restart", Said::text(format!("{kind}/{name}"))).within(&namespace);
            self.finish(&command, step, Asked::Nothing);
        }
    }

    fn scale(&mut self, command: Command<'_>) {
        let replicas = command.option("replicas").and_then(|replicas| replicas.parse().ok());
        let deployments =
            command.objects(1).filter(|objects| objects.iter().all(|(kind, _)| *kind == "deployment"));
        let (Some(replicas), Some(deployments)) = (replicas, deployments) else {
            return self.as_written(command, Asked::Nothing);
        };
        let namespace = self.namespace(command.option("namespace"));
        for (kind, name) in deployments {
            let step = Step::new("scale", Said::text(format!("{kind}/{name}"))).within(&namespace);
            self.finish(&command, step.with("to", Said::Number(replicas)), Asked::Nothing);
        }
    }

    fn config(&mut self, command: &Command<'_>) {
        let namespace = command.option("namespace").filter(|_| command.reason.is_none()).cloned();
        if let Some(namespace) = namespace.filter(|_| command.word(1) == "set-context") {
            self.current = Some(self.namespace(Some(&namespace)));
            return;
        }
        let why = "it chooses a cluster, and a run has its own";
        self.leave(command.place, command.what, Reason::new(Kind::Unknown, why, "leave it out"));
    }

    /// What a variable gets that holds what kubectl prints; with the step that shows it.
    pub(super) fn kubectl_value(
        &mut self,
        place: &Place,
        what: &str,
        words: &[String],
        variable: &str,
        reason: Option<Reason>,
    ) {
        let arguments = Arguments::of("kubectl", words.iter().skip(1).map(String::as_str));
        let command = Command { place, what, words, arguments, reason };
        let output = command.option("output").cloned().unwrap_or_default();
        let one = command.objects(1).filter(|objects| objects.len() == 1 && command.word(0) == "get");
        let one = one.and_then(|objects| objects.into_iter().next());
        let unknown = Value::Unknown { why: format!("`{what}` prints it on a cluster only"), cloud: false };
        let (Some((kind, name)), Some(path)) = (one, json_path(&output)) else {
            self.variables.set(variable, unknown);
            return self.as_written(command, Asked::Text);
        };
        let namespace = self.namespace(command.option("namespace"));
        let value = match kind == "gateway" && is_address(path) && command.reason.is_none() {
            true => Value::Address { gateway: name.clone(), namespace: namespace.clone() },
            false => unknown,
        };
        self.variables.set(variable, value);
        let step = field(&format!("{kind}/{name}"), path, variable);
        let step = if is_namespaced(kind) { step.within(namespace) } else { step };
        self.finish(&command, step, Asked::Field { address: is_address(path) });
    }
}

impl Command<'_> {
    /// What a field is called that no variable names: after itself, and the object it is of.
    fn arguments_name(&self, path: &str) -> String {
        format!("{path} of {}", self.arguments.positional.get(1..).unwrap_or_default().join(" "))
    }
}

/// A claim that a field of an object has a value.
fn field(object: &str, path: &str, named: &str) -> Step {
    Step::new("value", Said::text(object))
        .with("field", Said::text(path))
        .with("becomes", Said::Map(vec![("named", Said::text(named))]))
        .with("within", Said::text("programmed"))
}

/// The path of `jsonpath={.a.b[0]}`, if it is one to a single field.
fn json_path(output: &str) -> Option<&str> {
    let path = output.strip_prefix("jsonpath=")?.trim_matches(['\'', '"']);
    let path = path.strip_prefix('{')?.strip_suffix('}')?.strip_prefix('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
    let positions = path
        .split('[')
        .skip(1)
        .all(|part| part.split(']').next().is_some_and(|n| n.parse::<usize>().is_ok()));
    (!path.is_empty() && path.chars().all(plain) && positions && !path.contains("..")).then_some(path)
}

fn is_address(path: &str) -> bool {
    path.starts_with("status.addresses[0].value") || path.starts_with("status.loadBalancer.ingress")
}

fn is_namespaced(word: &str) -> bool {
    meshproof_model::scenario::kinds::Kind::by_word(word).is_none_or(|kind| kind.namespaced)
}

fn endless() -> Reason {
    let why = "it goes on until somebody ends it";
    Reason::new(
        Kind::Unknown,
        why,
        "a request or a claim about an object shows the same: write that as a step",
    )
}

fn not_here(file: &str) -> Reason {
    match file {
        "-" => Reason::new(
            Kind::Unknown,
            "it applies what another command prints",
            "write the objects as a manifest, and apply that",
        ),
        url if url.contains("://") => Reason::new(
            Kind::Fetch,
            format!("{url} has to be fetched, and may be something else tomorrow"),
            "save it beside the scenario, look through it, and write `- apply: ` with its name",
        ),
        file => Reason::new(
            Kind::Reader,
            format!("{file} is not on the page"),
            "lay it beside the scenario, and write `- apply: ` with its name",
        ),
    }
}
