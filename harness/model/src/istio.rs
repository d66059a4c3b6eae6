//! Versions of Istio: their numbers, and the keys by which scenarios and commands name some of them.

/// The first version that the document promises (L71): major and minor.
pub const FIRST: (u32, u32) = (1, 24);

/// The key of the newest version that can be had.
pub const NEWEST: &str = "newest";
/// The key of the oldest one that the document promises, as far as it can be had.
pub const OLDEST: &str = "oldest";
/// The key of one before that, to see it refused.
pub const TOO_OLD: &str = "too-old";

/// Major and minor of a version, be it a release or not (`1.31.0-alpha.x`); nothing for `latest`.
pub fn number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The tag of an image; `unknown` for one that is named by its digest alone.
pub fn version(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    // A colon before the last slash is that of a port.
    name.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("unknown", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_tag() {
        assert_eq!(version("registry.example:5000/istio/pilot:1.30.1-distroless"), "1.30.1-distroless");
        assert_eq!(version("registry.example/istio/pilot:1.24.0@sha256:00"), "1.24.0");
        assert_eq!(version("registry.example:5000/istio/pilot@sha256:00"), "unknown");
    }
}
