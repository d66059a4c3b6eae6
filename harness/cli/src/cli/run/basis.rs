//! What a run rests on, looked up where it is: files, image archives, the mesh's own configuration.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::cli::ImplementationArgs;
use meshproof_lab::cluster::Target;
use meshproof_model::digest;
use meshproof_model::event::{Basis, DigestSet, Digests, Event, EventSink, Harness, MeshInfo, Named};
use meshproof_model::implementation::Implementation;
use meshproof_model::yaml::{self, Tree};
use meshproof_run::scenario::Scenario;

/// What istiod labels its own configuration with.
const REVISION: &str = "istio.io/rev";
/// The trust domain of a mesh whose configuration names none.
const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// This program, as the judge.
fn this_program() -> Harness {
    Harness { version: env!("CARGO_PKG_VERSION").to_owned(), source: env!("MESHPROOF_SOURCE").to_owned() }
}

/// What is known before there is a cluster.
///
/// # Errors
/// A file of the implementation or of a chart cannot be read.
pub(in crate::cli) fn of_files(
    file: &ImplementationArgs,
    implementation: &Implementation,
    scenarios: &[Scenario],
) -> std::io::Result<Basis> {
    let scenarios = scenarios.iter().map(|scenario| (scenario.id.clone(), scenario.digest.clone().into()));
    let digests = Digests {
        implementation: Implementation::digest(file.implementation.as_deref())?.into(),
        scenarios: scenarios.collect(),
        charts: charts(implementation)?,
        ..Digests::default()
    };
    Ok(Basis { harness: this_program(), mesh: None, digests })
}

fn charts(implementation: &Implementation) -> std::io::Result<Named> {
    let chart = |release: &meshproof_model::implementation::Release| {
        let path = Path::new(&release.chart);
        // One from elsewhere is known by its name and version only.
        let digest = match path.exists() {
            true => digest::tree(path)?,
            false => format!("{} {}", release.chart, release.version),
        };
        Ok((release.name.clone(), digest.into()))
    };
    implementation.releases.iter().map(chart).collect()
}

/// Tells what is known once there is a cluster; what could not be looked up is told as an error of the run, in its report.
pub(in crate::cli) async fn tell(target: &Target, sink: &dyn EventSink) {
    let (images, mesh) = tokio::join!(images(target), mesh(target));
    let mut trouble = Vec::new();
    let mut basis = Basis { harness: this_program(), ..Basis::default() };
    match images {
        Ok(images) => basis.digests.images = images,
        Err(error) => trouble.push(error),
    }
    match mesh {
        Ok(Some((mesh, digest))) => (basis.mesh, basis.digests.mesh) = (Some(mesh), digest),
        Ok(None) => {}
        Err(error) => trouble.push(error),
    }
    sink.emit(&Event::RestsOn { basis: Box::new(basis) });
    if !trouble.is_empty() {
        let error = Some(trouble.join("; "));
        sink.emit(&Event::PhaseFinished { phase: "digests".to_owned(), elapsed_ms: 0, error });
    }
}

async fn images(target: &Target) -> Result<Named, String> {
    let mut images = Named::new();
    for image in &target.images {
        let digest = digest::image(&image.archive, &image.reference).map_err(|error| error.to_string())?;
        images.insert(short(&image.reference), digest.into());
    }
    if let Some(cluster) = &target.own {
        let node = cluster.node_image_id().await.map_err(|error| error.to_string())?;
        images.insert("node".to_owned(), node.into());
    }
    Ok(images)
}

/// The last name of an image, without its tag.
fn short(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    name.split([':', '@']).next().unwrap_or(name).to_owned()
}

