//! `meshproof down`: removes everything `up` made.

use clap::Args;

use super::up::ClusterArgs;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::state::StateDir;
use meshproof_lab::cluster::{ClusterError, Removed, remove_cluster};
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
}

/// Runs `meshproof down`.
///
/// # Errors
/// See [`ClusterError`].
pub async fn run(args: &DownArgs, progress: &dyn Progress) -> Result<(), ClusterError> {
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
}
