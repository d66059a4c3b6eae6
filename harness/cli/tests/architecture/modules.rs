//! The files of a crate's library as modules, and what each uses of the others. What only tests use is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A module, seen from the crate; empty for the crate itself.
pub(crate) type Path = Vec<String>;

/// What one file says.
#[derive(Debug, Default)]
struct Module {
    /// Names that `use` brings in, with what they stand for, and the module (of the file or in it) that says so.
    names: BTreeMap<String, (Path, Path)>,
    /// Paths to something else, and the module (of the file or in it) they are seen from.
    paths: Vec<(Path, Path)>,
    /// Modules in it that are only there for tests.
    of_tests: BTreeSet<String>,
}

/// The modules of a crate, a file each.
#[derive(Debug)]
pub(crate) struct Modules(BTreeMap<Path, Module>);

impl Modules {
    /// Reads all files below a crate's `src`.
    pub(crate) fn read(sources: &std::path::Path) -> Result<Self, Box<dyn Error>> {
        let mut files = Vec::new();
        collect(sources, &mut Vec::new(), &mut files)?;
        let mut modules = BTreeMap::new();
        for (path, file) in files {
            let text = fs::read_to_string(&file)?;
            let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            let mut reader = Reader { at: path.clone(), found: Module::default() };
            reader.visit_file(&parsed);
            modules.insert(path, reader.found);
        }
        let of_tests: Vec<Path> = modules
            .iter()
            .flat_map(|(path, module)| module.of_tests.iter().map(|name| child(path, name)))
            .collect();
        modules.retain(|path, _| !of_tests.iter().any(|test| path.starts_with(test)));
        Ok(Self(modules))
    }

    /// All modules.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys()
    }

    /// Which module uses which.
    pub(crate) fn uses(&self) -> Vec<(Path, Path)> {
        let all = self.0.iter().flat_map(|(own, module)| {
            let named = module.names.values();
            let used = module.paths.iter().chain(named);
            used.filter_map(move |(path, seen_from)| Some((own.clone(), self.module_of(seen_from, path, 0)?)))
        });
        all.filter(|(from, to)| from != to).collect()
    }

    /// The module in which what a path leads to is; nothing if that is in another crate.
    fn module_of(&self, seen_from: &Path, path: &[String], depth: usize) -> Option<Path> {
        // Names that stand for each other.
        if depth > 16 {
            return None;
        }
        let first = path.first()?;
        let mut at = seen_from.clone();
        let mut rest = path;
        match first.as_str() {
            "crate" => (at, rest) = (Path::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while let Some("super") = rest.first().map(String::as_str) {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            name if self.0.contains_key(&child(&at, name)) => {}
            name => {
                let (stands_for, of) = self.file_of(&at).names.get(name)?;
                // `use a;` stands for a crate, or for what cannot be told from it.
                if stands_for.first().is_some_and(|first| first == name) {
                    return None;
                }
                let whole: Path = stands_for.iter().chain(&path[1..]).cloned().collect();
                return self.module_of(&of.clone(), &whole, depth + 1);
            }
        }
        while let Some((name, below)) = rest.split_first() {
            let inner = child(&at, name);
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, below);
                continue;
            }
            let Some((stands_for, of)) = self.0.get(&at).and_then(|module| module.names.get(name)) else {
                break;
            };
            let whole: Path = stands_for.iter().chain(below).cloned().collect();
            return self.module_of(&of.clone(), &whole, depth + 1).or(Some(at));
        }
        Some(self.own_file(&at))
    }

    /// The file a module is in: a module may be written in the file of another.
    fn own_file(&self, module: &Path) -> Path {
        let mut file = module.clone();
        while !self.0.contains_key(&file) && file.pop().is_some() {}
        file
    }

    fn file_of(&self, module: &Path) -> &Module {
        static NONE: Module = Module { names: BTreeMap::new(), paths: Vec::new(), of_tests: BTreeSet::new() };
        self.0.get(&self.own_file(module)).unwrap_or(&NONE)
    }
}

fn child(of: &Path, name: &str) -> Path {
    of.iter().cloned().chain([name.to_owned()]).collect()
}

fn collect(
    folder: &std::path::Path,
    path: &mut Path,
    files: &mut Vec<(Path, std::path::PathBuf)>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if file.is_dir() {
            path.push(name);
            collect(&file, path, files)?;
            path.pop();
        } else if file.extension().is_some_and(|extension| extension == "rs")
            && !(path.is_empty() && name == "main")
        {
            let module = if path.is_empty() && name == "lib" { Path::new() } else { child(path, &name) };
            files.push((module, file));
        }
    }
    Ok(())
}

/// Reads one file.
struct Reader {
    /// The module that is being read: of the file, or one in it.
    at: Path,
    found: Module,
}

impl Reader {
    fn used(&mut self, path: Path) {
        if path.len() > 1 {
            self.found.paths.push((path, self.at.clone()));
        }
    }

    fn tree(&mut self, prefix: &Path, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => self.tree(&child(prefix, &path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = prefix.last().cloned().unwrap_or_default();
                self.named(last, prefix.clone());
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.named(name.clone(), child(prefix, &name));
            }
            syn::UseTree::Rename(rename) => {
                let whole = match rename.ident.to_string().as_str() {
                    "self" => prefix.clone(),
                    name => child(prefix, name),
                };
                self.named(rename.rename.to_string(), whole);
            }
            syn::UseTree::Glob(_) => self.used(prefix.clone()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(prefix, tree)),
        }
    }

    fn named(&mut self, name: String, path: Path) {
        self.found.paths.push((path.clone(), self.at.clone()));
        self.found.names.insert(name, (path, self.at.clone()));
    }

    /// Paths in the arguments of a macro, which are not read as what they are: names with `::` between them.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Path::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 || path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.used(std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.used(path);
    }
}

/// `#[cfg(test)]`.
fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            _ => &Vec::new(),
        };
        match item {
            syn::Item::Mod(module) if is_of_tests(attributes) => {
                self.found.of_tests.insert(module.ident.to_string());
            }
            _ if is_of_tests(attributes) => {}
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.at.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&Path::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.used(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }

    // Who may see something is no use of it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}
