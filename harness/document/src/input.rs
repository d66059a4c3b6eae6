//! Whether a file can be a document at all. What cannot is refused with a reason, before anything is compared.

use super::clean;

/// Why a file is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    /// Nothing but blanks.
    #[error("is empty; expected the document as Markdown")]
    Empty,
    /// Front matter and nothing below it.
    #[error("ends with its front matter; expected the document as Markdown below it")]
    FrontMatterOnly,
    /// Another encoding.
    #[error("is UTF-16 text; save it as UTF-8")]
    Utf16,
    /// Bytes that are no text; the position of the first, from 0.
    #[error("is no text: byte {0} is not UTF-8; expected the document as Markdown, saved as UTF-8")]
    Binary(usize),
    /// A web page.
    #[error(
        "is HTML; expected the document's Markdown source, which the page links to, or its text without tags"
    )]
    Html,
    /// Data of a program.
    #[error("is JSON; expected the document as Markdown")]
    Json,
}

/// The text of a document.
///
/// # Errors
/// When it cannot be one.
pub fn text(bytes: Vec<u8>) -> Result<String, NoDocument> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NoDocument::Utf16);
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(NoDocument::Binary(at));
    }
    let text =
        String::from_utf8(bytes).map_err(|error| NoDocument::Binary(error.utf8_error().valid_up_to()))?;
    let clean = clean::clean(&text);
    if clean.trim().is_empty() {
        return Err(NoDocument::Empty);
    }
    let (front, body) = clean::front_matter(&clean);
    if front.is_some() && body.trim().is_empty() {
        return Err(NoDocument::FrontMatterOnly);
    }
    let start: String = body.trim_start().chars().take(9).collect();
    let start = start.to_lowercase();
    if start.starts_with("<!doctype") || start.starts_with("<html") || start.starts_with("<?xml") {
        return Err(NoDocument::Html);
    }
    if start.starts_with(['{', '[']) && serde_json::from_str::<serde_json::Value>(body.trim()).is_ok() {
        return Err(NoDocument::Json);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_document_is_told_with_its_reason() {
        let refused = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err();
        assert_eq!(refused(b""), NoDocument::Empty);
        assert_eq!(refused("\u{FEFF}\r\n \n\u{200B}".as_bytes()), NoDocument::Empty);
        assert_eq!(refused(b"---\r\ntitle: x\r\n---\r\n\r\n"), NoDocument::FrontMatterOnly);
        assert_eq!(refused(&[0xff, 0xfe, b'#', 0]), NoDocument::Utf16);
        assert_eq!(refused(b"# x\n\xc3"), NoDocument::Binary(4));
        assert_eq!(refused(b"\x7fELF\0"), NoDocument::Binary(4));
        assert_eq!(refused(b"\n<!DOCTYPE html>\n<html><body>x"), NoDocument::Html);
        assert_eq!(refused(b"{\"a\": [1]}\n"), NoDocument::Json);
    }

    #[test]
    fn a_document_is_taken_as_it_is() {
        for page in
            ["\u{FEFF}---\r\ntitle: x\r\n---\r\n# X\r\n", "x", "[A link](x) is no JSON.\n", "<br>\nx\n"]
        {
            assert_eq!(text(page.as_bytes().to_vec()).as_deref(), Ok(page));
        }
    }
}
