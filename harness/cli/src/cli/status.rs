//! `meshproof status`: what is running, and how to send it a request.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use gateway_api::apis::standard::gateways::Gateway;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;

use super::up::ClusterArgs;
use super::{ImplementationArgs, RootArgs, ended, exit};
use meshproof_cluster::probe::Prober;
use meshproof_lab::cache::Cache;
use meshproof_lab::cluster::holdings::Holdings;
use meshproof_lab::cluster::state::{Because, Recorded, Stage, StateDir, Verdict};
use meshproof_lab::cluster::{Cluster, ClusterError, api, beside, owner};
use meshproof_model::implementation::Implementation;

/// `status` is asked by people who wait: a cluster that says nothing for so long is `unknown`.
const ANSWER: Duration = Duration::from_secs(10);

/// Arguments of `meshproof status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which pack has the gateway's file
    #[command(flatten)]
    pub root: RootArgs,
    /// The gateway: what of it is installed, and how its Gateways' names lead to addresses
    #[command(flatten)]
    pub implementation: ImplementationArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What there is of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// `absent`, `incomplete` (being made, or its making was interrupted), `dead` (its containers are gone or have ended),
    /// `unknown` (it could not be looked at, which is no sign of death) or `running`.
    pub state: &'static str,
    /// Why it is dead or incomplete, or what kept anybody from looking at it.
    pub reason: Option<String>,
    /// Namespaces in it that meshproof had not made, as of the last look: it is not made again unasked.
    pub foreign_namespaces: Vec<String>,
    /// Kubeconfig with this cluster alone.
    pub kubeconfig: Option<String>,
    /// Context in it.
    pub context: Option<String>,
    /// Number of nodes.
    pub nodes: Option<u8>,
    /// Versions of what is installed.
    pub versions: Versions,
    /// The gateway that is installed.
    pub implementation: Option<Installed>,
    /// Gateways and where they answer.
    pub gateways: Vec<GatewayStatus>,
}

/// Versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Of the API server.
    pub kubernetes: Option<String>,
    /// Of Istio.
    pub istio: Option<String>,
}

/// A gateway that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// Its name, as in `implementations/`.
    pub name: String,
    /// Those of its helm releases that are there: name and state.
    pub releases: Vec<String>,
    /// Its GatewayClass, if that is there and accepted.
    pub class: Option<String>,
}

/// One Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatewayStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its GatewayClass.
    pub class: String,
    /// Its name in DNS, or its address where the gateway has no name, once assigned.
    pub fqdn: Option<String>,
    /// Address at which this host reaches it.
    pub address: Option<String>,
    /// Ports of its listeners.
    pub ports: Vec<i32>,
}

impl GatewayStatus {
    /// A command that sends it a request, once it can be reached.
    pub fn curl(&self) -> Option<String> {
        let (fqdn, address, port) = (self.fqdn.as_ref()?, self.address.as_ref()?, self.ports.first()?);
        let (scheme, suffix) = match port {
            443 => ("https", String::new()),
            80 => ("http", String::new()),
            other => ("http", format!(":{other}")),
        };
        if fqdn == address {
            return Some(format!("curl {scheme}://{fqdn}{suffix}/"));
        }
        Some(format!("curl --resolve {fqdn}:{port}:{address} {scheme}://{fqdn}{suffix}/"))
    }
}

/// Runs `meshproof status`. Looks only; nothing is started. The exit code.
pub async fn run(args: &StatusArgs) -> u8 {
    let Some(implementation) = args.implementation.alone(&args.root) else { return exit::USAGE };
    let shown = status(&args.cluster.cluster, &implementation).await.map(|status| match args.json {
        true => println!("{}", meshproof_model::visible::pretty(&status).unwrap_or_default()),
        false => print!("{}", text(&status)),
    });
    ended(shown)
}

