//! Paths in the one form in which they are compared and sent on (RFC 3986 section 6.2.2, Gateway API `HTTPPathMatch`).

use std::borrow::Cow;
use std::str::FromStr;

/// What is done to a path before a route is looked up for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathPolicy {
    /// How far paths are normalised.
    pub normalization: Normalization,
    /// What becomes of `%2F` and `%5C`. Nothing, whatever it says, with [`Normalization::None`].
    pub encoded_slashes: EncodedSlashes,
}

impl Default for PathPolicy {
    /// `/%61//b/../c` is `/a/c`; an encoded slash is refused.
    fn default() -> Self {
        Self { normalization: Normalization::MergeSlashes, encoded_slashes: EncodedSlashes::Reject }
    }
}

/// How far paths are normalised; the words are those of Istio's `meshConfig.pathNormalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalization {
    /// Not: paths are matched and sent on as they came, whatever they mean to a backend.
    None,
    /// Unreserved characters are decoded, other escapes written in upper case, dot segments removed.
    Base,
    /// That, and of several slashes in a row only one is left.
    MergeSlashes,
}

/// What becomes of `%2F` and `%5C`, which some servers take for slashes and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// The path is refused.
    Reject,
    /// They stay as they are, and separate nothing.
    Keep,
    /// They are slashes.
    Decode,
}

impl FromStr for Normalization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "base" => Ok(Self::Base),
            "merge-slashes" => Ok(Self::MergeSlashes),
            _ => Err(format!("{text:?} is none of none, base, merge-slashes")),
        }
    }
}

impl FromStr for EncodedSlashes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reject" => Ok(Self::Reject),
            "keep" => Ok(Self::Keep),
            "decode" => Ok(Self::Decode),
            _ => Err(format!("{text:?} is none of reject, keep, decode")),
        }
    }
}

/// Why a path has no normal form that means the same to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A `%` without two hexadecimal digits (RFC 3986 section 2.1).
    Escape,
    /// `%00`.
    Nul,
    /// `%2F` or `%5C`.
    EncodedSlash,
    /// A backslash: no character of a URI, and a slash to some servers.
    Backslash,
    /// More `..` than there are segments before them.
    AboveRoot,
    /// A dot segment with a parameter, as in `/..;x/`: removed by some servers and kept by others.
    DotParameter,
}

impl std::fmt::Display for PathError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::Escape => {
                "a % in the path is not followed by two hexadecimal digits (RFC 3986 section 2.1)"
            }
            Self::Nul => "the path holds an encoded NUL",
            Self::EncodedSlash => "the path holds an encoded slash",
            Self::Backslash => "the path holds a backslash",
            Self::AboveRoot => "dot segments lead above the root (RFC 3986 section 6.2.2.3)",
            Self::DotParameter => "a dot segment of the path has a parameter",
        })
    }
}

impl std::error::Error for PathError {}

impl PathPolicy {
    /// The normal form of a path without its query. Borrowed, and nothing allocated, when it is in it already.
    ///
    /// # Errors
    /// When there is none that is safe.
    pub fn apply<'a>(&self, path: &'a str) -> Result<Cow<'a, str>, PathError> {
        if self.normalization == Normalization::None {
            return Ok(Cow::Borrowed(path));
        }
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let merge = self.normalization == Normalization::MergeSlashes;
        if !may_change(path.as_bytes(), merge) {
            return Ok(Cow::Borrowed(path));
        }
        let normal = remove_dot_segments(&self.decode(path)?, merge)?;
        Ok(if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) })
    }

    /// Decodes what may be decoded, and escapes what must be (RFC 3986 sections 6.2.2.1 and 6.2.2.2).
    fn decode(&self, path: &str) -> Result<String, PathError> {
        let mut decoded = String::with_capacity(path.len());
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match self.encoded_slashes {
                    EncodedSlashes::Decode => decoded.push('/'),
                    EncodedSlashes::Reject | EncodedSlashes::Keep => return Err(PathError::Backslash),
                },
                b'%' => {
                    let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                        return Err(PathError::Escape);
                    };
                    self.unescape(high << 4 | low, &mut decoded)?;
                }
                byte if must_be_escaped(byte) => escape(byte, &mut decoded),
                byte => decoded.push(char::from(byte)),
            }
        }
        Ok(decoded)
    }

    /// Adds what was escaped.
    fn unescape(&self, byte: u8, decoded: &mut String) -> Result<(), PathError> {
        match (byte, self.encoded_slashes) {
            (0, _) => return Err(PathError::Nul),
            (b'/' | b'\\', EncodedSlashes::Reject) => return Err(PathError::EncodedSlash),
            (b'/' | b'\\', EncodedSlashes::Decode) => decoded.push('/'),
            (byte, _) if is_unreserved(byte) => decoded.push(char::from(byte)),
            (byte, _) => escape(byte, decoded),
        }
        Ok(())
    }
}

/// Whether a look is enough to see that a path is in its normal form; most are.
fn may_change(path: &[u8], merge: bool) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' | b'\\' => return true,
            byte if must_be_escaped(*byte) => return true,
            b'.' if after_slash => return true,
            b'/' if after_slash && merge => return true,
            _ => {}
        }
        after_slash = *byte == b'/';
    }
    false
}

fn digit(byte: Option<u8>) -> Option<u8> {
    byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
}

fn escape(byte: u8, path: &mut String) {
    path.push('%');
    path.push(hexadecimal(byte >> 4));
    path.push(hexadecimal(byte & 15));
}

fn hexadecimal(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

/// What no path holds unescaped (RFC 3986 section 3.3), though clients send it.
fn must_be_escaped(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 5.2.4, but for what leads above the root.
fn remove_dot_segments(path: &str, merge: bool) -> Result<String, PathError> {
    let mut kept = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                let parent = kept.rfind('/').ok_or(PathError::AboveRoot)?;
                kept.truncate(parent);
            }
            "" if merge && !last => continue,
            "" if merge => {}
            _ => {
                if segment.split_once(';').is_some_and(|(name, _)| matches!(name, "." | "..")) {
                    return Err(PathError::DotParameter);
                }
                kept.push('/');
                kept.push_str(segment);
                continue;
            }
        }
        if last {
            kept.push('/');
        }
    }
    if kept.is_empty() {
        kept.push('/');
    }
    Ok(kept)
}

#[cfg(test)]
mod tests;
