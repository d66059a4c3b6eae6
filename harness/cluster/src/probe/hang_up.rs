//! Half a request, then the client is gone.
//!
//! A gateway keeps its connections to pods open, and a sidecar writes about a connection when it closes.
//! A request whose body never comes in full makes the gateway close the connection that carried it: from
//! outside, without touching the gateway, the mesh or the pod.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{ProbeError, route};

/// Body bytes announced and sent.
const ANNOUNCED: usize = 4096;
const SENT: &str = "half of it";

/// How long the other side may take for what it says to half a request (usually nothing).
const PATIENCE: Duration = Duration::from_millis(300);

/// Sends the beginning of a request to `address` and hangs up.
///
/// # Errors
/// When the address must not be asked from here, or does not take the connection.
pub(super) async fn hang_up(
    address: SocketAddr,
    host: &str,
    path: &str,
    local_only: bool,
) -> Result<(), ProbeError> {
    if local_only && !route::is_local(address.ip()) {
        return Err(ProbeError::NotLocal { address });
    }
    let sending = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(beginning(host, path).as_bytes()).await?;
        // Time for the gateway to pass on what it has: until it answers or closes, or patience ends.
        let mut answer = [0; 1024];
        let _ = timeout(PATIENCE, stream.read(&mut answer)).await;
        Ok::<_, io::Error>(())
    };
    let url = || format!("http://{host}{path}");
    match timeout(Duration::from_secs(5), sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ProbeError::Url { url: url(), reason: format!("at {address}: {error}") }),
        Err(_) => Err(ProbeError::Url { url: url(), reason: format!("{address} did not take it in time") }),
    }
}

fn beginning(host: &str, path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: text/plain\r\n\
         Content-Length: {ANNOUNCED}\r\n\r\n{SENT}"
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_body_is_shorter_than_announced_when_the_client_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        });
        hang_up(address, "fe.example", "/", true).await.unwrap();
        let text = server.await.unwrap();
        assert!(text.starts_with("POST / HTTP/1.1\r\nHost: fe.example\r\n"), "{text}");
        assert!(text.split_once("\r\n\r\n").unwrap().1.len() < ANNOUNCED);
    }
}
