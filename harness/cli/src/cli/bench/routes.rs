//! `meshproof bench routes`: the time from an HTTPRoute's creation to the first answer by it, beside Istio's own gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use gateway_api::apis::standard::httproutes::HttpRoute;
use kube::api::{Api, DynamicObject, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::MissedTickBehavior;

use super::calm;
use super::compare::percentile;
use super::gateways::{self, CLASSES, NAMESPACE};
use super::{BenchError, Judged};
use crate::cli::{ImplementationArgs, RootArgs};
use meshproof_cluster::probe::Prober;
use meshproof_lab::cluster::api::{ApiError, apply, objects, wait_for_deployment};
use meshproof_lab::cluster::{ClusterError, Implementation, InstallError, addons, default_name, owner};
use meshproof_model::progress::{Phase, Progress};
use meshproof_model::vantage::Vantage;
use meshproof_run::probe::Ask;

const MANIFEST: &str = include_str!("../../../../../fixtures/manifests/bench-routes.yaml");
/// How often a new route is asked for.
const POLL: Duration = Duration::from_millis(5);
/// A gateway with a running data plane.
const PROGRAMMED: Duration = Duration::from_secs(60);
/// One route.
const ANSWERED: Duration = Duration::from_secs(10);

/// Arguments of `meshproof bench routes`.
#[derive(Debug, Clone, Args)]
pub struct RoutesArgs {
    /// How many routes to add, one after the other
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub routes: u16,
    /// Name of the cluster; it is made if it is not there, and kept
    #[arg(long, value_name = "NAME", default_value_t = default_name())]
    pub cluster: String,
    /// Which pack has the gateway's file
    #[command(flatten)]
    pub root: RootArgs,
    /// The gateway that is measured
    #[command(flatten)]
    pub implementation: ImplementationArgs,
}

/// What one gateway did.
#[derive(Debug, Default)]
struct Measured {
    /// From the moment the API server has accepted the route until the first 200.
    times: Vec<Duration>,
    /// Everything but a whole 200 or 404, and how often.
    unexpected: BTreeMap<String, usize>,
}

pub(super) async fn run(args: &RoutesArgs, progress: &dyn Progress) -> Result<Judged, BenchError> {
    let Some(implementation) = args.implementation.alone(&args.root) else {
        return Ok(Judged::NotUnderstood);
    };
    let (cluster, client) = gateways::cluster(&args.cluster, &implementation, progress).await?;
    let echo = addons::image(&cluster.artifacts.images, "echo")
        .ok_or_else(|| ClusterError::from(InstallError::ImageMissing("echo".into())))?;
    let result = measure_all(&client, &implementation, &echo.reference, args.routes, progress).await;
    gateways::remove(&client).await.map_err(ClusterError::from)?;
    print!("{}", report(&result?));
    Ok(Judged::Reached)
}

/// Classes to be measured: the gateway's, and Istio's own beside it.
fn classes(of: &Implementation) -> Vec<&str> {
    let [_, beside] = CLASSES;
    let mut classes = vec![of.gateway_class.as_str(), beside];
    classes.dedup();
    classes
}

/// What a gateway of this class is measured with. Objects of kinds that the gateway has no use for are left out.
fn manifest(of: &Implementation, class: &str, image: &str) -> Result<Vec<DynamicObject>, ApiError> {
    let text = MANIFEST.replace("${CLASS}", class).replace("${IMAGE}", image);
    let mut all = objects("bench-routes.yaml", &text)?;
    let kind = |object: &DynamicObject| object.types.as_ref().map(|types| types.kind.to_lowercase());
    all.retain(|object| kind(object).is_none_or(|kind| !of.waived.kinds.contains_key(kind.as_str())));
    Ok(all)
}

async fn measure_all(
    client: &Client,
    implementation: &Implementation,
    image: &str,
    routes: u16,
    progress: &dyn Progress,
) -> Result<Vec<(String, Measured)>, ClusterError> {
    let mut all = Vec::new();
    for class in classes(implementation) {
        let phase = Phase::start(progress, format!("{routes} routes of {class}"), None);
        apply(client, manifest(implementation, class, image)?).await?;
        wait_for_deployment(client, NAMESPACE, "backend", PROGRAMMED).await?;
        let prober = prober(client, implementation, image);
        let address = gateways::programmed(client, &prober, (class, 80), PROGRAMMED).await?;
        calm::wait(client).await?;
        all.push((class.to_owned(), measure(client, &prober, class, address, routes).await?));
        phase.done();
    }
    Ok(all)
}

async fn measure(
    client: &Client,
    prober: &Prober,
    class: &str,
    address: SocketAddr,
    routes: u16,
) -> Result<Measured, ClusterError> {
    let api: Api<HttpRoute> = Api::namespaced(client.clone(), NAMESPACE);
    let mut measured = Measured::default();
    reachable(prober, address).await?;
    for index in 0..routes {
        let path = format!("/{class}/{index}");
        let route = route(class, index, &path)?;
        api.create(&PostParams::default(), &route).await.map_err(|source| ApiError::Request {
            doing: format!("creating HTTPRoute {}", route.name_any()),
            source: Box::new(source),
        })?;
        let since = Instant::now();
        let mut pace = tokio::time::interval(POLL);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let answer = prober.send(Vantage::Outside, &Ask::straight(address, &path).pooled()).await;
            match answer.map(|answer| (answer.complete(), answer.failure)) {
                Ok((Some(200), _)) => break,
                Ok((Some(404), _)) => {}
                Ok((Some(status), _)) => *measured.unexpected.entry(status.to_string()).or_default() += 1,
                Ok((None, failure)) => {
                    let text = failure.map(|failure| failure.message).unwrap_or_default();
                    *measured.unexpected.entry(text).or_default() += 1;
                }
                Err(error) => *measured.unexpected.entry(error.to_string()).or_default() += 1,
            }
            if since.elapsed() > ANSWERED {
                let doing = format!("waiting for 200 at {path}");
                let seen = format!("404, and {:?}", measured.unexpected);
                return Err(ApiError::Late { doing, limit: ANSWERED, seen }.into());
            }
        }
        let took = since.elapsed();
        tracing::debug!(%path, ?took, "the route answers");
        measured.times.push(took);
    }
    Ok(measured)
}

