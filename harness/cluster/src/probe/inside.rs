//! Vantages inside the cluster: pods that run the echo image, asked by exec.
//!
//! A vantage is made on first use from its manifest (a namespace and a pod), kept between requests, and
//! removed at the end of the run. A pod an earlier run left behind is taken over when it runs the same
//! image, and replaced when it does not.

mod member;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    runtime::wait::{await_condition, conditions},
};
use serde::Deserialize;
use tokio::sync::OnceCell;

pub(crate) use self::member::has_sidecar;
use super::ProbeError;
use meshproof_lab::cluster::api::pod_is_ready;
use meshproof_lab::cluster::exec::{self, ExecError};
use meshproof_lab::cluster::owner;
use meshproof_model::vantage::Vantage;
use meshproof_model::yaml;
use meshproof_run::probe::{Answer, Ask, Echo, Failure, MAX_BODY, Values};

const PLAIN: &str = include_str!("../../../../fixtures/manifests/vantage-plain.yaml");
const MESH: &str = include_str!("../../../../fixtures/manifests/vantage-mesh.yaml");

/// Pod and container name in both manifests.
const POD: &str = "probe";

/// How long a vantage pod may take to become Ready: scheduling, injection and the sidecar's start.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Added to a request's own time limit for the way through the API server.
const EXEC_OVERHEAD: Duration = Duration::from_secs(10);

/// The vantage pods `plain` and `mesh`.
pub struct VantagePods {
    client: Client,
    image: String,
    run: String,
    /// Uids of the pods, once they are seen to be what they are taken for.
    plain: OnceCell<String>,
    mesh: OnceCell<String>,
}

impl VantagePods {
    /// Makes nothing yet. `image` is the echo image's reference, `run` the id of the run.
    pub fn new(client: Client, image: String, run: &str) -> Self {
        Self { client, image, run: run.to_owned(), plain: OnceCell::new(), mesh: OnceCell::new() }
    }

    /// Id of the run: label of everything it makes.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// Makes the vantage's pod unless it is there, and waits until it is Ready. Callers may do this ahead
    /// of the first request.
    ///
    /// # Errors
    /// When the API server refuses the objects or the pod does not become Ready in time.
    pub async fn ensure(&self, vantage: Vantage) -> Result<(), ProbeError> {
        self.uid(vantage).await.map(drop)
    }

    /// Uid of the vantage's pod, which is made unless it is there.
    async fn uid(&self, vantage: Vantage) -> Result<&str, ProbeError> {
        let (cell, manifest) = match vantage {
            Vantage::Outside => return Ok(""),
            Vantage::Plain => (&self.plain, PLAIN),
            Vantage::Mesh => (&self.mesh, MESH),
        };
        // On the heap: every request from a pod would carry the making of it along.
        cell.get_or_try_init(|| Box::pin(self.make(vantage, manifest))).await.map(String::as_str)
    }

