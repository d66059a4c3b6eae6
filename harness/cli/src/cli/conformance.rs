//! `meshproof conformance`: the Gateway API's own conformance suite against an implementation.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::run::{Opening, basis, lock, stop};
use super::up::{ClusterSpecArgs, not_enforced};
use super::{ImplementationArgs, RootArgs, exit};
use meshproof_cluster::conformance::{self, Conforming, Pace, planned};
use meshproof_cluster::existing::{self, ExistingSpec};
use meshproof_lab::cache::{Cache, Lock};
use meshproof_lab::cluster::implementation::{claimed_features, installed_in};
use meshproof_lab::cluster::lease::{self, Held};
use meshproof_lab::cluster::{ClusterError, InstallOptions, Target, ensure_cluster};
use meshproof_lab::supply::conformance::{Suite, suite};
use meshproof_lab::supply::{ImageSource, Wanted};
use meshproof_model::event::{
    ClusterInfo, Conformance, Event, EventSink, ImplementationInfo, PhaseEvents, Verdict,
};
use meshproof_model::implementation::Implementation;
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::verdict;
use meshproof_run::conformance::{Asked, Plan};

/// Arguments of `meshproof conformance`.
#[derive(Debug, Clone, Args)]
pub struct ConformanceArgs {
    /// Profiles of the suite, instead of those of the implementation's file; may be given several times
    #[arg(long, value_name = "GATEWAY-HTTP")]
    pub profile: Vec<String>,
    /// Only these tests; may be given several times. The suite then writes no report of its own, which would speak for all
    #[arg(long, value_name = "TEST")]
    pub name: Vec<String>,
    /// How many tests run side by side, of those that may
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parallel: u16,
    /// A limit of the suite in seconds, as the suite calls it, e.g. `MaxTimeToConsistency=10`; may be given several times
    #[arg(long, value_name = "NAME=SECONDS", value_parser = limit)]
    pub limit: Vec<(String, u32)>,
    /// The cluster to run on; made if it is not there
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Run on an existing cluster, which is never created or deleted: the one of this context in your kubeconfig. Refused if it
    /// holds anything the suite would overwrite
    #[arg(long, value_name = "NAME", conflicts_with_all = ["cluster", "nodes", "istio"])]
    pub context: Option<String>,
    /// Where the nodes of an existing cluster pull this workspace's images from: what stands before /NAME:TAG
    #[arg(long, value_name = "PREFIX", requires = "context")]
    pub images_from: Option<String>,
    /// Of which pack the implementation is read
    #[command(flatten)]
    pub root: RootArgs,
    /// The gateway under test
    #[command(flatten)]
    pub implementation: ImplementationArgs,
    /// Where to write results: one folder for each run, `latest` for the newest
    #[arg(long, value_name = "FOLDER", default_value = "target/meshproof/conformance")]
    pub results: PathBuf,
    /// Tell what is being done
    #[arg(long, short)]
    pub verbose: bool,
}

fn limit(text: &str) -> Result<(String, u32), String> {
    let expected = || format!("`{text}` is no limit; expected NAME=SECONDS");
    let (name, seconds) = text.split_once('=').ok_or_else(expected)?;
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    let seconds = seconds.parse().map_err(|_| expected())?;
    if plain { Ok((name.to_owned(), seconds)) } else { Err(expected()) }
}

/// What became of a run that somebody ended before the suite began.
const INTERRUPTED: &str =
    "interrupted while the cluster was being made ready; `meshproof down` removes one that is its own";

/// Why it did not come to an end, and the exit code.
enum Ended {
    /// What was asked for there is not.
    Usage(String),
    /// Somebody wants it to end.
    Interrupted,
    /// It could not be done.
    Cluster(ClusterError),
}

