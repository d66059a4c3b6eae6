//! The docker network of a cluster, and the addresses taken from it for load balancers and pods.
//!
//! Each cluster has a network of its own: two clusters live side by side, and removing one leaves no trace.

use std::net::Ipv4Addr;
use std::str::FromStr;

/// Number of load-balancer addresses of a cluster: one per Gateway, with room for a large scenario.
const POOL_SIZE: u32 = 32;
/// Distance of the pool's first address from the network's broadcast address. Docker hands out addresses from the low
/// end, so the two never meet.
const POOL_FROM_END: u32 = 55;

/// Label on the network: the cluster's name. `down` finds the network by it even if our own records are lost.
pub(crate) const NETWORK_LABEL: &str = "dev.meshproof.cluster";

/// All pods, of every node.
pub(crate) const POD_SUBNET: &str = "10.244.0.0/16";
/// All Services.
pub(crate) const SERVICE_SUBNET: &str = "10.96.0.0/16";

/// An IPv4 network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

/// Text that is no usable network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not `a.b.c.d/n`.
    #[error("`{0}` is not an IPv4 network (expected e.g. 172.18.0.0/16)")]
    Syntax(String),
    /// Too small for nodes and load-balancer addresses.
    #[error(
        "the docker network {0} is too small: expected at least 128 addresses (a /25); widen docker's \
             `default-address-pools`"
    )]
    TooSmall(String),
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || SubnetError::Syntax(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| (1..=32).contains(p)).ok_or_else(bad)?;
        let mask = u32::MAX << (32 - u32::from(prefix));
        Ok(Self { base: u32::from(address) & mask, prefix })
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl Subnet {
    fn broadcast(self) -> u32 {
        self.base | !(u32::MAX << (32 - u32::from(self.prefix)))
    }

    /// The load-balancer addresses of a cluster on this network.
    pub fn pool(self) -> Result<Pool, SubnetError> {
        if self.prefix > 25 {
            return Err(SubnetError::TooSmall(self.to_string()));
        }
        let first = self.broadcast() - POOL_FROM_END;
        Ok(Pool { first: first.into(), last: (first + POOL_SIZE - 1).into() })
    }
}

/// Addresses for load balancers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// First address.
    pub first: Ipv4Addr,
    /// Last address.
    pub last: Ipv4Addr,
}

impl Pool {
    /// Every address, in order.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (u32::from(self.first)..=u32::from(self.last)).map(Ipv4Addr::from)
    }
}

impl std::fmt::Display for Pool {
    /// `A-B`, as the load balancer's `--pool` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Name of the docker network of a cluster.
pub(crate) fn network_name(cluster: &str) -> String {
    format!("meshproof-{cluster}")
}

/// Pods of the node with this docker address: `172.18.0.3` → `10.244.3.0/24`. Unique for networks whose first 250
/// addresses hold all nodes, which docker's allocation from the low end gives.
pub(crate) fn pod_subnet(node: Ipv4Addr) -> String {
    format!("10.244.{}.0/24", node.octets()[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_lies_at_the_end_of_the_network() {
        let pool = "172.18.0.0/16".parse::<Subnet>().unwrap().pool().unwrap();
        assert_eq!(pool.to_string(), "172.18.255.200-172.18.255.231");
        assert_eq!(pool.addresses().count(), 32);
        let pool = "192.168.16.0/20".parse::<Subnet>().unwrap().pool().unwrap();
        assert_eq!(pool.to_string(), "192.168.31.200-192.168.31.231");
        let pool = "10.9.8.128/25".parse::<Subnet>().unwrap().pool().unwrap();
        assert_eq!(pool.to_string(), "10.9.8.200-10.9.8.231");
    }

    #[test]
    fn a_small_network_is_refused_with_advice() {
        let error = "10.0.0.0/26".parse::<Subnet>().unwrap().pool().unwrap_err();
        assert!(error.to_string().contains("default-address-pools"), "{error}");
    }

    #[test]
    fn host_bits_are_dropped() {
        assert_eq!("172.18.3.4/16".parse::<Subnet>().unwrap().to_string(), "172.18.0.0/16");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "172.18.0.0", "172.18.0/16", "::1/64", "1.2.3.4/33", "1.2.3.4/0"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }

    #[test]
    fn pods_of_a_node_follow_its_address() {
        assert_eq!(pod_subnet(Ipv4Addr::new(172, 18, 0, 3)), "10.244.3.0/24");
    }
}
