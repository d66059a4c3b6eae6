//! A pack: what a document promises and how that is proved, as a folder of data. `pack.yaml` says what it is about and where its
//! parts are: requirements, editions, scenarios.

mod built_in;
mod catalogue;
pub mod fields;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnoses::{self, KnownCause};
use crate::event::PackInfo;
use crate::requirement::{Catalogue, Editions, Requirement};
use crate::scenario::node::{Data, Fields, Node, Problem, Source, Span, closest};
use crate::scenario::{Problems, parse};
use crate::vars::{self, Vars};

/// The file that makes a folder a pack.
pub const FILE: &str = "pack.yaml";
/// Folder of a checkout that holds its pack.
pub const FOLDER: &str = "scenarios";

/// What is promised, and where the scenarios are that prove it.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Short name; implementation files say by it what their waivers and expectations are about.
    pub name: String,
    /// What it is about, in a sentence or two.
    pub about: String,
    /// Folder of its `pack.yaml`.
    pub folder: PathBuf,
    /// Folder of its scenarios.
    pub scenarios: PathBuf,
    /// Folder with what is known of the document's editions. It need not be there.
    pub documents: PathBuf,
    /// Dates of the document's editions, the oldest first.
    pub editions: Vec<String>,
    /// Its requirements and errata.
    pub catalogue: Catalogue,
    /// What it leaves to whoever runs it.
    pub vars: Vars,
    /// Causes that it knows.
    pub diagnoses: Vec<KnownCause>,
    /// Where each of them stands, by id.
    places: BTreeMap<String, Span>,
}

/// Reads a file, so that the built-in pack needs none.
type Read<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

impl Pack {
    /// Reads the pack in a folder; its scenarios are read when they are asked for.
    ///
    /// # Errors
    /// What is wrong with `pack.yaml` or the requirements, each with its place.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        Self::read(folder, &|path| std::fs::read_to_string(path))
    }

    /// The folder of the pack at hand: the nearest one, from `working_directory` upwards, that holds `pack.yaml`, or whose folder
    /// `scenarios` does.
    pub fn at_hand(working_directory: &Path) -> Option<PathBuf> {
        let mut folders =
            working_directory.ancestors().flat_map(|folder| [folder.to_owned(), folder.join(FOLDER)]);
        folders.find(|folder| folder.join(FILE).is_file())
    }

    fn read(folder: &Path, read: Read<'_>) -> Result<Self, Problems> {
        let root = parse::document(&source(&folder.join(FILE), read)?)?;
        let mut fields = root.fields()?;
        let name = name(fields.need("name")?)?;
        let about = sentence(fields.need("about")?)?;
        let requirements = fields.take("requirements");
        let editions = fields.need("editions")?;
        let scenarios = inside(&mut fields, "scenarios", "scenarios", folder)?;
        let documents = inside(&mut fields, "documents", "documents", folder)?;
        let declared = vars::declarations(fields.take("vars"))?;
        let causes = fields.take(diagnoses::KEY);
        fields.finish()?;
        let diagnoses = causes_of(causes, folder, read)?;
        let file = requirements.map_or(Ok("requirements.yaml"), Node::text)?;
        let source = source(&folder.join(file), read).map_err(|problem| match requirements {
            // Where the file is named, the name can be mended.
            Some(node) => node.problem(problem.to_string()),
            None => problem,
        })?;
        let (catalogue, places) = catalogue::read(&source)?;
        let editions = dates(editions)?;
        let pack = Self {
            name,
            about,
            folder: folder.to_owned(),
            scenarios,
            documents,
            editions,
            catalogue,
            vars: Vars { declared, ..Vars::default() },
            diagnoses,
            places,
        };
        match pack.undated(&source) {
            problems if problems.is_empty() => Ok(pack),
            problems => Err(Problems(problems)),
        }
    }

    /// Where a requirement or an erratum stands.
    pub fn place(&self, id: &str) -> Option<&Span> {
        self.places.get(id)
    }

    /// Whether something that is meant of these editions is meant of this one; of one that the pack does not know nothing is.
    pub fn holds_in(&self, editions: Editions<'_>, edition: &str) -> bool {
        let at = |date: &str| self.editions.iter().position(|known| known == date);
        let Some(now) = at(edition) else { return false };
        let since = editions.since.and_then(at);
        let until = editions.until.and_then(at);
        since.is_none_or(|since| since <= now) && until.is_none_or(|until| now <= until)
    }

    /// The edition that a person names.
    ///
    /// # Errors
    /// There is none of that date: the nearest is named.
    pub fn edition(&self, asked: &str) -> Result<&str, String> {
        let known: Vec<&str> = self.editions.iter().map(String::as_str).collect();
        if let Some(edition) = known.iter().find(|edition| **edition == asked) {
            return Ok(edition);
        }
        // Dates sort as they are written: the last before it is what people read on that day.
        let before = || known.iter().copied().filter(|edition| *edition <= asked).max();
        let near = closest(asked, &known).or_else(before).or_else(|| known.iter().copied().min());
        let name = &self.catalogue.document.name;
        let near = near.map(|near| format!("; the nearest is {near}")).unwrap_or_default();
        Err(format!("there is no edition {asked} of {name}{near} (of {})", known.join(", ")))
    }

    /// What reports say of the pack; of one edition, if one is asked for.
    pub fn info(&self, edition: Option<&str>) -> PackInfo {
        let holds = |r: &&Requirement| edition.is_none_or(|edition| self.holds_in(r.editions(), edition));
        let requirements = self.catalogue.requirements.iter().filter(holds).cloned().collect();
        PackInfo { name: self.name.clone(), edition: edition.map(str::to_owned), requirements }
    }

    /// What names an edition that is none of the pack's, or ends before it begins.
    fn undated(&self, source: &Arc<Source>) -> Vec<Problem> {
        let whole = Span { source: source.clone(), start: 0, length: 1 };
        let unknown = |date: &str| {
            let known = self.editions.join(", ");
            format!("there is no edition {date} of {}; {FILE} lists {known}", self.catalogue.document.name)
        };
        let known = |date: &str| self.editions.iter().any(|edition| edition == date);
        let own = Some(&self.catalogue.document.edition).filter(|date| !known(date));
        let mut problems: Vec<Problem> = own.map(|date| whole.problem(unknown(date))).into_iter().collect();
        let Catalogue { requirements, errata, .. } = &self.catalogue;
        let requirements = requirements.iter().map(|requirement| (&requirement.id, requirement.editions()));
        let errata = errata.iter().map(|erratum| (&erratum.id, erratum.editions()));
        for (id, editions) in requirements.chain(errata) {
            let place = self.place(id).unwrap_or(&whole);
            let Editions { since, until } = editions;
            let strangers: Vec<&str> = since.into_iter().chain(until).filter(|date| !known(date)).collect();
            if strangers.is_empty() && !self.editions.iter().any(|date| self.holds_in(editions, date)) {
                problems.push(place.problem(format!("{id} holds in no edition at all")));
            }
            let stranger = |date: &str| place.problem(format!("{id}: {}", unknown(date)));
            problems.extend(strangers.into_iter().map(stranger));
        }
        problems
    }
}

