//! Commands.

pub mod bench;
pub mod clean;
pub mod doc;
pub mod doctor;
pub mod down;
pub mod exit;
pub mod list;
pub mod meshes;
pub mod mutants;
pub mod report;
pub mod run;
pub mod status;
pub mod up;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use meshproof_lab::cluster::ClusterError;
use meshproof_lab::host_changes::{self, HostChanges};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_model::scenario::{Problems, discover};
use meshproof_report as reports;

/// Proves, on a real cluster, what a document promises about a gateway in front of an Istio mesh.
#[derive(Debug, Parser)]
#[command(
    name = "meshproof",
    version,
    after_help = "Exit codes: 0 proved, 1 a claim failed or the document differs, 2 usage, 3 the environment is \
    not fit, 4 setting up failed, 5 nothing selected."
)]
pub struct Cli {
    /// Whether the host may be changed: packages, a Docker Engine, kernel limits, firewall rules. Without it that is asked for on
    /// the terminal, and refused where there is none
    #[arg(long, global = true, value_name = "allow|refuse", env = host_changes::VARIABLE, hide_possible_values = true)]
    host_changes: Option<HostChanges>,
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up a cluster with Istio and the gateway
    Up(up::UpArgs),
    /// Remove everything `up` made
    Down(down::DownArgs),
    /// Remove what runs that were killed, or kept something, have left in a cluster
    Clean(clean::CleanArgs),
    /// Say what is running, and how to curl it
    Status(status::StatusArgs),
    /// Prove scenarios
    Run(run::RunArgs),
    /// List scenarios, and what proves each requirement
    List(list::ListArgs),
    /// Put gateways that are wrong on purpose to the test: each must turn a scenario red, for the right reason
    Mutants(mutants::MutantsArgs),
    /// Run scenarios on meshes as strangers have them: each has to be proved, or refused by the setting's name
    Meshes(meshes::MeshesArgs),
    /// Compare runs, or make one report of several
    Report(report::ReportArgs),
    /// Say what this host has, what will be used, what is missing
    Doctor(doctor::DoctorArgs),
    /// Compare an edition of the document with what the scenarios know of it
    Doc(doc::DocArgs),
    /// Measure
    Bench(bench::BenchArgs),
}

/// Where scenarios are.
#[derive(Debug, Clone, Args)]
pub struct RootArgs {
    /// Folder with scenarios; without it, `scenarios` here or in a folder above
    #[arg(long, value_name = "FOLDER")]
    pub scenarios: Option<PathBuf>,
}

impl RootArgs {
    /// The folder; says so if there is none.
    fn find(&self) -> Option<PathBuf> {
        let here = std::env::current_dir().unwrap_or_default();
        let root = self.scenarios.clone().or_else(|| discover::default_root(&here));
        if root.is_none() {
            eprintln!(
                "there is no folder `scenarios` in {} or above; name one with --scenarios",
                here.display()
            );
        }
        root
    }
}

/// Which gateway is put to the test.
#[derive(Debug, Clone, Args)]
pub struct ImplementationArgs {
    /// File that describes the gateway under test; without it, the one of this workspace
    #[arg(long, value_name = "FILE", env = "MESHPROOF_IMPLEMENTATION")]
    pub implementation: Option<PathBuf>,
}

impl ImplementationArgs {
    /// The file as the kernel names it; nothing for the built-in one.
    fn file(&self) -> Option<PathBuf> {
        self.implementation.as_ref().map(|file| file.canonicalize().unwrap_or_else(|_| file.clone()))
    }

    /// The folder of the file and of those it names.
    fn folder(&self) -> Option<PathBuf> {
        self.file()?.parent().map(std::path::Path::to_owned)
    }

    /// The implementation; says what is wrong with its file.
    fn load(&self) -> Option<Implementation> {
        let chosen = Implementation::choose(self.implementation.as_deref());
        chosen.map_err(|problem| tell(&problem.into())).ok()
    }
}

impl Cli {
    /// Reads the command line, which a faulty one ends. Commands that follow another know which arguments were given.
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let (Command::Run(args), Some(matches)) = (&mut cli.command, matches.subcommand_matches("run")) {
            args.given = run::given(matches);
        }
        cli
    }
}

/// Runs the command of these arguments; the exit code.
pub async fn main(cli: Cli) -> u8 {
    host_changes::say(cli.host_changes);
    let terminal = reports::terminal(false);
    let progress = terminal.as_ref();
    match &cli.command {
        Command::Up(args) => up::run(args, progress).await,
        Command::Down(args) => ended(down::run(args, progress).await),
        Command::Clean(args) => ended(clean::run(args).await),
        Command::Status(args) => ended(status::run(args).await),
        Command::Doctor(args) => diagnosed(doctor::run(args).await),
        Command::Bench(args) => ended(bench::run(args, progress).await),
        Command::Run(args) => run::run(args).await,
        Command::List(args) => list::run(args),
        Command::Mutants(args) => mutants::run(args).await,
        Command::Meshes(args) => meshes::run(args, progress).await,
        Command::Report(args) => report::run(args),
        Command::Doc(args) => doc::run(args),
    }
}

fn diagnosed(report: Result<meshproof_lab::doctor::DoctorReport, meshproof_lab::cache::CacheError>) -> u8 {
    match report {
        Ok(report) if report.fit => exit::PROVED,
        Ok(_) => exit::UNFIT,
        Err(error) => {
            eprintln!("{error}");
            exit::UNFIT
        }
    }
}

fn ended(result: Result<(), ClusterError>) -> u8 {
    match result {
        Ok(()) => exit::PROVED,
        Err(error) => {
            eprintln!("{error}");
            exit::of(&error)
        }
    }
}

/// The document's catalogue; says so if it is not well formed.
fn catalogue() -> Option<Catalogue> {
    Catalogue::built_in().map_err(|error| eprintln!("{error}")).ok()
}

/// Shows what is wrong with scenarios, each with its place in the file.
fn tell(problems: &Problems) {
    for problem in &problems.0 {
        eprintln!("{}", problem.show());
    }
}
