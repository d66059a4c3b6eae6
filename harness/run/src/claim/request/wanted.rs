//! What an answer has to be.

use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

use crate::claim::manner;
use crate::claim::target::STATUS;
use crate::probe::strip::own_word;
use crate::probe::{Answer, Ask, FailureKind};

/// An answer.
pub(in crate::claim) const WANTED: [Field; 3] = [
    Field::needed("status", STATUS, "Status of HTTP."),
    Field::optional(
        "backend",
        Type::Text,
        "The workload that answers; in another namespace than the Gateway's, `namespace/name`.",
    )
    .or("any"),
    Field::optional("reason", Type::Text, "The gateway's word for it, in the answer and in its log.")
        .or("any"),
];

/// The failures that can be wanted, in their words.
pub(super) const FAILURE_WORDS: [&str; 5] = ["refused", "reset", "timeout", "dns", "tls"];
const FAILURES: [FailureKind; 5] =
    [FailureKind::Refused, FailureKind::Reset, FailureKind::Timeout, FailureKind::Dns, FailureKind::Tls];

#[derive(Debug)]
pub(in crate::claim) struct Wanted {
    /// Nothing if there is to be no answer.
    pub(in crate::claim) status: Option<u16>,
    /// How the request has to fail.
    pub(in crate::claim) failure: Option<FailureKind>,
    /// Workload that answers.
    pub(in crate::claim) backend: Option<String>,
    /// Its namespace, if that is not the Gateway's.
    pub(in crate::claim) backend_namespace: Option<String>,
    pub(in crate::claim) reason: Option<String>,
}

impl Wanted {
    /// Reads `{status: 200, backend: backend-v1, reason: ok}`.
    ///
    /// # Errors
    /// No status, or none of HTTP's.
    pub(in crate::claim) fn read(becomes: &mut Fields<'_>) -> Result<Self, Problem> {
        let status = status(becomes.need("status")?)?;
        Self::of(Some(status), None, becomes)
    }

    /// The same, or `{failure: reset}`.
    ///
    /// # Errors
    /// Neither a status nor a failure, or both; who answers a request that fails.
    pub(super) fn read_with_failure(node: &Node, becomes: &mut Fields<'_>) -> Result<Self, Problem> {
        let failure = becomes.take("failure");
        let kind = failure.map(|failure| {
            let word = failure.text()?;
            let found = FAILURES.iter().find(|kind| kind.to_string() == word).copied();
            found.ok_or_else(|| {
                failure.problem(format!("unknown failure `{word}`")).help(FAILURE_WORDS.join(", "))
            })
        });
        let (kind, status) = match (kind.transpose()?, becomes.take("status")) {
            (kind, Some(_)) if kind.is_some() => {
                return Err(node.problem("a request that fails has no status").help("leave one of both out"));
            }
            (None, None) => return Err(node.problem("`status` is missing")),
            (kind, said) => (kind, said.map(status).transpose()?),
        };
        let wanted = Self::of(status, kind, becomes)?;
        match kind.is_some() && (wanted.backend.is_some() || wanted.reason.is_some()) {
            true => Err(node.problem("nobody answers a request that fails").help("leave out who, and why")),
            false => Ok(wanted),
        }
    }

    fn of(
        status: Option<u16>,
        failure: Option<FailureKind>,
        becomes: &mut Fields<'_>,
    ) -> Result<Self, Problem> {
        let backend = becomes.take("backend").map(stated::text).transpose()?;
        let (backend_namespace, backend) = match backend.and_then(|backend| backend.split_once('/')) {
            Some((namespace, workload)) => (Some(namespace), Some(workload)),
            None => (None, backend),
        };
        Ok(Self {
            status,
            failure,
            backend: backend.map(str::to_owned),
            backend_namespace: backend_namespace.map(str::to_owned),
            reason: becomes.take("reason").map(stated::text).transpose()?.map(str::to_owned),
        })
    }

    /// Why the answer to this request is not the one wanted.
    pub(in crate::claim) fn differs_for(&self, ask: &Ask, answer: &Answer) -> Option<String> {
        if manner::tells_who(ask) {
            return self.differs(answer).or_else(|| manner::differs(ask, answer));
        }
        (!self.fits(answer)).then(|| format!("the answer to {} is {}", ask.method, answer.summary()))
    }

    /// Whether it has the status, or is the failure.
    fn fits(&self, answer: &Answer) -> bool {
        match (self.failure, &answer.failure) {
            (None, _) => answer.complete() == self.status,
            (Some(wanted), Some(failure)) => answer.status.is_none() && failure.kind == wanted,
            (Some(_), None) => false,
        }
    }

    /// Why this answer is not the one wanted.
    pub(super) fn differs(&self, answer: &Answer) -> Option<String> {
        let right_backend = self.backend.as_ref().is_none_or(|backend| answer.is_from(backend));
        let namespace = answer.echo.as_ref().map(|echo| echo.namespace.as_str());
        let elsewhere = self.backend_namespace.as_deref().is_some_and(|wanted| namespace != Some(wanted));
        (!self.fits(answer) || !right_backend || elsewhere).then(|| {
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
        let what = match (self.status, self.failure) {
            (Some(status), _) => status.to_string(),
            (None, Some(failure)) => format!("no answer: {failure}"),
            (None, None) => "no answer".to_owned(),
        };
        format!("{what}{}{}", backend.unwrap_or_default(), reason.unwrap_or_default())
    }
}

fn status(node: &Node) -> Result<u16, Problem> {
    match node.number()? {
        number @ 100..=599 => Ok(number),
        other => Err(node.problem(format!("{other} is no HTTP status"))),
    }
}
