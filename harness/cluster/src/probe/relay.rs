//! A port of this host whose connections lead to a port of one pod, whatever its network: the API server forwards each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The port. Closed, with all connections, when it is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on loopback for connections to a port of a pod. Whether somebody is there shows with each of them.
    ///
    /// # Errors
    /// This host gives no port.
    pub(crate) async fn to(client: Client, namespace: &str, pod: &str, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let pod = pod.to_owned();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(forward(pods.clone(), pod.clone(), port, stream));
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. Where it cannot lead on it ends, as it would with nobody at the port.
async fn forward(pods: Api<Pod>, pod: String, port: u16, mut stream: TcpStream) {
    let led = async {
        let _ = stream.set_nodelay(true);
        let mut forwarded = pods.portforward(&pod, &[port]).await?;
        let mut led = forwarded.take_stream(port).ok_or("the port was not forwarded")?;
        copy_bidirectional(&mut stream, &mut led).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    if let Err(error) = led.await {
        tracing::debug!(pod, port, %error, "a connection to one pod ended");
    }
}
