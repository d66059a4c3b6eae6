//! How a dump shows what the protocol only numbers.

use crate::proto::{Protocol, TlsMode};
use serde::Serializer;

/// By its name.
pub(crate) fn protocol<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    match Protocol::try_from(*number) {
        Ok(protocol) => serializer.serialize_str(protocol.as_str_name()),
        Err(_) => serializer.serialize_i32(*number),
    }
}

/// Whether it is what most backends speak, and not worth a line.
pub(crate) fn is_http1(number: &i32) -> bool {
    *number == i32::from(Protocol::Http1)
}

/// By its name.
pub(crate) fn tls_mode<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    match TlsMode::try_from(*number) {
        Ok(mode) => serializer.serialize_str(mode.as_str_name()),
        Err(_) => serializer.serialize_i32(*number),
    }
}

/// Whether it is what most listeners do, and not worth a line.
pub(crate) fn terminates_http(number: &i32) -> bool {
    *number == i32::from(TlsMode::TerminateHttp)
}

#[cfg(test)]
mod tests {
    use crate::proto::{Backend, Protocol, TlsListener, TlsMode};

    #[test]
    fn only_a_mode_that_is_not_the_usual_one_is_shown() {
        let dump = |mode: i32| serde_json::to_value(TlsListener { mode, ..TlsListener::default() }).unwrap();
        assert!(dump(TlsMode::TerminateHttp.into()).get("mode").is_none());
        assert_eq!(dump(TlsMode::Passthrough.into())["mode"], "TLS_MODE_PASSTHROUGH");
        assert_eq!(dump(7)["mode"], 7);
    }

    #[test]
    fn only_a_protocol_that_is_not_the_usual_one_is_shown() {
        let dump = |protocol: i32| serde_json::to_value(Backend { protocol, ..Backend::default() }).unwrap();
        assert!(dump(Protocol::Http1.into()).get("protocol").is_none());
        assert_eq!(dump(Protocol::Http2.into())["protocol"], "PROTOCOL_HTTP2");
        assert_eq!(dump(7)["protocol"], 7);
    }
}
