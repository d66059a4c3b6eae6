//! BackendTLSPolicies: which one is in force for a port of a Service, and what becomes of each (Gateway API,
//! BackendTLSPolicy).

mod validation;

use super::condition::{Condition, Refusal, Verdict};
use super::model::{GROUP, Gateways, RoutePlan};
use super::policies::by_precedence;
use super::status::{ParentStatus, PolicyStatus};
use crate::world::{BackendTlsPolicy, Key, Object, ParentRef, ServicePort, World};
use alb_api::messages::{self, condition, reason};
use alb_api::names;
use alb_config::proto;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ancestors that a policy's status has room for (Gateway API, `PolicyStatus.ancestors`).
const MAX_ANCESTORS: usize = 16;

/// All policies.
#[derive(Debug, Default)]
pub(super) struct Policies {
    plans: BTreeMap<Key, Plan>,
    in_force: BTreeMap<Target, Key>,
    /// Policies by the Services they are about.
    of_service: BTreeMap<Key, BTreeSet<Key>>,
}

/// A Service, and the name of one of its ports; none for all of them.
type Target = (Key, Option<String>);

/// A policy and what becomes of it.
#[derive(Debug)]
struct Plan {
    object: Arc<Object<BackendTlsPolicy>>,
    tls: proto::ServerTls,
    resolved_refs: Verdict,
    /// Whether backends can be spoken to by it. If not, they are not spoken to at all.
    usable: Verdict,
    /// The Services it is about, and whether it is in force there.
    targets: Vec<(Key, Verdict)>,
    /// Whether all that it refers to is known.
    is_known: bool,
}

/// TLS to a backend.
pub(super) struct Tls {
    pub(super) content: proto::ServerTls,
    /// Whether it is certain. If not, proxies that know how to speak to the backend go on doing so.
    pub(super) is_known: bool,
}

/// The Gateways, by place, from which routes lead to a Service.
pub(super) type Concerned<'a> = &'a dyn Fn(&Key) -> BTreeSet<usize>;

/// The Gateways, by place, that a route is attached to.
pub(super) fn gateways_of<'a>(
    route: &'a RoutePlan,
    gateways: &'a Gateways,
) -> impl Iterator<Item = usize> + 'a {
    let attached = route.parents.iter().filter(|parent| parent.accepted.is_ok());
    attached.filter_map(|parent| gateways.place(&parent.gateway))
}

impl Policies {
    pub(super) fn new(world: &World) -> Self {
        let mut all = Self::default();
        for (key, object) in by_precedence(&world.backend_tls_policies) {
            let targets = targets(key, object).map(|target| {
                let service = target.0.clone();
                all.of_service.entry(service.clone()).or_default().insert(key.clone());
                (service, attach(world, key, target, &mut all.in_force))
            });
            let targets = targets.collect();
            let validation::Outcome { mut tls, resolved_refs, usable, unknown } =
                validation::of(world, &key.namespace, &object.spec.validation);
            if let Some(config_map) = &unknown {
                tls.problem = format!("BackendTLSPolicy {key}: ConfigMap {config_map} has not been read yet");
            } else if let Err(refusal) = &usable {
                tls.problem = format!("BackendTLSPolicy {key}: {}", refusal.message);
            }
            let is_known = unknown.is_none();
            let plan = Plan { object: object.clone(), tls, resolved_refs, usable, targets, is_known };
            all.plans.insert(key.clone(), plan);
        }
        all
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.plans.keys()
    }

    /// The Services that any of them is about.
    pub(super) fn services(&self) -> impl Iterator<Item = &Key> {
        self.of_service.keys()
    }

    /// The policies that are about a Service.
    pub(super) fn of(&self, service: &Key) -> impl Iterator<Item = &Key> {
        self.of_service.get(service).into_iter().flatten()
    }

    /// TLS to a port of a Service outside the mesh, if a policy asks for it. One for the port comes before one for the
    /// whole Service.
    pub(super) fn tls(&self, service: &Key, port: &ServicePort) -> Option<Tls> {
        let of = |section| self.in_force.get(&(service.clone(), section));
        let name = port.name.clone().filter(|name| !name.is_empty());
        let key = name.and_then(|name| of(Some(name))).or_else(|| of(None))?;
        self.plans.get(key).map(|plan| Tls { content: plan.tls.clone(), is_known: plan.is_known })
    }

    /// The ConfigMaps with the CA certificates of a policy, if it concerns any of our Gateways.
    pub(super) fn config_maps(&self, key: &Key, concerned: Concerned<'_>) -> BTreeSet<Key> {
        let plan = self.plans.get(key).filter(|plan| !plan.gateways(concerned).is_empty());
        let validation = plan.map(|plan| &plan.object.spec.validation);
        validation
            .into_iter()
            .flat_map(|validation| validation::config_maps(&key.namespace, validation))
            .collect()
    }

