//! Commands.

pub mod bench;
pub mod clean;
pub mod compare;
pub mod conformance;
pub mod doc;
pub mod doctor;
pub mod down;
pub mod exit;
pub mod list;
pub mod meshes;
pub mod mutants;
pub mod pack;
pub mod report;
pub mod run;
pub mod status;
pub mod up;

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::built_in;
use meshproof_lab::cluster::ClusterError;
use meshproof_lab::host_changes::{self, HostChanges};
use meshproof_model::implementation::{Implementation, find};
use meshproof_model::pack::Pack;
use meshproof_model::scenario::Problems;
use meshproof_model::vars::{self, Declarations, Values};
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
    Run(Box<run::RunArgs>),
    /// Run the Gateway API's own conformance suite against the gateway
    Conformance(conformance::ConformanceArgs),
    /// List scenarios, and what proves each requirement
    List(list::ListArgs),
    /// Put gateways that are wrong on purpose to the test: each must turn a scenario red, for the right reason
    Mutants(mutants::MutantsArgs),
    /// Run scenarios on meshes as strangers have them: each has to be proved, or refused by the setting's name
    Meshes(meshes::MeshesArgs),
    /// Put several gateways to the same promises, and write one page about all of them
    Compare(compare::CompareArgs),
    /// Compare runs, or make one report of several
    Report(report::ReportArgs),
    /// Say what this host has, what will be used, what is missing
    Doctor(doctor::DoctorArgs),
    /// Compare an edition of the document with what the scenarios know of it
    Doc(doc::DocArgs),
    /// Make a pack of your own, or say what is wrong with one
    Pack(pack::PackArgs),
    /// Measure
    Bench(bench::BenchArgs),
}

/// What is to be proved, and by which scenarios.
#[derive(Debug, Clone, Args)]
pub struct RootArgs {
    /// Folder of the pack: what is promised, and the scenarios that prove it. Without it, the one at hand (`pack.yaml` here, in
    /// `scenarios` here, or in a folder above), else the one that is compiled in
    #[arg(long, value_name = "FOLDER", env = "MESHPROOF_PACK")]
    pub pack: Option<PathBuf>,
    /// Folder with scenarios, instead of the pack's own
    #[arg(long, value_name = "FOLDER")]
    pub scenarios: Option<PathBuf>,
}

impl RootArgs {
    /// The pack; says what is wrong with it.
    fn load(&self) -> Option<Pack> {
        let here = std::env::current_dir().unwrap_or_default();
        let folder = match self.pack.clone().or_else(|| Pack::at_hand(&here)) {
            Some(folder) => folder,
            None => built_in::unpacked().map_err(|error| eprintln!("{error}")).ok()?,
        };
        let mut pack = Pack::load(&folder).map_err(|problems| tell(&problems)).ok()?;
        if let Some(scenarios) = &self.scenarios {
            pack.documents = scenarios.join("documents");
            pack.scenarios.clone_from(scenarios);
        }
        Some(pack)
    }
}

/// Which edition of the document is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct EditionArgs {
    /// Only what belongs to the edition of this date; without it, each scenario's own edition
    #[arg(long, value_name = "DATE")]
    pub edition: Option<String>,
}

impl EditionArgs {
    /// The edition, if one is asked for; says so if the pack has none of that date.
    fn of(&self, pack: &Pack) -> Option<Option<String>> {
        let edition = self.edition.as_deref().map(|asked| pack.edition(asked)).transpose();
        edition.map_err(|error| eprintln!("{error}")).ok().map(|edition| edition.map(str::to_owned))
    }
}

/// Which gateway is put to the test.
#[derive(Debug, Clone, Default, Args)]
pub struct ImplementationArgs {
    /// The gateway under test: a name in `implementations/` of the pack or the checkout, or a file that describes it; without it,
    /// the one of this workspace
    #[arg(long, value_name = "NAME|FILE", env = "MESHPROOF_IMPLEMENTATION")]
    pub implementation: Option<PathBuf>,
    /// What pack, implementation and scenarios leave to whoever runs them
    #[command(flatten)]
    pub vars: VarsArgs,
}

impl ImplementationArgs {
    /// The same with the file of the one that is named; says so if there is none.
    fn found(&self, pack: &Pack) -> Option<Self> {
        let file = self.implementation.as_deref().map(|named| find::file(named, pack));
        match file.transpose() {
            Ok(file) => Some(Self { implementation: file.flatten(), vars: self.vars.clone() }),
            Err(why) => {
                eprintln!("{why}");
                None
            }
        }
    }

    /// The file as the kernel names it; nothing for the built-in one.
    fn file(&self) -> Option<PathBuf> {
        self.implementation.as_ref().map(|file| file.canonicalize().unwrap_or_else(|_| file.clone()))
    }

    /// The folder of the file and of those it names.
    fn folder(&self) -> Option<PathBuf> {
        self.file()?.parent().map(std::path::Path::to_owned)
    }

    /// The implementation, for commands that run no scenario: one that is named, or is given values, is put to the pack; the built-in
    /// one needs none. Says what is wrong.
    fn alone(&self, root: &RootArgs) -> Option<Implementation> {
        if self.implementation.is_some() || !self.vars.set.is_empty() || self.vars.vars.is_some() {
            return self.load(&root.load()?);
        }
        Implementation::built_in().map_err(|problem| tell(&problem.into())).ok()
    }

