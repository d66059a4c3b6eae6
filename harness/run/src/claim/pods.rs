//! `pods: azure-alb-system` with `become:` a table as `kubectl get pods` prints it. The namespace must hold these pods and
//! no others, but for those of a gateway that runs beside its Gateway. A row that gives `containers` says which the READY column counts; an `istio-proxy` among them is a sidecar only
//! if Istio has injected it.
//!
//! `pods: implementation` with `become: ready`: every pod of the gateway under test, its data plane's too, whichever
//! namespaces they are in.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::becomes::{Held, Judgement, becomes};
use super::of_implementation;
use crate::context::pods::{Pod, Share};
use crate::context::sidecar::{self, SIDECAR};
use crate::context::{Context, Trouble};
use crate::ports::Query;
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::Observed;
use meshproof_model::implementation::Implementation;
use meshproof_model::scenario::kinds::Kind;
use meshproof_model::scenario::node::{Data, Fields, Node, Problem};
use meshproof_model::scenario::object::ObjectRef;
use meshproof_model::scenario::stated;
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("pods", Staying::Time, parse).says(Reference {
    summary: "A namespace holds these pods and no others, as `kubectl get pods` prints them; or every pod of the gateway under test is ready.",
    subject: Type::Form("\\S", "a namespace, or `implementation`"),
    fields: &[
        Field::needed("become", Type::Any(&[Type::List(&Type::Map(ROW)), Type::OneOf(&["none", "ready"])]), "The pods; `none` for none at all; `ready` of `implementation`."),
    ],
    examples: &[
        "pods: azure-alb-system\nbecome:\n- {prefix: alb-controller-, count: 2, ready: 1/1, restarts: 0, status: Running}\n- {prefix: alb-proxy-, count: 1, ready: 2/2, containers: [alb-proxy, istio-proxy]}\nwithin: rollout",
        "pods: implementation\nbecome: ready\nwithin: rollout",
        "pods: empty-namespace\nbecome: none\nwithin: 10s",
    ],
});

const ROW: &[Field] = &[
    Field::needed("prefix", Type::Text, "What their names begin with."),
    Field::needed("count", Type::Number(0, u64::MAX), "How many there are."),
    Field::needed("ready", Type::Form("^[0-9]+/[0-9]+$", "such as `2/2`"), "kubectl's READY column."),
    Field::optional("restarts", Type::Number(0, u64::MAX), "kubectl's RESTARTS column.").or("any"),
    Field::optional("status", Type::Text, "kubectl's STATUS column.").or("Running"),
    Field::optional(
        "containers",
        Type::List(&Type::Text),
        "Every container that READY counts, sidecars included.",
    )
    .or("not looked at"),
];

/// Pods of one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    prefix: String,
    count: usize,
    ready: String,
    restarts: Option<u64>,
    status: String,
    /// Names of the containers, in any order, if that matters.
    containers: Option<Vec<String>>,
}

#[derive(Debug)]
struct Pods {
    namespace: String,
    rows: Vec<Row>,
    /// The gateway's own pods where those stand beside each Gateway, among the sample's: a scenario that speaks of the sample
    /// need not know of them.
    beside: Option<Share>,
}

/// The data plane's pods, if they are in the Gateway's namespace.
fn beside(implementation: &Implementation, namespace: &str) -> Option<Share> {
    let are_beside = implementation.proxies.namespace.contains("${gateway.namespace}");
    are_beside.then(|| Share::of_proxies(implementation, namespace))
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    if subject.text()? == of_implementation::WORD {
        return of_implementation::parse(fields, scope);
    }
    let namespace = subject.text()?.to_owned();
    let become_ = fields.need("become")?;
    let rows = match &become_.data {
        // No pod at all: said in a word, for an empty list may be a slip.
        Data::Text(text) if text == "none" => Vec::new(),
        _ => become_.list()?.iter().map(row).collect::<Result<_, _>>()?,
    };
    let beside = beside(scope.implementation, &namespace);
    Ok(Box::new(Pods { namespace, rows, beside }))
}

