//! The connections of one frontend: how many each client holds, and which of them may go when somebody waits for a place.
//!
//! Whoever waits costs one wake-up, however many connections there are: they stand in a circle, a few of them are looked at where
//! the last look has ended, and the first that has done nothing for a while is asked to leave. Nobody else hears of it.

use crate::activity::Activity;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Connections that are looked at each time: all of a full frontend within a second or two of looking ten times a second.
const LOOKS: usize = 64;

/// One connection.
#[derive(Debug)]
pub(super) struct Seat {
    peer: IpAddr,
    activity: Arc<Activity>,
    /// Where it stands among all, and among its client's.
    in_all: AtomicUsize,
    of_peer: AtomicUsize,
    /// It was asked to leave, and has not declined.
    asked: AtomicBool,
    leave: Notify,
}

impl Seat {
    /// Waits until somebody wants this place and nothing has been done with it for `limit`.
    pub(super) async fn wanted(&self, limit: Duration) {
        loop {
            self.leave.notified().await;
            if self.is_idle(limit) {
                return;
            }
            self.asked.store(false, Ordering::Relaxed);
        }
    }

    fn is_idle(&self, limit: Duration) -> bool {
        self.activity.idle().is_some_and(|idle| idle >= limit)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Seats {
    /// That one client may hold.
    per_peer: usize,
    /// Time without a request after which a connection may be asked to leave.
    idle: Duration,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Circle,
    peers: HashMap<IpAddr, Circle>,
}

impl Seats {
    pub(super) fn new(per_peer: usize, idle: Duration) -> Self {
        Self { per_peer, idle, taken: Mutex::default() }
    }

    /// Takes a seat for a client's connection; none when the client holds enough. Then one of its own that does nothing is asked
    /// to leave, for the next.
    pub(super) fn take(&self, peer: IpAddr, activity: Arc<Activity>) -> Option<Arc<Seat>> {
        let mut taken = self.taken();
        let peer = network(peer);
        let of_peer = taken.peers.entry(peer).or_default();
        if of_peer.seats.len() >= self.per_peer {
            of_peer.ask_one(self.idle);
            return None;
        }
        let seat = Arc::new(Seat {
            peer,
            activity,
            in_all: AtomicUsize::new(0),
            of_peer: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        of_peer.add(&seat, OF_PEER);
        taken.all.add(&seat, IN_ALL);
        Some(seat)
    }

    /// The connection is closed.
    pub(super) fn leave(&self, seat: &Seat) {
        let mut taken = self.taken();
        taken.all.remove(seat, IN_ALL);
        if let Some(of_peer) = taken.peers.get_mut(&seat.peer) {
            of_peer.remove(seat, OF_PEER);
            if of_peer.seats.is_empty() {
                taken.peers.remove(&seat.peer);
            }
        }
    }

    /// Somebody waits: one that does nothing is asked to leave.
    pub(super) fn ask_one(&self) {
        self.taken().all.ask_one(self.idle);
    }

    pub(super) fn idle(&self) -> Duration {
        self.idle
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seats in a circle, and where the next look begins.
#[derive(Debug, Default)]
struct Circle {
    seats: Vec<Arc<Seat>>,
    next: usize,
}

/// Which of a seat's two places is meant: a circle finds its seats without looking for them.
type Place = fn(&Seat) -> &AtomicUsize;

const IN_ALL: Place = |seat| &seat.in_all;
const OF_PEER: Place = |seat| &seat.of_peer;

impl Circle {
    fn add(&mut self, seat: &Arc<Seat>, place: Place) {
        place(seat).store(self.seats.len(), Ordering::Relaxed);
        self.seats.push(seat.clone());
    }

    fn remove(&mut self, seat: &Seat, place: Place) {
        let at = place(seat).load(Ordering::Relaxed);
        if at < self.seats.len() {
            self.seats.swap_remove(at);
            if let Some(moved) = self.seats.get(at) {
                place(moved).store(at, Ordering::Relaxed);
            }
        }
    }

    fn ask_one(&mut self, idle: Duration) {
        for _ in 0..LOOKS.min(self.seats.len()) {
            self.next = (self.next + 1) % self.seats.len();
            let Some(seat) = self.seats.get(self.next) else { return };
            if !seat.asked.load(Ordering::Relaxed) && seat.is_idle(idle) {
                seat.asked.store(true, Ordering::Relaxed);
                return seat.leave.notify_one();
            }
        }
    }
}

/// With IPv6 one client has a whole /64 to choose its addresses from.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    const IDLE: Duration = Duration::from_secs(2);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn resting() -> Arc<Activity> {
        let activity = Activity::default();
        activity.begin_rest();
        Arc::new(activity)
    }

    fn asked(seats: &[Arc<Seat>]) -> Vec<usize> {
        let is_wanted = |seat: &Arc<Seat>| {
            pin!(seat.wanted(IDLE)).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        seats.iter().enumerate().filter(|(_, seat)| is_wanted(seat)).map(|(index, _)| index).collect()
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let seats = Seats::new(1, IDLE);
        let take = |peer| seats.take(address(peer), resting());
        let _held = take("2001:db8:1:2:3:4:5:6").unwrap();
        assert!(take("2001:db8:1:2::1").is_none());
        assert!(take("2001:db8:1:3::1").is_some());
        assert!(take("192.0.2.1").is_some() && take("192.0.2.2").is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let seats = Seats::new(5, IDLE);
        let mut held: Vec<_> = (0..5).map(|_| seats.take(address("192.0.2.1"), resting()).unwrap()).collect();
        assert!(seats.take(address("192.0.2.1"), resting()).is_none());
        // From the middle, from the end, from the beginning.
        for index in [2, 3, 0, 1, 0] {
            seats.leave(&held.remove(index));
            let taken = seats.taken();
            assert_eq!(taken.all.seats.len(), held.len());
            for seat in &held {
                let places = [(&taken.all, IN_ALL), (&taken.peers[&seat.peer], OF_PEER)];
                for (circle, place) in places {
                    assert!(Arc::ptr_eq(&circle.seats[place(seat).load(Ordering::Relaxed)], seat));
                }
            }
        }
        assert!(seats.taken().peers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_asks_one_that_is_idle_and_each_one_once() {
        let seats = Seats::new(100, IDLE);
        let held: Vec<_> = (0..100).map(|_| seats.take(address("192.0.2.1"), resting()).unwrap()).collect();
        held[7].activity.begin_exchange();
        seats.ask_one();
        assert!(asked(&held).is_empty(), "none has been idle for long");
        tokio::time::advance(IDLE).await;
        seats.ask_one();
        assert_eq!(asked(&held).len(), 1);
        for _ in 0..200 {
            seats.ask_one();
        }
        let all = asked(&held);
        assert_eq!(
            (all.len(), all.contains(&7)),
            (98, false),
            "each of the others, once, but for the busy one"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_given_something_to_do_meanwhile_stays() {
        let seats = Seats::new(2, IDLE);
        let held = [seats.take(address("192.0.2.1"), resting()).unwrap()];
        tokio::time::advance(IDLE).await;
        seats.ask_one();
        held[0].activity.begin_exchange();
        assert!(asked(&held).is_empty());
        held[0].activity.end_exchange();
        tokio::time::advance(IDLE).await;
        seats.ask_one();
        assert_eq!(asked(&held), [0], "and can be asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_too_many_makes_room_for_itself_and_nobody_else_does() {
        let seats = Seats::new(2, IDLE);
        let take = |peer| seats.take(address(peer), resting());
        let held = [
            take("192.0.2.1").unwrap(),
            take("192.0.2.2").unwrap(),
            take("192.0.2.2").unwrap(),
            take("192.0.2.3").unwrap(),
        ];
        tokio::time::advance(IDLE).await;
        assert!(take("192.0.2.2").is_none());
        let asked = asked(&held);
        assert!(asked == [1] || asked == [2], "{asked:?}");
    }
}