/// Looks at a cluster.
///
/// # Errors
/// The API server answers, but not to a question asked here.
pub async fn status(name: &str, of: &Implementation) -> Result<Status, ClusterError> {
    let cache = Cache::open_default()?;
    let state = StateDir::new(cache.root(), name);
    let mut status = Status {
        cluster: name.to_owned(),
        state: "absent",
        reason: None,
        foreign_namespaces: Vec::new(),
        kubeconfig: None,
        context: None,
        nodes: None,
        versions: Versions::default(),
        implementation: None,
        gateways: Vec::new(),
    };
    let recorded = state.recorded();
    let (state_word, reason) = look(&cache, &state, name, &recorded).await;
    (status.state, status.reason) = (state_word, reason);
    status.foreign_namespaces = Holdings::read(&state).foreign.into_iter().collect();
    let Some(record) = recorded.known().filter(|record| record.stage == Stage::Ready) else {
        return Ok(status);
    };
    status.kubeconfig = Some(state.kubeconfig().display().to_string());
    status.context = Some(format!("kind-{name}"));
    status.nodes = Some(record.definition.nodes);
    status.versions.kubernetes = Some(record.definition.kubernetes.clone());
    status.versions.istio = record.istio.clone();
    if status.state != "running" {
        return Ok(status);
    }
    let client = match answering(&state).await {
        Ok(client) => client,
        Err(seen) => {
            let server =
                api::server_of(&state.kubeconfig()).unwrap_or_else(|| "an unknown address".to_owned());
            (status.state, status.reason) =
                ("unknown", Some(format!("its nodes run; its API server at {server}: {seen}")));
            return Ok(status);
        }
    };
    let holdings = Holdings::look(&client, &state).await?;
    status.foreign_namespaces = holdings.foreign.into_iter().collect();
    status.implementation = installed(&client, of).await?;
    status.gateways = gateways(&client, of).await?;
    Ok(status)
}

/// What the records and the engine say of a cluster; `running` means no more than that its nodes run.
async fn look(
    cache: &Cache,
    state: &StateDir,
    name: &str,
    recorded: &Recorded,
) -> (&'static str, Option<String>) {
    if *recorded == Recorded::Nothing && !state.path().exists() {
        return ("absent", None);
    }
    let seen = match Cluster::condition(cache, state, name).await {
        Ok(seen) => seen,
        Err(error) => return ("unknown", Some(error.to_string())),
    };
    in_a_word(seen)
}

/// A cluster's condition in the word that `status` has for it, and why.
fn in_a_word(condition: Verdict) -> (&'static str, Option<String>) {
    match condition {
        Verdict::Create => ("absent", None),
        Verdict::Use => ("running", None),
        Verdict::Start(nodes) => {
            ("running", Some(format!("{} stopped; `meshproof up` starts it", nodes.join(", "))))
        }
        Verdict::Replace(Because::Dead, reason) => ("dead", Some(reason)),
        Verdict::Replace(Because::Unfinished | Because::Incomplete, reason) => ("incomplete", Some(reason)),
        Verdict::Replace(_, reason) => ("unknown", Some(reason)),
        Verdict::Paused(nodes) => {
            let nodes = nodes.join(" ");
            ("unknown", Some(format!("paused: {nodes}; `docker unpause {nodes}` lets it go on")))
        }
        Verdict::Elsewhere(engine) => {
            let reason = format!(
                "it was made in the Docker Engine at {engine}, which is not the one in use: DOCKER_HOST={engine}"
            );
            ("unknown", Some(reason))
        }
        Verdict::Foreign(container) => {
            ("unknown", Some(format!("container {container} of that name is not meshproof's")))
        }
    }
}

/// A client, if the API server calls itself ready within [`ANSWER`].
async fn answering(state: &StateDir) -> Result<Client, String> {
    let client = api::client(&state.kubeconfig()).await.map_err(|error| error.to_string())?;
    let limit = format!("no answer within {} s", ANSWER.as_secs());
    match tokio::time::timeout(ANSWER, api::readyz(&client)).await {
        Ok(answer) => answer.map(|()| client).map_err(|error| error.to_string()),
        Err(_) => Err(limit),
    }
}

fn asking(doing: &str) -> impl FnOnce(kube::Error) -> api::ApiError {
    let doing = doing.to_owned();
    move |source| api::ApiError::Request { doing, source: Box::new(source) }
}

