//! What a message says of who sent it and from where. A client may say what it likes; a proxy that is trusted is believed.

use http::header::{HeaderName, VIA};
use http::{HeaderMap, HeaderValue, Version};
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Beginnings of names by which proxies tell backends who a client is and what it asked for. Applications may see `_` and `-`
/// as one (RFC 3875 section 4.1.18), and so are they here.
const PREFIXES: [&str; 5] = ["x-forwarded-", "x-envoy-", "x-original-", "x-ssl-client-", "ssl-client-"];
/// Whole names; `client-cert` is RFC 9440's, `forwarded` RFC 7239's.
const NAMES: [&str; 9] = [
    "forwarded",
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-rewrite-url",
    "true-client-ip",
];

/// Removes what only a proxy may say.
pub(crate) fn remove_claims(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_claim(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn is_claim(name: &str) -> bool {
    // Most names are decided by their first letter.
    match name.as_bytes().first() {
        Some(b'x' | b'f' | b'c' | b's' | b't') => {}
        _ => return false,
    }
    PREFIXES.iter().any(|prefix| name.len() > prefix.len() && begins(name, prefix))
        || NAMES.iter().any(|other| name.len() == other.len() && begins(name, other))
}

fn begins(name: &str, with: &str) -> bool {
    name.bytes().zip(with.bytes()).all(|(given, wanted)| given == wanted || (given == b'_' && wanted == b'-'))
}

/// How the last message came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) client: IpAddr,
    pub(crate) version: Version,
    /// Over TLS.
    pub(crate) secure: bool,
    /// Whether the client may say where it has it from.
    pub(crate) trusted: bool,
}

/// Adds who sent the request, in which protocol, and through whom: `X-Forwarded-For`, `X-Forwarded-Proto` and `Via`
/// (RFC 9110 section 7.6.3).
///
/// What a trusted client said before stays: its address is appended, its protocol is believed.
pub(crate) fn forwarded_by(headers: &mut HeaderMap, sender: Sender) {
    let Sender { client, version, secure, trusted } = sender;
    let mut all = String::new();
    if trusted {
        for value in headers.get_all(X_FORWARDED_FOR) {
            // What cannot be read cannot be believed.
            if let Ok(value) = value.to_str() {
                all.push_str(value);
                all.push_str(", ");
            }
        }
    }
    all.push_str(&client.to_string());
    if let Ok(value) = HeaderValue::try_from(all) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    let believed = trusted
        && headers.get(X_FORWARDED_PROTO).is_some_and(|given| matches!(given.as_bytes(), b"http" | b"https"));
    if !believed {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    }
    let via = match version {
        Version::HTTP_2 => "2.0 alb",
        Version::HTTP_10 => "1.0 alb",
        _ => "1.1 alb",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_proxy_may_say_is_known_by_its_name() {
        for name in [
            "x-forwarded-client-cert",
            "x_forwarded_client_cert",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-envoy-external-address",
            "x-original-url",
            "forwarded",
            "x-real-ip",
            "x_real_ip",
            "client-cert",
            "ssl-client-verify",
        ] {
            assert!(is_claim(name), "{name}");
        }
        for name in
            ["x-forwarded-", "x-forwarded", "forwarded-for", "x-request-id", "cookie", "x", "x-real-ipa"]
        {
            assert!(!is_claim(name), "{name}");
        }
    }
}
