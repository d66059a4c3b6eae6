//! `/debug/world`: what the controller knows and wants, as JSON, without secrets.

use crate::translate::Translation;
use crate::world::{Watched, World};
use alb_config::server::{Acks, ProxyState};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the loop has at one moment. Cheap to make: nothing is copied.
#[derive(Debug, Clone)]
pub struct Inspection {
    pub(super) leader: bool,
    pub(super) holder: Option<String>,
    pub(super) unsynced: BTreeSet<Watched>,
    pub(super) world: Arc<World>,
    pub(super) translation: Arc<Translation>,
    pub(super) acks: Acks,
}

impl Inspection {
    /// The page. Keys become `<namespace>/<name>`.
    pub fn page(&self) -> Value {
        let translation = &self.translation;
        let configuration: Map<String, Value> = translation
            .snapshots
            .iter()
            .map(|(load_balancer, snapshot)| {
                let resources = snapshot.resources().map(|(name, kind)| (name.to_owned(), value(kind)));
                (load_balancer.clone(), Value::Object(resources.collect()))
            })
            .collect();
        json!({
            "leader": self.leader,
            "holder": self.holder,
            "unsynced": self.unsynced,
            "world": value(&*self.world),
            "translation": {
                "configuration": configuration,
                "deployments": translation.deployments.keys().collect::<Vec<_>>(),
                "services": translation.services.keys().collect::<Vec<_>>(),
                "statuses": value(&translation.statuses),
                "warnings": translation.warnings,
            },
            "proxies": proxies(&self.acks),
        })
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// Connected proxies and what they hold.
fn proxies(acks: &Acks) -> Value {
    let of = |load_balancer: &str| acks.proxies(load_balancer).map(proxy).collect();
    let all = acks
        .load_balancers()
        .map(|load_balancer| (load_balancer.to_owned(), Value::Array(of(load_balancer))));
    Value::Object(all.collect())
}

fn proxy(proxy: &ProxyState) -> Value {
    let refused = proxy.refused.iter().map(|(name, rejection)| (name.clone(), json!(rejection.message)));
    json!({
        "node": proxy.node,
        "acknowledged": proxy.acknowledged.as_ref().map(|snapshot| snapshot.digest()),
        "refused": refused.collect::<Map<_, _>>(),
    })
}
