//! `certificates: backend-ca` with `servers: [{secret: backend-tls, names: [backend.example]}]`: a certificate authority and
//! server certificates, made at run time. The authority's certificate is stored as ConfigMap, key `ca.crt`; each server's
//! chain and key as Secret of type kubernetes.io/tls. The authority's own key is never stored: it issues nothing else. `clients`
//! are the same for those who have to show who they are.
//!
//! With `issuer: {secret: istio-ca-secret, namespace: istio-system}` an authority that exists issues them: what its mesh would
//! never issue by itself, to see who takes it. A server's `valid: expired` or `valid: not-yet` makes a certificate whose time
//! is over, or has not come.

use std::time::{Duration, SystemTime};

use crate::byte_string::ByteString;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::context::ledger::Entry;
use crate::context::{Context, Trouble};
use crate::ports::{PortError, Query};
use crate::word::{Definition, NAMESPACE, Reference, Scope, Word};
use meshproof_model::event::Observed;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::limits;
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::action("certificates", limits::ACTION, parse).says(Reference {
    summary: "Makes a certificate authority and certificates of servers and clients at run time: the authority's certificate becomes a ConfigMap (key `ca.crt`), each server's or client's chain and key a Secret of type kubernetes.io/tls.",
    subject: Type::Form("\\S", "name of the authority's ConfigMap"),
    fields: &[
        NAMESPACE,
        Field::optional("issuer", Type::Map(ISSUER), "An authority that exists issues them, as Istio keeps its own: Secret with `ca-cert.pem` and `ca-key.pem`.").or("a new authority"),
        Field::optional("servers", Type::OneOrMore(&Type::Map(SERVER)), "Servers to make certificates for.").or("none"),
        Field::optional("clients", Type::OneOrMore(&Type::Map(SERVER)), "Clients to make certificates for.").or("none"),
    ],
    examples: &[
        "certificates: backend-ca\nservers: [{secret: backend-tls, names: [backend.example, spiffe://cluster.local/ns/a/sa/b]}]",
        "certificates: clients-ca\nclients: {secret: client, names: client.example, valid: expired}",
        "certificates: from-istio\nnamespace: isto-example-namespace\nissuer: {secret: istio-ca-secret, namespace: istio-system}\nservers: {secret: old, names: backend.example, valid: expired}",
    ],
});

const ISSUER: &[Field] = &[
    Field::needed("secret", Type::Text, "Name of the Secret."),
    Field::needed("namespace", Type::Text, "Its namespace."),
];
const SERVER: &[Field] = &[
    Field::needed("secret", Type::Text, "Name of the Secret to make."),
    Field::needed("names", Type::OneOrMore(&Type::Text), "Subject alternative names: URIs, or host names."),
    Field::optional("valid", Type::OneOf(&["expired", "not-yet"]), "When it is good.").or("now"),
];

/// Longer than any run.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// The clock of a node may be behind.
const BACKDATE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Certificates {
    authority: ObjectRef,
    /// Secret of an authority that exists, as Istio keeps its own.
    issuer: Option<ObjectRef>,
    /// Servers and clients.
    leaves: Vec<Leaf>,
}

/// Keys of Istio's `istio-ca-secret` and `cacerts`.
const ISTIO_CERTIFICATE: &str = "ca-cert.pem";
const ISTIO_KEY: &str = "ca-key.pem";

/// A server or a client.
#[derive(Debug)]
struct Leaf {
    secret: ObjectRef,
    usage: ExtendedKeyUsagePurpose,
    names: Vec<SanType>,
    valid: Valid,
}

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Valid {
    Now,
    Expired,
    NotYet,
}

impl Valid {
    fn parse(node: &Node) -> Result<Self, Problem> {
        match node.text()? {
            "expired" => Ok(Self::Expired),
            "not-yet" => Ok(Self::NotYet),
            other => Err(node.problem(format!("{other} is no time; write `expired` or `not-yet`"))),
        }
    }

