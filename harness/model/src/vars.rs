//! Variables: what a pack, an implementation or a scenario leaves to whoever runs it (`vars:`), used as `${vars.NAME}`. Values are
//! texts; they come with `--set`, from a file or from the environment, in this order, else a declaration has a default.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::scenario::node::{Data, Key, Node, Problem, Source, closest};
use crate::scenario::{FILE, discover, parse, placeholder};

/// What stands before the name in a placeholder.
const PREFIX: &str = "vars.";
/// What stands before the name in the environment, where it has capitals, and `_` for `-`.
const ENVIRONMENT: &str = "MESHPROOF_VAR_";

/// What a variable is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declaration {
    /// What it is for.
    pub description: Option<String>,
    /// Its value if nobody gives another; without it somebody has to.
    pub default: Option<String>,
}

/// Variables that are declared, by name.
pub type Declarations = BTreeMap<String, Declaration>;

/// Values that were given, by name.
pub type Values = BTreeMap<String, String>;

/// The variables of a pack, an implementation or a scenario, and what is known of their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vars {
    /// Those that are declared; what a scenario declares stands over what its implementation does, and that over the pack.
    pub declared: Declarations,
    /// What was given by whoever runs it.
    pub given: Values,
}

impl Vars {
    /// The same, with further declarations over those there are.
    #[must_use]
    pub fn with(&self, declared: Declarations) -> Self {
        let mut all = self.clone();
        all.declared.extend(declared);
        all
    }

    /// Every value there is, by name: what is proved rests on them.
    pub fn values(&self) -> Values {
        let known = |name: &String| Some((name.clone(), self.value(name)?));
        self.declared.keys().filter_map(known).collect()
    }

    /// The same piece with values for `${vars.NAME}`. Other placeholders stay.
    ///
    /// # Errors
    /// One that has no value or is not declared, at its place, with how to give it.
    pub fn fill(&self, node: &Node) -> Result<Node, Problem> {
        let missing = RefCell::new(None);
        let value = |name: &str| {
            let Some(own) = name.strip_prefix(PREFIX) else { return Some(format!("${{{name}}}")) };
            let value = self.value(own);
            if value.is_none() {
                missing.borrow_mut().replace(own.to_owned());
            }
            value
        };
        placeholder::fill(node, &value).map_err(|problem| match missing.borrow().as_ref() {
            Some(name) => self.missing(&problem, name),
            None => problem,
        })
    }

    fn value(&self, name: &str) -> Option<String> {
        let declaration = self.declared.get(name)?;
        self.given.get(name).or(declaration.default.as_ref()).cloned()
    }

    /// What is wrong where a variable without a value is used.
    fn missing(&self, at: &Problem, name: &str) -> Problem {
        let Some(declaration) = self.declared.get(name) else {
            let problem = at.span.problem(format!("no variable `{name}` is declared"));
            let known: Vec<&str> = self.declared.keys().map(String::as_str).collect();
            return problem.help(match (closest(name, &known), known.is_empty()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, true) => {
                    "declare it under `vars` of the pack, the implementation or the scenario".to_owned()
                }
                (None, false) => format!("declared are: {}", known.join(", ")),
            });
        };
        let what = declaration.description.as_deref().map(|what| format!(" ({what})")).unwrap_or_default();
        at.span.problem(format!("the variable `{name}`{what} has no value")).help(format!(
            "give it one: --set {name}=VALUE, a line `{name}: VALUE` in a file named with --vars, or {}=VALUE in the environment",
            variable(name)
        ))
    }
}

