//! Scenarios: ordered steps that prove requirements, as data. Loading one finds everything that can be wrong with it before
//! anything is created.

mod broken;
mod fields;
mod file;
mod kinds;
mod must_fail;
mod rules;
pub mod vocabulary;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::fields::{document, erratum_info, ids, stays};
use crate::word::kinds::{Kinds, Needed};
use crate::word::{Definition, Reader, Scope, Staying, Word};
use meshproof_model::event::{
    Broken, ErratumInfo, Instead, MustFail, RequirementInfo, ScenarioInfo, StepInfo, StepKind,
};
use meshproof_model::implementation::{Expectation, Implementation};
use meshproof_model::requirement::{Catalogue, Document, Editions};
use meshproof_model::scenario::limits::{self, Stays};
use meshproof_model::scenario::needs::Needs;
use meshproof_model::scenario::node::{self, Fields, Node, Problem, Source};
use meshproof_model::scenario::{FILE, Outline, Problems, discover, labels, parse, stated};

/// How a scenario that breaks the world on purpose has to show it: one step fails, with this diagnosis, and this is seen. If so,
/// the harness has proved that it can fail; if not, the run is red.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expects {
    /// Id of the diagnosis.
    pub diagnosis: String,
    /// Label of the step that fails.
    pub step: String,
}

/// One step, ready to run.
#[derive(Debug)]
pub struct Step {
    /// What reports say of it.
    pub info: StepInfo,
    /// Time limit.
    pub within: Duration,
    /// How a claim must go on holding.
    pub stays: Option<Stays>,
    /// For a claim that must fail: the one that has to hold instead.
    pub sees: Option<Box<dyn Word>>,
    /// Witnesses to hear once a claim holds.
    pub witnesses: Vec<String>,
    /// A claim that is awaited while objects are applied and statuses read: in time for the first step that is more.
    pub meanwhile: bool,
    /// What it does or claims.
    pub word: Box<dyn Word>,
}

/// A scenario, ready to run.
#[derive(Debug)]
pub struct Scenario {
    /// Folder below the scenarios' root, with slashes.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The `scenario.yaml`.
    pub path: PathBuf,
    /// The document it follows, and the edition whose lines it cites.
    pub document: Document,
    /// The first edition that it proves; nothing if that is the one it cites.
    pub since: Option<String>,
    /// The last edition that it proves; nothing if that is the newest.
    pub until: Option<String>,
    /// The edition that it is to prove: the one that is asked for, else its own.
    pub edition: String,
    /// What it needs.
    pub needs: Needs,
    /// Namespace of everything that names none.
    pub namespace: String,
    /// Only for scenarios that break the world on purpose.
    pub expects: Option<Expects>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    requirements: Vec<RequirementInfo>,
    errata: Vec<ErratumInfo>,
    /// Kinds that the cluster has to know, for neither the list nor a manifest of its own does.
    pub kinds: Vec<Needed>,
    /// Digest of all files of its folder, and of all others it was read from.
    pub digest: String,
}

impl Scenario {
    /// Loads `<root>/<id>/scenario.yaml` and every file it names, as they read for this implementation. One that is about
    /// another implementation has no steps.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and column.
    pub fn load(
        root: &Path,
        id: &str,
        catalogue: &Catalogue,
        implementation: &Implementation,
    ) -> Result<Self, Problems> {
        implementation.names_steps_of(&labels::all(root)).map_err(Problems)?;
        Self::load_below(root, id, catalogue, implementation)
    }

    fn load_below(
        root: &Path,
        id: &str,
        catalogue: &Catalogue,
        implementation: &Implementation,
    ) -> Result<Self, Problems> {
        let directory = id.split('/').fold(root.to_owned(), |path, part| path.join(part));
        Self::load_with(&directory, id, catalogue, implementation, &|path| std::fs::read_to_string(path))
    }

