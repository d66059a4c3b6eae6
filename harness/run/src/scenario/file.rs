//! A scenario's file before its steps are read: its values of variables, and what its claims have in common.

use std::collections::BTreeMap;
use std::path::Path;

use meshproof_model::digest;
use meshproof_model::implementation::Implementation;
use meshproof_model::scenario::needs::Needs;
use meshproof_model::scenario::node::{Node, Problem};
use meshproof_model::vars::{self, Vars};

/// What the values of variables are called in the digest of a scenario, beside its files.
const VARS: &str = "${vars}";

/// The file with values for its variables, and all variables there are. One that is about another gateway stays as it is: nobody
/// gives values for it.
///
/// # Errors
/// A declaration that is not well formed, or a variable that has no value, at its place.
pub(super) fn with_values(root: Node, implementation: &Implementation) -> Result<(Node, Vars), Problem> {
    let vars = implementation.vars.with(vars::declarations(root.get("vars"))?);
    let about =
        root.get("needs").map(Needs::parse).and_then(Result::ok).and_then(|needs| needs.implementation);
    let root = match about.is_none_or(|name| name == implementation.name) {
        true => vars.fill(&root)?,
        false => root,
    };
    Ok((root, vars))
}

/// The workload that a claim is about which names none (a 503 comes from nobody): the first that a claim of the scenario names.
pub(super) fn first_backend(steps: &[Node]) -> Option<&str> {
    let mut named = steps.iter().filter_map(|step| step.get("becomes")?.get("backend")?.text().ok());
    named.next().map(|backend| backend.rsplit('/').next().unwrap_or(backend))
}

/// What a file is called in the digest of a scenario: as seen from its folder, wherever that is.
pub(super) fn name_from(directory: &Path, path: &Path) -> String {
    let name = path.strip_prefix(directory).ok().or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
    name.to_string_lossy().replace('\\', "/")
}

/// Digest of a scenario: of what was read, of what else lies in its folder, for commands that look there, and of the values of
/// variables.
pub(super) fn digest_of(directory: &Path, texts: BTreeMap<String, Vec<u8>>, vars: &Vars) -> String {
    let mut files = BTreeMap::new();
    // One that is not on disk (in tests) is what was read of it.
    if digest::collect(directory, "", &mut files).is_err() {
        files.clear();
    }
    files.extend(texts);
    let values = vars.values();
    if !values.is_empty() {
        files.insert(VARS.to_owned(), format!("{values:?}").into_bytes());
    }
    digest::contents(&files)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use meshproof_model::scenario::node::Source;
    use meshproof_model::scenario::parse;

    #[test]
    fn a_claim_that_names_no_backend_is_about_the_first_that_is_named() {
        let first = |text: &str| {
            let source = Source { path: "s.yaml".into(), text: text.to_owned() };
            let node = parse::document(&Arc::new(source)).unwrap();
            first_backend(node.list().unwrap()).map(str::to_owned)
        };
        let named = "- apply: a\n- becomes: {status: 404}\n- becomes: {status: 200, backend: shop/cart}\n\
                     - becomes: {status: 200, backend: till}\n";
        assert_eq!(first(named).as_deref(), Some("cart"));
        assert_eq!(first("- becomes: {status: 404}\n- becomes: file.yaml\n"), None);
    }
}
