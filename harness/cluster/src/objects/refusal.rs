//! What to make of an API server that does not take an object: whether the same request may do better in a moment.

use kube::core::Status;

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The object, the rights or the cluster have to change first.
    ForGood,
    /// The server is busy, or changes its own leader.
    ForNow,
    /// A webhook cannot be reached: it depends on its pods.
    Webhook,
    /// There is no such kind, or no such namespace: it depends on whether the kind is defined.
    Unknown,
}

/// What nobody listening looks like in the API server's words about a webhook.
const UNREACHABLE: &[&str] = &[
    "connection refused",
    "connection reset",
    "no endpoints available",
    "no route to host",
    "i/o timeout",
    "context deadline exceeded",
    "EOF",
];

impl Refusal {
    /// Of what the API server says.
    pub(super) fn of(status: &Status) -> Self {
        match status.code {
            404 => Self::Unknown,
            429 | 503 | 504 => Self::ForNow,
            code if code >= 500 => match webhook(&status.message) {
                // A certificate that nobody trusts, an answer that is none: its pods have to be mended, not waited for.
                Some(_) if UNREACHABLE.iter().any(|what| status.message.contains(what)) => Self::Webhook,
                Some(_) => Self::ForGood,
                None => Self::ForNow,
            },
            _ => Self::ForGood,
        }
    }
}

/// The webhook that an API server could not call.
pub(super) fn webhook(message: &str) -> Option<&str> {
    let rest = message.split_once("failed calling webhook \"")?.1;
    rest.split_once('"').map(|(name, _)| name)
}

/// Service and namespace of the webhook, from the address that the API server called.
pub(super) fn service(message: &str) -> Option<(&str, &str)> {
    let host = message.split_once("https://")?.1.split(['/', ':', '?', '"']).next()?;
    let mut labels = host.split('.');
    let (service, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    (svc == "svc").then_some((service, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Status {
        Status { code, message: message.to_owned(), ..Status::default() }
    }

    const CALLED: &str = "Internal error occurred: failed calling webhook \"validation.istio.io\": failed to call webhook: Post \
                          \"https://istiod.istio-system.svc:443/validate?timeout=10s\": ";

    #[test]
    fn what_is_wrong_with_the_object_is_not_offered_again() {
        for code in [400, 401, 403, 409, 413, 415, 422] {
            assert_eq!(Refusal::of(&status(code, "no")), Refusal::ForGood, "{code}");
        }
        let untrusted =
            status(500, &format!("{CALLED}tls: failed to verify certificate: x509: unknown authority"));
        assert_eq!(Refusal::of(&untrusted), Refusal::ForGood);
        let absent = format!("{CALLED}service \"istiod\" not found");
        assert_eq!(Refusal::of(&status(500, &absent)), Refusal::ForGood);
    }

    #[test]
    fn what_may_pass_is() {
        for code in [429, 503, 504] {
            assert_eq!(Refusal::of(&status(code, "busy")), Refusal::ForNow, "{code}");
        }
        assert_eq!(Refusal::of(&status(500, "etcdserver: leader changed")), Refusal::ForNow);
        for why in ["dial tcp 10.96.0.9:443: connect: connection refused", "context deadline exceeded"] {
            assert_eq!(Refusal::of(&status(500, &format!("{CALLED}{why}"))), Refusal::Webhook, "{why}");
        }
        assert_eq!(
            Refusal::of(&status(404, "the server could not find the requested resource")),
            Refusal::Unknown
        );
    }

    #[test]
    fn the_webhook_and_its_service_are_known_by_the_message() {
        assert_eq!(webhook(CALLED), Some("validation.istio.io"));
        assert_eq!(service(CALLED), Some(("istiod", "istio-system")));
        assert_eq!(webhook("no"), None);
        assert_eq!(service("Post \"https://hooks.example/validate\""), None);
    }
}