    /// Makes sure that the pod is what requests from it are taken for, and, if its uid is known, still the same. Its uid.
    async fn checked(
        &self,
        vantage: Vantage,
        namespace: &str,
        known: Option<&str>,
    ) -> Result<String, ProbeError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let name = format!("{namespace}/{POD}");
        let pod = pods.get(POD).await;
        let pod = pod.map_err(|error| ProbeError::kubernetes(format!("looking at pod {name}"), error))?;
        let uid = pod.uid().unwrap_or_default();
        let another = known.is_some_and(|known| known != uid);
        match another
            .then_some("it is another one than at the beginning")
            .or_else(|| member::against(vantage, &pod))
        {
            Some(why) => Err(ProbeError::NoControl { vantage, pod: name, why }),
            None => Ok(uid),
        }
    }

    /// Sends one request from a vantage pod.
    ///
    /// # Errors
    /// When the pod cannot be made or asked.
    pub async fn send(&self, vantage: Vantage, ask: &Ask) -> Result<Answer, ProbeError> {
        let Some(namespace) = vantage.namespace() else {
            return Err(ProbeError::Url { url: ask.url.clone(), reason: "`outside` is not a pod".into() });
        };
        let uid = self.uid(vantage).await?;
        let command = command_line(ask);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let limit = ask.timeout + EXEC_OVERHEAD;
        let output = exec::run(&self.client, namespace, POD, POD, &command, limit).await?;
        let pod = format!("{namespace}/{POD}");
        match parse(vantage, &output.stdout) {
            Ok(answer) => {
                self.checked(vantage, namespace, Some(uid)).await?;
                Ok(answer)
            }
            // An exit code without a JSON line: the program itself failed (bad arguments, say).
            Err(_) if output.failure.is_some() && output.stdout.trim().is_empty() => Err(ExecError {
                doing: "sending a request from a vantage pod".into(),
                command: command.join(" "),
                pod,
                reason: format!("{}; {}", output.failure.unwrap_or_default(), output.stderr.trim()),
            }
            .into()),
            Err(reason) => {
                let printed = output.stdout.lines().next().unwrap_or_default().to_string();
                Err(ProbeError::Output { pod, reason, printed })
            }
        }
    }

    /// Removes the namespaces of the vantages, and waits until they are gone.
    ///
    /// # Errors
    /// When the API server refuses, or a namespace does not go.
    pub async fn remove(&self) -> Result<(), ProbeError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        for name in [Vantage::Plain, Vantage::Mesh].into_iter().filter_map(Vantage::namespace) {
            let doing = || format!("deleting namespace {name}");
            let existing = namespaces.get_opt(name).await;
            let existing = existing.map_err(|error| ProbeError::kubernetes(doing(), error))?;
            // One that no run has made is not ours to remove, whatever it is called.
            let existing = existing.filter(|namespace| owner::run_of(&namespace.metadata).is_some());
            let Some(uid) = existing.and_then(|namespace| namespace.uid()) else { continue };
            let strangers = owner::strangers(&self.client, name).await;
            let strangers = strangers.map_err(|error| ProbeError::Left { what: error.to_string() })?;
            if !strangers.is_empty() {
                return Err(ProbeError::Left { what: owner::holds(name, &strangers) });
            }
            let same = Preconditions { uid: Some(uid.clone()), resource_version: None };
            match namespaces.delete(name, &DeleteParams::background().preconditions(same)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => continue,
                Err(error) => return Err(ProbeError::kubernetes(doing(), error)),
            }
            let gone = await_condition(namespaces.clone(), name, conditions::is_deleted(&uid));
            self.within(gone, || format!("deletion of namespace {name}")).await?;
        }
        Ok(())
    }

    async fn make(&self, vantage: Vantage, manifest: &str) -> Result<String, ProbeError> {
        let (mut namespace, mut pod) = objects(manifest, &self.image)
            .map_err(|reason| ProbeError::Url { url: format!("manifest of vantage {vantage}"), reason })?;
        namespace.labels_mut().insert(owner::LABEL.to_owned(), self.run.clone());
        pod.labels_mut().insert(owner::LABEL.to_owned(), self.run.clone());
        let name = namespace.name_any();
        self.make_namespace(&namespace).await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &name);
        let existing = pods
            .get_opt(POD)
            .await
            .map_err(|error| ProbeError::kubernetes(format!("reading pod {name}/{POD}"), error))?;
        if let Some(existing) = existing.filter(|existing| !same_image(existing, &self.image)) {
            self.delete_pod(&pods, &existing).await?;
        }
        match pods.create(&PostParams::default(), &pod).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            Err(error) => return Err(ProbeError::kubernetes(format!("creating pod {name}/{POD}"), error)),
        }
        self.wait_ready(&pods, &name).await?;
        self.checked(vantage, &name, None).await
    }

    /// Creates the namespace; one that an earlier run is still deleting is waited for first.
    async fn make_namespace(&self, namespace: &Namespace) -> Result<(), ProbeError> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let name = namespace.name_any();
        let doing = || format!("creating namespace {name}");
        loop {
            match namespaces.create(&PostParams::default(), namespace).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
                Err(error) => return Err(ProbeError::kubernetes(doing(), error)),
            }
            let existing =
                namespaces.get_opt(&name).await.map_err(|error| ProbeError::kubernetes(doing(), error))?;
            match existing {
                Some(existing) if existing.metadata.deletion_timestamp.is_some() => {
                    let uid = existing.uid().unwrap_or_default();
                    let gone = await_condition(namespaces.clone(), &name, conditions::is_deleted(&uid));
                    self.within(gone, || format!("deletion of namespace {name}")).await?;
                }
                Some(_) => return Ok(()),
                None => {}
            }
        }
    }

    async fn delete_pod(&self, pods: &Api<Pod>, pod: &Pod) -> Result<(), ProbeError> {
        let doing = || "replacing a vantage pod of another image".to_string();
        match pods.delete(POD, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(ProbeError::kubernetes(doing(), error)),
        }
        let uid = pod.uid().unwrap_or_default();
        let gone = await_condition(pods.clone(), POD, conditions::is_deleted(&uid));
        self.within(gone, || "deletion of a vantage pod".into()).await
    }

    async fn wait_ready(&self, pods: &Api<Pod>, namespace: &str) -> Result<(), ProbeError> {
        let ready = |pod: Option<&Pod>| pod.is_some_and(pod_is_ready);
        let waiting = await_condition(pods.clone(), POD, ready);
        match tokio::time::timeout(READY_WITHIN, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(ProbeError::NotReady {
                what: format!("vantage pod {namespace}/{POD}"),
                waited: READY_WITHIN,
                seen: format!("watching it failed: {error}"),
                hint: "is the API server reachable?".into(),
            }),
            Err(_) => {
                let seen = match pods.get_opt(POD).await {
                    Ok(Some(pod)) => state(&pod),
                    Ok(None) => "the pod does not exist".into(),
                    Err(error) => error.to_string(),
                };
                Err(ProbeError::NotReady {
                    what: format!("vantage pod {namespace}/{POD}"),
                    waited: READY_WITHIN,
                    seen,
                    hint: format!("`kubectl -n {namespace} describe pod {POD}` says why"),
                })
            }
        }
    }

    async fn within<T, E: std::fmt::Display>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        what: impl Fn() -> String,
    ) -> Result<(), ProbeError> {
        let seen = match tokio::time::timeout(READY_WITHIN, work).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "still there".to_string(),
        };
        let hint = "finalizers that nobody removes show in its metadata".to_string();
        Err(ProbeError::NotReady { what: what(), waited: READY_WITHIN, seen, hint })
    }
}

