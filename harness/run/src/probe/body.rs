//! Bodies of requests: made of nothing but their size and a seed, and checked against what the backend says it received.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A body to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    bytes: Bytes,
    sha256: String,
}

/// What a backend says of the body that it received.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Received {
    /// How many bytes.
    pub length: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Body {
    /// `length` bytes of text that nobody has sent before: lines of letters and digits drawn from `seed`.
    pub fn of(length: usize, seed: u64) -> Self {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            let letters = next().to_le_bytes();
            bytes.extend(letters.iter().filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len())));
            if bytes.len() % 72 == 0 {
                bytes.push(b'\n');
            }
        }
        bytes.truncate(length);
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Self { bytes: bytes.into(), sha256 }
    }

    /// This text.
    pub fn text(text: &str) -> Self {
        Self { bytes: Bytes::copy_from_slice(text.as_bytes()), sha256: format!("{:x}", Sha256::digest(text)) }
    }

    /// The bytes.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// What it is called.
    pub fn content_type(&self) -> &'static str {
        "text/plain"
    }

    /// Why what the backend received is not this body.
    pub fn differs(&self, received: Option<&Received>) -> Option<String> {
        let sent = self.bytes.len();
        match received {
            None => Some(format!("the backend received no body, and {sent} bytes were sent")),
            Some(received) if received.length != sent as u64 => {
                Some(format!("the backend received {} bytes of {sent}", received.length))
            }
            Some(received) if received.sha256 != self.sha256 => {
                Some(format!("the backend received {sent} other bytes than were sent"))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_asked_for_and_another_for_each_seed() {
        assert_eq!(Body::of(1024 * 1024, 1).bytes().len(), 1024 * 1024);
        assert_eq!(Body::of(5, 1), Body::of(5, 1));
        assert_ne!(Body::of(64, 1), Body::of(64, 2));
    }

    #[test]
    fn a_body_cut_short_or_changed_on_the_way_is_told() {
        let body = Body::of(64, 1);
        let received =
            |other: &Body| Received { length: other.bytes.len() as u64, sha256: other.sha256.clone() };
        assert_eq!(body.differs(Some(&received(&body))), None);
        assert!(body.differs(Some(&received(&Body::of(63, 1)))).unwrap().contains("63 bytes of 64"));
        assert!(body.differs(Some(&received(&Body::of(64, 2)))).unwrap().contains("other bytes"));
        assert!(body.differs(None).unwrap().contains("no body"));
    }
}
