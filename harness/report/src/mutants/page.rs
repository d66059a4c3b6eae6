//! `mutants.html`: the table as a page of its own, without script.

use askama::Template;

use crate::mutants::{Row, Table, Trial};
use meshproof_model::requirement::Catalogue;

#[derive(Template)]
#[template(path = "mutants.html")]
struct Page<'a> {
    table: &'a Table,
    headline: String,
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    row: Row,
    text: &'a str,
    trials: Vec<&'a Trial>,
}

/// The page.
///
/// # Errors
/// The template could not be filled.
pub fn render(table: &Table, catalogue: &Catalogue) -> Result<String, askama::Error> {
    let group = |row: Row| Group {
        text: catalogue.requirement(&row.requirement).map_or("", |known| known.text.as_str()),
        trials: table.trials.iter().filter(|trial| trial.requirement == row.requirement).collect(),
        row,
    };
    let groups = table.rows(catalogue).into_iter().map(group).collect();
    Page { table, headline: table.headline(), groups }.render()
}
