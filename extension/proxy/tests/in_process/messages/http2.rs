//! Cases of HTTP/2, frame by frame.

use super::{LIMIT, Reached, bytes, cases, report, world};
use crate::support::PORT;
use serde::Deserialize;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frames may not be larger (RFC 9113 section 4.2).
const MAX_FRAME: usize = 16_384;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    frames: Vec<Frame>,
    outcome: Outcome,
    pod: Option<Reached>,
    /// The stream that is looked at.
    stream: Option<u32>,
    preface: Option<String>,
    /// Whether SETTINGS follow the preface.
    settings: Option<bool>,
    /// What is to be known of a case that is answered more kindly than the RFC has it.
    #[serde(rename = "note")]
    _note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Frame {
    Headers {
        headers: Vec<(String, String)>,
        stream: u32,
        end: bool,
        /// The header goes on in another frame.
        #[serde(default)]
        open: bool,
        #[serde(default)]
        flags: u8,
    },
    Data {
        data: String,
        stream: u32,
        end: bool,
    },
    Raw {
        raw: String,
        /// So many bytes follow.
        #[serde(default)]
        fill: usize,
    },
}

/// What is right, each of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    #[serde(default)]
    status: Vec<u16>,
    /// Codes of RST_STREAM.
    #[serde(default)]
    reset: Vec<u32>,
    /// Codes of GOAWAY.
    #[serde(default)]
    goaway: Vec<u32>,
    /// The connection is closed without a word.
    #[serde(default)]
    closed: bool,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A string literal (RFC 7541 section 5.2).
fn literal(text: &str, block: &mut Vec<u8>) {
    let text = bytes(text);
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend(text);
}

impl Frame {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Headers { headers, stream, end, open, flags } => {
                let mut block = Vec::new();
                for (name, value) in headers {
                    // Literal without indexing, new name (RFC 7541 section 6.2.2).
                    block.push(0);
                    literal(name, &mut block);
                    literal(value, &mut block);
                }
                let mut pieces: Vec<_> = block.chunks(MAX_FRAME).collect();
                if pieces.is_empty() {
                    pieces.push(&[]);
                }
                let mut all = Vec::new();
                let last = pieces.len() - 1;
                for (index, piece) in pieces.into_iter().enumerate() {
                    let kind = if index == 0 { HEADERS } else { CONTINUATION };
                    let mut set = if index == 0 && *end { END_STREAM | flags } else { *flags };
                    if index == last && !open {
                        set |= END_HEADERS;
                    }
                    all.extend(frame(kind, set, *stream, piece));
                }
                all
            }
            Self::Data { data, stream, end } => frame(DATA, u8::from(*end), *stream, &bytes(data)),
            Self::Raw { raw, fill } => {
                let digits: Vec<_> = raw.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
                let mut all: Vec<_> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
                all.extend(vec![0; *fill]);
                all
            }
        }
    }
}

/// The status in a response's header, which it begins with.
fn status(block: &[u8]) -> Result<u16, String> {
    // Updates of the table's size come first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or_default();
    match &block[start..] {
        // The static table (RFC 7541 appendix A).
        [byte @ 0x88..=0x8e, ..] => Ok([200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)]),
        // Its name is there, its value a string of digits.
        [0x08 | 0x18 | 0x48, 3, digits @ ..] => {
            let digits = digits.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("no status: {block:x?}"))
        }
        [0x08 | 0x18 | 0x48, length @ 0x81..=0x83, digits @ ..] => {
            let bits = digits[..usize::from(length & 0x7f)]
                .iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            Ok(huffman_digits(bits, u32::from(length & 0x7f) * 8))
        }
        _ => Err(format!("no status: {block:x?}")),
    }
}

/// A number of three digits in Huffman code (RFC 7541 appendix B): "0" to "2" have five bits, the others six.
fn huffman_digits(bits: u64, mut left: u32) -> u16 {
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        if five <= 2 {
            number = number * 10 + five as u16;
            left -= 5;
        } else {
            number = number * 10 + (bits >> (left - 6) & 0x3f) as u16 - 0x19 + 3;
            left -= 6;
        }
    }
    number
}

async fn run(case: &Case, address: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let mut sent = bytes(case.preface.as_deref().unwrap_or(PREFACE));
    if case.settings.unwrap_or(true) {
        sent.extend(frame(SETTINGS, 0, 0, &[]));
    }
    for frame in &case.frames {
        sent.extend(frame.bytes());
    }
    let _ = stream.write_all(&sent).await;
    tokio::time::timeout(LIMIT, outcome(case, stream))
        .await
        .unwrap_or_else(|_| Err("nothing happens".to_owned()))
}

/// Reads what comes until it is clear whether it is right.
async fn outcome(case: &Case, mut stream: TcpStream) -> Result<(), String> {
    let (looked_at, right) = (case.stream.unwrap_or(1), &case.outcome);
    let (mut answered, mut body) = (None, Vec::new());
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return if right.closed { Ok(()) } else { Err("closed without a word".to_owned()) };
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        let (kind, flags) = (head[3], head[4]);
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if stream.read_exact(&mut payload).await.is_err() {
            // An answer of HTTP/1, perhaps, which is no frame.
            return if right.closed { Ok(()) } else { Err("closed in the middle of a frame".to_owned()) };
        }
        let code =
            |at: usize| payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        match kind {
            SETTINGS if flags & ACK == 0 => {
                let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
            }
            GOAWAY => match code(4).unwrap_or_default() {
                0 => {}
                code if right.goaway.contains(&code) => return Ok(()),
                code => return Err(format!("the connection ended with {code}")),
            },
            RST_STREAM if number == looked_at => {
                return match code(0).unwrap_or_default() {
                    code if right.reset.contains(&code) => Ok(()),
                    code => Err(format!("the stream ended with {code}, {answered:?}")),
                };
            }
            HEADERS if number == looked_at => answered = Some(status(&payload)?),
            DATA if number == looked_at => body.extend(&payload),
            _ => {}
        }
        if number == looked_at && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            let status = answered.unwrap_or_default();
            // An answer may come before the error that is waited for.
            if right.status.is_empty() {
                continue;
            }
            if !right.status.contains(&status) {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
            }
            return match &case.pod {
                Some(pod) if status == 200 => pod.check(&body),
                _ => Ok(()),
            };
        }
    }
}

#[tokio::test]
async fn every_message_of_http2_has_the_right_outcome() {
    let (world, _pod) = world().await;
    let (mut count, mut wrong) = (0, Vec::new());
    for (section, cases) in cases::<Case>(include_str!("http2.json")) {
        for case in cases {
            count += 1;
            if let Err(error) = run(&case, world.address(PORT)).await {
                wrong.push(format!("{section}: {}: {error}", case.name));
            }
        }
    }
    report(count, 140, &wrong);
}

#[test]
fn statuses_are_read_however_they_are_written() {
    assert_eq!(status(&[0x20, 0x8d]), Ok(404));
    assert_eq!(status(&[0x48, 3, b'5', b'0', b'3']), Ok(503));
    // "503": 011011 00000 011001, and padding.
    assert_eq!(status(&[0x48, 0x83, 0b0110_1100, 0b0000_1100, 0b1111_1111]), Ok(503));
}
