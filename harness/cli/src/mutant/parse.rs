//! From the files of `scenarios/mutants/` to the model, strict like the scenarios.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::chart::Edit;
use super::control::Control;
use super::manifest::Change;
use super::{FAULTS, FOLDER, Fault, FaultyProgram, Mutant, Mutation, TurnsRed};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem, Source, Span, closest};
use meshproof_model::scenario::{Problems, discover, parse};
use meshproof_run::diagnosis;

/// What a mutant may refer to.
struct Scope<'a> {
    catalogue: &'a Catalogue,
    implementation: &'a Implementation,
    scenarios: Vec<String>,
    programs: BTreeMap<String, FaultyProgram>,
}

/// Reads every file of mutants, in the order of their names.
pub(super) fn all(
    root: &Path,
    catalogue: &Catalogue,
    implementation: &Implementation,
) -> Result<Vec<Mutant>, Problems> {
    let folder = root.join(FOLDER);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_mutants = path.extension().is_some_and(|end| end == "yaml") && !path.ends_with(FAULTS);
        if is_mutants && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let scenarios = discover::all(root).unwrap_or_default();
    let programs = programs(&folder.join(FAULTS), implementation)?;
    let scope = Scope { catalogue, implementation, scenarios, programs };
    let (mut mutants, mut problems): (Vec<Mutant>, Vec<Problem>) = (Vec::new(), Vec::new());
    for file in files {
        match of_file(&file, &scope) {
            Ok(found) => mutants.extend(found),
            Err(found) => problems.extend(found.0),
        }
    }
    for (at, mutant) in mutants.iter().enumerate() {
        if mutants.iter().take(at).any(|other| other.id == mutant.id) {
            problems.push(mutant.place.problem(format!("there are two mutants `{}`", mutant.id)));
        }
    }
    if problems.is_empty() { Ok(mutants) } else { Err(Problems(problems)) }
}

fn source(path: &Path) -> Result<Node, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse::document(&Arc::new(Source { path: path.to_owned(), text })),
        Err(error) => {
            let source = Arc::new(Source { path: path.to_owned(), text: String::new() });
            Err(Span { source, start: 0, length: 0 }.problem(format!("cannot be read: {error}")))
        }
    }
}

/// The programs that can be given faults, as the file beside the mutants says; none without that file.
fn programs(
    path: &Path,
    implementation: &Implementation,
) -> Result<BTreeMap<String, FaultyProgram>, Problem> {
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let root = source(path)?;
    let mut fields = root.fields()?;
    let programs = fields.need("programs")?;
    fields.finish()?;
    let each = programs.entries()?.into_iter().map(|(name, node)| {
        let mut fields = node.fields()?;
        let program = FaultyProgram {
            release: release(fields.need("release")?, implementation)?,
            value: text(fields.need("value")?)?,
            images: texts(fields.need("images")?)?,
            namespace: text(fields.need("namespace")?)?,
            selector: text(fields.need("selector")?)?,
            faults: texts(fields.need("faults")?)?,
        };
        fields.finish()?;
        Ok((name.to_owned(), program))
    });
    each.collect()
}

