use std::time::Duration;

use alb_runtime::Readiness;
use alb_runtime::fake_api::{FakeApi, Lost, Weather};
use alb_runtime::lease::{Election, Leadership, LeaseConfig};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::metrics::Metrics;
use crate::testing::{Authority, later, now};

const PATH: &str = "/api/v1/namespaces/azure-alb-system/secrets/identity";

fn target() -> Target {
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "extension".to_owned(),
        uid: "uid-of-the-deployment".to_owned(),
        ..OwnerReference::default()
    };
    Target { namespace: "azure-alb-system".to_owned(), name: "identity".to_owned(), owner: Some(owner) }
}

fn publication(files: &Files) -> Publication {
    Publication {
        identity: Arc::new(WorkloadIdentity::parse(files, now()).unwrap()),
        istio: Version::find("1.31.0"),
    }
}

fn written(decision: Decision) -> Secret {
    match decision {
        Decision::Write(secret) => *secret,
        other => panic!("expected a write: {other:?}"),
    }
}

fn serial(secret: &Secret) -> &str {
    secret.metadata.annotations.as_ref().unwrap()[SERIAL].as_str()
}

#[test]
fn the_secret_is_what_the_controller_expects_and_once_right_it_is_kept() {
    let ours = publication(&Authority::new().issue(now(), 3600));
    let secret = written(decide(None, &ours, &target(), now()));
    let json: Value = serde_json::to_value(&secret).unwrap();
    assert_eq!(json["type"], "kubernetes.io/tls");
    let annotations = &json["metadata"]["annotations"];
    assert_eq!(annotations[SPIFFE_ID], crate::testing::SPIFFE_ID);
    assert_eq!(annotations[NOT_AFTER], later(3600).to_string());
    assert_eq!(annotations[ISTIO_VERSION], "1.31.0");
    assert_eq!(json["metadata"]["ownerReferences"][0]["uid"], "uid-of-the-deployment");
    let data = secret.data.as_ref().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(decide(Some(&secret), &ours, &target(), now()), Decision::Keep);
}

#[test]
fn ours_replaces_an_older_one_but_not_a_newer_one_until_that_expires() {
    let authority = Authority::new();
    let (older, newer) =
        (publication(&authority.issue(now(), 60)), publication(&authority.issue(later(10), 60)));
    let there = written(decide(None, &older, &target(), now()));
    let replaced = written(decide(Some(&there), &newer, &target(), later(10)));
    assert_eq!(serial(&replaced), newer.identity.leaf.serial);
    let keep = Decision::KeepNewer { until: later(70) };
    assert_eq!(decide(Some(&replaced), &older, &target(), later(69)), keep);
    let expired = written(decide(Some(&replaced), &older, &target(), later(70)));
    assert_eq!(serial(&expired), older.identity.leaf.serial);
}

#[test]
fn a_newer_one_is_kept_with_the_roots_we_know() {
    let authority = Authority::new();
    let mut older = publication(&authority.issue(now(), 60));
    let newer = publication(&authority.issue(later(10), 60));
    let there = written(decide(None, &newer, &target(), now()));
    let more =
        format!("{}{}", older.identity.roots_pem, String::from_utf8(Authority::new().roots()).unwrap());
    Arc::make_mut(&mut older.identity).roots_pem = more.clone();
    let secret = written(decide(Some(&there), &older, &target(), later(11)));
    assert_eq!(serial(&secret), newer.identity.leaf.serial);
    assert_eq!(secret.data.unwrap()["ca.crt"].0, more.into_bytes());
}

#[test]
fn what_is_broken_or_of_another_root_is_replaced_however_new() {
    let authority = Authority::new();
    let (older, newer) =
        (publication(&authority.issue(now(), 60)), publication(&authority.issue(later(10), 60)));
    let whole = written(decide(None, &newer, &target(), now()));
    let mut other_key = whole.clone();
    other_key
        .data
        .as_mut()
        .unwrap()
        .insert(KEY.to_owned(), ByteString(older.identity.key_pem.clone().into()));
    let mut no_certificate = whole.clone();
    no_certificate.data.as_mut().unwrap().remove(CERTIFICATE);
    let foreign = publication(&Authority::new().issue(later(20), 60));
    let foreign = written(decide(None, &foreign, &target(), now()));
    for broken in [other_key, no_certificate, foreign] {
        let secret = written(decide(Some(&broken), &older, &target(), later(11)));
        assert_eq!(serial(&secret), older.identity.leaf.serial);
    }
}

