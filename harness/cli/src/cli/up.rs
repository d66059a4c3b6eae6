//! `meshproof up`: a cluster with Istio and the gateway, ready to try things on.

use std::time::Instant;

use clap::Args;

use super::{ImplementationArgs, RootArgs, ended, exit, tell};
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::phases::{PhaseRecorder, table};
use meshproof_lab::cluster::{
    Cluster, ClusterError, ClusterSpec, IstioChoice, default_name, ensure_cluster, ensure_cluster_with,
    nodes_of, run_lock,
};
use meshproof_lab::groups::Asked;
use meshproof_lab::supply::{ImageSource, Wanted, peers};
use meshproof_model::implementation::Implementation;
use meshproof_model::progress::Progress;
use meshproof_run::scenario::Scenario;

/// Which cluster, for all commands that have one.
#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    /// Name of the cluster; MESHPROOF_CLUSTER does as well
    #[arg(long = "cluster", value_name = "NAME", default_value_t = default_name(), value_parser = cluster_name)]
    pub cluster: String,
}

/// What the cluster is made of, for commands that may make it.
#[derive(Debug, Clone, Args)]
pub struct ClusterSpecArgs {
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Number of nodes; the first is the control plane. Without it, those that the cluster has, or as many as are needed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: Option<u8>,
    /// Where images and programs come from
    #[arg(long, value_name = "registry|source|auto", default_value_t)]
    pub image_source: ImageSource,
    /// Istio's version: `pinned`, `oldest`, a number, or `none`. Another than the pinned one is built or pulled when it is
    /// asked for
    #[arg(long, value_name = "VERSION", default_value = "pinned")]
    pub istio: IstioChoice,
}

impl ClusterSpecArgs {
    /// The specification these arguments ask for.
    pub fn spec(&self) -> ClusterSpec {
        self.asked().spec
    }

    /// The same, and whether the number of nodes can still be chosen.
    pub fn asked(&self) -> Asked {
        let name = self.cluster.cluster.clone();
        let nodes = self.nodes.or_else(|| nodes_of(&name));
        let spec = ClusterSpec {
            name,
            nodes: nodes.unwrap_or(1),
            istio: self.istio.clone(),
            without_istio: false,
            recreate: false,
            image_source: self.image_source,
            images: Wanted::all(),
        };
        Asked { spec, may_grow: nodes.is_none() }
    }
}

/// Arguments of `meshproof up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// The cluster wanted
    #[command(flatten)]
    pub spec: ClusterSpecArgs,
    /// Kubernetes and Istio only, without the gateway
    #[arg(long)]
    pub without_implementation: bool,
    /// With as many nodes as any scenario needs
    #[arg(long, conflicts_with = "nodes")]
    pub for_scenarios: bool,
    /// Make it again, whatever is in it
    #[arg(long)]
    pub recreate: bool,
    /// Which scenarios
    #[command(flatten)]
    pub root: RootArgs,
    /// The gateway to install
    #[command(flatten)]
    pub implementation: ImplementationArgs,
    /// Print what took how long
    #[arg(long)]
    pub timings: bool,
}

/// Runs `meshproof up`: prints to standard output what is there and what to do next; the exit code.
pub async fn run(args: &UpArgs, progress: &dyn Progress) -> u8 {
    let Some(implementation) = args.implementation.alone(&args.root) else { return exit::USAGE };
    let mut spec = args.spec.spec();
    spec.recreate = args.recreate;
    spec.images = Wanted::on_ours(&implementation);
    if args.for_scenarios {
        match most_nodes(args) {
            Some(nodes) => spec.nodes = spec.nodes.max(nodes),
            None => return exit::USAGE,
        }
    }
    ended(up(args, &spec, &implementation, progress).await)
}

async fn up(
    args: &UpArgs,
    spec: &ClusterSpec,
    implementation: &Implementation,
    progress: &dyn Progress,
) -> Result<(), ClusterError> {
    // A cluster on which scenarios run is neither made again nor given a gateway meanwhile.
    let waiting = || eprintln!("waiting for a run on cluster {}", spec.name);
    let _run = Cache::open_default()?.lock(&run_lock(&spec.name), waiting).await?;
    let since = Instant::now();
    let recorder = PhaseRecorder::new(progress);
    let cluster = if args.without_implementation {
        ensure_cluster(spec, &recorder).await?
    } else {
        let provided = peers::provide(&Cache::open_default()?, implementation, &recorder).await?;
        ensure_cluster_with(spec, &provided.implementation, &provided.images, &recorder).await?
    };
    let took = since.elapsed();
    if args.timings {
        println!("{}", table("phase", &recorder.phases(), took));
    }
    let named = args.implementation.implementation.as_ref().map(|named| named.display().to_string());
    print!("{}", summary(&cluster, took.as_secs_f64(), !args.without_implementation, named.as_deref()));
    Ok(())
}

