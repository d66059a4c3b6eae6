//! File locks that the kernel releases when their holder dies.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::{CacheError, io};

/// A held lock; released when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock if it is free.
    pub(super) fn try_acquire(path: &Path) -> Result<Option<Self>, CacheError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io("lock", path)(error)),
        }
    }

    /// Waits for the lock; `waiting` is called once if it is not free.
    pub(super) async fn acquire(path: &Path, waiting: impl FnOnce()) -> Result<Self, CacheError> {
        if let Some(lock) = Self::try_acquire(path)? {
            return Ok(lock);
        }
        waiting();
        loop {
            // The kernel notifies only a blocked thread, and such a thread cannot be cancelled: Ctrl-C would hang.
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
        }
    }
}

fn open(path: &Path) -> Result<File, CacheError> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(io("open the lock", path))
}
