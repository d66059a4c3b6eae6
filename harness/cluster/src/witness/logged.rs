//! What the proxies that live have logged of requests for a path.

use jiff::Timestamp;

use crate::probe::LivingLog;
use meshproof_run::ports::{Logged, PortError};

/// The requests for `path` of the Gateway `of` (`namespace/name`) that ended since `began`.
///
/// # Errors
/// A log that does not reach back so far, or an entry whose time cannot be read: whoever concludes from their silence has
/// to know that they hold everything.
pub(super) fn requests(
    logs: &[LivingLog],
    of: &str,
    path: &str,
    began: Timestamp,
) -> Result<Vec<Logged>, PortError> {
    let doing = || format!("reading what the proxies of {of} have logged since {began}");
    if let Some(gap) = logs.iter().find_map(|log| log.gap(began)) {
        let next =
            "shorter or slower constant traffic: a log that is full (containerLogMaxSize, 10Mi) begins anew";
        return Err(PortError::new(doing(), gap).next(next));
    }
    let mut requests = Vec::new();
    for log in logs {
        let meant = log
            .entries
            .iter()
            .filter(|entry| entry.path == path && entry.gateway.as_ref().is_none_or(|gateway| gateway == of));
        for entry in meant {
            let ended = entry.time.parse::<Timestamp>().map_err(|error| {
                PortError::new(
                    doing(),
                    format!("{} has an entry of the time {:?}: {error}", log.pod, entry.time),
                )
            })?;
            if ended >= began {
                requests.push(Logged { status: entry.status, reason: entry.reason.clone() });
            }
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_run::probe::AccessLogEntry;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-23T{time}Z").parse().unwrap()
    }

    fn entry(time: &str, path: &str, gateway: Option<&str>, status: u16) -> AccessLogEntry {
        AccessLogEntry {
            time: time.to_owned(),
            path: path.into(),
            gateway: gateway.map(str::to_owned),
            status,
            reason: "a_reason".into(),
            ..AccessLogEntry::default()
        }
    }

    fn log(oldest: &str, entries: Vec<AccessLogEntry>) -> LivingLog {
        let (started, oldest) = (Some(at("11:00:00")), Some(at(oldest)));
        LivingLog { pod: "alb-proxy-x".into(), started, oldest, entries }
    }

    fn heard(logs: &[LivingLog]) -> Result<Vec<u16>, PortError> {
        let requests = requests(logs, "ns/g", "/", at("12:00:00"))?;
        Ok(requests.iter().map(|logged| logged.status).collect())
    }

    #[test]
    fn only_what_ended_since_then_for_this_path_of_this_gateway_counts() {
        let entries = vec![
            entry("2026-11-23T11:59:59Z", "/", Some("ns/g"), 500),
            entry("2026-11-23T12:00:01Z", "/", Some("ns/g"), 200),
            entry("2026-11-23T12:00:02Z", "/", None, 499),
            entry("2026-11-23T12:00:03Z", "/", Some("ns/other"), 501),
            entry("2026-11-23T12:00:04Z", "/other", Some("ns/g"), 502),
        ];
        assert_eq!(heard(&[log("11:00:01", entries)]), Ok(vec![200, 499]));
    }

    #[test]
    fn a_log_that_does_not_hold_everything_is_no_evidence() {
        let error = heard(&[log("11:00:01", vec![]), log("12:00:10", vec![])]).unwrap_err();
        assert!(error.seen.contains("reaches back to"), "{error}");
        let error = heard(&[log("11:00:01", vec![entry("yesterday", "/", None, 200)])]).unwrap_err();
        assert!(error.seen.contains("\"yesterday\""), "{error}");
    }
}
