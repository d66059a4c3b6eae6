//! `meshproof doc`: an edition of the document against what the scenarios know of it, and any page as a pack.

pub mod scaffold;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{EditionArgs, ImplementationArgs, RootArgs, exit};
use meshproof_document::compare::{self, Comparison};
use meshproof_document::cover::World;
use meshproof_document::known::Known;
use meshproof_document::page::{self, Page};
use meshproof_document::places::File;
use meshproof_document::{Fragment, extract, hints, input, report};
use meshproof_model::pack::Pack;
use meshproof_model::requirement::{Catalogue, Document};
use meshproof_model::visible;
use meshproof_run::scenario::Scenario;

/// Folders below the scenarios' whose files nobody edits by hand.
const WRITTEN: &[&str] = &["documents", "snapshots", "src", "tests", "target"];

/// Folders beside the scenarios' that hold values of the document, too: versions and names of charts.
const BESIDE: &[&str] = &["implementations", "extension/charts"];

/// Arguments of `meshproof doc`.
#[derive(Debug, Clone, Args)]
pub struct DocArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: DocCommand,
}

/// What can be done with a document.
#[derive(Debug, Clone, Subcommand)]
pub enum DocCommand {
    /// Say what of it is covered, changed, new or gone; 0 if everything is covered, 1 if not
    Check(CheckArgs),
    /// Print the data of this edition, for `scenarios/documents/`; 2 if there are documents already and it is an edition of none
    Fingerprint(FingerprintArgs),
    /// Make a pack of any how-to page: its commands as steps, what it prints as claims, its sentences as requirements to be judged
    Scaffold(scaffold::ScaffoldArgs),
}

/// Which document, and against what.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// The document, as Markdown; `-` reads standard input
    pub file: PathBuf,
    /// Data to compare it with; without it, the edition below `scenarios/documents` that is nearest to it
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// The pack it is compared with
    #[command(flatten)]
    pub root: RootArgs,
}

/// Arguments of `meshproof doc check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Which document
    #[command(flatten)]
    pub page: PageArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// List what is covered, too
    #[arg(long)]
    pub all: bool,
    /// Compare with this edition
    #[command(flatten)]
    pub edition: EditionArgs,
}

/// Arguments of `meshproof doc fingerprint`.
#[derive(Debug, Clone, Args)]
pub struct FingerprintArgs {
    /// Which document
    #[command(flatten)]
    pub page: PageArgs,
}

/// Runs `meshproof doc`; the exit code.
pub fn run(args: &DocArgs) -> u8 {
    let result = match &args.command {
        DocCommand::Check(args) => check(args),
        DocCommand::Fingerprint(args) => fingerprint(args),
        DocCommand::Scaffold(args) => scaffold::run(args),
    };
    result.unwrap_or_else(|trouble| {
        eprintln!("{trouble}");
        exit::USAGE
    })
}

fn check(args: &CheckArgs) -> Result<u8, String> {
    let read = Reading::of(&args.page, args.edition.edition.as_deref())?;
    let Some(known) = &read.known else {
        let folder = &read.pack.documents;
        return Err(format!(
            "there is no data to compare with in {}; `meshproof doc fingerprint` prints it",
            folder.display()
        ));
    };
    if let Some(stranger) = read.stranger(known, &args.page.file) {
        return Err(stranger);
    }
    // The document is about this one.
    let implementation = ImplementationArgs::default().load(&read.pack);
    let implementation = implementation.ok_or("without a gateway the scenarios cannot be read")?;
    let (root, catalogue) = (&read.pack.scenarios, &read.pack.catalogue);
    let scenarios = Scenario::load_all(root, catalogue, &implementation).map_err(|problems| {
        super::tell(&problems);
        "the scenarios are not well formed".to_owned()
    })?;
    let edition = &known.document.edition;
    // What is not of the pack's editions (a file that is named, perhaps) is compared with everything.
    let proves = |scenario: &&Scenario| {
        !read.pack.editions.contains(edition) || read.pack.holds_in(scenario.editions(), edition)
    };
    let outlines: Vec<_> = scenarios.iter().filter(proves).map(Scenario::outline).collect();
    let world = World::new(catalogue, &outlines, &known.document).with_editions(&read.editions);
    let files = files(root);
    let comparison = compare::compare(&read.page, &read.fragments, known, &world, &files);
    let comparison = relative(comparison);
    if args.json {
        println!("{}", visible::pretty(&comparison).map_err(|error| error.to_string())?);
    } else {
        print!("{}", report::text(&comparison, &args.page.file.display().to_string(), args.all));
    }
    Ok(if comparison.covered { exit::PROVED } else { exit::FAILED })
}

