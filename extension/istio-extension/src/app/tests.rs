//! The whole program against a fake API server, with real files and its real admin server.

use std::net::SocketAddr;
use std::path::Path;

use alb_runtime::fake_api::FakeApi;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::certificate::{Files, WorkloadIdentity};
use crate::testing::Authority;

const NAMESPACE: &str = "azure-alb-system";
const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/applicationloadbalancers.alb.networking.azure.io";
const SECRET: &str = "/api/v1/namespaces/azure-alb-system/secrets/identity";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/azure-alb-system/leases/extension";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/azure-alb-system/events";
const ISTIOD: &str = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";

fn deployment(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
}

/// A cluster with ALB Controller, our Deployment, and Istio of the version, if any.
fn cluster(istio: Option<&str>) -> FakeApi {
    let api = FakeApi::new();
    api.put(CRD, json!({}));
    api.put(&deployment("alb-controller"), json!({}));
    api.put(&deployment("extension"), json!({"metadata": {"uid": "u-1"}}));
    if let Some(version) = istio {
        let containers = json!([{"name": "discovery", "image": format!("localhost/pilot:{version}")}]);
        let spec = json!({"selector": {}, "template": {"spec": {"containers": containers}}});
        api.put(ISTIOD, json!({"metadata": {"labels": {"app": "istiod"}}, "spec": spec}));
    }
    api
}

struct Replica {
    files: tempfile::TempDir,
    admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Replica {
    async fn start(api: &FakeApi, name: &str, sidecar: bool) -> Self {
        let mut containers = vec![json!({"name": "extension"})];
        containers.extend(sidecar.then(|| json!({"name": "istio-proxy"})));
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}");
        api.put(&path, json!({"spec": {"containers": containers}}));
        let files = tempfile::tempdir().unwrap();
        let names = Names {
            namespace: NAMESPACE.to_owned(),
            deployment: "extension".to_owned(),
            controller: "alb-controller".to_owned(),
            custom_resource: "applicationloadbalancers.alb.networking.azure.io".to_owned(),
            edition: alb_api::Edition::default(),
        };
        let settings = Settings {
            names,
            pod: name.to_owned(),
            pod_uid: None,
            certificates: files.path().to_owned(),
            secret: "identity".to_owned(),
            lease: LeaseConfig::new(NAMESPACE, "extension", name),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(api.client(), settings, listener, shutdown.clone()));
        Self { files, admin, shutdown, task }
    }

