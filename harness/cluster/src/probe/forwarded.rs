//! Questions to a port of a pod that is forwarded for them: the pod sees them come from its own loopback, and the API server
//! asks whether we may.

use std::error::Error;

use bytes::Bytes;
use futures::FutureExt;
use http::StatusCode;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

/// Answers are read up to this many bytes: a config dump of a small mesh has one or two MB.
const LIMIT: usize = 16 * 1024 * 1024;

/// GETs `/<question>` at a port of a pod, and returns status and body.
///
/// # Errors
/// The API server refuses, or nobody listens there.
pub(crate) async fn get(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    question: &str,
) -> Result<(StatusCode, String), Box<dyn Error + Send + Sync>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut forwarded = pods.portforward(pod, &[port]).await?;
    let stream = forwarded.take_stream(port).ok_or("the port was not forwarded")?;
    let refused = forwarded.take_error(port);
    let asked = async {
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends with the stream, and that with the forwarding.
        tokio::spawn(connection);
        let request = http::Request::get(format!("/{question}"))
            .header(HOST, format!("localhost:{port}"))
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LIMIT).collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let answer = asked.await;
    match (answer, refused) {
        // The kubelet's words, which come first, say more than a connection that ended.
        (Err(error), Some(refused)) => Err(refused.now_or_never().flatten().map_or(error, Into::into)),
        (answer, _) => answer,
    }
}