impl From<ClusterError> for Ended {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

/// Runs `meshproof conformance`; the exit code.
pub async fn run(args: &ConformanceArgs) -> u8 {
    let Some(pack) = args.root.load() else { return exit::USAGE };
    let Some(implementation) = args.implementation.load(&pack) else { return exit::USAGE };
    if implementation.conformance.is_none() {
        eprintln!(
            "the file of {} says nothing of the conformance suite (`conformance:`), so it cannot be put to it",
            implementation.name
        );
        return exit::USAGE;
    }
    let opening = Opening::new(&args.results, args.verbose, Vec::new(), None);
    let sink = &opening.sink;
    if let Ok(basis) = basis::of_files(&args.implementation, &implementation, &[]) {
        sink.emit(&Event::RestsOn { basis: Box::new(basis) });
    }
    let work = Work {
        args,
        run: opening.name.clone(),
        results: opening.results.clone(),
        stop: stop::on_signal(),
        sink: sink.clone(),
    };
    let (verdict, code) = match work.all(&implementation).await {
        Ok(result) => {
            let verdict = result.verdict();
            sink.emit(&Event::ConformanceFinished { result: Box::new(result) });
            (verdict, verdict::exit_code(verdict))
        }
        Err(ended) => {
            let (why, code) = match ended {
                Ended::Usage(why) => (why, exit::NOTHING),
                Ended::Interrupted => (INTERRUPTED.to_owned(), exit::SETUP),
                Ended::Cluster(error) => (error.to_string(), exit::of(&error)),
            };
            let phase = "set-up".to_owned();
            sink.emit(&Event::PhaseFinished { phase, elapsed_ms: 0, error: Some(why) });
            (Verdict::Error, code)
        }
    };
    opening.end(verdict, code)
}

/// One run.
struct Work<'a> {
    args: &'a ConformanceArgs,
    run: String,
    results: PathBuf,
    stop: CancellationToken,
    sink: Arc<dyn EventSink>,
}

