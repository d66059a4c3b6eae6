//! Tells HTTP/2 with prior knowledge from HTTP/1 by the first bytes (RFC 9113 section 3.4).

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What was read to find out, to be read again.
#[derive(Debug, Default)]
pub(super) struct Read {
    bytes: [u8; PREFACE.len()],
    len: usize,
    given: usize,
}

/// Reads until the protocol is clear: one byte, mostly.
///
/// # Errors
/// Those of the connection, and its end before the protocol is clear.
pub(super) async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Read)> {
    let mut read = Read::default();
    loop {
        let rest = read.bytes.get_mut(read.len..).unwrap_or_default();
        let count = stream.read(rest).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read.len += count;
        let seen = read.bytes.get(..read.len).unwrap_or_default();
        if !PREFACE.starts_with(seen) {
            return Ok((Protocol::Http1, read));
        }
        if seen.len() == PREFACE.len() {
            return Ok((Protocol::Http2, read));
        }
    }
}

impl Read {
    /// Moves as much of what was read as there is room for into `buf`.
    pub(super) fn give_back(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.bytes.get(self.given..self.len).unwrap_or_default();
        let count = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..count).unwrap_or_default());
        self.given += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn protocol(pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(64);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (protocol, mut read) = sniff(&mut server).await.unwrap();
        let mut all = Vec::new();
        loop {
            let mut room = [0; 5];
            let mut buf = ReadBuf::new(&mut room);
            read.give_back(&mut buf);
            if buf.filled().is_empty() {
                break;
            }
            all.extend_from_slice(buf.filled());
        }
        server.read_to_end(&mut all).await.unwrap();
        (protocol, all)
    }

    #[tokio::test]
    async fn the_first_bytes_tell_the_protocol_and_are_read_again() {
        let whole: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest";
        assert_eq!(protocol(&[whole]).await, (Protocol::Http2, whole.to_vec()));
        assert_eq!(protocol(&[&whole[..5], &whole[5..]]).await, (Protocol::Http2, whole.to_vec()));
        assert_eq!(
            protocol(&[b"P", b"OST / HTTP/1.1"]).await,
            (Protocol::Http1, b"POST / HTTP/1.1".to_vec())
        );
        assert_eq!(protocol(&[b"G"]).await, (Protocol::Http1, b"G".to_vec()));
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_an_error() {
        let (client, mut server) = tokio::io::duplex(64);
        drop(client);
        assert!(sniff(&mut server).await.is_err());
    }
}
