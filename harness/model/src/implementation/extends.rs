//! `extends: other.yaml`: what another file says, with what this one says over it. Mappings are put together key by key; anything
//! else stands in the place of what was there, and nothing after a key (`~`) takes the key out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::scenario::node::{Data, Key, Node, Problem, Source};
use crate::scenario::parse;

/// The key.
pub(super) const KEY: &str = "extends";
/// How many files may extend one another; more is a circle.
const DEPTH: usize = 8;

/// A file with everything that it extends, in one piece. Each part keeps its place in the file that it comes from.
///
/// # Errors
/// One of them cannot be read or is not well formed, or they extend one another in a circle.
pub(super) fn whole(source: Source) -> Result<Node, Problem> {
    of(source, 0, &mut |_, _| {})
}

/// The text of a file and of everything that it extends, by path: what stands there counts for a digest.
///
/// # Errors
/// As [`whole`].
pub(super) fn files(source: Source) -> Result<BTreeMap<PathBuf, String>, Problem> {
    let mut all = BTreeMap::new();
    of(source, 0, &mut |path, text| drop(all.insert(path.to_owned(), text.to_owned())))?;
    Ok(all)
}

fn of(source: Source, depth: usize, seen: &mut dyn FnMut(&Path, &str)) -> Result<Node, Problem> {
    seen(&source.path, &source.text);
    let node = parse::document(&Arc::new(source))?;
    let Some(extends) = node.get(KEY) else { return Ok(node) };
    if depth >= DEPTH {
        return Err(extends.problem(format!("more than {DEPTH} files extend one another: is it a circle?")));
    }
    let mut base: Option<Node> = None;
    for named in extends.one_or_more() {
        let path = named.span.source.path.with_file_name("").join(named.text()?);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| named.problem(format!("file `{}` cannot be read: {error}", path.display())))?;
        let next = of(Source { path, text }, depth + 1, seen)?;
        base = Some(match base {
            Some(base) => over(&base, next),
            None => next,
        });
    }
    Ok(without(base.map_or(node.clone(), |base| over(&base, node)), KEY))
}

/// What `upper` says over what `lower` does.
fn over(lower: &Node, upper: Node) -> Node {
    let (Data::Map(below), Data::Map(above)) = (&lower.data, &upper.data) else { return upper };
    let mut entries: Vec<(Key, Node)> = Vec::new();
    for (key, node) in below {
        match above.iter().find(|(known, _)| known.name == key.name) {
            None => entries.push((key.clone(), node.clone())),
            Some((_, Node { data: Data::Null, .. })) => {}
            Some((own, above)) => entries.push((own.clone(), over(node, above.clone()))),
        }
    }
    let new = above.iter().filter(|(key, _)| !below.iter().any(|(known, _)| known.name == key.name));
    entries.extend(new.cloned());
    Node { data: Data::Map(entries), span: upper.span }
}

fn without(mut node: Node, name: &str) -> Node {
    if let Data::Map(entries) = &mut node.data {
        entries.retain(|(key, _)| key.name != name);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Node, Problem> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (name, text) = files[0];
        whole(Source { path: folder.path().join(name), text: text.to_owned() })
    }

    #[test]
    fn ones_own_stands_over_what_is_extended_key_by_key() {
        let own =
            "extends: [base.yaml, ways/b.yaml]\nname: b\nproxies: {selector: x}\nmessages: ~\nlist: [3]\n";
        let base = "name: a\nproxies: {selector: y, namespace: n}\nmessages: {a: b}\nlist: [1, 2]\n";
        let way = "list: [4]\nway: b\n";
        let node = read(&[("own.yaml", own), ("base.yaml", base), ("ways/b.yaml", way)]).unwrap();
        assert_eq!(
            node.value(),
            serde_json::json!({"name": "b", "proxies": {"selector": "x", "namespace": "n"}, "list": [3], "way": "b"})
        );
        let place = |name: &str| node.get(name).unwrap().span.source.path.clone();
        assert!(place("way").ends_with("ways/b.yaml") && place("list").ends_with("own.yaml"));
    }

    #[test]
    fn what_cannot_be_extended_is_told_where_it_is_named() {
        let missing = read(&[("own.yaml", "name: a\nextends: other.yaml\n")]).unwrap_err().to_string();
        assert!(missing.contains("own.yaml:2:10: file `") && missing.contains("cannot be read"), "{missing}");
        let circle = read(&[("own.yaml", "extends: own.yaml\n")]).unwrap_err().to_string();
        assert!(circle.contains("is it a circle?"), "{circle}");
    }

    #[test]
    fn all_files_count() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.yaml"), "name: a\n").unwrap();
        let own = Source { path: folder.path().join("own.yaml"), text: "extends: base.yaml\n".into() };
        assert_eq!(
            files(own).unwrap().into_values().collect::<Vec<_>>(),
            ["name: a\n", "extends: base.yaml\n"]
        );
    }
}
