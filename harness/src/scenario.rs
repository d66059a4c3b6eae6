//! Scenarios: ordered steps that prove requirements, as data. Loading one finds everything that can be wrong with it before
//! anything is created.

pub mod discover;
pub mod kinds;
pub mod limits;
pub mod manifest;
pub mod needs;
pub mod node;
pub mod parse;
pub mod placeholder;
pub mod substitution;
pub mod vocabulary;
pub mod word;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{ErratumInfo, Instead, RequirementInfo, ScenarioInfo, StepInfo, StepKind};
use crate::implementation::{Expectation, Implementation};
use crate::requirement::{Catalogue, Document, Erratum};
use limits::Stays;
use needs::Needs;
use node::{Fields, Node, Problem, Source};
use word::{Definition, Reader, Scope, Word};

/// The file that makes a folder a scenario.
pub const FILE: &str = "scenario.yaml";

/// What a scenario that breaks the world on purpose must end in. The runner's verdict does not change by it: a test compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expects {
    /// Id of the diagnosis.
    pub diagnosis: String,
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
    /// The document it follows.
    pub document: Document,
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
}

/// Everything that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
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
        let root = parse::document(&source)?;
        let mut fields = root.fields()?;
        let title = fields.need("title")?.text()?.to_owned();
        let document = document(fields.need("document")?)?;
        let needs = fields.take("needs").map_or(Ok(Needs::default()), Needs::parse)?;
        let namespace = fields.need("namespace")?.text()?.to_owned();
        let expects = fields.take("expects").map(expects).transpose()?;
        let steps = fields.need("steps")?;
        fields.finish()?;

        let scope = Scope { namespace: &namespace, catalogue, implementation, read };
        let mut problems = Vec::new();
        let mut parsed: Vec<Step> = Vec::new();
        // The words of another implementation (its releases, its messages) mean nothing here.
        let about_another = needs.implementation.as_ref().is_some_and(|name| *name != implementation.name);
        for node in steps.list()?.iter().filter(|_| !about_another) {
            match expected_step(node, parsed.len(), &scope) {
                Ok(step) => parsed.push(step),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(traffic_unjudged(steps, &parsed));
        if problems.is_empty() && parsed.is_empty() && !about_another {
            problems.push(steps.problem("a scenario needs at least one step"));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let proves = |id: &str| {
            parsed.iter().any(|step| step.info.proves.iter().chain(&step.info.waives).any(|r| r == id))
        };
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
            needs,
            namespace,
            expects,
            steps: parsed,
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
        let mut problems = Vec::new();
        for id in discover::all(root).unwrap_or_default() {
            match Self::load(root, &id, catalogue, implementation) {
                Ok(scenario) => all.push(scenario),
                Err(found) => problems.extend(found.0),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(Problems(problems)) }
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

    /// Ids of the requirements it proves, in the catalogue's order; not those that are waived.
    pub fn proves(&self) -> impl Iterator<Item = &str> {
        let promised = self.requirements.iter().filter(|requirement| requirement.waived.is_none());
        promised.map(|requirement| requirement.id.as_str())
    }

    /// What reports say of it.
    pub fn info(&self) -> ScenarioInfo {
        ScenarioInfo {
            id: self.id.clone(),
            title: self.title.clone(),
            path: self.path.clone(),
            document: self.document.to_string(),
            requirements: self.requirements.clone(),
            errata: self.errata.clone(),
            steps: self.steps.iter().map(|step| step.info.clone()).collect(),
            round: None,
        }
    }
}

fn erratum_info(erratum: &Erratum) -> ErratumInfo {
    ErratumInfo {
        id: erratum.id.clone(),
        problem: erratum.problem.clone(),
        correction: erratum.correction.clone(),
    }
}

fn document(node: &Node) -> Result<Document, Problem> {
    let mut fields = node.fields()?;
    let name = fields.need("name")?.text()?.to_owned();
    let edition = fields.need("edition")?.text()?.to_owned();
    fields.finish()?;
    Ok(Document { name, edition })
}

fn expects(node: &Node) -> Result<Expects, Problem> {
    let mut fields = node.fields()?;
    let verdict = fields.need("verdict")?;
    if verdict.text()? != "failed" {
        return Err(verdict.problem("only `failed` can be expected").help("leave `expects` out otherwise"));
    }
    let diagnosis = fields.need("diagnosis")?.text()?.to_owned();
    fields.finish()?;
    Ok(Expects { diagnosis })
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
    let mut fields = node.fields()?;
    let label = fields.take("as").map(Node::text).transpose()?.map(str::to_owned);
    let (definition, subject) = which(node, &mut fields)?;
    let line = node.span.position().0;
    let cites = fields.take("cites").map(Node::text).transpose()?.map(str::to_owned);
    let proves = ids(fields.take("proves"), "requirement", &|id| scope.catalogue.requirement(id).is_some())?;
    let errata = ids(fields.take("erratum"), "erratum", &|id| scope.catalogue.erratum(id).is_some())?;
    let name = fields.take("name").map(Node::text).transpose()?.map(str::to_owned);

    let within = match (fields.take("within"), definition.limit) {
        (Some(node), _) => limits::limit(node)?,
        (None, Some(default)) => default,
        (None, None) => {
            let problem = node.problem(format!("the claim `{}` has no time limit", definition.word));
            return Err(problem.help("add `within: 30s`, or a named limit such as `within: rollout`"));
        }
    };
    let stays = match definition.stays {
        word::Staying::No => None,
        word::Staying::Time | word::Staying::Requests => {
            fields.take("stays").map(|node| stays(node, definition)).transpose()?
        }
    };
    let witnesses = if definition.witnesses {
        ids(fields.take("witness"), "witness", &|name| vocabulary::witness(name))?
    } else {
        Vec::new()
    };
    let (must_fail, measured, meanwhile) = match definition.kind {
        StepKind::Claim => (
            fields.take("must-fail").map(Node::text).transpose()?.map(str::to_owned),
            fields.take("measured").map_or(Ok(false), Node::bool)?,
            fields.take("meanwhile").map_or(Ok(false), Node::bool)?,
        ),
        StepKind::Action => (None, false, false),
    };
    let word = (definition.parse)(subject, &mut fields, scope)?;
    fields.finish()?;
    let expected = (definition.kind == StepKind::Claim).then(|| expected(word.as_ref(), within, stays));
    let name = name.unwrap_or_else(|| word.name());
    let name = match &must_fail {
        Some(diagnosis) => format!("{name} (must fail: {diagnosis})"),
        None => name,
    };
    let promised = |id: &String| !scope.implementation.waived.requirements.contains_key(id);
    let (proves, waives): (Vec<_>, Vec<_>) = proves.into_iter().partition(promised);
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
        errata,
        line,
        must_fail,
        measured,
        waived,
        instead: instead.map(|(node, expectation)| Instead {
            // What the scenario says may hold words that only its own implementation has.
            of: step(node, index, scope, None).ok().map(|step| step.word.name()),
            because: expectation.because.clone(),
        }),
    };
    Ok(Step { info, within, stays, witnesses, meanwhile, word })
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

fn stays(node: &Node, definition: &Definition) -> Result<Stays, Problem> {
    match (limits::stays(node)?, definition.stays) {
        (Stays::Requests(_) | Stays::Drains(_), word::Staying::Time) => Err(node
            .problem(format!("`{}` sends no requests", definition.word))
            .help("write a duration, e.g. `5s`")),
        (stays, _) => Ok(stays),
    }
}

/// Constant traffic that no later step judges: what it saw would be dropped in silence.
fn traffic_unjudged(steps: &Node, parsed: &[Step]) -> Option<Problem> {
    let mut unjudged: Option<&Step> = None;
    for step in parsed {
        match step.info.word.as_str() {
            "traffic" if unjudged.is_some() => break,
            "traffic" => unjudged = Some(step),
            "unbroken" => unjudged = None,
            _ => {}
        }
    }
    let step = unjudged?;
    let problem = steps.problem(format!(
        "nobody judges the traffic of step {} ({})",
        step.info.index + 1,
        step.info.name
    ));
    Some(problem.help("end it with a step `unbroken: traffic`"))
}

/// Reads one id or a list of them, each of which must be known.
fn ids(node: Option<&Node>, what: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<String>, Problem> {
    let nodes = node.map(Node::one_or_more).unwrap_or_default();
    let each = nodes.iter().map(|node| {
        let id = node.text()?;
        if known(id) { Ok(id.to_owned()) } else { Err(node.problem(format!("there is no {what} `{id}`"))) }
    });
    each.collect()
}

#[cfg(test)]
mod tests;