/// The two objects of a vantage's manifest, with the image filled in.
fn objects(manifest: &str, image: &str) -> Result<(Namespace, Pod), String> {
    let documents: Vec<serde_json::Value> =
        yaml::documents(&manifest.replace("ECHO_IMAGE", image)).map_err(|error| error.to_string())?;
    let [namespace, pod] = <[serde_json::Value; 2]>::try_from(documents)
        .map_err(|all| format!("{} documents where a Namespace and a Pod were expected", all.len()))?;
    let namespace = serde_json::from_value(namespace).map_err(|error| format!("Namespace: {error}"))?;
    let pod = serde_json::from_value(pod).map_err(|error| format!("Pod: {error}"))?;
    Ok((namespace, pod))
}

fn same_image(pod: &Pod, image: &str) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.spec.as_ref().is_some_and(|spec| {
            spec.containers.iter().any(|c| c.name == POD && c.image.as_deref() == Some(image))
        })
}

/// What holds a pod up, in one line.
fn state(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "no status".into() };
    let phase = status.phase.as_deref().unwrap_or("unknown phase");
    let waiting = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten()
        .filter_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            Some(format!("{}: {}", container.name, waiting.reason.as_deref().unwrap_or("waiting")))
        })
        .collect::<Vec<_>>();
    format!("{phase} {}", waiting.join(", ")).trim().to_string()
}

/// `/echo probe …` for a request.
fn command_line(ask: &Ask) -> Vec<String> {
    let mut command = vec!["/echo".to_string(), "probe".into(), "--url".into(), ask.url.clone()];
    if ask.method != "GET" {
        command.extend(["--method".into(), ask.method.clone()]);
    }
    if let Some(address) = ask.connect_to {
        command.extend(["--resolve-to".into(), address.to_string()]);
    }
    command.extend(["--timeout-ms".into(), ask.timeout.as_millis().to_string()]);
    for (name, value) in &ask.headers {
        command.extend(["--header".into(), format!("{name}:{value}")]);
    }
    command
}

