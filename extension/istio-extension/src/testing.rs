//! Certificates for the tests, as istiod makes them.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};

use crate::certificate::Files;

pub(crate) const SPIFFE_ID: &str =
    "spiffe://cluster.local/ns/azure-alb-system/sa/alb-controller-istio-extension";

/// A certificate authority like istiod's.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The tests' present.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap()
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + seconds).unwrap()
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn roots(&self) -> Vec<u8> {
        self.issuer.pem().into_bytes()
    }

    /// A new key and certificate, valid from `from` for `seconds`.
    pub(crate) fn issue(&self, from: Timestamp, seconds: i64) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(SPIFFE_ID.try_into().unwrap())];
        let time = |seconds| {
            let since_epoch = u64::try_from(from.as_second() + seconds).unwrap();
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(since_epoch)
        };
        (params.not_before, params.not_after) = (time(0), time(seconds));
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Files {
            key: key.serialize_pem().into_bytes(),
            chain: format!("{}{}", leaf.pem(), self.issuer.pem()).into_bytes(),
            roots: self.roots(),
        }
    }
}
