//! Shell code to statements: commands with their words, variables with their values, here documents.

/// One statement. Lines are counted from the first line of the code, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its first line.
    pub line: usize,
    /// Its last line.
    pub end: usize,
    /// Variable that gets the value, or the command's output.
    pub assigns: Option<String>,
    /// The command's words, quotes taken off; for a plain variable its value alone.
    pub words: Vec<String>,
    /// Whether `words` is a value, not a command.
    pub value: bool,
    /// The here document: its first line and its text.
    pub input: Option<(usize, String)>,
    /// Whether the shell leaves that as it is, for its delimiter stands in quotes.
    pub literal: bool,
    /// What it is shown to print: its first line and its text.
    pub prints: Option<(usize, String)>,
}

/// Reads shell code. Comments are left out. When the code shows prompts, other lines are what the command before them prints.
pub(super) fn statements(code: &str) -> Vec<Statement> {
    let lines: Vec<&str> = code.lines().collect();
    let prompted = lines.iter().any(|line| prompt(line).is_some());
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let first = at;
        at += 1;
        if prompted && prompt(line).is_none() {
            if let Some(last) = all.last_mut().filter(|_| !line.trim().is_empty()) {
                let last: &mut Statement = last;
                let (_, text) = last.prints.get_or_insert_with(|| (first, String::new()));
                text.push_str(&format!("{line}\n"));
            }
            continue;
        }
        let text = prompt(line).or_else(|| (!prompted).then(|| line.trim()));
        let Some(text) = text.filter(|text| !text.is_empty() && !text.starts_with('#')) else { continue };
        let mut logical = text.to_owned();
        while let Some(more) = continued(&logical, lines.get(at)) {
            logical = more;
            at += 1;
        }
        let mut found = segments(&logical);
        if let Some(delimiter) = here_document(&logical) {
            let body = lines.get(at..).unwrap_or_default();
            let length = body.iter().position(|line| line.trim() == delimiter);
            let text =
                body.iter().take(length.unwrap_or(body.len())).map(|line| format!("{line}\n")).collect();
            if let Some(statement) = found.last_mut() {
                statement.input = Some((at, text));
                statement.literal = logical.split_once("<<").is_some_and(|(_, after)| {
                    after.trim_start_matches(['-', ' ']).starts_with(['\'', '"', '\\'])
                });
            }
            at += length.map_or(body.len(), |length| length + 1);
        }
        let end = at.min(lines.len()).saturating_sub(1);
        all.extend(found.into_iter().map(|statement| Statement { line: first, end, ..statement }));
    }
    all
}

/// What stands behind a prompt.
fn prompt(line: &str) -> Option<&str> {
    let line = line.trim_start();
    ["$ ", "> kubectl ", "PS> "].iter().find(|sign| line.starts_with(**sign)).map(|sign| {
        let length = if sign.starts_with("> ") { 2 } else { sign.len() };
        line.get(length..).unwrap_or_default().trim()
    })
}

/// The line together with the next one, when it goes on there.
fn continued(line: &str, next: Option<&&str>) -> Option<String> {
    let next = next?;
    if let Some(open) = line.strip_suffix(['\\', '`']) {
        return Some(format!("{} {}", open.trim_end(), next.trim()));
    }
    let open_quote = lex(line).open && here_document(line).is_none();
    // A quote that never closes is a slip; a few lines are enough for the JSON of an option.
    (open_quote && line.matches('\n').count() < 40).then(|| format!("{line}\n{next}"))
}

fn here_document(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("<<")?;
    let word = after.trim_start_matches(['-', ' ']).split([' ', '|', '>', ';']).next()?;
    let word = word.trim_matches(['\'', '"']);
    (!word.is_empty() && !word.starts_with('<')).then_some(word)
}

/// The commands of a line: what `|`, `;`, `&&` and `||` separate.
fn segments(line: &str) -> Vec<Statement> {
    lex(line).segments.into_iter().flat_map(statement).collect()
}

fn statement(mut words: Vec<String>) -> Vec<Statement> {
    let mut all = Vec::new();
    while words.first().is_some_and(|word| matches!(word.as_str(), "sudo" | "export")) {
        words.remove(0);
    }
    // PowerShell: `$NAME = value`.
    if let [name, sign, ..] = &words[..]
        && name.starts_with('$')
        && sign == "="
    {
        let name = name.trim_start_matches('$').to_owned();
        words.splice(..2, [format!("{name}=")]);
        if words.len() > 1 {
            let value = words.remove(1);
            if let Some(first) = words.first_mut() {
                first.push_str(&value);
            }
        }
    }
    while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
        words.remove(0);
        let inner = value.strip_prefix("$(").and_then(|value| value.strip_suffix(')'));
        match inner {
            Some(inner) => {
                let mut inner = segments(inner);
                if let Some(last) = inner.last_mut() {
                    last.assigns = Some(name);
                }
                all.extend(inner);
            }
            None => all.push(Statement {
                assigns: Some(name),
                words: vec![value],
                value: true,
                ..Statement::default()
            }),
        }
    }
    if !words.is_empty() {
        all.push(Statement { words, ..Statement::default() });
    }
    all
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    super::command::is_variable(name).then(|| (name.to_owned(), value.to_owned()))
}

