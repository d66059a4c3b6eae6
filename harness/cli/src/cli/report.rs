//! `meshproof report`: compares and merges what runs left behind.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit;
use meshproof_report::{MergeError, Report, diff, merge_into};

/// Arguments of `meshproof report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// What to do with reports
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Say what is different between two runs: verdicts, answers, steps, times beyond noise
    #[command(
        after_help = "Times count as different from 25 % and 500 ms on (both), for what was proved in both \
        runs.\nExit codes: 0 no verdict got worse, 1 one did, 2 usage."
    )]
    Diff(DiffArgs),
    /// Make one report of several: shares of a selection, or repetitions
    #[command(
        after_help = "The exit code is that of the merged run; 2 if the reports do not belong together."
    )]
    Merge(MergeArgs),
}

#[derive(Debug, Clone, Args)]
struct DiffArgs {
    /// Folder of results, or a report.json: the run taken as given
    a: PathBuf,
    /// The run compared with it
    b: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct MergeArgs {
    /// Folders of results
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// Folder for the merged report, empty or not there yet
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
}

/// Runs `meshproof report`; the exit code.
pub fn run(args: &ReportArgs) -> u8 {
    match &args.command {
        Command::Diff(args) => compare(args),
        Command::Merge(args) => merge(args),
    }
}

fn compare(args: &DiffArgs) -> u8 {
    let (a, b) = match (Report::read(&args.a), Report::read(&args.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for error in [a.err(), b.err()].into_iter().flatten() {
                eprintln!("{error}");
            }
            return exit::USAGE;
        }
    };
    let diff = diff(&a, &b);
    if args.json {
        match meshproof_model::visible::pretty(&diff) {
            Ok(json) => println!("{json}"),
            Err(error) => {
                eprintln!("writing the difference as JSON: {error}");
                return exit::SETUP;
            }
        }
    } else {
        print!("{}", diff.text());
    }
    if diff.is_worse() { exit::FAILED } else { exit::PROVED }
}

fn merge(args: &MergeArgs) -> u8 {
    match merge_into(&args.reports, &args.into) {
        Ok(report) => {
            for (phase, error) in &report.errors {
                eprintln!("{phase}: {error}");
            }
            let not_run = report.not_run();
            if !not_run.is_empty() {
                eprintln!("not run: {}", not_run.join(", "));
            }
            let verdict = report.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
            println!(
                "{verdict}: {} {}, {}",
                report.scenarios.len(),
                if report.scenarios.len() == 1 { "scenario" } else { "scenarios" },
                args.into.join("report.html").display()
            );
            report.exit_code.unwrap_or(exit::SETUP)
        }
        Err(error) => {
            eprintln!("{error}");
            match error {
                MergeError::Io(_) => exit::SETUP,
                _ => exit::USAGE,
            }
        }
    }
}