fn of_file(path: &Path, scope: &Scope<'_>) -> Result<Vec<Mutant>, Problems> {
    let root = source(path)?;
    let mut fields = root.fields()?;
    let list = fields.need("mutants")?;
    fields.finish()?;
    let (mut mutants, mut problems) = (Vec::new(), Vec::new());
    for node in list.list()? {
        match mutant(node, scope) {
            Ok(mutant) => mutants.push(mutant),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(mutants) } else { Err(Problems(problems)) }
}

fn mutant(node: &Node, scope: &Scope<'_>) -> Result<Mutant, Problem> {
    let mut fields = node.fields()?;
    let id = fields.need("id")?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text(id)?.is_empty() || !text(id)?.chars().all(is_plain) {
        return Err(id.problem("an id holds small letters, digits and hyphens"));
    }
    let breaks = sentence(fields.need("breaks")?)?;
    let requirement = fields.need("requirement")?;
    let ids: Vec<&str> = scope.catalogue.requirements.iter().map(|known| known.id.as_str()).collect();
    let requirement = known(requirement, "requirement", &ids)?;
    let ids: Vec<&str> = scope.scenarios.iter().map(String::as_str).collect();
    let scenarios = fields.need("scenarios")?;
    if scenarios.list()?.is_empty() {
        return Err(scenarios.problem("a mutant names at least one scenario that must turn red"));
    }
    let scenarios = scenarios.list()?.iter().map(|node| known(node, "scenario", &ids));
    let scenarios = scenarios.collect::<Result<_, _>>()?;
    let turns_red = turns_red(fields.need("turns-red")?)?;
    let mutation = mutation(&mut fields, scope)?;
    let controls_given = fields.take("control");
    let leaves = fields.take("leaves").map(texts).transpose()?.unwrap_or_default();
    let not_caught_because = fields.take("not-caught-because").map(sentence).transpose()?;
    fields.finish()?;
    if mutation == Mutation::default() {
        return Err(node.problem("nothing is broken").help("add `fault`, `values`, `charts` or `manifests`"));
    }
    let mut controls: Vec<Control> = mutation.fault.iter().map(acted).collect();
    for node in controls_given.map_or(Ok(&[][..]), Node::list)? {
        controls.push(control(node)?);
    }
    if controls.is_empty() {
        return Err(node
            .problem("`control` is missing: what shows that the mutation is active?")
            .help("e.g. `control: [{object: deployment/backend-v1, namespace: …, holds: {…}}]`"));
    }
    Ok(Mutant {
        id: text(id)?,
        breaks,
        requirement,
        scenarios,
        turns_red,
        mutation,
        controls,
        leaves,
        not_caught_because,
        place: node.span.clone(),
    })
}

/// A fault says in its program's log that it has acted.
fn acted(fault: &Fault) -> Control {
    Control::Log {
        namespace: fault.program.namespace.clone(),
        selector: fault.program.selector.clone(),
        says: format!("fault on purpose acted: {}", fault.name),
    }
}

fn turns_red(node: &Node) -> Result<TurnsRed, Problem> {
    let mut fields = node.fields()?;
    let as_error = match fields.take("verdict") {
        None => false,
        Some(node) => match node.text()? {
            "failed" => false,
            "error" => true,
            other => {
                return Err(node.problem(format!("`{other}` is not red")).help("write `failed` or `error`"));
            }
        },
    };
    let step = fields.take("step").map(text).transpose()?;
    let sees = fields.take("sees").map(text).transpose()?;
    let (cause, why_unknown) = (fields.take("diagnosis"), fields.take("why-unknown"));
    fields.finish()?;
    let diagnosis = match cause {
        // An error is no claim about the gateway: nobody diagnoses it.
        None if as_error => "unknown".to_owned(),
        None => return Err(node.problem("`diagnosis` is missing").help("`unknown` needs `why-unknown`")),
        Some(node) => {
            let ids: Vec<&str> = diagnosis::causes().chain(["unknown"]).collect();
            known(node, "diagnosis", &ids)?
        }
    };
    if sees.is_none() && (as_error || diagnosis == "unknown") {
        return Err(node.problem("without a diagnosis `sees` has to say what makes the reason the right one"));
    }
    let why_unknown = why_unknown.map(sentence).transpose()?;
    if !as_error && (diagnosis == "unknown") != why_unknown.is_some() {
        return Err(node.problem("`diagnosis: unknown` and `why-unknown` go together"));
    }
    Ok(TurnsRed { as_error, step, sees, diagnosis, why_unknown })
}

fn mutation(fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Mutation, Problem> {
    let fault = fields.take("fault").map(|node| fault(node, scope)).transpose()?;
    let mut values = BTreeMap::new();
    if let Some(node) = fields.take("values") {
        for (name, node) in node.entries()? {
            node.fields()?;
            values.insert(of_release(node, name, scope.implementation)?, node.value());
        }
    }
    let mut charts = BTreeMap::new();
    if let Some(node) = fields.take("charts") {
        for (name, files) in node.entries()? {
            let name = of_release(files, name, scope.implementation)?;
            let mut edits = Vec::new();
            for (file, nodes) in files.entries()? {
                for node in nodes.one_or_more() {
                    edits.push((file.to_owned(), edit(node)?));
                }
            }
            charts.insert(name, edits);
        }
    }
    let mut manifests = BTreeMap::new();
    if let Some(node) = fields.take("manifests") {
        for (file, changes) in node.entries()? {
            let changes = changes.list()?.iter().map(change).collect::<Result<_, _>>()?;
            manifests.insert(file.to_owned(), changes);
        }
    }
    Ok(Mutation { fault, values, charts, manifests })
}

/// `proxy/clear-text-fallback`.
fn fault(node: &Node, scope: &Scope<'_>) -> Result<Fault, Problem> {
    let Some((program, name)) = node.text()?.split_once('/') else {
        return Err(node.problem("expected program/fault").help("e.g. `proxy/clear-text-fallback`"));
    };
    let Some(known) = scope.programs.get(program) else {
        let names: Vec<&str> = scope.programs.keys().map(String::as_str).collect();
        let problem = node.problem(format!("no program `{program}` has faults on purpose"));
        return Err(problem.help(format!("known in {FAULTS}: {}", names.join(", "))));
    };
    let names: Vec<&str> = known.faults.iter().map(String::as_str).collect();
    if names.contains(&name) {
        return Ok(Fault { name: name.to_owned(), program: known.clone() });
    }
    Err(unknown(node, &format!("fault of the program {program}"), name, &names))
}

fn edit(node: &Node) -> Result<Edit, Problem> {
    if node.text().is_ok_and(|text| text == "omit") {
        return Ok(Edit::Omit);
    }
    let mut fields = node.fields()?;
    let edit = Edit::Replace { text: text(fields.need("replace")?)?, with: text(fields.need("with")?)? };
    fields.finish()?;
    Ok(edit)
}

fn change(node: &Node) -> Result<Change, Problem> {
    let mut fields = node.fields()?;
    let (merge, omit) = (fields.take("merge"), fields.take("omit"));
    let (add, replace) = (fields.take("add"), fields.take("replace"));
    let change = match (merge, omit, add, replace) {
        (Some(object), None, None, None) => {
            let (kind, name) = Kind::and_name(object)?;
            let with = fields.need("with")?;
            with.fields()?;
            Change::Merge { kind, name, with: with.value() }
        }
        (None, Some(object), None, None) => {
            let (kind, name) = Kind::and_name(object)?;
            Change::Omit { kind, name }
        }
        (None, None, Some(object), None) => {
            object.fields()?;
            Change::Add(object.value())
        }
        (None, None, None, Some(file)) => Change::Replace(text(file)?),
        _ => return Err(node.problem("a change is one of `merge`, `omit`, `add` and `replace`")),
    };
    fields.finish()?;
    Ok(change)
}

fn control(node: &Node) -> Result<Control, Problem> {
    let mut fields = node.fields()?;
    let namespace = fields.take("namespace").map(text).transpose()?;
    let (log, object, absent) = (fields.take("log"), fields.take("object"), fields.take("absent"));
    let namespace_of = |kind: &Kind, namespace: Option<String>| match (kind.namespaced, namespace) {
        (true, None) => Err(node.problem("`namespace` is missing")),
        (false, Some(_)) => Err(node.problem(format!("a {} has no namespace", kind.word))),
        (_, namespace) => Ok(namespace),
    };
    let control = match (log, object, absent) {
        (Some(selector), None, None) => {
            let namespace = namespace.ok_or_else(|| node.problem("`namespace` is missing"))?;
            Control::Log { namespace, selector: text(selector)?, says: text(fields.need("says")?)? }
        }
        (None, Some(object), None) => {
            let (kind, name) = Kind::and_name(object)?;
            let holds = fields.need("holds")?;
            if holds.entries()?.is_empty() {
                return Err(holds.problem("every object holds nothing"));
            }
            Control::Object { kind, namespace: namespace_of(kind, namespace)?, name, holds: holds.value() }
        }
        (None, None, Some(object)) => {
            let (kind, name) = Kind::and_name(object)?;
            Control::Absent { kind, namespace: namespace_of(kind, namespace)?, name }
        }
        _ => return Err(node.problem("a control is one of `log`, `object` and `absent`")),
    };
    fields.finish()?;
    Ok(control)
}

fn of_release(node: &Node, name: &str, implementation: &Implementation) -> Result<String, Problem> {
    let known: Vec<&str> = implementation.releases.iter().map(|release| release.name.as_str()).collect();
    match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(unknown(node, "release", name, &known)),
    }
}

fn release(node: &Node, implementation: &Implementation) -> Result<String, Problem> {
    of_release(node, node.text()?, implementation)
}

fn text(node: &Node) -> Result<String, Problem> {
    node.text().map(str::to_owned)
}

fn texts(node: &Node) -> Result<Vec<String>, Problem> {
    node.list()?.iter().map(text).collect()
}

fn sentence(node: &Node) -> Result<String, Problem> {
    let text = node.text()?.trim();
    if text.is_empty() { Err(node.problem("say it in a sentence")) } else { Ok(text.to_owned()) }
}

fn known(node: &Node, what: &str, all: &[&str]) -> Result<String, Problem> {
    let name = node.text()?;
    if all.contains(&name) { Ok(name.to_owned()) } else { Err(unknown(node, what, name, all)) }
}

fn unknown(node: &Node, what: &str, name: &str, all: &[&str]) -> Problem {
    let problem = node.problem(format!("there is no {what} `{name}`"));
    match closest(name, all) {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem,
    }
}
