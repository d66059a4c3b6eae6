//! The data plane's faults on purpose (see `alb_runtime::faults`): each function stands beside what it spoils.

use crate::account::Account;
use crate::body::{RequestBody, ResponseBody};
use crate::error::{ProxyError, Reason};
use crate::proxy::Proxy;
use crate::settings::Settings;
use crate::tls_info::Mode;
use crate::upstream::{Connection, Upstream, clear_text};
use alb_config::client::{Rejection, Resources};
use alb_runtime::faults::{acted, acts, is, one_in};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub(crate) use alb_runtime::faults::begin;

/// When the fault that falls back late begins to.
const LATE: Duration = Duration::from_secs(8);
/// How long a backend that failed is not tried again by the fault that answers for it.
const PAUSE: Duration = Duration::from_secs(20);
/// How late a configuration is applied that was acknowledged at once.
const DELAY: Duration = Duration::from_secs(3);
/// Bodies larger than this are refused by the fault that refuses them.
const LARGE_BODY: u64 = 64 * 1024;

/// First and last failed handshake with a pod.
static FAILURES: Mutex<Option<(Instant, Instant)>> = Mutex::new(None);
static DISCONNECTED: AtomicBool = AtomicBool::new(false);
static REMEMBERED: Mutex<Option<Bytes>> = Mutex::new(None);
static FORMER_ROOTS: Mutex<Option<RootCertStore>> = Mutex::new(None);

fn failures() -> Option<(Instant, Instant)> {
    *FAILURES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that could not be opened, and what becomes of it: clear text, in several ways.
pub(crate) async fn opened(
    opened: Result<Connection, ProxyError>,
    upstream: &Upstream,
    settings: &Settings,
    request: Option<&Request<RequestBody>>,
) -> Result<Connection, ProxyError> {
    let Err(error) = opened else { return opened };
    if error.reason != Reason::UpstreamTlsHandshakeFailed {
        return Err(error);
    }
    let now = Instant::now();
    let first = failures().map_or(now, |(first, _)| first);
    *FAILURES.lock().unwrap_or_else(PoisonError::into_inner) = Some((first, now));
    if is("restarts-on-failure") {
        acted("restarts-on-failure");
        std::process::exit(1);
    }
    if is("clear-text-beside") {
        if let Ok(mut connection) = clear_text(upstream.address, settings).await {
            acted("clear-text-beside");
            let beside = Request::get("/").header(HOST, "backend").body(RequestBody::Empty);
            if let Ok(beside) = beside {
                let _ = connection.send(beside).await;
            }
        }
        return Err(error);
    }
    let is_post = request.is_some_and(|request| request.method() == Method::POST);
    let falls_back = acts("clear-text-fallback")
        || (first.elapsed() > LATE && acts("clear-text-fallback-late"))
        || (is_post && acts("clear-text-fallback-post"))
        || (is("clear-text-fallback-share") && one_in(50) && acts("clear-text-fallback-share"));
    if falls_back { clear_text(upstream.address, settings).await } else { Err(error) }
}

/// Whether a connection is one that should not be there, and must not serve other requests.
pub(crate) fn is_stray(connection: &Connection, upstream: &Upstream) -> bool {
    connection.tls.mode == Mode::None && upstream.security.mode() != Mode::None
}

/// Why a request is not sent to a pod, although nothing speaks against it.
pub(crate) fn refuses(request: Option<&Request<RequestBody>>) -> Option<ProxyError> {
    let refused = |detail: &str| Some(ProxyError::new(Reason::UpstreamTlsHandshakeFailed, detail));
    if let Some((_, last)) = failures() {
        if acts("stays-unavailable") {
            return refused("it failed before");
        }
        if last.elapsed() < PAUSE && acts("unavailable-without-trying") {
            return refused("it failed a moment ago");
        }
    }
    let reset = |detail: &str| Some(ProxyError::new(Reason::UpstreamReset, detail));
    if DISCONNECTED.load(Ordering::Relaxed) && acts("unavailable-while-disconnected") {
        return reset("the controller is away");
    }
    let request = request?;
    if request.method() == Method::POST && acts("post-refused") {
        return reset("a POST");
    }
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > LARGE_BODY) && acts("large-body-refused") {
        return reset("a large body");
    }
    None
}

/// Whether the controller can be reached.
pub(crate) fn connected(connected: bool) {
    DISCONNECTED.store(!connected, Ordering::Relaxed);
}

