//! Replacing the root of Istio's certificates in a running mesh, as its operator would with plugged-in CA certificates
//! (Secret `cacerts`): everybody trusts old and new before the new one issues, and the old one is dropped when nobody shows
//! it any more. And back to the root that istiod has made itself.

mod authority;
mod sidecar;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::api::{self, ApiError, request};
use super::definition::fingerprint;
use super::mesh::forget_leaders;
use super::{Cluster, ClusterError, istio};
use crate::cluster::exec;
use meshproof_model::progress::{Phase, Progress};

use authority::Authority;
use sidecar::{Knows, Wanted};

/// Secret in which istiod keeps the authority it has made itself.
const OWN: &str = "istio-ca-secret";
/// Secret of an authority that is plugged in. istiod reads it when it starts.
const PLUGGED: &str = "cacerts";
/// ConfigMap of the roots, one in each namespace.
const ROOTS: &str = "istio-ca-root-cert";
/// Key in that ConfigMap.
const ROOTS_KEY: &str = "root-cert.pem";
/// Container of a sidecar.
const SIDECAR: &str = "istio-proxy";
/// Tells our Secret from one that somebody else has plugged in.
const OURS: &str = "app.kubernetes.io/managed-by";
/// Annotation that makes the kubelet look at a pod's mounted ConfigMaps again now, not within the next minute.
const TOUCHED: &str = "dev.meshproof/roots";

/// From istiod's end to everybody's knowing what the next one says.
const LIMIT: Duration = Duration::from_secs(60);
/// One question to a sidecar.
const QUESTION: Duration = Duration::from_secs(10);
/// Nothing announces what happens inside a container.
const PACE: Duration = Duration::from_millis(200);

/// Data of Secret `cacerts`: an intermediate authority under a root of its own.
pub(super) fn new_authority(now: SystemTime) -> Result<BTreeMap<String, ByteString>, String> {
    let authority = Authority::make(now).map_err(|error| format!("making a root: {error}"))?;
    Ok(authority.cacerts(&authority.root))
}

impl Cluster {
    /// Replaces Istio's root while everything runs. Sidecars take part when they renew their certificates, which therefore
    /// have to be short-lived; this ends when each of them trusts only the new root and shows a certificate under it.
    /// Returns a line about each stage.
    ///
    /// # Errors
    /// istiod does not come back, or a sidecar does not follow in time.
    pub async fn rotate_root(&self, namespace: &str) -> Result<Vec<String>, ClusterError> {
        let mesh = Mesh { client: self.client().await?, namespace };
        let old = mesh.own().await?;
        let new = Authority::make(SystemTime::now())
            .map_err(|error| ClusterError::Authority(format!("making a root: {error}")))?;
        let both = format!("{}{}", old.root, new.root);
        let mut told = Vec::new();
        for (trusted, issuing, what) in [
            (&both, &old, "both roots are trusted"),
            (&both, &new, "the new root issues"),
            (&new.root, &new, "the old root is trusted no more"),
        ] {
            let began = Instant::now();
            mesh.plug_in(&issuing.cacerts(trusted)).await?;
            mesh.restart().await?;
            mesh.handed_out(trusted).await?;
            mesh.followed(&Wanted { trusted, issuing: &issuing.root }, issuing.name).await?;
            tracing::debug!(took = ?began.elapsed(), what, "a stage of Istio's root is over");
            told.push(what.to_owned());
        }
        Ok(told)
    }

    /// Goes back to the root that istiod has made itself, if another one of ours is plugged in. Sidecars that are there are
    /// not waited for: what belongs to the scenario goes with it.
    ///
    /// # Errors
    /// istiod does not come back.
    pub async fn restore_root(&self, namespace: &str) -> Result<(), ClusterError> {
        let mesh = Mesh { client: self.client().await?, namespace };
        if mesh.is_ours().await? {
            mesh.restore().await?;
        }
        Ok(())
    }

    /// The same where a run that was killed has left its root.
    pub(super) async fn put_root_back(&self, progress: &dyn Progress) -> Result<(), ClusterError> {
        let mesh = Mesh { client: self.client().await?, namespace: istio::NAMESPACE };
        if mesh.is_ours().await? {
            let phase = Phase::start(progress, "put Istio's root back", None);
            mesh.restore().await?;
            phase.done();
        }
        Ok(())
    }
}