#[test]
fn what_others_wrote_on_it_stays_and_an_owner_of_an_earlier_installation_goes() {
    let ours = publication(&Authority::new().issue(now(), 60));
    let mut there = written(decide(None, &ours, &target(), now()));
    there.metadata.resource_version = Some("7".to_owned());
    there.metadata.labels = Some([("team".to_owned(), "edge".to_owned())].into());
    there.metadata.owner_references.as_mut().unwrap()[0].uid = "gone".to_owned();
    let secret = written(decide(Some(&there), &ours, &target(), now()));
    assert_eq!(secret.metadata.labels, there.metadata.labels);
    assert_eq!(secret.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(secret.metadata.owner_references, target().owner.map(|owner| vec![owner]));
}

/// A replica: an election and a publisher.
struct Replica {
    publications: watch::Sender<Option<Publication>>,
    leadership: Leadership,
    readiness: Readiness,
    tasks: [JoinHandle<()>; 2],
}

impl Replica {
    fn start(client: kube::Client, name: &str, files: &Files) -> Self {
        let config = LeaseConfig::new("azure-alb-system", "extension", name);
        let (election, leadership) = Election::new(client.clone(), config).unwrap();
        let publications = watch::Sender::new(Some(publication(files)));
        let readiness = Readiness::new();
        let blocker = readiness.block("identity-secret", "");
        blocker.clear();
        let receiver = publications.subscribe();
        let metrics = Metrics::default();
        let mut publisher = Publisher::new(client, target(), leadership.clone(), receiver, metrics, blocker);
        let tasks = [
            tokio::spawn(election.run(CancellationToken::new())),
            tokio::spawn(async move { publisher.run().await }),
        ];
        Self { publications, leadership, readiness, tasks }
    }

    fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn there(api: &FakeApi) -> Option<String> {
    Some(api.get(PATH)?["metadata"]["annotations"][SERIAL].as_str()?.to_owned())
}

fn serial_of(files: &Files) -> String {
    publication(files).identity.leaf.serial.clone()
}

async fn until_there(api: &FakeApi, files: &Files) {
    let wanted = serial_of(files);
    let found = api.until(|api| there(api).as_ref() == Some(&wanted));
    tokio::time::timeout(Duration::from_secs(60), found).await.unwrap();
}

fn secret_writes(api: &FakeApi) -> usize {
    api.writes().iter().filter(|(_, path)| path.contains("/secrets")).count()
}

/// Certificates for tests of the publisher, which looks at the real clock: (one second older, newer).
fn two(authority: &Authority) -> (Files, Files) {
    let present = Timestamp::now().as_second();
    let at = |second| Timestamp::from_second(second).unwrap();
    (authority.issue(at(present - 1), 3600), authority.issue(at(present), 3600))
}

#[tokio::test(start_paused = true)]
async fn the_active_replica_publishes_follows_rotations_and_writes_nothing_else() {
    let (api, authority) = (FakeApi::new(), Authority::new());
    let (first, second) = two(&authority);
    let active = Replica::start(api.client(), "a", &first);
    until_there(&api, &first).await;
    let standby = Replica::start(api.client(), "b", &second);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        (there(&api), secret_writes(&api)),
        (Some(serial_of(&first)), 1),
        "the standby publishes nothing"
    );
    active.publications.send_replace(Some(publication(&second)));
    until_there(&api, &second).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(secret_writes(&api), 2);
    assert!(active.leadership.is_leader() && !standby.leadership.is_leader());
}

#[tokio::test(start_paused = true)]
async fn the_standby_publishes_its_own_when_it_takes_over() {
    let (api, authority) = (FakeApi::new(), Authority::new());
    let (first, second) = two(&authority);
    let active = Replica::start(api.client(), "a", &first);
    until_there(&api, &first).await;
    let _standby = Replica::start(api.client(), "b", &second);
    active.kill();
    until_there(&api, &second).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_or_damaged_secret_is_repaired() {
    let (api, authority) = (FakeApi::new(), Authority::new());
    let (files, _) = two(&authority);
    let _active = Replica::start(api.client(), "a", &files);
    until_there(&api, &files).await;
    api.delete(PATH);
    until_there(&api, &files).await;
    let mut secret = api.get(PATH).unwrap();
    secret["data"]["tls.key"] = json!("AAAA");
    api.put(PATH, secret);
    let repaired = api.until(|api| api.get(PATH).unwrap()["data"]["tls.key"] != "AAAA");
    tokio::time::timeout(Duration::from_secs(60), repaired).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_written_blocks_readiness_until_it_can() {
    let (api, authority) = (FakeApi::new(), Authority::new());
    let (files, _) = two(&authority);
    let failures = std::sync::atomic::AtomicU32::new(3);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let client = api.client_with(move |method, path| {
        let write = method == Method::POST && path.contains("/secrets");
        let fails = write && failures.fetch_update(relaxed, relaxed, |left| left.checked_sub(1)).is_ok();
        Weather { refuse: fails.then_some(StatusCode::FORBIDDEN), ..Weather::default() }
    });
    let active = Replica::start(client, "a", &files);
    let mut ready = active.readiness.subscribe();
    ready.wait_for(|ready| !ready).await.unwrap();
    assert!(active.readiness.blocked_by()[0].1.contains("Secret identity in azure-alb-system"));
    ready.wait_for(|ready| *ready).await.unwrap();
    assert_eq!(there(&api), Some(serial_of(&files)));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_tried_again() {
    let (api, authority) = (FakeApi::new(), Authority::new());
    let (files, _) = two(&authority);
    let losses = std::sync::atomic::AtomicU32::new(2);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let client = api.client_with(move |_, path| {
        let once = path.contains("/secrets/")
            && losses.fetch_update(relaxed, relaxed, |left| left.checked_sub(1)).is_ok();
        Weather { lost: if once { Lost::Request } else { Lost::No }, ..Weather::default() }
    });
    let _active = Replica::start(client, "a", &files);
    until_there(&api, &files).await;
}
