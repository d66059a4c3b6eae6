//! Which pods of the data plane constant traffic goes through, if not where the load balancer leads.

use std::net::SocketAddr;

use crate::action::kill::{VICTIM, Victim};
use crate::claim::target::Target;
use crate::context::{Context, Trouble};
use crate::ports::Replicas;
use crate::word::Scope;
use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::schema::{Field, Type};
use meshproof_model::vantage::Vantage;

/// What is said of them.
pub(super) const FIELDS: &[Field] = &[
    Field::needed("not-beside", Type::Map(VICTIM), "None on the node of this pod."),
    Field::optional("namespace", Type::Text, "Namespace of that pod.").or("the scenario's"),
];

/// Those that are not on the node of a pod.
#[derive(Debug)]
pub(super) struct Through {
    not_beside: Victim,
    namespace: String,
}

impl Through {
    /// Reads `not-beside` and `namespace`.
    ///
    /// # Errors
    /// No pod is named, or requests do not start outside of the cluster: a pod's go where a Service sends them.
    pub(super) fn parse(node: &Node, target: &Target, scope: &Scope<'_>) -> Result<Self, Problem> {
        if target.from != Vantage::Outside {
            let problem = node.problem("only traffic from outside goes past the load balancer");
            return Err(problem.help("leave `from` out"));
        }
        let mut fields = node.fields()?;
        let namespace = fields.take("namespace").map(Node::text).transpose()?;
        let namespace = namespace.unwrap_or(scope.namespace).to_owned();
        let place = fields.need("not-beside")?;
        let mut which = place.fields()?;
        let not_beside = Victim::parse(&mut which, place, &namespace)?;
        which.finish()?;
        fields.finish()?;
        Ok(Self { not_beside, namespace })
    }

    pub(super) fn in_words(&self) -> String {
        format!("through the pods that are not on the node of {}", self.not_beside.in_words())
    }

    /// Where these pods are reached.
    ///
    /// # Errors
    /// The pods behind the address cannot be told apart, or all of them are on that node.
    pub(super) async fn addresses(
        &self,
        context: &mut Context<'_>,
        fqdn: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Trouble> {
        let (pod, _) = self.not_beside.seek(context, &self.namespace).await?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let doing = "looking for the pods that constant traffic is to go through";
        let expected = format!("one behind {fqdn} that is not on node {node}");
        let replicas = match context.outside.requests.replicas(fqdn, port).await? {
            Replicas::Each(replicas) => replicas,
            Replicas::Unknown(why) => return Err(Trouble::error(doing, expected, why)),
        };
        let (beside, elsewhere): (Vec<_>, Vec<_>) =
            replicas.into_iter().partition(|replica| replica.node == node);
        if elsewhere.is_empty() {
            let beside: Vec<_> = beside.iter().map(|replica| replica.pod.as_str()).collect();
            let trouble =
                Trouble::error(doing, expected, format!("all of them are there: {}", beside.join(", ")));
            return Err(trouble.next("the chart has to spread them over the nodes"));
        }
        Ok(elsewhere.into_iter().map(|replica| replica.address).collect())
    }
}
