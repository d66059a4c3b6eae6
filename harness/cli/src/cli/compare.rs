//! `meshproof compare`: puts several gateways to the same promises, one after the other on one cluster, and writes one page about
//! all of them.

mod run;

use std::path::PathBuf;

use clap::Args;

use super::up::ClusterSpecArgs;
use super::{RootArgs, VarsArgs, exit};
use meshproof_model::visible;
use meshproof_report::Report;
use meshproof_report::compare::{self, Comparison};

/// Arguments of `meshproof compare`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Writes comparison.html, comparison.md and comparison.json.\nExit codes: 0 nothing went wrong with any of them, 1 \
    a claim failed, or the table is another than the one it is held against, 2 usage, 3 the environment is not fit, 4 setting up failed."
)]
pub struct CompareArgs {
    /// Gateways, in the order of their columns: names in `implementations/` of the pack or the checkout, or files
    #[arg(value_name = "GATEWAY", required_unless_present = "reports", conflicts_with = "reports")]
    pub gateways: Vec<String>,
    /// Make the page again from what runs have left behind, without a cluster: folders of results, or report.json files
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    pub reports: Vec<PathBuf>,
    /// Only this scenario; may be given several times. Each gateway is put to those that are about it
    #[arg(long, value_name = "NAME", conflicts_with = "reports")]
    pub scenario: Vec<String>,
    /// Only scenarios that prove this requirement; may be given several times
    #[arg(long, value_name = "REQUIREMENT", conflicts_with = "reports")]
    pub only: Vec<String>,
    /// Of which edition
    #[command(flatten)]
    pub edition: super::EditionArgs,
    /// Where to write the page; without it, a folder of its own in --results, or nowhere with --reports
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
    /// Say as well whether it is the same table as this earlier one (a comparison.json), but for times and counts
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print Markdown
    #[arg(long)]
    pub markdown: bool,
    /// What is to be proved
    #[command(flatten)]
    pub root: RootArgs,
    /// The cluster to run on; made if it is not there
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Run on an existing cluster, as `run --context` does
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cluster", "nodes", "istio", "reports"])]
    pub context: Option<String>,
    /// Where the nodes of an existing cluster pull this workspace's images from
    #[arg(long, value_name = "PREFIX", requires = "context")]
    pub images_from: Option<String>,
    /// What pack, implementations and scenarios leave to whoever runs them
    #[command(flatten)]
    pub vars: VarsArgs,
    /// Where to write results: one folder for each comparison, with one for each gateway
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof/compare")]
    pub results: PathBuf,
    /// Tell every observation
    #[arg(long, short)]
    pub verbose: bool,
}

/// Runs `meshproof compare`; the exit code.
pub async fn run(args: &CompareArgs) -> u8 {
    let (code, reports, into) = if args.reports.is_empty() {
        match run::all(args).await {
            Ok(ran) => (ran.code, ran.reports, Some(args.into.clone().unwrap_or(ran.folder))),
            Err(code) => return code,
        }
    } else {
        match read(&args.reports) {
            Ok(reports) => (exit::PROVED, reports, args.into.clone()),
            Err(error) => {
                eprintln!("{error}");
                return exit::USAGE;
            }
        }
    };
    match made(args, &reports, into.as_deref()) {
        // With reports only, what went wrong in them is their own exit code's matter, and is told all the same.
        Ok((comparison, _)) if !args.reports.is_empty() && !comparison.is_good() => code.max(exit::FAILED),
        Ok((_, false)) => code.max(exit::FAILED),
        Ok(_) => code,
        Err(why) => {
            eprintln!("{why}");
            code.max(exit::USAGE)
        }
    }
}

/// Reads reports, with where each stands.
fn read(folders: &[PathBuf]) -> Result<Vec<(Report, Option<PathBuf>)>, String> {
    let one = |folder: &PathBuf| {
        let report = Report::read(folder).map_err(|error| error.to_string())?;
        let page =
            if folder.is_dir() { folder.join("report.html") } else { folder.with_file_name("report.html") };
        Ok((report, page.is_file().then_some(page)))
    };
    folders.iter().map(one).collect()
}

/// Makes the table, prints and writes it; whether it is the one that it is held against.
fn made(
    args: &CompareArgs,
    reports: &[(Report, Option<PathBuf>)],
    into: Option<&std::path::Path>,
) -> Result<(Comparison, bool), String> {
    let all: Vec<Report> = reports.iter().map(|(report, _)| report.clone()).collect();
    let mut comparison = compare::of(&all).map_err(|error| error.to_string())?;
    if let Some(into) = into {
        // A page that is passed on alone leads nowhere: only what lies below it is linked.
        for (gateway, (_, page)) in comparison.gateways.iter_mut().zip(reports) {
            let below = page.as_ref().and_then(|page| page.strip_prefix(into).ok());
            gateway.report = below.map(|page| page.display().to_string());
        }
        comparison.write(into).map_err(|error| error.to_string())?;
    }
    let same = match &args.against {
        None => true,
        Some(file) => is_same(&comparison, file)?,
    };
    if args.json {
        println!(
            "{}",
            visible::pretty(&comparison)
                .map_err(|error| format!("writing the comparison as JSON: {error}"))?
        );
    } else if args.markdown {
        print!("{}", comparison.markdown());
    } else {
        print!("{}", comparison.text());
    }
    if let Some(into) = into {
        eprintln!("{}", into.join("comparison.html").display());
    }
    Ok((comparison, same))
}

/// Whether an earlier table says the same; says in which rows it does not.
fn is_same(now: &Comparison, file: &std::path::Path) -> Result<bool, String> {
    let doing = format!("reading the comparison {}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| format!("{doing}: {error}"))?;
    let before: Comparison = serde_json::from_str(&text)
        .map_err(|error| format!("{doing}: it is no comparison.json of this meshproof: {error}"))?;
    let differences = now.differences(&before).map_err(|error| format!("{doing}: {error}"))?;
    match differences.is_empty() {
        true => eprintln!("the same table as {}", file.display()),
        false => eprintln!("another table than {}: {}", file.display(), differences.join("; ")),
    }
    Ok(differences.is_empty())
}