    /// Status of a policy; none while something is not known that it depends on. One that concerns none of our Gateways
    /// loses our entries.
    pub(super) fn status(
        &self,
        world: &World,
        gateways: &Gateways,
        key: &Key,
        concerned: Concerned<'_>,
    ) -> Option<PolicyStatus> {
        let plan = self.plans.get(key).filter(|_| !world.is_terminating(&key.namespace))?;
        let mine = plan.gateways(concerned);
        if !plan.is_known && !mine.is_empty() {
            return None;
        }
        let mut ancestors: Vec<ParentStatus> = mine
            .into_iter()
            .filter_map(|place| Some((place, gateways.all.get(place)?)))
            .map(|(place, gateway)| ParentStatus {
                parent: reference(&gateway.key),
                conditions: vec![
                    Condition::of(
                        condition::ACCEPTED,
                        &accepted(world, key, plan, concerned, place),
                        reason::ACCEPTED,
                        messages::BACKEND_TLS_POLICY_ACCEPTED,
                    ),
                    Condition::of(
                        condition::RESOLVED_REFS,
                        &plan.resolved_refs,
                        reason::RESOLVED_REFS,
                        messages::RESOLVED_REFS,
                    ),
                ],
            })
            .collect();
        // The status as it stands now: others write there, too.
        let object = world.backend_tls_policies.get(key).unwrap_or(&plan.object);
        let room = MAX_ANCESTORS.saturating_sub(entries_of_others(object));
        let unlisted = ancestors.len().saturating_sub(room);
        ancestors.truncate(room);
        Some(PolicyStatus { ancestors, unlisted })
    }
}

/// Whether a policy is in force for what routes of a Gateway lead to.
fn accepted(world: &World, key: &Key, plan: &Plan, concerned: Concerned<'_>, gateway: usize) -> Verdict {
    let refusals: Vec<&Refusal> = plan
        .targets
        .iter()
        .filter(|(service, _)| concerned(service).contains(&gateway))
        .filter_map(|(_, verdict)| verdict.as_ref().err())
        .collect();
    if let Some(conflict) = refusals.iter().find(|refusal| refusal.reason == reason::CONFLICTED) {
        return Err((*conflict).clone());
    }
    if let Some((label, value)) = world.mesh_label(&key.namespace) {
        let message = format!(
            "The policy has no effect: namespace {} is labelled {label}: {value}, and the gateway speaks mutual \
             TLS of Istio to every service in it",
            key.namespace
        );
        return Err(Refusal::new(reason::INVALID, message));
    }
    plan.usable.clone()?;
    refusals.first().map_or(Ok(()), |refusal| Err((*refusal).clone()))
}

impl Plan {
    /// The Gateways it concerns.
    fn gateways(&self, concerned: Concerned<'_>) -> BTreeSet<usize> {
        self.targets.iter().flat_map(|(service, _)| concerned(service)).collect()
    }
}

/// The targets of a policy that may be ours: Services.
fn targets(key: &Key, policy: &Object<BackendTlsPolicy>) -> impl Iterator<Item = Target> {
    let services =
        policy.spec.target_refs.iter().filter(|target| target.group.is_empty() && target.kind == "Service");
    services.map(|target| {
        let section = target.section_name.clone().filter(|name| !name.is_empty());
        (Key::new(&key.namespace, &target.name), section)
    })
}

/// Puts a policy in force at a target, unless that does not exist or has one.
fn attach(world: &World, key: &Key, target: Target, in_force: &mut BTreeMap<Target, Key>) -> Verdict {
    let (service, section) = &target;
    let not_found = |message: String| Refusal::new(reason::TARGET_NOT_FOUND, message);
    let Some(object) = world.services.get(service) else {
        return Err(not_found(format!("Service {service} does not exist")));
    };
    if let Some(name) = section
        && !object.spec.ports.iter().any(|port| port.name.as_ref() == Some(name))
    {
        return Err(not_found(format!("Service {service} has no port named {name}")));
    }
    let of_port = section.as_ref().map(|name| format!(", port {name}")).unwrap_or_default();
    let conflict = |winner: &Key| {
        let message = format!(
            "Service {service}{of_port} has BackendTLSPolicy {winner}, which is older or first by name"
        );
        Refusal::new(reason::CONFLICTED, message)
    };
    match in_force.get(&target) {
        Some(winner) if winner != key => Err(conflict(winner)),
        _ => {
            in_force.insert(target, key.clone());
            Ok(())
        }
    }
}

fn reference(gateway: &Key) -> ParentRef {
    ParentRef {
        group: Some(GROUP.to_owned()),
        kind: Some("Gateway".to_owned()),
        namespace: Some(gateway.namespace.clone()),
        name: gateway.name.clone(),
        ..ParentRef::default()
    }
}

fn entries_of_others<T>(object: &Object<T>) -> usize {
    let entries = object.status.get("ancestors").and_then(serde_json::Value::as_array);
    let others = entries.into_iter().flatten().filter(|e| e["controllerName"] != names::CONTROLLER_NAME);
    others.count()
}
