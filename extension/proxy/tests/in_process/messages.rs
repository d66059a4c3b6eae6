//! Malformed and ambiguous messages, by section of the RFC that says what is right of each: `messages/http1.json` and
//! `messages/http2.json`.
//!
//! A case of HTTP/1 says what is sent (each character is a byte; `<<a*70>>` stands for seventy), and which answers come. After
//! an error that is no 404 the connection must be closed, otherwise it must be of use; `closed` says so where it is otherwise. A
//! case of HTTP/2 says the frames, and which outcomes are right: a status, or the code of the error that ends stream or
//! connection; instead of any code a peer may use PROTOCOL_ERROR (1), and any error of a stream it may treat as one of the
//! connection (RFC 9113 sections 5.4.1 and 7). `pod` says what reaches the pod.

mod http1;
mod http2;

use crate::pods::Pod;
use crate::support::{Wanted, World};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;

/// What takes longer does not happen.
const LIMIT: Duration = Duration::from_secs(10);

/// What reaches the pod.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    path: Option<String>,
    host: Option<String>,
    body: Option<String>,
    /// A field that does not.
    absent: Option<String>,
    /// A field, and its only value.
    field: Option<(String, String)>,
}

impl Reached {
    /// Compares with what the pod told of the request.
    fn check(&self, told: &[u8]) -> Result<(), String> {
        let told: serde_json::Value = serde_json::from_slice(told)
            .map_err(|error| format!("{error}: {:?}", String::from_utf8_lossy(told)))?;
        let field = |name: &str| {
            let values = told["headers"][name].as_array().cloned().unwrap_or_default();
            values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let mut wrong = Vec::new();
        let mut compare = |what: &str, seen: Vec<String>, expected: Option<&String>| {
            if let Some(expected) = expected
                && seen != [expected.clone()]
            {
                wrong.push(format!("{what} {seen:?} instead of {expected:?}"));
            }
        };
        compare("path", vec![told["path"].as_str().unwrap_or_default().to_owned()], self.path.as_ref());
        compare("body", vec![told["body"].as_str().unwrap_or_default().to_owned()], self.body.as_ref());
        compare("host", field("host"), self.host.as_ref());
        if let Some((name, value)) = &self.field {
            compare(name, field(name), Some(value));
        }
        if let Some(name) = &self.absent
            && !field(name).is_empty()
        {
            wrong.push(format!("{name} reached the pod: {:?}", field(name)));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

/// Cases by section.
fn cases<C: DeserializeOwned>(text: &str) -> BTreeMap<String, Vec<C>> {
    serde_json::from_str(text).unwrap()
}

async fn world() -> (World, Pod) {
    let pod = Pod::echo().await;
    let world = World::serving(&Wanted::new().clear_text("b", &[pod.address]));
    (world, pod)
}

/// Bytes of a text in a case.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<<") {
        bytes.extend(before.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        let (repeated, after) = after.split_once(">>").unwrap();
        let (letter, times) = repeated.split_once('*').unwrap();
        bytes.extend(letter.repeat(times.parse().unwrap()).into_bytes());
        rest = after;
    }
    bytes.extend(rest.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
    bytes
}

/// Fails with everything that is wrong.
fn report(count: usize, at_least: usize, wrong: &[String]) {
    assert!(count >= at_least, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
