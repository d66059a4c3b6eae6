//! The health of a gRPC service (`grpc.health.v1`; PROTOCOL-HTTP2.md of gRPC says how a call is sent).

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, TE};
use prost::Message as _;

use super::body::{Read, joined, parts};
use super::classify::Broken;
use super::{GRPC_AGENT, Place, Stream, account, request, with};
use meshproof_run::probe::Ask;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl ServingStatus {
    /// As the protocol spells it.
    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// A message's length comes first, after a byte that says that it is not compressed.
const HEAD: usize = 5;

/// Asks for the health of a service.
pub(super) async fn exchange(
    ask: &Ask,
    place: &Place,
    stream: Box<dyn Stream>,
    service: &str,
) -> Result<Read, Broken> {
    let mut headers = with(
        ask,
        &[
            GRPC_AGENT,
            (CONTENT_TYPE, "application/grpc"),
            (TE, "trailers"),
            (HeaderName::from_static("grpc-accept-encoding"), "identity"),
        ],
    );
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(ACCEPT.as_str()));
    let response = request(ask, place, stream, (headers, call(service))).await?;
    let status = response.status().as_u16();
    let (headers, bytes, broken) = parts(response).await;
    let account = account(&headers);
    Ok(Read { status, headers: joined(&headers), body: said(&bytes), broken, account })
}

fn call(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut call = BytesMut::with_capacity(HEAD + message.len());
    call.put_u8(0);
    call.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    call.put_slice(&message);
    call.freeze()
}

/// What a health check says; what is none as the text that it is, and nothing where nothing came.
fn said(bytes: &[u8]) -> String {
    let message = bytes.get(HEAD..).filter(|_| bytes.first() == Some(&0));
    let read = message.and_then(|message| HealthCheckResponse::decode(message).ok());
    match read.map(|read| ServingStatus::try_from(read.status)) {
        Some(Ok(status)) => status.word().to_owned(),
        Some(Err(_)) | None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_its_message_with_its_length() {
        assert_eq!(call("a.B").as_ref(), b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(call("").as_ref(), b"\0\0\0\0\0");
    }

    #[test]
    fn what_a_health_check_says_is_a_word() {
        assert_eq!(said(b"\0\0\0\0\x02\x08\x01"), "SERVING");
        assert_eq!(said(b"\0\0\0\0\x02\x08\x02"), "NOT_SERVING");
        assert_eq!(said(b"\0\0\0\0\0"), "UNKNOWN");
        assert_eq!(said(b"<html>"), "<html>");
        assert_eq!(said(b""), "");
    }
}
