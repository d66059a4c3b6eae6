//! What was last measured with gateways that are wrong on purpose: why the green of this page can be believed.

use crate::mutants::{Row, Table};
use meshproof_model::requirement::Catalogue;

/// The section about mutants.
pub(super) struct Mutants {
    pub(super) headline: String,
    pub(super) measured: String,
    pub(super) rows: Vec<Row>,
}

/// The section, if anything was measured when this program was built.
pub(super) fn of(table: &Table) -> Option<Mutants> {
    let catalogue = Catalogue::built_in().ok()?;
    let (day, _) = table.started.split_once('T').filter(|_| !table.trials.is_empty())?;
    let Table { implementation, kubernetes, istio, .. } = table;
    Some(Mutants {
        headline: table.headline(),
        measured: format!("{day}, {implementation}, Kubernetes {kubernetes}, Istio {istio}"),
        rows: table.rows(&catalogue),
    })
}
