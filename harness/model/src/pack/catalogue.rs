//! The requirements of a pack, with their places.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::requirement::Catalogue;
use crate::scenario::node::{Node, Problem, Source, Span};
use crate::scenario::parse;

/// Reads requirements and errata, and where each stands.
///
/// # Errors
/// What is wrong with them, at its place.
pub(super) fn read(source: &Arc<Source>) -> Result<(Catalogue, BTreeMap<String, Span>), Problem> {
    let root = parse::document(source)?;
    let places = places(&root);
    let catalogue = Catalogue::parse(&source.text).map_err(|error| {
        let known = error.id.as_ref().and_then(|id| places.get(id)).cloned();
        let start = error.offset.unwrap_or_default().min(source.text.len());
        known.unwrap_or(Span { source: source.clone(), start, length: 1 }).problem(error.message)
    })?;
    Ok((catalogue, places))
}

/// The place of each id; of one that is there twice, the second.
fn places(root: &Node) -> BTreeMap<String, Span> {
    let lists = ["requirements", "errata"].into_iter().filter_map(|list| root.get(list));
    let ids = lists.flat_map(Node::one_or_more).filter_map(|one| one.get("id"));
    ids.filter_map(|id| Some((id.text().ok()?.to_owned(), id.span.clone()))).collect()
}
