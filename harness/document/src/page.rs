//! Markdown to blocks: prose, code and tables, each with its lines, its section and its tab.

mod plain;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::clean::{self, CODE, END};
use super::markup::{Markup, Piece};
use meshproof_model::yaml::{self, Tree};

/// A document, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its title.
    pub title: Option<String>,
    /// Date of its edition, as `2025-08-25`.
    pub edition: Option<String>,
    /// What it holds, in its order.
    pub blocks: Vec<Block>,
}

/// Where something stands in a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Its first line, from 1.
    pub line: usize,
    /// Its last line.
    pub end: usize,
    /// Headings it stands below, the outermost first.
    pub section: Vec<String>,
    /// Tab it is shown in.
    pub tab: Option<String>,
}

impl Place {
    /// Lines within this place, counted from its first.
    pub(super) fn within(&self, first: usize, last: usize) -> Self {
        Self { line: self.line + first, end: self.line + last.max(first), ..self.clone() }
    }
}

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Where it stands; for code, the lines of the code itself.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A paragraph, or the text of a list's item.
    Prose(Prose),
    /// A code block.
    Code {
        /// The language it names; empty if none.
        language: String,
        /// Its text.
        text: String,
    },
    /// A table: its rows with their cells, the head first.
    Table(Vec<Vec<String>>),
}

/// Text with its code spans marked, and the line each piece of it comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prose {
    pub(super) text: String,
    lines: Vec<(usize, usize)>,
}

impl Prose {
    fn push(&mut self, text: &str, line: usize) {
        self.lines.push((self.text.len(), line));
        self.text.push_str(text);
    }

    /// The line that the byte at `at` comes from.
    pub(super) fn line(&self, at: usize) -> usize {
        let later = self.lines.partition_point(|(start, _)| *start <= at);
        self.lines.get(later.saturating_sub(1)).map_or(1, |(_, line)| *line)
    }
}

/// Reads a page. Every text is some page: what is not understood is prose.
pub fn read(text: &str) -> Page {
    let text = clean::clean(text);
    let (front, body) = clean::front_matter(&text);
    let (body, pivots) = without_directives(&body);
    let mut page = Page::default();
    if let Some(front) = front {
        metadata(front, &mut page);
    }
    let (body, unfenced) = plain::take_code(body);
    let mut reader = Reader::new(&body);
    for (event, range) in Parser::new_ext(&body, Options::ENABLE_TABLES).into_offset_iter() {
        reader.event(event, range.start);
    }
    reader.flush();
    page.title = page.title.or(reader.title);
    page.blocks = reader.blocks;
    page.blocks.extend(unfenced);
    page.blocks.sort_by_key(|block| block.place.line);
    for place in page.blocks.iter_mut().map(|block| &mut block.place) {
        let pivot = pivots.iter().find(|pivot| pivot.lines.contains(&place.line));
        place.tab = place.tab.take().or_else(|| pivot.map(|pivot| pivot.name.clone()));
    }
    page
}

/// Part of a page that is shown only to those who chose it.
#[derive(Debug)]
struct Pivot {
    name: String,
    lines: std::ops::Range<usize>,
}

/// Lines such as `::: zone pivot="x"` are for the site's generator; they are left blank. What they enclose is the reader's choice,
/// as a tab is.
fn without_directives(text: &str) -> (String, Vec<Pivot>) {
    let (mut kept, mut pivots) = (Vec::new(), Vec::new());
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.split('\n').enumerate() {
        let Some(directive) = line.trim_start().strip_prefix(":::") else {
            kept.push(line);
            continue;
        };
        kept.push("");
        if let Some((first, name)) = open.take() {
            pivots.push(Pivot { name, lines: first..at + 1 });
        }
        if let Some((_, name)) = directive.split_once("pivot=") {
            open = Some((at + 2, name.trim().trim_matches('"').to_owned()));
        }
    }
    pivots.extend(open.map(|(first, name)| Pivot { name, lines: first..kept.len() + 1 }));
    (kept.join("\n"), pivots)
}

fn metadata(front: &str, page: &mut Page) {
    let Ok(trees) = yaml::documents::<Tree>(front) else { return };
    let Some(Tree::Mapping(map)) = trees.first() else { return };
    let text = |name: &str| map.get(name).and_then(Tree::as_str).map(str::to_owned);
    page.title = text("title");
    page.edition = text("ms.date").or_else(|| text("date")).map(|date| iso(&date));
}

/// `8/25/2025` as `2025-08-25`; another form stays as it is.
fn iso(date: &str) -> String {
    let parts: Vec<_> = date.trim().split('/').collect();
    match (&parts[..], parts.iter().map(|part| part.parse::<u32>()).collect::<Result<Vec<_>, _>>().as_deref())
    {
        ([_, _, year], Ok([month, day, number])) if year.len() == 4 => {
            format!("{number}-{month:02}-{day:02}")
        }
        _ => date.trim().to_owned(),
    }
}

/// What text is being collected for.
#[derive(Debug)]
enum Collecting {
    Prose,
    Heading { tab: bool, underlined: bool },
    Code { language: String },
    Cell,
}

/// Follows the events of the Markdown parser.
struct Reader<'a> {
    source: &'a str,
    /// Offset of each line's start.
    starts: Vec<usize>,
    blocks: Vec<Block>,
    title: Option<String>,
    sections: Vec<(HeadingLevel, String)>,
    tab: Option<String>,
    into: Collecting,
    prose: Prose,
    rows: Vec<Vec<String>>,
    opened: usize,
    images: usize,
    markup: Markup,
}

