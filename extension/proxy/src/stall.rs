//! Noticing that nothing moves.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Gives up when nothing has moved for a while; for whoever is polled while it waits.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None, armed: false }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.armed = false;
    }

    /// Nothing moves: whether the limit has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.armed {
            timer.as_mut().reset(deadline);
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}

/// Since when something has been the case, if it is; for whoever waits elsewhere for it to last too long.
#[derive(Debug, Default)]
pub(crate) struct Since(Mutex<Option<Instant>>);

impl Since {
    /// It has become the case, or still is, as of now.
    pub(crate) fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// It is no longer the case.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until it has been the case for `limit` without a break. Looks only when that can be, so that neither
    /// [`Since::begin`] nor [`Since::end`] wakes anybody.
    pub(crate) async fn lasted(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let deadline = since.unwrap_or(now) + limit;
            if since.is_some() && deadline <= now {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn what_lasts_without_a_break_is_noticed_exactly_then() {
        let (since, started) = (Since::default(), Instant::now());
        since.begin();
        since.lasted(LIMIT).await;
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_begins_it_anew() {
        let (since, started) = (Since::default(), Instant::now());
        since.begin();
        let breaks = async {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            since.end();
            tokio::time::sleep(3 * LIMIT).await;
            since.begin();
            let begun = started.elapsed();
            std::future::pending::<()>().await;
            begun
        };
        tokio::select! {
            () = since.lasted(LIMIT) => {}
            _ = breaks => {}
        }
        assert_eq!(started.elapsed(), 5 * LIMIT - Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_the_case_never_lasts() {
        let since = Since::default();
        assert!(tokio::time::timeout(100 * LIMIT, since.lasted(LIMIT)).await.is_err());
    }
}
