//! The cache: things that take long to make, keyed by what they are made from.
//!
//! An entry is a directory `entries/<name>-<digest>`. It is made in `tmp/` under a lock and renamed when
//! complete, so a killed process leaves no half entry; its lock goes with it. A manifest lists
//! size and SHA-256 of each file: an entry that does not match is made anew.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use meshproof_model::progress::{Phase, Progress};

pub(crate) mod durations;
mod lock;
mod manifest;
mod prune;

pub use lock::Lock;

/// A cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The file system refused.
    #[error("{doing} {}: {source}; check that the disk has room and that you may write there (MESHPROOF_CACHE chooses another place)", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no home directory to hold the cache.
    #[error("no place for the cache: neither MESHPROOF_CACHE nor HOME is set")]
    NoHome,
    /// A build ended well but its entry does not hold together.
    #[error("the new cache entry {name} is already damaged: {reason}; the disk may be failing")]
    Damaged {
        /// The entry.
        name: String,
        /// What does not match.
        reason: String,
    },
}

pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { doing, path, source }
}

/// What an entry is made from. Two entries with equal inputs are the same entry.
#[derive(Debug, Clone)]
pub struct Inputs {
    name: String,
    hash: Sha256,
}

impl Inputs {
    /// Inputs of the entry called `name` (a file-name-safe word).
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), hash: Sha256::new() }.with("name", name)
    }

    /// Adds one input.
    #[must_use]
    pub fn with(mut self, label: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [label.as_bytes(), value.as_ref()] {
            self.hash.update((part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
        self
    }

    /// The entry's key.
    pub fn key(self) -> Key {
        let digest = hex(&self.hash.finalize());
        Key { name: self.name, digest: digest[..16].to_owned() }
    }
}

/// Names a cache entry: a word for people and a digest of its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The word.
    pub name: String,
    /// 16 hexadecimal digits of the inputs' SHA-256.
    pub digest: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.name, self.digest)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The cache directory. Any number of processes may use one.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$MESHPROOF_CACHE`, else `$XDG_CACHE_HOME/meshproof`, else `~/.cache/meshproof`; created when missing.
    ///
    /// # Errors
    /// There is no such place, or it cannot be created.
    pub fn open_default() -> Result<Self, CacheError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("MESHPROOF_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("meshproof")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/meshproof")))
            .ok_or(CacheError::NoHome)?;
        Self::open(root)
    }

    /// A cache in this directory; created when missing.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let root = root.into();
        std::fs::create_dir_all(&root).map_err(io("create the cache in", &root))?;
        // Programs get paths into it whatever their working directory is.
        let root = root.canonicalize().map_err(io("resolve", &root))?;
        Ok(Self { root })
    }

    /// Where it is; absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory below the root; created when missing.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn dir(&self, name: &str) -> Result<PathBuf, CacheError> {
        let dir = self.root.join(name);
        std::fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        Ok(dir)
    }

    /// The log file of some piece of work.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Waits until this process alone holds the lock of that name. The kernel releases it when the process
    /// dies, however it dies. `waiting` is called once if another process holds it.
    ///
    /// # Errors
    /// The lock file cannot be opened.
    pub async fn lock(&self, name: &str, waiting: impl FnOnce()) -> Result<Lock, CacheError> {
        Lock::acquire(&self.dir("locks")?.join(format!("{name}.lock")), waiting).await
    }

    /// The entry's directory if it is there and sound.
    pub fn find(&self, key: &Key) -> Option<PathBuf> {
        let dir = self.root.join("entries").join(key.to_string());
        manifest::verify(&dir).ok()?;
        prune::mark(&dir, SystemTime::now());
        Some(dir)
    }

    /// The entry's directory. Makes the entry with `build`, which fills the empty directory it is given,
    /// when it is missing or damaged; phases of that name report the progress.
    ///
    /// # Errors
    /// `build` failed, or the file system did.
    pub async fn entry<F, R, E>(
        &self,
        key: &Key,
        phase: &str,
        progress: &dyn Progress,
        build: F,
    ) -> Result<PathBuf, E>
    where
        F: FnOnce(PathBuf) -> R,
        R: Future<Output = Result<(), E>>,
        E: From<CacheError> + std::fmt::Display,
    {
        let dir = self.dir("entries")?.join(key.to_string());
        if self.sound(&dir).await {
            return Ok(dir);
        }
        let note = || progress.note(phase, "another meshproof is making this; waiting for it");
        let _lock = self.lock(&key.to_string(), note).await?;
        if self.sound(&dir).await {
            return Ok(dir);
        }
        if dir.exists() {
            progress.note(phase, &format!("the cache entry {key} is damaged; making it again"));
            remove(&dir)?;
        }
        let tmp = self.dir("tmp")?;
        self.sweep(&tmp, key)?;
        let work = tmp.join(format!("{key}.{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&work).map_err(io("create", &work))?;
        let made = self.timed(phase, progress, build(work.clone())).await;
        if let Err(error) = made {
            let _ = remove(&work);
            return Err(error);
        }
        let sealed = work.clone();
        blocking(move || manifest::seal(&sealed)).await?;
        std::fs::rename(&work, &dir).map_err(io("complete the cache entry", &dir))?;
        // Renaming changed no file, so the stamps just taken still hold.
        manifest::verify(&dir).map_err(|reason| CacheError::Damaged { name: key.to_string(), reason })?;
        prune::mark(&dir, SystemTime::now());
        if let Some(entries) = dir.parent() {
            prune::prune(entries, &key.name, &key.to_string(), SystemTime::now());
        }
        Ok(dir)
    }

    /// Runs work as a phase and remembers how long it took, to tell what to expect next time.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn timed<T, E: std::fmt::Display>(
        &self,
        phase: &str,
        progress: &dyn Progress,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let expected = self.expected(phase).or_else(|| durations::first_time(phase));
        let running = Phase::start(progress, phase, expected);
        match work.await {
            Ok(value) => {
                let elapsed = running.done();
                if let Err(error) = durations::record(&self.root, phase, elapsed) {
                    tracing::debug!(%error, phase, "duration not recorded");
                }
                Ok(value)
            }
            Err(error) => {
                running.fail(&error.to_string());
                Err(error)
            }
        }
    }

    /// How long a phase took last time.
    pub fn expected(&self, phase: &str) -> Option<Duration> {
        durations::read(&self.root).remove(phase)
    }

    /// How long each phase took last time.
    pub fn durations(&self) -> std::collections::BTreeMap<String, Duration> {
        durations::read(&self.root)
    }

    async fn sound(&self, dir: &Path) -> bool {
        let dir = dir.to_owned();
        // Usually a few stats; after the cache was copied, a hash over everything.
        blocking(move || {
            let sound = manifest::verify(&dir).is_ok();
            if sound {
                prune::mark(&dir, SystemTime::now());
            }
            sound
        })
        .await
    }

    /// Removes what killed builds left behind: of this entry, whose lock is held, and of those whose lock is free.
    fn sweep(&self, tmp: &Path, key: &Key) -> Result<(), CacheError> {
        let own = key.to_string();
        for found in std::fs::read_dir(tmp).map_err(io("list", tmp))?.flatten() {
            let name = found.file_name().to_string_lossy().into_owned();
            let Some((entry, _)) = name.rsplit_once('.') else { continue };
            let _other = match entry == own {
                true => None,
                false => match Lock::try_acquire(&self.dir("locks")?.join(format!("{entry}.lock")))? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
            };
            remove(&found.path())?;
        }
        Ok(())
    }
}

/// Runs file work off the executor's threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels: nobody will look at the result.
            Err(_) => std::future::pending().await,
        },
    }
}

fn remove(dir: &Path) -> Result<(), CacheError> {
    std::fs::remove_dir_all(dir).map_err(io("remove", dir))
}

#[cfg(test)]
mod tests;
