//! `certificate-on-the-wire`: the certificate that the gateway shows, as a server in the mesh receives it (R2, R5).
//!
//! The server speaks TLS itself, without a sidecar, and writes down which certificates each client has shown in a handshake
//! that ended well, which takes the private key. Each connection that an answer came over, and at least one of each of the
//! gateway's proxies, has to have carried a chain that leads to istiod's root and names the gateway's identity, and the
//! certificate that is published now where one is published.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use kube::Client;
use serde_json::json;

use super::{LOG_DELAY, NO_IDENTITY, backend, issued, newest, nothing_to_see, program, testimony};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::{Certificate, Implementation};
use meshproof_run::ports::{PortError, WitnessContext};

pub(super) const NAME: &str = "certificate-on-the-wire";

/// Everything the judgement rests on.
#[derive(Debug, Default)]
struct Facts {
    /// Per answer 200, the other end of its connection as the server saw it.
    answers: Vec<Option<SocketAddr>>,
    /// What was shown on each connection.
    shown: BTreeMap<SocketAddr, Vec<String>>,
    proxies: BTreeSet<IpAddr>,
    /// istiod's root, PEM.
    root: Vec<u8>,
    /// The chain that is published, PEM; nothing where each proxy has one of its own.
    published: Option<Vec<u8>>,
}

pub(super) async fn hear(
    client: &Client,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let namespace = context.namespace_of_backend();
    let Some(root) = issued::root(client, namespace).await? else {
        return Ok(nothing_to_see(
            NAME,
            format!("istiod has put no root (istio-ca-root-cert) into {namespace}"),
        ));
    };
    let Some(spiffe_id) = implementation.identity_of(&context.namespace, &context.gateway) else {
        return Ok(nothing_to_see(NAME, NO_IDENTITY));
    };
    let published = match implementation.identity.as_ref().map(|identity| &identity.certificate) {
        None | Some(Certificate::Envoy | Certificate::Sidecar | Certificate::Unseen) => None,
        Some(Certificate::Secret { .. }) => match issued::shown(client, implementation, context).await? {
            Ok((_, chain)) => Some(chain),
            Err(missing) => return Ok(nothing_to_see(NAME, missing)),
        },
    };
    let good = context.answers.iter().filter(|answer| answer.complete() == Some(200));
    let mut facts = Facts {
        answers: good.map(|answer| answer.echo.as_ref().and_then(|echo| echo.peer)).collect(),
        proxies: backend::proxies(client, &implementation.proxies, context).await?,
        root,
        published,
        ..Facts::default()
    };
    let pods = backend::pods(client, namespace, &context.backend).await?;
    let deadline = tokio::time::Instant::now() + LOG_DELAY;
    let mut pace = tokio::time::interval(LOG_DELAY / 20);
    loop {
        pace.tick().await;
        for pod in &pods {
            let lines = program::written(client, pod).await?.into_iter().flat_map(|written| written.lines);
            let done = lines.filter_map(|line| line.handshake);
            facts.shown.extend(done.filter_map(|done| Some((done.peer?, done.client_certificates?))));
        }
        let all = facts.answers.iter().flatten().all(|peer| facts.shown.contains_key(peer));
        if all || tokio::time::Instant::now() >= deadline {
            return Ok(judge(&facts, &spiffe_id, Timestamp::now()));
        }
    }
}

