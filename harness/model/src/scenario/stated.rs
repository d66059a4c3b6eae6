//! An expectation that says nothing is met by anything, and proves nothing. So what is empty is refused.

use super::node::{Data, Key, Node, Problem};

/// What is wrong with a step's own fields: each has to say something.
pub fn fields(step: &Node) -> Result<(), Problem> {
    let Data::Map(entries) = &step.data else { return Ok(()) };
    match entries.iter().find(|(_, value)| is_empty(value)) {
        None => Ok(()),
        Some((key, value)) => Err(says_nothing(key, value)),
    }
}

fn says_nothing(key: &Key, value: &Node) -> Problem {
    let help = match key.name.as_str() {
        "become" => "write what has to be there; that nothing may be there is `become: none`",
        "witness" => "name a witness, or leave the key out",
        _ => "write what has to be seen, or leave the key out",
    };
    value.problem(format!("`{}` says nothing, so anything would do", key.name)).help(help)
}

/// Nothing at all: no text, no element, no key. An empty text among others may be meant (a message, a group), so it is no
/// matter of this function below the first level.
fn is_empty(value: &Node) -> bool {
    match &value.data {
        Data::Null => true,
        Data::Text(text) => text.trim().is_empty(),
        Data::List(list) => {
            list.is_empty()
                || list.iter().any(|one| matches!(&one.data, Data::Text(t) if t.trim().is_empty()))
        }
        Data::Map(entries) => entries.is_empty(),
        Data::Bool(_) | Data::Number(_) => false,
    }
}

/// What is wrong with a piece of an object that has to be found: every mapping names a field, and a list more than that it may
/// hold others. An empty list is an expectation: there must be nothing.
///
/// # Errors
/// The first place that would fit anything.
pub fn piece(wanted: &Node) -> Result<(), Problem> {
    let anything =
        |what: &str| Err(wanted.problem(format!("{what} fits anything")).help("write what has to be there"));
    match &wanted.data {
        Data::Map(entries) if entries.is_empty() => anything("an empty mapping"),
        Data::Map(entries) => entries.iter().try_for_each(|(_, value)| piece(value)),
        Data::List(list) if list.len() == 1 && list.iter().all(is_star) => anything("a list of just `*`"),
        Data::List(list) => list.iter().try_for_each(piece),
        _ => Ok(()),
    }
}

fn is_star(node: &Node) -> bool {
    matches!(&node.data, Data::Text(text) if text == "*")
}

/// A text that is compared, or a pattern with `*` and `?`: something of it has to be fixed.
///
/// # Errors
/// It is no text, blank, or fits any text.
pub fn text(node: &Node) -> Result<&str, Problem> {
    let text = node.text()?;
    match text.chars().any(|c| !c.is_whitespace() && !"*?".contains(c)) {
        true => Ok(text),
        false => {
            Err(node.problem(format!("`{text}` fits anything")).help("write a part that has to be there"))
        }
    }
}