    /// From when to when. Further from now than clocks are apart.
    fn span(self, now: SystemTime) -> (SystemTime, SystemTime) {
        match self {
            Self::Now => (now - BACKDATE, now + LIFE),
            Self::Expired => (now - LIFE, now - BACKDATE),
            Self::NotYet => (now + BACKDATE, now + LIFE),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Now => "",
            Self::Expired => " (expired)",
            Self::NotYet => " (not yet valid)",
        }
    }
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let namespace = fields.take("namespace").map(Node::text).transpose()?.unwrap_or(scope.namespace);
    let object = |word: &str, node: &Node| {
        let kind = Kind::by_word(word).ok_or_else(|| node.problem(format!("there is no kind {word}")))?;
        Ok(ObjectRef { kind, namespace: Some(namespace.to_owned()), name: node.text()?.to_owned() })
    };
    let authority = object("configmap", subject)?;
    let issuer = fields.take("issuer").map(issuer).transpose()?;
    let mut leaves = Vec::new();
    for (key, usage) in
        [("servers", ExtendedKeyUsagePurpose::ServerAuth), ("clients", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        for node in fields.take(key).map(Node::one_or_more).unwrap_or_default() {
            let mut leaf = node.fields()?;
            let secret = object("secret", leaf.need("secret")?)?;
            let names = leaf.need("names")?;
            let valid = leaf.take("valid").map_or(Ok(Valid::Now), Valid::parse)?;
            leaf.finish()?;
            let names: Vec<_> = names.one_or_more().iter().map(name).collect::<Result<_, Problem>>()?;
            if names.is_empty() {
                return Err(node.problem("a certificate needs a name"));
            }
            leaves.push(Leaf { secret, usage: usage.clone(), names, valid });
        }
    }
    Ok(Box::new(Certificates { authority, issuer, leaves }))
}

fn issuer(node: &Node) -> Result<ObjectRef, Problem> {
    let mut fields = node.fields()?;
    let (name, namespace) = (fields.need("secret")?.text()?, fields.need("namespace")?.text()?);
    fields.finish()?;
    let kind = Kind::by_word("secret").ok_or_else(|| node.problem("there is no kind secret"))?;
    Ok(ObjectRef { kind, namespace: Some(namespace.to_owned()), name: name.to_owned() })
}

/// A subject alternative name: a URI if it looks like one, else a host name.
fn name(node: &Node) -> Result<SanType, Problem> {
    let text = node.text()?;
    let ascii = Ia5String::try_from(text).map_err(|error| node.problem(error.to_string()))?;
    Ok(if text.contains("://") { SanType::URI(ascii) } else { SanType::DnsName(ascii) })
}

fn in_words(names: &[SanType]) -> String {
    let words = names.iter().map(|name| match name {
        SanType::URI(name) | SanType::DnsName(name) => name.as_str().to_owned(),
        other => format!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Certificates {
    /// The certificate, PEM, of an authority of our own, and what it issues with.
    fn own(&self, now: SystemTime) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
        let (params, key) = (authority(&self.authority.name, now), KeyPair::generate()?);
        Ok((params.self_signed(&key)?.pem(), Issuer::new(params, key)))
    }

    /// The same of the authority that exists.
    async fn existing(
        &self,
        context: &Context<'_>,
        id: &ObjectRef,
    ) -> Result<(String, Issuer<'static, KeyPair>), PortError> {
        let query = Query { kind: id.kind, namespace: id.namespace.clone(), name: Some(id.name.clone()) };
        let found = context.outside.objects.observe(&query).next().await.transpose()?.unwrap_or_default();
        let wrong = |why: String| PortError::new(format!("reading the certificate authority in {id}"), why);
        let data =
            found.first().map(|secret| &secret["data"]).ok_or_else(|| wrong("there is none".into()))?;
        let pem = |key: &str| {
            let bytes: Option<ByteString> = serde_json::from_value(data[key].clone()).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.0).ok());
            text.ok_or_else(|| wrong(format!("it has no PEM under the key {key}")))
        };
        let certificate = pem(ISTIO_CERTIFICATE)?;
        let issuer = KeyPair::from_pem(&pem(ISTIO_KEY)?)
            .and_then(|key| Issuer::from_ca_cert_pem(&certificate, key))
            .map_err(|error| wrong(error.to_string()))?;
        Ok((certificate, issuer))
    }

    /// The objects to store, the authority first.
    fn make(
        &self,
        certificate: &str,
        issuer: &Issuer<'_, KeyPair>,
        now: SystemTime,
    ) -> Result<Vec<(ObjectRef, Value)>, rcgen::Error> {
        let mut objects = vec![(
            self.authority.clone(),
            object("ConfigMap", &self.authority, json!({"data": {"ca.crt": certificate}})),
        )];
        for made in &self.leaves {
            let key = KeyPair::generate()?;
            // An authority that is plugged into Istio may be no root itself: whoever verifies needs its certificate.
            let certificate = leaf(made, now).signed_by(&key, issuer)?.pem() + certificate;
            let content = json!({
                "type": "kubernetes.io/tls",
                "data": {
                    "tls.crt": ByteString(certificate.into_bytes()),
                    "tls.key": ByteString(key.serialize_pem().into_bytes()),
                },
            });
            objects.push((made.secret.clone(), object("Secret", &made.secret, content)));
        }
        Ok(objects)
    }
}

fn object(kind: &str, id: &ObjectRef, mut content: Value) -> Value {
    content["apiVersion"] = "v1".into();
    content["kind"] = kind.into();
    content["metadata"] = json!({"name": id.name, "namespace": id.namespace});
    content
}

fn authority(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = ((now - BACKDATE).into(), (now + LIFE).into());
    params
}

fn leaf(of: &Leaf, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&of.secret.name);
    params.subject_alt_names.clone_from(&of.names);
    params.extended_key_usages = vec![of.usage.clone()];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let (from, until) = of.valid.span(now);
    (params.not_before, params.not_after) = (from.into(), until.into());
    params
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

impl Word for Certificates {
    fn name(&self) -> String {
        let leaves = self.leaves.iter().map(|leaf| {
            format!("; {} for {}{}", leaf.secret.name, in_words(&leaf.names), leaf.valid.in_words())
        });
        let leaves: String = leaves.collect();
        match &self.issuer {
            None => format!("make certificate authority {}{leaves}", self.authority.name),
            Some(issuer) => format!("certificates by the authority of {issuer}{leaves}"),
        }
    }

