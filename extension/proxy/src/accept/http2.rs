//! HTTP/2: connections without an open stream end, and so do streams whose client takes nothing of the response.

use crate::activity::Activity;
use crate::client::Client;
use crate::idle::Since;
use crate::limits::HTTP2_CONNECTION;
use crate::pipeline::Pipeline;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Streams that a client may have open at once (RFC 9113 section 6.5.2 recommends no fewer).
const MAX_STREAMS: u32 = 100;
/// Bytes that a client may send in one stream, and in all of them, before they are taken.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 192 * 1024;
/// Bytes of a response that wait in a stream for the client to take them.
const SEND_BUFFER: usize = 64 * 1024;
/// Pings find a client that is gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection until its end, or until its port is gone and what is in flight has ended.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: &Client,
    pipeline: &Arc<Pipeline>,
) -> hyper::Result<()> {
    let settings = &pipeline.settings;
    // One unit it has already.
    if !client.place.permit.grow(HTTP2_CONNECTION - 1) {
        pipeline.reporter.metrics.client_connections_refused.inc();
        return Ok(());
    }
    // Frames may come at any time.
    client.activity.cut_short();
    let streams = Streams::new(settings.stream_idle_timeout, client.activity.clone());
    let service = service_fn(|request: Request<Incoming>| {
        let (pipeline, client) = (pipeline.clone(), client.clone());
        async move {
            // There is always one: `Streams` runs these futures and nobody else does.
            let activity = ACTIVITY.try_with(Arc::clone).unwrap_or_default();
            Ok::<_, Infallible>(pipeline.handle(Client { activity, ..client }, request).await)
        }
    });
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(settings.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        result = connection.as_mut() => return result,
        () = client.place.stop.cancelled() => {}
        // GOAWAY loses no request, so it is sent as soon as the end is announced.
        () = pipeline.ending.draining.cancelled() => {}
        () = streams.idle(settings.client_idle_timeout) => {}
        () = client.place.permit.in_the_way() => {}
    }
    connection.as_mut().graceful_shutdown();
    let ignored = async {
        // It may have been idle for long before the end was announced.
        tokio::time::sleep(settings.client_idle_timeout).await;
        streams.idle(settings.client_idle_timeout).await;
    };
    tokio::select! {
        result = connection.as_mut() => result,
        // The client neither acknowledges the end nor asks for anything.
        () = ignored => Ok(()),
    }
}

tokio::task_local! {
    /// Of the stream that a task serves. hyper makes the future of a response before it hands over the task that it
    /// becomes part of, and tells neither about the other.
    static ACTIVITY: Arc<Activity>;
}

/// Runs the streams of one connection.
#[derive(Debug, Clone)]
struct Streams {
    open: Arc<Open>,
    /// How long a client may take nothing of a response.
    stall: Duration,
}

#[derive(Debug)]
struct Open {
    count: Mutex<usize>,
    /// What the client does with the connection as a whole.
    activity: Arc<Activity>,
    /// Since when there has been none.
    none: Since,
}

impl Streams {
    fn new(stall: Duration, activity: Arc<Activity>) -> Self {
        let open = Open { count: Mutex::default(), activity, none: Since::default() };
        open.none.begin();
        Self { open: Arc::new(open), stall }
    }

    /// Waits until no stream has been open for `limit`.
    async fn idle(&self, limit: Duration) {
        self.open.none.lasted(limit).await;
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (stall, open) = (self.stall, OpenStream::new(self.open.clone()));
        tokio::spawn(async move {
            let activity = Arc::new(Activity::default());
            tokio::select! {
                () = ACTIVITY.scope(activity.clone(), stream) => {}
                // hyper waits for the client to make room, however long: dropping the stream resets it.
                () = activity.stalled(stall) => {}
            }
            drop(open);
        });
    }
}

/// Counts as long as it lives.
struct OpenStream(Arc<Open>);

impl OpenStream {
    fn new(open: Arc<Open>) -> Self {
        let mut count = open.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        open.none.end();
        open.activity.begin_exchange();
        drop(count);
        Self(open)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.0.none.begin();
            self.0.activity.end_exchange();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_its_last_stream_has_ended() {
        let streams = Streams::new(LIMIT, Arc::default());
        for seconds in [1, 30] {
            streams.execute(tokio::time::sleep(Duration::from_secs(seconds)));
        }
        let started = Instant::now();
        streams.idle(LIMIT).await;
        assert_eq!(started.elapsed(), Duration::from_secs(30) + LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_takes_nothing_ends_and_one_that_waits_for_the_pod_does_not() {
        let streams = Streams::new(LIMIT, Arc::default());
        let started = Instant::now();
        let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
        streams.execute(async move {
            let _ended = ended;
            ACTIVITY.with(|activity| activity.handed_over());
            std::future::pending::<()>().await;
        });
        streams.execute(async {
            ACTIVITY.with(|activity| {
                activity.handed_over();
                activity.asked_for_more();
            });
            tokio::time::sleep(10 * LIMIT).await;
        });
        assert!((&mut end).await.is_err());
        assert_eq!(started.elapsed(), LIMIT);
        streams.idle(LIMIT).await;
        assert_eq!(started.elapsed(), 11 * LIMIT);
    }

    #[test]
    fn a_connection_and_a_stream_take_no_more_than_they_count_for() {
        use crate::limits::HTTP2_REQUEST;
        use crate::settings::UNIT;
        const { assert!(CONNECTION_WINDOW as usize + UNIT <= HTTP2_CONNECTION * UNIT, "and an unfinished header") };
        const { assert!(SEND_BUFFER + UNIT <= HTTP2_REQUEST * UNIT, "and its header") };
    }
}