/// What of a gateway is there, if anything is.
async fn installed(client: &Client, of: &Implementation) -> Result<Option<Installed>, ClusterError> {
    let known: Vec<_> = of.releases.iter().map(|release| release.name.as_str()).collect();
    let mut releases = Vec::new();
    if !known.is_empty() {
        let secrets: Api<Secret> = Api::all(client.clone());
        let params = ListParams::default().labels(&format!("owner=helm,name in ({})", known.join(",")));
        let list = secrets.list_metadata(&params).await.map_err(asking("listing helm releases"))?;
        let records: Vec<_> = list.items.iter().map(ResourceExt::labels).collect();
        releases = newest(&records);
    }
    let class = beside::has_class(client, of).await?.then(|| of.gateway_class.clone());
    let there = !releases.is_empty() || (class.is_some() && of.releases.is_empty());
    Ok(there.then(|| Installed { name: of.name.clone(), releases, class }))
}

/// Name and state of each release, told by the labels of its newest record.
fn newest(records: &[&BTreeMap<String, String>]) -> Vec<String> {
    let label = |record: &BTreeMap<String, String>, name: &str| record.get(name).cloned().unwrap_or_default();
    let mut newest: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for record in records {
        let revision = label(record, "version").parse().unwrap_or_default();
        let known = newest.entry(label(record, "name")).or_default();
        if revision >= known.0 {
            *known = (revision, label(record, "status"));
        }
    }
    newest.into_iter().map(|(name, (_, state))| format!("{name} ({state})")).collect()
}

async fn gateways(client: &Client, of: &Implementation) -> Result<Vec<GatewayStatus>, ClusterError> {
    let api: Api<Gateway> = Api::all(client.clone());
    let list = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(error)) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(asking("listing gateways")(error).into()),
    };
    let prober = Prober::new(client.clone(), "", true, of.address.resolution.clone(), owner::UP);
    let mut all: Vec<GatewayStatus> = Vec::new();
    for gateway in &list {
        let mut status = gateway_status(gateway);
        if let Some(fqdn) = &status.fqdn {
            // One that has no address yet says so.
            let found = prober.frontend(fqdn, None).await.ok();
            status.address = found.map(|frontend| frontend.address.ip().to_string());
        }
        all.push(status);
    }
    all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(all)
}

/// What its object says of a Gateway; not where its name leads.
fn gateway_status(gateway: &Gateway) -> GatewayStatus {
    let addresses = gateway.status.as_ref().and_then(|status| status.addresses.as_ref());
    let first = addresses.and_then(|addresses| addresses.first());
    GatewayStatus {
        namespace: gateway.namespace().unwrap_or_default(),
        name: gateway.name_any(),
        class: gateway.spec.gateway_class_name.clone(),
        fqdn: first.map(|address| address.value.clone()),
        address: None,
        ports: gateway.spec.listeners.iter().map(|listener| listener.port).collect(),
    }
}

/// What is installed, in a line.
fn in_words(installed: &Installed) -> String {
    let releases = installed.releases.join(", ");
    match &installed.class {
        // Which releases are whose is known of the gateway of this workspace.
        _ if !releases.is_empty() => releases,
        Some(class) => format!("{}, GatewayClass {class} is accepted", installed.name),
        None => installed.name.clone(),
    }
}

