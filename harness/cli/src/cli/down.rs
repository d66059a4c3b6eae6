//! `meshproof down`: removes everything `up` made; or a gateway alone, which leaves the cluster.

use std::path::PathBuf;

use clap::Args;

use super::up::ClusterArgs;
use super::{ImplementationArgs, RootArgs, VarsArgs, ended, exit};
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::state::StateDir;
use meshproof_lab::cluster::{
    ClusterError, Implementation, InstallOptions, Removed, found, remove_cluster, run_lock,
};
use meshproof_model::progress::Progress;

/// Arguments of `meshproof down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Every cluster meshproof made
    #[arg(long, conflicts_with = "cluster")]
    pub all: bool,
    /// Only this gateway, as `up` or a run has installed it; the cluster stays. A name in `implementations/` or a file
    // Not from the environment: what was exported for `up` must not keep `down` from removing the cluster.
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "all")]
    pub implementation: Option<PathBuf>,
    /// Which pack has the gateway's file
    #[command(flatten)]
    pub root: RootArgs,
    /// What the gateway's file leaves to whoever runs it
    #[command(flatten)]
    pub vars: VarsArgs,
}

/// Runs `meshproof down`; the exit code.
pub async fn run(args: &DownArgs, progress: &dyn Progress) -> u8 {
    let Some(named) = args.implementation.clone() else { return ended(clusters(args, progress).await) };
    let gateway = ImplementationArgs { implementation: Some(named), vars: args.vars.clone() };
    let implementation = args.root.load().and_then(|pack| gateway.load(&pack));
    let Some(implementation) = implementation else { return exit::USAGE };
    ended(gateway_alone(&args.cluster.cluster, &implementation, progress).await)
}

async fn clusters(args: &DownArgs, progress: &dyn Progress) -> Result<(), ClusterError> {
    let mut names = vec![args.cluster.cluster.clone()];
    if args.all {
        names = StateDir::list(Cache::open_default()?.root());
        if names.is_empty() {
            // Still stops an engine that no cluster is left for.
            names.push(args.cluster.cluster.clone());
        }
    }
    for name in names {
        let removed = remove_cluster(&name, progress).await?;
        println!("{}", sentence(&name, &removed));
    }
    Ok(())
}

/// Takes a gateway out of a cluster that goes on.
async fn gateway_alone(
    cluster: &str,
    implementation: &Implementation,
    progress: &dyn Progress,
) -> Result<(), ClusterError> {
    let waiting = || eprintln!("waiting for a run on cluster {cluster}");
    let _run = Cache::open_default()?.lock(&run_lock(cluster), waiting).await?;
    let Some(target) = found(cluster, progress).await? else {
        println!("cluster {cluster}: there is none, so nothing to remove");
        return Ok(());
    };
    let gone = target.uninstall(implementation, &InstallOptions::default()).await?;
    println!("{}", without_gateway(cluster, implementation, &gone));
    Ok(())
}

fn without_gateway(cluster: &str, of: &Implementation, gone: &[String]) -> String {
    let what = match gone {
        [] if of.is_installed_by_us() => format!("nothing of {} was there", of.name),
        [] => format!("{} is not installed by meshproof, and is left alone", of.name),
        gone => format!("removed {}: {}", of.name, gone.join(", ")),
    };
    format!("cluster {cluster}: {what}\n  the cluster stays; `meshproof down` removes it")
}

fn sentence(name: &str, removed: &Removed) -> String {
    if removed.is_nothing() {
        return format!("cluster {name}: nothing to remove");
    }
    let mut parts = Vec::new();
    if !removed.containers.is_empty() {
        parts.push(removed.containers.join(", "));
    }
    if removed.traces {
        parts.push("its network and files".to_owned());
    }
    if removed.engine {
        parts.push("the private Docker Engine".to_owned());
    }
    let mut text = format!("cluster {name}: removed {}", parts.join("; "));
    if !removed.packages.is_empty() {
        text += &format!("\n  left: the packages that were installed: {}", removed.packages.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_said() {
        assert_eq!(sentence("m", &Removed::default()), "cluster m: nothing to remove");
        let mut removed = Removed {
            containers: vec!["m-control-plane".into()],
            traces: true,
            engine: true,
            packages: Vec::new(),
        };
        assert_eq!(
            sentence("m", &removed),
            "cluster m: removed m-control-plane; its network and files; the private Docker Engine"
        );
        removed.packages = vec!["docker.io".into()];
        assert!(sentence("m", &removed).ends_with("left: the packages that were installed: docker.io"));
    }

    #[test]
    fn a_gateway_that_goes_alone_leaves_the_cluster() {
        let ours = Implementation::built_in().unwrap();
        let text = without_gateway("m", &ours, &["release alb-controller".into()]);
        assert!(text.starts_with("cluster m: removed alb: release alb-controller"), "{text}");
        assert!(text.ends_with("the cluster stays; `meshproof down` removes it"), "{text}");
        assert!(without_gateway("m", &ours, &[]).contains("nothing of alb was there"));
        let file = meshproof_model::workspace::root().unwrap().join("implementations/istio.yaml");
        let istio = Implementation::load(&file).unwrap();
        assert!(without_gateway("m", &istio, &[]).contains("is left alone"));
    }
}
