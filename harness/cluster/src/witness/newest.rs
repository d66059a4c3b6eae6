//! `newest-certificate`: new connections to the backend carry the certificate that is published now, and no other.
//!
//! The sidecar logs the serial number of the client's certificate with the start of each connection. Connections that began
//! before the certificate was published may carry an older one; those that begin afterwards must not. So the witness goes on
//! making the gateway open new ones until it has seen some of them. What is published meanwhile is as good, from then on.

use std::{convert::Infallible, time::Duration};

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::mtls::{Outside, hang_up_again_and_again};
use super::{BackendPod, backend, issued, nothing_to_see, sidecar, testimony};
use crate::mesh::SidecarEntry;
use meshproof_model::event::Testimony;
use meshproof_model::implementation::Implementation;
use meshproof_run::ports::{PortError, WitnessContext};

pub(super) const NAME: &str = "newest-certificate";

/// From a Secret that is written to proxies that use it: one watch, one configuration. A busy machine takes its time.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(2);

/// So many connections have to begin after that, or there is nothing to tell by.
const CONNECTIONS: usize = 3;

/// How long the witness goes on until it has seen so many.
const LOOKED_AT: Duration = Duration::from_secs(20);

/// From one look at what is published to the next. No certificate lives so shortly.
const LOOK: Duration = Duration::from_millis(500);

/// Everything the judgement rests on.
#[derive(Debug)]
struct Facts {
    /// When the witness began: what was published then is known.
    since: Timestamp,
    /// The certificates published then and since, in order.
    published: Vec<Published>,
    /// What the sidecars wrote of connections from the gateway.
    entries: Vec<SidecarEntry>,
}

/// A certificate that was published.
#[derive(Debug)]
struct Published {
    serial: String,
    /// When it was first seen, or at the latest.
    seen: Timestamp,
}

pub(super) async fn hear(
    outside: &Outside<'_>,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let shown = || issued::shown(outside.client, implementation, context);
    let serial = match shown().await?.and_then(|(_, chain)| serial(&chain)) {
        Ok(serial) => serial,
        Err(missing) => return Ok(nothing_to_see(NAME, missing)),
    };
    let since = Timestamp::now();
    let mut published = vec![Published { serial, seen: since }];
    let address = outside.prober.frontend(&context.fqdn, None).await?.address;
    let host = context.answers.iter().find_map(|answer| answer.echo.as_ref()).map(|echo| echo.host.clone());
    let host = host.unwrap_or_else(|| context.fqdn.clone());
    let pods = backend::pods(outside.client, context.namespace_of_backend(), &context.backend).await?;
    let entries = tokio::select! {
        found = try_join_all(pods.iter().map(|pod| entries(outside, pod, since))) => found?.concat(),
        Err(error) = hang_up_again_and_again(outside.prober, address, &host, &context.path) => {
            return Err(error.into());
        }
        Err(error) = take_again_and_again(&mut published, shown) => return Err(error),
    };
    take(&mut published, shown().await?)?;
    Ok(judge(&Facts { since, published, entries }, &outside.spiffe_id))
}

/// What a sidecar writes until enough new connections are among it.
async fn entries(
    outside: &Outside<'_>,
    pod: &BackendPod,
    since: Timestamp,
) -> Result<Vec<SidecarEntry>, PortError> {
    let enough = |found: &[SidecarEntry]| {
        found.iter().filter_map(began).filter(|began| is_new(*began, since)).count() >= CONNECTIONS
    };
    sidecar::entries_until(
        outside.client,
        pod,
        &outside.mesh.access_log.form,
        &outside.spiffe_id,
        LOOKED_AT,
        enough,
    )
    .await
}

/// Notes what is published, from time to time.
async fn take_again_and_again<F>(
    published: &mut Vec<Published>,
    shown: impl Fn() -> F,
) -> Result<Infallible, PortError>
where
    F: Future<Output = Result<issued::Seen, PortError>>,
{
    let mut pace = interval(LOOK);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        take(published, shown().await?)?;
    }
}

