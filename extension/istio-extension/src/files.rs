//! Following the files the sidecar writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::certificate::{CertificateError, Files, WorkloadIdentity};

/// How often the files are read though nothing was heard of them: a lost event delays a rotation by no more.
const RECHECK: Duration = Duration::from_secs(5);
/// The same while the files are incomplete, or where the kernel gives no events.
const RECHECK_SOON: Duration = Duration::from_millis(250);
/// Files that do not fit together are only a rotation under way until they have stayed so for this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the files hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    /// The newest identity that was whole.
    pub identity: Option<Arc<WorkloadIdentity>>,
    /// What is wrong with the files now, if it is more than a rotation under way.
    pub problem: Option<String>,
}

/// Why the files could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("reading {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Follows the directory for as long as somebody listens.
///
/// Every state of the files that lasts reaches the receiver; of states that follow each other quickly, the last one.
#[must_use]
pub fn follow(directory: PathBuf) -> watch::Receiver<Certificate> {
    let (sender, receiver) = watch::channel(Certificate::default());
    tokio::spawn(async move {
        let changed = Arc::new(Notify::new());
        let watcher = match watch_directory(&directory, Arc::clone(&changed)) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(
                    directory = %directory.display(), %error,
                    "no file events (is fs.inotify.max_user_instances used up?); reading the files every {RECHECK_SOON:?}"
                );
                None
            }
        };
        let mut reader = Reader { directory, last: None, unwell_since: None };
        loop {
            let (state, settled) = reader.read();
            if let Some(state) = state {
                sender.send_if_modified(|now| {
                    // The last whole identity stays in force while the files are in disorder.
                    let identity = state.identity.or_else(|| now.identity.clone());
                    let state = Certificate { identity, problem: state.problem };
                    let news = *now != state;
                    *now = state;
                    news
                });
            }
            let pause = if settled && watcher.is_some() { RECHECK } else { RECHECK_SOON };
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = sender.closed() => return,
            }
        }
    });
    receiver
}

fn watch_directory(directory: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading is an event too; an error may stand for lost events.
        if event.map_or(true, |event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Reads the files, and remembers what it read.
struct Reader {
    directory: PathBuf,
    last: Option<Files>,
    unwell_since: Option<Instant>,
}

impl Reader {
    /// What the files hold, `None` when that is what they held before; and whether they are in order.
    fn read(&mut self) -> (Option<Certificate>, bool) {
        match self.parse() {
            Ok(identity) => {
                self.unwell_since = None;
                let state = identity.map(|identity| Certificate { identity: Some(identity), problem: None });
                (state, true)
            }
            Err(error) => {
                self.last = None;
                let since = *self.unwell_since.get_or_insert_with(Instant::now);
                let state = Certificate { identity: None, problem: Some(error.to_string()) };
                ((since.elapsed() >= PATIENCE).then_some(state), false)
            }
        }
    }

    fn parse(&mut self) -> Result<Option<Arc<WorkloadIdentity>>, ReadError> {
        let files = read_files(&self.directory)?;
        if self.last.as_ref() == Some(&files) {
            return Ok(None);
        }
        let identity = WorkloadIdentity::parse(&files, Timestamp::now())?;
        self.last = Some(files);
        Ok(Some(Arc::new(identity)))
    }
}

fn read_files(directory: &Path) -> Result<Files, ReadError> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|source| ReadError::Io { path, source })
    };
    Ok(Files { key: read("key.pem")?, chain: read("cert-chain.pem")?, roots: read("root-cert.pem")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Authority;

    /// As the sidecar does: a temporary file beside it, then a rename.
    fn write(directory: &Path, name: &str, content: &[u8]) {
        let temporary = directory.join(format!("{name}.tmp.1"));
        std::fs::write(&temporary, content).unwrap();
        std::fs::rename(temporary, directory.join(name)).unwrap();
    }

    fn write_all(directory: &Path, files: &Files) {
        write(directory, "key.pem", &files.key);
        write(directory, "cert-chain.pem", &files.chain);
        write(directory, "root-cert.pem", &files.roots);
    }

    fn serial(state: &Certificate) -> Option<String> {
        Some(state.identity.as_ref()?.leaf.serial.clone())
    }

    fn serial_of(files: &Files) -> String {
        WorkloadIdentity::parse(files, Timestamp::now()).unwrap().leaf.serial
    }

    async fn until(states: &mut watch::Receiver<Certificate>, wanted: impl Fn(&Certificate) -> bool) {
        tokio::time::timeout(Duration::from_secs(20), states.wait_for(wanted)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn follows_every_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let mut states = follow(directory.path().to_owned());
        for _ in 0..5 {
            let files = authority.issue(Timestamp::now(), 60);
            write_all(directory.path(), &files);
            until(&mut states, |state| serial(state) == Some(serial_of(&files))).await;
        }
    }

    #[tokio::test]
    async fn keeps_the_old_certificate_while_a_rotation_is_half_done() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (old, new) = (authority.issue(Timestamp::now(), 60), authority.issue(Timestamp::now(), 60));
        write_all(directory.path(), &old);
        let mut states = follow(directory.path().to_owned());
        until(&mut states, |state| serial(state) == Some(serial_of(&old))).await;
        write(directory.path(), "key.pem", &new.key);
        until(&mut states, |state| state.problem.as_ref().is_some_and(|problem| problem.contains("key.pem")))
            .await;
        assert_eq!(serial(&states.borrow()), Some(serial_of(&old)));
        write(directory.path(), "cert-chain.pem", &new.chain);
        until(&mut states, |state| serial(state) == Some(serial_of(&new)) && state.problem.is_none()).await;
    }

    #[tokio::test]
    async fn a_new_root_alone_is_news() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let files = authority.issue(Timestamp::now(), 60);
        write_all(directory.path(), &files);
        let mut states = follow(directory.path().to_owned());
        until(&mut states, |state| state.identity.is_some()).await;
        let both = [files.roots.clone(), Authority::new().roots()].concat();
        write(directory.path(), "root-cert.pem", &both);
        let count = |state: &Certificate| {
            state.identity.as_ref().map_or(0, |identity| identity.roots_pem.matches("BEGIN").count())
        };
        until(&mut states, |state| count(state) == 2).await;
    }

    #[tokio::test]
    async fn says_which_file_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let mut states = follow(directory.path().to_owned());
        until(&mut states, |state| state.problem.as_ref().is_some_and(|problem| problem.contains("key.pem")))
            .await;
    }
}
