//! Applying an object: who may be overwritten, and how long a server is asked that does not take it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::refusal::{self, Refusal};
use super::{KubeObjects, port_error};
use meshproof_lab::cluster::api::pod_is_ready;
use meshproof_lab::cluster::owner;
use meshproof_model::scenario::object::ObjectRef;
use meshproof_run::ports::{Applied, PortError};

/// How long an object is offered again to a server that is not ready for it: a webhook whose pod is coming up, a kind that
/// was defined a moment ago.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two offers.
const PACE: Duration = Duration::from_millis(200);

/// Why an object was not taken.
enum Trouble {
    /// The API server's word.
    Kube(kube::Error),
    /// It is somebody else's.
    Foreign(String),
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        Self::Kube(error)
    }
}

impl KubeObjects {
    pub(super) async fn offer(&self, id: &ObjectRef, object: &Value) -> Result<Applied, PortError> {
        let version = object["apiVersion"].as_str().map(|v| v.rsplit('/').next().unwrap_or(v));
        let object = owner::labelled(object, &self.run);
        let deadline = Instant::now() + PATIENCE;
        let mut pace = interval(PACE);
        // What brings its kind may have been installed a moment ago.
        while let Err(unknown) = self.told.ask(&self.client, id.kind).await {
            if Instant::now() >= deadline {
                return Err(unknown);
            }
            pace.tick().await;
        }
        let api = self.api(id.kind, id.namespace.as_deref(), version);
        let mut refused = None;
        loop {
            pace.tick().await;
            let error = match self.once(&api, id, &object).await {
                Ok((uid, created)) => return Ok(Applied { uid, created, refused }),
                Err(Trouble::Foreign(why)) => return Err(foreign(id, &why)),
                Err(Trouble::Kube(error)) => error,
            };
            let trouble = port_error("applying", id, &error);
            let kube::Error::Api(status) = &error else { return Err(trouble) };
            match self.lasting(id, Refusal::of(status), &status.message).await {
                Some(advice) if advice.is_empty() => return Err(trouble),
                Some(advice) => return Err(trouble.next(advice)),
                None if Instant::now() < deadline => {
                    tracing::debug!(%id, %error, "offering the object again");
                    refused = Some(trouble.seen);
                }
                None => {
                    return Err(
                        trouble.next(format!("it was offered again and again for {} s", PATIENCE.as_secs()))
                    );
                }
            }
        }
    }

    /// One offer; the object's uid, and whether it is new.
    async fn once(
        &self,
        api: &Api<DynamicObject>,
        id: &ObjectRef,
        object: &Value,
    ) -> Result<(String, bool), Trouble> {
        let before = api.get_metadata_opt(&id.name).await?.map(|found| found.metadata);
        let Some(before) = before else {
            // Not by force: fields that somebody else has set since are a conflict.
            let made =
                api.patch(&id.name, &PatchParams::apply(owner::MANAGER), &Patch::Apply(object)).await?;
            let others = made.metadata.managed_fields.iter().flatten();
            let other =
                others.filter_map(|entry| entry.manager.as_deref()).find(|name| *name != owner::MANAGER);
            if let Some(other) = other {
                let why = format!("{other} made it at the same moment");
                self.give_back(api, id, object).await?;
                return Err(Trouble::Foreign(why));
            }
            return Ok((made.uid().unwrap_or_default(), true));
        };
        let inherited = self.inherited(id, &before).await?;
        let Some(inherited) = inherited else {
            return Err(Trouble::Foreign("it exists, and no run of meshproof made it".to_owned()));
        };
        // What `up` made stays the cluster's.
        let object = match owner::run_of(&before) {
            Some(owner::UP) => owner::labelled(object, owner::UP),
            _ => object.clone(),
        };
        let params = PatchParams::apply(owner::MANAGER).force();
        let made = api.patch(&id.name, &params, &Patch::Apply(&object)).await?;
        Ok((made.uid().unwrap_or_default(), inherited))
    }

