//! `restart: deployment/alb-controller-istio-extension`: what `kubectl rollout restart` does, and the rollout's end. With
//! `restart: deployments`, all of the namespace at once, as `kubectl rollout restart deployment` does.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::rollout;
use crate::claim::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Definition, NAMESPACE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::Type;

/// The word.
pub const WORD: Definition = Definition::action("restart", limits::ACTION, parse).says(Reference {
    summary: "Restarts a Deployment, or all of a namespace, as `kubectl rollout restart` does, and waits for the end of the rollout.",
    subject: Type::Any(&[DEPLOYMENT, Type::OneOf(&["deployments"])]),
    fields: &[
        NAMESPACE,
    ],
    examples: &[
        "restart: deployment/alb-controller\nnamespace: azure-alb-system",
        "restart: deployments\nnamespace: azure-alb-system",
    ],
});

/// A Deployment by name.
pub(super) const DEPLOYMENT: Type = Type::Form("^[dD]eployment/.+$", "`deployment/NAME`");

#[derive(Debug)]
enum Restart {
    One(ObjectRef),
    All { kind: &'static Kind, namespace: String },
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    if subject.text()? != "deployments" {
        return Ok(Box::new(Restart::One(deployment(subject, fields, scope)?)));
    }
    let kind = Kind::by_word("deployment").ok_or_else(|| subject.problem("deployments are unknown"))?;
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    Ok(Box::new(Restart::All { kind, namespace: namespace.to_owned() }))
}

/// Reads the Deployment a step is about.
pub(super) fn deployment(
    subject: &Node,
    fields: &mut Fields<'_>,
    scope: &Scope<'_>,
) -> Result<ObjectRef, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    if kind.word != "deployment" {
        return Err(subject
            .problem(format!("a {} cannot be rolled out", kind.word))
            .help("name a deployment"));
    }
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    Ok(ObjectRef { kind, namespace: Some(namespace.to_owned()), name })
}

impl Restart {
    /// The Deployments meant, once there are any.
    async fn which(&self, context: &mut Context<'_>) -> Result<Vec<ObjectRef>, Trouble> {
        let (kind, namespace) = match self {
            Self::One(id) => return Ok(vec![id.clone()]),
            Self::All { kind, namespace } => (*kind, namespace),
        };
        let query = Query { kind, namespace: Some(namespace.clone()), name: None };
        let doing = format!("looking for the Deployments of {namespace}");
        let found = becomes(context, &query, &doing, "some", |deployments| {
            let names = deployments.iter().filter_map(|object| object["metadata"]["name"].as_str());
            let ids: Vec<_> = names.map(|name| (kind, name.to_owned())).collect();
            if ids.is_empty() { Judgement::NotYet("there is none".into()) } else { Judgement::Holds(ids) }
        });
        let found = found.await?.found.into_iter();
        Ok(found.map(|(kind, name)| ObjectRef { kind, namespace: Some(namespace.clone()), name }).collect())
    }
}

impl Word for Restart {
    fn name(&self) -> String {
        match self {
            Self::One(id) => format!("restart {id}"),
            Self::All { namespace, .. } => format!("restart every deployment in {namespace}"),
        }
    }

    fn changes(&self) -> Vec<ObjectRef> {
        match self {
            Self::One(id) => vec![id.clone()],
            Self::All { namespace, .. } => Kind::by_word("namespace")
                .map(|kind| ObjectRef { kind, namespace: None, name: namespace.clone() })
                .into_iter()
                .collect(),
        }
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let deployments = self.which(context).await?;
            let now = jiff::Timestamp::now().to_string();
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
            let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
            for id in &deployments {
                context.outside.objects.patch(id, &patch).await?;
            }
            for id in &deployments {
                rollout::wait(context, id).await?;
            }
            let names = deployments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Ok(Observed { summary: format!("{names} restarted"), ..Observed::default() })
        }
        .boxed()
    }
}
