//! `meshproof mutants`: gateways, charts, meshes and sample applications that are wrong on purpose, and what became of each.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::up::ClusterSpecArgs;
use super::{exit, run, tell};
use crate::mutant::Mutant;
use crate::mutant::run::{Plan, RunError, run as put_to_the_test};
use meshproof_model::event::{EventSink, Fanout, Recorder};
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::node::closest;
use meshproof_report as report;
use meshproof_report::mutants::{Table, page};

/// Arguments of `meshproof mutants`.
#[derive(Debug, Clone, Args)]
pub struct MutantsArgs {
    /// Mutants; without any, all
    pub ids: Vec<String>,
    /// Only mutants of this requirement; may be given several times
    #[arg(long, value_name = "REQUIREMENT")]
    pub only: Vec<String>,
    /// Only those that need no image of their own: wrong values, charts, meshes and samples
    #[arg(long)]
    pub no_image: bool,
    /// Say which there are, and put none to the test
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The pack whose mutants they are
    #[command(flatten)]
    pub root: super::RootArgs,
    /// What the pack, its scenarios and the gateway leave to whoever runs them
    #[command(flatten)]
    pub vars: super::VarsArgs,
    /// The cluster to run on; made if it is not there
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Where to write results: one folder for each run, `latest` for the newest
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof/mutants")]
    pub results: PathBuf,
    /// Tell every observation
    #[arg(long, short)]
    pub verbose: bool,
}

/// What `--list --json` prints.
#[derive(Debug, Serialize)]
struct Listing<'a> {
    mutants: Vec<Listed<'a>>,
}

#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    requirement: &'a str,
    scenarios: &'a [String],
    diagnosis: &'a str,
    breaks: &'a str,
    needs_image: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_caught_because: Option<&'a str>,
}

/// Runs `meshproof mutants`; the exit code.
pub async fn run(args: &MutantsArgs) -> u8 {
    let Some(pack) = args.root.load() else { return exit::USAGE };
    let (root, catalogue) = (&pack.scenarios, &pack.catalogue);
    let Some(implementation) = args.vars.built_in(&pack) else { return exit::USAGE };
    let all = match Mutant::load_all(root, catalogue, &implementation) {
        Ok(all) => all,
        Err(problems) => {
            tell(&problems);
            return exit::USAGE;
        }
    };
    let chosen = match chosen(all, args) {
        Ok(chosen) => chosen,
        Err(why) => {
            eprintln!("nothing selected: {why}");
            return exit::NOTHING;
        }
    };
    if args.list {
        list(&chosen, args.json);
        return exit::PROVED;
    }
    let recorder = Arc::new(Recorder::default());
    let sink: Arc<dyn EventSink> =
        Arc::new(Fanout::new().with(report::terminal(args.verbose)).with(recorder));
    let results = args.results.join(run::run_name());
    let so_far = |table: &Table| {
        if let Err(error) = write(table, catalogue, &results) {
            tracing::debug!(%error, "what is known so far could not be written");
        }
    };
    let plan = Plan {
        mutants: &chosen,
        root,
        catalogue,
        implementation: &implementation,
        asked: args.spec.asked(),
        results: results.clone(),
        sink,
        so_far: &so_far,
        stop: run::stop::on_signal(),
    };
    let table = match put_to_the_test(&plan).await {
        Ok(table) => table,
        Err(error) => {
            eprintln!("no mutant could be put to the test: {error}");
            return match error {
                RunError::Cluster(error) => exit::of(&error),
                RunError::Supply(error) if error.is_unfit_host() => exit::UNFIT,
                RunError::Supply(_) => exit::SETUP,
            };
        }
    };
    if let Err(error) = write(&table, catalogue, &results) {
        eprintln!("writing the results below {}: {error}", results.display());
        return exit::SETUP;
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&table).unwrap_or_default()),
        false => print!("{}", table.text(catalogue)),
    }
    let wanted: usize = chosen.iter().map(|mutant| mutant.scenarios.len()).sum();
    if table.is_good() && table.trials.len() == wanted { exit::PROVED } else { exit::FAILED }
}

/// Writes `mutants.json`, `mutants.html` and `mutants.md`, and points `latest` at their folder.
///
/// # Errors
/// A file cannot be written.
pub fn write(table: &Table, catalogue: &Catalogue, results: &std::path::Path) -> std::io::Result<()> {
    let json = serde_json::to_string_pretty(table).map_err(std::io::Error::other)?;
    let page = page::render(table, catalogue).map_err(std::io::Error::other)?;
    std::fs::create_dir_all(results)?;
    std::fs::write(results.join("mutants.json"), json + "\n")?;
    std::fs::write(results.join("mutants.html"), page)?;
    std::fs::write(results.join("mutants.md"), table.markdown(catalogue))?;
    report::link_latest(results)
}

/// Those that are meant.
fn chosen(all: Vec<Mutant>, args: &MutantsArgs) -> Result<Vec<Mutant>, String> {
    let ids: Vec<&str> = all.iter().map(|mutant| mutant.id.as_str()).collect();
    if let Some(unknown) = args.ids.iter().find(|id| !ids.contains(&id.as_str())) {
        let near = closest(unknown, &ids).map(|near| format!("; did you mean `{near}`?"));
        return Err(format!("there is no mutant `{unknown}`{}", near.unwrap_or_default()));
    }
    let meant = |mutant: &Mutant| {
        (args.ids.is_empty() || args.ids.contains(&mutant.id))
            && (args.only.is_empty() || args.only.contains(&mutant.requirement))
            && !(args.no_image && mutant.mutation.needs_images())
    };
    let chosen: Vec<Mutant> = all.into_iter().filter(meant).collect();
    if chosen.is_empty() { Err("no mutant is meant".to_owned()) } else { Ok(chosen) }
}

fn list(mutants: &[Mutant], json: bool) {
    let listed = |mutant: &'_ Mutant| format!("{:6} {}  {}", mutant.requirement, mutant.id, mutant.breaks);
    if !json {
        mutants.iter().for_each(|mutant| println!("{}", listed(mutant)));
        return;
    }
    let mutants = mutants.iter().map(|mutant| Listed {
        id: &mutant.id,
        requirement: &mutant.requirement,
        scenarios: &mutant.scenarios,
        diagnosis: &mutant.turns_red.diagnosis,
        breaks: &mutant.breaks,
        needs_image: mutant.mutation.needs_images(),
        not_caught_because: mutant.not_caught_because.as_deref(),
    });
    let listing = Listing { mutants: mutants.collect() };
    println!("{}", serde_json::to_string_pretty(&listing).unwrap_or_default());
}