/// A file as it is read.
fn source(path: &Path, read: Read<'_>) -> Result<Arc<Source>, Problem> {
    match read(path) {
        Ok(text) => Ok(Arc::new(Source { path: path.to_owned(), text })),
        Err(error) => {
            let source = Arc::new(Source { path: path.to_owned(), text: String::new() });
            let problem = Span { source, start: 0, length: 0 }.problem(format!("cannot be read: {error}"));
            Err(problem.help("`meshproof pack new NAME` makes a pack that runs"))
        }
    }
}

/// The diagnoses of a pack: a list, or the name of a file that has one.
fn causes_of(node: Option<&Node>, folder: &Path, read: Read<'_>) -> Result<Vec<KnownCause>, Problem> {
    let Some(name) = node.filter(|node| matches!(node.data, Data::Text(_))) else {
        return diagnoses::all(node);
    };
    let source =
        source(&folder.join(name.text()?), read).map_err(|problem| name.problem(problem.to_string()))?;
    let root = parse::document(&source)?;
    let mut fields = root.fields()?;
    let list = fields.need(diagnoses::KEY)?;
    fields.finish()?;
    diagnoses::all(Some(list))
}

/// A name that can stand in paths, labels and links.
fn name(node: &Node) -> Result<String, Problem> {
    let name = node.text()?;
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(node.problem(format!("`{name}` is no name of a pack")).help(NAMES)),
    }
}

/// What a pack can be called.
pub const NAMES: &str = "at most 40 lower-case letters, digits and inner hyphens, a letter first";

/// Whether a pack can be called so. Namespaces and labels of a cluster are made of the name, too.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 40
        && name.chars().all(fits)
        && !name.ends_with('-')
}

fn sentence(node: &Node) -> Result<String, Problem> {
    let text = node.text()?.trim();
    match text.is_empty() {
        true => Err(node.problem("`about` says nothing").help("say in a sentence what the pack is about")),
        false => Ok(text.to_owned()),
    }
}

/// A folder of the pack; one it does not name has the usual name.
fn inside(fields: &mut Fields<'_>, key: &str, usual: &str, folder: &Path) -> Result<PathBuf, Problem> {
    let named = fields.take(key).map_or(Ok(usual), Node::text)?;
    Ok(if named == "." { folder.to_owned() } else { folder.join(named) })
}

/// Dates of editions, each once.
fn dates(node: &Node) -> Result<Vec<String>, Problem> {
    let mut dates: Vec<String> = Vec::new();
    for one in node.list()? {
        let date = one.text()?;
        if dates.iter().any(|known| known == date) {
            return Err(one.problem(format!("edition {date} is there twice")));
        }
        dates.push(date.to_owned());
    }
    match dates.is_empty() {
        true => Err(node.problem("a pack is about one edition of a document at least")),
        false => Ok(dates),
    }
}
