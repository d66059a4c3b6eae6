//! Istio's control plane after the cluster was made: taken out of it and put back, installed elsewhere, removed.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::api::request;
use super::{Cluster, ClusterError, istio, namespaces, owner};
use crate::cache::Cache;
use crate::supply::{self, IstioBuild};
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::provider::Provider;

/// Where istiod keeps who leads, if not in a Lease: an annotation of a ConfigMap.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// For istiod to have taken the place of another; its Service leads to the new one as soon as that is ready.
const REPLACED: Duration = Duration::from_secs(30);
/// From one question to the next.
const ASK_AGAIN: Duration = Duration::from_millis(200);

impl Cluster {
    /// Puts Istio back that is out of the cluster, with the root it has made itself, or takes it out. Nothing to do for a
    /// cluster that was made without.
    ///
    /// That it is out is written down before it goes, so that a cluster on which this was cut short is put right by whoever
    /// uses it next.
    ///
    /// # Errors
    /// istioctl failed.
    pub async fn have_istio(&mut self, wanted: bool, progress: &dyn Progress) -> Result<(), ClusterError> {
        let Some(mut record) = self.state.read() else { return Ok(()) };
        if record.istio.is_none() {
            return Ok(());
        }
        if wanted && !record.istio_out {
            return self.put_root_back(progress).await;
        }
        if wanted {
            let phase = Phase::start(progress, "put Istio back", None);
            istio::install(&self.artifacts, &self.state, &self.kubeconfig).await?;
            phase.done();
        }
        record.istio_out = !wanted;
        self.state.write(&record)?;
        self.istio = record.istio.filter(|_| wanted);
        if wanted {
            self.put_root_back(progress).await?;
        } else {
            let phase = Phase::start(progress, "take Istio out", None);
            self.purge_istio().await?;
            phase.done();
        }
        Ok(())
    }

    /// Builds or pulls versions of Istio, and puts their images into the nodes. Nothing to do for those that were asked for
    /// before.
    ///
    /// # Errors
    /// There is no such version, a build failed, or a node refused an image.
    pub async fn provide_istio(
        &self,
        versions: &[String],
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        for version in versions {
            let build = self.istio_build(version, progress).await?;
            self.load_missing(&build.images, progress).await?;
        }
        Ok(())
    }