impl Work<'_> {
    async fn all(&self, implementation: &Implementation) -> Result<Conformance, Ended> {
        let progress = PhaseEvents(self.sink.as_ref());
        let suite = suite(&Cache::open_default().map_err(ClusterError::from)?, &progress)
            .await
            .map_err(ClusterError::from)?;
        let text = suite.plan().await.map_err(ClusterError::from)?;
        let plan = Plan::read(&text).map_err(|error| {
            Ended::Usage(format!("what the conformance suite plans cannot be read: {error}"))
        })?;
        let part = implementation.conformance.clone().unwrap_or_default();
        let profiles = if self.args.profile.is_empty() { part.profiles } else { self.args.profile.clone() };
        let mut asked = Asked { profiles, names: self.args.name.clone(), features: BTreeSet::new() };
        // What is wrong with what was asked for is said before a cluster is made; what is claimed is known only then.
        let everything = plan.tests.iter().flat_map(|test| &test.features).cloned().collect();
        plan.select(&Asked { features: everything, ..asked.clone() }).map_err(Ended::Usage)?;

        let under_test = implementation.clone().for_conformance();
        let (target, held, _lock) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Ended::Interrupted),
            ready = self.cluster(&under_test, &plan, &asked) => ready?,
        };
        let was_there = is_installed(&target, implementation).await?;
        let found = self.on(&target, &under_test, &suite, &plan, &mut asked).await;
        let left = self.leave(&target, implementation, was_there, &progress).await;
        let given = held.release().await;
        if let Some(context) = &self.args.context {
            existing::forget(context)?;
        }
        let result = found?;
        left?;
        given.map_err(ClusterError::from)?;
        Ok(result)
    }

    /// A cluster that nobody else works with meanwhile.
    async fn cluster(
        &self,
        implementation: &Implementation,
        plan: &Plan,
        asked: &Asked,
    ) -> Result<(Target, Held, Lock), ClusterError> {
        let progress = PhaseEvents(self.sink.as_ref());
        let Some(context) = &self.args.context else {
            let mut spec = self.args.spec.spec();
            spec.images = Wanted::on_ours(implementation);
            let lock = lock(&spec.name, &spec.name).await?;
            let cluster = ensure_cluster(&spec, &progress).await?;
            if let Some(why) = &cluster.open {
                eprint!("{}", not_enforced(why));
            }
            let target = cluster.target();
            let held = lease::hold(&target.client().await?, &self.run, self.stop.clone()).await?;
            return Ok((Target { run: self.run.clone(), ..target }, held, lock));
        };
        let spec = ExistingSpec {
            context: context.clone(),
            images_from: self.args.images_from.clone(),
            run: self.run.clone(),
            image_source: self.args.spec.image_source,
            images: Vec::new(),
        };
        // Whatever the gateway turns out to claim: everything that the suite could make.
        let everything = plan.tests.iter().flat_map(|test| &test.features).cloned().collect();
        let selection = plan.select(&Asked { features: everything, ..asked.clone() }).unwrap_or_default();
        let whole = planned(implementation, plan, &selection);
        let lock = lock(&existing::folder_name(context), context).await?;
        let attached = existing::attach(&spec, implementation, &whole, self.stop.clone(), &progress).await?;
        Ok((attached.0, attached.1, lock))
    }

    /// Installs the gateway and runs the suite.
    async fn on(
        &self,
        target: &Target,
        implementation: &Implementation,
        suite: &Suite,
        plan: &Plan,
        asked: &mut Asked,
    ) -> Result<Conformance, Ended> {
        let progress = PhaseEvents(self.sink.as_ref());
        let client = target.client().await.map_err(ClusterError::from)?;
        let part = implementation.conformance.clone().unwrap_or_default();
        target.ensure(implementation, &progress).await.map_err(ClusterError::from)?;
        self.tell(target, implementation);
        basis::tell(target, self.sink.as_ref()).await;
        conformance::apply_manifests(&client, target, implementation).await?;
        asked.features = claimed_features(&client, implementation).await.map_err(ClusterError::from)?;
        asked.features.extend(part.features);
        let selection = plan.select(asked).map_err(Ended::Usage)?;
        conformance::make_room(&client, target, plan, &selection).await?;
        self.load(target, suite, &selection.images(plan), &progress).await?;
        let pace = Pace { parallel: self.args.parallel, limits: self.args.limit.clone() };
        let conforming = Conforming {
            target,
            implementation,
            suite,
            plan,
            asked,
            selection: &selection,
            pace,
            results: &self.results,
        };
        Ok(conforming.run(self.sink.as_ref(), &self.stop).await?)
    }

    /// Gives the nodes the images of the suite's manifests. Where nodes pull from a registry they find them there.
    async fn load(
        &self,
        target: &Target,
        suite: &Suite,
        names: &BTreeSet<String>,
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        let from_registry = match &target.own {
            Some(cluster) => cluster.artifacts.source == ImageSource::Registry,
            None => !target.local,
        };
        if from_registry {
            return Ok(());
        }
        let images = suite.images(&Cache::open_default()?, names, progress).await?;
        match (&target.own, &self.args.context) {
            (Some(cluster), _) => cluster.load_missing(&images, progress).await,
            (None, Some(context)) => existing::load(context, &images).await,
            (None, None) => Ok(()),
        }
    }

    fn tell(&self, target: &Target, implementation: &Implementation) {
        let istio = target.istio.clone().unwrap_or_default();
        self.sink.emit(&Event::ClusterReady {
            implementation: ImplementationInfo {
                name: implementation.name.clone(),
                version: implementation.version.clone().unwrap_or_else(|| istio.clone()),
                gateway_class: implementation.gateway_class.clone(),
                reaches_pods: implementation.reaches_pods.map(|reach| reach.in_words().to_owned()),
            },
            cluster: ClusterInfo {
                provider: target.provider.to_string(),
                kubernetes: target.kubernetes.clone(),
                istio,
                nodes: target.nodes,
            },
        });
    }

    /// What the suite has made goes, whatever became of it, and the gateway is as its file says, or away if it was not there.
    async fn leave(
        &self,
        target: &Target,
        implementation: &Implementation,
        was_there: bool,
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        let phase = Phase::start(progress, "clean up", None);
        let client = target.client().await?;
        meshproof_lab::cluster::clean::clean_after(&client, target.provider, &self.run).await?;
        match (&target.own, was_there) {
            (Some(_), true) => drop(target.ensure(implementation, progress).await?),
            (Some(_), false) => drop(target.uninstall(implementation, &InstallOptions::default()).await?),
            (None, _) => target.leave(implementation).await?,
        }
        phase.done();
        Ok(())
    }
}

/// Whether any release of the gateway is there.
async fn is_installed(target: &Target, implementation: &Implementation) -> Result<bool, ClusterError> {
    let client = target.client().await?;
    for release in &implementation.releases {
        if !installed_in(&client, &release.name).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_names_with_seconds() {
        assert_eq!(limit("MaxTimeToConsistency=10"), Ok(("MaxTimeToConsistency".to_owned(), 10)));
        for wrong in ["MaxTimeToConsistency", "=3", "a;b=3", "a=b"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
