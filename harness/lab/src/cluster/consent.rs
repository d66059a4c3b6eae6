//! What would be lost if a cluster were made again, and whether somebody agrees. The decision is pure.

use std::time::Duration;

use super::holdings::Holdings;
use super::state::Because;
use super::{Cluster, ClusterError, ClusterSpec};
use crate::host_changes::asked;
use meshproof_model::progress::Progress;

/// A cluster that was never finished may have an API server that answers; nobody has been told of it, though.
const UNFINISHED: Duration = Duration::from_secs(10);

/// What may be done about a cluster that would have to be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaking {
    /// Nothing of anybody's is lost, or it was asked for.
    Go,
    /// Somebody has to agree.
    Ask,
}

/// Whether a cluster may be made again for this reason, though it was last seen to hold something that is not meshproof's.
pub(super) fn remaking(because: Because, holds_foreign: bool) -> Remaking {
    match because {
        Because::Asked => Remaking::Go,
        // Nobody knows what is in it.
        Because::Unrecorded => Remaking::Ask,
        Because::Unfinished | Because::Dead | Because::Different | Because::Incomplete => {
            if holds_foreign {
                Remaking::Ask
            } else {
                Remaking::Go
            }
        }
    }
}

/// Whether the API server has to be asked what it holds before anything is removed: somebody may have put things there
/// since it was last looked at.
pub(super) fn needs_a_look(because: Because) -> bool {
    match because {
        Because::Different | Because::Incomplete => true,
        // What ended holds nothing any more; what never was finished, or of which nothing is written down, may not answer at all.
        Because::Asked | Because::Dead | Because::Unfinished | Because::Unrecorded => false,
    }
}

impl Cluster {
    /// Whether the cluster may be removed and made again: nothing in it is anybody's, or somebody agrees.
    ///
    /// # Errors
    /// [`ClusterError::WouldLose`], or [`ClusterError::Silent`] if it may be well and cannot be looked at.
    pub(super) async fn may_be_replaced(
        &self,
        spec: &ClusterSpec,
        because: Because,
        reason: &str,
        progress: &dyn Progress,
    ) -> Result<(), ClusterError> {
        if because == Because::Asked {
            return Ok(());
        }
        if needs_a_look(because) {
            let client = self.answering(progress).await?;
            Holdings::look(&client, &self.state).await?;
        } else if because == Because::Unfinished {
            let client = self.answering_within(UNFINISHED, progress).await;
            if let Ok(client) = client
                && let Err(error) = Holdings::look(&client, &self.state).await
            {
                tracing::debug!(%error, "the remains of an interrupted start do not say what they hold");
            }
        }
        let holdings = Holdings::read(&self.state);
        let foreign = !holdings.foreign.is_empty();
        if remaking(because, foreign) == Remaking::Go {
            return Ok(());
        }
        let loss = match &holdings.seen {
            Some(seen) if foreign => format!(
                "it was seen on {seen} to hold what meshproof had not made: namespace {}",
                holdings.in_words()
            ),
            None if foreign => format!("what it holds: {}", holdings.in_words()),
            _ => "nobody knows what is in it".to_owned(),
        };
        let name = &self.name;
        match asked(format!("cluster {name} would have to be made again: {reason}; {loss}. Make it again?"))
            .await
        {
            Some(true) => Ok(()),
            _ => Err(ClusterError::WouldLose {
                name: name.clone(),
                reason: reason.to_owned(),
                loss,
                command: spec.command(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_anybodys_is_removed_unasked() {
        use Because::{Asked, Dead, Different, Incomplete, Unfinished, Unrecorded};
        for because in [Unfinished, Dead, Different, Incomplete] {
            assert_eq!(remaking(because, true), Remaking::Ask, "{because:?}");
            assert_eq!(remaking(because, false), Remaking::Go, "{because:?}");
        }
        for holds in [true, false] {
            assert_eq!(remaking(Asked, holds), Remaking::Go);
            assert_eq!(remaking(Unrecorded, holds), Remaking::Ask);
        }
    }

    #[test]
    fn what_may_be_well_is_looked_at_first() {
        assert!(needs_a_look(Because::Different) && needs_a_look(Because::Incomplete));
        assert!(!needs_a_look(Because::Dead));
    }
}
