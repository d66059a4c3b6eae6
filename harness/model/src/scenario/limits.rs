//! Every time limit and pace, in one place.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::node::{Node, Problem};

/// Limits a scenario may name instead of giving a duration: `within: rollout`.
pub const NAMED: &[(&str, Duration)] = &[
    // Pods of the implementation or the sample, images being on the node.
    ("rollout", Duration::from_secs(120)),
    // The controller's word on an object, data plane included.
    ("programmed", Duration::from_secs(60)),
    // A configuration change showing in answers.
    ("answers", Duration::from_secs(30)),
    // Pooled upstream connections outlive a policy change for the sidecar's drain time, 45 s unless configured.
    ("drain", DRAINED),
];

/// What stands at the time limit for objects of the scenario being gone, in an implementation's file.
pub const OWN_GONE: &str = "gone";
/// What stands there at the one for installing and removing the implementation.
pub const OWN_INSTALL: &str = "install";

/// The limit by which connections from before a change are gone.
const DRAINED: Duration = Duration::from_secs(90);

/// Whether a limit is the one for connections from before a change.
pub fn is_drain(limit: Duration, own: &BTreeMap<String, Duration>) -> bool {
    limit == own.get("drain").copied().unwrap_or(DRAINED)
}

/// An action: done or in trouble after this long. Only a net, wide enough for a machine that has other things to do: replacing
/// Istio's root alone waits three times for up to a minute.
pub const ACTION: Duration = Duration::from_secs(300);
/// Installing or removing the implementation or Istio, whose pods have three minutes each time to become ready.
pub const INSTALL: Duration = Duration::from_secs(600);
/// Actions that keep their limit themselves tell more about it than whoever ends them: they have so much longer to do so.
pub const GRACE: Duration = Duration::from_secs(5);
/// Objects of the scenario being gone at the end: a pod's grace period of 30 s, and its namespace after it.
pub const GONE: Duration = Duration::from_secs(120);
/// Equal answers in a row before a data-plane claim counts as having become true.
pub const CONSECUTIVE: usize = 3;
/// From one request of a claim to the next.
pub const PACE: Duration = Duration::from_millis(10);
/// How long the gateway's own account of an answer may take to appear in its log.
pub const ACCOUNT: Duration = Duration::from_secs(5);

/// How long the nodes of a cluster may take to lead connections to an address or a port that has just been made.
pub const LED_WITHIN: Duration = Duration::from_secs(5);
/// Requests that a claim has under way at once, where it takes many.
pub const WIDTH: usize = 16;
/// From so many requests on, a claim sends several at once and says how small a share of other answers it could have missed.
pub const MANY: usize = 100;
/// A proxy of the mesh goes on for so long with connections whose configuration has changed, unless the mesh says otherwise
/// (`istio.io/docs`, `ProxyConfig.drainDuration`).
pub const DRAIN: Duration = Duration::from_secs(45);

/// How a claim must go on holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// For so many requests.
    Requests(usize),
    /// For so long.
    Time(Duration),
    /// For so many times as long as the mesh's proxies keep connections whose configuration has changed.
    Drains(u32),
}

impl std::fmt::Display for Stays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requests(count) => write!(f, "{count} requests"),
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Drains(times) => write!(f, "{times} times the drain time"),
        }
    }
}

/// Reads the time limits of an implementation: of those that scenarios name, or of what the harness itself waits for.
///
/// # Errors
/// There is no such limit, or it is no duration.
pub fn own(node: &Node) -> Result<BTreeMap<String, Duration>, Problem> {
    let mut fields = node.fields()?;
    let mut own = BTreeMap::new();
    for name in NAMED.iter().map(|(name, _)| *name).chain([OWN_GONE, OWN_INSTALL]) {
        let Some(node) = fields.take(name) else { continue };
        let text = node.text()?;
        let limit = duration(text).filter(|limit| !limit.is_zero());
        let limit = limit
            .ok_or_else(|| node.problem(format!("`{text}` is no duration")).help("such as 30s or 10m"))?;
        own.insert(name.to_owned(), limit);
    }
    fields.finish()?;
    Ok(own)
}

/// Reads a limit: a duration (`500ms`, `30s`, `2m`) or the name of one, which the implementation may have its own of.
///
/// # Errors
/// It is neither.
pub fn limit(node: &Node, own: &BTreeMap<String, Duration>) -> Result<Duration, Problem> {
    let text = node.text()?;
    if let Some(own) = own.get(text).filter(|_| NAMED.iter().any(|(name, _)| *name == text)) {
        return Ok(*own);
    }
    let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, limit)| *limit);
    named.or_else(|| duration(text)).filter(|limit| !limit.is_zero()).ok_or_else(|| {
        let names: Vec<_> = NAMED.iter().map(|(name, _)| *name).collect();
        node.problem(format!("`{text}` is no time limit"))
            .help(format!("a duration such as 500ms, 30s or 2m, or one of: {}", names.join(", ")))
    })
}

/// Reads how a claim must go on: `20 requests` or a duration.
///
/// # Errors
/// It is neither.
pub fn stays(node: &Node) -> Result<Stays, Problem> {
    let text = node.text()?;
    let drains = text.strip_suffix("drain").and_then(|times| times.trim().strip_suffix('x'));
    if let Some(times) = drains {
        let times = times.trim().parse().ok().filter(|times| *times > 0).map(Stays::Drains);
        return times.ok_or_else(|| node.problem(format!("cannot stay `{text}`")).help("write `2x drain`"));
    }
    let requests = text.strip_suffix("requests").or_else(|| text.strip_suffix("request")).map(str::trim);
    let stays = match requests {
        Some(count) => count.parse().ok().filter(|count| *count > 0).map(Stays::Requests),
        None => duration(text).filter(|time| !time.is_zero()).map(Stays::Time),
    };
    stays.ok_or_else(|| {
        node.problem(format!("cannot stay `{text}`")).help("write `20 requests`, `5s` or `2x drain`")
    })
}

/// Reads a duration as people write it: `500ms`, `30s`, `2m`, `1m 30s`. Digits first, and a unit to all of them.
pub fn duration(text: &str) -> Option<Duration> {
    let duration: SignedDuration =
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())??;
    Duration::try_from(duration).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("30 s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("1m 30s"), Some(Duration::from_secs(90)));
        for wrong in [
            "",
            "30",
            "s",
            "-1s",
            "30x",
            "PT30S",
            "3s ago",
            "99999999999999999999s",
            "rollout",
            "20 requests",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
