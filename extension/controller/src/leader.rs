//! What the leader does besides writing status: it serves configuration, and makes itself found.

use crate::apply::{FIELD_MANAGER, conditional};
use crate::authority::{Authority, AuthorityError, Next, Step};
use crate::request::{RequestError, answered};
use alb_api::names;
use alb_config::server::Hub;
use alb_runtime::lease::Leadership;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause after a failed attempt; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How often what is published is looked at: somebody may have changed or deleted it. Also how late a certificate may be
/// renewed; a third of its life remains then.
const LOOK: Duration = Duration::from_secs(30);

/// TLS configuration for new connections; none while this replica does not lead.
pub type Tls = watch::Sender<Option<Arc<rustls::ServerConfig>>>;

/// Why the leader's duties could not be done.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The API server did not do what was asked.
    #[error("{doing}: {error}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// Its answer, or that there was none.
        error: RequestError,
    },
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Serves configuration while this replica leads.
pub struct Leader {
    /// For the Secret, the ConfigMap and the EndpointSlice.
    pub client: kube::Client,
    /// Configuration.
    pub hub: Hub,
    /// Who leads.
    pub leadership: Leadership,
    /// Where the certificate goes.
    pub tls: Tls,
    /// Address of this pod.
    pub address: IpAddr,
}

/// What new connections are served with.
struct Served {
    authority: Authority,
    renew_at: Timestamp,
}

/// What this leader knows from one attempt to the next.
#[derive(Default)]
struct Memory {
    served: Option<Served>,
    /// What clients trust, as published, and since when it has been seen to be.
    published: Option<(String, Instant)>,
}

impl Leader {
    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.leadership.wait_for(true) => {}
            }
            tracing::info!("this replica leads");
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.leadership.wait_for(false) => {}
                () = self.lead() => {}
            }
            self.stop();
            tracing::info!("this replica no longer leads");
        }
        self.stop();
    }

    fn stop(&self) {
        self.hub.set_serving(false);
        self.tls.send_replace(None);
    }

    /// Never returns: dropped when leadership ends.
    async fn lead(&self) {
        let (mut pause, mut memory) = (MIN_PAUSE, Memory::default());
        loop {
            match self.attempt(&mut memory).await {
                Ok(()) => {
                    pause = MIN_PAUSE;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "serving configuration is not all set up; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Puts everything in place that is not. What clients are to trust is published before anything that rests on it.
    async fn attempt(&self, memory: &mut Memory) -> Result<(), LeaderError> {
        let now = Timestamp::now();
        let owner = self.owner().await?;
        let authority = self.authority(&owner, memory, now).await?;
        let data_plane_owner = self.data_plane_owner().await?;
        self.publish_bundle(&authority, &data_plane_owner).await?;
        let bundle = authority.bundle();
        if memory.published.as_ref().is_none_or(|(published, _)| *published != bundle) {
            memory.published = Some((bundle, Instant::now()));
        }
        let served = &mut memory.served;
        if served
            .as_ref()
            .is_none_or(|served| !served.authority.issues_as(&authority) || served.renew_at <= now)
        {
            let host = format!("{}.{}.svc", names::CONFIG_SERVICE, names::CONTROLLER_NAMESPACE);
            let serving = authority.serve(&[&host], now)?;
            self.tls.send_replace(Some(serving.config));
            *served = Some(Served { authority: authority.clone(), renew_at: serving.renew_at });
        }
        self.hub.set_serving(true);
        self.publish_address(&owner).await?;
        self.own_lease(&owner).await
    }

    /// The Service is what the chart installs: what the leader makes goes with it.
    async fn owner(&self) -> Result<Value, LeaderError> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), names::CONTROLLER_NAMESPACE);
        let doing = "reading the Service of the configuration server";
        let service = answered(api.get(names::CONFIG_SERVICE))
            .await
            .map_err(|error| LeaderError::Api { doing, error })?;
        Ok(owner("Service", service.metadata))
    }

    /// The same for the data plane's namespace.
    async fn data_plane_owner(&self) -> Result<Value, LeaderError> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), names::DATA_PLANE_NAMESPACE);
        let doing = "reading the service account of the proxies";
        let account = answered(api.get(names::PROXY_SERVICE_ACCOUNT))
            .await
            .map_err(|error| LeaderError::Api { doing, error })?;
        Ok(owner("ServiceAccount", account.metadata))
    }

    /// The authority as it is stored, after whatever is to be done with it now.
    async fn authority(
        &self,
        owner: &Value,
        memory: &Memory,
        now: Timestamp,
    ) -> Result<Authority, LeaderError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), names::CONTROLLER_NAMESPACE);
        let failed = |doing| move |error| LeaderError::Api { doing, error };
        let existing = answered(api.get_opt(names::CONFIG_TLS_SECRET))
            .await
            .map_err(failed("reading the certificate authority"))?;
        let renewed = match existing.as_ref().map(stored) {
            Some(Ok(authority)) => {
                let published = memory.published.as_ref().filter(|(bundle, _)| *bundle == authority.bundle());
                let published = published.map_or(Duration::ZERO, |(_, since)| since.elapsed());
                match authority.step(now, published)? {
                    Step::Keep => return Ok(authority),
                    Step::Announce => authority.announce(now)?,
                    Step::Promote => authority.promote(),
                }
            }
            missing => {
                if let Some(Err(error)) = missing {
                    let secret = names::CONFIG_TLS_SECRET;
                    tracing::warn!(%error, secret, "the certificate authority is damaged: it is replaced");
                }
                match &memory.served {
                    // The one that clients trust.
                    Some(served) => served.authority.clone(),
                    // Nobody can issue with the old one any more: it need not stay trusted.
                    None => Authority::generate(now)?,
                }
            }
        };
        let metadata = ObjectMeta {
            name: Some(names::CONFIG_TLS_SECRET.to_owned()),
            namespace: Some(names::CONTROLLER_NAMESPACE.to_owned()),
            // Another leader may have been quicker: then this fails, and the next attempt reads what it wrote.
            resource_version: existing.and_then(|secret| secret.metadata.resource_version),
            owner_references: serde_json::from_value(owner.clone()).unwrap_or_default(),
            ..ObjectMeta::default()
        };
        let entry = |name: &str, value: &str| (name.to_owned(), ByteString(value.as_bytes().to_vec()));
        let secret = Secret {
            data: Some(
                [
                    entry("ca.crt", &renewed.certificate),
                    entry("ca.key", &renewed.key),
                    entry("previous.crt", &renewed.previous),
                    entry("next.crt", &renewed.next.certificate),
                    entry("next.key", &renewed.next.key),
                ]
                .into(),
            ),
            metadata,
            ..Secret::default()
        };
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = if secret.metadata.resource_version.is_some() {
            answered(api.replace(names::CONFIG_TLS_SECRET, &parameters, &secret)).await
        } else {
            answered(api.create(&parameters, &secret)).await
        };
        written.map_err(failed("storing the certificate authority"))?;
        tracing::info!("stored the certificate authority of the configuration server");
        Ok(renewed)
    }

    async fn publish_bundle(&self, authority: &Authority, owner: &Value) -> Result<(), LeaderError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), names::DATA_PLANE_NAMESPACE);
        let name = names::CONFIG_CA_CONFIG_MAP;
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": owner},
            "data": {"ca.crt": authority.bundle()},
        });
        ensure(&api, name, manifest, "publishing the authority's certificate").await
    }

    /// An uninstalled chart takes its permissions along before the leader can release the Lease. Owned by what the chart
    /// installs, the Lease goes with it, and does not hold up the next installation until it runs out. Not owned by the
    /// leader's pod: that can be deleted by force while its processes run on, and two would lead.
    async fn own_lease(&self, owner: &Value) -> Result<(), LeaderError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), names::CONTROLLER_NAMESPACE);
        let failed = |error| LeaderError::Api { doing: "tying the Lease to what the chart installs", error };
        let wanted: Vec<OwnerReference> = serde_json::from_value(owner.clone()).unwrap_or_default();
        let lease = answered(api.get(names::CONTROLLER_LEASE)).await.map_err(failed)?;
        if lease.metadata.owner_references.as_ref() == Some(&wanted) {
            return Ok(());
        }
        let version = lease.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version, "ownerReferences": owner}});
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        answered(api.patch(names::CONTROLLER_LEASE, &parameters, &Patch::Merge(patch)))
            .await
            .map_err(failed)?;
        Ok(())
    }

    async fn publish_address(&self, owner: &Value) -> Result<(), LeaderError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), names::CONTROLLER_NAMESPACE);
        // The family of an EndpointSlice cannot change: one name for each.
        let (name, family) = match self.address {
            IpAddr::V4(_) => (names::CONFIG_SERVICE.to_owned(), "IPv4"),
            IpAddr::V6(_) => (format!("{}-ipv6", names::CONFIG_SERVICE), "IPv6"),
        };
        let address = self.address.to_string();
        let manifest = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "labels": {
                    "kubernetes.io/service-name": names::CONFIG_SERVICE,
                    "endpointslice.kubernetes.io/managed-by": names::CONTROLLER_LEASE,
                },
                "ownerReferences": owner,
            },
            "addressType": family,
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [{"name": "config", "port": names::CONFIG_PORT, "protocol": "TCP"}],
        });
        ensure(&api, &name, manifest, "pointing the configuration Service at this pod").await
    }
}