/// The mesh of the cluster, if one is said to be there.
async fn mesh(target: &Target) -> Result<Option<(MeshInfo, DigestSet)>, String> {
    if target.istio.is_none() {
        return Ok(None);
    }
    let client = target.client().await.map_err(|error| error.to_string())?;
    let maps: Api<ConfigMap> = Api::all(client);
    let maps = maps.list(&ListParams::default().labels(REVISION)).await;
    let maps = maps.map_err(|error| format!("looking for the mesh's configuration: {error}"))?;
    let mesh = of_maps(&maps.items);
    mesh.map(Some).ok_or_else(|| format!("no ConfigMap `istio` with the label {REVISION} is there"))
}

/// What istiod's ConfigMaps say: the mesh's configuration and that of its injection.
fn of_maps(maps: &[ConfigMap]) -> Option<(MeshInfo, DigestSet)> {
    let mut files = BTreeMap::new();
    let mut info = None;
    for map in maps {
        let (name, namespace) = (map.name_any(), map.namespace().unwrap_or_default());
        if !name.starts_with("istio") {
            continue;
        }
        for (key, text) in map.data.iter().flatten() {
            files.insert(format!("{name}/{key}"), text.clone().into_bytes());
        }
        if let Some(mesh) = map.data.as_ref().and_then(|data| data.get("mesh")) {
            let revision = map.labels().get(REVISION).cloned().unwrap_or_default();
            info.get_or_insert(MeshInfo { namespace, revision, trust_domain: trust_domain(mesh) });
        }
    }
    Some((info?, digest::contents(&files).into()))
}

fn trust_domain(mesh: &str) -> String {
    let trees = yaml::documents::<Tree>(mesh).unwrap_or_default();
    let named = trees.first().and_then(|tree| match tree {
        Tree::Mapping(map) => map.get("trustDomain").and_then(Tree::as_str).map(str::to_owned),
        _ => None,
    });
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_TRUST_DOMAIN.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(name: &str, data: serde_json::Value) -> ConfigMap {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "mesh", "labels": {"istio.io/rev": "canary"}}, "data": data,
        }))
        .unwrap()
    }

    #[test]
    fn the_mesh_is_known_by_its_configuration() {
        let maps = |domain: &str, values: &str| {
            [
                map("istio-canary", json!({"mesh": format!("accessLogFile: /dev/stdout\n{domain}")})),
                map("istio-sidecar-injector-canary", json!({"values": values})),
                map("mine", json!({"a": values})),
            ]
        };
        let (mesh, digest) = of_maps(&maps("trustDomain: td.example", "{}")).unwrap();
        assert_eq!((mesh.namespace.as_str(), mesh.revision.as_str()), ("mesh", "canary"));
        assert_eq!(mesh.trust_domain, "td.example");
        let (other, another) = of_maps(&maps("", "{}")).unwrap();
        assert_eq!(other.trust_domain, "cluster.local");
        assert_ne!(digest, another);
        assert_ne!(another, of_maps(&maps("", r#"{"a": 1}"#)).unwrap().1);
        assert_eq!(of_maps(&[map("mine", json!({"mesh": ""}))]), None);
    }

    #[test]
    fn images_are_called_by_their_last_name() {
        assert_eq!(short("localhost/meshproof/alb-proxy:abc"), "alb-proxy");
        assert_eq!(short("registry.example:5000/team/echo@sha256:1"), "echo");
    }

    #[test]
    fn this_program_knows_what_it_was_made_of() {
        let harness = this_program();
        assert!(!harness.version.is_empty());
        assert_eq!(harness.source.len(), "sha256:".len() + 64, "{}", harness.source);
    }

    #[test]
    fn what_is_known_from_files_is_known_before_there_is_a_cluster() {
        let implementation = Implementation::built_in().unwrap();
        let basis = of_files(&ImplementationArgs::default(), &implementation, &[]).unwrap();
        assert_eq!(basis.digests.charts.len(), implementation.releases.len());
        assert!(basis.digests.charts.values().all(|digest| digest.to_string().starts_with("sha256:")));
        assert!(basis.digests.implementation.to_string().starts_with("sha256:"));
    }
}
