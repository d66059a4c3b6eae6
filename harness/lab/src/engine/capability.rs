//! CAP_SYS_RESOURCE: some sandboxes withhold it, and privileged containers cannot be started as usual.

/// Its bit in a capability set.
const SYS_RESOURCE: u32 = 24;

/// Whether this process's bounding set lacks CAP_SYS_RESOURCE. Unknown counts as present.
pub fn lacks_sys_resource() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| bounding_lacks(&status, SYS_RESOURCE))
}

fn bounding_lacks(status: &str, bit: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set >> bit & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_decides() {
        assert!(bounding_lacks("CapEff:\t0\nCapBnd:\t000001fffeffffff\n", SYS_RESOURCE));
        assert!(!bounding_lacks("CapBnd:\t000001ffffffffff\n", SYS_RESOURCE));
        assert!(!bounding_lacks("Name:\tx\n", SYS_RESOURCE));
    }
}
