//! `/debug/world`: what the controller knows and wants, as JSON, without secrets.

use crate::translate::Statuses;
use crate::world::World;
use alb_config::server::Acks;
use serde_json::{Value, json};

/// The world. Keys become `<namespace>/<name>`.
pub(super) fn world(world: &World) -> Value {
    serde_json::to_value(world).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// Desired statuses.
pub(super) fn statuses(statuses: &Statuses) -> Value {
    serde_json::to_value(statuses).unwrap_or_else(|error| json!({"error": error.to_string()}))
}

/// Connected proxies and what they hold.
pub(super) fn proxies(acks: &Acks) -> Value {
    let all: serde_json::Map<String, Value> = acks
        .load_balancers()
        .map(|load_balancer| {
            let proxies: Vec<Value> = acks
                .proxies(load_balancer)
                .map(|proxy| {
                    json!({
                        "node": proxy.node,
                        "acknowledged": proxy.acknowledged.as_ref().map(|snapshot| snapshot.digest().to_owned()),
                        "refused": proxy.refused.iter()
                            .map(|(name, rejection)| (name.clone(), Value::String(rejection.message.clone())))
                            .collect::<serde_json::Map<_, _>>(),
                    })
                })
                .collect();
            (load_balancer.to_owned(), Value::Array(proxies))
        })
        .collect();
    Value::Object(all)
}
