//! The stage that keeps what one tenant does from costing another something.
//!
//! Connections and requests are counted in units of memory ([`UNIT`](crate::settings::UNIT)). Half of each kind is divided among the frontends, so
//! that every one always has something; the other half is for whoever needs it, and no frontend gets more than half of that
//! while there are others. A backend may leave only so many requests without an answer, and one client's address may hold
//! only so many connections of a frontend.

mod pool;
mod seats;

pub(crate) use pool::{Permit, Pool, Share};

use crate::activity::Activity;
use crate::error::{ProxyError, Reason};
use crate::settings::Settings;
use seats::{Seat, Seats};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Of an HTTP/2 connection: what is received and not taken yet (its window), and a header that is not finished.
pub(crate) const HTTP2_CONNECTION: usize = 4;
/// Of a connection over TLS, besides: records on their way in and out (RFC 8446 section 5.1: 16 KiB each).
pub(crate) const TLS_CONNECTION: usize = 1;
/// Of an HTTP/2 stream: its header, and what is to be sent.
pub(crate) const HTTP2_REQUEST: usize = 2;

/// What all frontends share.
#[derive(Debug)]
pub(crate) struct Limits {
    connections: Arc<Pool>,
    requests: Arc<Pool>,
    per_peer: usize,
    crowded_idle: Duration,
    per_backend: usize,
    refusals: Arc<Refusals>,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            connections: Arc::new(Pool::new(settings.max_connections)),
            requests: Arc::new(Pool::new(settings.max_requests)),
            per_peer: settings.max_connections_per_peer,
            crowded_idle: settings.crowded_idle_timeout,
            per_backend: settings.max_waiting_per_backend,
            refusals: Arc::new(Refusals {
                delay: settings.refusal_delay,
                slots: Arc::new(Semaphore::new(MAX_REFUSALS)),
            }),
        }
    }

    /// Limits of a frontend that is new.
    pub(crate) fn frontend(&self) -> Arc<FrontendLimits> {
        Arc::new(FrontendLimits {
            connections: Share::new(self.connections.clone()),
            requests: Share::new(self.requests.clone()),
            seats: Seats::new(self.per_peer, self.crowded_idle),
            freed: Notify::new(),
            refusals: self.refusals.clone(),
        })
    }

    /// Limits of a backend that is new.
    pub(crate) fn backend(&self) -> Arc<BackendLimit> {
        Arc::new(BackendLimit { limit: self.per_backend, waiting: AtomicUsize::new(0) })
    }

    /// So many frontends divide among them what is divided.
    pub(crate) fn divide(&self, frontends: usize) {
        self.connections.divide(frontends);
        self.requests.divide(frontends);
    }
}

/// What one frontend, that is one Gateway, may use. It outlives configurations.
#[derive(Debug)]
pub(crate) struct FrontendLimits {
    connections: Arc<Share>,
    requests: Arc<Share>,
    seats: Seats,
    /// Tells whoever waits that a place may be free.
    freed: Notify,
    refusals: Arc<Refusals>,
}

/// Connections that are one too many, on their way out. All frontends share them: beyond, they are closed at once.
#[derive(Debug)]
struct Refusals {
    delay: Duration,
    slots: Arc<Semaphore>,
}

/// Of a socket each, and hardly more.
const MAX_REFUSALS: usize = 2048;

/// How often whoever waits for a place looks without having been told: places are also freed by other frontends.
const LOOK: Duration = Duration::from_millis(100);

impl FrontendLimits {
    /// Waits for a place for one more connection. Meanwhile nobody is refused: clients wait to be accepted.
    pub(crate) async fn connection(&self) -> Permit {
        loop {
            if let Some(permit) = self.connections.take(1) {
                return permit;
            }
            self.seats.ask_one();
            tokio::select! {
                () = self.freed.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// The connection has turned out to be this client's, whose activity tells when it does nothing; none when the client's address
    /// holds too many.
    pub(crate) fn of_peer(
        self: &Arc<Self>,
        permit: Permit,
        peer: IpAddr,
        activity: Arc<Activity>,
    ) -> Option<ConnectionPermit> {
        let seat = self.seats.take(peer, activity)?;
        Some(ConnectionPermit { units: Mutex::new(Some(permit)), seat, frontend: self.clone() })
    }

    /// Lets go of a connection that is one too many, after a moment.
    pub(crate) fn refuse(&self, stream: impl Send + 'static) {
        if let Ok(slot) = self.refusals.slots.clone().try_acquire_owned() {
            let delay = self.refusals.delay;
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                drop((stream, slot));
            });
        }
    }

    /// Admits one more request, of so many units.
    ///
    /// # Errors
    /// `overloaded`.
    pub(crate) fn request(&self, units: usize) -> Result<Permit, ProxyError> {
        self.requests.take(units).ok_or_else(|| {
            ProxyError::new(Reason::Overloaded, "the frontend has as many requests in flight as it may")
        })
    }
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    /// None only while it is dropped.
    units: Mutex<Option<Permit>>,
    seat: Arc<Seat>,
    frontend: Arc<FrontendLimits>,
}

impl ConnectionPermit {
    /// Takes more units for the same connection; false when there are not as many.
    pub(crate) fn grow(&self, units: usize) -> bool {
        let mut permit = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        permit.as_mut().is_some_and(|permit| permit.grow(units))
    }