    fn needs_own_cluster(&self) -> bool {
        // It reads the key of an authority that others trust.
        self.issuer.is_some()
    }

    fn creates(&self) -> Vec<ObjectRef> {
        let secrets = self.leaves.iter().map(|leaf| leaf.secret.clone());
        std::iter::once(self.authority.clone()).chain(secrets).collect()
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let now = SystemTime::now();
            let trouble = |error| PortError::new("making certificates", error);
            let (certificate, issuer) = match &self.issuer {
                Some(id) => self.existing(context, id).await?,
                None => self.own(now).map_err(trouble)?,
            };
            let made = self.make(&certificate, &issuer, now).map_err(trouble)?;
            let mut done = Vec::new();
            for (id, value) in &made {
                let applied = context.outside.objects.apply(id, value).await?;
                let result = if applied.created { "created" } else { "configured" };
                if applied.created {
                    context.ledger.note(Entry::Created(id.clone(), applied.uid));
                }
                done.push((id.to_string(), result));
            }
            let words: Vec<_> = done.iter().map(|(id, result)| format!("{id} {result}")).collect();
            let detail = done.iter().map(|(id, result)| json!({"object": id, "result": result})).collect();
            Ok(Observed { summary: words.join("; "), detail, ..Observed::default() })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    use super::*;

    fn reference(word: &str, name: &str) -> ObjectRef {
        let kind = Kind::by_word(word).unwrap();
        ObjectRef { kind, namespace: Some("plain".into()), name: name.into() }
    }

    fn certificates() -> Certificates {
        let names = vec![
            SanType::DnsName("backend.example".try_into().unwrap()),
            SanType::URI("spiffe://mesh.example/a".try_into().unwrap()),
        ];
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let leaves =
            vec![Leaf { secret: reference("secret", "backend-tls"), usage, names, valid: Valid::Now }];
        Certificates { authority: reference("configmap", "backend-ca"), issuer: None, leaves }
    }

    fn made() -> Vec<(ObjectRef, Value)> {
        let (certificates, now) = (certificates(), SystemTime::now());
        let (certificate, issuer) = certificates.own(now).unwrap();
        certificates.make(&certificate, &issuer, now).unwrap()
    }

    fn pem(object: &Value, key: &str) -> Vec<u8> {
        match &object["data"][key] {
            Value::String(text) if object["kind"] == "ConfigMap" => text.clone().into_bytes(),
            other => serde_json::from_value::<ByteString>(other.clone()).unwrap().0,
        }
    }

    #[test]
    fn the_stored_authority_vouches_for_the_stored_server() {
        let made = made();
        let [(_, authority), (id, server)] = made.as_slice() else { panic!("{made:?}") };
        assert_eq!(
            (server["type"].as_str(), id.to_string()),
            (Some("kubernetes.io/tls"), "secret/backend-tls in plain".to_owned())
        );
        assert_eq!(authority["metadata"], json!({"name": "backend-ca", "namespace": "plain"}));
        let root = CertificateDer::from_pem_slice(&pem(authority, "ca.crt")).unwrap();
        let leaf = CertificateDer::from_pem_slice(&pem(server, "tls.crt")).unwrap();
        PrivateKeyDer::from_pem_slice(&pem(server, "tls.key")).unwrap();
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let anchor = anchor_from_trusted_cert(&root).unwrap();
        let now = UnixTime::since_unix_epoch(SystemTime::UNIX_EPOCH.elapsed().unwrap());
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[], now, usage, None, None).unwrap();
        let name = ServerName::try_from("backend.example").unwrap();
        leaf.verify_is_valid_for_subject_name(&name).unwrap();
    }

