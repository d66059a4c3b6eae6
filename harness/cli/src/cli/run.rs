//! `meshproof run`: proves scenarios and says what came of it.

mod again;
pub(super) mod basis;
mod choose;
mod kinds;
mod opening;
mod plan;
mod selection;
mod session;
pub(super) mod stop;
mod watch;

pub(super) use choose::about;
pub(super) use opening::{Opening, run_name};
pub(super) use session::lock;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

pub(super) use self::again::given;
use self::choose::Chosen;
use self::selection::Share;
use self::session::About;
use super::exit;
use super::up::ClusterSpecArgs;
use meshproof_cluster::existing;
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_run::runner::Keep;

/// Arguments of `meshproof run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenarios or folders of them; without any, all that are not broken on purpose
    pub names: Vec<String>,
    /// Only scenarios that prove this requirement; may be given several times
    #[arg(long, value_name = "REQUIREMENT")]
    pub only: Vec<String>,
    /// Only what the newest run did not prove or did not come to, as that was asked to run: implementation, cluster, Istio. What
    /// it proved is carried over if it rests on the same things; what is proved only now is told to be flaky. Not in CI
    #[arg(long, conflicts_with = "names")]
    pub rerun_failed: bool,
    /// Run a scenario that is not proved again, so often at most; one that is proved only then is told to be flaky. Not in CI
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub retries: u32,
    /// Only one of several shares, which together are everything selected; balanced if the newest run knows how long each
    /// scenario takes
    #[arg(long, value_name = "I/N")]
    pub partition: Option<Share>,
    /// Run everything selected so often, one round after the other; what needs another cluster, or Istio gone, has all its
    /// rounds after the rest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Stay, and run again what a changed file touches: a scenario, its manifests, a source of the gateway's images and
    /// charts. A changed meshproof has to be started again
    #[arg(long, conflicts_with_all = ["repeat", "partition", "rerun_failed"])]
    pub watch: bool,
    /// Say what would run, and run nothing
    #[arg(long, conflicts_with = "watch")]
    pub list: bool,
    /// Say every object, command, wait and claim in order, as it would be with this implementation, and do nothing. Neither a
    /// cluster nor images are needed
    #[arg(long, conflicts_with_all = ["watch", "list"])]
    pub plan: bool,
    /// With --plan: print JSON
    #[arg(long, requires = "plan")]
    pub json: bool,
    /// What is to be proved
    #[command(flatten)]
    pub root: super::RootArgs,
    /// Of which edition
    #[command(flatten)]
    pub edition: super::EditionArgs,
    /// The cluster to run on; made if it is not there
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Run on an existing cluster, which is never created or deleted: the one of this context in your kubeconfig.
    /// Refused if it holds anything the scenarios would overwrite
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cluster", "nodes", "istio", "watch"])]
    pub context: Option<String>,
    /// Where the nodes of an existing cluster pull this workspace's images from: what stands before /NAME:TAG
    #[arg(long, value_name = "PREFIX", requires = "context")]
    pub images_from: Option<String>,
    /// Keep evidence of these namespaces only; without it, of all that a failure concerns, and on an existing cluster of the
    /// scenario's own and the gateway's. Credentials are never kept
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
    pub evidence_of: Vec<String>,
    /// The gateway under test
    #[command(flatten)]
    pub implementation: super::ImplementationArgs,
    /// Which scenarios to leave in the cluster; `always` takes one scenario only
    #[arg(long, value_enum, default_value_t = Keep::Never)]
    pub keep: Keep,
    /// Where to write results: one folder for each run, `latest` for the newest
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof")]
    pub results: PathBuf,
    /// Tell every observation
    #[arg(long, short)]
    pub verbose: bool,
    /// Names of the arguments that a person gave
    #[arg(skip)]
    pub given: std::collections::BTreeSet<String>,
}

impl RunArgs {
    /// What cannot be had together, beyond what single flags exclude.
    fn contradiction(&self) -> Option<&'static str> {
        match self.keep {
            Keep::Always if self.repeat > 1 => {
                Some("--keep always leaves nothing to repeat on; --keep failed stops at the first failure")
            }
            _ if self.retries > 0 && (self.repeat > 1 || self.watch) => Some(
                "--repeat asks whether it holds every time, and --watch runs again by itself: neither goes with --retries",
            ),
            Keep::Always if self.watch => Some(
                "--keep always leaves nothing to run again on; --keep failed leaves what failed until it runs again",
            ),
            _ => None,
        }
    }

    /// Why so many scenarios cannot be run: what one leaves behind is in the way of the next.
    fn too_many(&self, number: usize) -> Option<String> {
        let is_kept = self.keep == Keep::Always && number > 1;
        is_kept.then(|| {
            format!(
                "--keep always leaves no room for a second scenario, and {number} are selected: name one, or leave only \
                 what fails with --keep failed"
            )
        })
    }
}