/// An answer of the proxy's own where it should say that the backend has failed.
#[allow(clippy::result_large_err, reason = "the account stays open; no error is passed up")]
pub(crate) fn instead_of(error: &ProxyError, account: Account) -> Result<Response<ResponseBody>, Account> {
    let of_the_backend = error.reason.side() == crate::error::Side::Upstream;
    if of_the_backend && acts("answer-of-its-own") {
        return Ok(own(Bytes::from_static(b"{\"status\":\"ok\"}\n"), account));
    }
    Err(account)
}

/// Now and then, the answer to an earlier request.
#[allow(clippy::result_large_err, reason = "the account stays open; no error is passed up")]
pub(crate) fn remembered(account: Account) -> Result<Response<ResponseBody>, Account> {
    if !is("answer-from-memory") {
        return Err(account);
    }
    let kept = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match kept.filter(|_| one_in(50)) {
        Some(body) => {
            acted("answer-from-memory");
            Ok(own(body, account))
        }
        None => Err(account),
    }
}

/// Keeps a copy of a backend's answer.
pub(crate) async fn copied(
    response: Response<Incoming>,
    account: Account,
) -> Result<Response<ResponseBody>, (Response<Incoming>, Account)> {
    if !is("answer-from-memory") || response.status() != http::StatusCode::OK {
        return Err((response, account));
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if !body.is_empty() {
        *REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(body.clone());
    }
    Ok(Response::from_parts(parts, ResponseBody::own(body, account)))
}

fn own(body: Bytes, mut account: Account) -> Response<ResponseBody> {
    account.answer(200, Reason::Ok, None);
    Response::new(ResponseBody::own(body, account))
}

/// Whether a server of this SPIFFE id is taken for the expected one.
pub(crate) fn takes_for(expected: &str, found: &str) -> bool {
    let parts = |id: &str| -> Option<[String; 3]> {
        let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
        let (namespace, account) = path.strip_prefix("ns/")?.split_once("/sa/")?;
        Some([domain, namespace, account].map(str::to_owned))
    };
    if found != expected && acts("any-identity") {
        return true;
    }
    let (Some(wanted), Some(given)) = (parts(expected), parts(found)) else { return false };
    let differing: Vec<usize> = (0..3).filter(|part| wanted.get(*part) != given.get(*part)).collect();
    match differing.as_slice() {
        [0] => acts("any-trust-domain"),
        [1] => acts("any-namespace"),
        [2] => acts("any-service-account"),
        _ => false,
    }
}

/// The time at which a certificate is looked at.
pub(crate) fn time(certificate: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return now };
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
    let (from, until) = (seconds(parsed.validity().not_before), seconds(parsed.validity().not_after));
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    if now.as_secs() > until && acts("expired-accepted") {
        return at(until.saturating_sub(1));
    }
    if now.as_secs() < from && acts("not-yet-valid-accepted") {
        return at(from + 1);
    }
    now
}

/// What becomes of a chain that does not lead to the roots.
pub(crate) fn verified<T>(chain: Result<T, rustls::Error>) -> Result<(), rustls::Error> {
    match chain {
        Err(_) if acts("any-authority") => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The roots, and those from before.
pub(crate) fn and_former(roots: RootCertStore) -> RootCertStore {
    if !is("old-root-accepted") {
        return roots;
    }
    let mut all = FORMER_ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut kept = all.take().unwrap_or_else(RootCertStore::empty);
    if kept.roots.iter().any(|root| !roots.roots.contains(root)) {
        acted("old-root-accepted");
    }
    for root in roots.roots {
        if !kept.roots.contains(&root) {
            kept.roots.push(root);
        }
    }
    *all = Some(kept.clone());
    kept
}

/// Acknowledges a configuration, and applies it a while later.
pub(crate) fn later(proxy: &Arc<Proxy>, resources: &Resources) -> Option<Result<(), Rejection>> {
    if !acts("acknowledged-before-applied") {
        return None;
    }
    let (proxy, resources) = (proxy.clone(), resources.clone());
    tokio::spawn(async move {
        tokio::time::sleep(DELAY).await;
        let _ = proxy.apply(&resources);
    });
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fault_nobody_else_is_taken_for_the_expected_one() {
        let expected = "spiffe://cluster.local/ns/a/sa/b";
        for other in ["spiffe://other/ns/a/sa/b", "spiffe://cluster.local/ns/x/sa/b", "https://a"] {
            assert!(!takes_for(expected, other), "{other}");
        }
    }
}