/// Applies a manifest, unless all it says is there.
async fn ensure<K>(api: &Api<K>, name: &str, manifest: Value, doing: &'static str) -> Result<(), LeaderError>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let failed = |error| LeaderError::Api { doing, error };
    let existing = answered(api.get_opt(name)).await.map_err(failed)?;
    let existing = existing.and_then(|object| serde_json::to_value(object).ok());
    if existing.as_ref().is_some_and(|existing| says(existing, &manifest)) {
        return Ok(());
    }
    tracing::info!(name, "{doing}");
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let version = existing.as_ref().and_then(|existing| existing.pointer("/metadata/resourceVersion"));
    let manifest = conditional(&manifest, version.and_then(Value::as_str).unwrap_or_default());
    answered(api.patch(name, &parameters, &Patch::Apply(manifest))).await.map_err(failed)?;
    Ok(())
}

/// Whether `object` has everything that is `wanted`. Fields that are nobody's business here may be there, too.
fn says(object: &Value, wanted: &Value) -> bool {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| object.get(name).is_some_and(|value| says(value, wanted)))
        }
        (Value::Array(object), Value::Array(wanted)) => {
            object.len() == wanted.len()
                && object.iter().zip(wanted).all(|(value, wanted)| says(value, wanted))
        }
        (object, wanted) => object == wanted,
    }
}

fn owner(kind: &str, metadata: ObjectMeta) -> Value {
    json!([{
        "apiVersion": "v1",
        "kind": kind,
        "name": metadata.name.unwrap_or_default(),
        "uid": metadata.uid.unwrap_or_default(),
    }])
}

/// The authority in its Secret, if it is whole.
fn stored(secret: &Secret) -> Result<Authority, AuthorityError> {
    let text = |name: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
    };
    let next = Next { certificate: text("next.crt"), key: text("next.key") };
    let authority =
        Authority { certificate: text("ca.crt"), key: text("ca.key"), previous: text("previous.crt"), next };
    authority.check()?;
    Ok(authority)
}

#[cfg(test)]
mod tests;
