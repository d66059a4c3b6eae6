//! What was last measured with gateways that are wrong on purpose: why the green of this page can be believed.

use std::path::Path;

use crate::mutants::{Row, Table};
use meshproof_model::pack::Pack;

/// The section about mutants.
pub(super) struct Mutants {
    pub(super) headline: String,
    pub(super) measured: String,
    pub(super) rows: Vec<Row>,
}

/// The section, if anything was measured when this program was built, and the page is about the pack it was measured with.
pub(super) fn of(table: &Table, pack: Option<&str>) -> Option<Mutants> {
    let built_in = Pack::built_in(Path::new("")).ok()?;
    let catalogue = Some(&built_in.catalogue).filter(|_| pack.is_none_or(|name| name == built_in.name))?;
    let (day, _) = table.started.split_once('T').filter(|_| !table.trials.is_empty())?;
    let Table { implementation, kubernetes, istio, .. } = table;
    Some(Mutants {
        headline: table.headline(),
        measured: format!("{day}, {implementation}, Kubernetes {kubernetes}, Istio {istio}"),
        rows: table.rows(catalogue),
    })
}
