//! How long each phase took last time, kept beside the entries.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "durations.json";

/// Seconds that the longest phases take on two cores, for a machine that has not been through them: nobody is left to wonder
/// for minutes.
pub(crate) const FIRST_TIME: &[(&str, u64)] = &[
    ("compile kubernetes", 390),
    ("compile istio", 180),
    ("compile istio-oldest", 210),
    ("compile envoy-gateway", 220),
    ("compile traefik", 150),
];

/// What to expect of a phase the first time, if it is long.
pub(super) fn first_time(phase: &str) -> Option<Duration> {
    FIRST_TIME.iter().find(|(known, _)| *known == phase).map(|(_, seconds)| Duration::from_secs(*seconds))
}

/// All known durations; none when the file is missing or unreadable, since they only inform.
pub(super) fn read(root: &Path) -> BTreeMap<String, Duration> {
    std::fs::read(root.join(FILE))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<BTreeMap<String, u64>>(&bytes).ok())
        .unwrap_or_default()
        .into_iter()
        .map(|(phase, millis)| (phase, Duration::from_millis(millis)))
        .collect()
}

/// Remembers one. Two processes may meet here: the file is replaced whole, so at worst one update is lost.
pub(super) fn record(root: &Path, phase: &str, elapsed: Duration) -> std::io::Result<()> {
    let mut all = read(root);
    all.insert(phase.to_owned(), elapsed);
    let millis: BTreeMap<_, _> = all
        .iter()
        .map(|(phase, took)| (phase, u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
        .collect();
    let mut file = tempfile::NamedTempFile::new_in(root)?;
    serde_json::to_writer_pretty(&mut file, &millis)?;
    file.flush()?;
    file.persist(root.join(FILE))?;
    Ok(())
}
