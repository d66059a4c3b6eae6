//! Whether what is installed is what is wanted: values, chart, and the images as their nodes run them. A gateway that only has
//! the right name and values is not the one under test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::api::ApiError;
use crate::supply::LoadImage;
use meshproof_model::digest;
use meshproof_model::implementation::Release;

/// What this program last installed as a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Its values.
    values: Value,
    /// Digest of its chart.
    chart: String,
    /// Uid of helm's record: whoever installs or upgrades the release makes another.
    record: String,
}

/// What is there of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Absent,
    /// What is wanted.
    Current,
    /// Something that this program installed and that is not what is wanted now, for this reason.
    Outdated(String),
    /// Something that somebody else installed, or changed.
    Foreign(String),
}

impl Stamp {
    /// What is wanted of a release, as helm recorded it.
    ///
    /// # Errors
    /// The chart cannot be read.
    pub(crate) fn of(release: &Release, record: String) -> std::io::Result<Self> {
        Ok(Self { values: release.values.clone(), chart: chart(release)?, record })
    }

    /// Reads the one that was written down last; nothing if it is not there or not whole.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// As it is written down.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// Digest of a release's chart; of one from elsewhere, its name and version.
fn chart(release: &Release) -> std::io::Result<String> {
    let path = Path::new(&release.chart);
    if path.exists() { digest::tree(path) } else { Ok(format!("{} {}", release.chart, release.version)) }
}

/// Name of the file with the stamp of a release.
pub(crate) fn stamp_file(release: &Release) -> String {
    format!("installed-{}.json", release.name)
}

/// What is there of a release: helm's newest record, against what was written down and what is wanted.
///
/// # Errors
/// The chart cannot be read.
pub(crate) fn state(
    release: &Release,
    stamp: Option<&Stamp>,
    record: Option<&PartialObjectMeta<Secret>>,
) -> std::io::Result<State> {
    let Some(record) = record else { return Ok(State::Absent) };
    let (name, namespace) = (&release.name, &release.namespace);
    let uid = record.uid().unwrap_or_default();
    let status = record.labels().get("status").map(String::as_str).unwrap_or_default();
    Ok(match stamp {
        Some(stamp) if stamp.record == uid => {
            let wanted = Stamp::of(release, uid)?;
            let differs = [
                (status != "deployed", "was installed half-way only"),
                (stamp.chart != wanted.chart, "was installed with another chart"),
                (stamp.values != wanted.values, "was installed with other values"),
            ];
            match differs.into_iter().find(|(differs, _)| *differs) {
                None => State::Current,
                Some((_, how)) => State::Outdated(format!("release {name} in {namespace} {how}")),
            }
        }
        _ => State::Foreign(format!(
            "release {name} in {namespace} (revision {}) was installed or changed by something else than this program",
            record.labels().get("version").map_or("unknown", String::as_str)
        )),
    })
}

/// An image of the workspace: its reference, and its digest.
pub(crate) type Wanted = BTreeMap<String, String>;

/// Digests of images by their references.
///
/// # Errors
/// An archive cannot be read.
pub(crate) fn wanted(images: &[LoadImage]) -> std::io::Result<Wanted> {
    let each = images
        .iter()
        .map(|image| Ok((image.reference.clone(), digest::image(&image.archive, &image.reference)?)));
    each.collect()
}

/// Digest in an image's id, whatever stands before it: `docker.io/library/x@sha256:…`, `sha256:…`.
pub(crate) fn id(image_id: &str) -> Option<&str> {
    image_id.rfind("sha256:").and_then(|at| image_id.get(at..))
}

/// Digest of an image's configuration, where the node calls it by that: one pulled from a registry is called by the digest of
/// its manifest there, which nothing here knows. What it is called is told in the report.
fn configuration(image_id: &str) -> Option<&str> {
    id(image_id).filter(|_| !image_id.contains('@'))
}

/// Why a Deployment or its pods do not run what is wanted.
pub(crate) fn stale(deployment: &Deployment, pods: &[Pod], wanted: &Wanted) -> Option<String> {
    let place = || format!("{}/{}", deployment.namespace().unwrap_or_default(), deployment.name_any());
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let containers = template.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let mut own = BTreeSet::new();
    for container in containers {
        own.insert(container.name.as_str());
        let image = container.image.as_deref().unwrap_or_default();
        if !wanted.contains_key(image) {
            return Some(format!("Deployment {} runs {image}, which is no image of this build", place()));
        }
    }
    // One that goes runs what it ran; it is not asked any more.
    let living = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    for pod in living {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        let specs = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        for status in statuses.unwrap_or_default().iter().filter(|status| own.contains(status.name.as_str()))
        {
            let spec = specs.iter().find(|spec| spec.name == status.name);
            let image = spec.and_then(|spec| spec.image.as_deref()).unwrap_or_default();
            let (runs, should) = (configuration(&status.image_id), wanted.get(image).map(String::as_str));
            if should.is_none() || runs.is_some() && runs != should {
                return Some(format!(
                    "pod {}/{} runs {image} as {}, this build is {}",
                    pod.namespace().unwrap_or_default(),
                    pod.name_any(),
                    runs.unwrap_or("unknown"),
                    should.unwrap_or("another image"),
                ));
            }
        }
    }
    None
}

/// Why what a release has running is not what is wanted: nothing if it is.
///
/// # Errors
/// The API server refuses.
pub(crate) async fn stale_release(
    client: &Client,
    release: &Release,
    wanted: &Wanted,
) -> Result<Option<String>, ApiError> {
    for (namespace, name) in &release.deployments {
        let failed = |source| ApiError::Request {
            doing: format!("looking at Deployment {namespace}/{name} and its pods"),
            source: Box::new(source),
        };
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let deployment = deployments.get(name).await.map_err(failed)?;
        let selector = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone());
        let labels: Vec<_> =
            selector.unwrap_or_default().iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pods = pods.list(&ListParams::default().labels(&labels.join(","))).await.map_err(failed)?;
        if let Some(why) = stale(&deployment, &pods.items, wanted) {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// What the pods of these namespaces run: digests by the last names of images.
///
/// # Errors
/// The API server refuses.
pub(crate) async fn running(
    client: &Client,
    namespaces: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, ApiError> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for namespace in namespaces {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pods = pods.list(&ListParams::default()).await.map_err(|source| ApiError::Request {
            doing: format!("looking at what pods of {namespace} run"),
            source: Box::new(source),
        })?;
        for status in pods.items.iter().filter_map(|pod| pod.status.as_ref()) {
            for container in status.container_statuses.iter().flatten() {
                if let Some(id) = id(&container.image_id) {
                    let name = container.image.rsplit('/').next().unwrap_or_default();
                    let name = name.split([':', '@']).next().unwrap_or(name);
                    all.entry(name.to_owned()).or_default().insert(id.to_owned());
                }
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WANTED: &str = "localhost/meshproof/alb-proxy:new";

    fn release(chart: &Path) -> Release {
        Release {
            name: "gateway".into(),
            chart: chart.display().to_string(),
            version: "1.0.0".into(),
            namespace: "system".into(),
            values: json!({"image": "new"}),
            edition: None,
            in_mesh: false,
            deployments: vec![],
        }
    }

    fn record(uid: &str, status: &str) -> PartialObjectMeta<Secret> {
        serde_json::from_value(
            json!({"metadata": {"uid": uid, "labels": {"status": status, "version": "2"}}}),
        )
        .unwrap()
    }

    #[test]
    fn a_gateway_of_another_chart_or_by_another_hand_is_not_the_one_under_test() {
        let chart = tempfile::tempdir().unwrap();
        std::fs::write(chart.path().join("Chart.yaml"), "name: gateway\n").unwrap();
        let wanted = release(chart.path());
        let stamp = Stamp::of(&wanted, "u1".into()).unwrap();
        let told = |release: &Release, stamp: Option<&Stamp>, record: &PartialObjectMeta<Secret>| {
            state(release, stamp, Some(record)).unwrap()
        };
        assert_eq!(state(&wanted, Some(&stamp), None).unwrap(), State::Absent);
        assert_eq!(told(&wanted, Some(&stamp), &record("u1", "deployed")), State::Current);
        for (state, what) in [
            (told(&wanted, Some(&stamp), &record("u1", "pending-upgrade")), "half-way"),
            (
                told(
                    &Release { values: json!({"image": "old"}), ..wanted.clone() },
                    Some(&stamp),
                    &record("u1", "deployed"),
                ),
                "values",
            ),
        ] {
            assert!(
                matches!(&state, State::Outdated(why) if why.contains(what) && why.contains("gateway in system")),
                "{state:?}"
            );
        }
        // Somebody else upgraded it, or nobody knows who installed it.
        for (stamp, uid) in [(Some(&stamp), "u2"), (None, "u1")] {
            let state = told(&wanted, stamp, &record(uid, "deployed"));
            assert!(matches!(&state, State::Foreign(why) if why.contains("revision 2")), "{state:?}");
        }
        // The same name, version and values, other templates.
        std::fs::write(chart.path().join("alpn.yaml"), "istio\n").unwrap();
        let state = told(&wanted, Some(&stamp), &record("u1", "deployed"));
        assert!(matches!(&state, State::Outdated(why) if why.contains("another chart")), "{state:?}");
        let read = chart.path().join("stamp.json");
        std::fs::write(&read, stamp.to_bytes()).unwrap();
        assert_eq!(Stamp::read(&read), Some(stamp));
        std::fs::write(&read, "{").unwrap();
        assert_eq!(Stamp::read(&read), None);
    }

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "proxy", "namespace": "system"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "proxy", "image": image}]}}},
        }))
        .unwrap()
    }

    fn pod(image: &str, id: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "proxy-1", "namespace": "system"},
            "spec": {"containers": [{"name": "proxy", "image": image}, {"name": "istio-proxy", "image": "proxyv2"}]},
            "status": {"containerStatuses": [
                {"name": "istio-proxy", "image": "proxyv2", "imageID": "sha256:99", "ready": true, "restartCount": 0},
                {"name": "proxy", "image": image, "imageID": id, "ready": true, "restartCount": 0},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn an_image_of_another_build_is_not_the_one_under_test() {
        let wanted: Wanted = [(WANTED.to_owned(), "sha256:1".to_owned())].into();
        let right = pod(WANTED, "sha256:1");
        let pulled = pod(WANTED, "registry.example/alb-proxy@sha256:77");
        assert_eq!(stale(&deployment(WANTED), &[pulled], &wanted), None);
        assert_eq!(stale(&deployment(WANTED), std::slice::from_ref(&right), &wanted), None);
        assert_eq!(stale(&deployment(WANTED), &[pod(WANTED, "")], &wanted), None, "it has not begun");
        let old = "localhost/meshproof/alb-proxy:old";
        let why = stale(&deployment(old), &[], &wanted).unwrap();
        assert!(why.contains("system/proxy") && why.contains(old), "{why}");
        // The right name, and something else behind it on the node.
        let why = stale(&deployment(WANTED), &[right, pod(WANTED, "sha256:2")], &wanted).unwrap();
        assert!(
            why.contains("system/proxy-1") && why.contains("sha256:2") && why.contains("sha256:1"),
            "{why}"
        );
        let why = stale(&deployment(WANTED), &[pod(old, "sha256:3")], &wanted).unwrap();
        assert!(why.contains(old), "{why}");
    }

    #[test]
    fn an_image_has_its_digest_whatever_stands_before_it() {
        assert_eq!(id("docker.io/library/import@sha256:ab"), Some("sha256:ab"));
        assert_eq!(id("sha256:ab"), Some("sha256:ab"));
        assert_eq!(id(""), None);
    }
}
