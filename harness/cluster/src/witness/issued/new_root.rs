//! `issued-by-new-root`: gateway and backend show certificates under the root that was plugged into Istio (Secret `cacerts`),
//! and not under the one that istiod had made itself before (Secret `istio-ca-secret`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::json;

use super::super::{backend, nothing_to_see, testimony, trouble};
use super::{envoy, shown};
use crate::mesh::{self, Mesh};
use meshproof_lab::chain::{certificates, leads_to};
use meshproof_model::event::Testimony;
use meshproof_model::implementation::Implementation;
use meshproof_run::ports::{PortError, WitnessContext};

pub(in super::super) const NAME: &str = "issued-by-new-root";

pub(in super::super) async fn hear(
    client: &Client,
    implementation: &Implementation,
    context: &WitnessContext,
) -> Result<Testimony, PortError> {
    let mesh = mesh::of_namespace(client, context.namespace_of_backend()).await;
    let mesh =
        mesh.map_err(|error| PortError::new("looking for where Istio keeps its authorities", error))?;
    let Some(Mesh { namespace, .. }) = mesh else {
        return Ok(nothing_to_see(NAME, "there is no istiod, and so no authority of its own"));
    };
    let mut roots = Vec::new();
    for (name, key) in [("cacerts", "root-cert.pem"), ("istio-ca-secret", "ca-cert.pem")] {
        match pem(client, &namespace, name, key).await? {
            Some(pem) => roots.push(pem),
            None => return Ok(nothing_to_see(NAME, format!("Secret {namespace}/{name} has no {key}"))),
        }
    }
    let mut chains = Vec::new();
    match shown(client, implementation, context).await? {
        Ok((_, chain)) => chains.push(("the gateway".to_owned(), chain)),
        Err(missing) => return Ok(nothing_to_see(NAME, missing)),
    }
    for pod in backend::pods(client, &context.namespace, &context.backend).await? {
        match envoy::of(client, &pod.namespace, &pod.name).await? {
            Ok(chain) => chains.push((context.backend.clone(), chain)),
            Err(missing) => return Ok(nothing_to_see(NAME, missing)),
        }
    }
    let [new, old] = roots.as_slice() else { return Ok(nothing_to_see(NAME, "two roots were expected")) };
    Ok(judge(&chains, new, old, Timestamp::now()))
}

async fn pem(client: &Client, namespace: &str, name: &str, key: &str) -> Result<Option<Vec<u8>>, PortError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let doing = format!("reading Secret {namespace}/{name}");
    let secret = secrets.get_opt(name).await.map_err(trouble(doing))?;
    Ok(secret.and_then(|secret| secret.data?.remove(key)).map(|bytes| bytes.0))
}

/// What the chains, each with its owner, and the two roots amount to at a time.
fn judge(chains: &[(String, Vec<u8>)], new: &[u8], old: &[u8], now: Timestamp) -> Testimony {
    let seen = chains.iter().try_for_each(|(owner, chain)| {
        under(chain, new, old, now).map_err(|why| format!("the certificate of {owner}: {why}"))
    });
    let owners: Vec<_> = chains.iter().map(|(owner, _)| owner.as_str()).collect();
    match seen {
        Err(why) => nothing_to_see(NAME, why),
        Ok(()) if owners.len() < 2 => nothing_to_see(NAME, "no backend is ready to show a certificate"),
        Ok(()) => {
            let summary = format!(
                "the certificates of {} chain to the root plugged into Istio, and not to the one before",
                owners.join(" and ")
            );
            testimony(NAME, true, summary, json!({"looked_at": owners}))
        }
    }
}

fn under(chain: &[u8], new: &[u8], old: &[u8], now: Timestamp) -> Result<(), String> {
    let chain = certificates(chain, "the chain")?;
    leads_to(&chain, &certificates(new, "the new root")?, now)?;
    match leads_to(&chain, &certificates(old, "the old root")?, now) {
        Ok(()) => Err("it chains to the old root, too".into()),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SPIFFE, at, authority, leaf};
    use super::*;

    #[test]
    fn both_sides_have_to_be_under_the_new_root_and_not_under_the_old_one() {
        let (old, new) = (authority(), authority());
        let chain = |of| leaf(of, SPIFFE).into_bytes();
        let judged = |gateway, backend: &[_], new: &str| {
            let mut chains = vec![("the gateway".to_owned(), chain(gateway))];
            chains.extend(backend.iter().map(|of| ("web".to_owned(), chain(*of))));
            judge(&chains, new.as_bytes(), old.pem.as_bytes(), at("2026-06-01T00:00:00Z"))
        };
        let good = judged(&new, &[&new], &new.pem);
        assert!(good.held && good.summary.contains("the gateway and web"), "{}", good.summary);
        let both = format!("{}{}", old.pem, new.pem);
        for (gateway, backends, trusted, why) in [
            (&old, vec![&new], &new.pem, "of the gateway: it does not verify"),
            (&new, vec![&old], &new.pem, "of web: it does not verify"),
            (&new, vec![&old], &both, "of web: it chains to the old root"),
            (&new, vec![], &new.pem, "no backend"),
        ] {
            let testimony = judged(gateway, &backends, trusted);
            assert!(!testimony.held && testimony.summary.contains(why), "{}", testimony.summary);
        }
    }
}
