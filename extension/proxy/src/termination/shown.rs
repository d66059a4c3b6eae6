//! Which of a listener's certificates a client is shown.

use crate::upstream::Certificate;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificates of a listener, in the order of its references.
#[derive(Debug)]
pub(super) struct Shown(Vec<Arc<Certificate>>);

/// How well a certificate fits a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Not,
    Wildcard,
    Exact,
}

impl Shown {
    pub(super) fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        Self(certificates)
    }

    /// The best of those that the client can verify: by its name, else the first (Gateway API, `Listener.tls`).
    fn best(&self, name: Option<&str>, usable: impl Fn(&Certificate) -> bool) -> Option<&Arc<Certificate>> {
        let usable = self.0.iter().filter(|certificate| usable(certificate));
        // The last of several that fit alike is taken, hence the first.
        usable.rev().max_by_key(|certificate| name.map_or(Fit::Not, |name| fit(certificate, name)))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let can_verify = |certificate: &Certificate| {
            certificate.key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        self.best(hello.server_name(), can_verify).map(|certificate| certificate.key.clone())
    }
}

fn fit(certificate: &Certificate, name: &str) -> Fit {
    let name = name.to_ascii_lowercase();
    // A wildcard stands for one label (RFC 6125 section 6.4.3).
    let parent = name.split_once('.').map(|(_, parent)| parent);
    let fits = |of: &String| match of.strip_prefix("*.") {
        Some(pattern) if parent == Some(pattern) => Fit::Wildcard,
        None if *of == name => Fit::Exact,
        _ => Fit::Not,
    };
    certificate.names.iter().map(fits).max().unwrap_or(Fit::Not)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alb_config::proto;

    fn certificate(names: &[&str]) -> Arc<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let given = proto::Certificate {
            certificate_chain: made.cert.pem().into_bytes(),
            private_key: made.signing_key.serialize_pem().into_bytes(),
        };
        Arc::new(Certificate::new(&given).unwrap())
    }

    #[test]
    fn the_certificate_that_fits_best_is_shown_and_the_first_when_none_does() {
        let all = [certificate(&["a.example"]), certificate(&["*.example"]), certificate(&["B.example"])];
        let shown = Shown::new(all.to_vec());
        let chosen = |name: Option<&str>| {
            let best = shown.best(name, |_| true).unwrap();
            all.iter().position(|one| Arc::ptr_eq(one, best)).unwrap()
        };
        assert_eq!(chosen(Some("a.example")), 0);
        assert_eq!(chosen(Some("b.example")), 2, "exact before wildcard, whatever the case");
        assert_eq!(chosen(Some("c.example")), 1);
        assert_eq!(chosen(Some("a.b.example")), 0, "a wildcard stands for one label");
        assert_eq!(chosen(Some("other.test")), 0);
        assert_eq!(chosen(None), 0);
        let last = shown.best(Some("a.example"), |one| one.names == ["b.example"]).unwrap();
        assert!(Arc::ptr_eq(last, &all[2]), "only those that the client can verify");
        assert!(shown.best(Some("a.example"), |_| false).is_none());
        assert!(Shown::new(Vec::new()).best(None, |_| true).is_none());
    }
}
