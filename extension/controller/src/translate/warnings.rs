//! What deserves an Event of type Warning.

use super::condition::Condition;
use super::status::Statuses;
use crate::world::{Key, Watched, World};
use alb_api::messages::{condition, reason};
use alb_api::names;
use serde::Serialize;

/// The object an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// Kind.
    pub kind: Watched,
    /// Namespace and name.
    pub key: Key,
    /// Uid.
    pub uid: String,
}

/// A warning. Two equal ones are one event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// What it is about.
    pub subject: Subject,
    /// Reason, in CamelCase.
    pub reason: String,
    /// Message.
    pub message: String,
}

pub(super) fn collect(world: &World, statuses: &Statuses) -> std::collections::BTreeSet<Warning> {
    let gateways = statuses.gateways.iter().flat_map(|(key, status)| {
        let uid = world.gateways.get(key).map(|object| object.meta.uid.clone()).unwrap_or_default();
        let subject = Subject { kind: Watched::Gateway, key: key.clone(), uid };
        let listeners = status.listeners.iter().flat_map(|listener| {
            listener.conditions.iter().map(|condition| (format!("Listener {}: ", listener.name), condition))
        });
        let own = status.conditions.iter().map(|condition| (String::new(), condition));
        own.chain(listeners)
            .filter_map(|(prefix, condition)| warning(&subject, &prefix, condition))
            .collect::<Vec<_>>()
    });
    let routes = statuses.routes.iter().flat_map(|(key, status)| {
        let uid = world.routes.get(key).map(|object| object.meta.uid.clone()).unwrap_or_default();
        let subject = Subject { kind: Watched::HttpRoute, key: key.clone(), uid };
        let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
        conditions.filter_map(|condition| warning(&subject, "", condition)).collect::<Vec<_>>()
    });
    let policies = statuses.backend_tls_policies.iter().flat_map(|(key, status)| {
        let uid =
            world.backend_tls_policies.get(key).map(|object| object.meta.uid.clone()).unwrap_or_default();
        let subject = Subject { kind: Watched::BackendTlsPolicy, key: key.clone(), uid };
        let conditions = status.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
        let unlisted = (status.unlisted > 0).then(|| Warning {
            subject: subject.clone(),
            reason: reason::TOO_MANY_ANCESTORS.to_owned(),
            message: format!("The status has no room for {} more Gateways", status.unlisted),
        });
        let conditions = conditions.filter_map(|condition| warning(&subject, "", condition));
        conditions.chain(unlisted).collect::<Vec<_>>()
    });
    let ingresses = world.ingresses.iter().filter(|(_, ingress)| {
        #[cfg(feature = "faults")]
        if crate::faults::fault("no-event-for-an-ingress") {
            return false;
        }
        let class = ingress.spec.ingress_class_name.as_deref();
        let annotation =
            || ingress.meta.annotations.get(crate::world::INGRESS_CLASS_ANNOTATION).map(String::as_str);
        class.or_else(annotation) == Some(names::GATEWAY_CLASS)
    });
    let ingresses = ingresses.map(|(key, ingress)| Warning {
        subject: Subject { kind: Watched::Ingress, key: key.clone(), uid: ingress.meta.uid.clone() },
        reason: "IngressNotSupported".to_owned(),
        message: format!(
            "The Ingress API is not supported, and this Ingress is not served: use the Gateway API (GatewayClass {})",
            names::GATEWAY_CLASS
        ),
    });
    let unreadable = world.unreadable.values().map(|object| Warning {
        subject: Subject { kind: object.kind, key: object.key.clone(), uid: object.uid.clone() },
        reason: "Unreadable".to_owned(),
        message: format!("The object cannot be read and is left out: {}", object.message),
    });
    let all = gateways.chain(routes).chain(policies).chain(ingresses).chain(unreadable);
    // Where everything goes away, everything lacks something, and no Event can be written.
    all.filter(|warning| !world.is_terminating(&warning.subject.key.namespace)).collect()
}

/// Negative conditions are warnings, unless they only mean "not yet" or follow from another one.
fn warning(subject: &Subject, prefix: &str, condition: &Condition) -> Option<Warning> {
    let follows = condition.r#type == condition::PROGRAMMED && condition.message.ends_with("is not accepted");
    let not_yet = [reason::PENDING, reason::ADDRESS_NOT_ASSIGNED].contains(&condition.reason);
    if condition.status == "True" || follows || not_yet {
        return None;
    }
    Some(Warning {
        subject: subject.clone(),
        reason: condition.reason.to_owned(),
        message: format!("{prefix}{}", condition.message),
    })
}
