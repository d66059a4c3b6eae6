//! What the harness looks like to a gateway: like any of the ordinary HTTP clients, another one for each request. Nothing that
//! it sends tells that it asks, so that no gateway can behave for it alone.

use std::fmt::Write as _;

use uuid::Uuid;

/// Header by which a tracing client names its request (W3C, Trace Context, 3.2). Proxies pass it on and keep the trace's id.
const TRACEPARENT: &str = "traceparent";

/// Headers of clients that many people use, in the order in which those send them; `Host` comes first with all of them. None
/// asks for compression, which the harness could not undo.
const CLIENTS: [&[(&str, &str)]; 5] = [
    &[("user-agent", "curl/7.88.1"), ("accept", "*/*")],
    &[("user-agent", "curl/8.5.0"), ("accept", "*/*")],
    &[("user-agent", "Wget/1.21.3"), ("accept", "*/*"), ("accept-encoding", "identity")],
    &[("user-agent", "GuzzleHttp/7"), ("accept", "*/*")],
    &[("user-agent", "PycURL/7.45.2 libcurl/7.88.1 OpenSSL/3.0.11 zlib/1.2.13"), ("accept", "*/*")],
];

/// A request's own client: drawn at random, as is its name.
#[derive(Debug, Clone)]
pub struct Client {
    /// The id of its trace.
    pub trace: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// Another one than before, perhaps.
    pub fn any() -> Self {
        Self::drawn(Uuid::new_v4(), Uuid::new_v4())
    }

    fn drawn(trace: Uuid, span: Uuid) -> Self {
        let which = usize::from(span.as_bytes()[15]) % CLIENTS.len();
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in CLIENTS.get(which).copied().unwrap_or_default() {
            headers.push(((*name).to_owned(), (*value).to_owned()));
        }
        let trace = trace.simple().to_string();
        let parent = span.as_bytes()[..8].iter().fold(String::new(), |mut parent, byte| {
            let _ = write!(parent, "{byte:02x}");
            parent
        });
        // Not sampled: nobody collects traces.
        headers.push((TRACEPARENT.to_owned(), format!("00-{trace}-{parent}-00")));
        Self { trace, headers }
    }

    /// Its headers, then `own`, which stand instead of those of the same name.
    pub fn headers(&self, own: &[(String, String)]) -> Vec<(String, String)> {
        let replaced = |name: &str| own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let ours = self.headers.iter().filter(|(name, _)| !replaced(name));
        ours.chain(own).cloned().collect()
    }
}

/// The id of the trace in a `traceparent`, if it is one.
pub(super) fn trace_of(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (_version, trace, _parent, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_tells_that_the_harness_asks() {
        for draw in 0..=u8::MAX {
            let client = Client::drawn(Uuid::from_u128(u128::MAX / 3), Uuid::from_u128(u128::from(draw)));
            for (name, value) in client.headers(&[]) {
                assert!(!format!("{name}: {value}").to_lowercase().contains("mesh"), "{name}: {value}");
                assert!(!name.starts_with("x-"), "{name}");
            }
        }
    }

    #[test]
    fn requests_are_not_all_of_one_client() {
        let agents = (0..CLIENTS.len()).map(|draw| Uuid::from_u128(draw as u128));
        let agents = agents.map(|span| Client::drawn(Uuid::nil(), span).headers(&[])[0].1.clone());
        let all: std::collections::BTreeSet<_> = agents.collect();
        assert_eq!(all.len(), CLIENTS.len());
    }

    #[test]
    fn a_request_is_known_by_its_trace() {
        let client = Client::any();
        let headers = client.headers(&[]);
        let (_, traceparent) = headers.iter().find(|(name, _)| name == TRACEPARENT).unwrap();
        assert_eq!(traceparent.len(), 55);
        assert_eq!(trace_of(traceparent), Some(client.trace.as_str()));
        assert_eq!(trace_of("00-short-0-00"), None);
        assert_eq!(trace_of(""), None);
    }

    #[test]
    fn what_a_scenario_says_stands_instead() {
        let own = [("User-Agent".to_owned(), "other".to_owned())];
        let headers = Client::any().headers(&own);
        let agents: Vec<_> =
            headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("user-agent")).collect();
        assert_eq!(agents, [&own[0]]);
    }
}
