//! The protocol over real TLS on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed helper is a failed test

use alb_config::client::{ClientOptions, ConnectionState, Rejection, Store, run};
use alb_config::proto::{Frontend, Node};
use alb_config::server::{Authenticate, Caller, Hub, Refusal, ResourceState, serve};
use alb_config::{Kind, Snapshot, version_of};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const BALANCER: &str = "alb-test-infra/alb-test";

struct Token(&'static str);

#[tonic::async_trait]
impl Authenticate for Token {
    async fn authenticate(&self, token: &str) -> Result<Caller, Refusal> {
        match token == self.0 {
            true => Ok(Caller { pod: "proxy-0".into(), load_balancer: BALANCER.into() }),
            false => Err(Refusal::Denied("wrong token".into())),
        }
    }
}

/// A controller replica, and the files a proxy needs to connect to it.
struct Replica {
    hub: Hub,
    options: ClientOptions,
    _files: tempfile::TempDir,
    stop: CancellationToken,
}

impl Replica {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (_, tls) = watch::channel(Some(Arc::new(tls)));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (hub, stop) = (Hub::new(), CancellationToken::new());
        tokio::spawn({
            let (hub, stop) = (hub.clone(), stop.clone());
            async move { serve(listener, tls, &hub, Arc::new(Token("good")), stop).await.unwrap() }
        });

        let files = tempfile::tempdir().unwrap();
        let (ca_file, token_file) = (files.path().join("ca.crt"), files.path().join("token"));
        std::fs::write(&ca_file, cert.pem()).unwrap();
        std::fs::write(&token_file, "good\n").unwrap();
        let node = Node {
            id: "proxy-0".into(),
            load_balancer: BALANCER.into(),
            version: "test".into(),
            ..Node::default()
        };
        let options = ClientOptions { url, ca_file: Some(ca_file), token_file: Some(token_file), node };
        Self { hub, options, _files: files, stop }
    }

    /// A proxy connected to this replica: its connection state, and the names it holds.
    fn proxy(&self) -> (watch::Receiver<ConnectionState>, watch::Receiver<Vec<String>>) {
        self.proxy_that_refuses(None)
    }

    /// The same, but it takes no resource with this content.
    fn proxy_that_refuses(
        &self,
        bad: Option<Kind>,
    ) -> (watch::Receiver<ConnectionState>, watch::Receiver<Vec<String>>) {
        let (state, state_rx) = watch::channel(ConnectionState::default());
        let (names, names_rx) = watch::channel(Vec::new());
        let (options, stop) = (self.options.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut store = Store::default();
            let apply = |resources: &alb_config::client::Resources| {
                let refused: Vec<String> = resources
                    .values()
                    .filter(|resource| bad.is_some() && resource.kind == bad)
                    .map(|resource| resource.name.clone())
                    .collect();
                if !refused.is_empty() {
                    return Err(Rejection { message: "not this".into(), resources: refused });
                }
                let mut all: Vec<String> = resources.keys().map(ToString::to_string).collect();
                all.sort();
                names.send_replace(all);
                Ok(())
            };
            run(options, &mut store, apply, &state, stop).await;
        });
        (state_rx, names_rx)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn kind(fqdn: &str) -> Kind {
    Kind::Frontend(Frontend { fqdn: fqdn.into(), ..Frontend::default() })
}

async fn until<T>(receiver: &mut watch::Receiver<T>, what: &str, done: impl FnMut(&T) -> bool) {
    tokio::time::timeout(Duration::from_secs(10), receiver.wait_for(done)).await.expect(what).expect(what);
}

#[tokio::test]
async fn a_published_resource_reaches_the_proxy_and_its_acknowledgement_comes_back() {
    let replica = Replica::start().await;
    replica.hub.set_serving(true);
    let mut acks = replica.hub.acks();
    let version = version_of(&kind("a"));
    assert_eq!(acks.borrow().resource(BALANCER, "frontend/a", &version), ResourceState::NoProxy);

    let (_, mut names) = replica.proxy();
    replica.hub.publish(BALANCER, Snapshot::new([("frontend/a".into(), kind("a"))]));
    until(&mut names, "the resource arrives", |names| names == &["frontend/a"]).await;
    until(&mut acks, "it is acknowledged", |acks| {
        acks.resource(BALANCER, "frontend/a", &version) == ResourceState::Programmed
    })
    .await;

    let empty = Snapshot::default();
    replica.hub.publish(BALANCER, empty.clone());
    until(&mut names, "the removal arrives", Vec::is_empty).await;
    until(&mut acks, "it is acknowledged", |acks| {
        acks.snapshot(BALANCER, &empty) == ResourceState::Programmed
    })
    .await;
}

#[tokio::test]
async fn a_refused_change_that_is_taken_back_is_programmed_although_nothing_is_sent() {
    let replica = Replica::start().await;
    replica.hub.set_serving(true);
    let mut acks = replica.hub.acks();
    let _proxy = replica.proxy_that_refuses(Some(kind("bad")));
    let publish = |a: &str, b: &str| {
        let resources = [("frontend/a".into(), kind(a)), ("frontend/b".into(), kind(b))];
        replica.hub.publish(BALANCER, Snapshot::new(resources));
    };
    let (good, bad, new) = (version_of(&kind("good")), version_of(&kind("bad")), version_of(&kind("new")));

    publish("good", "old");
    until(&mut acks, "all is acknowledged", |acks| {
        acks.resource(BALANCER, "frontend/a", &good) == ResourceState::Programmed
    })
    .await;
    publish("bad", "new");
    until(&mut acks, "one change is refused, the other is acknowledged", |acks| {
        matches!(acks.resource(BALANCER, "frontend/a", &bad), ResourceState::Rejected { .. })
            && acks.resource(BALANCER, "frontend/b", &new) == ResourceState::Programmed
    })
    .await;
    publish("good", "new");
    until(&mut acks, "what it holds anyway counts", |acks| {
        acks.resource(BALANCER, "frontend/a", &good) == ResourceState::Programmed
            && acks.resource(BALANCER, "frontend/b", &new) == ResourceState::Programmed
    })
    .await;
}

#[tokio::test]
async fn only_the_leader_serves_and_a_proxy_keeps_what_it_has() {
    let replica = Replica::start().await;
    replica.hub.publish(BALANCER, Snapshot::new([("frontend/a".into(), kind("a"))]));
    let (mut state, mut names) = replica.proxy();
    until(&mut state, "a follower refuses", |state| {
        state.failure.as_ref().is_some_and(|failure| failure.contains("not the leader"))
    })
    .await;

    replica.hub.set_serving(true);
    until(&mut names, "the leader serves", |names| names.len() == 1).await;
    let mut acks = replica.hub.acks();
    until(&mut acks, "the proxy counts", |acks| acks.proxies(BALANCER).count() == 1).await;

    replica.hub.set_serving(false);
    until(&mut acks, "the stream has ended", |acks| acks.proxies(BALANCER).count() == 0).await;
    until(&mut state, "the proxy notices", |state| !state.connected).await;
    assert_eq!(*names.borrow(), ["frontend/a"]);

    replica.hub.publish(
        BALANCER,
        Snapshot::new([("frontend/a".into(), kind("a")), ("frontend/b".into(), kind("b"))]),
    );
    replica.hub.set_serving(true);
    until(&mut names, "it catches up", |names| names.len() == 2).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_renewed_one_is_read_again() {
    let replica = Replica::start().await;
    replica.hub.set_serving(true);
    let token = replica.options.token_file.clone().unwrap();
    std::fs::write(&token, "expired").unwrap();
    let (mut state, _names) = replica.proxy();
    until(&mut state, "refused", |state| {
        state.failure.as_ref().is_some_and(|failure| failure.contains("wrong token"))
    })
    .await;
    std::fs::write(&token, "good").unwrap();
    until(&mut state, "accepted", |state| state.connected).await;
}

#[tokio::test]
async fn a_proxy_gets_no_configuration_but_its_own_load_balancers() {
    let mut replica = Replica::start().await;
    replica.hub.set_serving(true);
    let other = "alb-test-infra/other";
    replica.hub.publish(other, Snapshot::new([("frontend/a".into(), kind("a"))]));
    replica.options.node.load_balancer = other.into();
    let (mut state, names) = replica.proxy();
    until(&mut state, "refused", |state| {
        state.failure.as_ref().is_some_and(|failure| failure.contains("serves alb-test-infra/alb-test"))
    })
    .await;
    assert_eq!(replica.hub.acks().borrow().proxies(other).count(), 0);
    assert!(names.borrow().is_empty());

    replica.options.node.load_balancer = BALANCER.into();
    replica.options.node.id = "proxy-1".into();
    let (mut state, _names) = replica.proxy();
    until(&mut state, "refused", |state| {
        state.failure.as_ref().is_some_and(|failure| failure.contains("belongs to pod proxy-0"))
    })
    .await;
}
