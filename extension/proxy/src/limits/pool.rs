//! A number of units that frontends divide among them, half of it for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All units of a kind.
#[derive(Debug)]
pub(crate) struct Pool {
    /// For whoever needs them.
    common: usize,
    common_used: AtomicUsize,
    /// What the others are divided from.
    divided: usize,
    /// What each frontend has for itself.
    own: AtomicUsize,
    /// What one frontend may use of what is for everybody.
    most: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(total: usize) -> Self {
        let pool = Self {
            common: total / 2,
            common_used: AtomicUsize::new(0),
            divided: total - total / 2,
            own: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        pool.divide(1);
        pool
    }

    /// Divides anew, among so many. What is in use stays.
    pub(crate) fn divide(&self, frontends: usize) {
        let most = if frontends > 1 { self.common / 2 } else { self.common };
        self.own.store(self.divided / frontends.max(1), Ordering::Relaxed);
        self.most.store(most, Ordering::Relaxed);
    }
}

/// What one frontend uses of a pool.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    /// Of its own.
    own: AtomicUsize,
    /// Of what is for everybody.
    common: AtomicUsize,
}

/// Adds to a counter unless it would pass its limit.
fn add(counter: &AtomicUsize, units: usize, limit: usize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(units).filter(|sum| *sum <= limit)
        })
        .is_ok()
}

impl Share {
    pub(crate) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool, own: AtomicUsize::new(0), common: AtomicUsize::new(0) })
    }

    /// Takes units, of its own first; none when there are not as many.
    pub(crate) fn take(self: &Arc<Self>, units: usize) -> Option<Permit> {
        let pool = &self.pool;
        if add(&self.own, units, pool.own.load(Ordering::Relaxed)) {
            return Some(Permit { share: self.clone(), own: units, common: 0 });
        }
        if !add(&self.common, units, pool.most.load(Ordering::Relaxed)) {
            return None;
        }
        if !add(&pool.common_used, units, pool.common) {
            self.common.fetch_sub(units, Ordering::Relaxed);
            return None;
        }
        Some(Permit { share: self.clone(), own: 0, common: units })
    }
}

/// Units in use; they are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    share: Arc<Share>,
    own: usize,
    common: usize,
}

impl Permit {
    /// Takes more units of the same share; false when there are not as many.
    pub(crate) fn grow(&mut self, units: usize) -> bool {
        let Some(mut more) = self.share.take(units) else { return false };
        self.own += std::mem::take(&mut more.own);
        self.common += std::mem::take(&mut more.common);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.share.own.fetch_sub(self.own, Ordering::Relaxed);
        self.share.common.fetch_sub(self.common, Ordering::Relaxed);
        self.share.pool.common_used.fetch_sub(self.common, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(share: &Arc<Share>) -> Vec<Permit> {
        std::iter::from_fn(|| share.take(1)).collect()
    }

    #[test]
    fn one_frontend_may_use_everything_and_many_have_their_own_each() {
        let pool = Arc::new(Pool::new(100));
        assert_eq!(take_all(&Share::new(pool.clone())).len(), 100);

        pool.divide(5);
        let shares: Vec<_> = (0..5).map(|_| Share::new(pool.clone())).collect();
        let greedy: Vec<_> = shares[..4].iter().map(take_all).collect();
        let counts: Vec<_> = greedy.iter().map(Vec::len).collect();
        assert_eq!(counts, [35, 35, 10, 10], "25 of what is for everybody, until it is used up");
        assert_eq!(take_all(&shares[4]).len(), 10, "its own is left to it");
        drop(greedy);
        assert_eq!(take_all(&shares[4]).len(), 35);
    }

    #[test]
    fn what_is_given_back_is_free_again_whatever_was_divided_meanwhile() {
        let pool = Arc::new(Pool::new(8));
        let share = Share::new(pool.clone());
        let mut held = take_all(&share);
        pool.divide(4);
        assert!(share.take(1).is_none());
        held.truncate(1);
        let mut permit = held.pop().unwrap();
        assert!(permit.grow(2) && !permit.grow(3));
        drop(permit);
        assert_eq!(take_all(&share).len(), 3);
    }
}
