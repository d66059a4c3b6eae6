//! One endpoint, and the connections to it that wait for the next request.

use super::connect::Connection;
use super::protocol::Protocol;
use super::security::Security;
use crate::workers::Workers;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Idle connections kept to one endpoint.
const MAX_IDLE: usize = 128;
/// How long a failed connection makes others be asked first.
const SUSPICION: Duration = Duration::from_secs(3);

/// One endpoint with one way to speak to it. A new certificate makes a new `Upstream`: connections opened with the
/// old one are never used again.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// "<namespace>/<name>", for logs.
    pub(crate) pod: String,
    pub(crate) security: Arc<Security>,
    pub(super) protocol: Protocol,
    pub(crate) token: PodToken,
    pool: Mutex<Pool>,
    /// When a connection last failed.
    failed: Mutex<Option<Instant>>,
}

/// By what a cookie refers to an endpoint: the same in every proxy, for as long as the endpoint's address is.
pub(crate) type PodToken = u64;

/// FNV-1a: clients are not meant to read the address in it, and that is all.
fn token(address: SocketAddr) -> PodToken {
    address.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[derive(Debug, Default)]
struct Pool {
    /// Of each thread that serves requests: a connection is used where it was opened. Most recently used last.
    idle: Vec<Vec<(Connection, Instant)>>,
    retired: bool,
}

impl Pool {
    fn len(&self) -> usize {
        self.idle.iter().map(Vec::len).sum()
    }
}

impl Upstream {
    pub(crate) fn new(address: SocketAddr, pod: String, security: Arc<Security>, protocol: Protocol) -> Self {
        let token = token(address);
        Self { address, pod, security, protocol, token, pool: Mutex::default(), failed: Mutex::default() }
    }

    /// Whether a connection failed a moment ago: others are asked first, so that a pod which has just died costs few
    /// requests the time it takes to notice.
    pub(crate) fn is_suspect(&self, now: Instant) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // A failure after `now` is one of the request at hand: it has had its turn.
        failed.is_some_and(|failed| failed <= now && now.duration_since(failed) < SUSPICION)
    }

    /// Notes how the last attempt to connect went.
    pub(super) fn connected(&self, failed: Option<Instant>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    /// A connection that is still open, the most recently used first: one that is idle or, with HTTP/2, one that others use
    /// too, which stays for as long as `idle` from now.
    pub(super) fn checkout(&self, now: Instant, idle: Duration) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let here = pool.idle.get_mut(Workers::current())?;
        while let Some((connection, expires)) = here.pop() {
            if expires > now && connection.is_ready() {
                if let Some(shared) = connection.shared() {
                    here.push((shared, now + idle));
                }
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless this endpoint is no longer in use.
    pub(super) fn checkin(&self, connection: Connection, expires: Instant) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.retired || pool.len() >= MAX_IDLE {
            return;
        }
        let here = Workers::current();
        if pool.idle.len() <= here {
            pool.idle.resize_with(here + 1, Vec::new);
        }
        if let Some(idle) = pool.idle.get_mut(here) {
            idle.push((connection, expires));
        }
    }

    /// Closes idle connections, now and from now on: the configuration no longer holds this endpoint, or its
    /// certificate was replaced. Requests in flight finish.
    pub(crate) fn retire(&self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.retired = true;
        pool.idle = Vec::new();
    }

    /// Closes idle connections that have expired or were closed by the pod.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        for idle in &mut pool.idle {
            idle.retain(|(connection, expires)| *expires > now && connection.is_ready());
        }
        if pool.len() == 0 {
            pool.idle = Vec::new();
        }
    }

    pub(crate) fn idle(&self) -> usize {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