/// The line `/echo probe` prints.
#[derive(Deserialize)]
struct Line {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    #[serde(default)]
    body: Option<String>,
    error: Option<Failure>,
    #[serde(default)]
    duration_ms: f64,
    #[serde(default)]
    peer: Option<String>,
}

fn parse(vantage: Vantage, printed: &str) -> Result<Answer, String> {
    let line: Line = serde_json::from_str(printed.trim()).map_err(|error| error.to_string())?;
    if line.status.is_none() && line.error.is_none() {
        return Err("it holds neither a status nor an error".into());
    }
    let mut body = line.body.unwrap_or_default();
    if body.len() > MAX_BODY {
        let end = (0..=MAX_BODY).rev().find(|at| body.is_char_boundary(*at)).unwrap_or_default();
        body.truncate(end);
    }
    let headers = line
        .headers
        .into_iter()
        .map(|(name, values)| {
            let value = match values {
                Values::One(value) => value,
                Values::Many(values) => values.join(", "),
            };
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    Ok(Answer {
        sent_as: None,
        vantage,
        status: line.status,
        headers,
        echo: Echo::parse(&body),
        body,
        failure: line.error,
        duration: Duration::try_from_secs_f64(line.duration_ms / 1000.0).unwrap_or_default(),
        peer: line.peer.and_then(|peer| peer.parse::<SocketAddr>().ok()),
        certificate: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_run::probe::FailureKind;

    #[test]
    fn the_manifests_hold_a_namespace_and_a_pod_of_the_image() {
        for (manifest, vantage) in [(PLAIN, Vantage::Plain), (MESH, Vantage::Mesh)] {
            let (namespace, pod) = objects(manifest, "registry/echo:tag").unwrap();
            assert_eq!(Some(namespace.name_any().as_str()), vantage.namespace());
            assert_eq!(pod.namespace(), Some(namespace.name_any()));
            assert!(same_image(&pod, "registry/echo:tag"));
            assert!(!same_image(&pod, "registry/echo:other"));
            let label = namespace.labels().get("istio-injection").map(String::as_str);
            assert_eq!(label, (vantage == Vantage::Mesh).then_some("enabled"));
        }
    }

    #[test]
    fn the_command_line_says_everything_asked() {
        let ask = Ask::get("http://fe.example/a")
            .connecting_to("10.244.0.9:3000".parse().unwrap())
            .header("x-request-id", "id-1")
            .within(Duration::from_secs(2));
        assert_eq!(
            command_line(&ask).join(" "),
            "/echo probe --url http://fe.example/a --resolve-to 10.244.0.9:3000 --timeout-ms 2000 --header x-request-id:id-1"
        );
    }

    #[test]
    fn a_reset_is_an_answer_without_status() {
        let answer =
            parse(Vantage::Plain, r#"{"status":null,"error":{"kind":"reset","message":"connection reset by peer"},"duration_ms":1.5}"#)
                .unwrap();
        assert_eq!(answer.failure.unwrap().kind, FailureKind::Reset);
        assert_eq!(answer.duration, Duration::from_micros(1500));
    }

    #[test]
    fn an_answer_keeps_headers_body_and_peer() {
        let printed = r#"{"status":200,"headers":{"Content-Type":["application/json"]},"body":"{\"pod\":\"backend-v1-5d9c7b6f4-x2x7f\"}","error":null,"duration_ms":2,"local":"10.244.0.7:4242","peer":"10.244.0.9:3000"}"#;
        let answer = parse(Vantage::Plain, printed).unwrap();
        assert!(answer.is_from("backend-v1"));
        assert_eq!(answer.headers.get("content-type").map(String::as_str), Some("application/json"));
        assert_eq!(answer.peer, Some("10.244.0.9:3000".parse().unwrap()));
    }

    #[test]
    fn a_kind_of_failure_not_known_here_is_other() {
        let answer = parse(Vantage::Plain, r#"{"error":{"kind":"quantum","message":"?"}}"#).unwrap();
        assert_eq!(answer.failure.unwrap().kind, FailureKind::Other);
    }

    #[test]
    fn neither_status_nor_error_is_not_an_answer() {
        assert!(parse(Vantage::Plain, "{}").is_err());
        assert!(parse(Vantage::Plain, "usage: echo").is_err());
    }
}