    #[test]
    fn a_time_that_is_over_or_has_not_come_is_told_by_nothing_but_the_dates() {
        let now = SystemTime::now();
        for (valid, good) in [(Valid::Now, true), (Valid::Expired, false), (Valid::NotYet, false)] {
            let mut certificates = certificates();
            certificates.leaves[0].valid = valid;
            let (certificate, issuer) = certificates.own(now).unwrap();
            let made = certificates.make(&certificate, &issuer, now).unwrap();
            let root = CertificateDer::from_pem_slice(&pem(&made[0].1, "ca.crt")).unwrap();
            let leaf = CertificateDer::from_pem_slice(&pem(&made[1].1, "tls.crt")).unwrap();
            let anchors = [anchor_from_trusted_cert(&root).unwrap()];
            let at = |time: SystemTime| {
                let time = UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap());
                let usage = KeyUsage::server_auth();
                let leaf = EndEntityCert::try_from(&leaf).unwrap();
                leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &[], time, usage, None, None)
                    .is_ok()
            };
            assert_eq!(at(now), good, "{valid:?}");
            let (from, until) = valid.span(now);
            assert!(from < until);
        }
    }

    #[test]
    fn every_run_makes_another_authority() {
        let make = || made().remove(0).1;
        assert_ne!(pem(&make(), "ca.crt"), pem(&make(), "ca.crt"));
    }

    #[test]
    fn the_step_says_what_it_makes() {
        assert_eq!(
            certificates().name(),
            "make certificate authority backend-ca; backend-tls for backend.example, spiffe://mesh.example/a"
        );
    }
}
