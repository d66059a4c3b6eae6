//! Text as a page ought to have it: what editors, word processors and browsers do to a text is undone first. Lines stay where
//! they are.

/// Marks the start of a code span in prose; taken out of the text itself.
pub(super) const CODE: char = '\u{E000}';

/// Marks the end of a code span.
pub(super) const END: char = '\u{E001}';

/// Unifies line ends, blanks, quotes and dashes, and drops what cannot be seen.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut before = '\n';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\r' if next == Some('\n') => continue,
            '\r' => out.push('\n'),
            '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => {
                out.push(' ')
            }
            '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{B}' | '\u{C}' => out.push(' '),
            '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\0' | CODE | END => continue,
            '\u{2018}'..='\u{201B}' | '\u{2032}' => out.push('\''),
            '\u{201C}'..='\u{201F}' | '\u{2033}' => out.push('"'),
            // Two hyphens before a flag are what is most often made into one dash.
            '\u{2013}' | '\u{2014}' if before.is_whitespace() && next.is_some_and(char::is_alphabetic) => {
                out.push_str("--");
            }
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{2026}' => out.push_str("..."),
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// Splits off the front matter, if there is one. Its lines are blank in the rest, so that lines keep their numbers.
pub(super) fn front_matter(text: &str) -> (Option<&str>, String) {
    let Some(after) = text.strip_prefix("---\n") else { return (None, text.to_owned()) };
    let mut length = 0;
    for line in after.split_inclusive('\n') {
        if matches!(line.trim_end(), "---" | "...") {
            let front = after.get(..length).unwrap_or_default();
            let rest = after.get(length + line.len()..).unwrap_or_default();
            return (Some(front), "\n".repeat(front.matches('\n').count() + 2) + rest);
        }
        length += line.len();
    }
    (None, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_do_to_a_text_is_undone() {
        assert_eq!(clean("\u{FEFF}a\r\nb\rc"), "a\nb\nc");
        assert_eq!(
            clean("helm \u{2014}version \u{201C}1\u{201D} a\u{2013}b\u{A0}c"),
            "helm --version \"1\" a-b c"
        );
        assert_eq!(clean("it\u{2019}s\u{200B}\u{2026}"), "it's...");
    }

    #[test]
    fn front_matter_is_taken_off_and_leaves_its_lines() {
        let (front, rest) = front_matter("---\na: 1\n---\nb\n");
        assert_eq!((front, rest.as_str()), (Some("a: 1\n"), "\n\n\nb\n"));
        assert_eq!(front_matter("---\nnever closed\n").0, None);
        assert_eq!(front_matter("x\n").0, None);
    }
}
