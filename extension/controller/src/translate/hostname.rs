//! Hostnames of listeners and routes (Gateway API, `HTTPRouteSpec.hostnames`).

/// Whether some name matches both patterns. Patterns are names, or `*.` and a suffix; an empty one matches all.
pub(super) fn intersect(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    one.is_empty() || other.is_empty() || one == other || covers(&one, &other) || covers(&other, &one)
}

/// Whether `pattern` is a wildcard that matches `name`, which may be a wildcard itself. A wildcard stands for one
/// label or more.
fn covers(pattern: &str, name: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix('*') else { return false };
    name.len() > suffix.len() && name.ends_with(suffix) && name.trim_start_matches('*') != suffix
}

#[cfg(test)]
mod tests {
    use super::intersect;

    #[test]
    fn equal_names_intersect_whatever_their_case() {
        assert!(intersect("a.example", "A.example"));
        assert!(!intersect("a.example", "b.example"));
    }

    #[test]
    fn an_empty_hostname_intersects_with_everything() {
        assert!(intersect("", "a.example"));
        assert!(intersect("*.example", ""));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        assert!(intersect("*.example", "a.example"));
        assert!(intersect("a.b.example", "*.example"));
        assert!(!intersect("*.example", "example"));
        assert!(!intersect("*.example", "aexample"));
    }

    #[test]
    fn wildcards_intersect_when_one_lies_within_the_other() {
        assert!(intersect("*.example", "*.b.example"));
        assert!(intersect("*.example", "*.example"));
        assert!(!intersect("*.example", "*.other"));
    }
}
