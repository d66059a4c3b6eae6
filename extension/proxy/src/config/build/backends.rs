//! Backends, as each frontend speaks to them.

use super::Builder;
use crate::upstream::Backend;
use alb_config::{Kind, proto};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Backends as they are spoken to: by frontends that show pods a certificate of their own, over connections of their own.
pub(super) struct Backends<'a> {
    given: HashMap<&'a str, &'a proto::Backend>,
    /// Resource name of the certificate, by that of the frontend.
    client_certificates: HashMap<&'a str, &'a str>,
    built: HashMap<(String, Option<String>), Arc<Backend>>,
}

impl<'a> Backends<'a> {
    pub(super) fn new(all: &[(&'a str, &'a proto::Resource)]) -> Self {
        let (mut given, mut client_certificates) = (HashMap::new(), HashMap::new());
        for (name, resource) in all {
            match &resource.kind {
                Some(Kind::Backend(backend)) => drop(given.insert(*name, backend)),
                Some(Kind::Frontend(frontend)) if !frontend.backend_client_certificate.is_empty() => {
                    client_certificates.insert(*name, frontend.backend_client_certificate.as_str());
                }
                _ => {}
            }
        }
        Self { given, client_certificates, built: HashMap::new() }
    }

    pub(super) fn insert(&mut self, name: &str, client: Option<&str>, backend: Arc<Backend>) {
        self.built.insert((name.to_owned(), client.map(str::to_owned)), backend);
    }

    /// Listeners by the client certificate of their frontends.
    pub(super) fn by_client_certificate<'l>(
        &self,
        listeners: &'l [proto::ListenerRef],
    ) -> BTreeMap<Option<&'a str>, Vec<&'l proto::ListenerRef>> {
        let mut by: BTreeMap<Option<&'a str>, Vec<_>> = BTreeMap::new();
        for listener in listeners {
            let client = self.client_certificates.get(listener.frontend.as_str()).copied();
            by.entry(client).or_default().push(listener);
        }
        by
    }
}

impl Builder<'_> {
    /// A backend as frontends with this client certificate speak to it; none when it is unknown.
    pub(super) fn backend_for(
        &mut self,
        name: &str,
        client: Option<&str>,
        backends: &mut Backends<'_>,
    ) -> Option<Arc<Backend>> {
        let given = *backends.given.get(name)?;
        // It is shown to those only that a policy has spoken to over TLS.
        let is_by_policy = matches!(given.security, Some(proto::backend::Security::ServerTls(_)));
        let client = client.filter(|_| is_by_policy);
        if let Some(built) = backends.built.get(&(name.to_owned(), client.map(str::to_owned))) {
            return Some(built.clone());
        }
        let certificate = client.map(|client| {
            let version = self.config.certificates.get(client).map(|(version, _)| version.clone());
            (Arc::from(client), version)
        });
        let backend = self.backend(name, given, certificate);
        backends.insert(name, client, backend.clone());
        Some(backend)
    }
}
