//! GatewayClasses of ours, and the load balancer that their parameters name (Gateway API, `GatewayClassSpec.parametersRef`).

use super::condition::{Refusal, Verdict};
use super::model::kind_of;
use crate::world::{Key, ParametersRef, World};
use alb_api::messages::reason;
use alb_api::names;

/// Kind of the parameters: the load balancer of Gateways that name none.
const KIND: &str = "ApplicationLoadBalancer";

/// Whether the class of that name is ours.
pub(super) fn is_ours(world: &World, name: &str) -> bool {
    let class = world.gateway_classes.get(&Key::new("", name));
    class.is_some_and(|class| class.spec.controller_name == names::CONTROLLER_NAME)
}

/// The load balancer that a class gives to Gateways that name none, if it does.
pub(super) fn parameters(world: &World, name: &str) -> Verdict<Option<Key>> {
    let class = world.gateway_classes.get(&Key::new("", name));
    match class.and_then(|class| class.spec.parameters_ref.as_ref()) {
        None => Ok(None),
        Some(reference) => match reference.namespace.as_deref() {
            Some(namespace) => load_balancer(world, namespace, reference).map(Some),
            None => {
                let message = format!("parametersRef names no namespace: {KIND} {} has one", reference.name);
                Err(Refusal::new(reason::INVALID_PARAMETERS, message))
            }
        },
    }
}

/// The load balancer that a reference in or to a namespace names.
pub(super) fn load_balancer(world: &World, namespace: &str, reference: &ParametersRef) -> Verdict<Key> {
    let ParametersRef { group, kind, name, .. } = reference;
    let invalid = |message: String| Err(Refusal::new(reason::INVALID_PARAMETERS, message));
    if group != names::GROUP || kind != KIND {
        let (kind, supported) = (kind_of(kind, group), kind_of(KIND, names::GROUP));
        return invalid(format!("parametersRef names a {kind}: only {supported} is supported"));
    }
    let key = Key::new(namespace, name);
    match world.load_balancers.get(&key).filter(|object| !object.meta.deleting) {
        Some(_) => Ok(key),
        None => invalid(format!("parametersRef names {KIND} {key}, which does not exist")),
    }
}
