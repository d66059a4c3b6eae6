//! Constant traffic beside the steps: started by one step, judged by a later one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ports::{PortError, Requests};
use crate::probe::continuity::{Continuity, ContinuityReport};
use crate::probe::{Answer, Ask};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::vantage::Vantage;

/// Longest time traffic runs without a step that ends it.
pub const LONGEST: Duration = Duration::from_secs(900);

/// What every answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// HTTP status.
    pub status: u16,
    /// Workload that answers, if it matters.
    pub backend: Option<String>,
}

impl Wanted {
    /// Whether this answer is as wanted.
    pub fn fits(&self, answer: &Answer) -> bool {
        answer.complete() == Some(self.status)
            && self.backend.as_ref().is_none_or(|backend| answer.is_from(backend))
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        match &self.backend {
            Some(backend) => write!(f, " from {backend}"),
            None => Ok(()),
        }
    }
}

/// An action beside the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// When, since the traffic began.
    pub at: Duration,
    /// Name of its step.
    pub name: String,
}

/// Traffic under way. Dropping it ends it, and nobody hears what it saw.
#[derive(Debug)]
pub struct Traffic {
    /// The Gateway that is asked.
    pub gateway: ObjectRef,
    /// The path that is asked for.
    pub path: String,
    /// What its answers must be.
    pub wanted: Wanted,
    /// Requests started each second.
    pub rate: u32,
    /// When it began.
    pub began: Instant,
    /// The actions begun since then, in order.
    pub actions: Vec<Begun>,
    good: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<ContinuityReport>,
}

impl Traffic {
    /// Starts `rate` requests to a Gateway each second, whatever becomes of the earlier ones: each of `asks` in turn.
    pub fn start(
        requests: Arc<dyn Requests>,
        (gateway, path): (ObjectRef, String),
        from: Vantage,
        asks: Vec<Ask>,
        rate: u32,
        wanted: Wanted,
    ) -> Self {
        let stop = CancellationToken::new();
        let (token, fits) = (stop.clone(), wanted.clone());
        let good = Arc::new(Notify::new());
        let tell = good.clone();
        let continuity = Continuity { every: Duration::from_secs(1) / rate.max(1), lasting: LONGEST };
        let task = tokio::spawn(async move {
            let turn = |number: u64| usize::try_from(number).unwrap_or_default() % asks.len().max(1);
            let send = |number| {
                let (requests, fits, tell, ask) = (&requests, &fits, &tell, asks.get(turn(number)));
                async move {
                    let nothing = || PortError::new("sending constant traffic", "nothing to ask");
                    let answer = requests.send(from, ask.ok_or_else(nothing)?).await?;
                    if fits.fits(&answer) {
                        tell.notify_one();
                    }
                    Ok::<_, PortError>(answer)
                }
            };
            continuity.run(&token, send, |answer| fits.fits(answer)).await
        });
        Self { gateway, path, wanted, rate, began: Instant::now(), actions: Vec::new(), good, stop, task }
    }

    /// Waits for an answer as wanted: only traffic that flows can be broken.
    pub async fn flows(&self) {
        self.good.notified().await;
    }

    /// Remembers that an action begins now: what happens to the traffic from here on may be due to it.
    pub fn action(&mut self, name: &str) {
        self.actions.push(Begun { at: self.began.elapsed(), name: name.to_owned() });
    }

    /// Ends it, waits for the answers under way, and returns what it saw.
    ///
    /// # Errors
    /// Not a single request could be sent.
    pub async fn stop(mut self) -> Result<ContinuityReport, PortError> {
        self.stop.cancel();
        match (&mut self.task).await {
            Ok(report) => match &report.first_unasked {
                Some((_, because)) if report.sent == 0 => {
                    Err(PortError::new("sending constant traffic", because))
                }
                _ => Ok(report),
            },
            Err(error) => Err(PortError::new("sending constant traffic", error)),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Failure, FailureKind};

    #[test]
    fn an_answer_that_was_cut_off_is_not_as_wanted() {
        let wanted = Wanted { status: 200, backend: None };
        let mut answer = Answer::failed(Vantage::Outside, FailureKind::Other, "", Duration::ZERO);
        (answer.status, answer.failure) = (Some(200), None);
        assert!(wanted.fits(&answer));
        answer.failure = Some(Failure { kind: FailureKind::Reset, message: "closed".into() });
        assert!(!wanted.fits(&answer));
    }
}
