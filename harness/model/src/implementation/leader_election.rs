//! Reads which Deployments have one active pod at a time, and by which Lease that is decided.

use super::LeaderElection;
use super::parse::list;
use crate::scenario::node::{Fields, Node, Problem};

pub(super) fn all(fields: &mut Fields<'_>) -> Result<Vec<LeaderElection>, Problem> {
    list(fields, "leader-election", one)
}

fn one(node: &Node) -> Result<LeaderElection, Problem> {
    let mut fields = node.fields()?;
    let election = LeaderElection {
        deployment: in_namespace(fields.need("deployment")?)?,
        lease: in_namespace(fields.need("lease")?)?,
        service_account: fields.need("service-account")?.text()?.to_owned(),
    };
    fields.finish()?;
    Ok(election)
}

/// `<namespace>/<name>`.
fn in_namespace(node: &Node) -> Result<(String, String), Problem> {
    match node.text()?.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(node.problem("expected <namespace>/<name>")),
    }
}
