//! BackendTLSPolicies: which one is in force for a port of a Service, and what becomes of each (Gateway API,
//! BackendTLSPolicy).

mod validation;

use super::backends::Backends;
use super::condition::{Condition, Refusal, Verdict};
use super::gateways::GatewayPlan;
use super::routes::{GROUP, RoutePlan};
use super::status::{ParentStatus, PolicyStatus};
use crate::world::{BackendTlsPolicy, Key, Object, ParentRef, ServicePort, World};
use alb_api::messages::{self, condition, reason};
use alb_api::names;
use alb_config::proto;
use std::collections::{BTreeMap, BTreeSet};

/// Ancestors that a policy's status has room for (Gateway API, `PolicyStatus.ancestors`).
const MAX_ANCESTORS: usize = 16;

/// All policies.
pub(super) struct Policies<'a> {
    world: &'a World,
    plans: BTreeMap<&'a Key, Plan<'a>>,
    in_force: BTreeMap<Target<'a>, &'a Key>,
}

/// A Service, and the name of one of its ports; none for all of them.
type Target<'a> = (Key, Option<&'a str>);

/// A policy and what becomes of it.
struct Plan<'a> {
    object: &'a Object<BackendTlsPolicy>,
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

/// The Services that routes lead to, with the Gateways, by index, that they do so from.
pub(super) type Concerned = BTreeMap<Key, BTreeSet<usize>>;