/// Sends the requests. Istio's gateway publishes an IP address, which needs no resolving.
fn prober(client: &Client, of: &Implementation, image: &str) -> Prober {
    Prober::new(client.clone(), image, true, of.address.resolution.clone(), owner::UP)
}

/// Waits until the gateway answers at all: it is routes that are measured, and a new address takes kube-proxy a moment.
async fn reachable(prober: &Prober, address: SocketAddr) -> Result<(), ClusterError> {
    let mut pace = tokio::time::interval(POLL);
    let since = Instant::now();
    loop {
        pace.tick().await;
        match prober.send(Vantage::Outside, &Ask::straight(address, "/").pooled()).await {
            Ok(answer) if answer.status == Some(404) => return Ok(()),
            answer if since.elapsed() > PROGRAMMED => {
                let doing = format!("waiting for 404 from {address}, which has no route yet");
                return Err(ApiError::Late { doing, limit: PROGRAMMED, seen: format!("{answer:?}") }.into());
            }
            _ => {}
        }
    }
}

fn route(class: &str, index: u16, path: &str) -> Result<HttpRoute, ApiError> {
    let name = format!("{class}-{index}");
    serde_json::from_value(serde_json::json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "parentRefs": [{"name": class}],
            "rules": [{
                "matches": [{"path": {"type": "Exact", "value": path}}],
                "backendRefs": [{"name": "backend", "port": 8080}],
            }],
        },
    }))
    .map_err(|error| ApiError::Manifest { name, reason: error.to_string() })
}

/// A row per gateway, and the ratio of the medians.
fn report(all: &[(String, Measured)]) -> String {
    let mut text =
        format!("{:<20}{:>8}{:>8}{:>8}  answers but 200 and 404\n", "gateway", "p50", "p99", "max");
    let mut medians = Vec::new();
    for (class, measured) in all {
        let mut times: Vec<f64> = measured.times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let unexpected: Vec<_> =
            measured.unexpected.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        let unexpected = if unexpected.is_empty() { "none".to_owned() } else { unexpected.join("; ") };
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(&times, share));
        text += &format!("{class:<20}{p50:>5.0} ms{p99:>5.0} ms{max:>5.0} ms  {unexpected}\n");
        medians.push(p50);
    }
    if let [ours, theirs] = medians[..] {
        text += &format!("ratio {:.2}\n", ours / theirs.max(f64::MIN_POSITIVE));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_a_row_each_and_the_ratio_on_a_line_of_its_own() {
        let times = |millis: u64| vec![Duration::from_millis(millis)];
        let ours = Measured { times: times(30), ..Measured::default() };
        let theirs = Measured { times: times(120), unexpected: [("503".to_owned(), 2)].into() };
        insta::assert_snapshot!(report(&[("azure-alb-external".into(), ours), ("istio".into(), theirs)]), @r"
        gateway                  p50     p99     max  answers but 200 and 404
        azure-alb-external     30 ms   30 ms   30 ms  none
        istio                 120 ms  120 ms  120 ms  2 × 503
        ratio 0.25
        ");
    }

    #[test]
    fn another_gateway_is_measured_without_objects_that_it_has_no_use_for() {
        let kinds = |of: &Implementation| -> Vec<String> {
            let all = manifest(of, &of.gateway_class, "echo:1").unwrap();
            all.into_iter().filter_map(|object| object.types).map(|types| types.kind).collect()
        };
        let ours = Implementation::built_in().unwrap();
        assert!(kinds(&ours).contains(&"ApplicationLoadBalancer".to_owned()));
        assert_eq!(classes(&ours), CLASSES);
        let file = meshproof_model::workspace::root().unwrap().join("implementations/istio.yaml");
        let istio = Implementation::load(&file).unwrap();
        assert!(!kinds(&istio).contains(&"ApplicationLoadBalancer".to_owned()));
        assert_eq!(classes(&istio), ["istio"], "there is nobody else to hold it against");
    }
}