/// Notes what is published now.
fn take(published: &mut Vec<Published>, shown: issued::Seen) -> Result<(), PortError> {
    let serial = shown.and_then(|(_, chain)| serial(&chain));
    let serial = serial
        .map_err(|missing| PortError::new("watching the certificates that the gateway publishes", missing))?;
    if published.last().is_none_or(|last| last.serial != serial) {
        published.push(Published { serial, seen: Timestamp::now() });
    }
    Ok(())
}

/// Serial number of the first certificate of a chain.
pub(super) fn serial(chain: &[u8]) -> Result<String, String> {
    let unreadable =
        |error: &dyn std::fmt::Display| format!("the gateway's certificate cannot be read: {error}");
    let der = CertificateDer::from_pem_slice(chain).map_err(|error| unreadable(&error))?;
    let (_, leaf) = X509Certificate::from_der(&der).map_err(|error| unreadable(&error))?;
    Ok(plain(&leaf.raw_serial_as_string()))
}

/// Serial numbers are compared without colons and leading zeros, which Envoy leaves out.
fn plain(serial: &str) -> String {
    serial.replace(':', "").trim_start_matches('0').to_ascii_lowercase()
}

fn serial_of(entry: &SidecarEntry) -> String {
    plain(entry.downstream_peer_serial.as_deref().unwrap_or_default())
}

/// When a connection began.
fn began(entry: &SidecarEntry) -> Option<Timestamp> {
    entry.time.as_deref()?.parse().ok()
}

/// Whether a connection that began then has to carry what was published at `since`, or later.
fn is_new(began: Timestamp, since: Timestamp) -> bool {
    began.duration_since(since) > ON_ITS_WAY
}

impl Facts {
    /// Whether this certificate was the newest when a connection began, or had been a moment before.
    fn was_newest(&self, serial: &str, began: Timestamp) -> bool {
        let Some(at) = self.published.iter().position(|published| published.serial == serial) else {
            return false;
        };
        self.published.get(at + 1).is_none_or(|next| !is_new(began, next.seen))
    }
}