/// Which policies concern which Gateways.
pub(super) fn concerned(routes: &[RoutePlan<'_>], backends: &Backends<'_>) -> Concerned {
    let mut concerned = Concerned::new();
    for route in routes {
        let attached = route.parents.iter().filter(|parent| parent.accepted.is_ok());
        let gateways: BTreeSet<usize> = attached.map(|parent| parent.gateway).collect();
        for reference in route.object.spec.rules.iter().flat_map(|rule| &rule.backend_refs) {
            if let Ok(service) = backends.service(&route.key.namespace, reference)
                && !gateways.is_empty()
            {
                concerned.entry(service).or_default().extend(&gateways);
            }
        }
    }
    concerned
}

impl<'a> Policies<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let mut policies: Vec<_> =
            world.backend_tls_policies.iter().filter(|(_, object)| !object.meta.deleting).collect();
        // Of several for one target the oldest takes precedence, then the first by name.
        policies.sort_by_key(|(key, object)| (object.meta.created, *key));
        let mut in_force = BTreeMap::new();
        let plans = policies.into_iter().map(|(key, object)| {
            let targets = targets(key, object).map(|target| {
                let service = target.0.clone();
                (service, attach(world, key, target, &mut in_force))
            });
            let targets = targets.collect();
            let validation::Outcome { mut tls, resolved_refs, usable, unknown } =
                validation::of(world, &key.namespace, &object.spec.validation);
            if let Some(config_map) = &unknown {
                tls.problem = format!("BackendTLSPolicy {key}: ConfigMap {config_map} has not been read yet");
            } else if let Err(refusal) = &usable {
                tls.problem = format!("BackendTLSPolicy {key}: {}", refusal.message);
            }
            (key, Plan { object, tls, resolved_refs, usable, targets, is_known: unknown.is_none() })
        });
        Self { world, plans: plans.collect(), in_force }
    }

    /// TLS to a port of a Service outside the mesh, if a policy asks for it. One for the port comes before one for the
    /// whole Service.
    pub(super) fn tls(&self, service: &Key, port: &ServicePort) -> Option<Tls> {
        let of = |section| self.in_force.get(&(service.clone(), section));
        let name = port.name.as_deref().filter(|name| !name.is_empty());
        let key = name.and_then(|name| of(Some(name))).or_else(|| of(None))?;
        self.plans.get(key).map(|plan| Tls { content: plan.tls.clone(), is_known: plan.is_known })
    }

    /// The ConfigMaps with the CA certificates of those that concern our Gateways.
    pub(super) fn config_maps(&self, concerned: &Concerned) -> BTreeSet<Key> {
        let plans = self.plans.iter().filter(|(_, plan)| plan.gateways(concerned).next().is_some());
        plans
            .flat_map(|(key, plan)| {
                validation::config_maps(&key.namespace, &plan.object.spec.validation).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Status of every policy of which all is known. One that concerns none of our Gateways loses our entries.
    pub(super) fn statuses(
        &self,
        gateways: &[GatewayPlan<'_>],
        concerned: &Concerned,
    ) -> BTreeMap<Key, PolicyStatus> {
        let status = |(key, plan): (&&Key, &Plan<'_>)| {
            let mine: BTreeSet<usize> = plan.gateways(concerned).collect();
            let mut ancestors: Vec<ParentStatus> = mine
                .into_iter()
                .filter_map(|index| Some((index, gateways.get(index)?)))
                .map(|(index, gateway)| ParentStatus {
                    parent: reference(gateway.key),
                    conditions: vec![
                        Condition::of(
                            condition::ACCEPTED,
                            &self.accepted(key, plan, concerned, index),
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
            let room = MAX_ANCESTORS.saturating_sub(entries_of_others(plan.object));
            let unlisted = ancestors.len().saturating_sub(room);
            ancestors.truncate(room);
            ((*key).clone(), PolicyStatus { ancestors, unlisted })
        };
        let says_something = |(key, plan): &(&&Key, &Plan<'_>)| {
            (plan.is_known || plan.gateways(concerned).next().is_none())
                && !self.world.is_terminating(&key.namespace)
        };
        self.plans.iter().filter(says_something).map(status).collect()
    }

    /// Whether a policy is in force for what routes of a Gateway lead to.
    fn accepted(&self, key: &Key, plan: &Plan<'_>, concerned: &Concerned, gateway: usize) -> Verdict {
        let refusals = || {
            let mine = plan
                .targets
                .iter()
                .filter(|(service, _)| concerned.get(service).is_some_and(|of| of.contains(&gateway)));
            mine.filter_map(|(_, verdict)| verdict.as_ref().err())
        };
        if let Some(conflict) = refusals().find(|refusal| refusal.reason == reason::CONFLICTED) {
            return Err(conflict.clone());
        }
        if self.world.is_in_mesh(&key.namespace) {
            let (label, value) = names::ISTIO_INJECTION;
            let message = format!(
                "The policy has no effect: namespace {} is labelled {label}: {value}, and the gateway speaks mutual \
                 TLS of Istio to every service in it",
                key.namespace
            );
            return Err(Refusal::new(reason::INVALID, message));
        }
        plan.usable.clone()?;
        refusals().next().map_or(Ok(()), |refusal| Err(refusal.clone()))
    }
}

impl Plan<'_> {
    /// The Gateways it concerns.
    fn gateways(&self, concerned: &Concerned) -> impl Iterator<Item = usize> {
        self.targets.iter().filter_map(|(service, _)| concerned.get(service)).flatten().copied()
    }
}

/// The targets of a policy that may be ours: Services.
fn targets<'a>(key: &Key, policy: &'a Object<BackendTlsPolicy>) -> impl Iterator<Item = Target<'a>> {
    let services =
        policy.spec.target_refs.iter().filter(|target| target.group.is_empty() && target.kind == "Service");
    services.map(|target| {
        let section = target.section_name.as_deref().filter(|name| !name.is_empty());
        (Key::new(&key.namespace, &target.name), section)
    })
}

/// Puts a policy in force at a target, unless that does not exist or has one.
fn attach<'a>(
    world: &World,
    key: &'a Key,
    target: Target<'a>,
    in_force: &mut BTreeMap<Target<'a>, &'a Key>,
) -> Verdict {
    let (service, section) = &target;
    let not_found = |message: String| Refusal::new(reason::TARGET_NOT_FOUND, message);
    let Some(object) = world.services.get(service) else {
        return Err(not_found(format!("Service {service} does not exist")));
    };
    if let Some(name) = section
        && !object.spec.ports.iter().any(|port| port.name.as_deref() == Some(name))
    {
        return Err(not_found(format!("Service {service} has no port named {name}")));
    }
    let of_port = section.map(|name| format!(", port {name}")).unwrap_or_default();
    let conflict = |winner: &Key| {
        let message = format!(
            "Service {service}{of_port} has BackendTLSPolicy {winner}, which is older or first by name"
        );
        Refusal::new(reason::CONFLICTED, message)
    };
    match in_force.get(&target) {
        Some(winner) if *winner != key => Err(conflict(winner)),
        _ => {
            in_force.insert(target, key);
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
