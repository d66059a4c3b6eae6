//! What of the document's text only its vendor's cloud has, and what stands for it here: a table, as data.
//!
//! ```yaml
//! - {printed: <namespace for deployment>, here: extension-release, because: a reader has to choose one}
//! - {printed: https://example.com/deployment.yaml, manifest: sample.yaml, because: nothing is fetched from outside}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::word::Scope;
use meshproof_model::scenario::manifest::Manifest;
use meshproof_model::scenario::node::{Node, Problem, Source};
use meshproof_model::scenario::parse;
use meshproof_model::scenario::placeholder::{fill_text, substitute};
use meshproof_model::yaml;

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Substitution {
    /// The document's text.
    pub printed: String,
    /// What stands for it.
    pub here: Here,
    /// Why it cannot be as printed.
    pub because: String,
}

/// What stands for a text of the document.
#[derive(Debug, Clone, PartialEq)]
pub enum Here {
    /// A text, which may hold placeholders.
    Text(String),
    /// The manifest, as a file beside the command.
    Manifest(Manifest),
}

/// Every row of a table, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Substitutions(pub Vec<Substitution>);

/// A text with everything in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Substituted {
    /// The text as it is used.
    pub text: String,
    /// Files it refers to: name and content.
    pub files: Vec<(String, String)>,
    /// What was replaced, one line each.
    pub replaced: Vec<String>,
}

impl Substitutions {
    /// Reads the table that `node` names.
    ///
    /// # Errors
    /// It cannot be read, or a row is not of this shape.
    pub fn read(node: &Node, scope: &Scope<'_>) -> Result<Self, Problem> {
        let (_, path, text) = scope.file(node)?;
        let table = parse::document(&Arc::new(Source { path, text }))?;
        table.list()?.iter().map(|row| substitution(row, scope)).collect::<Result<_, _>>().map(Self)
    }

    /// The rows that a text needs.
    pub fn of<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a Substitution> {
        self.0.iter().filter(move |row| text.contains(&row.printed))
    }

    /// Replaces what is printed by what stands for it.
    ///
    /// # Errors
    /// The name of a placeholder that has no value.
    pub fn apply(&self, text: &str, placeholders: &BTreeMap<String, String>) -> Result<Substituted, String> {
        let mut done = Substituted { text: text.to_owned(), ..Substituted::default() };
        for row in self.of(text) {
            let here = match &row.here {
                Here::Text(here) => fill_text(here, &|name| placeholders.get(name).cloned())?,
                Here::Manifest(manifest) => {
                    let mut content = String::new();
                    for object in &manifest.objects {
                        let value = substitute(&object.value, placeholders)?;
                        content += "---\n";
                        // Every key is a string: there is nothing YAML could refuse.
                        content += &yaml::to_string(&value).unwrap_or_default();
                    }
                    done.files.push((manifest.name.clone(), content));
                    manifest.name.clone()
                }
            };
            done.text = done.text.replace(&row.printed, &here);
            let shown = match &row.here {
                Here::Text(here) => here,
                Here::Manifest(manifest) => &manifest.name,
            };
            done.replaced.push(format!("`{}` by `{shown}`: {}", row.printed, row.because));
        }
        Ok(done)
    }
}

fn substitution(row: &Node, scope: &Scope<'_>) -> Result<Substitution, Problem> {
    let mut fields = row.fields()?;
    let printed = fields.need("printed")?.text()?.to_owned();
    if printed.is_empty() {
        return Err(row.problem("nothing is printed there"));
    }
    let because = fields.need("because")?.text()?.to_owned();
    let here = match (fields.take("here"), fields.take("manifest")) {
        (Some(here), None) => Here::Text(scope.fill(here)?.text()?.to_owned()),
        (None, Some(manifest)) => {
            let name = manifest.text()?;
            if name.contains('/') {
                return Err(manifest.problem("a manifest that stands for a text lies beside the scenario"));
            }
            Here::Manifest(scope.manifest(manifest)?)
        }
        _ => return Err(row.problem("either `here` or `manifest` stands for what is printed")),
    };
    fields.finish()?;
    Ok(Substitution { printed, here, because })
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::Path;

    use super::*;
    use meshproof_model::implementation::Implementation;
    use meshproof_model::requirement::Catalogue;

    const TABLE: &str = "- {printed: oci://far, here: \"${charts.alb-controller}/near\", because: it is here}\n\
                         - {printed: https://far/a.yaml, manifest: a.yaml, because: nothing is fetched}\n";

    fn table(text: &str) -> Result<Substitutions, Problem> {
        let text = text.to_owned();
        let read = move |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("t.yaml") => Ok(text.clone()),
            Some("a.yaml") => {
                Ok("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {image: \"${images.echo}\"}\n"
                    .into())
            }
            _ => Err(Error::from(ErrorKind::NotFound)),
        };
        let (catalogue, implementation) =
            (Catalogue::built_in().unwrap(), Implementation::built_in().unwrap());
        let kinds = std::cell::RefCell::default();
        let scope = Scope {
            namespace: "ns",
            backend: None,
            catalogue: &catalogue,
            edition: "e",
            implementation: &implementation,
            vars: &implementation.vars,
            read: &read,
            kinds: &kinds,
        };
        let source = Source { path: "s/s.yaml".into(), text: "t.yaml".into() };
        Substitutions::read(&parse::document(&Arc::new(source))?, &scope)
    }

    #[test]
    fn a_text_gets_what_stands_for_it_and_the_files_it_names() {
        let values = BTreeMap::from([
            ("charts.alb-controller".to_owned(), "/charts".to_owned()),
            ("images.echo".to_owned(), "echo:1".to_owned()),
        ]);
        let table = table(TABLE).unwrap();
        let done = table.apply("helm install r oci://far/r && kubectl apply -f https://far/a.yaml", &values);
        let done = done.unwrap();
        assert_eq!(done.text, "helm install r /charts/near/r && kubectl apply -f a.yaml");
        assert!(done.files[0].1.contains("image: echo:1"), "{:?}", done.files);
        assert_eq!(done.replaced[0], "`oci://far` by `${charts.alb-controller}/near`: it is here");
        assert_eq!(table.apply("kubectl get pods", &values).unwrap().replaced, Vec::<String>::new());
        assert_eq!(table.apply("oci://far", &BTreeMap::new()), Err("charts.alb-controller".into()));
    }

    #[test]
    fn a_row_that_is_no_substitution_is_refused_where_it_stands() {
        for (text, problem) in [
            ("- {printed: a, because: b}\n", "either `here` or `manifest`"),
            ("- {printed: a, here: b}\n", "because"),
            ("- {printed: a, here: \"${nope}\", because: b}\n", "unknown placeholder"),
            ("- {printed: a, manifest: ../a.yaml, because: b}\n", "beside the scenario"),
        ] {
            let found = table(text).unwrap_err().to_string();
            assert!(found.contains(problem) && found.starts_with("s/t.yaml:1"), "{found}");
        }
    }
}
