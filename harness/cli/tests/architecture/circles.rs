//! Circles between modules that lie beside one another: `a` and what is in it uses `b` or what is in that, and the other way
//! round. What a module shares with the modules in its own folder is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::modules::{Modules, Path};

/// Modules of one folder, each of which uses each other, if not directly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    /// The folder, with `::`; empty for the crate's own.
    pub(crate) folder: String,
    /// The modules.
    pub(crate) of: Vec<String>,
    /// An example of each use that closes the circle.
    pub(crate) because: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circle in `{}`: {}", self.folder, self.of.join(", "))?;
        self.because.iter().try_for_each(|because| write!(f, "\n    {because}"))
    }
}

/// All circles of a crate.
pub(crate) fn circles(modules: &Modules) -> Vec<Circle> {
    let uses = modules.uses();
    let folders: BTreeSet<Path> =
        modules.paths().filter_map(|path| path.split_last()).map(|(_, up)| up.to_vec()).collect();
    folders.iter().flat_map(|folder| in_folder(folder, &uses)).collect()
}

fn in_folder(folder: &Path, uses: &[(Path, Path)]) -> Vec<Circle> {
    let mut arrows: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for (from, to) in uses {
        let Some(one) = from.strip_prefix(folder.as_slice()).and_then(<[String]>::first) else { continue };
        let Some(other) = to.strip_prefix(folder.as_slice()).and_then(<[String]>::first) else { continue };
        if one != other {
            let example = format!("{} uses {}", from.join("::"), to.join("::"));
            arrows.entry(one).or_default().entry(other).or_insert(example);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|start| (*start, reachable(start, &arrows))).collect();
    let mut left: BTreeSet<&str> = arrows.keys().copied().collect();
    let mut found = Vec::new();
    while let Some(start) = left.pop_first() {
        let back = |other: &&&str| {
            reached[start].contains(**other) && reached.get(**other).is_some_and(|all| all.contains(start))
        };
        let others: Vec<&str> = left.iter().filter(back).copied().collect();
        if others.is_empty() {
            continue;
        }
        let of: Vec<&str> = std::iter::once(start).chain(others).collect();
        left.retain(|module| !of.contains(module));
        let inside = |(from, to): &(&str, &str)| of.contains(from) && of.contains(to);
        let all = arrows.iter().flat_map(|(from, to)| to.iter().map(move |(to, why)| ((*from, *to), why)));
        found.push(Circle {
            folder: folder.join("::"),
            because: all.filter(|(arrow, _)| inside(arrow)).map(|(_, why)| why.clone()).collect(),
            of: of.into_iter().map(str::to_owned).collect(),
        });
    }
    found
}

fn reachable<'a>(start: &str, arrows: &BTreeMap<&'a str, BTreeMap<&'a str, String>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = arrows.get(start).into_iter().flat_map(BTreeMap::keys).copied().collect();
    while let Some(module) = next.pop() {
        if seen.insert(module) {
            next.extend(arrows.get(module).into_iter().flat_map(BTreeMap::keys).copied());
        }
    }
    seen
}

#[test]
fn circles_are_found_however_they_are_written() {
    let found = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let circles = circles(&Modules::read(folder.path()).unwrap());
        circles.into_iter().map(|circle| (circle.folder, circle.of.join(" "))).collect::<Vec<_>>()
    };
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let a_b = [(String::new(), "a b".to_owned())];
    let used_by_a = ("a.rs", "use crate::b::B; pub struct A;");
    assert_eq!(found(&[lib, used_by_a, ("b.rs", "pub struct B;")]), []);
    for b in [
        "use crate::a::A; pub struct B;",
        "use super::{a::A as Other}; pub struct B;",
        "pub struct B(crate::a::A);",
        "pub struct B; fn f() { println!(\"{:?}\", crate::a::A); }",
        "pub struct B; mod inner { use super::super::a::A; }",
    ] {
        assert_eq!(found(&[lib, used_by_a, ("b.rs", b)]), a_b, "{b}");
    }
    // What a test uses is no arrow of the crate.
    let tested = ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }");
    assert_eq!(found(&[lib, used_by_a, tested]), []);
    // By way of a file below, of a third module, and of a name that another module hands on.
    let deep = [("b.rs", "mod d; pub struct B;"), ("b/d.rs", "use crate::a::A;")];
    assert_eq!(found(&[lib, used_by_a, deep[0], deep[1]]), a_b);
    let third = [("b.rs", "use crate::c::C; pub struct B;"), ("c.rs", "use crate::a::A; pub struct C;")];
    assert_eq!(found(&[lib, used_by_a, third[0], third[1]]), [(String::new(), "a b c".to_owned())]);
    let handed = [("lib.rs", "mod a; mod b; pub use a::A;"), ("b.rs", "use crate::A; pub struct B;")];
    assert_eq!(found(&[handed[0], used_by_a, handed[1]]), a_b);
    // In a folder, and between a module and those in it, which is none.
    let folder = [("x.rs", "mod y; mod z; pub struct X;"), ("x/y.rs", "use super::z::Z; pub struct Y;")];
    let z = ("x/z.rs", "use super::y::Y; pub struct Z;");
    assert_eq!(found(&[("lib.rs", "mod x;"), folder[0], folder[1], z]), [("x".to_owned(), "y z".to_owned())]);
    let own = ("x.rs", "mod y; use y::Y; pub struct X;");
    assert_eq!(found(&[("lib.rs", "mod x;"), own, ("x/y.rs", "use super::X; pub struct Y;")]), []);
}