    /// The same, reading files by `read`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(
        directory: &Path,
        id: &str,
        catalogue: &Catalogue,
        implementation: &Implementation,
        read: Reader<'_>,
    ) -> Result<Self, Problems> {
        let texts = RefCell::new(BTreeMap::new());
        let recording = |path: &Path| -> std::io::Result<String> {
            let text = read(path)?;
            texts.borrow_mut().insert(file::name_from(directory, path), text.clone().into_bytes());
            Ok(text)
        };
        let read: Reader<'_> = &recording;
        let path = directory.join(FILE);
        let (text, trouble) = match read(&path) {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error.to_string())),
        };
        let source = Arc::new(Source { path: path.clone(), text });
        if let Some(trouble) = trouble {
            let start = node::Span { source, start: 0, length: 0 };
            return Err(start.problem(format!("cannot be read: {trouble}")).into());
        }
        let (root, vars) = file::with_values(parse::document(&source)?, implementation)?;
        let mut fields = root.fields()?;
        fields.take("vars");
        let title = fields.need("title")?.text()?.to_owned();
        let (document, since, until) = document(fields.need("document")?)?;
        let edition = implementation.edition.clone().unwrap_or_else(|| document.edition.clone());
        let needs = fields.take("needs").map_or(Ok(Needs::default()), Needs::parse)?;
        // The words of another implementation (its releases, its messages, its variables) mean nothing here.
        let about_another = needs.implementation.as_ref().is_some_and(|name| *name != implementation.name);
        let namespace = fields.need("namespace")?.text()?.to_owned();
        let expects_node = fields.take("expects");
        let expects = expects_node.map(broken::expects).transpose()?;
        let steps = fields.need("steps")?;
        fields.finish()?;
        let breaking = match (expects_node, &expects) {
            (Some(node), Some(expects)) => Some(broken::breaking(steps, node, expects)?),
            _ => None,
        };
        let steps = breaking.as_ref().unwrap_or(steps);

        let backend = file::first_backend(steps.list()?);
        let spoken_of = RefCell::new(Kinds::default());
        let scope = Scope {
            namespace: &namespace,
            backend,
            catalogue,
            edition: &edition,
            implementation,
            vars: &vars,
            read,
            kinds: &spoken_of,
        };
        let mut problems = labels::twice(steps.list()?);
        problems.extend(rules::unjudged(steps.list()?));
        let mut parsed: Vec<Step> = Vec::new();
        for node in steps.list()?.iter().filter(|_| !about_another) {
            match expected_step(node, parsed.len(), &scope) {
                Ok(mut step) => {
                    if expects.is_some() {
                        // That something fails in a broken world proves nothing of the gateway.
                        step.info.breaks = std::mem::take(&mut step.info.proves);
                    }
                    if kinds::may_define(&step.info.word) {
                        spoken_of.borrow_mut().may_come();
                    }
                    parsed.push(step);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() && parsed.is_empty() && !about_another {
            problems.push(steps.problem("a scenario needs at least one step"));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let about = |step: &Step, id: &str| {
            let StepInfo { proves, waives, sets_aside, .. } = &step.info;
            proves.iter().chain(waives).chain(sets_aside).any(|r| r == id)
        };
        let proves = |id: &str| parsed.iter().any(|step| about(step, id));
        let meets = |id: &str| parsed.iter().any(|step| step.info.errata.iter().any(|e| e == id));
        let requirements = catalogue.requirements.iter().filter(|r| proves(&r.id));
        let errata = catalogue.errata.iter().filter(|e| meets(&e.id));
        Ok(Self {
            requirements: requirements
                .map(|r| RequirementInfo {
                    id: r.id.clone(),
                    text: r.text.clone(),
                    waived: implementation.waived.requirements.get(&r.id).cloned(),
                })
                .collect(),
            errata: errata.map(erratum_info).collect(),
            id: id.to_owned(),
            title,
            path,
            document,
            since,
            until,
            edition,
            needs,
            namespace,
            expects,
            steps: parsed,
            kinds: spoken_of.take().needed(),
            digest: file::digest_of(directory, texts.take(), &vars),
        })
    }

    /// Loads every scenario below `root`, in the order of their ids, as this gateway is put to it.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load_all(
        root: &Path,
        catalogue: &Catalogue,
        implementation: &Implementation,
    ) -> Result<Vec<Self>, Problems> {
        let mut all = Vec::new();
        let mut problems = implementation.names_steps_of(&labels::all(root)).err().unwrap_or_default();
        let ids = discover::all(root).map_err(|error| {
            let source = Arc::new(Source { path: root.to_owned(), text: String::new() });
            let start = node::Span { source, start: 0, length: 0 };
            Problems::from(start.problem(format!("cannot be looked through for scenarios: {error}")))
        })?;
        for id in ids {
            match Self::load_below(root, &id, catalogue, implementation) {
                Ok(scenario) => all.push(scenario),
                Err(found) => problems.extend(found.0),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(Problems(problems)) }
    }

    /// The editions of the document that it proves.
    pub fn editions(&self) -> Editions<'_> {
        let since = self.since.as_deref().or(Some(&self.document.edition));
        Editions { since, until: self.until.as_deref() }
    }

    /// Whether it can be put to this gateway.
    pub fn is_about(&self, implementation: &Implementation) -> bool {
        self.needs.implementation.as_ref().is_none_or(|name| *name == implementation.name)
    }

    /// The versions of Istio that its steps install, each once.
    pub fn istio_versions(&self) -> Vec<String> {
        let taken = self.steps.iter().filter(|step| step.info.waived.is_none());
        let mut versions: Vec<String> =
            taken.filter_map(|step| step.word.istio()).map(str::to_owned).collect();
        versions.sort();
        versions.dedup();
        versions
    }

    /// What it proves, without what its words do.
    pub fn outline(&self) -> Outline {
        Outline {
            id: self.id.clone(),
            path: self.path.clone(),
            document: self.document.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            broken: self.expects.is_some(),
            proves: self.proves().map(str::to_owned).collect(),
            steps: self.steps.iter().map(|step| step.info.clone()).collect(),
        }
    }

    /// Ids of the requirements it proves, in the catalogue's order; not those that are waived, or that no step proves as it is read
    /// for the implementation.
    pub fn proves(&self) -> impl Iterator<Item = &str> {
        let shown = |id: &String| self.steps.iter().any(|step| step.info.proves.contains(id));
        let proved = self.requirements.iter().filter(move |r| r.waived.is_none() && shown(&r.id));
        proved.map(|requirement| requirement.id.as_str())
    }

    /// The document and the edition that it proves; with the one whose lines it cites, if that is another.
    pub fn proved_document(&self) -> String {
        let Document { name, edition } = &self.document;
        match self.edition == *edition {
            true => self.document.to_string(),
            false => format!("{name} {} (cites the lines of {edition})", self.edition),
        }
    }

    /// What reports say of it.
    pub fn info(&self) -> ScenarioInfo {
        ScenarioInfo {
            id: self.id.clone(),
            title: self.title.clone(),
            path: self.path.clone(),
            document: self.proved_document(),
            requirements: self.requirements.clone(),
            errata: self.errata.clone(),
            steps: self.steps.iter().map(|step| step.info.clone()).collect(),
            round: None,
            broken: self.expects.as_ref().and(self.steps.iter().find_map(|step| {
                let with = step.info.must_fail.clone()?;
                Some(Broken { step: step.info.index, with })
            })),
        }
    }
}

/// Reads a step, with what the implementation expects instead if it has a word on it.
fn expected_step(node: &Node, index: usize, scope: &Scope<'_>) -> Result<Step, Problem> {
    let label = node.get("as").map(Node::text).transpose()?;
    let expectation = label.and_then(|label| scope.implementation.expectations.get(label));
    let Some(expectation) = expectation else { return step(node, index, scope, None) };
    step(&expectation.over(node), index, scope, Some((node, expectation)))
}

fn step(
    node: &Node,
    index: usize,
    scope: &Scope<'_>,
    instead: Option<(&Node, &Expectation)>,
) -> Result<Step, Problem> {
    let node = &scope.fill(node)?;
    stated::fields(node)?;
    let mut fields = node.fields()?;
    let label = fields.take("as").map(Node::text).transpose()?.map(str::to_owned);
    let (definition, subject) = which(node, &mut fields)?;
    let line = node.span.position().0;
    let cites = fields.take("cites").map(Node::text).transpose()?.map(str::to_owned);
    let proves = ids(fields.take("proves"), "requirement", &|id| scope.catalogue.requirement(id).is_some())?;
    if let Some((_, expectation)) = instead {
        expectation.fits(&proves, &|id| scope.implementation.waived.requirements.contains_key(id))?;
    }
    let errata = ids(fields.take("erratum"), "erratum", &|id| scope.catalogue.erratum(id).is_some())?;
    let name = fields.take("name").map(Node::text).transpose()?.map(str::to_owned);

    let within = match (fields.take("within"), definition.limit) {
        (Some(node), _) => limits::limit(node, &scope.implementation.limits)?,
        (None, Some(default)) => default,
        (None, None) => {
            let problem = node.problem(format!("the claim `{}` has no time limit", definition.word));
            return Err(problem.help("add `within: 30s`, or a named limit such as `within: rollout`"));
        }
    };
    let stays = match definition.stays {
        Staying::No => None,
        Staying::Time | Staying::Requests => {
            fields.take("stays").map(|node| stays(node, definition)).transpose()?
        }
    };
    let witnesses = if definition.witnesses {
        let mut named = ids(fields.take("witness"), "witness", &|name| vocabulary::witness(name))?;
        // What would stand on them is waived, too.
        named.retain(|name| !scope.implementation.waived.witnesses.contains_key(name));
        named
    } else {
        Vec::new()
    };
    let (must_fail, measured, meanwhile) = match definition.kind {
        StepKind::Claim => (
            fields.take(must_fail::KEY),
            fields.take("measured").map_or(Ok(false), Node::bool)?,
            fields.take("meanwhile").map_or(Ok(false), Node::bool)?,
        ),
        StepKind::Action => (None, false, false),
    };
    let word = (definition.parse)(subject, &mut fields, scope)?;
    fields.finish()?;
    kinds::spoken_of(definition, subject, scope);
    if measured {
        rules::may_measure(node, &proves, &errata, scope.catalogue)?;
    }
    rules::may_forgive(node, word.as_ref(), &proves, scope.catalogue)?;
    let (must_fail, sees) = match must_fail {
        None => (None, None),
        Some(said) => {
            let must_fail = must_fail::parse(said, &scope.implementation.diagnoses)?;
            let sees = must_fail::instead(node, must_fail.sees)?;
            let word = seen_instead(&sees, scope)?;
            (Some(MustFail { diagnosis: must_fail.diagnosis, sees: word.name() }), Some(word))
        }
    };
    let expected = (definition.kind == StepKind::Claim).then(|| expected(word.as_ref(), within, stays));
    let name = name.unwrap_or_else(|| word.name());
    let name = match &must_fail {
        Some(MustFail { diagnosis, .. }) => format!("{name} (must fail: {diagnosis})"),
        None => name,
    };
    let promised = |id: &String| !scope.implementation.waived.requirements.contains_key(id);
    let (proves, waives): (Vec<_>, Vec<_>) = proves.into_iter().partition(promised);
    let still = |id: &String| instead.is_none_or(|(_, expectation)| expectation.still_proves(id));
    let (proves, sets_aside): (Vec<_>, Vec<_>) = proves.into_iter().partition(still);
    let by_label = label.as_ref().and_then(|label| scope.implementation.waived.steps.get(label)).cloned();
    // An action is taken whatever it proves: later steps build on it.
    let pointless = definition.kind == StepKind::Claim && proves.is_empty() && instead.is_none();
    let waived = by_label.or_else(|| scope.implementation.waives(&waives).filter(|_| pointless));
    let info = StepInfo {
        index,
        name,
        word: definition.word.to_owned(),
        kind: definition.kind,
        expected,
        cites,
        proves,
        waives,
        breaks: Vec::new(),
        sets_aside,
        errata,
        line,
        must_fail,
        measured,
        waived,
        instead: instead.map(|(node, expectation)| Instead {
            // What the scenario says may hold words that only its own implementation has.
            of: step(node, index, scope, None).ok().map(|step| step.word.name()),
            because: expectation.because.clone(),
            still_proves: expectation
                .still_proves
                .iter()
                .map(|(id, why)| (id.name.clone(), why.clone()))
                .collect(),
        }),
    };
    Ok(Step { info, within, stays, sees, witnesses, meanwhile, word })
}

/// Reads a claim that stands for what is seen instead of one that must fail.
fn seen_instead(node: &Node, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let mut fields = node.fields()?;
    let (definition, subject) = which(node, &mut fields)?;
    fields.take("within");
    let word = (definition.parse)(subject, &mut fields, scope)?;
    fields.finish()?;
    Ok(word)
}

/// What a claim says, with its limits.
fn expected(word: &dyn Word, within: Duration, stays: Option<Stays>) -> String {
    let stays = stays.map(|stays| format!(", and to stay so for {stays}")).unwrap_or_default();
    format!("{} within {within:?}{stays}", word.name())
}

/// Finds the one word of a step.
fn which<'a>(node: &Node, fields: &mut Fields<'a>) -> Result<(&'static Definition, &'a Node), Problem> {
    let mut found = None;
    for definition in vocabulary::WORDS {
        if let Some(subject) = fields.take(definition.word) {
            if let Some((first, _)) = found {
                let first: &Definition = first;
                let both = format!("a step is one thing: `{}` and `{}` are two", first.word, definition.word);
                return Err(node.problem(both).help("make two steps of it"));
            }
            found = Some((*definition, subject));
        }
    }
    found.ok_or_else(|| {
        let words: Vec<_> = vocabulary::WORDS.iter().map(|definition| definition.word).collect();
        let near = fields.first_key().and_then(|key| node::closest(key, &words));
        let problem = node.problem("a step must say what it does or claims");
        match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("known words: {}", words.join(", "))),
        }
    })
}

#[cfg(test)]
mod tests;
