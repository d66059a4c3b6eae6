use super::super::verify::Expected;
use super::*;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, SanType};
use std::sync::LazyLock;

const THEIRS: &str = "spiffe://cluster.local/ns/a/sa/theirs";
const OURS: &str = "spiffe://cluster.local/ns/a/sa/ours";

/// A certificate with every kind of name that is looked for.
static CERTIFICATE: LazyLock<CertificateDer<'static>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![
        SanType::URI(THEIRS.try_into().unwrap()),
        SanType::DnsName("theirs.example".try_into().unwrap()),
        SanType::IpAddress([192, 0, 2, 1].into()),
    ];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
});

#[test]
fn names_are_read_by_their_kind() {
    assert_eq!(uri_sans(&CERTIFICATE), Some(vec![THEIRS.to_owned()]));
    assert_eq!(dns_sans(&CERTIFICATE), Some(vec!["theirs.example".to_owned()]));
    assert!(not_after(&CERTIFICATE).is_some());
}

/// At least so many cases; `PROPTEST_CASES` asks for more.
fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

proptest! {
    #![proptest_config(at_least(2000))]

    #[test]
    fn no_bytes_make_it_panic_or_name_somebody_expected(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let certificate = CertificateDer::from(bytes);
        let _ = (uri_sans(&certificate), dns_sans(&certificate), not_after(&certificate));
        prop_assert!(Expected::SpiffeId(OURS.into()).found_in(&certificate).is_err());
    }

    #[test]
    fn no_damage_makes_a_certificate_name_somebody_else(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = CERTIFICATE.to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            let end = cut.index(bytes.len());
            bytes.truncate(end);
        }
        let certificate = CertificateDer::from(bytes);
        let _ = (dns_sans(&certificate), not_after(&certificate));
        prop_assert!(Expected::SpiffeId(OURS.into()).found_in(&certificate).is_err());
        for name in uri_sans(&certificate).into_iter().flatten() {
            prop_assert_ne!(name, OURS);
        }
    }
}
