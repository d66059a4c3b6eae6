//! `meshproof run --watch`: runs again what a change touches, on the cluster that is there.

mod changes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::changes::{SOURCES, Touched, World};
use super::choose::{self, Loaded};
use super::session::About;
use super::{RunArgs, session, stop};
use crate::cli::{exit, tell};
use meshproof_lab::supply::workspace;
use meshproof_model::implementation::Implementation;
use meshproof_model::pack::Pack;
use meshproof_report::count;
use meshproof_run::scenario::Scenario;

/// Changes that come closer together than this are one: an editor that saves, a branch that is checked out.
const QUIET: Duration = Duration::from_millis(300);

/// Runs what is selected, then what changes touch, until it is interrupted; the exit code of the last run.
pub(super) async fn run(args: &RunArgs, mut pack: Pack) -> u8 {
    // The kernel names files by their real paths.
    pack.scenarios = pack.scenarios.canonicalize().unwrap_or(pack.scenarios);
    let (pack, root) = (&pack, pack.scenarios.clone());
    let (mut watcher, mut changes) = match watcher() {
        Ok(both) => both,
        Err(error) => return cannot_watch(&root, &error),
    };
    let sources = sources();
    let implementation = args.implementation.folder();
    for folder in std::iter::once(&root).chain(&implementation).chain(&sources) {
        if let Err(error) = watcher.watch(folder, RecursiveMode::Recursive) {
            return cannot_watch(folder, &error);
        }
    }
    let stop = stop::on_signal();
    let (mut implementation, mut loaded) = match load(args, pack) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let mut due: Vec<String> = loaded.iter().map(|loaded| loaded.id.clone()).collect();
    let mut code = exit::NOTHING;
    loop {
        let mut world = world(&loaded, &sources);
        let scenarios = ready(loaded, &due);
        let mut unsettled = due.clone();
        if !scenarios.is_empty() {
            let ended = session::prove(
                args,
                &implementation,
                &scenarios,
                About { pack, parent: None, partition: None },
                stop.clone(),
            )
            .await;
            (code, unsettled) = (ended.code, ended.unsettled);
        }
        eprintln!(
            "\nwatching {} and the sources of the images; Ctrl-C ends",
            count(world.scenarios.len(), "scenario")
        );
        let again = || {
            let (implementation, loaded) = load(args, pack).ok()?;
            let now = self::world(&loaded, &sources);
            Some(((implementation, loaded), now))
        };
        let Some(((as_it_is, as_they_are), touched)) =
            next_touched(&mut changes, &stop, &mut world, again).await
        else {
            return code;
        };
        (implementation, loaded) = (as_it_is, as_they_are);
        // What was left in the cluster stands in the way of the others: it goes first.
        let first = unsettled.iter().filter(|id| loaded.iter().any(|loaded| loaded.id == **id));
        due = first.chain(touched.scenarios.iter().filter(|id| !unsettled.contains(id))).cloned().collect();
        eprintln!("{}", in_words(&touched, &due, &root));
    }
}

/// Waits for changes that touch something, and reads everything again, which fails while a file is half-way: changes that came
/// until then still count afterwards. Nothing when it is time to end.
async fn next_touched<T>(
    changes: &mut UnboundedReceiver<PathBuf>,
    stop: &CancellationToken,
    world: &mut World,
    again: impl Fn() -> Option<(T, World)>,
) -> Option<(T, Touched)> {
    let mut changed = BTreeSet::new();
    loop {
        changed.extend(next_changes(changes, stop).await?);
        let Some((read, now)) = again() else { continue };
        let touched = touched(world, now, &changed);
        if !touched.files.is_empty() {
            return Some((read, touched));
        }
    }
}

/// What changes touch, of the scenarios as they were and as they are now.
fn touched(before: &mut World, now: World, changed: &BTreeSet<PathBuf>) -> Touched {
    let gone = before.touched(changed).files;
    let mut touched = now.touched(changed);
    touched.files.extend(gone);
    *before = now;
    touched
}

/// Those of the scenarios that are due, in that order; tells what is wrong with the others.
fn ready(mut loaded: Vec<Loaded>, due: &[String]) -> Vec<Scenario> {
    let mut ready = Vec::new();
    for id in due {
        let Some(at) = loaded.iter().position(|loaded| loaded.id == *id) else { continue };
        match loaded.swap_remove(at).scenario {
            Ok(scenario) => ready.push(scenario),
            Err(problems) => tell(&problems),
        }
    }
    ready
}

/// The implementation, and what is selected as it is read for that one: every scenario depends on its file.
fn load(args: &RunArgs, pack: &Pack) -> Result<(Arc<Implementation>, Vec<Loaded>), u8> {
    let implementation = super::under_test(args, pack).map(Arc::new).ok_or(exit::USAGE)?;
    let loaded = choose::load(pack, &args.names, &implementation)?;
    let mut loaded = choose::only(loaded, args, &pack.catalogue)?;
    for loaded in &mut loaded {
        loaded.files.extend(args.implementation.file());
    }
    Ok((implementation, loaded))
}

fn world(loaded: &[Loaded], sources: &[PathBuf]) -> World {
    let scenarios = loaded.iter().map(|loaded| (loaded.id.clone(), loaded.files.clone())).collect();
    World { scenarios, sources: sources.to_vec() }
}

