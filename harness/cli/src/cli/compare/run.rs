//! The runs that a comparison is made of.

use std::path::{Path, PathBuf};

use super::CompareArgs;
use crate::cli::run::{self, RunArgs, run_name};
use crate::cli::{ImplementationArgs, VarsArgs, exit};
use meshproof_model::pack::Pack;
use meshproof_report::Report;
use meshproof_run::runner::Keep;

/// What came of all runs.
pub(super) struct Ran {
    /// The worst exit code.
    pub(super) code: u8,
    /// What each left behind, with its page.
    pub(super) reports: Vec<(Report, Option<PathBuf>)>,
    /// Folder of all of them.
    pub(super) folder: PathBuf,
}

/// Puts each gateway to the scenarios that are about it, one after the other. Everything that can be known to be wrong is told
/// before the first begins.
///
/// # Errors
/// The exit code, if none of them could begin.
pub(super) async fn all(args: &CompareArgs) -> Result<Ran, u8> {
    let pack = args.root.load().ok_or(exit::USAGE)?;
    let folder = args.results.join(run_name());
    let mut planned: Vec<(String, RunArgs)> = Vec::new();
    for implementation in gateways(args, &pack).ok_or(exit::USAGE)? {
        let loaded = implementation.load(&pack).ok_or(exit::USAGE)?;
        if planned.iter().any(|(name, _)| *name == loaded.name) {
            eprintln!("`{}` is named twice; each gateway has one column", loaded.name);
            return Err(exit::USAGE);
        }
        let mut run = one(args, implementation, &folder.join(&loaded.name));
        run.names = run::about(&pack, &run, &loaded)?;
        if run.names.is_empty() {
            eprintln!("nothing selected: none of the scenarios is about {}", loaded.name);
            return Err(exit::NOTHING);
        }
        planned.push((loaded.name, run));
    }
    let stop = run::stop::on_signal();
    let mut ran = Ran { code: exit::PROVED, reports: Vec::new(), folder };
    for (at, (name, run)) in planned.iter().enumerate() {
        eprintln!("{name}: {} of {}", at + 1, planned.len());
        let code = Box::pin(run::until(run, || stop.clone())).await;
        ran.code = ran.code.max(code);
        match Report::read(&run.results.join("latest")) {
            Ok(report) => {
                let page = run.results.join(&report.run).join("report.html");
                ran.reports.push((report, Some(page)));
            }
            Err(error) => eprintln!("{name} is left out of the page: {error}"),
        }
        if stop.is_cancelled() {
            eprintln!("interrupted: what follows {name} was not put to the test");
            break;
        }
    }
    Ok(ran)
}

/// The gateways, each with the values that are for it; says what is wrong.
fn gateways(args: &CompareArgs, pack: &Pack) -> Option<Vec<ImplementationArgs>> {
    let named = |gateway: &String| {
        ImplementationArgs { implementation: Some(gateway.into()), vars: VarsArgs::default() }.found(pack)
    };
    let found: Vec<_> = args.gateways.iter().map(named).collect::<Option<_>>()?;
    let declared: Vec<_> = found.iter().map(|gateway| gateway.declared(pack)).collect::<Option<_>>()?;
    let given = args.vars.shared_out(&declared).map_err(|why| eprintln!("{why}")).ok()?;
    Some(found.into_iter().zip(given).map(|(gateway, vars)| ImplementationArgs { vars, ..gateway }).collect())
}

/// The run of one gateway.
fn one(args: &CompareArgs, implementation: ImplementationArgs, results: &Path) -> RunArgs {
    RunArgs {
        names: args.scenario.clone(),
        only: args.only.clone(),
        rerun_failed: false,
        retries: 0,
        partition: None,
        repeat: 1,
        watch: false,
        list: false,
        plan: false,
        json: false,
        root: args.root.clone(),
        edition: args.edition.clone(),
        spec: args.spec.clone(),
        context: args.context.clone(),
        images_from: args.images_from.clone(),
        evidence_of: Vec::new(),
        implementation,
        keep: Keep::Never,
        results: results.to_owned(),
        verbose: args.verbose,
        given: Default::default(),
    }
}
