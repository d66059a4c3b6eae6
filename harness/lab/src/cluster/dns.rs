//! The cluster's DNS: names of Services, and those of the gateways' frontends in the zone of the implementation under test.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, DynamicObject};

use super::api::{ApiError, apply, filled, request, wait_for_deployment};
use meshproof_model::implementation::{Implementation, Resolution};

/// Its objects.
pub(crate) const COREDNS: &str = include_str!("../../../../kind-config/cluster/coredns.yaml");
/// Where it runs.
const NAMESPACE: &str = "kube-system";
/// What it is called.
const NAME: &str = "coredns";
/// For a pod with another zone to be ready.
const READY: Duration = Duration::from_secs(60);

/// Where names of frontends lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// The zone, e.g. `alb.internal`.
    name: String,
    /// Namespace of the Services that the names' first labels name.
    namespace: String,
}

/// Of a new cluster: that of the built-in implementation.
impl Default for Zone {
    fn default() -> Self {
        Self { name: "alb.internal".to_owned(), namespace: "azure-alb-dataplane".to_owned() }
    }
}

impl Zone {
    /// That of an implementation, if its frontends' names are in one.
    pub(crate) fn of(implementation: &Implementation) -> Option<Self> {
        match &implementation.address.resolution {
            Resolution::Zone { zone, namespace } => {
                Some(Self { name: zone.clone(), namespace: namespace.clone() })
            }
            Resolution::Itself | Resolution::Dns | Resolution::ClusterService => None,
        }
    }

    fn mark(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Everything DNS consists of, from the image of that name.
pub(crate) fn all(image: &str, zone: &Zone) -> Result<Vec<DynamicObject>, ApiError> {
    let pattern = zone.name.replace('.', "\\.");
    let values = [
        ("COREDNS_IMAGE", image),
        ("GATEWAY_ZONE", zone.name.as_str()),
        ("GATEWAY_ZONE_PATTERN", pattern.as_str()),
        ("GATEWAY_NAMESPACE", zone.namespace.as_str()),
    ];
    filled("coredns.yaml", COREDNS, &values)
}

/// Makes names of the zone lead to the frontends, as seen from pods; nothing is done where they do.
///
/// # Errors
/// The API server refused, or DNS did not come back in time.
pub(crate) async fn lead_to(client: &Client, zone: &Zone) -> Result<(), ApiError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let dns = api.get(NAME).await.map_err(request("looking at the cluster's DNS"))?;
    let template = dns.spec.map(|spec| spec.template).unwrap_or_default();
    let marks = template.metadata.and_then(|metadata| metadata.annotations).unwrap_or_default();
    if marks.values().any(|mark| *mark == zone.mark()) {
        return Ok(());
    }
    let container = template.spec.and_then(|spec| spec.containers.into_iter().find(|one| one.name == NAME));
    let image = container.and_then(|container| container.image).ok_or_else(|| ApiError::Manifest {
        name: format!("Deployment {NAME} in {NAMESPACE}"),
        reason: format!("it has no container {NAME} with an image; `meshproof down` and `up` make it anew"),
    })?;
    apply(client, all(&image, zone)?).await?;
    wait_for_deployment(client, NAMESPACE, NAME, READY).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corefile(zone: &Zone) -> String {
        let all = all("c", zone).unwrap();
        let config = all.iter().find(|object| object.types.as_ref().unwrap().kind == "ConfigMap").unwrap();
        config.data["data"]["Corefile"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_new_cluster_knows_the_zone_of_the_built_in_implementation() {
        assert_eq!(Zone::of(&Implementation::built_in().unwrap()), Some(Zone::default()));
    }

    #[test]
    fn names_of_the_zone_lead_to_the_frontends_services() {
        let ours = corefile(&Zone::default());
        assert!(ours.contains("ip6.arpa:53 alb.internal:53 {"), "{ours}");
        assert!(ours.contains(r"^([a-z0-9-]+)\.alb\.internal\.$ {1}.azure-alb-dataplane.svc.cluster.local."));
        assert!(!ours.contains("forward"), "no question leaves the host");
        let other = corefile(&Zone { name: "lb.example".into(), namespace: "data".into() });
        assert!(other.contains(r"^([a-z0-9-]+)\.lb\.example\.$ {1}.data.svc.cluster.local."), "{other}");
    }

    #[test]
    fn pods_are_marked_with_the_zone_they_have_read() {
        let all = all("c", &Zone::default()).unwrap();
        let dns = all.iter().find(|object| object.types.as_ref().unwrap().kind == "Deployment").unwrap();
        let marks = &dns.data["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(marks["dev.meshproof/zone"], Zone::default().mark());
        assert_eq!(dns.metadata.name.as_deref(), Some(NAME));
    }
}