    /// Whether an object that is there was left by another run, so that it is now this one's to remove; nothing if it is
    /// somebody else's.
    async fn inherited(&self, id: &ObjectRef, before: &ObjectMeta) -> kube::Result<Option<bool>> {
        match owner::run_of(before) {
            Some(run) => Ok(Some(run != self.run && run != owner::UP)),
            None => Ok(self.is_within(id).await?.then_some(false)),
        }
    }

    /// Takes back what was written to somebody else's object.
    async fn give_back(&self, api: &Api<DynamicObject>, id: &ObjectRef, object: &Value) -> kube::Result<()> {
        let nothing = json!({
            "apiVersion": object["apiVersion"],
            "kind": object["kind"],
            "metadata": {"name": id.name},
        });
        api.patch(&id.name, &PatchParams::apply(owner::MANAGER), &Patch::Apply(nothing)).await.map(drop)
    }

    /// What to do about a refusal that stays as it is; nothing if the object can be offered again.
    async fn lasting(&self, id: &ObjectRef, refusal: Refusal, message: &str) -> Option<String> {
        match refusal {
            Refusal::ForGood => Some(match refusal::webhook(message) {
                Some(webhook) => format!("the webhook {webhook} cannot be called; see to what serves it"),
                None => String::new(),
            }),
            Refusal::ForNow => None,
            Refusal::Unknown if is_defined(&self.client, id).await => match &id.namespace {
                Some(namespace) if message.contains("namespaces") => {
                    Some(format!("make the namespace {namespace} first"))
                }
                _ => None,
            },
            Refusal::Unknown => Some(format!(
                "the cluster has no kind {} of {}: install its definition first",
                id.kind.kind, id.kind.group
            )),
            Refusal::Webhook => {
                let (service, namespace) = refusal::service(message)?;
                let starts = pods_start(&self.client, service, namespace).await;
                (!starts).then(|| {
                    format!("no pod behind service {service} in {namespace} is starting or ready: see to them first")
                })
            }
        }
    }
}

fn foreign(id: &ObjectRef, why: &str) -> PortError {
    let namespace = id.namespace.iter().map(|namespace| format!(" -n {namespace}")).collect::<String>();
    PortError::new(format!("applying {id}"), format!("{why}; it is left alone"))
        .next(format!("if it may go: kubectl delete {} {}{namespace}", id.kind.word, id.name))
}

/// Whether the kind is built in, or has a definition.
async fn is_defined(client: &Client, id: &ObjectRef) -> bool {
    if !id.kind.group.contains('.')
        || id.kind.group.ends_with(".k8s.io") && !id.kind.group.starts_with("gateway.")
    {
        return true;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = format!("{}.{}", id.kind.plural, id.kind.group);
    // Who may not look cannot say that there is none.
    !matches!(definitions.get_metadata_opt(&name).await, Ok(None))
}

/// Whether there are pods behind a webhook's service that come up, or that are up and not yet known everywhere.
async fn pods_start(client: &Client, service: &str, namespace: &str) -> bool {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    // Who may not look cannot say that there are none.
    let Ok(found) = services.get_opt(service).await else { return true };
    let selector = found.and_then(|service| service.spec?.selector).unwrap_or_default();
    if selector.is_empty() {
        return false;
    }
    let selector: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match pods.list(&ListParams::default().labels(&selector.join(","))).await {
        Ok(pods) => pods.items.iter().any(|pod| pod_is_ready(pod) || comes_up(pod)),
        Err(_) => true,
    }
}

/// Whether a pod has still to begin, or has begun and is not ready; one that ends over and over does not come up.
fn comes_up(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return true };
    let statuses = status.container_statuses.iter().flatten();
    let mut waiting =
        statuses.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    let phase = status.phase.as_deref().unwrap_or("Pending");
    matches!(phase, "Pending" | "Running")
        && !waiting
            .any(|reason| matches!(reason, "CrashLoopBackOff" | "ImagePullBackOff" | "ErrImageNeverPull"))
}
