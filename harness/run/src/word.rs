//! What a word of the vocabulary is. Each word is one file with a [`Definition`]; a new one is listed in
//! [`crate::scenario::vocabulary::WORDS`].

pub mod kinds;
pub mod substitution;

use std::cell::RefCell;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;

use self::kinds::Kinds;
use crate::context::{Context, Trouble};
use meshproof_model::event::{Observed, StepKind};
use meshproof_model::implementation::{Implementation, PLACEHOLDERS};
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::manifest::{self, Manifest};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::placeholder;
use meshproof_model::schema::{Field, Type};
use meshproof_model::vars::Vars;

/// Reads a file, so that tests need none.
pub type Reader<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// What a step may refer to.
pub struct Scope<'a> {
    /// Namespace of everything that names none.
    pub namespace: &'a str,
    /// The workload that claims are about which name none; nothing if no claim of the scenario names one.
    pub backend: Option<&'a str>,
    /// The document's requirements.
    pub catalogue: &'a Catalogue,
    /// The edition of the document that is to be proved.
    pub edition: &'a str,
    /// The gateway under test.
    pub implementation: &'a Implementation,
    /// What is left to whoever runs it.
    pub vars: &'a Vars,
    /// Reads a file.
    pub read: Reader<'a>,
    /// The kinds that are spoken of, beyond those of the list.
    pub kinds: &'a RefCell<Kinds>,
}

impl Scope<'_> {
    /// The same piece with what the implementation puts for its placeholders. Those whose values only a cluster knows stay.
    ///
    /// # Errors
    /// A placeholder that is not known, at its place.
    pub fn fill(&self, node: &Node) -> Result<Node, Problem> {
        let of_cluster = |name: &str| {
            let chart =
                |release: &str| self.implementation.releases.iter().any(|known| known.name == release);
            manifest::PLACEHOLDERS.contains(&name) || name.strip_prefix("charts.").is_some_and(chart)
        };
        let value = |name: &str| match of_cluster(name) {
            true => Some(format!("${{{name}}}")),
            false => self.implementation.placeholder(name, self.namespace),
        };
        placeholder::fill(&self.vars.fill(node)?, &value).map_err(|problem| {
            let help = format!("{} has no value for it; known: {PLACEHOLDERS}", self.implementation.name);
            problem.help(help)
        })
    }

    /// Reads the manifest that `node` names.
    ///
    /// # Errors
    /// It cannot be read (told at the place that names it), or is not well formed (told at its own place).
    pub fn manifest(&self, node: &Node) -> Result<Manifest, Problem> {
        let (name, path, text) = self.file(node)?;
        let manifest = manifest::read(&name, &path, text, self.namespace, &|node| self.fill(node))?;
        let mut kinds = self.kinds.borrow_mut();
        for object in &manifest.objects {
            kinds.spoken_of(object.id.kind, &object.place);
            kinds.defined(&object.value);
        }
        drop(kinds);
        Ok(manifest)
    }

    /// Reads the file that `node` names, seen from the file it stands in: its name, its path and its text.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file(&self, node: &Node) -> Result<(String, std::path::PathBuf, String), Problem> {
        let name = node.text()?;
        let path = node.span.source.path.with_file_name("").join(name);
        match (self.read)(&path) {
            Ok(text) => Ok((name.to_owned(), path, text)),
            Err(error) => Err(node.problem(format!("file `{name}` cannot be read: {error}"))),
        }
    }
}

