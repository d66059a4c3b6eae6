//! A page from its first block to its last.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::entry::{Asked, Kind, Reason};
use super::objects::{self, left_to_reader};
use super::variables::Value;
use super::{programs, said};
use crate::extract::SHELLS;
use crate::page::{Block, Content, Page, Place};
use crate::shell::{self, Statement};
use crate::{command, manifest, sentence, table};

/// Languages of blocks that show what is printed.
const PRINTED: &[&str] =
    &["", "http", "json", "log", "none", "output", "plaintext", "text", "txt", "yaml", "yml"];

/// A sentence, to be judged by a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) lines: (usize, usize),
    pub(super) section: String,
    pub(super) text: String,
    /// Whether it speaks of behaviour.
    pub(super) promises: bool,
}

/// Which of several tabs is followed: the first, and wherever the same names come again, the same.
#[derive(Debug, Default)]
struct Tabs {
    followed: BTreeMap<String, bool>,
    /// The one that is followed where the reader stands.
    here: Option<String>,
}

impl Tabs {
    fn aside(&mut self, tab: Option<&String>) -> Option<Reason> {
        let Some(tab) = tab else {
            self.here = None;
            return None;
        };
        let free = self.here.is_none();
        let followed = *self.followed.entry(tab.clone()).or_insert(free);
        if followed {
            self.here = Some(tab.clone());
            return None;
        }
        let here = self.here.as_deref().unwrap_or("another");
        let why = format!("it is in tab {}, and {} is followed", said::line(tab), said::line(here));
        Some(Reason::new(Kind::Reader, why, "to go this way, swap the comment signs"))
    }
}

/// Reads a page.
pub(super) fn walk(page: &Page) -> (Draft, Vec<Sentence>) {
    let (mut draft, mut sentences, mut tabs) = (Draft::default(), Vec::new(), Tabs::default());
    for block in &page.blocks {
        draft.aside = tabs.aside(block.place.tab.as_ref());
        draft.block(block, &mut sentences);
    }
    draft.aside = None;
    for at in 0..draft.entries.len() {
        let Some(entry) =
            draft.entries.get(at).filter(|entry| entry.asked == (Asked::Answer { known: false }))
        else {
            continue;
        };
        let (lines, what) = (entry.lines.first().copied().unwrap_or_default(), entry.what.clone());
        if entry.off.is_none() {
            draft.assume(
                lines,
                &what,
                "the page does not say how it is answered: 200 is taken",
                "correct `becomes` if it is not",
            );
        }
    }
    (draft, sentences)
}

impl Draft {
    fn block(&mut self, block: &Block, sentences: &mut Vec<Sentence>) {
        let place = &block.place;
        match &block.content {
            Content::Prose(prose) => {
                for found in sentence::sentences(prose) {
                    let (lines, section) = ((found.line, found.end), place.section.join(": "));
                    self.answered(&found.text, lines, &section);
                    let place = Place { line: found.line, end: found.end, ..place.clone() };
                    for command in &found.commands {
                        let why = "a command within a sentence: it depends on the reader whether and when it is run";
                        self.note(
                            &place,
                            command,
                            Reason::new(Kind::Reader, why, "write a step for it where it belongs"),
                        );
                    }
                    sentences.push(Sentence { lines, section, text: found.text, promises: found.promises });
                }
            }
            Content::Table(rows) => self.table(rows, place),
            Content::Code { language, text } => self.code(language, text, place),
        }
    }

    fn code(&mut self, language: &str, text: &str, place: &Place) {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let first = first.unwrap_or_default();
        let shown = first.strip_prefix("$ ").unwrap_or(first);
        let sets = shown
            .split_once('=')
            .is_some_and(|(name, _)| command::is_variable(name.trim_start_matches("export ")));
        if command::is_command(shown) || sets || SHELLS.contains(&language) && !manifest::is_yaml(first) {
            let (run, printed) = table::split_off(text);
            self.commands(run, place);
            if let Some((line, text)) = printed {
                self.printed(text, &place.within(line, line + text.trim_end().matches('\n').count()));
            }
            return;
        }
        if !PRINTED.contains(&language) && !SHELLS.contains(&language) {
            let why = format!("nothing here reads {}", said::line(language));
            let next = "write by hand what of it a cluster can show";
            return self.note(place, first, Reason::new(Kind::Unknown, why, next));
        }
        if matches!(language, "yaml" | "yml") || manifest::is_yaml(text) {
            return self.yaml(text, place);
        }
        self.printed(text, place);
    }