fn text(status: &Status) -> String {
    let mut text = format!("cluster {}: {}\n", status.cluster, status.state);
    match status.state {
        "absent" => text += "  `meshproof up` makes it\n",
        "incomplete" => text += "  `meshproof up` makes it whole, `meshproof down` removes it\n",
        "dead" => text += "  `meshproof up` makes it again, `meshproof down` removes it\n",
        "unknown" => {
            text +=
                "  that it could not be looked at does not mean that it is dead: nothing is done about it\n"
        }
        _ => {}
    }
    if let Some(reason) = &status.reason {
        text += &format!("  {reason}\n");
    }
    let foreign = (!status.foreign_namespaces.is_empty()).then(|| status.foreign_namespaces.join(", "));
    let mut line = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            text += &format!("  {name:<15} {value}\n");
        }
    };
    line("kubeconfig", &status.kubeconfig);
    line("context", &status.context);
    line("kubernetes", &status.versions.kubernetes);
    line("istio", &status.versions.istio);
    line("nodes", &status.nodes.map(|nodes| nodes.to_string()));
    line("not meshproof's", &foreign);
    line("implementation", &status.implementation.as_ref().map(in_words));
    for gateway in &status.gateways {
        text += &format!("  gateway {}/{} ({})\n", gateway.namespace, gateway.name, gateway.class);
        text += &match (gateway.curl(), &gateway.fqdn) {
            (Some(curl), _) => format!("    {curl}\n"),
            (None, Some(fqdn)) => format!("    {fqdn}, not reachable from this host yet\n"),
            (None, None) => "    no address yet\n".to_owned(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(status: serde_json::Value) -> Gateway {
        serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "g"},
            "spec": {"gatewayClassName": "c", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_gateway_that_can_be_reached_comes_with_a_command() {
        let named = json!({"addresses": [{"type": "Hostname", "value": "fe-1.alb.internal"}]});
        let mut status = gateway_status(&gateway(named));
        assert_eq!(status.curl(), None);
        status.address = Some("172.18.255.200".into());
        assert_eq!(
            status.curl().as_deref(),
            Some("curl --resolve fe-1.alb.internal:80:172.18.255.200 http://fe-1.alb.internal/")
        );
        let mut status = gateway_status(&gateway(
            json!({"addresses": [{"type": "IPAddress", "value": "172.18.255.201"}]}),
        ));
        status.address.clone_from(&status.fqdn);
        assert_eq!(status.curl().as_deref(), Some("curl http://172.18.255.201/"));
    }

    #[test]
    fn what_comes_with_istio_has_a_class_and_no_releases() {
        let class = Some("istio".to_owned());
        let mut installed = Installed { name: "istio".into(), releases: Vec::new(), class };
        assert_eq!(in_words(&installed), "istio, GatewayClass istio is accepted");
        installed.releases = vec!["a (deployed)".into(), "b (deployed)".into()];
        assert_eq!(in_words(&installed), "a (deployed), b (deployed)");
    }

    #[test]
    fn a_release_is_what_its_newest_record_says() {
        let record = |name: &str, version: &str, status: &str| {
            let pairs = [("name", name), ("version", version), ("status", status)];
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect()
        };
        let records: [BTreeMap<_, _>; 3] =
            [record("b", "10", "deployed"), record("b", "9", "failed"), record("a", "1", "superseded")];
        assert_eq!(newest(&records.each_ref()), ["a (superseded)", "b (deployed)"]);
    }

    #[test]
    fn a_gateway_without_an_address_has_no_command() {
        let status = gateway_status(&gateway(json!({})));
        assert_eq!((status.fqdn.clone(), status.address.clone(), status.curl()), (None, None, None));
    }

    fn status(state: &'static str, reason: Option<String>) -> Status {
        Status {
            cluster: "m".into(),
            state,
            reason,
            foreign_namespaces: vec!["mine".into()],
            kubeconfig: None,
            context: None,
            nodes: None,
            versions: Versions::default(),
            implementation: None,
            gateways: Vec::new(),
        }
    }

    #[test]
    fn the_text_says_what_to_do_about_a_dead_cluster_and_what_would_be_lost() {
        let text = text(&status("dead", Some("node m is gone".into())));
        assert!(
            text.contains("meshproof up") && text.contains("node m is gone") && text.contains("mine"),
            "{text}"
        );
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_dead() {
        for condition in [
            Verdict::Paused(vec!["m-control-plane".into()]),
            Verdict::Elsewhere("unix:///other".into()),
            Verdict::Replace(Because::Unrecorded, "no record".into()),
            Verdict::Foreign("m".into()),
        ] {
            let (word, reason) = in_a_word(condition.clone());
            assert_eq!(word, "unknown", "{condition:?}");
            assert!(text(&status(word, reason)).contains("does not mean that it is dead"));
        }
        assert_eq!(in_a_word(Verdict::Replace(Because::Dead, "gone".into())).0, "dead");
        assert!(in_a_word(Verdict::Paused(vec!["m-1".into()])).1.unwrap().contains("docker unpause m-1"));
    }
}
