//! Gateways of our classes: whether all they ask for is offered, and their association with a load balancer.

use super::addresses::{self, Wanted};
use super::condition::{Refusal, Verdict};
use super::listeners;
use super::model::{Association, GatewayPlan, Gateways, LoadBalancer, Origin};
use super::{classes, client_certificate, client_validation, listener_sets};
use crate::world::{Gateway, Key, Object, World};
use alb_api::messages::reason;
use alb_api::{frontend, names};
use names::annotation::{ALB_ID, ALB_NAME, ALB_NAMESPACE};
use std::sync::Arc;

/// All Gateways of our classes.
pub(super) fn collect(world: &World, load_balancers: &[Arc<LoadBalancer>]) -> Gateways {
    let ours = world.gateways.iter().filter(|(_, object)| {
        classes::is_ours(world, &object.spec.gateway_class_name) && !object.meta.deleting
    });
    let mut sets = listener_sets::by_gateway(world);
    let mut gateways: Vec<GatewayPlan> = ours
        .map(|(key, object)| {
            let mut sets = sets.remove(key).unwrap_or_default();
            listener_sets::judge(world, key, &object.spec, &mut sets);
            GatewayPlan {
                key: key.clone(),
                object: object.clone(),
                association: associate(world, key, object, load_balancers),
                frontend: Err(Refusal::new(reason::INVALID, "The Gateway is not accepted")),
                listeners: listeners::plan(world, &key.namespace, &object.spec, &sets),
                sets,
                client_certificate: client_certificate::of(world, &key.namespace, &object.spec),
            }
        })
        .collect();
    gateways.sort_by(|a, b| (a.object.meta.created, &a.key).cmp(&(b.object.meta.created, &b.key)));
    let config_maps = gateways
        .iter()
        .flat_map(|gateway| {
            client_validation::config_maps(world, &gateway.key.namespace, &gateway.object.spec)
        })
        .collect();
    Gateways::new(gateways, config_maps)
}

fn associate(
    world: &World,
    key: &Key,
    gateway: &Object<Gateway>,
    load_balancers: &[Arc<LoadBalancer>],
) -> Verdict<Association> {
    #[cfg(feature = "faults")]
    if crate::faults::fault("annotations-not-read") {
        return Err(Refusal::new(reason::INVALID_PARAMETERS, "The Gateway has no annotations"));
    }
    let annotation = |name: &str| gateway.meta.annotations.get(name).map(String::as_str);
    let invalid = |message: String| Refusal::new(reason::INVALID_PARAMETERS, message);
    let parameters = match &gateway.spec.infrastructure.parameters_ref {
        Some(reference) => Some(classes::load_balancer(world, &key.namespace, reference)?),
        None => None,
    };
    match (annotation(ALB_ID), annotation(ALB_NAMESPACE), annotation(ALB_NAME)) {
        (Some(id), None, None) => bring_your_own(id, gateway, load_balancers),
        (None, Some(namespace), Some(name)) => {
            managed(&Key::new(namespace, name), key, gateway, load_balancers)
        }
        (Some(_), _, _) => Err(invalid(format!(
            "The annotations {ALB_ID} (bring your own) and {ALB_NAMESPACE}, {ALB_NAME} (ALB managed) exclude each \
             other"
        ))),
        (None, None, None) => {
            let class = &gateway.spec.gateway_class_name;
            let of_class = || {
                classes::parameters(world, class)
                    .map_err(|refusal| invalid(format!("GatewayClass {class}: {}", refusal.message)))
            };
            let parameters = parameters.map_or_else(of_class, |parameters| Ok(Some(parameters)))?;
            match parameters {
                Some(load_balancer) => managed(&load_balancer, key, gateway, load_balancers),
                None => Err(invalid(format!(
                    "The Gateway names no Application Gateway for Containers resource: set the annotations \
                     {ALB_NAMESPACE} and {ALB_NAME} (ALB managed), or {ALB_ID} (bring your own)"
                ))),
            }
        }
        (None, None, Some(_)) => Err(invalid(format!("The annotation {ALB_NAMESPACE} is missing"))),
        (None, Some(_), None) => Err(invalid(format!("The annotation {ALB_NAME} is missing"))),
    }
}

fn managed(
    wanted: &Key,
    key: &Key,
    gateway: &Object<Gateway>,
    load_balancers: &[Arc<LoadBalancer>],
) -> Verdict<Association> {
    let address = addresses::wanted(&gateway.spec.addresses)?;
    let load_balancer = load_balancers
        .iter()
        .find(|lb| matches!(&lb.origin, Origin::Managed(key) if key == wanted))
        .ok_or_else(|| {
            let message = format!("ApplicationLoadBalancer {wanted} does not exist");
            Refusal::new(reason::INVALID_PARAMETERS, message)
        })?;
    let frontend_name = frontend::managed_frontend_name(&load_balancer.id, &key.namespace, &key.name);
    #[cfg(feature = "faults")]
    let frontend_name = crate::faults::frontend_name(frontend_name);
    Ok(Association { load_balancer: load_balancer.clone(), frontend_name, exists: true, address })
}

fn bring_your_own(
    id: &str,
    gateway: &Object<Gateway>,
    load_balancers: &[Arc<LoadBalancer>],
) -> Verdict<Association> {
    let found = load_balancers.iter().find_map(|lb| match &lb.origin {
        Origin::Brought(frontends) if lb.resource_id.eq_ignore_ascii_case(id) => Some((lb, frontends)),
        _ => None,
    });
    #[cfg(feature = "faults")]
    let found = found.or_else(|| {
        load_balancers.iter().find_map(|lb| match &lb.origin {
            Origin::Brought(frontends) if crate::faults::fault("any-alb-id") => Some((lb, frontends)),
            _ => None,
        })
    });
    let Some((load_balancer, frontends)) = found else {
        let message = format!("Application Gateway for Containers resource {id} does not exist");
        return Err(Refusal::new(reason::INVALID_PARAMETERS, message));
    };
    let expected = names::FRONTEND_ADDRESS_TYPE;
    let address = match gateway.spec.addresses.as_slice() {
        [address] => address,
        other => {
            let message = format!("Exactly one address of type {expected} is needed, {} given", other.len());
            return Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message));
        }
    };
    match address.r#type.as_deref() {
        Some(kind) if kind == expected => Ok(Association {
            load_balancer: load_balancer.clone(),
            frontend_name: address.value.clone(),
            exists: frontends.contains(&address.value),
            address: Wanted::Name,
        }),
        other => {
            let other = other.unwrap_or("IPAddress");
            let message = format!("Addresses of type {other} are not supported: use {expected}");
            Err(Refusal::new(reason::UNSUPPORTED_ADDRESS, message))
        }
    }
}
