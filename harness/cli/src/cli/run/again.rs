//! A run that follows another (`--rerun-failed`): it takes over what was asked of it, and what it proved.

use std::collections::BTreeSet;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::RunArgs;
use crate::cli::{VarsArgs, exit};
use meshproof_model::event::{Arguments, Attempt, Basis, Event, EventSink};
use meshproof_model::vars::Values;
use meshproof_report::Report;

/// Names of the arguments that a person gave, on the command line or in the environment.
pub(in crate::cli) fn given(matches: &ArgMatches) -> BTreeSet<String> {
    let told = |id: &&clap::Id| {
        matches!(matches.value_source(id.as_str()), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    matches.ids().filter(told).map(|id| id.as_str().to_owned()).collect()
}

/// What these arguments ask for, for a run that follows.
pub(super) fn arguments(args: &RunArgs, root: &Path) -> Arguments {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Arguments {
        names: args.names.clone(),
        only: args.only.clone(),
        edition: args.edition.edition.clone(),
        implementation: args.implementation.file(),
        pack: args.root.pack.as_deref().map(real),
        scenarios: real(root),
        vars: vars(&args.implementation.vars),
        context: args.context.clone(),
        images_from: args.images_from.clone(),
        cluster: args.context.is_none().then(|| args.spec.cluster.cluster.clone()),
        nodes: args.spec.nodes,
        istio: args.spec.istio.to_string(),
        image_source: args.spec.image_source.to_string(),
    }
}

/// What was given for variables, by arguments over a file; nothing where the file cannot be read, which is told by who needs it.
fn vars(given: &VarsArgs) -> Values {
    let (arguments, mut file) = given.values().unwrap_or_default();
    file.extend(arguments);
    file
}

/// The run that is followed.
pub(super) struct Parent(Report);

/// Finds the newest run, if its failures are to run again, and takes over what was asked of it.
///
/// # Errors
/// The exit code, if there is none, or it contradicts what is asked for now; that is said.
pub(super) fn follow(args: &mut RunArgs) -> Result<Option<Parent>, u8> {
    if !args.rerun_failed {
        return Ok(None);
    }
    let report = match Report::read(&args.results.join("latest")) {
        Ok(report) => report,
        Err(error) if error.is_absence() => {
            eprintln!("nothing selected: {error}");
            return Err(exit::NOTHING);
        }
        Err(error) => {
            eprintln!("{error}");
            return Err(exit::USAGE);
        }
    };
    take_over(args, &report).map_err(|why| {
        eprintln!("{why}");
        exit::USAGE
    })?;
    Ok(Some(Parent(report)))
}

/// Fills in what was asked of the run that is followed.
fn take_over(args: &mut RunArgs, report: &Report) -> Result<(), String> {
    let Some(asked) = &report.arguments else {
        return Err(format!(
            "run {} does not say what was asked of it (it was merged, perhaps); name the scenarios that are to run",
            report.run
        ));
    };
    let root = args.root.scenarios.as_deref();
    let now = arguments(args, root.unwrap_or(&asked.scenarios));
    let text = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let shown =
        |vars: &Values| Some(vars.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>());
    // What was given now, what it is, and what it was.
    let each = [
        ("implementation", "--implementation", text(&now.implementation), text(&asked.implementation)),
        ("edition", "--edition", now.edition.clone(), asked.edition.clone()),
        ("set", "--set", shown(&now.vars), shown(&asked.vars)),
        ("vars", "--vars", shown(&now.vars), shown(&asked.vars)),
        ("pack", "--pack", text(&now.pack), text(&asked.pack)),
        ("scenarios", "--scenarios", text(&Some(now.scenarios)), text(&Some(asked.scenarios.clone()))),
        ("context", "--context", now.context, asked.context.clone()),
        ("images_from", "--images-from", now.images_from, asked.images_from.clone()),
        ("cluster", "--cluster", now.cluster, asked.cluster.clone()),
        ("nodes", "--nodes", now.nodes.map(|n| n.to_string()), asked.nodes.map(|n| n.to_string())),
        ("istio", "--istio", Some(now.istio), Some(asked.istio.clone())),
        ("image_source", "--image-source", Some(now.image_source), Some(asked.image_source.clone())),
    ];
    for (id, flag, now, before) in each {
        if args.given.contains(id) && now != before {
            let with =
                |value: Option<String>| value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
            return Err(format!(
                "{flag} {} contradicts run {}, which --rerun-failed follows and which had {}; leave it out, or name the \
                 scenarios that are to run",
                now.unwrap_or_default(),
                report.run,
                with(before),
            ));
        }
    }
    args.implementation.implementation.clone_from(&asked.implementation);
    args.edition.edition.clone_from(&asked.edition);
    args.implementation.vars = VarsArgs { set: asked.vars.clone().into_iter().collect(), vars: None };
    args.root.pack.clone_from(&asked.pack);
    args.root.scenarios = Some(asked.scenarios.clone());
    args.context.clone_from(&asked.context);
    args.images_from.clone_from(&asked.images_from);
    if let Some(cluster) = &asked.cluster {
        args.spec.cluster.cluster.clone_from(cluster);
    }
    args.spec.nodes = asked.nodes;
    let broken = |what: &str| format!("run {} had {what}, which is not known here", report.run);
    args.spec.istio = asked.istio.parse().map_err(|_| broken(&asked.istio))?;
    args.spec.image_source = asked.image_source.parse().map_err(|_| broken(&asked.image_source))?;
    Ok(())
}

impl Parent {
    /// Name of the run.
    pub(super) fn run(&self) -> &str {
        &self.0.run
    }

    /// Ids of what it did not prove or did not come to.
    pub(super) fn unproved(&self) -> BTreeSet<String> {
        super::selection::unproved(&self.0)
    }

    /// Takes over what it proved, and remembers how the others ended, if it rests on the same things; else says in what they
    /// differ: then what passes now was mended, and what passed before may not pass any more.
    pub(super) fn tell(&self, now: &Basis, again: &[String], sink: &dyn EventSink) {
        if let Some(why) = self.0.basis.difference(now) {
            sink.emit(&Event::NotCarriedOver { why });
            return;
        }
        for result in &self.0.scenarios {
            let mut attempts = self.0.attempts.get(&result.id).cloned().unwrap_or_default();
            if !again.contains(&result.id) && result.verdict.is_good() {
                sink.emit(&Event::CarriedOver { result: Box::new(result.clone()), attempts });
                continue;
            }
            if again.contains(&result.id) && !result.verdict.is_good() {
                attempts.push(Attempt::of(&self.0.run, result));
                for attempt in attempts {
                    sink.emit(&Event::Attempted { scenario: result.id.clone(), attempt });
                }
            }
        }
    }
}

/// Why something is not done where nobody looks on: in CI a scenario is proved at once or not.
pub(super) fn off_in_ci(args: &RunArgs, ci: Option<&str>) -> Option<String> {
    let is_ci = ci.is_some_and(|ci| !matches!(ci, "" | "false" | "0"));
    let flag = match (args.retries > 0, args.rerun_failed) {
        (true, _) => "--retries",
        (false, true) => "--rerun-failed",
        (false, false) => return None,
    };
    is_ci.then(|| {
        format!(
            "{flag} is off in CI (the variable CI is set): what is proved only when it runs again is not proved there; leave \
             the flag out"
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;
    use meshproof_model::event::{Recorder, ScenarioResult, Verdict};

    fn parsed(arguments: &[&str]) -> RunArgs {
        let arguments = std::iter::once("run").chain(arguments.iter().copied());
        let matches = RunArgs::augment_args(Command::new("run")).try_get_matches_from(arguments).unwrap();
        let mut args = RunArgs::from_arg_matches(&matches).unwrap();
        args.given = given(&matches);
        args
    }

    fn result(id: &str, verdict: &str) -> ScenarioResult {
        serde_json::from_value(serde_json::json!({
            "id": id, "title": "", "document": "", "verdict": verdict, "duration_ms": 1, "cleanup_ms": 0,
            "requirements": [], "errata": [], "steps": [], "problems": ["it was late"],
        }))
        .unwrap()
    }

    fn report() -> Report {
        let args = parsed(&[
            "a",
            "--implementation",
            "i.yaml",
            "--cluster",
            "mine",
            "--istio",
            "oldest",
            "--nodes",
            "3",
        ]);
        Report {
            run: "first".into(),
            arguments: Some(arguments(&args, Path::new("/w/scenarios"))),
            scenarios: vec![result("a", "proved"), result("b", "failed")],
            selected: vec!["a".into(), "b".into(), "c".into()],
            ..Report::default()
        }
    }

    #[test]
    fn what_was_asked_of_the_run_is_asked_again() {
        let mut args = parsed(&["--rerun-failed"]);
        take_over(&mut args, &report()).unwrap();
        let (taken, asked) = (arguments(&args, Path::new("/w/scenarios")), report().arguments.unwrap());
        assert_eq!(Arguments { names: asked.names.clone(), ..taken }, asked);
    }

    #[test]
    fn what_contradicts_it_is_refused_by_name() {
        for (flag, value) in [
            ("--implementation", "other.yaml"),
            ("--cluster", "other"),
            // Given, though it is what stands there by default.
            ("--istio", "pinned"),
            ("--nodes", "1"),
            ("--context", "other"),
            ("--pack", "/elsewhere"),
            ("--scenarios", "/elsewhere"),
        ] {
            // A context excludes some of the others, which is clap's to say.
            let error = take_over(&mut parsed(&["--rerun-failed", flag, value]), &report()).unwrap_err();
            assert!(error.starts_with(flag) && error.contains("run first"), "{error}");
        }
        take_over(&mut parsed(&["--rerun-failed", "--istio", "oldest", "--cluster", "mine"]), &report())
            .unwrap();
        let merged = Report { arguments: None, ..report() };
        assert!(take_over(&mut parsed(&["--rerun-failed"]), &merged).unwrap_err().contains("run first"));
    }

    /// The report of a run that follows, in which this came of `b`.
    fn followed(parent: &Report, now: &Basis, verdict: &str) -> Report {
        let recorder = Recorder::default();
        Parent(parent.clone()).tell(now, &["b".into(), "c".into()], &recorder);
        recorder.emit(&Event::ScenarioFinished { result: Box::new(result("b", verdict)) });
        Report::from_events(&recorder.events())
    }

    #[test]
    fn what_was_proved_before_is_still_told_and_what_is_proved_only_now_is_flaky() {
        let report = followed(&report(), &Basis::default(), "proved");
        assert_eq!(report.carried_over, ["a"]);
        assert_eq!(report.flaky, ["b"]);
        assert_eq!(report.scenarios.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let attempt = &report.attempts["b"][0];
        assert_eq!(
            (attempt.run.as_str(), attempt.verdict, attempt.why.as_str()),
            ("first", Verdict::Failed, "it was late")
        );
        // What came of it goes on being told by runs that follow this one.
        let recorder = Recorder::default();
        Parent(Report { run: "second".into(), ..report }).tell(&Basis::default(), &["c".into()], &recorder);
        let third = Report::from_events(&recorder.events());
        assert_eq!((third.carried_over.len(), third.flaky), (2, vec!["b".to_owned()]));
    }

    #[test]
    fn what_fails_again_is_not_flaky() {
        let report = followed(&report(), &Basis::default(), "failed");
        assert!(report.flaky.is_empty());
        assert_eq!(report.scenarios.len(), 2);
    }

    #[test]
    fn what_rests_on_something_else_is_not_carried_over() {
        let mut parent = report();
        parent.basis.digests.images = [("echo".to_owned(), "sha256:1".to_owned().into())].into();
        let mut now = parent.basis.clone();
        now.digests.images = [("echo".to_owned(), "sha256:2".to_owned().into())].into();
        let report = followed(&parent, &now, "proved");
        assert!(report.carried_over.is_empty() && report.flaky.is_empty() && report.attempts.is_empty());
        let why = report.not_carried_over.unwrap();
        assert!(why.contains("image echo"), "{why}");
    }

    #[test]
    fn in_ci_nothing_gets_a_second_chance() {
        for (flags, named) in
            [(&["--rerun-failed"][..], "--rerun-failed"), (&["--retries", "2"], "--retries")]
        {
            let args = parsed(flags);
            assert!(off_in_ci(&args, Some("true")).unwrap().starts_with(named));
            assert_eq!((off_in_ci(&args, None), off_in_ci(&args, Some("false"))), (None, None));
        }
        assert_eq!(off_in_ci(&parsed(&["--retries", "0"]), Some("1")), None);
    }
}
