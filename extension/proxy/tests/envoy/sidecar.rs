//! The container with Envoy in it.

use crate::chains::{Mode, PortKind, bootstrap, port_number};
use crate::support::Issued;
use meshproof_lab::cache::Cache;
use meshproof_lab::engine::ensure_engine;
use meshproof_lab::supply::{SupplyOptions, Wanted, prepare};
use meshproof_model::progress::Silent;
use std::net::{SocketAddr, ToSocketAddrs};
use testcontainers::core::{ContainerPort, Mount, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};

/// A glibc image that the engine has, and an Envoy on this host: told to the second run of a test.
const IMAGE: &str = "ALB_PROXY_TEST_IMAGE";
const ENVOY: &str = "ALB_PROXY_TEST_ENVOY";

/// Whether this process was started with the engine in its environment.
pub(crate) fn in_engine() -> bool {
    std::env::var_os(IMAGE).is_some()
}

/// Runs this test again, in a process that testcontainers finds the engine from: it reads `DOCKER_HOST`, and a
/// process with threads must not change its own environment.
pub(crate) async fn again_in_engine(test: &str) {
    let cache = Cache::open_default().expect("opening the cache");
    let engine = ensure_engine(&cache, &Silent).await.expect("a Docker Engine");
    let options = SupplyOptions { images: Wanted::none(), ..SupplyOptions::default() };
    let artifacts = prepare(&cache, &engine, &options, &Silent).await.expect("an Envoy and a node image");
    let test = test.to_owned();
    let status = tokio::task::spawn_blocking(move || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .envs(engine.env())
            .env(IMAGE, artifacts.node_image)
            .env(ENVOY, artifacts.envoy)
            .status()
    });
    let status = status.await.unwrap().expect("running the test again");
    assert!(status.success(), "see the output above: {status}");
}

pub(crate) struct Sidecar {
    container: ContainerAsync<GenericImage>,
}

impl Sidecar {
    /// Starts an Envoy that shows `issued` and trusts `roots`; removed when dropped.
    pub(crate) async fn start(issued: &Issued, roots: &str) -> Self {
        let (image, envoy) = (std::env::var(IMAGE).unwrap(), std::env::var(ENVOY).unwrap());
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let mut envoy_image = GenericImage::new(name, tag)
            .with_entrypoint("/envoy")
            .with_wait_for(WaitFor::message_on_stderr("starting main dispatch loop"));
        for mode in Mode::ALL {
            for port in PortKind::ALL {
                envoy_image = envoy_image.with_exposed_port(ContainerPort::Tcp(port_number(mode, port)));
            }
        }
        let config = bootstrap(&issued.chain, &issued.key, roots).to_string();
        let container = envoy_image
            .with_cmd(["--config-path", "/envoy.json", "--concurrency", "1", "--log-level", "info"])
            .with_mount(Mount::bind_mount(envoy, "/envoy"))
            .with_copy_to("/envoy.json", config.into_bytes())
            .start()
            .await
            .expect("starting Envoy");
        Self { container }
    }

    /// Where the sidecar listens for a combination.
    pub(crate) async fn address(&self, mode: Mode, port: PortKind) -> SocketAddr {
        let host = self.container.get_host().await.expect("the engine's host").to_string();
        let port = self.container.get_host_port_ipv4(port_number(mode, port)).await.expect("a mapped port");
        (host, port).to_socket_addrs().unwrap().find(SocketAddr::is_ipv4).expect("an IPv4 address")
    }
}
