//! `unfit: {istio: ">=1.24"}` with `because: "needs Istio 1.24, *"`: a scenario with these needs would not be run on this
//! cluster as it is now, and this is what would be said. The version is that of istiod's image, as for an existing cluster.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::matching::glob;
use crate::ports::Query;
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::istio::version;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::needs::{FIELDS as NEEDS, Needs};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("unfit", Staying::No, parse).says(Reference {
    summary: "A scenario with these needs would not be run on this cluster as it is now, and this is what would be said.",
    subject: Type::Map(NEEDS),
    fields: &[
        Field::needed("because", Type::Text, "What would be said; `*` and `?` stand for what differs."),
    ],
    examples: &[
        "unfit: {istio: \">=1.24\", nodes: 1}\nbecause: \"needs Istio 1.24, *\"\nwithin: 5s",
        "unfit: {implementation: alb, istio: none}\nbecause: \"needs a cluster without Istio*\"\nwithin: 5s",
    ],
});

#[derive(Debug)]
struct Unfit {
    deployments: &'static Kind,
    needs: Needs,
    because: String,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, _: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let deployments =
        Kind::by_word("deployment").ok_or_else(|| subject.problem("deployments are unknown"))?;
    let needs = Needs::parse(subject)?;
    let because = stated::text(fields.need("because")?)?.to_owned();
    Ok(Box::new(Unfit { deployments, needs, because }))
}

/// Istio's version: the tag of istiod's image; empty without an istiod.
fn istio(deployments: &[Value]) -> String {
    let istiod = deployments.iter().find(|found| found["metadata"]["labels"]["app"] == "istiod");
    let containers = istiod.and_then(|istiod| istiod["spec"]["template"]["spec"]["containers"].as_array());
    let discovery = containers.into_iter().flatten().find(|container| container["name"] == "discovery");
    let image = discovery.and_then(|container| container["image"].as_str());
    image.map(|image| version(image).to_owned()).unwrap_or_default()
}

impl Unfit {
    fn judge(&self, deployments: &[Value]) -> Judgement<String> {
        // Nodes are another matter.
        match self.needs.unmet(&istio(deployments), usize::MAX) {
            Some(why) if glob(&self.because, &why) => Judgement::Holds(why),
            Some(why) => Judgement::NotYet(format!("it is refused for another reason: {why}")),
            None => Judgement::NotYet("it is not refused".into()),
        }
    }
}

impl Word for Unfit {
    fn name(&self) -> String {
        format!("the harness refuses this cluster: {}", self.because)
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            // As for an existing cluster: wherever istiod is.
            let query = Query { kind: self.deployments, namespace: None, name: None };
            let doing = "looking whether a scenario would be run on this cluster";
            let held = becomes(context, &query, doing, &self.name(), |found| self.judge(found)).await?;
            let summary = format!("refused: {}", held.found);
            let detail = json!({"because": held.found});
            Ok(Observed { summary, detail, became_ms: Some(held.became_ms), ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_model::scenario::needs::Istio;

    fn unfit(because: &str) -> Unfit {
        let needs = Needs { istio: Istio::AtLeast(1, 24), ..Needs::default() };
        Unfit { deployments: Kind::by_word("deployment").unwrap(), needs, because: because.into() }
    }

    fn istiod(tag: &str) -> Vec<Value> {
        let containers = json!([{"name": "discovery", "image": format!("h.example:5000/istio/pilot:{tag}")}]);
        vec![
            json!({"metadata": {"name": "other"}}),
            json!({"metadata": {"name": "istiod", "labels": {"app": "istiod"}},
                "spec": {"template": {"spec": {"containers": containers}}}}),
        ]
    }

    #[test]
    fn an_istio_that_is_too_old_is_refused_by_name() {
        let wanted = Judgement::Holds("needs Istio 1.24, the cluster has 1.23.5".to_owned());
        assert_eq!(unfit("needs Istio 1.24, the cluster has 1.23*").judge(&istiod("1.23.5")), wanted);
        assert!(matches!(unfit("*").judge(&istiod("1.24.0")), Judgement::NotYet(_)));
    }

    #[test]
    fn another_reason_is_not_the_one_that_was_claimed() {
        let Judgement::NotYet(because) = unfit("*has 1.23*").judge(&[]) else { panic!("it is") };
        assert!(because.contains("the cluster has none"), "{because}");
    }
}
