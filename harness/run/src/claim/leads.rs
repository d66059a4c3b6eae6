//! `leads: lease/alb-controller`: somebody renews the Lease, by now; with `by: another`, somebody else than the one whose
//! pod or node a step has ended, or else than the one who held it when this step began. Where it follows a death at once, the
//! time it takes is the time to take over.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::probe::deployment_of;
use crate::word::{Definition, LEASE, NAMESPACE, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("leads", Staying::No, parse).says(Reference {
    summary: "Somebody renews the Lease.",
    subject: LEASE,
    fields: &[
        NAMESPACE,
        Field::optional("by", Type::OneOf(&["another"]), "Somebody else than the one whose pod or node a step has ended, or who held it when this step began.").or("anybody"),
    ],
    examples: &[
        "leads: lease/alb-controller\nnamespace: azure-alb-system\nby: another\nwithin: answers",
    ],
});

#[derive(Debug)]
struct Leads {
    lease: ObjectRef,
    /// Somebody else than before.
    another: bool,
}

/// The Lease that a claim is about, in the scenario's namespace unless it names another.
pub(super) fn lease(
    subject: &Node,
    fields: &mut Fields<'_>,
    scope: &Scope<'_>,
) -> Result<ObjectRef, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    if kind.word != "lease" {
        return Err(subject.problem(format!("nobody leads by a {}", kind.word)).help("name a lease"));
    }
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    Ok(ObjectRef { kind, namespace: Some(namespace), name })
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let lease = lease(subject, fields, scope)?;
    let another = match fields.take("by") {
        None => false,
        Some(node) => match node.text()? {
            "another" => true,
            other => return Err(node.problem(format!("by `{other}`?")).help("write `another`, or nothing")),
        },
    };
    Ok(Box::new(Leads { lease, another }))
}

/// Who holds a Lease, and since which renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    holder: String,
    renewed: String,
}

impl Term {
    fn of(lease: &Value) -> Option<Self> {
        let text = |name: &str| lease["spec"][name].as_str().filter(|text| !text.is_empty());
        Some(Self { holder: text("holderIdentity")?.to_owned(), renewed: text("renewTime")?.to_owned() })
    }

    /// Why nobody leads yet, given how it was before.
    fn against(&self, before: &Self, another: bool) -> Option<String> {
        let Self { holder, renewed } = self;
        if another && *holder == before.holder {
            Some(format!("{holder} still holds it, renewed at {renewed}"))
        } else if *renewed == before.renewed {
            Some(format!("{holder} has not renewed it since {renewed}"))
        } else {
            None
        }
    }
}

impl Word for Leads {
    fn name(&self) -> String {
        match self.another {
            false => format!("somebody leads by {}", self.lease),
            true => format!("another than before leads by {}", self.lease),
        }
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let id = &self.lease;
            let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
            let doing = format!("waiting for the next holder of {id}");
            // Taken, not looked at: it has been succeeded once this step has ended.
            let fallen = self.another.then(|| context.fallen.remove(id)).flatten();
            let mut before = fallen.map(|holder| Term { holder, renewed: String::new() });
            let held = becomes(context, &query, &doing, &self.name(), |leases| {
                let Some(now) = leases.first().and_then(Term::of) else {
                    return Judgement::NotYet(format!("nobody holds {id}"));
                };
                let before = before.get_or_insert_with(|| now.clone());
                match now.against(before, self.another) {
                    None => Judgement::Holds(now.holder),
                    Some(because) => Judgement::NotYet(because),
                }
            })
            .await?;
            let took = held.became_ms;
            let holder = deployment_of(&held.found).unwrap_or(&held.found);
            let summary = format!("one of {holder} leads after {took} ms");
            let detail = json!({"holder": held.found, "measured": {"took_ms": took}});
            Ok(Observed { summary, detail, became_ms: Some(took), ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(holder: &str, renewed: &str) -> Term {
        let spec = json!({"holderIdentity": holder, "renewTime": renewed});
        Term::of(&json!({"spec": spec})).unwrap()
    }

    #[test]
    fn a_lease_leads_once_it_is_renewed() {
        let before = term("a", "1");
        assert!(term("a", "1").against(&before, false).unwrap().contains("not renewed it since 1"));
        assert_eq!(term("a", "2").against(&before, false), None);
        assert!(term("a", "2").against(&before, true).unwrap().contains("a still holds it"));
        assert_eq!(term("b", "2").against(&before, true), None);
    }

    #[test]
    fn a_lease_that_was_released_is_held_by_nobody() {
        assert_eq!(Term::of(&json!({"spec": {"holderIdentity": "", "renewTime": "1"}})), None);
    }
}