/// Where the sources of the gateway are; none outside of the workspace.
fn sources() -> Vec<PathBuf> {
    let root = workspace::root().ok().and_then(|root| root.canonicalize().ok());
    root.map(|root| SOURCES.map(|source| root.join(source)).to_vec()).unwrap_or_default()
}

/// Tells of changed files, as the kernel sees them.
fn watcher() -> notify::Result<(RecommendedWatcher, UnboundedReceiver<PathBuf>)> {
    let (sender, receiver) = unbounded_channel();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
        Ok(event) if is_change(event.kind) => {
            // Nobody listens any more once the command ends.
            event.paths.into_iter().for_each(|path| drop(sender.send(path)));
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a change may have been missed"),
    })?;
    Ok((watcher, receiver))
}

/// Whether it can change what a file holds: reading it, or its times and permissions, does not.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// Waits for changes, and until no more come for a moment. Nothing when it is time to end.
async fn next_changes(
    changes: &mut UnboundedReceiver<PathBuf>,
    stop: &CancellationToken,
) -> Option<BTreeSet<PathBuf>> {
    let first = tokio::select! {
        biased;
        () = stop.cancelled() => return None,
        first = changes.recv() => first?,
    };
    let mut changed = BTreeSet::from([first]);
    while let Ok(Some(path)) = timeout(QUIET, changes.recv()).await {
        changed.insert(path);
    }
    Some(changed)
}

/// What changed and what runs again.
fn in_words(touched: &Touched, due: &[String], root: &Path) -> String {
    let base = root.parent().unwrap_or(root);
    let mut files =
        touched.files.iter().map(|file| file.strip_prefix(base).unwrap_or(file).display().to_string());
    let shown: Vec<String> = files.by_ref().take(3).collect();
    let more = files.count();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = if touched.images { "; the gateway is built anew" } else { "" };
    let again =
        if due.is_empty() { "nothing to run".to_owned() } else { format!("running {}", due.join(", ")) };
    format!("changed: {}{more}{what}; {again}", shown.join(", "))
}

fn cannot_watch(folder: &Path, error: &notify::Error) -> u8 {
    let (next, code) = match error.kind {
        ErrorKind::MaxFilesWatch => ("; raise fs.inotify.max_user_watches", exit::UNFIT),
        ErrorKind::PathNotFound => ("; name the folder of the scenarios with --scenarios", exit::USAGE),
        _ => ("", exit::UNFIT),
    };
    eprintln!("watching {} for changes: {error}{next}", folder.display());
    code
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, DataChange, MetadataKind};

    use super::*;

    #[test]
    fn reading_a_file_is_no_change() {
        assert!(is_change(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
        assert!(!is_change(EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime))));
        assert!(!is_change(EventKind::Access(AccessKind::Any)));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_together_are_one() {
        let (sender, mut receiver) = unbounded_channel();
        let stop = CancellationToken::new();
        for path in ["a", "b", "a"] {
            sender.send(PathBuf::from(path)).unwrap();
        }
        let changed = next_changes(&mut receiver, &stop).await.unwrap();
        assert_eq!(changed.len(), 2);
        stop.cancel();
        assert_eq!(next_changes(&mut receiver, &stop).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_came_while_nothing_could_be_read_still_counts() {
        let (sender, mut receiver) = unbounded_channel();
        let stop = CancellationToken::new();
        let file = |name: &str| BTreeSet::from([PathBuf::from(name)]);
        let world = || World {
            scenarios: vec![("one".into(), file("one.yaml")), ("two".into(), file("two.yaml"))],
            ..World::default()
        };
        let times = std::cell::Cell::new(0);
        // The first time a file that all depend on is half-way; it comes right with the second change.
        let again = || {
            times.set(times.get() + 1);
            if times.get() == 1 {
                sender.send("whole.yaml".into()).unwrap();
            }
            (times.get() > 1).then(|| ((), world()))
        };
        sender.send("two.yaml".into()).unwrap();
        let ((), touched) = next_touched(&mut receiver, &stop, &mut world(), again).await.unwrap();
        assert_eq!((touched.scenarios, times.get()), (vec!["two".to_owned()], 2));
    }

    #[tokio::test]
    async fn the_kernel_tells_of_a_file_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (mut watcher, mut changes) = watcher().unwrap();
        watcher.watch(&root, RecursiveMode::Recursive).unwrap();
        let file = root.join("scenario.yaml");
        std::fs::write(&file, "title: t").unwrap();
        let changed = next_changes(&mut changes, &CancellationToken::new()).await.unwrap();
        assert!(changed.contains(&file), "{changed:?}");
    }

    #[test]
    fn it_is_said_what_changed_and_what_runs_again() {
        let files = ["a", "b", "c", "d"].map(|name| PathBuf::from("/w/scenarios").join(name)).into();
        let touched = Touched { files, scenarios: vec![], images: true };
        assert_eq!(
            in_words(&touched, &["main".into()], Path::new("/w/scenarios")),
            "changed: scenarios/a, scenarios/b, scenarios/c and 1 more; the gateway is built anew; running main"
        );
    }
}
