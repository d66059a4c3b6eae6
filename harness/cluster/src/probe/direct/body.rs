//! Reading an answer to its end.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::classify::Broken;
use meshproof_run::probe::MAX_BODY;

/// An answer as far as it came.
pub(super) struct Read {
    pub(super) status: u16,
    /// Those at its end as well.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    /// Why it ended early.
    pub(super) broken: Option<Broken>,
    /// What the echo backend tells, where that is not the body.
    pub(super) account: Option<String>,
}

/// Reads an answer whose body is text.
pub(super) async fn whole(response: Response<Incoming>) -> Result<Read, Broken> {
    let status = response.status().as_u16();
    let (headers, bytes, broken) = parts(response).await;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Read { status, headers: joined(&headers), body, broken, account: None })
}

/// Headers, those at the end among them, and the bytes of the body, up to as many as are kept; and why it ended early.
pub(super) async fn parts(response: Response<Incoming>) -> (HeaderMap, Bytes, Option<Broken>) {
    let (head, mut body) = response.into_parts();
    let (mut headers, mut bytes, mut broken) = (head.headers, BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame {
            Err(error) => {
                broken = Some(Broken::of("reading the answer", &error));
                break;
            }
            Ok(frame) => match frame.into_data() {
                Ok(data) => {
                    bytes.extend_from_slice(data.get(..MAX_BODY - bytes.len()).unwrap_or(&data));
                    if bytes.len() == MAX_BODY {
                        break;
                    }
                }
                Err(frame) => headers.extend(frame.into_trailers().unwrap_or_default()),
            },
        }
    }
    (headers, bytes.freeze(), broken)
}

/// Header values by lower-case name; repeated names joined as RFC 9110, 5.3 allows.
pub(in crate::probe) fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str().to_string())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}