/// What a step does or claims.
pub trait Word: Debug + Send + Sync {
    /// One line for people, unless the step gives itself a name.
    fn name(&self) -> String;
    /// The objects it may create.
    fn creates(&self) -> Vec<ObjectRef> {
        Vec::new()
    }
    /// The objects it changes or removes, as far as it names them: one that is made by nobody here is somebody else's. A namespace
    /// stands for everything in it.
    fn changes(&self) -> Vec<ObjectRef> {
        Vec::new()
    }
    /// The objects it applies, as its manifests have them.
    fn applies(&self) -> Vec<&serde_json::Value> {
        Vec::new()
    }
    /// Whether it takes nodes or Istio apart, or changes what cannot be told beforehand, which is done only to a cluster of
    /// meshproof's own.
    fn needs_own_cluster(&self) -> bool {
        false
    }
    /// Whether it installs the implementation afresh, so that none may be left from before.
    fn installs(&self) -> bool {
        false
    }
    /// The namespace that it installs the implementation into, if it is not the implementation's own.
    fn installs_into(&self) -> Option<&str> {
        None
    }
    /// The version of Istio that it installs, if it is not that of the cluster: it is provided before the scenario begins.
    fn istio(&self) -> Option<&str> {
        None
    }
    /// What it is about, where that is one object; for pods, their namespace. A diagnosis begins there.
    fn about(&self) -> Option<ObjectRef> {
        None
    }
    /// What it lets pass although requests fail by it, in words; nothing for a claim that forgives no failure.
    fn forgives(&self) -> Option<String> {
        None
    }
    /// Does it, or waits until it holds.
    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>>;
}

/// Whether and how a claim can be asked to go on holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staying {
    /// It cannot.
    No,
    /// For a time.
    Time,
    /// For a number of requests or a time.
    Requests,
}

/// Reads a step: what stands at its word, and its other fields.
pub type Parse = fn(&Node, &mut Fields<'_>, &Scope<'_>) -> Result<Box<dyn Word>, Problem>;

/// A word of the vocabulary.
pub struct Definition {
    /// The word, as steps spell it.
    pub word: &'static str,
    /// Action or claim.
    pub kind: StepKind,
    /// Time limit if the step gives none; a claim has to give one.
    pub limit: Option<Duration>,
    /// Whether it can be asked to stay.
    pub stays: Staying,
    /// Whether witnesses can be heard.
    pub witnesses: bool,
    /// Reads a step.
    pub parse: Parse,
    /// What is said of it.
    pub reference: Reference,
}

/// What is said of a word, for people and their editors: `docs/vocabulary.md` and the JSON Schema are made from it, and a test
/// holds it to what the word reads.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// What it does or claims: a sentence or two.
    pub summary: &'static str,
    /// What stands at the word.
    pub subject: Type,
    /// Its fields, without those that every step may have.
    pub fields: &'static [Field],
    /// Steps that use it; each field is in one of them.
    pub examples: &'static [&'static str],
}

/// An object by kind and name.
pub const OBJECT: Type = Type::Defined("object", "`kind/name`");
/// A Lease by name.
pub const LEASE: Type = Type::Form("^[lL]ease/.+$", "`lease/NAME`");
/// A file, seen from the scenario's folder.
pub const FILE: Type = Type::Form("\\S", "a file, seen from the scenario");
/// The field with an object's namespace.
pub const NAMESPACE: Field = Field::optional("namespace", Type::Text, "Its namespace.").or("the scenario's");

/// Of a word that says nothing of itself; a test refuses it.
const UNSAID: Reference = Reference { summary: "", subject: Type::AnyText, fields: &[], examples: &[] };

impl Definition {
    /// An action: has a default time limit.
    pub const fn action(word: &'static str, limit: Duration, parse: Parse) -> Self {
        Self {
            word,
            kind: StepKind::Action,
            limit: Some(limit),
            stays: Staying::No,
            witnesses: false,
            parse,
            reference: UNSAID,
        }
    }

    /// A claim: the step must give a time limit.
    pub const fn claim(word: &'static str, stays: Staying, parse: Parse) -> Self {
        Self { word, kind: StepKind::Claim, limit: None, stays, witnesses: false, parse, reference: UNSAID }
    }

    /// The same, with what is said of it.
    #[must_use]
    pub const fn says(mut self, reference: Reference) -> Self {
        self.reference = reference;
        self
    }

    /// The same, with witnesses.
    #[must_use]
    pub const fn with_witnesses(mut self) -> Self {
        self.witnesses = true;
        self
    }
}