#[derive(Default)]
struct Lexed {
    segments: Vec<Vec<String>>,
    /// A quote or a substitution is still open at the end.
    open: bool,
}

/// Splits a line into words, by the shell's rules for quotes. Redirections are left out.
fn lex(line: &str) -> Lexed {
    let mut segments = vec![Vec::new()];
    let mut word: Option<String> = None;
    let (mut quote, mut cut_short) = (None, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('"') | None, '$') if chars.peek() == Some(&'(') => {
                let inner = balanced(&mut chars);
                cut_short |= !inner.ends_with(')');
                word.get_or_insert_default().extend(['$'].into_iter().chain(inner.chars()));
            }
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, c) if c.is_whitespace() => push(&mut segments, word.take()),
            // A comment to the end of the line.
            (None, '#') if word.is_none() => break,
            (None, '<') if word.as_ref().is_none_or(|word| !word.ends_with('<')) => {
                // `<your name>` is one word.
                let rest: String = chars.clone().take_while(|c| *c != '>' && *c != '<').collect();
                let word = word.get_or_insert_default();
                word.push('<');
                if rest.starts_with(char::is_alphabetic) && line.contains(&format!("<{rest}>")) {
                    word.push_str(&rest);
                    word.push('>');
                    let _ = chars.nth(rest.chars().count());
                }
            }
            (None, '&') if word.as_ref().is_some_and(|word| word.ends_with('>')) => {
                word.get_or_insert_default().push(c);
            }
            (None, '|' | ';' | '&') => {
                push(&mut segments, word.take());
                segments.push(Vec::new());
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    let open = quote.is_some() || cut_short;
    push(&mut segments, word);
    segments.iter_mut().for_each(drop_redirections);
    segments.retain(|words| !words.is_empty());
    Lexed { segments, open }
}

/// A substitution in one piece, quotes and all, from its `(` on.
fn balanced(chars: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    let mut depth = 0_usize;
    for c in chars {
        text.push(c);
        match c {
            '(' => depth += 1,
            ')' if depth <= 1 => break,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text
}

fn push(segments: &mut [Vec<String>], word: Option<String>) {
    if let (Some(words), Some(word)) = (segments.last_mut(), word) {
        words.push(word);
    }
}

fn drop_redirections(words: &mut Vec<String>) {
    let mut target_follows = false;
    words.retain(|word| {
        if std::mem::take(&mut target_follows) {
            return false;
        }
        let sign = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if !sign.starts_with(['>', '<']) || sign.starts_with('<') && sign.ends_with('>') {
            return true;
        }
        target_follows = sign.trim_start_matches(['<', '>', '-']).is_empty();
        false
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &str) -> Vec<String> {
        let show = |s: Statement| {
            let name = s.assigns.map(|name| format!("{name}=")).unwrap_or_default();
            format!("{}-{} {name}{}", s.line, s.end, s.words.join(" "))
        };
        statements(code).into_iter().map(show).collect()
    }

    #[test]
    fn lines_that_go_on_are_one_command() {
        assert_eq!(words("a b \\\n  --c d\n# no\ne\n"), ["0-1 a b --c d", "3-3 e"]);
        assert_eq!(words("curl -d '{\n \"a\": 1}' x"), ["0-1 curl -d {\n \"a\": 1} x"]);
    }

    #[test]
    fn variables_get_values_or_what_a_command_prints() {
        assert_eq!(words("A='x y'\nexport B=\"z\""), ["0-0 A=x y", "1-1 B=z"]);
        assert_eq!(
            words("f=$(kubectl get gateway g -o jsonpath='{.a[0].b}')"),
            ["0-0 f=kubectl get gateway g -o jsonpath={.a[0].b}"]
        );
        assert_eq!(words("$X = \"1\""), ["0-0 X=1"]);
    }

    #[test]
    fn a_here_document_belongs_to_its_command() {
        let all = statements("cat <<'EOF' | kubectl apply -f -\na: 1\n\nb: 2\n  EOF\nnext\n");
        assert_eq!(all.len(), 3, "{all:?}");
        assert_eq!(all[1].input, Some((1, "a: 1\n\nb: 2\n".to_owned())));
        assert!(all[1].literal, "its delimiter stands in quotes");
        assert_eq!((all[2].line, all[2].words.join(" ")), (5, "next".to_owned()));
        let open = statements("kubectl apply -f - <<EOF\na: 1\n");
        assert_eq!(open[0].input, Some((1, "a: 1\n".to_owned())));
        assert!(!open[0].literal);
    }

    #[test]
    fn prompts_tell_commands_from_what_they_print() {
        let code = "$ kubectl get pods\nNAME READY\n\na 1/1\n$ b";
        assert_eq!(words(code), ["0-0 kubectl get pods", "4-4 b"]);
        let prints: Vec<_> = statements(code).into_iter().map(|statement| statement.prints).collect();
        assert_eq!(prints, [Some((1, "NAME READY\na 1/1\n".to_owned())), None]);
    }

    #[test]
    fn commands_in_one_line_are_separate_and_redirections_dropped() {
        assert_eq!(words("a 'x;y' | b > out.txt && c 2>&1 # d"), ["0-0 a x;y", "0-0 b", "0-0 c"]);
    }

    #[test]
    fn a_placeholder_is_one_word() {
        assert_eq!(statements("az x --name <your own name> --y")[0].words.len(), 5);
    }
}
