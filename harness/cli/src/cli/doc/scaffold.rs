//! `meshproof doc scaffold PAGE.md`: a pack of any how-to page.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit;
use meshproof_document::page;
use meshproof_document::scaffold::{Scaffold, slug};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::Problems;
use meshproof_run::scenario::Scenario;

/// The largest page that is read, in bytes: what people read is far smaller.
const LARGEST: usize = 4 * 1024 * 1024;

/// Arguments of `meshproof doc scaffold`.
#[derive(Debug, Clone, Args)]
pub struct ScaffoldArgs {
    /// The page, as Markdown; `-` reads standard input
    pub file: PathBuf,
    /// Folder to write, which must not exist or be empty; without it, one of the pack's name here
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// What the pack and its scenario are called; without it, as the file is, or as the page's title says
    #[arg(long)]
    pub name: Option<String>,
}

/// Writes the pack; the exit code.
pub(super) fn run(args: &ScaffoldArgs) -> Result<u8, String> {
    let text = super::text(&args.file)?;
    if text.len() > LARGEST {
        let file = args.file.display();
        return Err(format!(
            "{file} has {} bytes, and a page has {LARGEST} at most; cut out what is no how-to",
            text.len()
        ));
    }
    let page = page::read(&text);
    let stem =
        args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).filter(|stem| stem != "-");
    let named = args.name.clone().or(stem).or_else(|| page.title.clone()).unwrap_or_default();
    if args.name.as_ref().is_some_and(|name| *name != slug(name)) {
        return Err(format!(
            "a pack is not called `{named}`; small letters, digits and `-` would do: `{}`",
            slug(&named)
        ));
    }
    let mut scaffold = Scaffold::of(&page, &named);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(scaffold.name()));
    is_free(&out)?;
    readable(&mut scaffold)?;
    for (name, text) in scaffold.files() {
        write(&out.join(&name), &text)?;
    }
    println!("{}: {}", out.display(), scaffold.counts());
    for open in scaffold.open() {
        println!(
            "  L{} {}: {}",
            open.lines.0.max(1),
            open.what.split_whitespace().collect::<Vec<_>>().join(" "),
            open.reason.why
        );
    }
    println!("what to do about each: {}", out.join("README.md").display());
    Ok(exit::PROVED)
}

/// Nothing of anybody's is overwritten.
fn is_free(out: &Path) -> Result<(), String> {
    match std::fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(format!(
                "{} is not empty, and nothing is overwritten; name another folder with --out",
                out.display()
            )),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!(
            "{} cannot be the pack's folder: {error}; name another one with --out",
            out.display()
        )),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(told)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(told)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(told)
}

/// Makes comments of the steps that the loader refuses: what is written can be read, all of it.
///
/// # Errors
/// Something is refused that is no step of the page.
pub fn readable(scaffold: &mut Scaffold) -> Result<(), String> {
    let implementation = Implementation::built_in().map_err(|problem| problem.to_string())?;
    loop {
        let files = scaffold.files();
        let Err(problems) = load(&files, scaffold.name(), &implementation)? else { return Ok(()) };
        let mut refused = false;
        for problem in &problems.0 {
            let file = problem.span.source.path.file_name().map(|name| name.to_string_lossy().into_owned());
            let help = problem.help.iter().map(|help| format!(" ({help})")).collect::<String>();
            let (line, _) = problem.span.position();
            refused |=
                scaffold.refuse(&file.unwrap_or_default(), line, &format!("{}{help}", problem.message));
        }
        if !refused {
            let all: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
            return Err(format!("what was made of the page cannot be read: {}", all.join("; ")));
        }
    }
}

/// Reads the scenario of a pack that is not written yet.
///
/// # Errors
/// Its requirements are not well formed; inside, what is wrong with the scenario.
pub fn load(
    files: &BTreeMap<String, String>,
    name: &str,
    implementation: &Implementation,
) -> Result<Result<Scenario, Problems>, String> {
    let catalogue = files.get("requirements.yaml").map(String::as_str).unwrap_or_default();
    let catalogue = Catalogue::parse(catalogue).map_err(|error| error.to_string())?;
    let read = |path: &Path| {
        let name = path.to_string_lossy().replace('\\', "/");
        files.get(&name).cloned().ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))
    };
    Ok(Scenario::load_with(Path::new(name), name, &catalogue, implementation, &read))
}
