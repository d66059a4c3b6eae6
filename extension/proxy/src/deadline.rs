//! Time limits of a request and its response.

use crate::upload::Upload;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// A time limit that counts from its making and leaves out the time for which the client was waited for: a slow upload is not
/// the backend's fault (Gateway API, `HTTPRouteTimeouts.request`, lets the limit begin after the request's body).
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    begun: Instant,
    /// Waited for the client before that.
    waited: Duration,
    upload: Arc<Upload>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn new(limit: Duration, upload: Arc<Upload>) -> Self {
        Self { limit, begun: Instant::now(), waited: upload.waited(), upload, sleep: None }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// How much of the limit is left.
    pub(crate) fn left(&self) -> Duration {
        let waited = self.upload.waited().saturating_sub(self.waited);
        self.limit.saturating_sub(self.begun.elapsed().saturating_sub(waited))
    }

    /// Whether the limit has passed. Arms a timer when it has not.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.sleep {
                Some(sleep) => match sleep.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => {
                        let left = self.left();
                        if left.is_zero() {
                            return Poll::Ready(());
                        }
                        self.sleep = Some(Box::pin(tokio::time::sleep(left)));
                    }
                },
                None => self.sleep = Some(Box::pin(tokio::time::sleep(self.left()))),
            }
        }
    }

    /// Waits until the limit has passed. Unlike [`Deadline::poll`] it needs no timer of its own for as long as it lives.
    pub(crate) async fn passed(&self) {
        loop {
            let left = self.left();
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_slow_upload_does_not_count() {
        let upload = Arc::new(Upload::default());
        let started = Instant::now();
        let mut deadline = Deadline::new(5 * SECOND, upload.clone());
        let slow = async {
            tokio::time::sleep(SECOND).await;
            upload.begin_waiting();
            tokio::time::sleep(20 * SECOND).await;
            upload.end_waiting();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = deadline.passed() => {}
            () = slow => {}
        }
        assert_eq!(started.elapsed(), 25 * SECOND);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(started.elapsed(), 25 * SECOND, "passed already");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_waited_before_is_another_limits_affair() {
        let upload = Arc::new(Upload::default());
        upload.begin_waiting();
        tokio::time::advance(10 * SECOND).await;
        upload.end_waiting();
        let started = Instant::now();
        let mut deadline = Deadline::new(SECOND, upload);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(started.elapsed(), SECOND);
    }
}
