//! A gateway's own words for what went wrong: what it and its extension write into Events, conditions and logs. A diagnosis knows
//! by them what is meant.

use std::collections::BTreeMap;

use crate::scenario::node::{Node, Problem, closest};

/// The key under which they stand.
pub(super) const KEY: &str = "words";

/// What the extension can find out about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The diagnosis.
    pub id: &'static str,
    /// What it means.
    pub means: &'static str,
}

/// All of them.
const FINDINGS: [Finding; 5] = [
    Finding { id: "controller-missing", means: "the extension finds no controller of the gateway" },
    Finding { id: "istio-missing", means: "the extension finds no Istio" },
    Finding { id: "extension-without-sidecar", means: "the extension has no sidecar, though Istio is there" },
    Finding { id: "istio-too-old", means: "the extension refuses an Istio that is too old" },
    Finding {
        id: "istio-add-on-unsupported",
        means: "the extension finds only the add-on of AKS, which is not supported",
    },
];

/// Their ids.
pub const FINDING_IDS: [&str; FINDINGS.len()] = {
    let mut ids = [""; FINDINGS.len()];
    let mut at = 0;
    while at < ids.len() {
        ids[at] = FINDINGS[at].id;
        at += 1;
    }
    ids
};

/// Words of a gateway; those that it has none for are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Reasons of Events of its extension's pods, with what they mean.
    pub extension_events: BTreeMap<String, Finding>,
    /// Reason of the Event that ends such a finding.
    pub integrated: Option<String>,
    /// How the message of such an Event begins, before what is wrong.
    pub not_integrated: Option<String>,
    /// How a condition's message goes on whose proxies refuse the configuration.
    pub configuration_refused: Option<String>,
    /// Messages of a Gateway's condition Programmed while no proxy serves it.
    pub no_proxy: Vec<String>,
    /// What the extension logs of its certificate, before the time at which it expired.
    pub certificate_expired: Option<String>,
}

/// Reads them.
pub(super) fn read(node: &Node) -> Result<Words, Problem> {
    let mut fields = node.fields()?;
    let mut words = Words::default();
    if let Some(events) = fields.take("extension-events") {
        for (reason, node) in events.entries()? {
            words.extension_events.insert(reason.to_owned(), finding(node)?);
        }
    }
    let mut text = |name: &str| fields.take(name).map(|node| node.text().map(str::to_owned)).transpose();
    words.integrated = text("integrated")?;
    words.not_integrated = text("not-integrated")?;
    words.configuration_refused = text("configuration-refused")?;
    words.certificate_expired = text("certificate-expired")?;
    let no_proxy = fields.take("no-proxy").map_or(&[][..], Node::one_or_more);
    words.no_proxy = no_proxy.iter().map(|node| node.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    fields.finish()?;
    Ok(words)
}

fn finding(node: &Node) -> Result<Finding, Problem> {
    let id = node.text()?;
    FINDINGS.into_iter().find(|known| known.id == id).ok_or_else(|| {
        let problem = node.problem(format!("`{id}` is nothing that an extension finds"));
        match closest(id, &FINDING_IDS) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(FINDING_IDS.join(", ")),
        }
    })
}
