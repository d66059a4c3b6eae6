//! Constant traffic while something else happens: does anyone notice?
//!
//! Requests start at a fixed rate whatever the earlier ones do, so that a stalled answer does not hide
//! the time after it. Where a busy machine makes some of them late, none is left out. Every failure is kept, with its time
//! and reason.

use std::{collections::BTreeMap, fmt::Display, future::Future, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Answer, strip::Strip};
use meshproof_model::event::Stretch;

/// How to probe.
#[derive(Clone, Copy, Debug)]
pub struct Continuity {
    /// Time between the starts of two requests.
    pub every: Duration,
    /// When to stop asking; answers still under way are waited for.
    pub lasting: Duration,
}

/// One answer that was not as wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// Number of the request, from 0.
    pub number: u64,
    /// When the request started, since the probe began.
    pub at: Duration,
    /// What came back, in one line.
    pub seen: String,
    /// The same in full.
    #[serde(skip)]
    pub answer: Answer,
}

/// What constant traffic saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ContinuityReport {
    /// Requests sent.
    pub sent: u64,
    /// Requests that could not be asked at all: nobody can say how they would have been answered.
    pub unasked: u64,
    /// When the first of those was due, since the probe began, and why it could not be asked.
    pub first_unasked: Option<(Duration, String)>,
    /// Answers as wanted.
    pub good: u64,
    /// Every other answer, in the order the requests started.
    pub misses: Vec<Miss>,
    /// Every answer over time, in the order the requests started.
    pub stretches: Vec<Stretch>,
    /// Answers by pod, so that a restart or a split is visible.
    pub by_pod: BTreeMap<String, u64>,
    /// The longest time between two good answers' starts: how long a client saw nothing but failures.
    pub longest_gap: Duration,
    /// From the first request until it was told to end.
    pub asked: Duration,
    /// From the first request to the last answer.
    pub lasted: Duration,
}

impl ContinuityReport {
    /// Whether every answer was as wanted.
    pub fn unbroken(&self) -> bool {
        self.misses.is_empty() && self.unasked == 0 && self.sent > 0
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let Self { sent, good, .. } = self;
        let answered = match self.misses.first() {
            None => {
                format!("{good} of {sent} requests answered as wanted in {:.1} s", self.lasted.as_secs_f64())
            }
            Some(first) => format!(
                "{} of {sent} requests failed, the first after {:.1} s: {}; longest gap {} ms",
                self.misses.len(),
                first.at.as_secs_f64(),
                first.seen,
                self.longest_gap.as_millis()
            ),
        };
        match &self.first_unasked {
            None => answered,
            Some(_) => format!("{answered}; {}", self.unasked_in_words()),
        }
    }

    /// How many requests could not be asked, and why the first could not.
    pub fn unasked_in_words(&self) -> String {
        let first = self.first_unasked.as_ref();
        let first = first
            .map(|(at, because)| format!(", the first after {:.1} s: {because}", at.as_secs_f64()))
            .unwrap_or_default();
        format!("{} requests could not be sent{first}", self.unasked)
    }
}

impl Continuity {
    /// Sends requests made by `send` (given the number of the request) until the time is over or `stop`
    /// is cancelled, and judges each answer with `wanted`. A request that cannot be asked at all is counted, and takes
    /// nothing away from what was seen before and after it.
    pub async fn run<F, Fut, E>(
        &self,
        stop: &CancellationToken,
        send: F,
        wanted: impl Fn(&Answer) -> bool,
    ) -> ContinuityReport
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Answer, E>>,
        E: Display,
    {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = tokio::time::sleep_until(began + self.lasting);
        tokio::pin!(end);
        let mut under_way = FuturesUnordered::new();
        let mut sent = 0;
        let mut asking = true;
        // Known once it is told to end: requests that were due by then are still sent.
        let mut asked = None;
        let mut answers: Vec<(u64, Duration, Answer)> = Vec::new();
        let mut unasked = 0;
        let mut first_unasked: Option<(Duration, String)> = None;
        while asking || !under_way.is_empty() {
            tokio::select! {
                biased;
                () = &mut end, if asked.is_none() => asked = Some(began.elapsed()),
                () = stop.cancelled(), if asked.is_none() => asked = Some(began.elapsed()),
                Some((number, at, answer)) = under_way.next(), if !under_way.is_empty() => {
                    match answer {
                        Ok(answer) => answers.push((number, at, answer)),
                        Err(error) => {
                            unasked += 1;
                            // Later ones may be told of earlier.
                            if first_unasked.as_ref().is_none_or(|(first, _)| at < *first) {
                                first_unasked = Some((at, E::to_string(&error)));
                            }
                        }
                    }
                }
                _ = ticks.tick(), if asking => {
                    let (number, at, answer) = (sent, began.elapsed(), send(sent));
                    under_way.push(async move { (number, at, answer.await) });
                    sent += 1;
                }
            }
            asking = asked.is_none_or(|asked| sent < self.due(asked));
        }
        answers.sort_by_key(|(number, ..)| *number);
        let asked = asked.unwrap_or_default();
        ContinuityReport { asked, unasked, first_unasked, ..sum_up(&answers, began.elapsed(), wanted) }
    }

