//! FrontendTLSPolicies: which one is in force for a listener, and what becomes of each.

use super::condition::{Condition, Refusal, Verdict};
use super::model::{GatewayPlan, Gateways, ListenerPlan};
use super::policies::{beside, by_precedence, named};
use crate::world::{Key, World};
use alb_api::FrontendTlsPolicySpec;
use alb_api::messages::{self, condition, reason};
use alb_config::proto::TlsMode;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the sets of versions, cipher suites and curves that there are.
const PREDEFINED: [&str; 2] = ["2023-06", "2023-06-S"];

/// All policies.
#[derive(Debug, Default)]
pub(super) struct FrontendTlsPolicies {
    plans: BTreeMap<Key, Plan>,
    in_force: BTreeMap<Target, Key>,
}

/// A Gateway, and the name of one of its listeners; none for all of them.
type Target = (Key, Option<String>);

/// A policy and what becomes of it.
#[derive(Debug)]
struct Plan {
    /// The Gateway, and its listeners if only some are meant.
    target: Verdict<(Key, BTreeSet<String>)>,
    name: Verdict<String>,
}

impl Plan {
    fn targets(&self) -> Vec<Target> {
        let (Ok((gateway, sections)), Ok(_)) = (&self.target, &self.name) else { return Vec::new() };
        match sections.is_empty() {
            true => vec![(gateway.clone(), None)],
            false => sections.iter().map(|name| (gateway.clone(), Some(name.clone()))).collect(),
        }
    }
}

impl FrontendTlsPolicies {
    pub(super) fn new(world: &World) -> Self {
        let mut all = Self::default();
        for (key, object) in by_precedence(&world.frontend_tls_policies) {
            let plan = Plan { target: target(key, &object.spec), name: name(&object.spec) };
            for target in plan.targets() {
                all.in_force.entry(target).or_insert_with(|| key.clone());
            }
            all.plans.insert(key.clone(), plan);
        }
        all
    }

    /// Gives the listeners of a Gateway what they are to have. One for a listener comes before one for all of them.
    pub(super) fn assign(&self, gateway: &Key, listeners: &mut [ListenerPlan]) {
        for plan in listeners.iter_mut().filter(|plan| terminates(plan)) {
            let section = plan.set.is_none().then(|| plan.listener.name.clone());
            let of = |section| self.in_force.get(&(gateway.clone(), section));
            let key = section.and_then(|name| of(Some(name))).or_else(|| of(None));
            let name = key.and_then(|key| self.plans.get(key)?.name.as_ref().ok());
            plan.tls_policy = name.cloned().unwrap_or_default();
        }
    }

    /// Conditions of a policy.
    pub(super) fn status(&self, world: &World, gateways: &Gateways, key: &Key) -> Option<Vec<Condition>> {
        let plan = self.plans.get(key).filter(|_| !world.is_terminating(&key.namespace))?;
        let resolved = plan.target.as_ref().map_err(Refusal::clone).and_then(|(gateway, sections)| {
            let invalid = |message: String| Refusal::new(reason::INVALID_GATEWAY, message);
            let missing = || invalid(format!("Gateway {gateway} does not exist, or is not one of ours"));
            let gateway = gateways.get(gateway).ok_or_else(missing)?;
            match sections.iter().find(|name| !has(gateway, name)) {
                Some(name) => {
                    Err(invalid(format!("Gateway {} has no listener {name} at which TLS ends", gateway.key)))
                }
                None => Ok(()),
            }
        });
        let accepted = match (&resolved, &plan.name) {
            (Err(refusal), _) => {
                Err(Refusal::new(reason::INVALID_FRONTEND_TLS_POLICY, refusal.message.clone()))
            }
            (_, Err(refusal)) => Err(refusal.clone()),
            _ => {
                let other = |target| self.in_force.get(&target).filter(|other| *other != key);
                match plan.targets().into_iter().find_map(other) {
                    None => Ok(()),
                    Some(other) => {
                        let message = format!(
                            "FrontendTLSPolicy {other}, which takes precedence, is about the same listeners"
                        );
                        Err(Refusal::new(reason::CONFLICTED, message))
                    }
                }
            }
        };
        let valid = messages::FRONTEND_TLS_POLICY_ACCEPTED;
        Some(vec![
            Condition::of(
                condition::RESOLVED_REFS,
                &resolved,
                reason::RESOLVED_REFS,
                messages::RESOLVED_REFS,
            ),
            Condition::of(condition::ACCEPTED, &accepted, reason::ACCEPTED, valid),
        ])
    }
}

fn has(gateway: &GatewayPlan, name: &str) -> bool {
    gateway.listeners_of(None).any(|plan| plan.listener.name == name && terminates(plan))
}

fn terminates(plan: &ListenerPlan) -> bool {
    plan.tls.is_some_and(|mode| mode != TlsMode::Passthrough)
}

fn target(policy: &Key, spec: &FrontendTlsPolicySpec) -> Verdict<(Key, BTreeSet<String>)> {
    let target = &spec.target_ref;
    named(target, &["Gateway"], "Gateway")?;
    Ok((beside(policy, target, "Gateway")?, target.section_names.iter().cloned().collect()))
}

/// The name of what listeners are given.
fn name(spec: &FrontendTlsPolicySpec) -> Verdict<String> {
    let invalid = |message: String| Err(Refusal::new(reason::INVALID_FRONTEND_TLS_POLICY, message));
    if spec.overriding.is_some() {
        return Err(Refusal::new(reason::OVERRIDE_NOT_SUPPORTED, "override is not supported: use default"));
    }
    let config = spec.default.clone().unwrap_or_default();
    if config.verify.is_some() {
        return invalid("verify is not supported: use spec.tls.frontend of the Gateway".to_owned());
    }
    let Some(given) = config.policy_type else { return Ok(PREDEFINED[0].to_owned()) };
    match PREDEFINED.iter().find(|name| given.r#type == "predefined" && given.name == **name) {
        Some(name) => Ok((*name).to_owned()),
        None => invalid(format!("Policy {} of type {} is not known", given.name, given.r#type)),
    }
}
