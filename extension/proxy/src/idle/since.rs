//! Since when something has been the case, shared between who sees it and who waits for it to last too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Since when something has been the case, if it is. Neither [`Since::begin`] nor [`Since::end`] wakes anybody or takes a lock.
#[derive(Debug)]
pub(crate) struct Since {
    epoch: Instant,
    /// Nanoseconds after `epoch`, and one; 0: it is not the case.
    at: AtomicU64,
}

impl Default for Since {
    fn default() -> Self {
        Self { epoch: Instant::now(), at: AtomicU64::new(0) }
    }
}

impl Since {
    /// It has become the case, or still is, as of now.
    pub(crate) fn begin(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.at.store(now + 1, Ordering::Relaxed);
    }

    /// It is no longer the case.
    pub(crate) fn end(&self) {
        self.at.store(0, Ordering::Relaxed);
    }

    /// For how long it has been the case; none when it is not.
    pub(crate) fn lasting(&self) -> Option<Duration> {
        let begun = self.begun()?;
        Some(Instant::now().saturating_duration_since(begun))
    }

    fn begun(&self) -> Option<Instant> {
        match self.at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(self.epoch + Duration::from_nanos(at - 1)),
        }
    }

    /// Waits until it has been the case for `limit` without a break. Looks only when that can be.
    pub(crate) async fn lasted(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let begun = self.begun();
            let deadline = begun.unwrap_or(now) + limit;
            if begun.is_some() && deadline <= now {
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
        assert_eq!((started.elapsed(), since.lasting()), (LIMIT, Some(LIMIT)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_begins_it_anew() {
        let (since, started) = (Since::default(), Instant::now());
        since.begin();
        let breaks = async {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            since.end();
            assert_eq!(since.lasting(), None);
            tokio::time::sleep(3 * LIMIT).await;
            since.begin();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = since.lasted(LIMIT) => {}
            () = breaks => {}
        }
        assert_eq!(started.elapsed(), 5 * LIMIT - Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_the_case_never_lasts() {
        let since = Since::default();
        assert!(tokio::time::timeout(100 * LIMIT, since.lasted(LIMIT)).await.is_err());
    }
}
