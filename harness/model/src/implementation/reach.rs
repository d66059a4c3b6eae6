//! How a gateway reaches the pods behind it: that decides what becomes of its requests when a PeerAuthentication comes or goes.

/// The ways there are. Whatever the mesh's default, STRICT takes nothing but Istio's mutual TLS; without a PeerAuthentication a
/// sidecar is PERMISSIVE and takes TLS for the mesh's own only if its ALPN is Istio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Clear text to the pods' addresses; it has not joined the mesh.
    ClearText,
    /// TLS of its own with a certificate of the mesh, and no ALPN of Istio's.
    MutualTls,
    /// The same, with an ALPN of Istio's.
    MutualTlsIstioAlpn,
    /// The same, with HTTP/2 offered.
    MutualTlsHttp2,
    /// Through a sidecar of its own, to the Service's address.
    SidecarToService,
    /// Through a sidecar of its own, to the pods' addresses.
    SidecarToPods,
}

impl Reach {
    /// All of them, by their words in an implementation's file.
    pub const ALL: [(&'static str, Self); 6] = [
        ("clear-text", Self::ClearText),
        ("mutual-tls", Self::MutualTls),
        ("mutual-tls-istio-alpn", Self::MutualTlsIstioAlpn),
        ("mutual-tls-http2", Self::MutualTlsHttp2),
        ("sidecar-to-service", Self::SidecarToService),
        ("sidecar-to-pods", Self::SidecarToPods),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, reach)| *reach == self).map_or("", |(word, _)| word)
    }

    /// The way of this word.
    pub fn by_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, reach)| *reach)
    }

    /// In a few words, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ClearText => "clear text to the pods",
            Self::MutualTls => "TLS of its own with a certificate of the mesh",
            Self::MutualTlsIstioAlpn => "TLS of its own with a certificate of the mesh and Istio's ALPN",
            Self::MutualTlsHttp2 => "TLS of its own with a certificate of the mesh, HTTP/2 offered",
            Self::SidecarToService => "through its own sidecar to the Service",
            Self::SidecarToPods => "through its own sidecar to the pods",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_has_a_word_of_its_own() {
        for (word, reach) in Reach::ALL {
            assert_eq!((reach.word(), Reach::by_word(word)), (word, Some(reach)));
        }
        assert_eq!(Reach::by_word("mtls"), None);
    }
}
