//! Manifests of a page: each becomes a file and a step that applies it.

use meshproof_model::yaml::{self, Tree};

use super::draft::{DEFAULT, Draft, slug};
use super::entry::{Asked, Kind, Reason, Step};
use crate::page::Place;

/// An object of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Its kind, as manifests spell it.
    pub(super) kind: String,
    /// Its name.
    pub(super) name: String,
    /// The namespace that it names.
    pub(super) namespace: Option<String>,
    /// Where kubectl puts it if it names no namespace: where its user stands just then.
    pub(super) stands: String,
    /// Its file.
    pub(super) file: String,
    /// Its first line in the page.
    pub(super) line: usize,
}

impl Object {
    /// As people call it.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// What a block of YAML holds.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) objects: Vec<Object>,
    /// Images that its pods are made of.
    images: Vec<String>,
    /// The status of an object that is printed.
    pub(super) status: Option<Tree>,
    /// Kind and name of the object whose status it is, where that stands with it.
    pub(super) printed: Option<(String, String)>,
    /// Why it is no YAML.
    problem: Option<String>,
}

/// Reads a block; lines are the page's.
pub(super) fn read(text: &str, line: usize) -> Read {
    let mut read =
        Read { objects: Vec::new(), images: Vec::new(), status: None, printed: None, problem: None };
    let trees = match yaml::documents::<Tree>(text) {
        Ok(trees) => trees,
        Err(error) => {
            let message = error.message.split(" at line ").next().unwrap_or(&error.message);
            read.problem = Some(match error.line {
                Some(at) => format!("no YAML in line {}: {message}", line + at - 1),
                None => format!("no YAML: {message}"),
            });
            return read;
        }
    };
    let starts = starts(text);
    for (at, tree) in trees.iter().enumerate() {
        let name = |outer: &str, key: &str| tree.get(outer)?.get(key)?.as_str().map(str::to_owned);
        let kind = tree.get("kind").and_then(Tree::as_str).map(str::to_owned);
        let object = kind.zip(name("metadata", "name"));
        if let Some(status) = tree.get("status").filter(|status| status.is_mapping()) {
            read.status = read.status.or_else(|| Some(status.clone()));
            read.printed = read.printed.or(object);
            continue;
        }
        images(tree, &mut read.images);
        let line = line + starts.get(at).copied().unwrap_or_default();
        let namespace = name("metadata", "namespace");
        read.objects.extend(object.map(|(kind, name)| Object {
            kind,
            name,
            namespace,
            line,
            stands: String::new(),
            file: String::new(),
        }));
    }
    read
}

/// The first line of each document that holds anything, from 0.
fn starts(text: &str) -> Vec<usize> {
    let (mut all, mut fresh) = (Vec::new(), true);
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed == "---" {
            fresh = true;
        } else if fresh && !trimmed.is_empty() && !trimmed.starts_with('#') {
            all.push(at);
            fresh = false;
        }
    }
    all
}

fn images(tree: &Tree, found: &mut Vec<String>) {
    match tree {
        Tree::Mapping(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    (Some("image"), Some(image)) => found.push(image.to_owned()),
                    _ => images(value, found),
                }
            }
        }
        Tree::Sequence(list) => list.iter().for_each(|one| images(one, found)),
        _ => {}
    }
}

/// Takes off the blanks that all lines begin with.
pub(super) fn dedent(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let common = lines().map(|line| line.len() - line.trim_start_matches(' ').len()).min().unwrap_or(0);
    text.lines().map(|line| format!("{}\n", line.get(common..).unwrap_or_default())).collect()
}

