//! Variables of a shell, followed as far as the page itself gives them a value.

use std::collections::BTreeMap;

use crate::command::is_variable;

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// This text.
    Text(String),
    /// The address of a Gateway.
    Address {
        /// Its name.
        gateway: String,
        /// Its namespace.
        namespace: String,
    },
    /// Nothing that is known here.
    Unknown {
        /// Why.
        why: String,
        /// Whether only a cloud knows it.
        cloud: bool,
    },
}

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(BTreeMap<String, Value>);

impl Variables {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The Gateway whose address a text is: `$fqdn` or `${fqdn}` alone.
    pub(super) fn address(&self, text: &str) -> Option<(String, String)> {
        let name = text.strip_prefix('$')?.trim_start_matches('{').trim_end_matches('}');
        match self.get(name)? {
            Value::Address { gateway, namespace } => Some((gateway.clone(), namespace.clone())),
            _ => None,
        }
    }

    /// A text with the values that are known; with what is left, as it stands there.
    pub(super) fn expand(&self, text: &str) -> (String, Vec<String>) {
        let (mut out, mut left) = (String::with_capacity(text.len()), Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if let Some(escaped) = before.strip_suffix('\\') {
                out.push_str(escaped);
                out.push('$');
                rest = after;
                continue;
            }
            out.push_str(before);
            let (name, shown, tail) = name(after);
            rest = tail;
            match (name, shown.is_empty()) {
                (None, true) => out.push('$'),
                (None, false) => {
                    out.push_str(&format!("${shown}"));
                    left.push(format!("${shown}"));
                }
                (Some(name), _) => match self.get(name) {
                    Some(Value::Text(value)) => out.push_str(value),
                    _ => {
                        out.push_str(&format!("${shown}"));
                        left.push(format!("${shown}"));
                    }
                },
            }
        }
        out.push_str(rest);
        (out, left)
    }

    /// Whether only a cloud knows what a text such as `$NAME` or `$(az …)` stands for.
    pub(super) fn is_of_cloud(&self, left: &str) -> bool {
        if let Some(inner) = left.strip_prefix("$(") {
            return inner.split_whitespace().next().is_some_and(super::programs::is_cloud);
        }
        let name = left.trim_start_matches(['$', '{']).trim_end_matches('}');
        matches!(self.get(name), Some(Value::Unknown { cloud: true, .. }))
    }

    /// Why a text such as `$NAME` has no value.
    pub(super) fn why(&self, left: &str) -> String {
        let name = left.trim_start_matches(['$', '{']).trim_end_matches('}');
        match self.get(name) {
            Some(Value::Unknown { why, .. }) => format!("{left} has no value here: {why}"),
            Some(Value::Address { gateway, .. }) => {
                format!("{left} is the address of {gateway}, known only on a cluster")
            }
            _ => format!("the page gives {left} no value"),
        }
    }
}

/// Names of the variables in a text, each once.
pub(super) fn used(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        let (found, _, tail) = name(after);
        // What a substitution holds is looked through, too.
        rest = if after.starts_with('(') { after } else { tail };
        if let Some(found) = found.filter(|found| !all.contains(found)) {
            all.push(found);
        }
    }
    all
}

/// What stands behind a `$`: the variable's name, all of it as it is written, and the rest.
fn name(after: &str) -> (Option<&str>, &str, &str) {
    let split = |at: usize| after.split_at_checked(at).unwrap_or((after, ""));
    if after.starts_with(['{', '(']) {
        let close = if after.starts_with('{') { '}' } else { ')' };
        let (shown, tail) = split(after.find(close).map_or(after.len(), |at| at + 1));
        let inner = shown.trim_start_matches('{').trim_end_matches('}');
        return (Some(inner).filter(|inner| is_variable(inner)), shown, tail);
    }
    let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
    let (shown, tail) = split(length);
    match is_variable(shown) {
        true => (Some(shown), shown, tail),
        false => (None, "", after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_put_in_and_the_rest_is_told() {
        let mut variables = Variables::default();
        variables.set("A", Value::Text("one".into()));
        variables.set("B", Value::Unknown { why: "az prints it".into(), cloud: true });
        variables.set("f", Value::Address { gateway: "g".into(), namespace: "ns".into() });
        let expand = |text: &str| variables.expand(text);
        assert_eq!(expand("x $A-${A}$A_ $"), ("x one-one$A_ $".into(), vec!["$A_".into()]));
        assert_eq!(
            expand("$B ${C:-d} $(az x)"),
            ("$B ${C:-d} $(az x)".into(), vec!["$B".into(), "${C:-d}".into(), "$(az x)".into()])
        );
        assert_eq!(expand("\\$A 5$ $1 é$A${"), ("$A 5$ $1 éone${".into(), vec!["${".into()]));
        assert_eq!(variables.address("${f}"), Some(("g".into(), "ns".into())));
        assert_eq!(variables.address("$A"), None);
        assert!(["$B", "$(az x)"].iter().all(|left| variables.is_of_cloud(left)));
        assert!(["$A", "$nope", "$(date)"].iter().all(|left| !variables.is_of_cloud(left)));
        assert_eq!(used("$A x $(y ${B}) $A"), ["A", "B"]);
        assert_eq!(variables.why("$B"), "$B has no value here: az prints it");
        assert_eq!(variables.why("${C}"), "the page gives ${C} no value");
    }
}
