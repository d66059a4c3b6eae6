use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use meshproof_model::progress::Silent;

fn key() -> Key {
    Inputs::new("thing").with("version", "1").key()
}

async fn make(cache: &Cache, text: &'static str, made: &AtomicU32) -> Result<PathBuf, CacheError> {
    cache
        .entry(&key(), "make thing", &Silent, |dir| async move {
            made.fetch_add(1, Ordering::SeqCst);
            std::fs::create_dir_all(dir.join("sub")).unwrap();
            std::fs::write(dir.join("sub/file"), text).unwrap();
            Ok(())
        })
        .await
}

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    (dir, cache)
}

#[test]
fn inputs_decide_the_key() {
    let key = |label, value| Inputs::new("n").with(label, value).key();
    assert_eq!(key("a", "1"), key("a", "1"));
    assert_ne!(key("a", "1"), key("a", "2"));
    // Neither side of the border between label and value can move into the other.
    assert_ne!(key("a", "bc"), key("ab", "c"));
    assert_eq!(key("a", "1").to_string().len(), "n-".len() + 16);
}

#[tokio::test]
async fn an_entry_is_made_once() {
    let (_dir, cache) = cache();
    let made = AtomicU32::new(0);
    let first = make(&cache, "x", &made).await.unwrap();
    let second = make(&cache, "x", &made).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(made.load(Ordering::SeqCst), 1);
    assert!(cache.expected("make thing").is_some());
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_the_entry_made_again() {
    let (_dir, cache) = cache();
    let made = AtomicU32::new(0);
    let dir = make(&cache, "right", &made).await.unwrap();
    // As long as before: only the content tells.
    std::fs::write(dir.join("sub/file"), "wrong").unwrap();
    let dir = make(&cache, "right", &made).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("sub/file")).unwrap(), "right");
    assert_eq!(made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_missing_or_truncated_file_is_noticed() {
    let (_dir, cache) = cache();
    let made = AtomicU32::new(0);
    let dir = make(&cache, "x", &made).await.unwrap();
    std::fs::remove_file(dir.join("sub/file")).unwrap();
    assert_eq!(cache.find(&key()), None);
    let dir = make(&cache, "x", &made).await.unwrap();
    std::fs::write(dir.join("sub/file"), "").unwrap();
    assert_eq!(cache.find(&key()), None);
    std::fs::write(dir.join("manifest.json"), "{").unwrap();
    assert_eq!(cache.find(&key()), None);
}

#[tokio::test]
async fn a_touched_but_equal_file_is_still_good() {
    let (_dir, cache) = cache();
    let made = AtomicU32::new(0);
    let dir = make(&cache, "same", &made).await.unwrap();
    std::fs::write(dir.join("sub/file"), "same").unwrap();
    make(&cache, "same", &made).await.unwrap();
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_build_leaves_nothing() {
    let (_dir, cache) = cache();
    let failed: Result<_, CacheError> =
        cache.entry(&key(), "make thing", &Silent, |_| async { Err(CacheError::NoHome) }).await;
    assert!(matches!(failed, Err(CacheError::NoHome)));
    assert_eq!(cache.find(&key()), None);
    assert_eq!(std::fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_killed_builds_left_is_swept_and_what_is_being_built_is_not() {
    let (_dir, cache) = cache();
    let left = |name: &str| {
        let dir = cache.root().join("tmp").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    };
    let own = left(&format!("{}.abc", key()));
    let dead = left("dead-0123456789abcdef.abc");
    let running = left("running-0123456789abcdef.abc");
    let _building = cache.lock("running-0123456789abcdef", || ()).await.unwrap();
    make(&cache, "x", &AtomicU32::new(0)).await.unwrap();
    assert!(!own.exists());
    assert!(!dead.exists());
    assert!(running.exists());
}

#[tokio::test]
async fn two_builders_make_it_once() {
    let (_dir, cache) = cache();
    let made = Arc::new(AtomicU32::new(0));
    let (a, b) = tokio::join!(make(&cache, "x", &made), make(&cache, "x", &made));
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lock_is_free_again_after_its_holder() {
    let (_dir, cache) = cache();
    let held = cache.lock("l", || ()).await.unwrap();
    let waited = AtomicU32::new(0);
    let second = cache.lock("l", || {
        waited.fetch_add(1, Ordering::SeqCst);
    });
    tokio::pin!(second);
    assert!(futures::poll!(&mut second).is_pending());
    drop(held);
    second.await.unwrap();
    assert_eq!(waited.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn executables_stay_executable() {
    let (_dir, cache) = cache();
    let dir: Result<PathBuf, CacheError> = cache
        .entry(&key(), "make thing", &Silent, |dir| async move {
            let file = dir.join("program");
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            Ok(())
        })
        .await;
    let mode = std::fs::metadata(dir.unwrap().join("program")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}
