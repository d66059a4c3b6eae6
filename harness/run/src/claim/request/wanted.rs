//! What an answer has to be.

use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::scenario::stated;

use crate::claim::manner;
use crate::probe::strip::own_word;
use crate::probe::{Answer, Ask};

#[derive(Debug)]
pub(in crate::claim) struct Wanted {
    pub(in crate::claim) status: u16,
    /// Workload that answers.
    pub(in crate::claim) backend: Option<String>,
    /// Its namespace, if that is not the Gateway's.
    pub(in crate::claim) backend_namespace: Option<String>,
    pub(in crate::claim) reason: Option<String>,
}

impl Wanted {
    /// Reads `{status: 200, backend: backend-v1, reason: ok}`.
    pub(in crate::claim) fn parse(node: &Node) -> Result<Self, Problem> {
        let mut becomes = node.fields()?;
        let status = becomes.need("status")?;
        let backend = becomes.take("backend").map(stated::text).transpose()?;
        let (backend_namespace, backend) = match backend.and_then(|backend| backend.split_once('/')) {
            Some((namespace, workload)) => (Some(namespace), Some(workload)),
            None => (None, backend),
        };
        let wanted = Wanted {
            status: match status.number()? {
                number @ 100..=599 => number,
                other => return Err(status.problem(format!("{other} is no HTTP status"))),
            },
            backend: backend.map(str::to_owned),
            backend_namespace: backend_namespace.map(str::to_owned),
            reason: becomes.take("reason").map(stated::text).transpose()?.map(str::to_owned),
        };
        becomes.finish()?;
        Ok(wanted)
    }

    /// Why the answer to this request is not the one wanted.
    pub(in crate::claim) fn differs_for(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        if manner::tells_who(ask) {
            return self.differs(answer).or_else(|| manner::differs(ask, answer));
        }
        (answer.complete() != Some(self.status))
            .then(|| format!("the answer to {} is {}", ask.method, answer.summary()))
    }

    /// Why this answer is not the one wanted.
    pub(super) fn differs(&self, answer: &Answer) -> Option<String> {
        let right_backend = self.backend.as_ref().is_none_or(|backend| answer.is_from(backend));
        let namespace = answer.echo.as_ref().map(|echo| echo.namespace.as_str());
        let elsewhere = self.backend_namespace.as_deref().is_some_and(|wanted| namespace != Some(wanted));
        (answer.complete() != Some(self.status) || !right_backend || elsewhere).then(|| {
            let of = namespace.filter(|_| elsewhere).map(|namespace| format!(" in {namespace}"));
            format!("the answer is {}{}", answer.summary(), of.unwrap_or_default())
        })
    }

    /// Why this answer, right but for that, was not given for the reason wanted, as far as it tells itself.
    pub(super) fn differs_in_reason(&self, answer: &Answer) -> Option<String> {
        let (wanted, own) = (self.reason.as_ref()?, own_word(answer)?);
        (own != *wanted).then(|| format!("the answer is {}", answer.summary()))
    }

    pub(in crate::claim) fn in_words(&self) -> String {
        let namespace = self.backend_namespace.as_ref().map(|namespace| format!("{namespace}/"));
        let backend = self
            .backend
            .as_ref()
            .map(|backend| format!(" from {}{backend}", namespace.as_deref().unwrap_or_default()));
        let reason = self.reason.as_ref().map(|reason| format!(", reason {reason}"));
        format!("{}{}{}", self.status, backend.unwrap_or_default(), reason.unwrap_or_default())
    }
}