    /// Installs Istio's control plane into a namespace, under a revision and of a version if one is given; one that is there
    /// is replaced. A version is asked of istiod itself afterwards.
    ///
    /// # Errors
    /// istioctl failed, or istiod says that it is another version.
    pub async fn install_istio(
        &self,
        namespace: &str,
        revision: Option<&str>,
        version: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<String, ClusterError> {
        // istioctl would make it as well, and nothing would tell that it is not somebody's own.
        owner::releases::make_namespace(&self.client().await?, namespace, owner::UP).await?;
        let Some(version) = version else {
            istio::install_into(&self.artifacts, &self.state, &self.kubeconfig, namespace, revision).await?;
            return Ok(format!("installed Istio in {namespace}"));
        };
        let artifacts = self.artifacts.clone().with_istio(self.istio_build(version, progress).await?);
        istio::install_into(&artifacts, &self.state, &self.kubeconfig, namespace, revision).await?;
        let wanted = &artifacts.istio.version;
        let service =
            revision.map_or(istio::ISTIOD.to_owned(), |revision| format!("{}-{revision}", istio::ISTIOD));
        self.wait_for_istiod(namespace, &service, wanted).await?;
        Ok(format!("installed Istio {wanted} in {namespace}; its istiod says so"))
    }

    async fn istio_build(&self, version: &str, progress: &dyn Progress) -> Result<IstioBuild, ClusterError> {
        let matrix = supply::istio::matrix(self.artifacts.source).await?;
        let version = matrix.choose(version)?;
        let cache = Cache::open_default()?;
        Ok(supply::istio::build(&cache, &self.engine, &self.artifacts, version, progress).await?)
    }

    /// Waits until istiod's own answer names this version: one that is being replaced answers to the end.
    async fn wait_for_istiod(
        &self,
        namespace: &str,
        service: &str,
        wanted: &str,
    ) -> Result<(), ClusterError> {
        let client = self.client().await?;
        let path = format!("/api/v1/namespaces/{namespace}/services/{service}:15014/proxy/version");
        let since = Instant::now();
        loop {
            let request = http::Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError);
            let answer = match request {
                Ok(request) => client.request_text(request).await,
                Err(error) => Err(error),
            };
            let seen = answer.unwrap_or_else(|error| error.to_string());
            if says(&seen, wanted) {
                return Ok(());
            }
            if since.elapsed() > REPLACED {
                let (wanted, namespace) = (wanted.to_owned(), namespace.to_owned());
                return Err(ClusterError::OtherIstio { wanted, namespace, seen });
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Removes Istio's control planes from these namespaces, and the namespaces but for Istio's own.
    ///
    /// # Errors
    /// istioctl failed, or a namespace does not go away.
    pub async fn uninstall_istio(&self, namespaces: &[String]) -> Result<(), ClusterError> {
        self.purge_istio().await?;
        // With its own stays the key of the mesh's authority: certificates issued before are good afterwards.
        let client = self.client().await?;
        for namespace in namespaces.iter().filter(|namespace| *namespace != istio::NAMESPACE) {
            namespaces::remove_ours(&client, Provider::Kind, namespace).await?;
        }
        Ok(())
    }

    /// Removes every control plane, and in Istio's own namespace what its leaders led by: they lose their rights before they
    /// could give it up.
    async fn purge_istio(&self) -> Result<(), ClusterError> {
        istio::uninstall(&self.artifacts, &self.kubeconfig).await?;
        forget_leaders(&self.client().await?, istio::NAMESPACE, |_| true).await
    }
}

/// Removes what those istiods led by that are meant by their pods' names. Where one has gone without giving it up, the next ones
/// would wait half a minute for it, and new namespaces with them for the mesh's roots.
pub(super) async fn forget_leaders(
    client: &Client,
    namespace: &str,
    meant: impl Fn(&str) -> bool,
) -> Result<(), ClusterError> {
    let failed = |source| request(format!("removing what istiod led by in {namespace}"))(source);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for map in maps.list_metadata(&ListParams::default()).await.map_err(failed)?.items {
        let record = map.annotations().get(LEADER);
        if record.is_some_and(|record| meant(&holder(record))) {
            gone(maps.delete(&map.name_any(), &DeleteParams::default()).await).map_err(failed)?;
        }
    }
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    for lease in leases.list(&ListParams::default()).await.map_err(failed)?.items {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        if meant(holder.unwrap_or_default()) {
            gone(leases.delete(&lease.name_any(), &DeleteParams::default()).await).map_err(failed)?;
        }
    }
    Ok(())
}

/// Who leads, by the record in a ConfigMap: client-go's `LeaderElectionRecord`.
fn holder(record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    record["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

/// That it was gone already is as good.
fn gone<T>(deleted: kube::Result<T>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        deleted => deleted.map(drop),
    }
}

/// Whether istiod's answer (`<version>-<revision>-<status>`) is that of this version.
fn says(answer: &str, version: &str) -> bool {
    answer.trim().strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_holder() {
        let record =
            r#"{"holderIdentity":"istiod-6d9c-x2x7f","leaseDurationSeconds":30,"leaderTransitions":1}"#;
        assert_eq!(holder(record), "istiod-6d9c-x2x7f");
        assert_eq!(holder("nobody"), "");
    }

    #[test]
    fn a_version_is_not_taken_for_one_that_begins_alike() {
        assert!(says("1.31.0-alpha.0f3a-0f3a-Clean\n", "1.31.0-alpha.0f3a"));
        assert!(says("1.24.0", "1.24.0"));
        assert!(!says("1.24.01-x-Clean", "1.24.0"));
        assert!(!says("1.31.0-alpha.0f3a-0f3a-Clean", "1.24.0"));
    }
}
