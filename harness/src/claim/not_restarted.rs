//! `not-restarted: [azure-alb-system, isto-example-namespace]`: the pods are those of the last `pods` claim about each
//! namespace, with no more restarts.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::becomes::{Judgement, becomes};
use super::pods::Pod;
use crate::event::Observed;
use crate::ports::Query;
use crate::runner::context::{Context, Trouble};
use crate::scenario::kinds::Kind;
use crate::scenario::node::{Fields, Node, Problem};
use crate::scenario::word::{Definition, Scope, Staying, Word};

/// The word.
pub const WORD: Definition = Definition::claim("not-restarted", Staying::No, parse);

#[derive(Debug)]
struct NotRestarted(Vec<String>);

fn parse(subject: &Node, _: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespaces = subject.one_or_more().iter().map(|node| node.text().map(str::to_owned));
    Ok(Box::new(NotRestarted(namespaces.collect::<Result<_, _>>()?)))
}

impl Word for NotRestarted {
    fn name(&self) -> String {
        format!("nothing was restarted in {}", self.0.join(", "))
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("pod") else {
                return Err(Trouble::error("looking for pods", "to know the kind", "it is unknown"));
            };
            let mut counted = Vec::new();
            for namespace in &self.0 {
                let doing = format!("comparing the pods of {namespace}");
                let Some(before) = context.pods.get(namespace).cloned() else {
                    let trouble = Trouble::error(doing, "an earlier `pods` claim about it", "there was none");
                    return Err(trouble.next("add a `pods` step before this one"));
                };
                let query = Query { kind, namespace: Some(namespace.clone()), name: None };
                becomes(context, &query, &doing, &self.name(), |objects| {
                    let now: Vec<_> = objects.iter().map(Pod::of).collect();
                    match changes(&before, &now) {
                        None => Judgement::Holds(()),
                        Some(change) => Judgement::NotYet(change),
                    }
                })
                .await?;
                counted.push((namespace, before.len()));
            }
            let each: Vec<_> =
                counted.iter().map(|(ns, count)| format!("the same {count} pods in {ns}")).collect();
            let detail =
                counted.iter().map(|(ns, count)| json!({"namespace": ns, "same_pods": count})).collect();
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
        Pod { name: uid.into(), uid: uid.into(), ready: "1/1".into(), status: "Running".into(), restarts }
    }

    #[test]
    fn a_pod_restarted_replaced_or_added_is_a_change() {
        assert_eq!(changes(&[pod("a", 1)], &[pod("a", 1)]), None);
        assert_eq!(changes(&[pod("a", 1)], &[pod("a", 3)]).unwrap(), "a was restarted 2 times");
        assert_eq!(changes(&[pod("a", 0)], &[pod("b", 0)]).unwrap(), "a is gone; b is new");
    }
}