impl<'a> Reader<'a> {
    fn new(source: &'a str) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self {
            source,
            starts,
            blocks: Vec::new(),
            title: None,
            sections: Vec::new(),
            tab: None,
            into: Collecting::Prose,
            prose: Prose::default(),
            rows: Vec::new(),
            opened: 0,
            images: 0,
            markup: Markup::default(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    fn event(&mut self, event: Event<'_>, offset: usize) {
        match event {
            Event::Start(tag) => self.start(tag, offset),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.images == 0 => self.text(&text, offset),
            Event::Code(code) => self.text(&format!("{CODE}{code}{END}"), offset),
            Event::SoftBreak | Event::HardBreak => self.text(" ", offset),
            Event::InlineHtml(html) if html.starts_with("<br") => self.text(" ", offset),
            Event::Html(html) => self.html(&html, offset),
            Event::Rule => {
                self.flush();
                self.tab = None;
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, offset: usize) {
        let line = self.line(offset);
        self.prose.push(text, line);
    }

    /// A line of HTML: what it shows is as much part of the page as Markdown is.
    fn html(&mut self, line: &str, offset: usize) {
        for (at, piece) in self.markup.read(line) {
            match piece {
                Piece::Text(text) => self.text(&text, offset + at),
                Piece::Code => self.text(&CODE.to_string(), offset + at),
                Piece::End => self.text(&END.to_string(), offset + at),
                Piece::Break => self.flush(),
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>, offset: usize) {
        match tag {
            Tag::Heading { .. } => {
                self.flush();
                let hash = self.source.get(offset..).is_some_and(|rest| rest.trim_start().starts_with('#'));
                self.into = Collecting::Heading { tab: false, underlined: !hash };
            }
            Tag::Link { dest_url, .. } => {
                if let Collecting::Heading { tab, .. } = &mut self.into {
                    *tab |= dest_url.starts_with("#tab/");
                }
            }
            Tag::Image { .. } => self.images += 1,
            Tag::CodeBlock(kind) => {
                self.flush();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split([' ', ',', '{']).next().unwrap_or_default().to_lowercase()
                    }
                    CodeBlockKind::Indented => String::new(),
                };
                self.opened = self.line(offset);
                self.into = Collecting::Code { language };
            }
            Tag::Table(_) => {
                self.flush();
                self.opened = self.line(offset);
                self.rows.clear();
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::TableCell => self.into = Collecting::Cell,
            Tag::Paragraph | Tag::Item | Tag::List(_) | Tag::BlockQuote(_) => self.flush(),
            Tag::HtmlBlock => {
                self.flush();
                self.markup = Markup::default();
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Image => self.images = self.images.saturating_sub(1),
            TagEnd::CodeBlock => self.code(),
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.prose).text.replace([CODE, END], "");
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell.trim().to_owned());
                }
                self.into = Collecting::Prose;
            }
            TagEnd::Table => {
                let rows = std::mem::take(&mut self.rows);
                // The rule below the head is a line of its own.
                let place = self.place(self.opened, self.opened + rows.len());
                self.blocks.push(Block { place, content: Content::Table(rows) });
            }
            TagEnd::Paragraph | TagEnd::Item | TagEnd::BlockQuote(_) | TagEnd::HtmlBlock => self.flush(),
            _ => {}
        }
    }

    fn heading(&mut self, level: HeadingLevel) {
        let Collecting::Heading { tab, underlined } = std::mem::replace(&mut self.into, Collecting::Prose)
        else {
            return;
        };
        // Text right above the `---` that ends the tabs looks like a heading.
        if underlined && !tab && (self.tab.is_some() || self.prose.text.trim_end().ends_with(['.', ':', '!']))
        {
            self.flush();
            self.tab = None;
            return;
        }
        let text = std::mem::take(&mut self.prose).text.replace([CODE, END], "").trim().to_owned();
        if tab {
            self.tab = Some(text);
            return;
        }
        if self.sections.last().is_some_and(|(inner, _)| level <= *inner) {
            self.tab = None;
        }
        self.title.get_or_insert_with(|| text.clone());
        self.sections.retain(|(outer, _)| *outer < level);
        self.sections.push((level, text));
    }

    fn code(&mut self) {
        let Collecting::Code { language } = std::mem::replace(&mut self.into, Collecting::Prose) else {
            return;
        };
        let Prose { text, lines } = std::mem::take(&mut self.prose);
        let line = lines.first().map_or(self.opened, |(_, line)| *line);
        let end = line + text.trim_end_matches('\n').matches('\n').count();
        let place = self.place(line, end);
        self.blocks.push(Block { place, content: Content::Code { language, text } });
    }

    /// Ends the paragraph that is being collected.
    fn flush(&mut self) {
        if !matches!(self.into, Collecting::Prose) {
            return;
        }
        let prose = std::mem::take(&mut self.prose);
        if prose.text.trim().is_empty() {
            return;
        }
        let place = self.place(prose.line(0), prose.line(prose.text.len()));
        self.blocks.push(Block { place, content: Content::Prose(prose) });
    }

    fn place(&self, line: usize, end: usize) -> Place {
        let section = self.sections.iter().map(|(_, text)| text.clone()).collect();
        Place { line, end, section, tab: self.tab.clone() }
    }
}