/// The most nodes that any scenario needs; says so if the scenarios cannot be read.
fn most_nodes(args: &UpArgs) -> Option<u8> {
    let pack = args.root.load()?;
    let implementation = args.implementation.load(&pack)?;
    let scenarios = Scenario::load_all(&pack.scenarios, &pack.catalogue, &implementation);
    let scenarios = scenarios.map_err(|problems| tell(&problems));
    Some(scenarios.ok()?.iter().map(|scenario| scenario.needs.nodes).max().unwrap_or(1))
}

fn summary(cluster: &Cluster, seconds: f64, implementation: bool, named: Option<&str>) -> String {
    let what = match &cluster.made {
        Some(reason) => format!("is up after {seconds:.1} s (made because {reason})"),
        None => format!("was up already (checked in {seconds:.1} s)"),
    };
    let istio = cluster.istio.as_deref().map_or("no Istio".to_owned(), |version| format!("Istio {version}"));
    let nodes = if cluster.nodes == 1 { "1 node".to_owned() } else { format!("{} nodes", cluster.nodes) };
    let mut text =
        format!("cluster {} {what}: Kubernetes {}, {istio}, {nodes}\n", cluster.name, cluster.kubernetes);
    text += &cluster.open.as_deref().map(not_enforced).unwrap_or_default();
    text += &format!("\n  export KUBECONFIG={}\n", cluster.kubeconfig.display());
    if cluster.engine.is_private() {
        text += &format!("  export DOCKER_HOST={}\n", cluster.engine.host());
    }
    let name =
        if cluster.name == default_name() { String::new() } else { format!(" --cluster {}", cluster.name) };
    text += "  kubectl get pods --all-namespaces\n";
    text + &commands(&name, implementation, named)
}

/// What to do next with a cluster (`--cluster NAME`, with a space before it, unless it is the usual one) and the gateway that was
/// named for it.
fn commands(cluster: &str, implementation: bool, named: Option<&str>) -> String {
    let gateway = named.map(|named| format!(" --implementation {named}")).unwrap_or_default();
    let mut rows = Vec::new();
    if implementation {
        rows.push((format!("meshproof run{cluster}{gateway}"), "prove the document's promises on it"));
    }
    rows.push((format!("meshproof status{cluster}{gateway}"), "versions, gateways, how to curl them"));
    if implementation && named.is_some() {
        rows.push((format!("meshproof down{cluster}{gateway}"), "remove this gateway from it"));
    }
    rows.push((format!("meshproof down{cluster}"), "remove it"));
    let width = rows.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    rows.iter().map(|(command, what)| format!("  {command:<width$}    # {what}\n")).collect()
}

/// What is not enforced for a cluster whose pods are not kept on this host, and why.
pub(super) fn not_enforced(why: &str) -> String {
    format!("  not enforced: that pods do not reach out of this host ({why})\n")
}

/// Container, network and host names are made of it.
fn cluster_name(text: &str) -> Result<String, String> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if first && rest && !text.ends_with('-') && text.len() <= 40 {
        return Ok(text.to_owned());
    }
    Err("expected at most 40 lower-case letters, digits and inner hyphens".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_host_names_are_refused() {
        assert!(cluster_name("meshproof-2").is_ok());
        for name in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(41)] {
            assert!(cluster_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_to_do_next_names_the_gateway_that_was_installed() {
        insta::assert_snapshot!(commands(" --cluster m", true, Some("traefik")), @r"
          meshproof run --cluster m --implementation traefik       # prove the document's promises on it
          meshproof status --cluster m --implementation traefik    # versions, gateways, how to curl them
          meshproof down --cluster m --implementation traefik      # remove this gateway from it
          meshproof down --cluster m                               # remove it
        ");
        insta::assert_snapshot!(commands("", false, None), @r"
          meshproof status    # versions, gateways, how to curl them
          meshproof down      # remove it
        ");
    }
}