    fn write(&self, files: &Files) -> String {
        let put = |name: &str, content: &[u8]| {
            let temporary = self.files.path().join("tmp");
            std::fs::write(&temporary, content).unwrap();
            std::fs::rename(temporary, self.files.path().join(Path::new(name))).unwrap();
        };
        put("key.pem", &files.key);
        put("cert-chain.pem", &files.chain);
        put("root-cert.pem", &files.roots);
        WorkloadIdentity::parse(files, Timestamp::now()).unwrap().leaf.serial
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Polls `/readyz`, as the kubelet does, until the answer holds all of `wanted`.
    async fn says(&self, wanted: &[&str]) {
        self.shows("/readyz", wanted).await;
    }

    async fn shows(&self, page: &str, wanted: &[&str]) {
        let mut last = String::new();
        let polling = async {
            loop {
                last = self.get(page).await;
                if wanted.iter().all(|wanted| last.contains(wanted)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = timeout(Duration::from_secs(20), polling).await;
        assert!(done.is_ok(), "waited for {wanted:?}, last seen: {last}");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

async fn until(api: &FakeApi, condition: impl FnMut(&FakeApi) -> bool) {
    timeout(Duration::from_secs(20), api.until(condition)).await.unwrap();
}

fn published(api: &FakeApi) -> Option<String> {
    Some(
        api.get(SECRET)?
            .pointer("/metadata/annotations/alb.networking.azure.io~1serial")?
            .as_str()?
            .to_owned(),
    )
}

fn holder(api: &FakeApi) -> Option<String> {
    Some(api.get(LEASE)?.pointer("/spec/holderIdentity")?.as_str()?.to_owned())
}

fn fresh(authority: &Authority) -> Files {
    authority.issue(Timestamp::now(), 3600)
}

#[tokio::test]
async fn publishes_the_sidecars_certificate_and_releases_the_lease_when_it_ends() {
    let (api, authority) = (cluster(Some("1.31.0")), Authority::new());
    let replica = Replica::start(&api, "pod-1", true).await;
    replica.says(&["503", "- certificate: waiting for the sidecar to write the first certificate"]).await;
    let serial = replica.write(&fresh(&authority));
    until(&api, |api| published(api).as_ref() == Some(&serial)).await;
    replica.says(&["200 OK", "* integration: integrated with Istio 1.31.0"]).await;
    assert_eq!(holder(&api).as_deref(), Some("pod-1"));
    for path in [SECRET, LEASE] {
        assert_eq!(api.get(path).unwrap()["metadata"]["ownerReferences"][0]["uid"], "u-1", "{path}");
    }
    let lines = [
        "leader 1",
        "certificate_rotations_total 1",
        "identity_publishes_total 1",
        "certificate_expiry_seconds 3",
    ];
    replica.shows("/metrics", &lines).await;
    let rotated = replica.write(&fresh(&authority));
    until(&api, |api| published(api).as_ref() == Some(&rotated)).await;
    replica.stop().await;
    assert_eq!(holder(&api).as_deref(), Some(""));
}

#[tokio::test]
async fn without_a_sidecar_it_is_ready_says_so_and_takes_no_part() {
    let api = cluster(None);
    let replica = Replica::start(&api, "pod-1", false).await;
    let text = "* integration: not integrated: No Istio sidecar in this pod, and no Istio in this cluster";
    replica.says(&["200 OK", text, "kubectl rollout restart deployment/extension -n azure-alb-system"]).await;
    until(&api, |api| !api.list(EVENTS).is_empty()).await;
    let event = &api.list(EVENTS)[0];
    assert_eq!((&event["reason"], &event["type"]), (&json!("IstioMissing"), &json!("Warning")));
    assert_eq!(event["regarding"]["name"], "pod-1");
    replica.shows("/metrics", &[r#"integration{reason="IstioMissing"} 1"#]).await;
    replica.stop().await;
    assert_eq!((api.get(LEASE), api.get(SECRET)), (None, None));
}

#[tokio::test]
async fn without_alb_controller_it_is_not_ready_until_that_is_installed() {
    let (api, authority) = (cluster(Some("1.31.0")), Authority::new());
    let crd = api.get(CRD).unwrap();
    api.delete(CRD);
    api.delete(&deployment("alb-controller"));
    let replica = Replica::start(&api, "pod-1", true).await;
    let serial = replica.write(&fresh(&authority));
    replica.says(&["503", "- environment: ALB Controller is missing: the CustomResourceDefinition"]).await;
    api.put(CRD, crd);
    replica.says(&["503", "- environment: ALB Controller is missing: the Deployment alb-controller"]).await;
    assert_eq!(api.get(LEASE), None);
    api.put(&deployment("alb-controller"), json!({}));
    until(&api, |api| published(api).as_ref() == Some(&serial)).await;
    replica.says(&["200 OK"]).await;
    let reasons: Vec<Value> = api.list(EVENTS).iter().map(|event| event["reason"].clone()).collect();
    // Repetitions are counted in the first Event's series.
    assert_eq!(reasons, ["ALBControllerMissing", "Integrated"]);
}

#[tokio::test]
async fn an_istio_that_is_too_old_is_refused() {
    let (api, authority) = (cluster(Some("1.23.6")), Authority::new());
    let replica = Replica::start(&api, "pod-1", true).await;
    replica.write(&fresh(&authority));
    replica.says(&["503", "- environment: Istio 1.23.6", "is too old"]).await;
    replica.stop().await;
    assert_eq!((api.get(LEASE), api.get(SECRET)), (None, None));
}

#[tokio::test]
async fn the_standby_takes_over_at_once_on_a_clean_end() {
    let (api, authority) = (cluster(Some("1.31.0")), Authority::new());
    let first = Replica::start(&api, "pod-1", true).await;
    let serial = first.write(&fresh(&authority));
    until(&api, |api| published(api).as_ref() == Some(&serial)).await;
    let second = Replica::start(&api, "pod-2", true).await;
    let other = second.write(&authority.issue(Timestamp::now(), 3600));
    second.says(&["200 OK"]).await;
    first.stop().await;
    until(&api, |api| holder(api).as_deref() == Some("pod-2")).await;
    until(&api, |api| published(api).as_ref() == Some(&other)).await;
}

#[tokio::test]
async fn a_leader_whose_certificate_is_not_renewed_makes_way() {
    let (api, authority) = (cluster(Some("1.31.0")), Authority::new());
    let first = Replica::start(&api, "pod-1", true).await;
    let serial = first.write(&authority.issue(Timestamp::now(), 3));
    until(&api, |api| published(api).as_ref() == Some(&serial)).await;
    let second = Replica::start(&api, "pod-2", true).await;
    let other = second.write(&fresh(&authority));
    first.says(&["503", "- certificate: the certificate expired at"]).await;
    until(&api, |api| holder(api).as_deref() == Some("pod-2") && published(api).as_ref() == Some(&other))
        .await;
    let renewed = first.write(&fresh(&authority));
    first.says(&["200 OK"]).await;
    assert_ne!(published(&api), Some(renewed), "it is the standby now");
}
