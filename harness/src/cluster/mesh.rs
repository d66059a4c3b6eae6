//! Istio's control plane after the cluster was made: taken out of it and put back, installed elsewhere, removed.

use super::implementation::remove_namespaces;
use super::{Cluster, ClusterError, istio};
use crate::progress::{Phase, Progress};

/// Istio's own namespace. It stays when Istio goes, and in it the key of the mesh's authority: certificates issued before are
/// good afterwards.
const OWN: &str = "istio-system";

impl Cluster {
    /// Puts Istio back that is out of the cluster, or takes it out. Nothing to do for a cluster that was made without.
    ///
    /// That it is out is written down before it goes, so that a cluster on which this was cut short is put right by whoever
    /// uses it next.
    ///
    /// # Errors
    /// istioctl failed.
    pub async fn have_istio(&mut self, wanted: bool, progress: &dyn Progress) -> Result<(), ClusterError> {
        let Some(mut record) = self.state.read() else { return Ok(()) };
        if record.istio.is_none() || (wanted && !record.istio_out) {
            return Ok(());
        }
        if wanted {
            let phase = Phase::start(progress, "put Istio back", None);
            istio::install(&self.artifacts, &self.state, &self.kubeconfig).await?;
            phase.done();
        }
        record.istio_out = !wanted;
        self.state.write(&record)?;
        self.istio = record.istio.filter(|_| wanted);
        if !wanted {
            let phase = Phase::start(progress, "take Istio out", None);
            istio::uninstall(&self.artifacts, &self.kubeconfig).await?;
            phase.done();
        }
        Ok(())
    }

    /// Installs Istio's control plane into a namespace, under a revision if one is given.
    ///
    /// # Errors
    /// istioctl failed.
    pub async fn install_istio(
        &self,
        namespace: &str,
        revision: Option<&str>,
    ) -> Result<String, ClusterError> {
        istio::install_into(&self.artifacts, &self.state, &self.kubeconfig, namespace, revision).await?;
        Ok(format!("installed Istio in {namespace}"))
    }

    /// Removes Istio's control planes from these namespaces, and the namespaces but for Istio's own.
    ///
    /// # Errors
    /// istioctl failed, or a namespace does not go away.
    pub async fn uninstall_istio(&self, namespaces: &[String]) -> Result<(), ClusterError> {
        istio::uninstall(&self.artifacts, &self.kubeconfig).await?;
        let others: Vec<_> = namespaces.iter().filter(|namespace| *namespace != OWN).cloned().collect();
        remove_namespaces(&self.client().await?, &others).await?;
        Ok(())
    }
}