fn judge(facts: &Facts, spiffe_id: &str, now: Timestamp) -> Testimony {
    if facts.answers.is_empty() {
        return nothing_to_see(NAME, "no answer 200 that could have come over mutual TLS");
    }
    let published = match facts.published.as_deref().map(newest::serial).transpose() {
        Ok(published) => published,
        Err(why) => return nothing_to_see(NAME, why),
    };
    let mut serials = BTreeSet::new();
    for peer in &facts.answers {
        let Some(peer) = peer else {
            return nothing_to_see(NAME, "the server does not tell over which connection it answered");
        };
        if !facts.proxies.contains(&peer.ip()) {
            return nothing_to_see(
                NAME,
                "an answer came over a connection of somebody else than the gateway's proxies",
            );
        }
        let Some(chain) = facts.shown.get(peer) else {
            return nothing_to_see(NAME, "the server knows of no handshake on the connection of an answer");
        };
        let verified = issued::verify(chain.concat().as_bytes(), &facts.root, spiffe_id, now);
        match verified.and_then(|_| newest::serial(chain.concat().as_bytes())) {
            Ok(serial) => drop(serials.insert(serial)),
            Err(why) => {
                let summary = format!("what the gateway showed on the wire is not istiod's: {why}");
                return testimony(NAME, false, summary, json!(null));
            }
        }
    }
    let asked: BTreeSet<_> = facts.answers.iter().flatten().map(SocketAddr::ip).collect();
    let detail =
        json!({"connections": facts.shown.len(), "serials": serials, "proxies": facts.proxies.len()});
    if asked.len() < facts.proxies.len() {
        let summary = format!(
            "the answers came from {} of the gateway's {} proxies only: what the others show was not seen",
            asked.len(),
            facts.proxies.len()
        );
        return testimony(NAME, false, summary, detail);
    }
    if let Some(old) = published.and_then(|published| serials.iter().find(|serial| **serial != published)) {
        let summary =
            format!("the certificate {old} was shown on the wire, which is not the one that is published");
        return testimony(NAME, false, summary, detail);
    }
    let summary = format!(
        "each of the gateway's proxies showed the server a certificate that chains to istiod's root and names {spiffe_id}"
    );
    testimony(NAME, true, summary, detail)
}

#[cfg(test)]
mod tests {
    use super::super::issued::tests::{SPIFFE, at, authority, leaf};
    use super::*;

    fn now() -> Timestamp {
        at("2026-06-01T00:00:00Z")
    }

    fn facts() -> Facts {
        let istiod = authority();
        let chain = leaf(&istiod, SPIFFE);
        let (one, two) = ("10.244.0.5:41", "10.244.0.6:41");
        let shown = [one, two].map(|peer| (peer.parse().unwrap(), vec![chain.clone()]));
        Facts {
            answers: [one, two, two].map(|peer| Some(peer.parse().unwrap())).to_vec(),
            shown: shown.into(),
            proxies: ["10.244.0.5", "10.244.0.6"].map(|ip| ip.parse().unwrap()).into(),
            root: istiod.pem.into_bytes(),
            published: Some(chain.into_bytes()),
        }
    }

    fn against(change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = facts();
        change(&mut facts);
        let testimony = judge(&facts, SPIFFE, now());
        assert!(!testimony.held, "{}", testimony.summary);
        testimony.summary
    }

    #[test]
    fn every_proxy_shows_what_is_published() {
        let testimony = judge(&facts(), SPIFFE, now());
        assert!(testimony.held, "{}", testimony.summary);
        let own = Facts { published: None, ..facts() };
        assert!(judge(&own, SPIFFE, now()).held, "each proxy has one of its own");
    }

    #[test]
    fn one_proxy_alone_is_not_all() {
        assert!(against(|facts| facts.answers.truncate(1)).contains("1 of the gateway's 2 proxies"));
    }

    #[test]
    fn another_certificate_on_the_wire_is_against_it() {
        let other = || leaf(&authority(), SPIFFE);
        let why = against(|facts| *facts.shown.values_mut().next().unwrap() = vec![other()]);
        assert!(why.contains("is not istiod's"), "of another root: {why}");
        assert!(
            against(|facts| facts.published = Some(other().into_bytes()))
                .contains("not the one that is published")
        );
        assert!(
            against(|facts| *facts.shown.values_mut().next().unwrap() = vec![]).contains("is not istiod's")
        );
        assert!(!judge(&facts(), SPIFFE, at("2027-01-01T00:00:00Z")).held, "expired");
        assert!(!judge(&facts(), "spiffe://cluster.local/ns/a/sa/b", now()).held);
    }

    #[test]
    fn an_answer_over_no_known_connection_proves_nothing() {
        assert!(against(|facts| facts.answers.push(None)).contains("does not tell"));
        assert!(
            against(|facts| facts.answers.push(Some("10.244.0.6:99".parse().unwrap())))
                .contains("no handshake")
        );
        assert!(
            against(|facts| facts.answers.push(Some("10.244.9.9:41".parse().unwrap())))
                .contains("somebody else")
        );
        assert!(against(|facts| facts.answers.clear()).contains("no answer 200"));
    }
}
