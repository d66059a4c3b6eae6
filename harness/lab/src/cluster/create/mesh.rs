//! Istio in a cluster that is being made.

use super::{Creation, Gates};
use crate::cluster::{ClusterError, addons, istio};

impl Creation<'_> {
    pub(super) async fn istio(&self, gates: &Gates) -> Result<(), ClusterError> {
        if !self.istio {
            let _ = gates.istio.set(());
            return Ok(());
        }
        // While the API server starts there is time for this.
        let manifests = istio::manifests(self.artifacts, self.state).await?;
        let (client, kubeconfig) = gates.answering.wait().await;
        // What is not in the node image is not there yet, and a pod that finds no image waits long to look again.
        if addons::image(&self.artifacts.images, "pilot").is_some() {
            gates.images.wait().await;
        }
        self.phase("istiod ready", async { Ok(istio::start(client, manifests).await?) }).await?;
        let _ = gates.istio.set(());
        // istioctl puts one injector in another's place, and for a moment there is none: who is to be injected comes before.
        gates.injected.wait().await;
        self.phase("istioctl install", async {
            Ok(istio::install(self.artifacts, self.state, kubeconfig).await?)
        })
        .await
    }
}
