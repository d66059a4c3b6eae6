//! Istio's versions.

use std::fmt;

/// The first version that is supported (R14).
pub const MINIMUM: Version = Version { major: 1, minor: 24, patch: None };

/// A version as far as it matters: pre-releases count as their release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
    /// Patch, if it was given: development versions have none.
    pub patch: Option<u32>,
}

impl Version {
    /// Finds the version in an image's tag (`1.24.3-distroless`, `1.31-alpha.0123456789`, `v1.26`), or in istiod's
    /// answer to `/version` (`1.24.3-0123456789abcdef-Clean`). `None` for texts such as `latest`.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut parts = numbers.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor, patch: parts.next().and_then(|patch| patch.parse().ok()) })
    }

    /// The version in an image reference: that of its tag.
    #[must_use]
    pub fn of_image(image: &str) -> Option<Self> {
        let name = image.split_once('@').map_or(image, |(name, _)| name);
        // A colon before the last slash belongs to a registry's port.
        let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
        Self::find(tag)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_in_what_istio_says_of_itself() {
        for (text, version) in [
            ("1.24.3", "1.24.3"),
            ("1.24.3-distroless", "1.24.3"),
            ("1.31-alpha.0f3aab", "1.31"),
            ("v1.26\n", "1.26"),
            ("1.24.3-0123abcdef-Clean", "1.24.3"),
            ("1.30.0-rc.1", "1.30.0"),
        ] {
            assert_eq!(
                Version::find(text).map(|version| version.to_string()).as_deref(),
                Some(version),
                "{text}"
            );
        }
        for text in ["latest", "", "unknown-unknown-unknown", "1", "dev-1.24.0"] {
            assert_eq!(Version::find(text), None, "{text}");
        }
    }

    #[test]
    fn reads_images_with_ports_and_digests() {
        let version = |image| Version::of_image(image).map(|version| version.to_string());
        assert_eq!(version("host.example:5000/istio/pilot:1.25.1").as_deref(), Some("1.25.1"));
        assert_eq!(version("localhost/istio/pilot:1.25.1-x@sha256:00ff").as_deref(), Some("1.25.1"));
        assert_eq!(version("host.example:5000/istio/pilot"), None);
        assert_eq!(version("istio/pilot@sha256:00ff"), None);
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert!(Version::find("1.9.9").unwrap() < MINIMUM);
        assert!(Version::find("1.24.0").unwrap() >= MINIMUM && Version::find("1.24").unwrap() >= MINIMUM);
        assert!(Version::find("2.0.0").unwrap() > Version::find("1.100.0").unwrap());
    }
}