    /// Waits until others wait for this connection's place while it does nothing.
    pub(crate) async fn in_the_way(&self) {
        self.seat.wanted(self.frontend.seats.idle()).await;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.frontend.seats.leave(&self.seat);
        self.units.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.frontend.freed.notify_one();
    }
}

/// How many requests a backend may leave without an answer. It outlives configurations.
#[derive(Debug)]
pub(crate) struct BackendLimit {
    limit: usize,
    waiting: AtomicUsize,
}

impl BackendLimit {
    /// Admits one more request that waits for this backend.
    ///
    /// # Errors
    /// `overloaded`.
    pub(crate) fn wait(self: &Arc<Self>) -> Result<Waiting, ProxyError> {
        // Counted first: what is refused is counted again at once, by dropping it.
        let waiting = Waiting(self.clone());
        match self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            true => Ok(waiting),
            false => Err(ProxyError::new(
                Reason::Overloaded,
                format!("{} requests wait for an answer of this backend", self.limit),
            )),
        }
    }
}

/// One request that waits for the header of a response.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<BackendLimit>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut Settings)) -> Limits {
        let mut settings = Settings::default();
        change(&mut settings);
        Limits::new(&settings)
    }

    #[test]
    fn a_backend_that_answers_nothing_is_given_only_so_much_to_answer() {
        let limits = limits(|settings| settings.max_waiting_per_backend = 2);
        let (hung, other) = (limits.backend(), limits.backend());
        let waiting = [hung.wait().unwrap(), hung.wait().unwrap()];
        for _ in 0..3 {
            assert_eq!(hung.wait().unwrap_err().reason, Reason::Overloaded);
        }
        assert!(other.wait().is_ok());
        drop(waiting);
        assert!(hung.wait().is_ok(), "what was refused is not counted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_frontend_makes_its_own_clients_wait_and_no_others() {
        let limits = limits(|settings| settings.max_connections = 16);
        let (full, other) = (limits.frontend(), limits.frontend());
        limits.divide(2);
        let resting = || {
            let activity = Arc::<Activity>::default();
            activity.begin_rest();
            activity
        };
        let mut held = Vec::new();
        while let Ok(permit) = tokio::time::timeout(LOOK / 2, full.connection()).await {
            held.push(full.of_peer(permit, [192, 0, 2, 1].into(), resting()).unwrap());
        }
        assert_eq!(held.len(), 8, "its own four, and half of the eight that are for everybody");
        for _ in 0..8 {
            held.push(other.of_peer(other.connection().await, [192, 0, 2, 1].into(), resting()).unwrap());
        }
        tokio::time::advance(Settings::default().crowded_idle_timeout).await;
        let next = full.connection();
        tokio::pin!(next);
        let asked = {
            let mut waiting: Vec<_> = held.iter().map(|permit| Box::pin(permit.in_the_way())).collect();
            let first = std::future::poll_fn(|cx| {
                let asked = waiting.iter_mut().position(|waiting| waiting.as_mut().poll(cx).is_ready());
                asked.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
            });
            tokio::select! {
                _ = &mut next => panic!("there is no place"),
                index = first => index,
            }
        };
        assert!(asked < 8, "one of its own");
        held.remove(asked);
        let started = tokio::time::Instant::now();
        next.await;
        assert!(started.elapsed() < LOOK, "it is told");
    }

    #[tokio::test]
    async fn one_address_holds_only_so_many_connections_of_a_frontend() {
        let limits = limits(|settings| settings.max_connections_per_peer = 2);
        let frontend = limits.frontend();
        limits.divide(1);
        let of_peer = async |last| {
            frontend.of_peer(frontend.connection().await, [192, 0, 2, last].into(), Arc::default())
        };
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(of_peer(1).await.unwrap());
        }
        assert!(of_peer(1).await.is_none());
        assert!(of_peer(2).await.is_some());
        held.pop();
        assert!(of_peer(1).await.is_some());
    }
}
