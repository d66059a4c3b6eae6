//! Who takes part in an election, for which Lease, and how patiently.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// One participant of one election. Make it with [`LeaseConfig::new`] and change what must differ.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// What this participant writes as `holderIdentity`: the pod's name. No two live processes may share one.
    pub identity: String,
    /// How long others wait after the last renewal they saw before they take over. Whole seconds, as the Lease's field.
    pub lease_duration: Duration,
    /// How long after the start of its last successful renewal a leader still acts as one. Less than
    /// `lease_duration`: the difference is what clocks may drift apart within one lease.
    pub renew_deadline: Duration,
    /// Time between renewals, and between a standby's looks. Less than `renew_deadline`.
    pub retry_period: Duration,
    /// Each wait is lengthened by a random part of `retry_period` up to this fraction, so that participants spread.
    pub jitter: f64,
    /// What the Lease belongs to, usually the participants' Deployment: when that is deleted, so is the Lease, and what is
    /// installed next need not wait for it to run out. (When a chart is uninstalled, the right to release the Lease is
    /// gone before the pods are.)
    pub owner: Option<OwnerReference>,
}

/// Durations that do not make a safe election.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LeaseConfigError {
    /// The Lease holds whole seconds.
    #[error("lease duration {0:?}: expected whole seconds, at least one")]
    Duration(Duration),
    /// A leader must stop before others may start.
    #[error("renew deadline {renew_deadline:?}: expected less than the lease duration {lease_duration:?}")]
    Deadline {
        /// What was given.
        renew_deadline: Duration,
        /// Its upper bound.
        lease_duration: Duration,
    },
    /// A leader must get at least one try.
    #[error(
        "retry period {retry_period:?} with jitter {jitter}: expected more than zero and less than the renew deadline {renew_deadline:?}"
    )]
    Retry {
        /// What was given.
        retry_period: Duration,
        /// What lengthens it.
        jitter: f64,
        /// Its upper bound.
        renew_deadline: Duration,
    },
    /// An empty identity means "released".
    #[error("the identity is empty: expected the name of the pod")]
    Identity,
}

impl LeaseConfig {
    /// A participant with the usual durations of Kubernetes' own programs: 15 s, 10 s, 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            jitter: 0.2,
            owner: None,
        }
    }

    /// Checks that the durations keep two leaders from overlapping.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn validate(&self) -> Result<(), LeaseConfigError> {
        let &Self { lease_duration, renew_deadline, retry_period, jitter, .. } = self;
        if self.identity.is_empty() {
            return Err(LeaseConfigError::Identity);
        }
        let whole = lease_duration.subsec_nanos() == 0 && i32::try_from(lease_duration.as_secs()).is_ok();
        if lease_duration.is_zero() || !whole {
            return Err(LeaseConfigError::Duration(lease_duration));
        }
        if renew_deadline >= lease_duration {
            return Err(LeaseConfigError::Deadline { renew_deadline, lease_duration });
        }
        let fits = (0.0..=1.0).contains(&jitter) && retry_period.mul_f64(1.0 + jitter) < renew_deadline;
        if retry_period.is_zero() || !fits {
            return Err(LeaseConfigError::Retry { retry_period, jitter, renew_deadline });
        }
        Ok(())
    }

    /// The `leaseDurationSeconds` to write.
    pub(super) fn lease_seconds(&self) -> i32 {
        // `validate` has checked that it fits.
        i32::try_from(self.lease_duration.as_secs()).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_usual_durations() {
        assert_eq!(LeaseConfig::new("ns", "name", "pod-1").validate(), Ok(()));
    }

    #[test]
    fn refuses_durations_under_which_leaders_could_overlap() {
        let with = |change: fn(&mut LeaseConfig)| {
            let mut config = LeaseConfig::new("ns", "name", "pod-1");
            change(&mut config);
            config.validate().unwrap_err()
        };
        let error = with(|c| c.renew_deadline = Duration::from_secs(15));
        assert!(matches!(error, LeaseConfigError::Deadline { .. }));
        assert!(matches!(
            with(|c| c.lease_duration = Duration::from_millis(15500)),
            LeaseConfigError::Duration(_)
        ));
        assert!(matches!(with(|c| c.lease_duration = Duration::ZERO), LeaseConfigError::Duration(_)));
        assert!(matches!(with(|c| c.retry_period = Duration::from_secs(9)), LeaseConfigError::Retry { .. }));
        assert!(matches!(with(|c| c.jitter = f64::NAN), LeaseConfigError::Retry { .. }));
        assert_eq!(with(|c| c.identity.clear()), LeaseConfigError::Identity);
    }
}
