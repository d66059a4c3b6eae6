//! Bytes as the `data` of a Secret holds them (Kubernetes API, `Secret`): text in base64 (RFC 4648, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The bytes themselves; base64 once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByteString(pub(crate) Vec<u8>);

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_and_read_as_kubernetes_does() {
        let written = serde_json::to_value(ByteString(b"abc\n".to_vec())).unwrap();
        assert_eq!(written, "YWJjCg==");
        assert_eq!(serde_json::from_value::<ByteString>(written).unwrap().0, b"abc\n");
        assert!(serde_json::from_value::<ByteString>("YWJjCg".into()).is_err());
    }
}
