//! What a participant knows of the Lease, and what follows from it. Pure: the time is an argument.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::config::LeaseConfig;

/// The Lease as last seen.
///
/// A participant never compares its clock with the times in the record. It remembers when it first saw a record, and
/// counts from there, so that only the speed of clocks matters, not what they show.
#[derive(Debug, Default)]
pub(super) struct Observation {
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    version: String,
    holder: Option<String>,
    duration: Duration,
    since: Instant,
}

/// What a standby does next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Somebody else may be leading until then.
    Wait(Instant),
    /// Write the Lease with our name.
    Take,
}

impl Observation {
    /// Notes what the API server holds, `None` when there is no Lease.
    ///
    /// A Lease that was deleted while another held it stays in force until it would have run out: its holder may not
    /// know yet.
    pub(super) fn note(&mut self, lease: Option<&Lease>, config: &LeaseConfig, now: Instant) {
        let Some(lease) = lease else { return };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.as_ref();
        if self.seen.as_ref().is_some_and(|seen| seen.version == version) {
            return;
        }
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        let duration = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        self.seen = Some(Seen {
            version,
            holder: holder(lease).map(str::to_owned),
            duration: duration.unwrap_or(config.lease_duration),
            since: now,
        });
    }

    /// What to do at `now`.
    pub(super) fn next(&self, config: &LeaseConfig, now: Instant) -> Next {
        let Some(Seen { holder: Some(holder), duration, since, .. }) = &self.seen else { return Next::Take };
        let expires = *since + *duration;
        if *holder == config.identity || expires <= now { Next::Take } else { Next::Wait(expires) }
    }
}

/// Who holds the Lease; an empty name is nobody.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// The Lease to write in order to take, or keep, it. `current` is what was read: its resourceVersion makes the write
/// conditional, and everything that is not ours to change stays.
pub(super) fn claim(current: Option<&Lease>, config: &LeaseConfig, wall: jiff::Timestamp) -> Lease {
    let mut lease = current.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(config.name.clone()),
            namespace: Some(config.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    if let Some(owner) = &config.owner {
        let owners = lease.metadata.owner_references.get_or_insert_default();
        // An owner made anew has another uid; the old reference would have the Lease collected.
        owners.retain(|other| other.uid == owner.uid || other.name != owner.name || other.kind != owner.kind);
        if owners.iter().all(|other| other.uid != owner.uid) {
            owners.push(owner.clone());
        }
    }
    let renewal = holder(&lease) == Some(config.identity.as_str());
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if !renewal {
        spec.acquire_time = Some(MicroTime(wall));
        let transitions = spec.lease_transitions.unwrap_or(0);
        spec.lease_transitions = Some(if current.is_some() { transitions.saturating_add(1) } else { 0 });
    }
    spec.holder_identity = Some(config.identity.clone());
    spec.lease_duration_seconds = Some(config.lease_seconds());
    spec.renew_time = Some(MicroTime(wall));
    lease
}

/// The Lease to write in order to give it up: no holder, so that a standby need not wait.
pub(super) fn release(current: &Lease, wall: jiff::Timestamp) -> Lease {
    let mut lease = current.clone();
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(wall));
    lease
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;

    fn config() -> LeaseConfig {
        LeaseConfig::new("ns", "name", "me")
    }

    fn lease(version: &str, holder: &str, seconds: i32) -> Lease {
        Lease {
            metadata: ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                ..LeaseSpec::default()
            }),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_the_holders_duration_from_when_the_record_was_first_seen() {
        let (mut seen, start) = (Observation::default(), Instant::now());
        seen.note(Some(&lease("1", "other", 20)), &config(), start);
        let later = start + Duration::from_secs(19);
        seen.note(Some(&lease("1", "other", 20)), &config(), later);
        assert_eq!(seen.next(&config(), later), Next::Wait(start + Duration::from_secs(20)));
        assert_eq!(seen.next(&config(), start + Duration::from_secs(20)), Next::Take);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_starts_the_wait_anew_and_a_release_ends_it() {
        let (mut seen, start) = (Observation::default(), Instant::now());
        seen.note(Some(&lease("1", "other", 15)), &config(), start);
        let later = start + Duration::from_secs(14);
        seen.note(Some(&lease("2", "other", 15)), &config(), later);
        assert_eq!(seen.next(&config(), later), Next::Wait(later + Duration::from_secs(15)));
        seen.note(Some(&lease("3", "", 1)), &config(), later);
        assert_eq!(seen.next(&config(), later), Next::Take);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_lease_stays_in_force_until_it_would_have_run_out() {
        let (mut seen, start) = (Observation::default(), Instant::now());
        assert_eq!(seen.next(&config(), start), Next::Take, "never seen: nobody to respect");
        seen.note(Some(&lease("1", "other", 15)), &config(), start);
        seen.note(None, &config(), start + Duration::from_secs(1));
        assert!(matches!(seen.next(&config(), start + Duration::from_secs(2)), Next::Wait(_)));
    }

    #[test]
    fn a_claim_counts_transitions_and_keeps_what_is_not_ours() {
        let wall = jiff::Timestamp::UNIX_EPOCH;
        let mut current = lease("7", "other", 15);
        current.metadata.labels = Some([("team".to_owned(), "edge".to_owned())].into());
        let taken = claim(Some(&current), &config(), wall);
        assert_eq!(taken.metadata, current.metadata);
        assert_eq!(taken.spec.as_ref().unwrap().lease_transitions, Some(1));
        let kept = claim(Some(&taken), &config(), wall + jiff::SignedDuration::from_secs(2));
        let spec = kept.spec.unwrap();
        assert_eq!((spec.lease_transitions, spec.acquire_time), (Some(1), Some(MicroTime(wall))));
        assert_eq!(claim(None, &config(), wall).spec.unwrap().lease_transitions, Some(0));
    }

    #[test]
    fn a_claim_names_the_owner_of_today() {
        let owner = |uid: &str| OwnerReference {
            kind: "Deployment".to_owned(),
            name: "controller".to_owned(),
            uid: uid.to_owned(),
            ..OwnerReference::default()
        };
        let mut config = config();
        config.owner = Some(owner("yesterday"));
        let old = claim(None, &config, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(old.metadata.owner_references, Some(vec![owner("yesterday")]));
        config.owner = Some(owner("today"));
        let new = claim(Some(&old), &config, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(new.metadata.owner_references, Some(vec![owner("today")]));
        assert_eq!(claim(Some(&new), &config, jiff::Timestamp::UNIX_EPOCH).metadata, new.metadata);
    }
}
