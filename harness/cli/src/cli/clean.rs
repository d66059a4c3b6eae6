//! `meshproof clean`: removes what runs have left in a cluster.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::up::ClusterArgs;
use meshproof_cluster::existing;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::state::StateDir;
use meshproof_lab::cluster::{ClusterError, api, clean, lease};
use meshproof_model::provider::Provider;

/// Arguments of `meshproof clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// Which cluster of meshproof's own
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// An existing cluster instead: the one of this context in your kubeconfig
    #[arg(long, value_name = "NAME", conflicts_with = "cluster")]
    pub context: Option<String>,
}

/// Runs `meshproof clean`.
///
/// # Errors
/// A run works with the cluster, it cannot be asked, or something does not go away.
pub async fn run(args: &CleanArgs) -> Result<(), ClusterError> {
    let (client, provider, name) = match &args.context {
        Some(context) => (existing::reach(context).await?, Provider::Existing, context.clone()),
        None => {
            let name = args.cluster.cluster.clone();
            let state = StateDir::new(Cache::open_default()?.root(), &name);
            if !state.kubeconfig().exists() {
                println!("cluster {name}: there is none, so nothing to remove");
                return Ok(());
            }
            (api::client(&state.kubeconfig()).await?, Provider::Kind, name)
        }
    };
    let lost = CancellationToken::new();
    let held = lease::hold(&client, "clean", lost.clone()).await?;
    let cleaned = tokio::select! {
        biased;
        () = lost.cancelled() => Err(ClusterError::Interrupted),
        cleaned = clean::clean(&client, provider) => Ok(cleaned?),
    };
    held.release().await?;
    if let Some(context) = &args.context {
        existing::forget(context)?;
    }
    print!("{}", told(&name, &cleaned?));
    Ok(())
}

fn told(name: &str, cleaned: &clean::Cleaned) -> String {
    let mut text = match cleaned.removed.len() {
        0 => format!("cluster {name}: no run has left anything\n"),
        1 => format!("cluster {name}: removed 1 object\n"),
        number => format!("cluster {name}: removed {number} objects\n"),
    };
    for removed in &cleaned.removed {
        text += &format!("  {removed}\n");
    }
    for left in &cleaned.left {
        text += &format!("! {left}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_and_what_is_left_is_told() {
        let none = clean::Cleaned::default();
        assert_eq!(told("c", &none), "cluster c: no run has left anything\n");
        let some = clean::Cleaned {
            removed: vec!["gateway/g in shop".into(), "namespace/shop".into()],
            left: vec!["namespace/x is left alone: it holds a".into()],
        };
        assert_eq!(
            told("c", &some),
            "cluster c: removed 2 objects\n  gateway/g in shop\n  namespace/shop\n! namespace/x is left alone: it holds a\n"
        );
    }
}
