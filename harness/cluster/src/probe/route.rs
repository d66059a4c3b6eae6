//! Does an address stay on this host?
//!
//! Load-balancer addresses of a kind cluster live on a docker bridge. When that bridge is gone, the same
//! address leaves by the default route, to whoever owns it there: such a request must not be made.

use std::net::{IpAddr, Ipv4Addr};

/// Whether a route other than the default one leads to `address`. Loopback always does. Where the
/// kernel offers no table to read (not Linux), the answer is yes.
pub fn is_local(address: IpAddr) -> bool {
    let IpAddr::V4(v4) = address else { return true };
    if v4.is_loopback() {
        return true;
    }
    match std::fs::read_to_string("/proc/net/route") {
        Ok(table) => table_reaches(&table, v4),
        Err(_) => true,
    }
}

/// Looks for a route to `address` with a prefix longer than zero, in the format of `/proc/net/route`:
/// destination and mask are hexadecimal, in host byte order of a network-order word.
fn table_reaches(table: &str, address: Ipv4Addr) -> bool {
    let word = u32::from_ne_bytes(address.octets());
    table.lines().skip(1).any(|line| {
        let mut columns = line.split_ascii_whitespace();
        let destination = columns.nth(1).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        // Columns after the destination: gateway, flags, refcount, use, metric, mask.
        let mask = columns.nth(5).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        matches!((destination, mask), (Some(destination), Some(mask)) if mask != 0 && word & mask == destination)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded on a little-endian host with a default route, a docker bridge and a kind network.
    const TABLE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        br-1\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_bridge_keeps_its_subnet_at_home() {
        assert!(table_reaches(TABLE, Ipv4Addr::new(172, 18, 255, 200)));
        assert!(table_reaches(TABLE, Ipv4Addr::new(172, 17, 0, 9)));
    }

    #[test]
    fn the_default_route_leads_away() {
        assert!(!table_reaches(TABLE, Ipv4Addr::new(10, 96, 0, 1)));
        assert!(!table_reaches(TABLE, Ipv4Addr::new(172, 19, 0, 1)));
        assert!(!table_reaches("", Ipv4Addr::new(172, 18, 0, 1)));
    }

    #[test]
    fn loopback_is_home() {
        assert!(is_local(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
