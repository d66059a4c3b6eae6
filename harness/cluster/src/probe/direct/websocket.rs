//! A WebSocket (RFC 6455): the connection is upgraded, one message goes there and one comes back.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::body::{Read, joined, whole};
use super::classify::Broken;
use super::{Place, Stream, account, request, with};
use meshproof_run::probe::Ask;

/// Upgrades a connection, sends a message and waits for one. An answer that is no upgrade is read as any other.
pub(super) async fn exchange(
    ask: &Ask,
    place: &Place,
    stream: Box<dyn Stream>,
    message: &str,
) -> Result<Read, Broken> {
    let key = generate_key();
    let headers = with(
        ask,
        &[
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, key.as_str()),
        ],
    );
    let mut response = request(ask, place, stream, (headers, Bytes::new())).await?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return whole(response).await;
    }
    let mut read = Read {
        status: response.status().as_u16(),
        headers: joined(response.headers()),
        body: String::new(),
        broken: None,
        account: account(response.headers()),
    };
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
        read.broken =
            Some(Broken::other("the upgrade was not accepted: sec-websocket-accept does not fit the key"));
        return Ok(read);
    }
    match hyper::upgrade::on(&mut response).await {
        Ok(upgraded) => {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
            match echo(socket, message).await {
                Ok(came_back) => read.body = came_back,
                Err(broken) => read.broken = Some(broken),
            }
        }
        Err(error) => read.broken = Some(Broken::of("taking over the connection", &error)),
    }
    Ok(read)
}

/// Sends a message; the one that comes back.
async fn echo<S>(mut socket: WebSocketStream<S>, message: &str) -> Result<String, Broken>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let sent = socket.send(Message::text(message)).await;
    sent.map_err(|error| Broken::of("sending a message", &error))?;
    while let Some(next) = socket.next().await {
        match next.map_err(|error| Broken::of("waiting for a message", &error))? {
            Message::Text(text) => {
                // That it came is what counts.
                let _ = socket.close(None).await;
                return Ok(text.as_str().to_owned());
            }
            Message::Binary(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(_) => break,
        }
    }
    Err(Broken::reset("the WebSocket was closed before a message came"))
}
