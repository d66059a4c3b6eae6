//! Connections by client's address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// How many connections each address holds.
#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, held: Mutex::default() }
    }

    /// Counts one more; false, and nothing is counted, when there are enough.
    pub(super) fn add(&self, peer: IpAddr) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(network(peer)).or_default();
        let admitted = *count < self.limit;
        if admitted {
            *count += 1;
        }
        admitted
    }

    /// Counts one less.
    pub(super) fn remove(&self, peer: IpAddr) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = network(peer);
        if let Some(count) = held.get_mut(&peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&peer);
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

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let peers = Peers::new(1);
        assert!(peers.add(address("2001:db8:1:2:3:4:5:6")));
        assert!(!peers.add(address("2001:db8:1:2::1")));
        assert!(peers.add(address("2001:db8:1:3::1")));
        assert!(peers.add(address("192.0.2.1")) && peers.add(address("192.0.2.2")));
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let peers = Peers::new(2);
        for _ in 0..2 {
            assert!(peers.add(address("192.0.2.1")));
        }
        assert!(!peers.add(address("192.0.2.1")));
        for _ in 0..2 {
            peers.remove(address("192.0.2.1"));
        }
        assert!(peers.held.lock().unwrap().is_empty());
    }
}
