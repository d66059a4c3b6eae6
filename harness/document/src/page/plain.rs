//! A page copied from a browser has no fences: its code stands between paragraphs. It is found by how it begins.

use crate::command;
use crate::page::{Block, Content, Place};

/// Takes the code out of a page that has no fence at all; its lines are left blank. Other pages stay as they are.
pub(super) fn take_code(text: String) -> (String, Vec<Block>) {
    if text.lines().any(|line| line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~")) {
        return (text, Vec::new());
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let (mut rest, mut blocks) = (Vec::with_capacity(lines.len()), Vec::new());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let length = lines.get(at..).map_or(0, length);
        if length == 0 {
            rest.push(*line);
            at += 1;
            continue;
        }
        let code = lines.get(at..at + length).unwrap_or_default();
        let place = Place { line: at + 1, end: at + length, ..Place::default() };
        let (language, text) = (String::new(), code.join("\n") + "\n");
        blocks.push(Block { place, content: Content::Code { language, text } });
        rest.extend(std::iter::repeat_n("", length));
        at += length;
    }
    (rest.join("\n"), blocks)
}

/// How many lines of code begin here.
fn length(lines: &[&str]) -> usize {
    let Some(first) = lines.first() else { return 0 };
    let manifest = ["apiVersion:", "kind:", "status:"].iter().any(|key| first.trim_start().starts_with(key));
    let assignment = first.split_once('=').is_some_and(|(name, _)| command::is_variable(name));
    let command = command::is_command(first) && !first.trim_end().ends_with(['.', ':']);
    if !(manifest || assignment || command) {
        return 0;
    }
    // A here document may hold blank lines; anything else ends at one.
    let end = first.split_once("<<").map(|(_, word)| word.trim_matches(['-', ' ', '\'', '"']));
    match end.and_then(|end| lines.iter().position(|line| line.trim() == end)) {
        Some(at) => at + 1,
        None => lines.iter().position(|line| line.trim().is_empty()).unwrap_or(lines.len()),
    }
}
