//! `not-restarted: [implementation, isto-example-namespace]`: the pods are those of the last `pods` claim about each, with no
//! more restarts: of a namespace, or of the gateway under test wherever its pods are, the data plane's namespace included.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::becomes::{Judgement, becomes};
use super::of_implementation;
use crate::context::pods::{Pod, Share};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::claim("not-restarted", Staying::No, parse).says(Reference {
    summary: "The pods are those of the last `pods` claim about each, with no more restarts.",
    subject: Type::OneOrMore(&Type::Form("\\S", "a namespace, or `implementation`")),
    fields: &[],
    examples: &["not-restarted: [implementation, isto-example-namespace]\nwithin: 10s"],
});

#[derive(Debug)]
struct NotRestarted {
    /// As the scenario says it.
    subjects: Vec<String>,
    shares: Vec<Share>,
}

fn parse(subject: &Node, _: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (mut subjects, mut shares) = (Vec::new(), Vec::new());
    for node in subject.one_or_more() {
        let name = node.text()?;
        subjects.push(name.to_owned());
        match name {
            of_implementation::WORD => shares.extend(Share::of(scope.implementation, scope.namespace)),
            namespace => shares.push(Share::all(namespace)),
        }
    }
    if subjects.is_empty() {
        return Err(subject.problem("nothing to compare").help("name namespaces, or `implementation`"));
    }
    Ok(Box::new(NotRestarted { subjects, shares }))
}

impl Word for NotRestarted {
    fn name(&self) -> String {
        format!("nothing was restarted in {}", self.subjects.join(", "))
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("pod") else {
                return Err(Trouble::error("looking for pods", "to know the kind", "it is unknown"));
            };
            let mut counted = Vec::new();
            for share in &self.shares {
                let doing = format!("comparing the pods of {share}");
                let Some(before) = context.pods.get(share).cloned() else {
                    let trouble = Trouble::error(doing, "an earlier `pods` claim about it", "there was none");
                    return Err(trouble.next("add a `pods` step before this one"));
                };
                let query = Query { kind, namespace: Some(share.namespace.clone()), name: None };
                becomes(context, &query, &doing, &self.name(), |objects| {
                    let now: Vec<_> = objects.iter().filter(|pod| share.has(pod)).map(Pod::of).collect();
                    match changes(&before, &now) {
                        None => Judgement::Holds(()),
                        Some(change) => Judgement::NotYet(change),
                    }
                })
                .await?;
                counted.push((share, before.len()));
            }
            let each: Vec<_> =
                counted.iter().map(|(ns, count)| format!("the same {count} pods in {ns}")).collect();
            let detail = counted
                .iter()
                .map(|(of, count)| json!({"namespace": of.to_string(), "same_pods": count}))
                .collect();
            let became_ms = Some(context.elapsed_ms());
            Ok(Observed { summary: each.join("; "), detail, became_ms, ..Observed::default() })
        }
        .boxed()
    }
}

/// What differs between the pods of then and now.
fn changes(before: &[Pod], now: &[Pod]) -> Option<String> {
    let mut all = Vec::new();
    for pod in before {
        match now.iter().find(|other| other.uid == pod.uid) {
            None => all.push(format!("{} is gone", pod.name)),
            Some(other) if other.restarts > pod.restarts => {
                all.push(format!("{} was restarted {} times", pod.name, other.restarts - pod.restarts));
            }
            Some(_) => {}
        }
    }
    let new = now.iter().filter(|pod| !before.iter().any(|other| other.uid == pod.uid));
    all.extend(new.map(|pod| format!("{} is new", pod.name)));
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, restarts: u64) -> Pod {
        let pod = Pod::of(&json!({"metadata": {"name": uid, "uid": uid}}));
        Pod { restarts, ..pod }
    }

    #[test]
    fn a_pod_restarted_replaced_or_added_is_a_change() {
        assert_eq!(changes(&[pod("a", 1)], &[pod("a", 1)]), None);
        assert_eq!(changes(&[pod("a", 1)], &[pod("a", 3)]).unwrap(), "a was restarted 2 times");
        assert_eq!(changes(&[pod("a", 0)], &[pod("b", 0)]).unwrap(), "a is gone; b is new");
    }
}