/// The name of a variable in the environment.
pub fn variable(name: &str) -> String {
    format!("{ENVIRONMENT}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Reads declarations: `NAME: default`, `NAME: {description: …, default: …}`, or `NAME:` alone for one that has to be given.
///
/// # Errors
/// Not of that form, at its place.
pub fn declarations(node: Option<&Node>) -> Result<Declarations, Problem> {
    let Some(node) = node else { return Ok(Declarations::new()) };
    let Data::Map(entries) = &node.data else {
        let problem = node.problem(format!("expected a mapping, found {}", node.what()));
        return Err(problem.help("names with their defaults, or with `description` and `default`"));
    };
    entries.iter().map(|(key, node)| Ok((name(key)?, declaration(node)?))).collect()
}

fn name(key: &Key) -> Result<String, Problem> {
    match is_name(&key.name) {
        true => Ok(key.name.clone()),
        false => Err(key
            .span
            .problem(format!("`{}` is no name of a variable", key.name))
            .help("letters, digits, `-` and `_`, a letter first")),
    }
}

/// Whether a variable can be called so.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn declaration(node: &Node) -> Result<Declaration, Problem> {
    match &node.data {
        Data::Null => Ok(Declaration::default()),
        Data::Map(_) => {
            let mut fields = node.fields()?;
            let mut text = |key| fields.take(key).map(value).transpose();
            let declaration = Declaration { description: text("description")?, default: text("default")? };
            fields.finish()?;
            Ok(declaration)
        }
        _ => Ok(Declaration { description: None, default: Some(value(node)?) }),
    }
}

/// A value: a text. A number or `true` would be another text after YAML has read it (`1.10`, `0x10`).
fn value(node: &Node) -> Result<String, Problem> {
    let text = node.text().map_err(|problem| problem.help("values are texts: put it in quotes"))?;
    Ok(text.to_owned())
}

/// Reads a file of values: a mapping of names to texts.
///
/// # Errors
/// Not of that form, at its place.
pub fn values(file: &Path, text: String) -> Result<Values, Problem> {
    let node = parse::document(&Arc::new(Source { path: file.to_owned(), text }))?;
    let Data::Map(entries) = &node.data else {
        return Err(node.problem(format!("expected names with their values, found {}", node.what())));
    };
    entries.iter().map(|(key, node)| Ok((name(key)?, value(node)?))).collect()
}

/// Reads `NAME=VALUE`.
///
/// # Errors
/// Not of that form.
pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => {
            Err(format!("`{text}` is not NAME=VALUE; a name is letters, digits, `-` and `_`, a letter first"))
        }
    }
}

/// Everything that the scenarios below `root` declare. A file that cannot be read declares nothing: what is wrong with it is told by
/// who loads it.
pub fn of_scenarios(root: &Path) -> Declarations {
    let mut all = Declarations::new();
    for id in discover::all(root).unwrap_or_default() {
        let path = id.split('/').fold(root.to_owned(), |path, part| path.join(part)).join(FILE);
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let Ok(document) = parse::document(&Arc::new(Source { path, text })) else { continue };
        all.extend(declarations(document.get("vars")).unwrap_or_default());
    }
    all
}

