//! Gives up when nothing has moved for a while, or too little.

use crate::settings::MinimumRate;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// For whoever is polled while it waits: costs nothing while it does not have to.
#[derive(Debug)]
pub(crate) struct Timer {
    limit: Duration,
    rate: Option<MinimumRate>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Since when nothing has moved; none while something does.
    idle: Option<Instant>,
    window: Window,
}

/// What has moved in the time that is looked at for the rate.
#[derive(Debug, Default)]
struct Window {
    bytes: u64,
    /// Time spent waiting, up to the last thing that moved.
    waited: Duration,
    /// When the waiting that goes on began.
    since: Option<Instant>,
}

/// What was too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stalled {
    /// Nothing for so long.
    Idle(Duration),
    /// Fewer bytes than these in so much time of waiting.
    TooSlow(u64, Duration),
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle(limit) => write!(f, "no byte for {limit:?}"),
            Self::TooSlow(bytes, time) => write!(f, "fewer than {bytes} bytes in {time:?}"),
        }
    }
}

impl Timer {
    /// Gives up when nothing moves for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, rate: None, sleep: None, idle: None, window: Window::default() }
    }

    /// Gives up, too, when less moves than `rate` says.
    pub(crate) fn with_rate(limit: Duration, rate: Option<MinimumRate>) -> Self {
        Self { rate, ..Self::new(limit) }
    }

    /// So many bytes moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        if self.rate.is_some() {
            self.window.bytes += bytes as u64;
            // Time in which nobody has waited is nobody's fault.
            if self.idle.is_some()
                && let Some(since) = self.window.since.take()
            {
                self.window.waited += since.elapsed();
            }
        }
        self.idle = None;
    }

    /// Nothing moves: whether it is time to give up.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        if self.idle.is_none() {
            let now = Instant::now();
            self.idle = Some(now);
            self.window.since = Some(now);
            let next = self.next(now);
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(next),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(next))),
            }
        }
        loop {
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            ready!(sleep.as_mut().poll(cx));
            let now = Instant::now();
            if let Some(stalled) = self.judge(now) {
                return Poll::Ready(stalled);
            }
            let next = self.next(now);
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(next);
            }
        }
    }

    /// When to look again at the latest.
    fn next(&self, now: Instant) -> Instant {
        let idle = self.idle.unwrap_or(now).checked_add(self.limit);
        let window = self.rate.and_then(|rate| {
            let since = self.window.since.unwrap_or(now);
            since.checked_add(rate.grace.saturating_sub(self.window.waited))
        });
        // A limit beyond the clock's end is none.
        let far = now + Duration::from_secs(86_400);
        idle.unwrap_or(far).min(window.unwrap_or(far))
    }

    fn judge(&mut self, now: Instant) -> Option<Stalled> {
        if self.idle.is_some_and(|since| now.duration_since(since) >= self.limit) {
            return Some(Stalled::Idle(self.limit));
        }
        let rate = self.rate?;
        let since = self.window.since.unwrap_or(now);
        let waited = self.window.waited + now.duration_since(since);
        if waited < rate.grace {
            return None;
        }
        let wanted = (waited.as_secs_f64() * f64::from(rate.bytes_per_second)) as u64;
        if self.window.bytes < wanted {
            return Some(Stalled::TooSlow(wanted, waited));
        }
        self.window = Window { since: Some(now), ..Window::default() };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const LIMIT: Duration = Duration::from_secs(100);
    const RATE: MinimumRate = MinimumRate { bytes_per_second: 10, grace: Duration::from_secs(10) };

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_at_the_limit_and_each_byte_begins_it_anew() {
        let started = Instant::now();
        let mut timer = Timer::new(LIMIT);
        for _ in 0..3 {
            let polled = tokio::time::timeout(LIMIT / 2, poll_fn(|cx| timer.poll(cx))).await;
            assert!(polled.is_err());
            timer.moved(1);
        }
        assert_eq!(poll_fn(|cx| timer.poll(cx)).await, Stalled::Idle(LIMIT));
        assert_eq!(started.elapsed(), LIMIT / 2 * 3 + LIMIT);
    }

    /// Sends `bytes` after each of `pause`, until the timer gives up.
    async fn trickle(bytes: usize, pause: Duration, times: usize) -> Option<Stalled> {
        let mut timer = Timer::with_rate(LIMIT, Some(RATE));
        for _ in 0..times {
            match tokio::time::timeout(pause, poll_fn(|cx| timer.poll(cx))).await {
                Ok(stalled) => return Some(stalled),
                Err(_) => timer.moved(bytes),
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_too_slow_and_a_slow_line_is_not() {
        let second = Duration::from_secs(1);
        assert!(matches!(trickle(1, second, 100).await, Some(Stalled::TooSlow(..))));
        assert_eq!(trickle(20, second, 100).await, None);
        assert_eq!(trickle(200, 9 * second, 20).await, None, "in bursts");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_asks_for_more_does_not_count() {
        let mut timer = Timer::with_rate(LIMIT, Some(RATE));
        for _ in 0..20 {
            let polled = tokio::time::timeout(Duration::from_millis(10), poll_fn(|cx| timer.poll(cx))).await;
            assert!(polled.is_err());
            timer.moved(1);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_is_far_away() {
        let mut timer = Timer::new(Duration::MAX);
        assert!(tokio::time::timeout(10 * LIMIT, poll_fn(|cx| timer.poll(cx))).await.is_err());
    }
}