    /// A block of YAML: printed, or an object that is made.
    fn yaml(&mut self, text: &str, place: &Place) {
        let read = objects::read(&objects::dedent(text), place.line);
        let of_last = self.entries.last().is_some_and(|entry| match &entry.asked {
            Asked::Object { name, .. } => read.objects.first().is_none_or(|object| object.name == *name),
            Asked::Text | Asked::Answer { .. } => read.objects.is_empty(),
            _ => false,
        });
        if read.status.is_some() || of_last {
            return self.printed(text, place);
        }
        if read.objects.is_empty() && !manifest::is_yaml(text) {
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let why = "it is neither an object nor a status that is printed";
            let next = "if it is a file that a command reads, lay it beside the scenario";
            return self.note(place, first, Reason::new(Kind::Unknown, why, next));
        }
        let at = self.apply(place, "a block of YAML", text, place.line, true);
        self.shown = Some(at);
    }

    fn commands(&mut self, code: &str, place: &Place) {
        let lines: Vec<&str> = code.lines().collect();
        let statements = shell::statements(code);
        for line in statements.chunk_by(|a, b| (a.line, a.end) == (b.line, b.end)) {
            let Some(first) = line.first() else { continue };
            let raw = lines.get(first.line..=first.end).unwrap_or_default().join("\n");
            self.line(line, &raw, &place.within(first.line, first.end), place);
            if let Some((line, text)) = line.iter().find_map(|statement| statement.prints.as_ref()) {
                self.printed(text, &place.within(*line, line + text.trim_end().matches('\n').count()));
            }
        }
        // A loop that the page does not close ends with its block.
        self.loops.clear();
    }