/// What was given for the declared variables: by the arguments, over a file, over the environment.
///
/// # Errors
/// A name that nothing declares, with the nearest that is there. In the environment there may be others.
pub fn given(
    declared: &Declarations,
    arguments: &Values,
    file: &Values,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Values, String> {
    let known: Vec<&str> = declared.keys().map(String::as_str).collect();
    if let Some(name) = arguments.keys().chain(file.keys()).find(|name| !declared.contains_key(*name)) {
        return Err(match (closest(name, &known), known.is_empty()) {
            (Some(near), _) => format!("there is no variable `{name}`; did you mean `{near}`?"),
            (None, true) => {
                format!("there is no variable `{name}`: neither pack, implementation nor scenario has any")
            }
            (None, false) => format!("there is no variable `{name}`; there are: {}", known.join(", ")),
        });
    }
    let from_environment = |name: &&str| Some(((*name).to_owned(), environment(&variable(name))?));
    let mut given: Values = known.iter().filter_map(from_environment).collect();
    given.extend(file.iter().chain(arguments).map(|(name, value)| (name.clone(), value.clone())));
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        let source = Source { path: "s.yaml".into(), text: text.to_owned() };
        parse::document(&Arc::new(source)).unwrap()
    }

    fn vars(declared: &str, given: &[(&str, &str)]) -> Vars {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Vars { declared: declarations(Some(&node(declared))).unwrap(), given }
    }

    const DECLARED: &str = "host:\npath: /\nport: {description: where it listens, default: '80'}\n\
                            zone: {description: the DNS zone}\n";

    #[test]
    fn a_value_that_is_given_stands_over_the_default() {
        let vars = vars(DECLARED, &[("host", "a.example"), ("port", "8080")]);
        let filled =
            vars.fill(&node("a: ${vars.host}:${vars.port}${vars.path}\nb: [\"${images.echo}\"]")).unwrap();
        assert_eq!(filled.get("a").unwrap().text(), Ok("a.example:8080/"));
        assert_eq!(
            filled.get("b").unwrap().list().unwrap()[0].text(),
            Ok("${images.echo}"),
            "of others nothing is said"
        );
        assert_eq!(vars.values().keys().collect::<Vec<_>>(), ["host", "path", "port"]);
    }

    #[test]
    fn a_missing_value_is_told_where_it_is_used_and_how_to_give_it() {
        let problem = vars(DECLARED, &[]).fill(&node("a: 1\nb: x.${vars.zone}")).unwrap_err();
        assert_eq!(problem.to_string(), "s.yaml:2:4: the variable `zone` (the DNS zone) has no value");
        let help = problem.help.unwrap();
        for way in ["--set zone=VALUE", "--vars", "MESHPROOF_VAR_ZONE=VALUE"] {
            assert!(help.contains(way), "{help}");
        }
        let undeclared = vars(DECLARED, &[("hots", "a")]).fill(&node("a: ${vars.hots}")).unwrap_err();
        assert_eq!(undeclared.help.as_deref(), Some("did you mean `host`?"));
    }

    #[test]
    fn what_is_declared_nearer_stands_over_what_is_declared_farther() {
        let nearer = vars("path: /\n", &[]).with(declarations(Some(&node("path: /deep\nmore: x"))).unwrap());
        let filled = nearer.fill(&node("a: ${vars.path}${vars.more}")).unwrap();
        assert_eq!(filled.get("a").unwrap().text(), Ok("/deepx"));
    }

    #[test]
    fn arguments_stand_over_the_file_and_that_over_the_environment() {
        let declared = declarations(Some(&node("a:\nb:\nc-d:\n"))).unwrap();
        let one = |names: &[&str], value: &str| {
            names.iter().map(|n| ((*n).to_owned(), value.to_owned())).collect::<Values>()
        };
        let environment = |name: &str| {
            ["MESHPROOF_VAR_A", "MESHPROOF_VAR_B", "MESHPROOF_VAR_C_D"]
                .contains(&name)
                .then(|| "env".to_owned())
        };
        let given = given(&declared, &one(&["a"], "set"), &one(&["a", "b"], "file"), &environment).unwrap();
        assert_eq!([&given["a"], &given["b"], &given["c-d"]], ["set", "file", "env"]);
    }

    #[test]
    fn a_name_that_nothing_declares_is_refused_with_the_nearest() {
        let declared = declarations(Some(&node(DECLARED))).unwrap();
        let refused = |name: &str, declared: &Declarations| {
            let set = Values::from([(name.to_owned(), String::new())]);
            given(declared, &set, &Values::new(), &|_| None).unwrap_err()
        };
        assert!(refused("hst", &declared).ends_with("did you mean `host`?"));
        assert!(refused("something", &declared).ends_with("there are: host, path, port, zone"));
        assert!(refused("host", &Declarations::new()).contains("has any"));
    }

    #[test]
    fn what_is_no_declaration_and_no_setting_is_refused() {
        for wrong in ["- a", "port: 80", "a: {defualt: b}", "1a: b", "'a b': c", "a: [b]"] {
            assert!(declarations(Some(&node(wrong))).is_err(), "{wrong}");
        }
        for wrong in ["a", "=b", "a b=c", "1=2"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
        assert_eq!(setting("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(setting("a="), Ok(("a".to_owned(), String::new())));
        let file = values(Path::new("v.yaml"), "a: b\nc: 1\n".to_owned()).unwrap_err();
        assert!(file.to_string().starts_with("v.yaml:2:4"), "{file}");
    }
}
