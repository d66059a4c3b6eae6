//! `${…}` in texts: found, checked and filled.

use std::collections::BTreeMap;

use serde_json::Value;

use super::node::{Data, Node, Problem};

/// The value of a placeholder, if it has one.
pub type Values<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The same piece with values for placeholders, at the same place.
///
/// # Errors
/// A placeholder without a value, at its place.
pub fn fill(node: &Node, values: Values<'_>) -> Result<Node, Problem> {
    let data = match &node.data {
        Data::List(list) => Data::List(list.iter().map(|node| fill(node, values)).collect::<Result<_, _>>()?),
        Data::Map(entries) => {
            let each = entries.iter().map(|(key, node)| Ok((key.clone(), fill(node, values)?)));
            Data::Map(each.collect::<Result<_, Problem>>()?)
        }
        Data::Text(text) => Data::Text(
            fill_text(text, values)
                .map_err(|name| node.problem(format!("unknown placeholder ${{{name}}}")))?,
        ),
        other => other.clone(),
    };
    Ok(Node { data, span: node.span.clone() })
}

/// Puts values for placeholders.
///
/// # Errors
/// The name of a placeholder that has no value.
pub fn substitute(value: &Value, values: &BTreeMap<String, String>) -> Result<Value, String> {
    substitute_by(value, &|name| values.get(name).cloned())
}

/// The same, with values from a function.
///
/// # Errors
/// The name of a placeholder that has no value.
pub fn substitute_by(value: &Value, values: Values<'_>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(fill_text(text, values)?),
        Value::Array(list) => {
            Value::Array(list.iter().map(|v| substitute_by(v, values)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let each = map.iter().map(|(key, v)| Ok((key.clone(), substitute_by(v, values)?)));
            Value::Object(each.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// A text with values for its placeholders.
///
/// # Errors
/// The name of a placeholder that has no value.
pub fn fill_text(text: &str, value: Values<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').ok_or_else(|| after.to_owned())?;
        out.push_str(before);
        out.push_str(&value(name).ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_everywhere() {
        let values = BTreeMap::from([("images.echo".to_owned(), "echo:1".to_owned())]);
        let value = serde_json::json!({"a": [{"image": "x/${images.echo}!"}], "n": 1});
        assert_eq!(
            substitute(&value, &values).unwrap(),
            serde_json::json!({"a": [{"image": "x/echo:1!"}], "n": 1})
        );
        assert_eq!(substitute(&value, &BTreeMap::new()), Err("images.echo".into()));
    }

    #[test]
    fn a_value_is_not_looked_into_again() {
        assert_eq!(fill_text("${a}", &|_| Some("${b}".into())), Ok("${b}".into()));
        assert_eq!(fill_text("${a", &|_| Some(String::new())), Err("a".into()));
    }
}