fn fingerprint(args: &FingerprintArgs) -> Result<u8, String> {
    let read = Reading::of(&args.page, None)?;
    let stranger = read.known.as_ref().and_then(|known| read.stranger(known, &args.page.file));
    let before = read.known.as_ref().filter(|_| stranger.is_none());
    let name = before.map_or_else(|| read.name(&args.page.file), |known| known.document.name.clone());
    let edition = read.page.edition.clone().unwrap_or_else(|| "undated".to_owned());
    let hints = hints::hints(&read.fragments, before, Document { name, edition });
    print!("{}", visible::yaml(&hints.to_yaml().map_err(|error| error.to_string())?));
    // What is printed is right for a document of its own; whoever meant another edition has the wrong page.
    match stranger {
        Some(stranger) => Err(stranger),
        None => Ok(exit::PROVED),
    }
}

/// A document that was read, with the data it is compared with.
struct Reading {
    pack: Pack,
    page: Page,
    fragments: Vec<Fragment>,
    known: Option<Known>,
    /// What is known of all editions.
    editions: Vec<Known>,
}

impl Reading {
    fn of(args: &PageArgs, edition: Option<&str>) -> Result<Self, String> {
        let text = text(&args.file)?;
        let pack = args.root.load().ok_or("without a pack there is nothing to compare with")?;
        let edition = edition.map(|asked| pack.edition(asked)).transpose()?;
        let page = page::read(&text);
        let fragments = extract::fragments(&page);
        let editions = editions(&pack.documents, &pack.catalogue)?;
        let nearest = match (&args.against, edition) {
            (Some(file), _) => Some(known(file, &pack.catalogue)?),
            (None, Some(edition)) => editions.iter().find(|known| known.document.edition == edition).cloned(),
            (None, None) => editions
                .iter()
                .max_by_key(|known| {
                    (compare::familiarity(known, &fragments), known.document.edition.as_str())
                })
                .cloned(),
        };
        Ok(Self { page, fragments, known: nearest, editions, pack })
    }

    /// Why the page is no edition of what is known, if it is none.
    fn stranger(&self, known: &Known, file: &Path) -> Option<String> {
        let (likeness, file) = (compare::likeness(known, &self.fragments), file.display());
        let Document { name, edition } = &known.document;
        let what = match likeness {
            likeness if likeness >= compare::EDITION => return None,
            0.0 => format!("nothing in {file} is known from {name}, edition {edition}"),
            // Rounded down: what is refused is never told as what would not be.
            likeness => format!(
                "{file} is hardly an edition of {name}: it says {:.0} % of what edition {edition} says, an edition says {:.0} % \
                 and more",
                (likeness * 100.0).floor(),
                compare::EDITION * 100.0
            ),
        };
        Some(format!(
            "{what}: is it the right document? (`meshproof doc fingerprint {file}` prints the data of a new one)"
        ))
    }

    /// What a document of its own is called: after its file, or its title if it came without one.
    fn name(&self, file: &Path) -> String {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let titled = || {
            let title = self.page.title.as_deref().unwrap_or("untitled").to_lowercase();
            let words: Vec<_> =
                title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
            words.join("-")
        };
        stem.filter(|stem| stem != "-").unwrap_or_else(titled)
    }
}

/// Reads the document itself.
fn text(file: &Path) -> Result<String, String> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    input::text(bytes).map_err(|why| format!("{} {why}", file.display()))
}

pub(super) fn known(file: &Path, catalogue: &Catalogue) -> Result<Known, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Known::parse(&text, catalogue).map_err(|error| format!("{}: {error}", file.display()))
}

/// The data of every edition, sorted by the names of the files.
fn editions(folder: &Path, catalogue: &Catalogue) -> Result<Vec<Known>, String> {
    edition_files(folder).iter().map(|file| known(file, catalogue)).collect()
}

/// The files with the data of editions, sorted by their names; none where there is no such folder.
pub(super) fn edition_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_yaml(path)).collect();
    files.sort();
    files
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Files in which a value of the document may have to be replaced.
fn files(root: &Path) -> Vec<File> {
    let mut paths = Vec::new();
    walk(root, &mut paths);
    let workspace = root.parent().unwrap_or(root);
    BESIDE.iter().for_each(|folder| walk(&workspace.join(folder), &mut paths));
    paths.sort();
    let read = |path: PathBuf| {
        Some(File { text: std::fs::read_to_string(&path).ok()?, path: short(&path).display().to_string() })
    };
    paths.into_iter().filter_map(read).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let written = path.file_name().is_some_and(|name| WRITTEN.iter().any(|written| name == *written));
        if path.is_dir() && !path.is_symlink() && !written {
            walk(&path, found);
        } else if is_yaml(&path) && path.is_file() {
            found.push(path);
        }
    }
}

/// A path as seen from the working directory.
fn short(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_owned()
}

fn relative(mut comparison: Comparison) -> Comparison {
    for step in comparison.fragments.iter_mut().flat_map(|finding| &mut finding.steps) {
        step.file = short(&step.file);
    }
    comparison
}
