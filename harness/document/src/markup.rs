//! HTML within a page: what of it a reader sees.

/// Elements whose text is a paragraph, a cell or an item of its own.
const BLOCKS: &[&str] = &[
    "article",
    "aside",
    "blockquote",
    "caption",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
];

/// Elements whose content nobody sees.
const UNSEEN: &[&str] = &["script", "style", "template"];

/// A piece of HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that is shown.
    Text(String),
    /// Code begins.
    Code,
    /// Code ends.
    End,
    /// What comes before does not go on after it.
    Break,
}

/// Where the reading is, from line to line.
#[derive(Debug, Default)]
pub(super) enum Markup {
    /// In text.
    #[default]
    Text,
    /// In a tag, of which this has been read.
    Tag(String),
    /// In a comment.
    Comment,
    /// In an element whose content nobody sees.
    Unseen(&'static str),
}

impl Markup {
    /// The pieces of a line, each with its offset.
    pub(super) fn read(&mut self, line: &str) -> Vec<(usize, Piece)> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest, at, &mut pieces);
        }
        pieces
    }

    /// Reads on as far as one thing goes; how far that is.
    fn step(&mut self, rest: &str, at: usize, pieces: &mut Vec<(usize, Piece)>) -> usize {
        match self {
            Self::Comment => {
                let end = rest.find("-->").map(|end| end + 3);
                if end.is_some() {
                    *self = Self::Text;
                }
                end.unwrap_or(rest.len())
            }
            Self::Unseen(name) => {
                let end = rest.to_ascii_lowercase().find(&format!("</{name}"));
                if end.is_some() {
                    *self = Self::Text;
                }
                end.unwrap_or(rest.len())
            }
            Self::Tag(begun) => match rest.find('>') {
                None => {
                    begun.push_str(rest);
                    rest.len()
                }
                Some(end) => {
                    let tag = std::mem::take(begun) + rest.get(..end).unwrap_or_default();
                    *self = Self::Text;
                    self.tag(&tag, at, pieces);
                    end + 1
                }
            },
            Self::Text => {
                let text = markup(rest).unwrap_or(rest.len());
                if text > 0 {
                    pieces.push((at, Piece::Text(decoded(rest.get(..text).unwrap_or_default()))));
                    return text;
                }
                if rest.starts_with("<!--") {
                    *self = Self::Comment;
                    return 4;
                }
                *self = Self::Tag(String::new());
                1
            }
        }
    }

    /// What a tag, without its brackets, does to the text around it.
    fn tag(&mut self, tag: &str, at: usize, pieces: &mut Vec<(usize, Piece)>) {
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "code" if closes => pieces.push((at, Piece::End)),
            "code" => pieces.push((at, Piece::Code)),
            "br" => pieces.push((at, Piece::Text(" ".to_owned()))),
            name if BLOCKS.contains(&name) => pieces.push((at, Piece::Break)),
            name => {
                if let Some(unseen) = UNSEEN.iter().find(|unseen| **unseen == name && !closes) {
                    *self = Self::Unseen(unseen);
                }
            }
        }
    }
}

/// Where the first tag or comment begins.
fn markup(text: &str) -> Option<usize> {
    let begins = |at: &usize| {
        let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
        next.is_some_and(|c| c.is_ascii_alphabetic() || "/!?".contains(c))
    };
    text.match_indices('<').map(|(at, _)| at).find(begins)
}

/// Text with the characters that HTML has names for. The name of `&` comes last: what it makes is no name again.
fn decoded(text: &str) -> String {
    let names = [
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    names.iter().fold(text.to_owned(), |text, (name, character)| text.replace(name, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that is shown, with `|` for breaks and backticks around code.
    fn shown(lines: &[&str]) -> String {
        let mut markup = Markup::default();
        let pieces = lines.iter().flat_map(|line| markup.read(line));
        let shown = pieces.map(|(_, piece)| match piece {
            Piece::Text(text) => text,
            Piece::Code | Piece::End => "`".to_owned(),
            Piece::Break => "|".to_owned(),
        });
        shown.collect()
    }

    #[test]
    fn only_what_a_reader_sees_is_text() {
        assert_eq!(
            shown(&["<p>A <b>bold</b> &amp; odd <code>a &lt; b</code>.</p>"]),
            "|A bold & odd `a < b`.|"
        );
        assert_eq!(shown(&["<td title=\"x\">1<br/>2 < 3</td>"]), "|1 2 < 3|");
        assert_eq!(shown(&["a<!-- not -", " this --> b"]), "a b");
        assert_eq!(shown(&["<STYLE>p {a: b}", "</Style>seen<script>not</script>"]), "seen");
    }

    #[test]
    fn a_tag_may_go_on_in_the_next_line() {
        assert_eq!(shown(&["<div class=\"a\"\n", " id=\"b\">text</div\n", ">"]), "|text|");
    }

    #[test]
    fn a_piece_knows_its_place() {
        assert_eq!(
            Markup::default().read("<p>ä<b>b")[1..],
            [(3, Piece::Text("ä".into())), (8, Piece::Text("b".into()))]
        );
    }
}
