//! WebSockets on their way through (RFC 6455): bytes pass as they come. Only the ends of frames are known, so that both sides
//! can be told that the gateway goes away.

mod frames;

use crate::account::Account;
use crate::client::Client;
use crate::ending::Ending;
use crate::error::Reason;
use crate::idle::Since;
use crate::settings::Settings;
use frames::Frames;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at a time.
const BUFFER: usize = 8 * 1024;
/// "Going away" (RFC 6455 section 7.4.1), unmasked as a server sends it.
const CLOSE_TO_CLIENT: [u8; 4] = [0x88, 2, 0x03, 0xe9];
/// The same, masked as a client sends it.
const CLOSE_TO_POD: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];

/// A WebSocket that both sides have agreed on.
pub(crate) struct Tunnel {
    client_side: OnUpgrade,
    pod_side: OnUpgrade,
    account: Account,
    client: Client,
    settings: Arc<Settings>,
    closing: CancellationToken,
    abort: CancellationToken,
}

/// What moves in either direction.
#[derive(Debug, Default)]
struct Traffic {
    to_pod: AtomicU64,
    to_client: AtomicU64,
    /// Since the last byte.
    silence: Since,
}

impl Tunnel {
    pub(crate) fn new(
        client_side: OnUpgrade,
        pod_side: OnUpgrade,
        account: Account,
        client: Client,
        settings: Arc<Settings>,
        ending: &Ending,
    ) -> Self {
        let (closing, abort) = (ending.closing.clone(), ending.abort.clone());
        Self { client_side, pod_side, account, client, settings, closing, abort }
    }

    /// Runs until either side closes it, nothing has moved for long, or the gateway goes away.
    pub(crate) async fn run(mut self) {
        let traffic = Traffic::default();
        traffic.silence.begin();
        let told = CancellationToken::new();
        let result = tokio::select! {
            result = self.pass(&traffic, &told) => result,
            () = self.end_is_near(&told) => Ok(()),
            () = traffic.silence.lasted(self.settings.tunnel_idle_timeout) => {
                let limit = self.settings.tunnel_idle_timeout;
                Err((Reason::UpstreamTimeout, format!("no byte of the WebSocket for {limit:?}")))
            }
            () = self.abort.cancelled() => Err((Reason::ShuttingDown, "the WebSocket was cut off".to_owned())),
        };
        self.account.received(traffic.to_pod.load(Ordering::Relaxed));
        self.account.sent(usize::try_from(traffic.to_client.load(Ordering::Relaxed)).unwrap_or(usize::MAX));
        match result {
            Ok(()) if told.is_cancelled() => {
                self.account.fail(Reason::ShuttingDown, "the WebSocket was closed with 1001".to_owned());
            }
            Ok(()) => self.account.complete(),
            Err((reason, detail)) => self.account.fail(reason, detail),
        }
    }

    /// Waits until the gateway goes away, says so, and waits for those who are told to close.
    async fn end_is_near(&self, told: &CancellationToken) {
        let port_is_gone = async {
            self.client.place.stop.cancelled().await;
            tokio::time::sleep(self.settings.tunnel_drain).await;
        };
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = port_is_gone => {}
        }
        told.cancel();
        tokio::time::sleep(self.settings.linger).await;
    }

    async fn pass(&self, traffic: &Traffic, told: &CancellationToken) -> Result<(), (Reason, String)> {
        let client = self.client_side.clone().await;
        let client =
            client.map_err(|error| (Reason::ClientClosed, format!("switching protocols: {error}")))?;
        let pod = self.pod_side.clone().await;
        let pod = pod.map_err(|error| (Reason::UpstreamReset, format!("switching protocols: {error}")))?;
        let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
        let (mut from_pod, mut to_pod) = tokio::io::split(TokioIo::new(pod));
        let up = copy(&mut from_client, &mut to_pod, &CLOSE_TO_POD, told, &traffic.to_pod, &traffic.silence);
        let down =
            copy(&mut from_pod, &mut to_client, &CLOSE_TO_CLIENT, told, &traffic.to_client, &traffic.silence);
        tokio::pin!(up, down);
        // The end of one direction is the end of both, after a moment for what is on its way.
        let linger = self.settings.linger;
        let (first, reason) = tokio::select! {
            end = &mut up => {
                let _ = tokio::time::timeout(linger, &mut down).await;
                (end, Reason::ClientClosed)
            }
            end = &mut down => {
                let _ = tokio::time::timeout(linger, &mut up).await;
                (end, Reason::UpstreamReset)
            }
        };
        first.map_err(|error| (reason, format!("the WebSocket broke: {error}")))
    }
}

/// Passes one direction on until its sender closes it. Once it is `told` to, it tells the receiver to close, and passes nothing
/// more.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    close: &[u8],
    told: &CancellationToken,
    bytes: &AtomicU64,
    silence: &Since,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut frames = Frames::default();
    loop {
        let count = tokio::select! {
            biased;
            () = told.cancelled(), if frames.is_between() => {
                to.write_all(close).await?;
                to.flush().await?;
                // Its sender may have something to say to the other's close, and nobody to say it to.
                tokio::io::copy(from, &mut tokio::io::sink()).await?;
                return Ok(());
            }
            count = from.read(&mut buffer) => count?,
        };
        silence.begin();
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            return to.shutdown().await;
        };
        frames.pass(read);
        bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
        to.write_all(read).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_told_in_the_middle_of_a_frame() {
        let (mut sender, mut from) = tokio::io::duplex(64);
        let (mut to, mut receiver) = tokio::io::duplex(64);
        let told = CancellationToken::new();
        let token = told.clone();
        let copying = tokio::spawn(async move {
            copy(&mut from, &mut to, &CLOSE_TO_CLIENT, &token, &AtomicU64::new(0), &Since::default()).await
        });
        let mut seen = [0; 6];
        sender.write_all(&[0x82, 4, 1, 2]).await.unwrap();
        receiver.read_exact(&mut seen[..4]).await.unwrap();
        told.cancel();
        sender.write_all(&[3, 4]).await.unwrap();
        receiver.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, [3, 4, 0x88, 2, 0x03, 0xe9]);
        drop(sender);
        copying.await.unwrap().unwrap();
    }
}