impl Draft {
    /// Applies a manifest that stands at `place`; `line` is the first of its own. The entry it became.
    pub(super) fn apply(
        &mut self,
        place: &Place,
        what: &str,
        text: &str,
        line: usize,
        literal: bool,
    ) -> usize {
        let (text, left) = match literal {
            true => (text.to_owned(), Vec::new()),
            false => self.variables.expand(text),
        };
        let text = dedent(&text);
        let read = read(&text, line);
        let what = match read.objects.as_slice() {
            [] => what.to_owned(),
            objects => objects.iter().map(Object::what).collect::<Vec<_>>().join(", "),
        };
        let file = self.keep(&name(&read.objects), "yaml", &text);
        let step = Step::of_file("apply", &file);
        match self.missing(&text, &left, &read) {
            Some(reason) => self.would_run(place, &what, step, reason),
            None => self.run(place, &what, step, Asked::Nothing),
        }
        let lines = (place.line, place.end);
        for image in read.images.iter().filter(|image| !image.contains("${")) {
            let why = "an image that a node has to pull";
            let next = format!(
                "where no registry answers, put `${{images.echo}}` in {file}: the backend that meshproof brings"
            );
            self.assume(lines, image, why, &next);
        }
        if self.aside.is_none() {
            let stands = self.current.clone().unwrap_or_else(|| DEFAULT.to_owned());
            self.objects.extend(read.objects.into_iter().map(|object| Object {
                stands: stands.clone(),
                file: file.clone(),
                ..object
            }));
        }
        self.entries.len() - 1
    }

    fn missing(&self, text: &str, left: &[String], read: &Read) -> Option<Reason> {
        if let Some(problem) = &read.problem {
            let next = "put it right in the file, and take the comment signs off";
            return Some(Reason::new(Kind::Unknown, format!("the manifest cannot be read: {problem}"), next));
        }
        if read.objects.is_empty() {
            let why = "there is no object in it: no `kind` with a name";
            return Some(Reason::new(
                Kind::Unknown,
                why,
                "complete the file, and take the comment signs off",
            ));
        }
        self.unknown(left).or_else(|| left_to_reader(text))
    }

    /// Makes a namespace.
    pub(super) fn make_namespace(&mut self, place: &Place, what: &str, name: &str) {
        let text =
            format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}\n", super::said::scalar(name));
        self.apply(place, what, &text, place.line, true);
    }

    /// The only Gateway of the page so far, with its namespace.
    pub(super) fn only_gateway(&self) -> Option<(String, String)> {
        let mut all = self.objects.iter().filter(|object| object.kind == "Gateway");
        let first = all.next()?;
        let namespace = first.namespace.as_ref().unwrap_or(&first.stands).clone();
        let same = |other: &Object| other.name == first.name && other.namespace == first.namespace;
        all.all(same).then(|| (first.name.clone(), namespace))
    }
}

/// What a text leaves to its reader: `<your name>`.
pub(super) fn left_to_reader(text: &str) -> Option<Reason> {
    let placeholder = placeholder(text)?;
    let why = format!("the page leaves {placeholder} to its reader");
    Some(Reason::new(Kind::Reader, why, "choose a value, and take the comment signs off"))
}

/// The first `<your name>` of a text.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (_, from) = rest.split_at(at);
        let inner = |c: char| c.is_alphanumeric() || " _-.,'/".contains(c);
        let end = from.char_indices().skip(1).find(|(_, c)| !inner(*c));
        match end {
            Some((end, '>')) if from.get(1..).is_some_and(|inner| inner.starts_with(char::is_alphabetic)) => {
                return from.get(..=end);
            }
            _ => rest = from.get(1..).unwrap_or_default(),
        }
    }
    None
}

/// What a file of these objects is called.
fn name(objects: &[Object]) -> String {
    match objects {
        [] => "manifest".to_owned(),
        [one] => slug(&format!("{}-{}", one.kind, one.name)),
        [first, ..] => {
            let mut kinds: Vec<_> = objects.iter().map(|object| object.kind.to_lowercase()).collect();
            kinds.dedup();
            match kinds.as_slice() {
                [_] => format!("{}-{}", slug(&first.kind), objects.len()),
                _ => slug(&kinds.into_iter().take(3).collect::<Vec<_>>().join("-")),
            }
        }
    }
}
