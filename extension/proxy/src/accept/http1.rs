//! HTTP/1 connections.

use super::refused;
use crate::client::Client;
use crate::error::{Reason, chain};
use crate::pipeline::Pipeline;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves a connection until its end, or until its port is gone and what is in flight has ended.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: &Client,
    pipeline: &Arc<Pipeline>,
) -> hyper::Result<()> {
    let settings = &pipeline.settings;
    let service = service_fn(|request: Request<Incoming>| {
        let (pipeline, client) = (pipeline.clone(), client.clone());
        async move { Ok::<_, Infallible>(pipeline.handle(client, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.client_idle_timeout)
        .max_buf_size(settings.max_header_bytes);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let late = || {
        let detail = format!("the request's header was not complete within {:?}", settings.header_timeout);
        refused(client, pipeline, Reason::RequestTimeout.status().as_u16(), Reason::RequestTimeout, detail);
    };
    let mut header_is_late = pin!(client.activity.header_is_late(settings.header_timeout));
    tokio::select! {
        result = connection.as_mut() => return result,
        () = header_is_late.as_mut() => {
            late();
            return Ok(());
        }
        // An idle connection is closed, one that serves a request afterwards.
        () = client.place.stop.cancelled() => {}
        () = client.place.permit.in_the_way() => {
            // Whoever sends its header a byte at a time is not told to finish it first.
            if client.activity.has_begun() {
                late();
                return Ok(());
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection.as_mut() => result,
        () = header_is_late => {
            late();
            Ok(())
        }
    }
}

/// Logs and counts a request that hyper has refused itself, before anybody could handle it, and closed the connection:
/// with 400 what is malformed, with 431 a header that is too large, and without an answer one that was begun and not sent to
/// its end in time. An idle connection that is closed is no request.
pub(super) fn report_refusal(client: &Client, pipeline: &Pipeline, error: &hyper::Error) {
    let (status, reason) = if error.is_parse_too_large() {
        (431, Reason::BadRequest)
    } else if error.is_parse() {
        (Reason::BadRequest.status().as_u16(), Reason::BadRequest)
    } else if error.is_timeout() && client.activity.has_begun() {
        (Reason::RequestTimeout.status().as_u16(), Reason::RequestTimeout)
    } else {
        return;
    };
    refused(client, pipeline, status, reason, chain(error));
}
