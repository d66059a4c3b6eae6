//! Pieces of a log (pure).

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use meshproof_run::audit::entry;

/// The end of a file, or all of it, in whole lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Piece {
    text: String,
    /// It begins with the file.
    pub(super) is_whole: bool,
}

impl Piece {
    /// What was read of a file, from its beginning or from anywhere, to its end. A line that is not all there is left out.
    pub(super) fn of(read: &str, from_beginning: bool) -> Self {
        let start = match from_beginning {
            true => 0,
            false => read.find('\n').map_or(read.len(), |end| end + 1),
        };
        let end = read.rfind('\n').map_or(start, |end| end + 1).max(start);
        Self { text: read[start..end].to_owned(), is_whole: from_beginning }
    }

    /// Its lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim().is_empty())
    }

    /// When the request of its first line came.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.lines().find_map(|line| entry::received(line).ok())
    }

    /// Whether what came at a time may stand before it.
    pub(super) fn begins_after(&self, time: Timestamp) -> bool {
        self.first().is_none_or(|first| first > time)
    }
}

/// What tells an entry from any other: its id and stage, which stand at its beginning; the line itself where they do not.
pub(super) fn key(line: &str) -> &str {
    let stage = line.find("\"stage\":\"").filter(|at| *at < 400);
    let end = stage.and_then(|at| line.get(at + 9..)?.find('"').map(|end| at + 9 + end));
    end.and_then(|end| line.get(..end)).filter(|key| key.contains("\"auditID\":\"")).unwrap_or(line)
}

/// The time of an HTTP header (RFC 9110, section 5.6.7).
pub(super) fn date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str =
        r#"{"auditID":"1","stage":"ResponseComplete","requestReceivedTimestamp":"2026-12-01T07:10:00.5Z"}"#;
    const SECOND: &str =
        r#"{"auditID":"2","stage":"ResponseComplete","requestReceivedTimestamp":"2026-12-01T07:10:02.5Z"}"#;

    #[test]
    fn lines_that_are_not_all_there_are_left_out() {
        let piece = Piece::of(&format!("...00Z\"}}\n{FIRST}\n{SECOND}\n{{\"auditID\":\"3\",\"st"), false);
        assert_eq!(piece.lines().collect::<Vec<_>>(), [FIRST, SECOND]);
        assert!(!piece.is_whole);
        let whole = Piece::of(&format!("{FIRST}\n{SECOND}\n"), true);
        assert_eq!((whole.lines().count(), whole.is_whole), (2, true));
        for torn in ["", "half a line"] {
            assert_eq!(Piece::of(torn, false).lines().count(), 0, "{torn}");
            assert_eq!(Piece::of(torn, true).lines().count(), 0, "{torn}");
        }
    }

    #[test]
    fn how_far_a_piece_reaches_back_its_first_line_tells() {
        let piece = Piece::of(&format!("{FIRST}\n{SECOND}\n"), true);
        let at = |second: &str| format!("2026-12-01T07:10:0{second}Z").parse::<Timestamp>().unwrap();
        assert!(piece.begins_after(at("0")));
        assert!(!piece.begins_after(at("1")));
        assert!(Piece::default().begins_after(at("1")), "of nothing nobody knows");
    }

    #[test]
    fn an_entry_that_was_read_twice_is_one() {
        assert_eq!(key(FIRST), r#"{"auditID":"1","stage":"ResponseComplete"#);
        assert_ne!(key(FIRST), key(SECOND));
        assert_eq!(key("{}"), "{}");
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(date("Tue, 01 Dec 2026 07:10:00 GMT"), Some("2026-12-01T07:10:00Z".parse().unwrap()));
        assert_eq!(date("yesterday"), None);
    }
}