    /// The commands of one line.
    fn line(&mut self, line: &[Statement], raw: &str, place: &Place, block: &Place) {
        let program = |statement: &Statement| program(&statement.words).to_owned();
        let programs: Vec<String> = line.iter().map(program).collect();
        let first = programs.first().map(String::as_str).unwrap_or_default();
        let assigned =
            line.iter().find_map(|statement| statement.assigns.clone().filter(|_| !statement.value));
        if let (Some(variable), "dig" | "nslookup" | "host") = (&assigned, first) {
            // The number behind a name: a request finds it by itself.
            let words = line.iter().flat_map(|statement| &statement.words);
            if let Some((gateway, namespace)) =
                words.into_iter().find_map(|word| self.variables.address(word))
            {
                return self.variables.set(variable, Value::Address { gateway, namespace });
            }
        }
        let plain = |statement: &Statement| !statement.value && statement.assigns.is_none();
        let here = line.iter().any(|statement| statement.input.is_some());
        let file = written_file(raw);
        let is_local = programs::is_local(first) || programs.iter().any(|program| program == "openssl");
        let is_local = is_local || self.goes_on_with_files(line, place);
        let makes_file = file.is_some() && !programs.iter().any(|program| program == "curl");
        let manifest = line
            .iter()
            .find_map(|statement| statement.input.as_ref().map(|input| (input, statement.literal)));
        if let (Some(((at, text), literal)), Some(_), "cat" | "tee") = (manifest, &file, first)
            && manifest::is_yaml(text)
        {
            let at = self.apply(place, &said::line(raw), text, block.line + at, literal);
            self.shown = Some(at);
            return;
        }
        if line.iter().all(plain)
            && (is_local || makes_file)
            && !programs.iter().any(|p| programs::is_cloud(p))
            && (!here || makes_file)
        {
            let what = line.iter().map(|statement| statement.words.join(" ")).collect::<Vec<_>>().join(" | ");
            return self.script(place, &what, raw);
        }
        let mut skip = false;
        for (at, statement) in line.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            if at > 0 && programs.get(at).is_some_and(|program| programs::is_filter(program)) {
                if let Some(variable) = &statement.assigns {
                    let why = format!("`{}` makes it", said::line(raw));
                    self.variables.set(variable, Value::Unknown { why, cloud: programs::is_cloud(first) });
                }
                continue;
            }
            let next = line
                .get(at + 1)
                .filter(|next| next.input.is_none() && next.words.iter().any(|word| word == "-"));
            let dry = statement.words.iter().any(|word| word.starts_with("--dry-run"));
            skip = dry && next.is_some();
            let made = if skip { without_dry_run(statement) } else { statement.clone() };
            self.statement(&made, place, block);
        }
    }

    /// Whether a command reads files that the commands just before it have made.
    fn goes_on_with_files(&self, line: &[Statement], place: &Place) -> bool {
        let reads = ["--cert=", "--key=", "--from-file", "--from-env-file", "--cert", "--key"];
        let mut words = line.iter().flat_map(|statement| &statement.words);
        words.any(|word| reads.iter().any(|option| word.starts_with(option)))
            && self.script_before(place).is_some()
    }

    fn statement(&mut self, statement: &Statement, place: &Place, block: &Place) {
        let what = statement.words.join(" ");
        if statement.value {
            return self.variable(statement, place);
        }
        let (mut words, mut left) = (Vec::new(), Vec::new());
        for word in &statement.words {
            let (word, unknown) = self.variables.expand(word);
            words.push(word);
            left.extend(unknown);
        }
        while matches!(
            words.first().map(String::as_str),
            Some("do" | "then" | "else" | "time" | "watch" | "{" | "!")
        ) {
            words.remove(0);
        }
        let program = program(&words).to_owned();
        match program.as_str() {
            "for" => return self.loops.push(times(&words)),
            "while" | "until" => return self.loops.push(0),
            "done" => {
                self.loops.pop();
                return;
            }
            "" | "fi" | "}" | "if" | "[" | "test" | "exit" | "return" => return,
            _ => {}
        }
        let reason = self.unknown(&left).or_else(|| left_to_reader(&what));
        if let Some(variable) = &statement.assigns {
            return self.assigned(variable, &program, &words, place, &what, reason);
        }
        let input = statement.input.as_ref();
        let input = input.map(|(at, text)| (block.line + at, text.clone(), statement.literal));
        match program.as_str() {
            "kubectl" | "k" | "oc" => self.kubectl(place, &what, &words, input.as_ref(), reason),
            "helm" => self.helm(place, &what, &words, reason),
            "curl" => self.curl(place, &what, &words, reason),
            program if programs::is_cloud(program) => {
                self.leave(place, &what, programs::needs_cloud(program))
            }
            program if programs::is_silent(program) => {}
            program => self.leave(place, &what, programs::no_word(program)),
        }
    }

    /// A variable that gets a value.
    fn variable(&mut self, statement: &Statement, place: &Place) {
        let Some(name) = &statement.assigns else { return };
        let given = statement.words.first().map(String::as_str).unwrap_or_default();
        let (value, left) = self.variables.expand(given);
        if let Some((gateway, namespace)) = self.variables.address(given) {
            return self.variables.set(name, Value::Address { gateway, namespace });
        }
        if let Some(reason) = self.unknown(&left) {
            return self
                .variables
                .set(name, Value::Unknown { why: reason.why, cloud: reason.kind == Kind::Cloud });
        }
        if let Some(placeholder) = objects::placeholder(&value) {
            let why = format!("the page leaves {placeholder} to its reader");
            self.variables.set(name, Value::Unknown { why: why.clone(), cloud: false });
            let next = "put a value where the steps that are left out want one";
            return self.note(place, name, Reason::new(Kind::Reader, why, next));
        }
        self.variables.set(name, Value::Text(value));
    }

    /// A variable that gets what a command prints.
    fn assigned(
        &mut self,
        variable: &str,
        program: &str,
        words: &[String],
        place: &Place,
        what: &str,
        reason: Option<Reason>,
    ) {
        if matches!(program, "kubectl" | "k" | "oc") {
            return self.kubectl_value(place, what, words, variable, reason);
        }
        let cloud = programs::is_cloud(program);
        let why = format!("`{}` prints it", said::line(what));
        self.variables.set(variable, Value::Unknown { why, cloud });
        let reason = if cloud { programs::needs_cloud(program) } else { programs::no_word(program) };
        self.leave(place, &format!("{variable}=$({what})"), reason);
    }
}