/// A control plane, and the API server to reach it by.
struct Mesh<'a> {
    client: Client,
    namespace: &'a str,
}

fn late(doing: impl Into<String>, seen: String) -> ClusterError {
    ApiError::Late { doing: doing.into(), limit: LIMIT, seen }.into()
}

impl Mesh<'_> {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// The authority istiod has made itself.
    async fn own(&self) -> Result<Authority, ClusterError> {
        let secret = self.secrets().get(OWN).await.map_err(request(format!("reading Secret {OWN}")))?;
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
            text.ok_or_else(|| {
                ClusterError::Authority(format!("Secret {OWN} has no PEM under the key {key}"))
            })
        };
        Ok(Authority::own(text("ca-cert.pem")?, text("ca-key.pem")?))
    }

    /// Whether a root of ours is plugged in.
    async fn is_ours(&self) -> Result<bool, ClusterError> {
        let secret =
            self.secrets().get_opt(PLUGGED).await.map_err(request(format!("reading Secret {PLUGGED}")))?;
        Ok(secret.is_some_and(|secret| secret.labels().get(OURS).is_some_and(|by| by == "meshproof")))
    }

    /// Stores what the next istiod reads.
    async fn plug_in(&self, data: &BTreeMap<String, ByteString>) -> Result<(), ClusterError> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data,
            "metadata": {"name": PLUGGED, "namespace": self.namespace, "labels": {OURS: "meshproof"}},
        });
        let params = PatchParams::apply("meshproof").force();
        let patched = self.secrets().patch(PLUGGED, &params, &Patch::Apply(&secret)).await;
        patched.map_err(request(format!("writing Secret {PLUGGED}")))?;
        Ok(())
    }

    async fn restore(&self) -> Result<(), ClusterError> {
        let own = self.own().await?;
        let deleted = self.secrets().delete(PLUGGED, &DeleteParams::default()).await;
        deleted.map_err(request(format!("deleting Secret {PLUGGED}")))?;
        self.restart().await?;
        self.handed_out(&own.root).await
    }

    /// Ends istiod's pods, which makes room for new ones at once: two that disagree about the root would contradict each
    /// other. Returns when all the new ones are Ready.
    async fn restart(&self) -> Result<(), ClusterError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let istiods = ListParams::default().labels("app=istiod");
        let list = || async { pods.list(&istiods).await.map_err(request("listing istiod's pods")) };
        let old = list().await?.items;
        let before: Vec<_> = old.iter().filter_map(ResourceExt::uid).collect();
        let deleted = pods.delete_collection(&DeleteParams::default(), &istiods).await;
        deleted.map_err(request("restarting istiod"))?;
        let deadline = Instant::now() + LIMIT;
        let mut forgotten = false;
        loop {
            let now = list().await?.items;
            let left = now.iter().any(|pod| pod.uid().is_some_and(|uid| before.contains(&uid)));
            if !left && !std::mem::replace(&mut forgotten, true) {
                let was = |holder: &str| old.iter().any(|pod| holder == pod.name_any());
                forget_leaders(&self.client, self.namespace, was).await?;
            }
            let new: Vec<_> =
                now.iter().filter(|pod| pod.uid().is_some_and(|uid| !before.contains(&uid))).collect();
            if forgotten && new.len() >= before.len() && new.iter().all(|pod| api::pod_is_ready(pod)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let troubles: Vec<_> = new.iter().flat_map(|pod| api::pod_troubles(pod)).collect();
                return Err(late("restarting istiod", troubles.join("; ")));
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Waits until istiod has told the roots to every namespace and to the API server, which calls its webhooks.
    async fn handed_out(&self, trusted: &str) -> Result<(), ClusterError> {
        let roots = sidecar::set(trusted.as_bytes(), "the roots").map_err(ClusterError::Authority)?;
        let same = |pem: Option<&[u8]>| {
            pem.is_some_and(|pem| sidecar::set(pem, "").is_ok_and(|found| found == roots))
        };
        let everywhere: Api<ConfigMap> = Api::all(self.client.clone());
        let named = ListParams::default().fields(&format!("metadata.name={ROOTS}"));
        let maps = everywhere.list(&named).await.map_err(request(format!("listing ConfigMaps {ROOTS}")))?;
        for namespace in maps.items.iter().filter_map(ResourceExt::namespace) {
            // In a namespace that goes away it goes, too.
            let told = |map: Option<&ConfigMap>| {
                map.is_none_or(|map| {
                    let text = map.data.as_ref().and_then(|data| data.get(ROOTS_KEY));
                    same(text.map(|text| text.as_bytes()))
                })
            };
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
            if !api::wait(api, ROOTS, told, LIMIT).await? {
                let seen = format!("the one in {namespace} still has other roots");
                return Err(late(format!("waiting for istiod to write the ConfigMaps {ROOTS}"), seen));
            }
        }
        let right = |config: &WebhookClientConfig| {
            let other = config.service.as_ref().is_none_or(|service| service.namespace != self.namespace);
            other || same(config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()))
        };
        self.everyone(|now: &MutatingWebhookConfiguration| {
            now.webhooks.iter().flatten().all(|hook| right(&hook.client_config))
        })
        .await?;
        self.everyone(|now: &ValidatingWebhookConfiguration| {
            now.webhooks.iter().flatten().all(|hook| right(&hook.client_config))
        })
        .await
    }

    /// Waits until every object of a cluster-wide kind of webhook is right.
    async fn everyone<K>(&self, right: impl Fn(&K) -> bool) -> Result<(), ClusterError>
    where
        K: Clone + std::fmt::Debug + Send + DeserializeOwned + kube::Resource<DynamicType = ()> + 'static,
    {
        let api: Api<K> = Api::all(self.client.clone());
        for found in api.list(&ListParams::default()).await.map_err(request("listing webhooks"))? {
            let told = |now: Option<&K>| now.is_none_or(&right);
            if !api::wait(api.clone(), &found.name_any(), told, LIMIT).await? {
                return Err(late("waiting for istiod's roots at its webhooks", found.name_any()));
            }
        }
        Ok(())
    }

    /// Has every sidecar look at its roots now, and waits until each holds what is wanted.
    async fn followed(&self, wanted: &Wanted<'_>, issuing: &str) -> Result<(), ClusterError> {
        let everywhere: Api<Pod> = Api::all(self.client.clone());
        let running = ListParams::default().fields("status.phase=Running");
        let pods = everywhere.list(&running).await.map_err(request("listing pods with a sidecar"))?;
        let with_sidecar: Vec<_> = pods.items.iter().filter(|pod| has_sidecar(pod)).collect();
        let annotations = json!({TOUCHED: fingerprint([wanted.trusted])});
        let touch = json!({"metadata": {"annotations": annotations}});
        for pod in &with_sidecar {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
            let touched = api.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&touch)).await;
            touched.map_err(request(format!("annotating pod {}", pod.name_any())))?;
        }
        let deadline = Instant::now() + LIMIT;
        let each = with_sidecar.iter().map(|pod| self.follows(pod, wanted, deadline));
        let mut behind = String::new();
        for (pod, why) in with_sidecar.iter().zip(join_all(each).await) {
            if let Err(why) = why {
                let _ =
                    write!(behind, "\n    {}/{}: {why}", pod.namespace().unwrap_or_default(), pod.name_any());
            }
        }
        match behind.is_empty() {
            true => Ok(()),
            false => Err(late(format!("waiting for every sidecar to follow ({issuing} issues)"), behind)),
        }
    }

    /// Waits for one sidecar; why not yet, when the time is up.
    async fn follows(&self, pod: &Pod, wanted: &Wanted<'_>, deadline: Instant) -> Result<(), String> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let command = ["sh", "-ec", sidecar::SCRIPT];
        loop {
            let printed = exec::stdout(&self.client, &namespace, &name, SIDECAR, &command, QUESTION).await;
            let knows = printed.map_err(|error| error.to_string()).and_then(|printed| Knows::read(&printed));
            match knows.and_then(|knows| knows.against(wanted, Timestamp::now())) {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() > deadline => return Err(why),
                Err(_) => tokio::time::sleep(PACE).await,
            }
        }
    }
}

fn has_sidecar(pod: &Pod) -> bool {
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let containers =
        pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    !leaving && containers.into_iter().any(|container| container.name == SIDECAR)
}
