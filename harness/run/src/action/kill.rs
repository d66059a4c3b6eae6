//! `kill: {holder-of: lease/alb-controller}` and `kill: {pod: alb-proxy-}`: a pod dies without warning. The processes get
//! SIGKILL in the node, and the kubelet starts them again. With `gone: true` the pod does not come back: another takes its
//! place.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::super::context::Context;
use crate::claim::becomes::{Judgement, becomes};
use crate::context::Trouble;
use crate::ports::Query;
use crate::word::{Definition, NAMESPACE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("kill", limits::ACTION, parse).says(Reference {
    summary: "A pod dies without warning: its processes get SIGKILL in the node, and the kubelet starts them again.",
    subject: Type::Map(VICTIM),
    fields: &[
        NAMESPACE,
        Field::optional("gone", Type::Bool, "The pod is removed as well: another takes its place.").or("false"),
    ],
    examples: &[
        "kill: {holder-of: lease/alb-controller}\nnamespace: azure-alb-system\ngone: true",
        "kill: {pod: alb-proxy-}",
    ],
});

/// Which pod.
pub(super) const VICTIM: &[Field] = &[
    Field::one_of("holder-of", Type::Form("^lease/.+$", "`lease/NAME`"), "The pod that holds this Lease."),
    Field::one_of("pod", Type::Text, "One of the pods whose names begin so."),
];

#[derive(Debug)]
struct Kill {
    namespace: String,
    victim: Victim,
    /// Its object goes, too.
    gone: bool,
}

/// Which pod.
#[derive(Debug)]
pub(super) enum Victim {
    /// The one that holds this Lease.
    Holder(ObjectRef),
    /// The first whose name begins so.
    Prefix(String),
}

impl Victim {
    /// Reads `holder-of` or `pod`, in a namespace.
    pub(super) fn parse(which: &mut Fields<'_>, of: &Node, namespace: &str) -> Result<Self, Problem> {
        match (which.take("holder-of"), which.take("pod")) {
            (Some(lease), None) => {
                let (kind, name) = Kind::and_name(lease)?;
                if kind.word != "lease" {
                    return Err(lease.problem(format!("a {} has no holder", kind.word)).help("name a lease"));
                }
                Ok(Self::Holder(ObjectRef { kind, namespace: Some(namespace.to_owned()), name }))
            }
            (None, Some(prefix)) => Ok(Self::Prefix(prefix.text()?.to_owned())),
            _ => Err(of.problem("which pod?").help("give one of `holder-of: lease/NAME` and `pod: PREFIX`")),
        }
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Holder(lease) => format!("the holder of {}/{}", lease.kind.word, lease.name),
            Self::Prefix(prefix) => format!("one of the pods {prefix}…"),
        }
    }

    /// The pod, once there is one. Whose it was is remembered: the next holder is another.
    pub(super) async fn find(&self, context: &mut Context<'_>, namespace: &str) -> Result<Value, Trouble> {
        let (pod, holder) = self.seek(context, namespace).await?;
        if let (Self::Holder(lease), Some(holder)) = (self, holder) {
            context.fallen.insert(lease.clone(), holder);
        }
        Ok(pod)
    }

    /// The pod, once there is one, and what it calls itself as the holder of a Lease.
    pub(super) async fn seek(
        &self,
        context: &mut Context<'_>,
        namespace: &str,
    ) -> Result<(Value, Option<String>), Trouble> {
        let holder = match self {
            Self::Prefix(_) => None,
            Self::Holder(lease) => {
                let query = Query {
                    kind: lease.kind,
                    namespace: lease.namespace.clone(),
                    name: Some(lease.name.clone()),
                };
                let held = becomes(context, &query, "looking for the holder", "a holder", |leases| {
                    let holder = leases.first().and_then(|lease| lease["spec"]["holderIdentity"].as_str());
                    match holder.filter(|holder| !holder.is_empty()) {
                        Some(holder) => Judgement::Holds(holder.to_owned()),
                        None => Judgement::NotYet(format!("nobody holds {lease}")),
                    }
                });
                Some(held.await?.found)
            }
        };
        let Some(kind) = Kind::by_word("pod") else {
            return Err(Trouble::error("looking for a pod", "to know the kind", "it is unknown"));
        };
        let query = Query { kind, namespace: Some(namespace.to_owned()), name: None };
        let fits = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let right = match (self, &holder) {
                (Self::Prefix(prefix), _) => name.starts_with(prefix),
                // An identity is the pod's name, with a suffix perhaps.
                (_, Some(holder)) => holder.starts_with(name) && !name.is_empty(),
                _ => false,
            };
            right && pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let found = becomes(context, &query, "looking for a pod", "a running one", |pods| {
            match pods.iter().find(|pod| fits(pod)) {
                Some(pod) => Judgement::Holds(pod.clone()),
                None => Judgement::NotYet(format!("{} does not run", self.in_words())),
            }
        });
        let pod = found.await?.found;
        Ok((pod, holder))
    }
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    let mut which = subject.fields()?;
    let victim = Victim::parse(&mut which, subject, &namespace)?;
    which.finish()?;
    let gone = fields.take("gone").map_or(Ok(false), Node::bool)?;
    Ok(Box::new(Kill { namespace, victim, gone }))
}

impl Word for Kill {
    fn name(&self) -> String {
        let gone = if self.gone { ", for good" } else { "" };
        format!("kill {} in {}{gone}", self.victim.in_words(), self.namespace)
    }

    fn needs_own_cluster(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let pod = self.victim.find(context, &self.namespace).await?;
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            context.outside.machines.kill(&self.namespace, &name, self.gone).await?;
            let gone = if self.gone { ", and its object is gone" } else { "" };
            Ok(Observed { summary: format!("{name} got SIGKILL{gone}"), ..Observed::default() })
        }
        .boxed()
    }
}