/// What the facts amount to.
fn judge(facts: &Facts, client: &str) -> Testimony {
    let entries: Vec<_> = facts.entries.iter().filter(|entry| entry.is_from(client)).collect();
    let connections: Vec<_> =
        entries.iter().filter_map(|entry| Some((began(entry)?, serial_of(entry)))).collect();
    let published: Vec<_> = facts.published.iter().map(|published| published.serial.as_str()).collect();
    let shown = connections.iter().filter(|(_, serial)| published.contains(&serial.as_str())).count();
    let new: Vec<_> = connections.iter().filter(|(began, _)| is_new(*began, facts.since)).collect();
    let old = new.iter().find(|(began, serial)| !facts.was_newest(serial, *began));
    let detail = json!({
        "published": published, "connections": entries.len(), "shown": shown, "later": new.len(),
    });
    let against = |summary: String| testimony(NAME, false, summary, detail.clone());
    if connections.len() < entries.len() {
        return against("the sidecar wrote of a connection, but not when it began".to_owned());
    }
    match (shown, old) {
        (0, _) => against("no connection carried the certificate that is published".to_owned()),
        (_, Some((_, serial))) => {
            against(format!("a connection opened now carried the certificate {serial}"))
        }
        (_, None) if new.len() < CONNECTIONS => against(format!(
            "the sidecar wrote of {} new connections only within {} s; wanted {CONNECTIONS}",
            new.len(),
            LOOKED_AT.as_secs(),
        )),
        (_, None) => {
            let summary =
                format!("new connections carry the certificate {client} has published now, and no other");
            testimony(NAME, true, summary, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str = "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(second: i64, serial: &str) -> SidecarEntry {
        SidecarEntry {
            time: Some(at(second).to_string()),
            downstream_peer_serial: Some(serial.into()),
            downstream_peer_uri_san: Some(CLIENT.into()),
            downstream_tls_version: Some("TLSv1.3".into()),
            ..SidecarEntry::default()
        }
    }

    /// What such entries amount to, when the witness began at 100 and a newer certificate was published at 120.
    fn judged(entries: Vec<SidecarEntry>) -> Testimony {
        let published = |serial, second| Published { serial: plain(serial), seen: at(second) };
        let published = vec![published("0A:1b", 100), published("0B:2c", 120)];
        judge(&Facts { since: at(100), published, entries }, CLIENT)
    }

    fn enough() -> Vec<SidecarEntry> {
        vec![entry(110, "a1b"), entry(111, "a1b"), entry(112, "a1b")]
    }

    #[test]
    fn connections_from_before_may_carry_the_old_one() {
        let before = vec![entry(50, "77"), entry(101, "77"), entry(101, "a1b")];
        let testimony = judged([before, enough()].concat());
        assert!(testimony.held, "{}", testimony.summary);
        assert_eq!(
            testimony.summary,
            format!("new connections carry the certificate {CLIENT} has published now, and no other")
        );
    }

    #[test]
    fn a_new_connection_with_an_old_certificate_is_against_it() {
        let testimony = judged([enough(), vec![entry(113, "77")]].concat());
        assert!(!testimony.held);
        assert!(testimony.summary.ends_with("carried the certificate 77"), "{}", testimony.summary);
    }

    #[test]
    fn what_is_published_meanwhile_is_as_good_and_makes_the_one_before_old() {
        let later = |second, serial| judged([enough(), vec![entry(second, serial)]].concat());
        assert!(later(125, "b2c").held);
        assert!(later(121, "a1b").held, "the next one was on its way");
        assert!(later(119, "b2c").held, "it was seen a moment later than it was published");
        let testimony = later(125, "a1b");
        assert!(!testimony.held);
        assert!(testimony.summary.ends_with("carried the certificate a1b"), "{}", testimony.summary);
    }

    #[test]
    fn without_new_connections_there_is_nothing_to_tell_by() {
        for few in [vec![], vec![entry(110, "a1b")], vec![entry(110, "a1b"), entry(111, "a1b")]] {
            let number = few.len();
            let testimony = judged([vec![entry(101, "a1b"), entry(102, "a1b")], few].concat());
            assert!(!testimony.held);
            let seen = format!("{number} new connections only within 20 s; wanted 3");
            assert!(testimony.summary.ends_with(&seen), "{}", testimony.summary);
        }
    }

    #[test]
    fn a_connection_of_which_nobody_knows_when_it_began_is_not_passed_over() {
        for time in [None, Some("yesterday".to_owned())] {
            let unknown = SidecarEntry { time, ..entry(0, "77") };
            let testimony = judged([enough(), vec![unknown]].concat());
            assert!(!testimony.held);
            assert!(testimony.summary.contains("not when it began"), "{}", testimony.summary);
        }
    }

    #[test]
    fn connections_of_others_say_nothing() {
        let other = SidecarEntry { downstream_peer_uri_san: Some("spiffe://b".into()), ..entry(110, "77") };
        assert!(judged([enough(), vec![other]].concat()).held);
    }

    #[test]
    fn somebody_must_have_seen_the_new_one() {
        assert!(!judged(vec![entry(50, "77")]).held);
        assert!(!judged(vec![entry(50, "")]).held);
    }

    #[test]
    fn only_another_certificate_is_news() {
        let key = rcgen::KeyPair::generate().unwrap();
        let shown = |serial: u64| {
            let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
            params.serial_number = Some(serial.into());
            Ok(("ns".to_owned(), params.self_signed(&key).unwrap().pem().into_bytes()))
        };
        let mut published = Vec::new();
        for serial in [17, 17, 18] {
            take(&mut published, shown(serial)).unwrap();
        }
        let serials: Vec<_> = published.iter().map(|published| published.serial.as_str()).collect();
        assert_eq!(serials, ["11", "12"]);
        assert!(take(&mut published, Err("there is no Secret".into())).is_err());
    }
}
