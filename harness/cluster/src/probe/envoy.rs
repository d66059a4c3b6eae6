//! Questions to the admin interface of a pod's Envoy.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use super::ProbeError;

/// Where Istio has its Envoys listen, on the pod's loopback.
const PORT: u16 = 15000;
/// Answers are read up to this many bytes: a config dump of a small mesh has one or two MB.
const LIMIT: usize = 16 * 1024 * 1024;

/// Asks the Envoy of a pod (`config_dump`, say) by a port that is forwarded for it. Istio's `pilot-agent request` would be
/// another way, but takes a third of a second of the pod's CPU to start.
///
/// # Errors
/// The API server refuses, there is no such Envoy, it answers anything but 200, or not within `timeout`.
pub async fn ask(
    client: &Client,
    namespace: &str,
    pod: &str,
    question: &str,
    timeout: Duration,
) -> Result<String, ProbeError> {
    let failed = |reason: String| ProbeError::Envoy {
        question: question.to_owned(),
        pod: format!("{namespace}/{pod}"),
        reason,
    };
    match tokio::time::timeout(timeout, answer(client, namespace, pod, question)).await {
        Ok(answer) => answer.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {timeout:?}"))),
    }
}

async fn answer(
    client: &Client,
    namespace: &str,
    pod: &str,
    question: &str,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut forwarded = pods.portforward(pod, &[PORT]).await?;
    let stream = forwarded.take_stream(PORT).ok_or("the port was not forwarded")?;
    let refused = forwarded.take_error(PORT);
    let asked = async {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the stream, and that with the forwarding.
        tokio::spawn(connection);
        let request = http::Request::get(format!("/{question}"))
            .header(HOST, format!("localhost:{PORT}"))
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        match status.is_success() {
            true => Ok(text),
            false => Err(format!("{status}: {}", text.trim()).into()),
        }
    };
    let answer = asked.await;
    match (answer, refused) {
        // The kubelet's words, which come first, say more than a connection that ended.
        (Err(error), Some(refused)) => Err(refused.now_or_never().flatten().map_or(error, Into::into)),
        (answer, _) => answer,
    }
}
