//! Istio by `istioctl install`, with the values of `kind-config/istio`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::api::ApiError;
use super::state::{StateDir, StateError};
use crate::command::{CommandError, Tool};
use crate::supply::{Artifacts, IstioSupply};

mod start;

pub(crate) use start::{manifests, start};

/// Istio's own namespace.
pub(crate) const NAMESPACE: &str = "istio-system";
/// Its control plane's Deployment and Service.
pub(crate) const ISTIOD: &str = "istiod";
/// Values for every cluster.
pub(crate) const VALUES: &str = include_str!("../../../../kind-config/istio/values.yaml");
/// Values on top where the sidecar is upstream Envoy.
pub(crate) const UPSTREAM_ENVOY: &str = include_str!("../../../../kind-config/istio/upstream-envoy.yaml");

/// One line that says which Istio this is; part of the cluster's definition.
pub(crate) fn describe(istio: &IstioSupply) -> String {
    let mut line = istio.version.clone();
    for (name, value) in [("hub", &istio.hub), ("tag", &istio.tag)] {
        if let Some(value) = value {
            line += &format!(" {name}={value}");
        }
    }
    if istio.upstream_envoy {
        line += " upstream-envoy";
    }
    line
}

/// How istioctl is told what to install; `values` are files that later ones override.
fn settings(istio: &IstioSupply, values: &[PathBuf]) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for file in values {
        arguments.extend(["--filename".into(), file.into()]);
    }
    for (name, value) in [("hub", &istio.hub), ("tag", &istio.tag)] {
        if let Some(value) = value {
            arguments.extend(["--set".into(), format!("{name}={value}").into()]);
        }
    }
    arguments
}

/// Trouble installing Istio.
#[derive(Debug, thiserror::Error)]
pub enum IstioError {
    /// The values could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// istioctl failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What it generates cannot be read.
    #[error(transparent)]
    Manifest(#[from] ApiError),
}

/// Installs Istio; returns when istiod is ready and its webhooks are in place.
pub(crate) async fn install(
    artifacts: &Artifacts,
    state: &StateDir,
    kubeconfig: &Path,
) -> Result<(), IstioError> {
    install_with(artifacts, state, kubeconfig, Vec::new()).await
}

/// The same into another namespace than Istio's own, or under a revision.
pub(crate) async fn install_into(
    artifacts: &Artifacts,
    state: &StateDir,
    kubeconfig: &Path,
    namespace: &str,
    revision: Option<&str>,
) -> Result<(), IstioError> {
    install_with(artifacts, state, kubeconfig, place(namespace, revision)).await
}

/// Installs Istio as somebody else has set it up: with none of our own settings but what this build of Envoy needs.
pub(crate) async fn install_foreign(
    artifacts: &Artifacts,
    state: &StateDir,
    kubeconfig: &Path,
    operator: &str,
    namespace: &str,
    revision: Option<&str>,
) -> Result<(), IstioError> {
    let mut files = Vec::new();
    if artifacts.istio.upstream_envoy {
        files.push(state.write_file("istio-upstream-envoy.yaml", UPSTREAM_ENVOY.as_bytes())?);
    }
    files.push(state.write_file("istio-foreign.yaml", operator.as_bytes())?);
    Tool::new("installing somebody else's Istio", &artifacts.istioctl)
        .args(["install", "--skip-confirmation"])
        .args(settings(&artifacts.istio, &files))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(place(namespace, revision))
        .run()
        .await?;
    Ok(())
}

/// Where Istio is installed, and under which revision.
fn place(namespace: &str, revision: Option<&str>) -> Vec<String> {
    let mut more = vec!["--set".to_owned(), format!("values.global.istioNamespace={namespace}")];
    more.extend(["--istioNamespace".to_owned(), namespace.to_owned()]);
    more.extend(revision.map(|revision| format!("--revision={revision}")));
    more
}

async fn install_with(
    artifacts: &Artifacts,
    state: &StateDir,
    kubeconfig: &Path,
    more: Vec<String>,
) -> Result<(), IstioError> {
    Tool::new("installing Istio", &artifacts.istioctl)
        .args(["install", "--skip-confirmation"])
        .args(settings(&artifacts.istio, &values(artifacts, state)?))
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(more)
        .run()
        .await?;
    Ok(())
}

fn values(artifacts: &Artifacts, state: &StateDir) -> Result<Vec<PathBuf>, StateError> {
    let mut values = vec![state.write_file("istio-values.yaml", VALUES.as_bytes())?];
    if artifacts.istio.upstream_envoy {
        values.push(state.write_file("istio-upstream-envoy.yaml", UPSTREAM_ENVOY.as_bytes())?);
    }
    Ok(values)
}

/// Removes every control plane and its definitions; the namespaces stay.
pub(crate) async fn uninstall(artifacts: &Artifacts, kubeconfig: &Path) -> Result<(), IstioError> {
    Tool::new("uninstalling Istio", &artifacts.istioctl)
        .args(["uninstall", "--purge", "--skip-confirmation", "--kubeconfig"])
        .arg(kubeconfig)
        .run()
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply() -> IstioSupply {
        IstioSupply {
            version: "1.31.0".into(),
            hub: Some("h".into()),
            tag: Some("t".into()),
            upstream_envoy: true,
        }
    }

    #[test]
    fn hub_and_tag_are_given_only_when_they_are_ours() {
        let files = [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")];
        let ours = settings(&supply(), &files);
        assert_eq!(
            ours,
            ["--filename", "a.yaml", "--filename", "b.yaml", "--set", "hub=h", "--set", "tag=t"]
        );
        let released = IstioSupply { hub: None, tag: None, upstream_envoy: false, ..supply() };
        assert!(!settings(&released, &files).contains(&"--set".into()));
    }

    #[test]
    fn the_description_tells_builds_apart() {
        let other = IstioSupply { upstream_envoy: false, ..supply() };
        assert_eq!(describe(&supply()), "1.31.0 hub=h tag=t upstream-envoy");
        assert_ne!(describe(&supply()), describe(&other));
    }

    #[test]
    fn values_are_documents_for_istioctl() {
        for text in [VALUES, UPSTREAM_ENVOY] {
            let all: Vec<serde_json::Value> = meshproof_model::yaml::documents(text).unwrap();
            assert_eq!(all.len(), 1);
            assert_eq!(all[0]["kind"], "IstioOperator");
        }
        let all: Vec<serde_json::Value> = meshproof_model::yaml::documents(VALUES).unwrap();
        let format = all[0]["spec"]["meshConfig"]["accessLogFormat"].as_str().unwrap();
        let format: serde_json::Value = serde_json::from_str(format).unwrap();
        assert_eq!(format["downstream_peer_uri_san"], "%DOWNSTREAM_PEER_URI_SAN%");
    }
}
