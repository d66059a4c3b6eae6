//! Clients that stay with the pod which has served them (RoutePolicy, `sessionAffinity`): a cookie of the gateway's own says which one
//! that is.
//!
//! Every proxy reads the cookies of every other. One that leads nowhere any more is replaced with the next response.

use crate::upstream::PodToken;
use alb_config::proto;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The cookie of a rule.
#[derive(Debug, Clone)]
pub(crate) struct Affinity {
    name: String,
    /// What follows its value.
    attributes: String,
}

impl Affinity {
    /// # Errors
    /// The name is none that a cookie can have.
    pub(crate) fn new(given: &proto::SessionAffinity) -> Result<Self, String> {
        // RFC 6265 section 4.1.1: a token, as names of header fields are.
        if HeaderName::try_from(&given.cookie).is_err() {
            return Err(format!("{:?} is no name of a cookie", given.cookie));
        }
        let attributes = format!("; Path=/; Max-Age={}; HttpOnly", given.max_age_seconds);
        Ok(Self { name: given.cookie.clone(), attributes })
    }

    /// The pod that a request's cookie says, if it has one of ours.
    pub(crate) fn wanted(&self, request: &HeaderMap) -> Option<PodToken> {
        let mut cookies =
            request.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|b| *b == b';'));
        cookies.find_map(|cookie| {
            let cookie = std::str::from_utf8(cookie).ok()?.trim_ascii();
            let value = cookie.strip_prefix(&self.name)?.strip_prefix('=')?;
            let is_ours = value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_ours.then(|| PodToken::from_str_radix(value, 16).ok()).flatten()
        })
    }

    /// Tells a client to stay with this pod.
    pub(crate) fn keep(&self, response: &mut HeaderMap, pod: PodToken) {
        if let Ok(value) = HeaderValue::try_from(format!("{}={pod:016x}{}", self.name, self.attributes)) {
            response.append(SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affinity(name: &str) -> Result<Affinity, String> {
        Affinity::new(&proto::SessionAffinity { cookie: name.to_owned(), max_age_seconds: 60 })
    }

    fn wanted(fields: &[&str]) -> Option<PodToken> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::from_str(field).unwrap());
        }
        affinity("pod").unwrap().wanted(&headers)
    }

    #[test]
    fn what_is_told_is_understood() {
        let mut response = HeaderMap::new();
        response.insert(SET_COOKIE, HeaderValue::from_static("own=1"));
        affinity("pod").unwrap().keep(&mut response, 0xab);
        let told: Vec<_> = response.get_all(SET_COOKIE).iter().collect();
        assert_eq!(told[1], "pod=00000000000000ab; Path=/; Max-Age=60; HttpOnly");
        assert_eq!(wanted(&["own=1; pod=00000000000000ab;x=y"]), Some(0xab));
        assert_eq!(wanted(&["own=1", "pod=00000000000000ab"]), Some(0xab), "HTTP/2 may send them one by one");
    }

    #[test]
    fn what_others_say_is_nothing() {
        for field in [
            "",
            "pod",
            "pod=",
            "pod=ab",
            "pod=+0000000000000ab",
            "pods=00000000000000ab",
            "xpod=00000000000000ab",
        ] {
            assert_eq!(wanted(&[field]), None, "{field}");
        }
    }

    #[test]
    fn names_that_no_cookie_can_have_are_refused() {
        for name in ["", "a b", "a;b", "a=b", "ä"] {
            assert!(affinity(name).is_err(), "{name}");
        }
        assert!(affinity("AGCAffinity").is_ok());
    }
}