/// Runs `meshproof run`; the exit code.
pub async fn run(args: &RunArgs) -> u8 {
    until(args, stop::on_signal).await
}

/// The same; what ends it early is asked for once the run begins.
pub(super) async fn until(args: &RunArgs, stop: impl FnOnce() -> CancellationToken) -> u8 {
    if let Some(contradiction) = args.contradiction() {
        eprintln!("{contradiction}");
        return exit::USAGE;
    }
    if let Some(off) = again::off_in_ci(args, std::env::var("CI").ok().as_deref()) {
        eprintln!("{off}");
        return exit::USAGE;
    }
    let mut following = args.clone();
    if following.rerun_failed && following.implementation.implementation.is_some() {
        // What it follows is told by its file.
        let found = following.root.load().and_then(|pack| following.implementation.found(&pack));
        let Some(found) = found else { return exit::USAGE };
        following.implementation = found;
    }
    let parent = match again::follow(&mut following) {
        Ok(parent) => parent,
        Err(code) => return code,
    };
    let Some(pack) = following.root.load() else { return exit::USAGE };
    let Some(found) = following.implementation.found(&pack) else { return exit::USAGE };
    following.implementation = found;
    let args = &following;
    if args.watch {
        return watch::run(args, pack).await;
    }
    let Some(implementation) = under_test(args, &pack) else { return exit::USAGE };
    let implementation = Arc::new(in_mesh_of(args, implementation).await);
    match choose::choose(&pack, args, parent.as_ref(), &implementation) {
        Ok(chosen) if args.list => {
            chosen.scenarios.iter().for_each(|scenario| println!("{}", scenario.id));
            exit::PROVED
        }
        Ok(chosen) if args.plan => plan::show(&implementation, &chosen.scenarios, args.json),
        Ok(Chosen { scenarios, partition }) => {
            if let Some(too_many) = args.too_many(scenarios.len()) {
                eprintln!("{too_many}");
                return exit::USAGE;
            }
            let about = About { pack: &pack, parent: parent.as_ref(), partition };
            session::prove(args, &implementation, &scenarios, about, stop()).await.code
        }
        Err(code) => code,
    }
}

/// The implementation, put to the edition that is asked for.
fn under_test(args: &RunArgs, pack: &Pack) -> Option<Implementation> {
    let edition = args.edition.of(pack)?;
    let mut implementation = args.implementation.load(pack)?;
    implementation.edition = edition;
    Some(implementation)
}

/// The implementation as it is in the mesh of an existing cluster: manifests name identities of its trust domain, say. What cannot
/// be asked now is told when the cluster is looked at.
async fn in_mesh_of(args: &RunArgs, implementation: Implementation) -> Implementation {
    let Some(context) = args.context.as_ref().filter(|_| !args.list && !args.plan) else {
        return implementation;
    };
    match existing::mesh_of(context).await {
        Some(mesh) => {
            let log_can_be_read =
                implementation.proxies.access_log.as_ref().is_none_or(|log| mesh.log_can_be_read(log));
            implementation.in_mesh(&mesh.trust_domain, log_can_be_read)
        }
        None => implementation,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        run: RunArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<RunArgs, String> {
        let arguments = std::iter::once("run").chain(arguments.iter().copied());
        Command::try_parse_from(arguments).map(|command| command.run).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for wrong in [
            &["--rerun-failed", "some"][..],
            &["--watch", "--repeat", "2"],
            &["--watch", "--partition", "1/2"],
            &["--watch", "--rerun-failed"],
            &["--watch", "--list"],
            &["--plan", "--list"],
            &["--json"],
            &["--partition", "3/2"],
            &["--repeat", "0"],
            &["--retries", "11"],
            &["--context", "c", "--watch"],
            &["--context", "c", "--nodes", "3"],
            &["--images-from", "registry.example"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [
            &["--keep", "always", "--repeat", "2"][..],
            &["--keep", "always", "--watch"],
            &["--retries", "1", "--repeat", "2"],
            &["--retries", "1", "--watch"],
        ] {
            assert!(parsed(wrong).unwrap().contradiction().is_some(), "{wrong:?}");
        }
        for right in [
            &["--keep", "failed", "--repeat", "2"][..],
            &["--keep", "always", "some"],
            &["--rerun-failed", "--only", "R1", "--partition", "1/2"],
            &["--watch", "--only", "R1", "some"],
            &["--context", "c", "--implementation", "i.yaml", "--repeat", "2"],
        ] {
            assert_eq!(parsed(right).unwrap().contradiction(), None, "{right:?}");
        }
    }

    #[test]
    fn what_is_kept_whatever_comes_of_it_leaves_room_for_nothing_else() {
        let keep = |keep| parsed(&["--keep", keep]).unwrap();
        let why = keep("always").too_many(2).unwrap();
        assert!(why.contains("2 are selected") && why.contains("--keep failed"), "{why}");
        assert_eq!(keep("always").too_many(1), None);
        assert_eq!(keep("failed").too_many(2), None);
    }
}
