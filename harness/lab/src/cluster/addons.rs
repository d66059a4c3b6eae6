//! What every cluster gets besides Kubernetes and Istio: DNS, load-balancer addresses, the Gateway API's resource
//! definitions.

use std::path::Path;

use kube::api::DynamicObject;

use super::api::{ApiError, filled, objects};
use super::dns;
use super::network::Pool;
use crate::supply::LoadImage;

/// Load-balancer addresses.
pub(crate) const LOAD_BALANCER: &str = include_str!("../../../../kind-config/cluster/load-balancer.yaml");

/// Our own objects, ready to apply.
pub(crate) fn own_objects(
    coredns: &str,
    load_balancer: &str,
    pool: Pool,
) -> Result<Vec<DynamicObject>, ApiError> {
    let mut all = dns::all(coredns, &dns::Zone::default())?;
    all.extend(self::load_balancer(load_balancer, pool)?);
    Ok(all)
}

/// The load balancer alone.
pub(crate) fn load_balancer(image: &str, pool: Pool) -> Result<Vec<DynamicObject>, ApiError> {
    let pool = pool.to_string();
    let values = [("LOAD_BALANCER_IMAGE", image), ("LOAD_BALANCER_POOL", pool.as_str())];
    filled("load-balancer.yaml", LOAD_BALANCER, &values)
}

/// The Gateway API's definitions: a file, or a directory of files.
pub fn gateway_api(path: &Path) -> Result<Vec<DynamicObject>, ApiError> {
    let broken = |path: &Path, error: std::io::Error| ApiError::Manifest {
        name: path.display().to_string(),
        reason: error.to_string(),
    };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|error| broken(path, error))? {
            files.push(entry.map_err(|error| broken(path, error))?.path());
        }
        files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| broken(&file, error))?;
        all.extend(objects(&file.display().to_string(), &text)?);
    }
    // `kustomization.yaml` lies beside the definitions.
    all.retain(|object| object.types.as_ref().is_some_and(|types| !types.api_version.contains("kustomize")));
    Ok(all)
}

/// Whether it defines a resource.
pub(crate) fn is_definition(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "CustomResourceDefinition")
}

/// The workspace image of this name: `localhost/…/<name>:<tag>`.
pub fn image<'a>(images: &'a [LoadImage], name: &str) -> Option<&'a LoadImage> {
    images.iter().find(|image| {
        let repository =
            image.reference.rsplit_once(':').map_or(image.reference.as_str(), |(front, _)| front);
        repository.rsplit('/').next() == Some(name)
    })
}

/// CoreDNS's image among those `kubeadm config images list` names.
pub(crate) fn coredns_image(list: &str) -> Option<&str> {
    list.lines().map(str::trim).find(|line| line.contains("/coredns:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { first: [172, 18, 255, 200].into(), last: [172, 18, 255, 231].into() }
    }

    #[test]
    fn every_placeholder_is_filled() {
        let all = own_objects("example/coredns:v1", "localhost/meshproof/load-balancer:t", pool()).unwrap();
        let text = serde_json::to_string(&all).unwrap();
        assert!(!text.contains("${"), "{text}");
        assert!(text.contains("172.18.255.200-172.18.255.231"));
        assert!(text.contains("example/coredns:v1"));
    }

    #[test]
    fn images_are_found_by_their_last_name() {
        let image = |reference: &str| LoadImage { reference: reference.into(), archive: "a".into() };
        let images = [image("localhost/meshproof/alb-proxy:1"), image("localhost/meshproof/load-balancer:2")];
        assert_eq!(
            super::image(&images, "load-balancer").unwrap().reference,
            "localhost/meshproof/load-balancer:2"
        );
        assert!(super::image(&images, "proxy").is_none());
    }

    #[test]
    fn the_dns_image_is_taken_from_kubeadms_list() {
        let list = "example.test/kube-apiserver:v1.34.4\nexample.test/coredns/coredns:v1.12.1\nexample.test/pause:3\n";
        assert_eq!(coredns_image(list), Some("example.test/coredns/coredns:v1.12.1"));
        assert_eq!(coredns_image("nothing"), None);
    }

    #[test]
    fn definitions_are_read_from_a_directory_and_other_documents_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let crd =
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n";
        std::fs::write(dir.path().join("a.yaml"), crd).unwrap();
        let other = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        std::fs::write(dir.path().join("kustomization.yaml"), other).unwrap();
        std::fs::write(dir.path().join("README.md"), "x").unwrap();
        let all = gateway_api(dir.path()).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(gateway_api(&dir.path().join("a.yaml")).unwrap().len(), 1);
    }
}
