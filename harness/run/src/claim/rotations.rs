//! `rotations: secret/alb-controller-istio-extension-identity` with `count: 5`: so many times is the certificate in the Secret
//! replaced by another, each time before it has expired.

use crate::byte_string::ByteString;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::becomes::{Judgement, becomes};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Definition, NAMESPACE, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("rotations", Staying::No, parse).says(Reference {
    summary: "So many times is the certificate in a Secret replaced by another, each time before it has expired.",
    subject: Type::Form("^[sS]ecret/.+$", "`secret/NAME`"),
    fields: &[
        NAMESPACE,
        Field::needed("count", Type::Number(1, u64::MAX), "How many times."),
    ],
    examples: &[
        "rotations: secret/alb-controller-istio-extension-identity\nnamespace: azure-alb-system\ncount: 5\nwithin: 10m",
    ],
});

/// Key of the certificate in a Secret of type kubernetes.io/tls.
const CERTIFICATE: &str = "tls.crt";

#[derive(Debug)]
struct Rotations {
    secret: ObjectRef,
    count: usize,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let (kind, name) = Kind::and_name(subject)?;
    if kind.word != "secret" {
        return Err(subject.problem(format!("a {} holds no certificate", kind.word)).help("name a secret"));
    }
    let namespace =
        fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace).to_owned();
    let count = match fields.need("count")?.number()? {
        0 => return Err(subject.problem("no rotation is no claim").help("count: 1, or more")),
        count => count,
    };
    Ok(Box::new(Rotations { secret: ObjectRef { kind, namespace: Some(namespace), name }, count }))
}

/// What tells one certificate from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    serial: String,
    not_after: Timestamp,
}

impl Leaf {
    /// The first certificate in a Secret.
    fn of(secret: &Value) -> Result<Self, String> {
        let data = secret["data"].get(CERTIFICATE).cloned();
        let pem = data.and_then(|data| serde_json::from_value::<ByteString>(data).ok());
        let pem = pem.ok_or_else(|| format!("it has no {CERTIFICATE}"))?;
        let der = CertificateDer::from_pem_slice(&pem.0)
            .map_err(|error| format!("{CERTIFICATE} is not PEM: {error}"))?;
        let (_, leaf) = X509Certificate::from_der(&der)
            .map_err(|error| format!("{CERTIFICATE} is no certificate: {error}"))?;
        let not_after = Timestamp::from_second(leaf.validity().not_after.timestamp())
            .map_err(|error| format!("the end of {CERTIFICATE}: {error}"))?;
        Ok(Self { serial: leaf.raw_serial_as_string(), not_after })
    }
}

/// The certificates in the order in which they were seen.
#[derive(Debug, Default, Clone)]
struct Seen {
    leaves: Vec<Leaf>,
    /// How much life the certificates had left when they were replaced.
    left: Vec<SignedDuration>,
}

impl Seen {
    /// Takes what the Secret holds now. An error when the one before was out of date by then.
    fn take(&mut self, leaf: Leaf, now: Timestamp) -> Result<(), String> {
        if let Some(last) = self.leaves.last() {
            if *last == leaf {
                return Ok(());
            }
            let left = last.not_after.duration_since(now);
            if left.is_negative() {
                return Err(format!(
                    "after {} rotations a certificate had been out of date for {:.1?} when it was replaced",
                    self.left.len(),
                    left.unsigned_abs()
                ));
            }
            self.left.push(left);
        }
        self.leaves.push(leaf);
        Ok(())
    }

    fn rotations(&self) -> usize {
        self.left.len()
    }
}

impl Word for Rotations {
    fn name(&self) -> String {
        format!("the certificate in {} is replaced {} times, each time in time", self.secret, self.count)
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let id = &self.secret;
            let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
            let doing = format!("counting the certificates in {id}");
            let expected = self.name();
            let mut seen = Seen::default();
            let held = becomes(context, &query, &doing, &expected, |objects| {
                let Some(secret) = objects.first() else {
                    return Judgement::NotYet(format!("there is no {id}"));
                };
                match Leaf::of(secret).and_then(|leaf| seen.take(leaf, Timestamp::now())) {
                    Err(because) => Judgement::Holds(Err(because)),
                    Ok(()) if seen.rotations() >= self.count => Judgement::Holds(Ok(())),
                    Ok(()) => Judgement::NotYet(format!("{} rotations so far", seen.rotations())),
                }
            })
            .await?;
            held.found.map_err(|because| Trouble::failed(doing, expected, because))?;
            let least = seen.left.iter().min().map(|left| left.as_millis());
            let detail = json!({"rotations": seen.rotations(), "measured": {"least_life_left_ms": least}});
            let summary = format!("{} rotations, none too late", seen.rotations());
            Ok(Observed { summary, detail, became_ms: Some(held.became_ms), ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn leaf(serial: &str, not_after: i64) -> Leaf {
        Leaf { serial: serial.into(), not_after: at(not_after) }
    }

    #[test]
    fn the_same_certificate_seen_again_is_no_rotation() {
        let mut seen = Seen::default();
        for (serial, end, now) in [("01", 10, 0), ("01", 10, 3), ("02", 15, 5), ("02", 15, 9)] {
            seen.take(leaf(serial, end), at(now)).unwrap();
        }
        assert_eq!(seen.rotations(), 1);
        assert_eq!(seen.left, [SignedDuration::from_secs(5)]);
    }

    #[test]
    fn a_certificate_replaced_after_its_end_is_told() {
        let mut seen = Seen::default();
        seen.take(leaf("01", 10), at(0)).unwrap();
        let because = seen.take(leaf("02", 20), at(12)).unwrap_err();
        assert!(because.contains("after 0 rotations a certificate had been out of date for 2"), "{because}");
    }

    #[test]
    fn the_certificate_in_the_secret_is_read_itself() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".into()]).unwrap();
        params.not_after = (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000)).into();
        let pem = params.self_signed(&key).unwrap().pem();
        let secret = json!({"data": {CERTIFICATE: ByteString(pem.into_bytes())}});
        assert_eq!(Leaf::of(&secret).unwrap().not_after, at(4_000_000_000));
        assert_eq!(Leaf::of(&json!({"data": {}})).unwrap_err(), "it has no tls.crt");
    }
}
