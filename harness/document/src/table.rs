//! What commands print in columns: a table of the document, or text in a code block.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;

/// Columns whose values differ from run to run.
const VOLATILE: &[&str] = &["AGE", "IP", "NODE"];

/// Rows of text whose columns are at least two blanks apart; nothing when it is no such text.
pub(super) fn columns(text: &str) -> Option<Vec<Vec<String>>> {
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        })
        .collect();
    let head: &Vec<String> = rows.first()?;
    let upper = |cell: &String| cell.chars().all(|c| c.is_uppercase() || !c.is_alphabetic());
    (head.len() > 1 && rows.len() > 1 && head.iter().all(upper)).then_some(rows)
}

/// Splits commands from a table that is printed below them: its first line, from 0, and its text.
pub(super) fn split_off(text: &str) -> (&str, Option<(usize, &str)>) {
    let starts = text.match_indices('\n').map(|(at, _)| at + 1).enumerate();
    for (line, start) in starts {
        let (above, below) = text.split_at(start);
        if !below.starts_with([' ', '\n']) && columns(below).is_some() {
            return (above, Some((line + 1, below)));
        }
    }
    (text, None)
}

/// What a table says: its shape and its values by row and column. Rows that differ only in generated names are counted.
pub(super) fn facts(rows: &[Vec<String>]) -> (String, Facts) {
    let Some((head, body)) = rows.split_first() else { return (String::new(), Facts::new()) };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in body {
        let name = without_generated(row.first().map(String::as_str).unwrap_or_default());
        *counts.entry(name.clone()).or_default() += 1;
        for (column, cell) in head.iter().zip(row).skip(1) {
            if !VOLATILE.contains(&column.to_uppercase().as_str()) {
                values.entry(format!("{name} {column}")).or_default().insert(cell.clone());
            }
        }
    }
    let mut facts: Facts =
        counts.into_iter().map(|(name, count)| (format!("{name} count"), count.to_string())).collect();
    facts.extend(values.into_iter().map(|(key, all)| (key, all.into_iter().collect::<Vec<_>>().join(", "))));
    (format!("table of {}", head.join(", ")), facts)
}

/// A pod's name without what its ReplicaSet and its template add.
pub(super) fn without_generated(name: &str) -> String {
    let parts: Vec<&str> = name.rsplitn(3, '-').collect();
    let is_made = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    match parts[..] {
        [id, set, rest]
            if id.len() == 5
                && (6..=10).contains(&set.len())
                && is_made(id)
                && is_made(set)
                && set.contains(|c: char| c.is_ascii_digit()) =>
        {
            rest.to_owned()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_one_deployment_are_counted() {
        let text = "NAME                   READY   STATUS    AGE\nferry-6648c5d5c-sdd9t   2/2   Running   1h\n\
                    ferry-6648c5d5c-au234   2/2   Running   2h\n";
        let (what, facts) = facts(&columns(text).unwrap());
        assert_eq!(what, "table of NAME, READY, STATUS, AGE");
        let facts: Vec<_> = facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(facts, ["ferry READY=2/2", "ferry STATUS=Running", "ferry count=2"]);
    }

    #[test]
    fn names_that_were_not_generated_stay() {
        assert_eq!(without_generated("my-gateway-proxy"), "my-gateway-proxy");
        assert_eq!(without_generated("a-69dc679455-94z7b"), "a");
        assert_eq!(without_generated(""), "");
    }

    #[test]
    fn a_table_below_commands_is_split_off() {
        let text = "kubectl get pods\nNAME   READY\nferry  2/2\n";
        assert_eq!(split_off(text), ("kubectl get pods\n", Some((1, "NAME   READY\nferry  2/2\n"))));
        assert_eq!(split_off("a \\\n  b\nc\n").1, None);
    }

    #[test]
    fn other_text_has_no_columns() {
        assert_eq!(columns("Hello  world\nagain  here\n"), None);
        assert_eq!(columns(""), None);
    }
}
