//! What a scenario needs: `needs: {istio: ">=1.24", nodes: 2, implementation: alb}`.

use super::node::{Node, Problem};
use crate::istio::number;
use crate::schema::{Field, Type};

/// What a scenario needs of Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Istio {
    /// Nothing: it may be there or not.
    Any,
    /// That it is not there when the scenario begins (`none`).
    None,
    /// This version or a later one: major and minor.
    AtLeast(u32, u32),
}

/// What a scenario needs of the cluster and of the gateway under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Istio.
    pub istio: Istio,
    /// Least number of nodes.
    pub nodes: u8,
    /// The only implementation it is about; nothing for scenarios that any gateway can be put to.
    pub implementation: Option<String>,
}

/// What is said of them.
pub const FIELDS: &[Field] = &[
    Field::optional(
        "istio",
        Type::Any(&[
            Type::OneOf(&["none"]),
            Type::Form("^>=[0-9]+\\.[0-9]+", "the least version: `\">=1.24\"`"),
        ]),
        "None when the scenario begins, or at least this version.",
    )
    .or("it may be there or not"),
    Field::optional("nodes", Type::Number(0, 255), "Least number of nodes.").or("1"),
    Field::optional("implementation", Type::Text, "The only gateway that it is about.").or("any"),
];

impl Default for Needs {
    fn default() -> Self {
        Self { istio: Istio::Any, nodes: 1, implementation: None }
    }
}

impl Needs {
    /// Reads them.
    ///
    /// # Errors
    /// An unknown key, or a value that is no need.
    pub fn parse(node: &Node) -> Result<Self, Problem> {
        let mut fields = node.fields()?;
        let istio = fields.take("istio").map_or(Ok(Istio::Any), istio)?;
        let nodes = fields.take("nodes").map_or(Ok(1), Node::number)?;
        let implementation = fields.take("implementation").map(Node::text).transpose()?.map(str::to_owned);
        fields.finish()?;
        Ok(Self { istio, nodes, implementation })
    }

    /// Why a cluster with this Istio (empty if there is none) and so many nodes is not what is needed.
    pub fn unmet(&self, istio: &str, nodes: usize) -> Option<String> {
        if nodes < usize::from(self.nodes) {
            return Some(format!("needs {} nodes, the cluster has {nodes}", self.nodes));
        }
        match self.istio {
            Istio::Any => None,
            Istio::None if istio.is_empty() => None,
            Istio::None => Some(format!("needs a cluster without Istio, this one has {istio}")),
            Istio::AtLeast(major, minor) => match number(istio) {
                _ if istio.is_empty() => Some(format!("needs Istio {major}.{minor}, the cluster has none")),
                Some(found) if found < (major, minor) => {
                    Some(format!("needs Istio {major}.{minor}, the cluster has {istio}"))
                }
                // A build without a version number (`latest`, a commit) is a recent one.
                _ => None,
            },
        }
    }
}

fn istio(node: &Node) -> Result<Istio, Problem> {
    let text = node.text()?;
    if text == "none" {
        return Ok(Istio::None);
    }
    let (major, minor) = text.strip_prefix(">=").and_then(number).ok_or_else(|| {
        let problem = node.problem(format!("`{text}` is nothing that can be needed of Istio"));
        problem.help("write none, or the least version: \">=1.24\"")
    })?;
    Ok(Istio::AtLeast(major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(istio: Istio, nodes: u8) -> Needs {
        Needs { istio, nodes, ..Needs::default() }
    }

    #[test]
    fn a_cluster_must_have_what_a_scenario_needs() {
        let needs = with(Istio::AtLeast(1, 24), 2);
        for istio in ["1.24.0", "1.31-dev", "latest"] {
            assert_eq!(needs.unmet(istio, 2), None, "{istio}");
        }
        assert_eq!(needs.unmet("1.9.2", 2).unwrap(), "needs Istio 1.24, the cluster has 1.9.2");
        assert_eq!(needs.unmet("", 2).unwrap(), "needs Istio 1.24, the cluster has none");
        assert_eq!(needs.unmet("1.24.0", 1).unwrap(), "needs 2 nodes, the cluster has 1");
    }

    #[test]
    fn no_istio_is_a_need_of_its_own() {
        assert_eq!(with(Istio::None, 1).unmet("", 3), None);
        let unmet = with(Istio::None, 1).unmet("1.31.0", 3).unwrap();
        assert_eq!(unmet, "needs a cluster without Istio, this one has 1.31.0");
        for istio in ["", "1.31.0"] {
            assert_eq!(Needs::default().unmet(istio, 1), None);
        }
    }
}
