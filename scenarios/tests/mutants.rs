//! Mutants that need no image of their own, on a real cluster: each must turn its scenario red, and for the right reason. All of
//! them, with those whose programs are wrong, are put to the test by `meshproof mutants`.
#![cfg(feature = "e2e")]

use std::path::Path;
use std::process;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use meshproof::mutant::Mutant;
use meshproof::mutant::run::{Plan, run};
use meshproof_lab::cluster::{ClusterSpec, default_name, nodes_of};
use meshproof_lab::groups::Asked;
use meshproof_model::event::{EventSink, Fanout};
use meshproof_model::implementation::Implementation;
use meshproof_model::requirement::Catalogue;
use meshproof_report as report;
use tokio_util::sync::CancellationToken;

/// Few, and quick: a wrong chart, a wrong chart value, a wrong sample.
const CHOSEN: [&str; 3] = ["any-provider", "one-extension", "route-to-another-port"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_purpose_turns_red_for_the_right_reason() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (catalogue, implementation) = (Catalogue::built_in()?, Implementation::built_in()?);
    let mut mutants = Mutant::load_all(root, &catalogue, &implementation)?;
    mutants.retain(|mutant| CHOSEN.contains(&mutant.id.as_str()));
    ensure!(mutants.len() == CHOSEN.len(), "some of the chosen mutants are not there");
    ensure!(mutants.iter().all(|mutant| !mutant.mutation.needs_images()), "one needs an image of its own");

    let name = default_name();
    let nodes = nodes_of(&name);
    let spec = ClusterSpec { name, nodes: nodes.unwrap_or(1), ..ClusterSpec::default() };
    let sink: Arc<dyn EventSink> = Arc::new(Fanout::new().with(report::terminal(false)));
    let run_name = format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), process::id());
    let results = root.join("../target/meshproof/mutants").join(run_name);
    let plan = Plan {
        mutants: &mutants,
        root,
        catalogue: &catalogue,
        implementation: &implementation,
        asked: Asked { spec, may_grow: nodes.is_none() },
        results: results.clone(),
        sink,
        so_far: &|_| {},
        stop: CancellationToken::new(),
    };
    let table = run(&plan).await?;
    meshproof::cli::mutants::write(&table, &catalogue, &results)?;
    if table.trials.len() != mutants.len() || !table.is_good() {
        bail!("{}", table.text(&catalogue));
    }
    Ok(())
}