/// The program of a command, without its folder.
fn program(words: &[String]) -> &str {
    let mut words = words.iter().map(String::as_str);
    let first = words.find(|word| !matches!(*word, "do" | "then" | "else" | "time" | "watch" | "{" | "!"));
    let first = first.unwrap_or_default();
    first.rsplit('/').next().unwrap_or(first).trim_end_matches(".exe").trim_end_matches(".cmd")
}

/// The file that a line of a shell writes, if it writes one.
fn written_file(raw: &str) -> Option<&str> {
    let first = raw.lines().next().unwrap_or_default();
    if let Some(file) = first.trim_start().strip_prefix("tee ") {
        return file.split_whitespace().find(|word| !word.starts_with(['-', '<']));
    }
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in raw.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            // Not `2>&1`, `<name>` or `->`.
            (None, '>') if before.is_whitespace() || before == '>' => {
                let target = raw.get(at + 1..).unwrap_or_default().trim_start_matches(['>', ' ']);
                let target = target.split_whitespace().next().unwrap_or_default();
                if !target.is_empty() && !target.starts_with(['&', '/', '$']) {
                    return Some(target);
                }
            }
            // What follows is no command.
            (None, '\n') if raw.contains("<<") => return None,
            _ => {}
        }
        before = c;
    }
    None
}

/// How often `for i in {1..20}` or `for i in $(seq 1 20)` goes round; 0 if that cannot be told, or nobody would wait for it.
fn times(words: &[String]) -> u64 {
    const MOST: u64 = 10_000;
    let of = words.get(3..).unwrap_or_default();
    let text = of.join(" ");
    let between = |first: u64, last: u64| last.checked_sub(first).and_then(|more| more.checked_add(1));
    let times = if let Some((first, last)) = text.trim_matches(['{', '}']).split_once("..") {
        let ends = first.parse().ok().zip(last.parse().ok());
        ends.and_then(|(first, last)| between(first, last))
    } else if let Some(seq) = text.strip_prefix("$(seq ").and_then(|seq| seq.strip_suffix(')')) {
        let numbers: Vec<u64> = seq.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [last] => Some(last),
            [first, last] => between(first, last),
            _ => None,
        }
    } else {
        u64::try_from(of.len()).ok()
    };
    times.filter(|times| *times <= MOST).unwrap_or(0)
}

/// `kubectl create … --dry-run=client -o yaml`, whose output is applied: the object that is made.
fn without_dry_run(statement: &Statement) -> Statement {
    let mut words = Vec::new();
    let mut skip = false;
    for word in &statement.words {
        if std::mem::take(&mut skip) {
            continue;
        }
        match word.as_str() {
            "-o" | "--output" => skip = true,
            word if word.starts_with("--dry-run")
                || word.starts_with("-o")
                || word.starts_with("--output=") => {}
            word => words.push(word.to_owned()),
        }
    }
    Statement { words, ..statement.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_tells_how_often_it_goes_round() {
        let times = |line: &str| times(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(times("for i in {1..20}"), 20);
        assert_eq!(times("for i in $(seq 5 7)"), 3);
        assert_eq!(times("for i in $(seq 9)"), 9);
        assert_eq!(times("for i in a b c"), 3);
        assert_eq!(times("for i in {9..1}"), 0);
        assert_eq!(times(&format!("for i in {{0..{}}}", u64::MAX)), 0);
    }

    #[test]
    fn a_line_that_writes_a_file_is_told_from_one_that_does_not() {
        assert_eq!(written_file("kubectl get x | base64 -d > ca.crt"), Some("ca.crt"));
        assert_eq!(written_file("cat <<EOF > a.yaml\nx > y\nEOF"), Some("a.yaml"));
        assert_eq!(written_file("tee a.yaml <<EOF\n"), Some("a.yaml"));
        for line in
            ["x 2>&1", "x > /dev/null", "x --name <your name>", "echo 'a > b'", "cat <<EOF\nx > y\nEOF"]
        {
            assert_eq!(written_file(line), None, "{line}");
        }
    }
}
