//! Hostnames of listeners and routes: exact, wildcard, or any.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// Longest name that DNS allows; a longer `Host` matches only a listener for any host.
const MAX_HOST_LEN: usize = 255;

/// A hostname of a Gateway listener or an HTTPRoute (Gateway API `Hostname`), in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hostname {
    /// Not given: every host.
    Any,
    /// `*.example.com`, kept as `example.com`: every name with at least one more label in front.
    Wildcard(String),
    /// `a.example.com`.
    Exact(String),
}

/// A text that is no Gateway API hostname.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHostname(String);

impl fmt::Display for InvalidHostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a hostname: expected a DNS name, perhaps with \"*.\" in front, and no port",
            self.0
        )
    }
}

impl std::error::Error for InvalidHostname {}

impl FromStr for Hostname {
    type Err = InvalidHostname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let valid = name.len() <= MAX_HOST_LEN
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        match (valid, wildcard) {
            (false, _) => Err(InvalidHostname(text.to_owned())),
            (true, true) => Ok(Self::Wildcard(name.to_ascii_lowercase())),
            (true, false) => Ok(Self::Exact(name.to_ascii_lowercase())),
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Wildcard(name) => write!(f, "*.{name}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

impl Hostname {
    /// Whether `host` (lower case, without port) is one of the hosts this name stands for.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Wildcard(name) => is_below(host, name),
        }
    }

    /// The hosts that both stand for; none when there are none (HTTPRoute.hostnames: such a route is not attached to
    /// that listener).
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, name) | (name, Self::Any) => Some(name.clone()),
            (Self::Exact(name), wider) | (wider, Self::Exact(name)) => {
                wider.matches(name).then(|| Self::Exact(name.clone()))
            }
            (Self::Wildcard(a), Self::Wildcard(b)) if a == b || is_below(a, b) => Some(self.clone()),
            (Self::Wildcard(a), Self::Wildcard(b)) => is_below(b, a).then(|| other.clone()),
        }
    }
}

/// Whether `name` has at least one label more than `parent`, in front.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// Values by hostname, looked up from the most to the least specific: exact, then the wildcard with most
/// characters, then any.
#[derive(Debug)]
pub struct HostMap<V> {
    exact: HashMap<String, V>,
    wildcard: HashMap<String, V>,
    any: Option<V>,
}

impl<V> Default for HostMap<V> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

impl<V> HostMap<V> {
    /// The values of these names. Of two with the same name the first counts.
    pub fn new(values: impl IntoIterator<Item = (Hostname, V)>) -> Self {
        let mut map = Self::default();
        for (name, value) in values {
            map.entry_or_insert_with(&name, || value);
        }
        map
    }

    /// The value of the most specific name that matches a host, however that is written: with a port or without, in upper
    /// or lower case, empty for none.
    pub fn find(&self, host: &str) -> Option<&V> {
        self.matching(HostName::new(host).as_str()).next()
    }

    pub(crate) fn entry_or_insert_with(&mut self, name: &Hostname, value: impl FnOnce() -> V) -> &mut V {
        match name {
            Hostname::Any => self.any.get_or_insert_with(value),
            Hostname::Wildcard(name) => self.wildcard.entry(name.clone()).or_insert_with(value),
            Hostname::Exact(name) => self.exact.entry(name.clone()).or_insert_with(value),
        }
    }

    pub(crate) fn contains(&self, name: &Hostname) -> bool {
        match name {
            Hostname::Any => self.any.is_some(),
            Hostname::Wildcard(name) => self.wildcard.contains_key(name),
            Hostname::Exact(name) => self.exact.contains_key(name),
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.exact.values_mut().chain(self.wildcard.values_mut()).chain(self.any.as_mut())
    }

    /// All values whose name matches, the most specific first.
    pub(crate) fn matching<'map>(&'map self, host: &str) -> impl Iterator<Item = &'map V> {
        let exact = self.exact.get(host);
        let no_wildcards = self.wildcard.is_empty();
        let below = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        let wildcard = below
            .take_while(move |_| !no_wildcards)
            // ".example.com" has an empty label in front, which is no name below example.com.
            .filter(move |parent| is_below(host, parent))
            .filter_map(|parent| self.wildcard.get(parent));
        exact.into_iter().chain(wildcard).chain(self.any.as_ref())
    }
}

/// The name in a `Host` header or authority, in lower case and without the port, on the stack.
pub(crate) struct HostName {
    bytes: [u8; MAX_HOST_LEN],
    len: usize,
}

impl HostName {
    pub(crate) fn new(authority: &str) -> Self {
        let name = match authority.strip_prefix('[') {
            // An IPv6 address in brackets matches no hostname, only a listener for any.
            Some(_) => "",
            None => authority.split_once(':').map_or(authority, |(name, _port)| name),
        };
        // A trailing dot names the same host.
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut bytes = [0; MAX_HOST_LEN];
        let len = match bytes.get_mut(..name.len()) {
            Some(target) => {
                target.copy_from_slice(name.as_bytes());
                target.make_ascii_lowercase();
                name.len()
            }
            None => 0,
        };
        Self { bytes, len }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = Hostname> {
        "(\\*\\.)?[ab](\\.[ab]){0,3}|".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn an_intersection_stands_for_exactly_the_hosts_of_both(a in name(), b in name(), host in "[ab](\\.[ab]){0,4}") {
            let both = a.matches(&host) && b.matches(&host);
            prop_assert_eq!(a.intersect(&b).is_some_and(|name| name.matches(&host)), both);
            prop_assert_eq!(a.intersect(&b), b.intersect(&a));
        }

        #[test]
        fn the_map_finds_all_matching_names_most_specific_first(
            names in proptest::collection::hash_set(name(), 0..12),
            host in "[ab](\\.[ab]){0,4}",
        ) {
            let mut map = HostMap::default();
            for name in &names {
                map.entry_or_insert_with(name, || name.clone());
            }
            let rank = |name: &Hostname| match name {
                Hostname::Any => (0, 0),
                Hostname::Wildcard(name) => (1, name.len()),
                Hostname::Exact(name) => (2, name.len()),
            };
            let mut expected: Vec<_> = names.iter().filter(|name| name.matches(&host)).collect();
            expected.sort_by_key(|name| std::cmp::Reverse(rank(name)));
            prop_assert_eq!(map.matching(&host).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_host_header_is_read_without_panic(text in ".*") {
            let _ = HostName::new(&text).as_str();
        }
    }

    #[test]
    fn host_headers_are_compared_without_case_port_and_trailing_dot() {
        for text in ["A.example.COM", "a.example.com:8080", "a.example.com.", "a.example.com.:80"] {
            assert_eq!(HostName::new(text).as_str(), "a.example.com", "{text}");
        }
        assert_eq!(HostName::new("[::1]:80").as_str(), "");
        assert_eq!(HostName::new(&"a".repeat(300)).as_str(), "");
    }

    #[test]
    fn a_wildcard_does_not_match_its_own_parent() {
        let name: Hostname = "*.example.com".parse().unwrap();
        assert!(name.matches("a.example.com") && name.matches("a.b.example.com"));
        assert!(
            !name.matches("example.com") && !name.matches(".example.com") && !name.matches("aexample.com")
        );
    }

    #[test]
    fn what_is_no_hostname_is_refused() {
        for text in ["*", "*.", "a..b", "a.*.b", "a:80", "a b"] {
            assert!(text.parse::<Hostname>().is_err(), "{text}");
        }
    }
}
