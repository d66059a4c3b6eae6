//! `newest-certificate`: new connections to the backend carry the certificate that is published now, and no other.
//!
//! The sidecar logs the serial number of the client's certificate with the start of each connection. Connections that began
//! before the certificate was published may carry an older one; those that begin afterwards must not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::mtls::{Outside, SIDECAR_DELAY, hang_up_again_and_again};
use super::{BackendPod, SidecarEntry, backend, issued, nothing_to_see, sidecar, testimony};
use crate::{
    event::Testimony,
    implementation::Implementation,
    ports::{PortError, WitnessContext},
};

pub(super) const NAME: &str = "newest-certificate";

/// From a Secret that is written to proxies that use it: one watch, one configuration. A busy machine takes its time.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(2);

/// How long connections are looked at once one has shown the newest certificate.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// Everything the judgement rests on.
#[derive(Debug)]
struct Facts {
    /// When the witness began: what was published then is known.
    since: Timestamp,
    /// Serial numbers of the certificates published then and by now.
    published: Vec<String>,
    /// What the sidecars wrote of connections from the gateway.
    entries: Vec<SidecarEntry>,
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
    let mut facts = Facts { since: Timestamp::now(), published: vec![serial.clone()], entries: Vec::new() };
    let address = outside.prober.frontend(&context.fqdn, None).await?.address;
    let host = context.answers.iter().find_map(|answer| answer.echo.as_ref()).map(|echo| echo.host.clone());
    let host = host.unwrap_or_else(|| context.fqdn.clone());
    for pod in backend::pods(outside.client, context.namespace_of_backend(), &context.backend).await? {
        tokio::select! {
            found = entries(outside, &pod, &serial) => facts.entries.extend(found?),
            Err(error) = hang_up_again_and_again(outside.prober, address, &host, &context.path) => {
                return Err(error.into());
            }
        }
    }
    facts.published.extend(shown().await?.and_then(|(_, chain)| self::serial(&chain)));
    Ok(judge(&facts, &outside.spiffe_id))
}

/// What a sidecar writes until it has seen the certificate, and for a while after.
async fn entries(
    outside: &Outside<'_>,
    pod: &BackendPod,
    serial: &str,
) -> Result<Vec<SidecarEntry>, PortError> {
    let (client, spiffe_id) = (outside.client, &outside.spiffe_id);
    let shown = |found: &[SidecarEntry]| found.iter().any(|entry| serial_of(entry) == serial);
    sidecar::entries_until(client, pod, spiffe_id, SIDECAR_DELAY, shown).await?;
    sidecar::entries_until(client, pod, spiffe_id, LOOKED_AT, |_| false).await
}

/// Serial number of the first certificate of a chain.
fn serial(chain: &[u8]) -> Result<String, String> {
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

/// What the facts amount to.
fn judge(facts: &Facts, client: &str) -> Testimony {
    let entries: Vec<_> = facts.entries.iter().filter(|entry| entry.is_from(client)).collect();
    let newest = |entry: &&&SidecarEntry| facts.published.contains(&serial_of(entry));
    let shown = entries.iter().filter(newest).count();
    let began_later = |entry: &&&SidecarEntry| {
        let began = entry.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        began.is_some_and(|began| began.duration_since(facts.since) > ON_ITS_WAY)
    };
    let later = entries.iter().filter(began_later).count();
    let old = entries.iter().filter(began_later).find(|entry| !newest(entry));
    let detail =
        json!({"published": facts.published, "connections": entries.len(), "shown": shown, "later": later});
    match (shown, old) {
        (0, _) => testimony(NAME, false, "no connection carried the certificate that is published", detail),
        (_, Some(old)) => {
            let serial = serial_of(old);
            testimony(
                NAME,
                false,
                format!("a connection opened now carried the certificate {serial}"),
                detail,
            )
        }
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

    fn entry(second: i64, serial: &str) -> SidecarEntry {
        SidecarEntry {
            time: Some(Timestamp::from_second(second).unwrap().to_string()),
            downstream_peer_serial: Some(serial.into()),
            downstream_peer_uri_san: Some(CLIENT.into()),
            downstream_tls_version: Some("TLSv1.3".into()),
            ..SidecarEntry::default()
        }
    }

    fn judged(entries: Vec<SidecarEntry>) -> Testimony {
        let published = vec![plain("0A:1b")];
        judge(&Facts { since: Timestamp::from_second(100).unwrap(), published, entries }, CLIENT)
    }

    #[test]
    fn connections_from_before_may_carry_the_old_one() {
        let testimony = judged(vec![entry(50, "77"), entry(101, "77"), entry(101, "a1b"), entry(110, "a1b")]);
        assert!(testimony.held, "{}", testimony.summary);
    }

    #[test]
    fn a_new_connection_with_an_old_certificate_is_against_it() {
        let testimony = judged(vec![entry(101, "a1b"), entry(110, "77")]);
        assert!(!testimony.held);
        assert!(testimony.summary.ends_with("carried the certificate 77"), "{}", testimony.summary);
    }

    #[test]
    fn somebody_must_have_seen_the_new_one() {
        assert!(!judged(vec![entry(50, "77")]).held);
        assert!(!judged(vec![entry(50, "")]).held);
    }
}
