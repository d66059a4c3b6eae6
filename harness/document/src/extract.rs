//! A page to fragments: what it asks to apply, to run, to expect, and what it promises.

use super::command::{self, Command};
use super::facts::{self, Facts};
use super::manifest::{self, Role};
use super::page::{Block, Content, Page, Place};
use super::sentence::{self, Sentence, Shingles};
use super::shell::{self, Statement};
use super::{Fragment, Kind, table};

/// Languages of blocks that hold commands.
pub(super) const SHELLS: &[&str] = &[
    "azurecli",
    "azurecli-interactive",
    "azurepowershell",
    "bash",
    "cli",
    "cmd",
    "console",
    "powershell",
    "sh",
    "shell",
    "terminal",
    "zsh",
];

/// Every fragment of a page, in its order.
pub fn fragments(page: &Page) -> Vec<Fragment> {
    let mut all: Vec<Fragment> = page.blocks.iter().flat_map(block).collect();
    all.sort_by_key(|fragment| fragment.place.line);
    all
}

fn block(block: &Block) -> Vec<Fragment> {
    let place = &block.place;
    match &block.content {
        Content::Prose(prose) => {
            sentence::sentences(prose).into_iter().flat_map(|sentence| promise(sentence, place)).collect()
        }
        Content::Table(rows) => vec![output(table::facts(rows), place.clone())],
        Content::Code { language, text } => code(language, text, place),
    }
}

fn promise(sentence: Sentence, place: &Place) -> Vec<Fragment> {
    let place = Place { line: sentence.line, end: sentence.end, ..place.clone() };
    let commands = sentence.commands.iter().flat_map(|line| {
        shell::statements(line).into_iter().filter_map(|statement| one_command(&statement, &place))
    });
    let mut all: Vec<_> = commands.map(|fragment| Fragment { place: place.clone(), ..fragment }).collect();
    all.insert(
        0,
        Fragment {
            kind: if sentence.promises { Kind::Promise } else { Kind::Remark },
            place,
            what: String::new(),
            facts: sentence.facts,
            fingerprint: sentence.fingerprint,
            shingles: sentence.shingles,
            excerpt: sentence.text,
            problem: None,
        },
    );
    all
}

fn code(language: &str, text: &str, place: &Place) -> Vec<Fragment> {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or_default();
    let shown = first.strip_prefix("$ ").unwrap_or(first);
    let runs = command::is_command(shown)
        || shown.split_once('=').is_some_and(|(name, _)| command::is_variable(name));
    if runs || SHELLS.contains(&language) && !manifest::is_yaml(first) {
        let (run, printed) = table::split_off(text);
        let rest = printed.map(|(line, text)| shown_output(text, &place.within(line, line)));
        return commands(run, place).into_iter().chain(rest.into_iter().flatten()).collect();
    }
    if manifest::is_yaml(text) || matches!(language, "yaml" | "yml" | "json") {
        return objects(text, place);
    }
    shown_output(text, place)
}

/// What a command is shown to print; `place` is that of its first line or of the whole block.
fn shown_output(text: &str, place: &Place) -> Vec<Fragment> {
    let last = place.line + text.trim_end().matches('\n').count();
    let place = &Place { end: last.max(place.end), ..place.clone() };
    if manifest::is_yaml(text) {
        return objects(text, place);
    }
    if let Some(rows) = table::columns(text) {
        return vec![output(table::facts(&rows), place.clone())];
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty()).enumerate();
    let facts: Facts = lines.map(|(at, line)| (format!("line {}", at + 1), line.trim().to_owned())).collect();
    if facts.is_empty() { Vec::new() } else { vec![output(("text".to_owned(), facts), place.clone())] }
}

fn objects(text: &str, place: &Place) -> Vec<Fragment> {
    let fragment = |item: manifest::Item| {
        let kind = match item.role {
            Role::Manifest => Kind::Manifest,
            Role::Output => Kind::Output,
        };
        let place = place.within(item.line, item.end);
        Fragment { problem: item.problem, ..structured(kind, item.what, item.facts, place) }
    };
    manifest::items(text).into_iter().map(fragment).collect()
}

fn output((what, facts): (String, Facts), place: Place) -> Fragment {
    structured(Kind::Output, what, facts, place)
}

fn structured(kind: Kind, what: String, facts: Facts, place: Place) -> Fragment {
    let name = ["metadata.name", "name", "release", "url", "file"].iter().find_map(|key| facts.get(*key));
    let excerpt = name.map_or_else(|| what.clone(), |name| format!("{what} {name}"));
    Fragment {
        kind,
        place,
        fingerprint: facts::fingerprint(&what, &facts),
        what,
        facts,
        shingles: Shingles::default(),
        excerpt,
        problem: None,
    }
}

fn commands(text: &str, place: &Place) -> Vec<Fragment> {
    let mut all: Vec<Fragment> = Vec::new();
    let mut variables: Option<(Facts, usize, usize)> = None;
    for statement in shell::statements(text) {
        if statement.value {
            let (facts, _, end) =
                variables.get_or_insert_with(|| (Facts::new(), statement.line, statement.line));
            *end = statement.end;
            let value = statement.words.first().map(|word| command::value(word)).unwrap_or_default();
            facts.insert(statement.assigns.unwrap_or_default(), value);
            continue;
        }
        if let Some((line, input)) = &statement.input
            && manifest::is_yaml(input)
        {
            // `kubectl apply -f -` says no more than the manifest it reads, which so gets its line, too.
            let mut found = objects(input, &place.within(*line, *line));
            if let Some(first) = found.first_mut() {
                first.place.line = place.line + statement.line;
            }
            all.extend(found);
        } else {
            all.extend(one_command(&statement, place));
        }
        if let Some((line, text)) = &statement.prints {
            all.extend(shown_output(text, &place.within(*line, *line)));
        }
    }
    if let Some((facts, line, end)) = variables {
        all.push(structured(Kind::Command, "set variables".to_owned(), facts, place.within(line, end)));
    }
    all
}

fn one_command(statement: &Statement, place: &Place) -> Option<Fragment> {
    let reads_nothing = |words: &[String]| words.iter().any(|word| word == "<<" || word == "EOF");
    if statement.words.is_empty() || reads_nothing(&statement.words) {
        return None;
    }
    let Command { skeleton, mut facts } = command::parse(&statement.words);
    if let Some(name) = &statement.assigns {
        facts.insert("assigns".to_owned(), name.clone());
    }
    let excerpt = statement.words.join(" ");
    let place = place.within(statement.line, statement.end);
    Some(Fragment { excerpt, ..structured(Kind::Command, skeleton, facts, place) })
}
