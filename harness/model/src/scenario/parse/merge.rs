//! Merge keys (`<<: *common`), as kubectl reads them: what a mapping says itself goes over what it merges, and of several that it
//! merges the first one goes over the others.

use crate::scenario::node::{Data, Key, Node, Problem};

/// A key with its value, as written.
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Node,
    /// It is a merge key. In quotes `<<` is a key like any other.
    pub(super) merges: bool,
}

/// A mapping with everything merged that is to be.
///
/// # Errors
/// What is merged is no mapping.
pub(super) fn merged(entries: Vec<Entry>) -> Result<Vec<(Key, Node)>, Problem> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for Entry { key, value, merges } in entries {
        if !merges {
            own.push((key, value));
            continue;
        }
        match value.data {
            Data::Map(entries) => others.extend(entries),
            Data::List(list) => {
                for one in list {
                    match one.data {
                        Data::Map(entries) => others.extend(entries),
                        _ => return Err(no_mapping(&one)),
                    }
                }
            }
            _ => return Err(no_mapping(&value)),
        }
    }
    for (key, value) in others {
        if own.iter().all(|(known, _)| known.name != key.name) {
            own.push((key, value));
        }
    }
    Ok(own)
}

fn no_mapping(node: &Node) -> Problem {
    let problem =
        node.problem(format!("a merge key takes a mapping or a list of mappings, found {}", node.what()));
    problem.help("e.g. `<<: *common`, where `&common` stands before a mapping")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::scenario::node::{Problem, Source};
    use crate::scenario::parse::document;

    fn read(text: &str) -> Result<Value, Problem> {
        document(&Arc::new(Source { path: "m.yaml".into(), text: text.into() })).map(|node| node.value())
    }

    #[test]
    fn what_is_merged_stands_beside_what_a_mapping_says_itself() {
        let text = "annotations: &common\n  team: payments\nlabels:\n  <<: *common\n  tier: web\n";
        assert_eq!(
            read(text).unwrap(),
            json!({"annotations": {"team": "payments"}, "labels": {"team": "payments", "tier": "web"}})
        );
    }

    #[test]
    fn ones_own_goes_over_what_is_merged_wherever_it_stands_and_the_first_over_the_next() {
        let bases = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\n";
        let value = |rest: &str| read(&format!("{bases}{rest}")).unwrap()["c"].clone();
        assert_eq!(value("c: {x: 9, <<: [*a, *b]}\n"), json!({"x": 9, "y": 1, "z": 2}));
        assert_eq!(value("c:\n  <<: *b\n  y: 9\n"), json!({"y": 9, "z": 2}));
        assert_eq!(value("c:\n- <<: *a\n  n: {<<: *b}\n"), json!([{"x": 1, "y": 1, "n": {"y": 2, "z": 2}}]));
    }

    #[test]
    fn what_was_merged_can_be_merged_again() {
        let text = "a: &a {x: 1}\nb: &b\n  <<: *a\n  y: 2\nc:\n  <<: *b\n";
        assert_eq!(read(text).unwrap()["c"], json!({"x": 1, "y": 2}));
    }

    #[test]
    fn what_cannot_be_merged_has_its_place() {
        let error = read("a: &a payments\nlabels:\n  <<: *a\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "m.yaml:3:7: a merge key takes a mapping or a list of mappings, found text"
        );
        assert!(read("a: 1\nlabels: {<<: [{x: 1}, 2]}\n").is_err());
    }

    #[test]
    fn in_quotes_it_is_a_key() {
        assert_eq!(read("labels: {'<<': {x: 1}}\n").unwrap(), json!({"labels": {"<<": {"x": 1}}}));
    }

    #[test]
    fn places_after_an_alias_are_those_in_the_file() {
        let text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, kind: 7}\nd: here\n";
        let node = document(&Arc::new(Source { path: "m.yaml".into(), text: text.into() })).unwrap();
        let place = |name: &str| node.get(name).unwrap().span.position();
        assert_eq!((place("b"), place("d")), ((2, 4), (4, 4)));
        assert_eq!(node.get("c").unwrap().get("x").unwrap().span.position(), (3, 9));
        assert_eq!(node.get("c").unwrap().get("kind").unwrap().span.position(), (3, 19));
    }
}
