//! What deserves an Event of type Warning.

use super::condition::Condition;
use super::listener_status::ListenerStatus;
use super::status::{NO_CERTIFICATE, PolicyStatus, Statuses};
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

/// The warnings about one object. Where everything goes away with its namespace, everything lacks something, and no Event can
/// be written: there are none.
pub(super) fn of(world: &World, statuses: &Statuses, kind: Watched, key: &Key) -> Vec<Warning> {
    if world.is_terminating(&key.namespace) {
        return Vec::new();
    }
    let subject =
        |uid: Option<&String>| Subject { kind, key: key.clone(), uid: uid.cloned().unwrap_or_default() };
    let mut warnings = match kind {
        Watched::Gateway => {
            let subject = subject(world.gateways.get(key).map(|object| &object.meta.uid));
            statuses
                .gateways
                .get(key)
                .map(|status| of_listeners(&subject, &status.conditions, &status.listeners))
                .unwrap_or_default()
        }
        Watched::ListenerSet => {
            let subject = subject(world.listener_sets.get(key).map(|object| &object.meta.uid));
            let status = statuses.listener_sets.get(key);
            status
                .map(|status| of_listeners(&subject, &status.conditions, &status.listeners))
                .unwrap_or_default()
        }
        Watched::HttpRoute | Watched::GrpcRoute | Watched::TlsRoute => {
            let (routes, statuses) = (world.routes_of_kind(kind), statuses.of_routes(kind));
            let subject = subject(routes.get(key).map(|object| &object.meta.uid));
            let parents = statuses.get(key).into_iter().flat_map(|status| &status.parents);
            let conditions = parents.flat_map(|parent| &parent.conditions);
            conditions.filter_map(|condition| warning(&subject, "", condition)).collect()
        }
        Watched::BackendTlsPolicy => {
            let subject = subject(world.backend_tls_policies.get(key).map(|object| &object.meta.uid));
            statuses
                .backend_tls_policies
                .get(key)
                .map(|status| of_policy(&subject, status))
                .unwrap_or_default()
        }
        Watched::RoutePolicy | Watched::FrontendTlsPolicy | Watched::FirewallPolicy => {
            let subject = subject(match kind {
                Watched::RoutePolicy => world.route_policies.get(key).map(|object| &object.meta.uid),
                Watched::FirewallPolicy => world.firewall_policies.get(key).map(|object| &object.meta.uid),
                _ => world.frontend_tls_policies.get(key).map(|object| &object.meta.uid),
            });
            let conditions = statuses.own_policies.get(&kind).and_then(|of_kind| of_kind.get(key));
            conditions
                .into_iter()
                .flatten()
                .filter_map(|condition| warning(&subject, "", condition))
                .collect()
        }
        Watched::Ingress => of_ingress(world, key).into_iter().collect(),
        _ => Vec::new(),
    };
    warnings.extend(world.unreadable.get(&(kind, key.clone())).map(|object| Warning {
        subject: subject(Some(&object.uid)),
        reason: "Unreadable".to_owned(),
        message: format!("The object cannot be read and is left out: {}", object.message),
    }));
    warnings
}

/// Of a Gateway or a ListenerSet.
fn of_listeners(subject: &Subject, own: &[Condition], listeners: &[ListenerStatus]) -> Vec<Warning> {
    let listeners = listeners.iter().flat_map(|listener| {
        listener.conditions.iter().map(|condition| (format!("Listener {}: ", listener.name), condition))
    });
    let own = own.iter().map(|condition| (String::new(), condition));
    own.chain(listeners).filter_map(|(prefix, condition)| warning(subject, &prefix, condition)).collect()
}

fn of_policy(subject: &Subject, status: &PolicyStatus) -> Vec<Warning> {
    let conditions = status.ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
    let unlisted = (status.unlisted > 0).then(|| Warning {
        subject: subject.clone(),
        reason: reason::TOO_MANY_ANCESTORS.to_owned(),
        message: format!("The status has no room for {} more Gateways", status.unlisted),
    });
    conditions.filter_map(|condition| warning(subject, "", condition)).chain(unlisted).collect()
}

fn of_ingress(world: &World, key: &Key) -> Option<Warning> {
    let ingress = world.ingresses.get(key)?;
    #[cfg(feature = "faults")]
    if crate::faults::fault("no-event-for-an-ingress") {
        return None;
    }
    let class = ingress.spec.ingress_class_name.as_deref();
    let annotation =
        || ingress.meta.annotations.get(crate::world::INGRESS_CLASS_ANNOTATION).map(String::as_str);
    (class.or_else(annotation) == Some(names::GATEWAY_CLASS)).then(|| Warning {
        subject: Subject { kind: Watched::Ingress, key: key.clone(), uid: ingress.meta.uid.clone() },
        reason: "IngressNotSupported".to_owned(),
        message: format!(
            "The Ingress API is not supported, and this Ingress is not served: use the Gateway API (GatewayClass {})",
            names::GATEWAY_CLASS
        ),
    })
}

/// Negative conditions are warnings, unless they only mean "not yet" or follow from another one.
fn warning(subject: &Subject, prefix: &str, condition: &Condition) -> Option<Warning> {
    let follows = condition.r#type == condition::PROGRAMMED
        && (condition.message.ends_with("is not accepted") || condition.message == NO_CERTIFICATE);
    let not_yet = [reason::PENDING, reason::ADDRESS_NOT_ASSIGNED].contains(&condition.reason);
    let is_well = (condition.status == "True") != (condition.r#type == condition::PARTIALLY_INVALID);
    if is_well || follows || not_yet {
        return None;
    }
    Some(Warning {
        subject: subject.clone(),
        reason: condition.reason.to_owned(),
        message: format!("{prefix}{}", condition.message),
    })
}
