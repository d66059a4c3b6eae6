//! Where the frames of a WebSocket end (RFC 6455 section 5.2).

/// Follows one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The header of a frame, as far as it has come.
    header: [u8; 14],
    read: usize,
    /// What is still to come of its payload.
    payload: u64,
}

impl Frames {
    /// Whether no frame has begun that has not ended.
    pub(super) fn is_between(&self) -> bool {
        self.read == 0 && self.payload == 0
    }

    /// These bytes have passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload > 0 {
                let passed = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= passed as u64;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.header.get_mut(self.read) {
                *place = *first;
            }
            self.read += 1;
            bytes = rest;
            if let Some(payload) = self.complete() {
                self.payload = payload;
                self.read = 0;
            }
        }
    }

    /// Length of the payload, once the header is complete.
    fn complete(&self) -> Option<u64> {
        let header = self.header.get(..self.read)?;
        let (length, masked) = (header.get(1)? & 0x7f, header.get(1)? & 0x80 != 0);
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.read < 2 + extended + if masked { 4 } else { 0 } {
            return None;
        }
        match extended {
            0 => Some(u64::from(length)),
            _ => Some(header.get(2..2 + extended)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..126 => frame.push(mask | payload as u8),
            126..65_536 => {
                frame.push(mask | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0x88; payload + if masked { 4 } else { 0 }]);
        frame
    }

    proptest! {
        #[test]
        fn the_end_of_every_frame_is_known_however_it_comes(
            frames in proptest::collection::vec((prop_oneof![0..300_usize, 65_530..65_540_usize], any::<bool>()), 1..4),
            piece in 1..5000_usize,
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for (payload, masked) in frames {
                bytes.extend(frame(payload, masked));
                ends.push(bytes.len());
            }
            let (mut seen, mut passed) = (Frames::default(), 0);
            for piece in bytes.chunks(piece) {
                seen.pass(piece);
                passed += piece.len();
                prop_assert_eq!(seen.is_between(), ends.contains(&passed));
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            Frames::default().pass(&bytes);
        }
    }
}