fn row(node: &Node) -> Result<Row, Problem> {
    let mut fields = node.fields()?;
    let prefix = stated::text(fields.need("prefix")?)?.to_owned();
    let count = fields.need("count")?.number()?;
    let place = fields.need("ready")?;
    let ready = place.text()?.to_owned();
    let two_numbers =
        ready.split_once('/').is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
    if !two_numbers {
        return Err(place
            .problem(format!("`{ready}` is not as kubectl's READY column"))
            .help("write e.g. 2/2"));
    }
    let restarts = fields.take("restarts").map(Node::number).transpose()?;
    let status = fields.take("status").map(Node::text).transpose()?.unwrap_or("Running").to_owned();
    let containers = fields.take("containers").map(|node| containers(node, &ready)).transpose()?;
    fields.finish()?;
    Ok(Row { prefix, count, ready, restarts, status, containers })
}

/// Names of the containers of a pod whose READY column is `ready`.
fn containers(node: &Node, ready: &str) -> Result<Vec<String>, Problem> {
    let names: Vec<String> =
        node.list()?.iter().map(|node| node.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let of = ready.split_once('/').and_then(|(_, of)| of.parse().ok());
    match of == Some(names.len()) {
        true => Ok(names),
        false => Err(node
            .problem(format!("{} names for the containers of a pod that is {ready}", names.len()))
            .help("name each container that READY counts, sidecars included")),
    }
}

impl Word for Pods {
    fn name(&self) -> String {
        if self.rows.is_empty() {
            return format!("there are no pods in {}", self.namespace);
        }
        let rows = self.rows.iter().map(|row| format!("{} × {}… {}", row.count, row.prefix, row.ready));
        format!("pods of {} become {}", self.namespace, rows.collect::<Vec<_>>().join(", "))
    }

    fn about(&self) -> Option<ObjectRef> {
        let kind = Kind::by_word("namespace")?;
        Some(ObjectRef { kind, namespace: None, name: self.namespace.clone() })
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        async move {
            let Some(kind) = Kind::by_word("pod") else {
                return Err(Trouble::error("looking for pods", "to know the kind", "it is unknown"));
            };
            let query = Query { kind, namespace: Some(self.namespace.clone()), name: None };
            let doing = format!("waiting for the pods of {}", self.namespace);
            let expected = self.name();
            let mut differing = Value::Null;
            let held: Result<Held<Vec<Pod>>, Trouble> =
                becomes(context, &query, &doing, &expected, |objects| {
                    let mut pods: Vec<_> =
                        objects.iter().filter(|pod| self.concerns(pod)).map(Pod::of).collect();
                    pods.sort_by(|one, other| one.place().cmp(&other.place()));
                    match judge(&self.rows, &pods) {
                        None => Judgement::Holds(pods),
                        Some(because) => {
                            differing = self.differing(&pods);
                            Judgement::NotYet(because)
                        }
                    }
                })
                .await;
            let held = held.map_err(|trouble| trouble.detailed(differing))?;
            let with_sidecar: Vec<&str> = held
                .found
                .iter()
                .filter(|pod| self.wants_sidecar(pod))
                .map(|pod| pod.name.as_str())
                .collect();
            if !with_sidecar.is_empty() {
                sidecar::not_from_template(context, &self.namespace, &with_sidecar, &doing).await?;
            }
            let summary = held.found.iter().map(|p| format!("{} {} {}", p.name, p.ready, p.status));
            let told = held.found.iter().map(|pod| {
                let row = home(&self.rows, pod).and_then(|at| self.rows.get(at));
                let asked = row.is_some_and(|row| row.containers.is_some());
                Pod { containers: if asked { pod.containers.clone() } else { Vec::new() }, ..pod.clone() }
            });
            let observed = Observed {
                summary: summary.collect::<Vec<_>>().join("; "),
                detail: json!({"namespace": self.namespace, "pods": told.collect::<Vec<_>>()}),
                became_ms: Some(held.became_ms),
                stayed: held.stayed,
                ..Observed::default()
            };
            context.pods.insert(Share::all(&self.namespace), held.found);
            Ok(observed)
        }
        .boxed()
    }
}

impl Pods {
    /// Pods whose READY column is another one than wanted.
    fn differing(&self, pods: &[Pod]) -> Value {
        let differing = pods.iter().filter_map(|pod| {
            let row = self.rows.get(home(&self.rows, pod)?).filter(|row| row.ready != pod.ready)?;
            Some(json!({"name": pod.name, "ready": pod.ready, "wanted": row.ready}))
        });
        json!({"namespace": self.namespace, "differing": differing.collect::<Vec<_>>()})
    }

    /// Whether this pod is spoken of: each one, but for the gateway's own beside the sample's that no row names.
    fn concerns(&self, object: &Value) -> bool {
        let is_the_gateways = self.beside.as_ref().is_some_and(|beside| beside.has(object));
        !is_the_gateways || home(&self.rows, &Pod::of(object)).is_some()
    }

    /// Whether a row about this pod names a sidecar.
    fn wants_sidecar(&self, pod: &Pod) -> bool {
        let row = home(&self.rows, pod).and_then(|at| self.rows.get(at));
        row.and_then(|row| row.containers.as_ref())
            .is_some_and(|names| names.iter().any(|name| name == SIDECAR))
    }
}

/// The row a pod belongs to, that of the longest prefix that fits: one workload's name may begin with another's.
fn home(rows: &[Row], pod: &Pod) -> Option<usize> {
    let fitting = rows.iter().enumerate().filter(|(_, row)| pod.name.starts_with(&row.prefix));
    fitting.max_by_key(|(_, row)| row.prefix.len()).map(|(at, _)| at)
}

/// Why the pods are not as the rows say.
fn judge(rows: &[Row], pods: &[Pod]) -> Option<String> {
    let home = |pod: &Pod| home(rows, pod);
    let mut problems = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let own: Vec<_> = pods.iter().filter(|pod| home(pod) == Some(at)).collect();
        if own.len() != row.count {
            problems.push(format!("there are {} pods {}…, wanted {}", own.len(), row.prefix, row.count));
        }
        for pod in own {
            if pod.ready != row.ready || pod.status != row.status {
                problems.push(format!(
                    "{} is {} {}, wanted {} {}",
                    pod.name, pod.ready, pod.status, row.ready, row.status
                ));
            }
            if let Some(most) = row.restarts.filter(|restarts| pod.restarts != *restarts) {
                problems.push(format!("{} was restarted {} times, wanted {most}", pod.name, pod.restarts));
            }
            problems.extend(row.containers.as_ref().and_then(|wanted| wrong_containers(pod, wanted)));
        }
    }
    let strangers: Vec<_> =
        pods.iter().filter(|pod| home(pod).is_none()).map(|pod| pod.name.as_str()).collect();
    if !strangers.is_empty() {
        problems.push(format!("nobody expects {}", strangers.join(", ")));
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// Why a pod's containers are not those of these names.
fn wrong_containers(pod: &Pod, wanted: &[String]) -> Option<String> {
    let in_order = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if in_order(&pod.containers) != in_order(wanted) {
        let (are, wanted) = (pod.containers.join(", "), wanted.join(", "));
        return Some(format!("the containers of {} are {are}, wanted {wanted}", pod.name));
    }
    pod.not_injected.as_ref().map(|because| format!("{SIDECAR} of {} is no sidecar: {because}", pod.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: &str) -> Pod {
        Pod {
            name: name.into(),
            uid: name.into(),
            ready: ready.into(),
            status: "Running".into(),
            restarts: 0,
            containers: Vec::new(),
            not_injected: None,
        }
    }

    fn rows() -> Vec<Row> {
        let row = |prefix: &str, ready: &str| Row {
            prefix: prefix.into(),
            count: 1,
            ready: ready.into(),
            restarts: Some(0),
            status: "Running".into(),
            containers: None,
        };
        vec![row("alb-controller-", "1/1"), row("alb-controller-istio-extension-", "2/2")]
    }

    #[test]
    fn what_is_generated_of_a_name_does_not_decide_the_order() {
        let mut pods = ["web-two-5d4f8c7b9d-x2k4q", "web-z6c8f9d7b5-q2w8z", "web-5c8f9d7b54-q2w8z"]
            .map(|name| pod(name, "1/1"));
        pods.sort_by(|one, other| one.place().cmp(&other.place()));
        let names = pods.map(|pod| pod.name);
        assert_eq!(names, ["web-5c8f9d7b54-q2w8z", "web-z6c8f9d7b5-q2w8z", "web-two-5d4f8c7b9d-x2k4q"]);
    }

    #[test]
    fn the_gateways_own_pods_beside_the_samples_need_not_be_named() {
        let mut theirs = Implementation::built_in().unwrap();
        assert_eq!(beside(&theirs, "ns"), None, "its pods are elsewhere");
        theirs.proxies.namespace = "${gateway.namespace}".into();
        theirs.proxies.selector = "app=gateway, of==${gateway.name}-x".into();
        let pods = |rows| Pods { namespace: "ns".into(), rows, beside: beside(&theirs, "ns") };
        let pod = |name: &str, of: &str| json!({"metadata": {"name": name, "labels": {"app": "gateway", "of": of}}});
        assert!(!pods(rows()).concerns(&pod("gateway-01-5d4f", "gateway-01-x")));
        assert!(pods(rows()).concerns(&pod("gateway-01-5d4f", "gateway-01-y")), "another label");
        assert!(pods(rows()).concerns(&pod("alb-controller-5d4f", "gateway-01-x")), "a row names it");
    }

    #[test]
    fn a_pod_belongs_to_the_longest_prefix() {
        let pods = [pod("alb-controller-x-1", "1/1"), pod("alb-controller-istio-extension-y-1", "2/2")];
        assert_eq!(judge(&rows(), &pods), None);
    }

    #[test]
    fn what_is_missing_wrong_or_too_much_is_named() {
        let pods = [pod("alb-controller-istio-extension-y-1", "1/2"), pod("stranger", "1/1")];
        let because = judge(&rows(), &pods).unwrap();
        assert_eq!(
            because,
            "there are 0 pods alb-controller-…, wanted 1; alb-controller-istio-extension-y-1 is 1/2 Running, wanted 2/2 \
             Running; nobody expects stranger"
        );
    }

    #[test]
    fn pods_with_other_containers_are_told_as_data() {
        let pods = [pod("alb-controller-x-1", "1/1"), pod("alb-controller-istio-extension-y-1", "1/1")];
        let told = Pods { namespace: "ns".into(), rows: rows(), beside: None }.differing(&pods);
        let other = json!({"name": "alb-controller-istio-extension-y-1", "ready": "1/1", "wanted": "2/2"});
        assert_eq!(told, json!({"namespace": "ns", "differing": [other]}));
    }

    #[test]
    fn a_second_container_is_a_sidecar_only_if_istio_has_injected_it() {
        let pod = |second: &str, annotations: Value| {
            Pod::of(&json!({
                "metadata": {"name": "p", "annotations": annotations},
                "spec": {"containers": [{"name": "app"}, {"name": second}]},
                "status": {"phase": "Running", "containerStatuses": [{"ready": true}, {"ready": true}]}}))
        };
        let wanted = ["istio-proxy".to_owned(), "app".to_owned()];
        let status =
            json!({"sidecar.istio.io/status": "{\"containers\":[\"istio-proxy\"],\"revision\":\"default\"}"});
        assert_eq!(wrong_containers(&pod("istio-proxy", status.clone()), &wanted), None);
        let other = wrong_containers(&pod("helper", status), &wanted).unwrap();
        assert_eq!(other, "the containers of p are app, helper, wanted istio-proxy, app");
        let other = wrong_containers(&pod("istio-proxy", json!({})), &wanted).unwrap();
        assert!(other.starts_with("istio-proxy of p is no sidecar: "), "{other}");
    }

    #[test]
    fn native_sidecars_count_as_kubectl_counts_them() {
        let pod = Pod::of(&json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"containers": [{"name": "app"}],
                     "initContainers": [{"name": "istio-init"}, {"name": "istio-proxy", "restartPolicy": "Always"}]},
            "status": {"phase": "Running",
                       "containerStatuses": [{"name": "app", "ready": true, "restartCount": 1}],
                       "initContainerStatuses": [{"name": "istio-init", "ready": true, "restartCount": 7},
                                                 {"name": "istio-proxy", "ready": true, "restartCount": 2}]}}));
        assert_eq!((pod.ready.as_str(), pod.restarts, pod.status.as_str()), ("2/2", 3, "Running"));
    }

    #[test]
    fn a_pod_that_crashes_or_goes_away_shows_it() {
        let crash = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app"}]},
            "status": {"phase": "Running", "containerStatuses":
                [{"name": "app", "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}});
        assert_eq!(
            (Pod::of(&crash).status.as_str(), Pod::of(&crash).ready.as_str()),
            ("CrashLoopBackOff", "0/1")
        );
        let going = json!({"metadata": {"name": "p", "deletionTimestamp": "2025-01-01T00:00:00Z"}, "spec": {}, "status": {}});
        assert_eq!(Pod::of(&going).status, "Terminating");
    }
}