    /// Requests that should have started in this time.
    fn due(&self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos().div_ceil(self.every.as_nanos().max(1));
        u64::try_from(due).unwrap_or(u64::MAX)
    }
}

fn sum_up(
    answers: &[(u64, Duration, Answer)],
    lasted: Duration,
    wanted: impl Fn(&Answer) -> bool,
) -> ContinuityReport {
    let mut report = ContinuityReport { sent: answers.len() as u64, lasted, ..ContinuityReport::default() };
    let mut last_good = Duration::ZERO;
    let mut strip = Strip::default();
    for (number, at, answer) in answers {
        strip.add(u64::try_from(at.as_millis()).unwrap_or(u64::MAX), answer);
        if let Some(pod) = answer.pod() {
            *report.by_pod.entry(pod.to_string()).or_default() += 1;
        }
        if wanted(answer) {
            report.good += 1;
            report.longest_gap = report.longest_gap.max(at.saturating_sub(last_good));
            last_good = *at;
        } else {
            report.misses.push(Miss {
                number: *number,
                at: *at,
                seen: answer.summary(),
                answer: answer.clone(),
            });
        }
    }
    report.longest_gap = report.longest_gap.max(lasted.saturating_sub(last_good));
    report.stretches = strip.stretches();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::FailureKind;
    use meshproof_model::vantage::Vantage;

    fn status(status: u16) -> Answer {
        let mut answer = Answer::failed(Vantage::Outside, FailureKind::Other, "", Duration::ZERO);
        answer.failure = None;
        answer.status = Some(status);
        answer
    }

    const EVERY_100_MS_FOR_A_SECOND: Continuity =
        Continuity { every: Duration::from_millis(100), lasting: Duration::from_millis(950) };

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_kept_with_its_time() {
        let outage = |number: u64| async move {
            Ok::<_, String>(status(if (3..6).contains(&number) { 503 } else { 200 }))
        };
        let stop = CancellationToken::new();
        let wanted = |answer: &Answer| answer.status == Some(200);
        let report = EVERY_100_MS_FOR_A_SECOND.run(&stop, outage, wanted).await;
        assert_eq!((report.sent, report.good), (10, 7));
        let times: Vec<u128> = report.misses.iter().map(|miss| miss.at.as_millis()).collect();
        assert_eq!(times, [300, 400, 500]);
        assert_eq!(report.longest_gap, Duration::from_millis(400));
        let over_time: Vec<_> = report
            .stretches
            .iter()
            .map(|s| (s.at_ms, s.until_ms, s.answers.status, s.answers.count))
            .collect();
        assert_eq!(over_time, [(0, 200, Some(200), 3), (300, 500, Some(503), 3), (600, 900, Some(200), 4)]);
        assert!(!report.unbroken());
        assert_eq!(
            report.summary(),
            "3 of 10 requests failed, the first after 0.3 s: 503; longest gap 400 ms"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_cannot_be_asked_takes_nothing_away_from_the_others() {
        let send = |number: u64| async move {
            match number {
                2 => Ok(status(503)),
                4..6 => Err("frontend fe.example has no load-balancer address: none".to_owned()),
                _ => Ok(status(200)),
            }
        };
        let wanted = |answer: &Answer| answer.status == Some(200);
        let report = EVERY_100_MS_FOR_A_SECOND.run(&CancellationToken::new(), send, wanted).await;
        assert_eq!((report.sent, report.good, report.misses.len(), report.unasked), (8, 7, 1, 2));
        assert!(!report.unbroken());
        let summary = report.summary();
        assert!(summary.starts_with("1 of 8 requests failed"), "{summary}");
        assert!(
            summary.contains("; 2 requests could not be sent, the first after 0.4 s: frontend fe.example"),
            "{summary}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_answer_does_not_hold_up_the_next_requests() {
        let stalled = |number: u64| async move {
            if number == 2 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Ok::<_, String>(status(200))
        };
        let report = EVERY_100_MS_FOR_A_SECOND.run(&CancellationToken::new(), stalled, |_| true).await;
        assert_eq!(report.sent, 10);
        assert!(report.unbroken());
        assert!(report.lasted >= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_it_early() {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let send = |number: u64| {
            if number == 4 {
                stopper.cancel();
            }
            async { Ok::<_, String>(status(200)) }
        };
        let report = EVERY_100_MS_FOR_A_SECOND.run(&stop, send, |_| true).await;
        assert_eq!(report.sent, 5);
    }

    #[test]
    fn requests_that_were_due_at_the_end_are_sent_however_late() {
        let due = |millis| EVERY_100_MS_FOR_A_SECOND.due(Duration::from_millis(millis));
        assert_eq!([due(0), due(1), due(100), due(101), due(950)], [0, 1, 1, 2, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_at_all_is_not_unbroken() {
        let stop = CancellationToken::new();
        stop.cancel();
        let report =
            EVERY_100_MS_FOR_A_SECOND.run(&stop, |_| async { Ok::<_, String>(status(200)) }, |_| true).await;
        assert_eq!(report.sent, 0);
        assert!(!report.unbroken());
    }
}