    /// What its file, which was found, the pack and the scenarios leave to whoever runs them; says what is wrong with it.
    fn declared(&self, pack: &Pack) -> Option<Declarations> {
        let file = self.implementation.as_deref();
        let mut declared = Implementation::declares(file).map_err(|problem| tell(&problem.into())).ok()?;
        declared.extend(pack.vars.declared.clone());
        declared.extend(vars::of_scenarios(&pack.scenarios));
        Some(declared)
    }

    /// The implementation, as it is put to a pack; says what is wrong with its file.
    fn load(&self, pack: &Pack) -> Option<Implementation> {
        let found = self.found(pack)?;
        let file = found.implementation.as_deref();
        let declared = found.declared(pack)?;
        let given = self.vars.given(&declared).map_err(|why| eprintln!("{why}")).ok()?;
        let mut pack = pack.clone();
        pack.vars.given = given;
        let chosen = Implementation::choose_for(file, &pack);
        chosen.map_err(|problem| tell(&problem.into())).ok()
    }
}

/// Values of variables.
#[derive(Debug, Clone, Default, Args)]
pub struct VarsArgs {
    /// Value of a variable that pack, implementation or scenario declare (`vars`); may be given several times. MESHPROOF_VAR_NAME
    /// does as well. Values stand in reports: no secrets
    #[arg(long, value_name = "NAME=VALUE", value_parser = vars::setting)]
    pub set: Vec<(String, String)>,
    /// File with values of variables: names with texts, as YAML
    #[arg(long, value_name = "FILE")]
    pub vars: Option<PathBuf>,
}

impl VarsArgs {
    /// The gateway of this workspace as it is put to a pack, with these values; says what is wrong.
    fn built_in(&self, pack: &Pack) -> Option<Implementation> {
        let args = ImplementationArgs { vars: self.clone(), ..ImplementationArgs::default() };
        args.load(pack)
    }

    /// What was given with arguments and file.
    ///
    /// # Errors
    /// The file cannot be read, or is not well formed.
    fn values(&self) -> Result<(Values, Values), String> {
        let file = match &self.vars {
            None => Values::new(),
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("--vars {}: cannot be read: {error}", file.display()))?;
                vars::values(file, text).map_err(|problem| problem.show())?
            }
        };
        Ok((self.set.iter().cloned().collect(), file))
    }

    /// For each of several gateways what was given for the variables that it has: one that another has alone is not its.
    ///
    /// # Errors
    /// As [`Self::given`], for a name that none of them declares.
    fn shared_out(&self, declared: &[Declarations]) -> Result<Vec<Self>, String> {
        let all: Declarations =
            declared.iter().flatten().map(|(name, said)| (name.clone(), said.clone())).collect();
        self.given(&all)?;
        let (arguments, file) = self.values()?;
        let given: Values = file.into_iter().chain(arguments).collect();
        let own = |of: &Declarations| {
            let own = given.iter().filter(|(name, _)| of.contains_key(*name));
            own.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        Ok(declared.iter().map(|of| Self { set: own(of), vars: None }).collect())
    }

    /// What was given for these variables.
    ///
    /// # Errors
    /// As [`Self::values`], and a name that nothing declares.
    fn given(&self, declared: &Declarations) -> Result<Values, String> {
        let (arguments, file) = self.values()?;
        vars::given(declared, &arguments, &file, &|name| std::env::var(name).ok())
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
        Command::Down(args) => down::run(args, progress).await,
        Command::Clean(args) => ended(clean::run(args).await),
        Command::Status(args) => status::run(args).await,
        Command::Doctor(args) => diagnosed(doctor::run(args).await),
        Command::Bench(args) => benched(bench::run(args, progress).await),
        Command::Run(args) => run::run(args).await,
        Command::Conformance(args) => conformance::run(args).await,
        Command::List(args) => list::run(args),
        Command::Mutants(args) => mutants::run(args).await,
        Command::Meshes(args) => meshes::run(args, progress).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Report(args) => report::run(args),
        Command::Doc(args) => doc::run(args),
        Command::Pack(args) => pack::run(args),
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

fn benched(result: Result<bench::Judged, bench::BenchError>) -> u8 {
    match result {
        Ok(bench::Judged::Reached) => exit::PROVED,
        Ok(bench::Judged::Missed) => exit::FAILED,
        Ok(bench::Judged::NotUnderstood) => exit::USAGE,
        Err(error) => {
            eprintln!("{error}");
            match error {
                bench::BenchError::Cluster(error) => exit::of(&error),
                bench::BenchError::Host { .. } => exit::SETUP,
            }
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

/// Shows what is wrong with scenarios, each with its place in the file.
fn tell(problems: &Problems) {
    for problem in &problems.0 {
        eprintln!("{}", problem.show());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_is_given_the_variables_that_it_has() {
        let declares = |names: &[&str]| -> Declarations {
            names.iter().map(|name| ((*name).to_owned(), vars::Declaration::default())).collect()
        };
        let declared = [declares(&["class", "zone"]), declares(&["zone"]), declares(&[])];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "zone: of the file\nclass: of the file\n").unwrap();
        let set = vec![("class".to_owned(), "a".to_owned())];
        let given = VarsArgs { set, vars: Some(file.path().to_owned()) };
        let own: Vec<_> = given.shared_out(&declared).unwrap().into_iter().map(|args| args.set).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            own,
            [
                vec![pair("class", "a"), pair("zone", "of the file")],
                vec![pair("zone", "of the file")],
                vec![]
            ]
        );
        let nobodys = VarsArgs { set: vec![pair("clas", "a")], vars: None };
        assert!(nobodys.shared_out(&declared).unwrap_err().ends_with("did you mean `class`?"));
    }
}
