//! An outside in memory, for tests of the runner. Everything that is called is noted in one log, in order.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, future, stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::audit::Audited;
use crate::context::Outside;
use crate::ports::*;
use crate::probe::{Answer, Ask, Echo, FailureKind};
use meshproof_model::event::{Diagnosis, Testimony};
use meshproof_model::implementation::LeaderElection;
use meshproof_model::scenario::object::{self, ObjectRef};
use meshproof_model::vantage::Vantage;

pub(crate) type Objects_ = BTreeMap<String, Value>;
/// What happens when an object is applied: the object as the cluster makes it.
pub(crate) type Controller = Box<dyn Fn(&mut Value) + Send + Sync>;

/// All the fakes in one.
pub(crate) struct World {
    pub(crate) log: Mutex<Vec<String>>,
    pub(crate) objects: watch::Sender<Objects_>,
    pub(crate) controller: Controller,
    /// Answers to give, in order; the last one is given again and again.
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    /// What was asked, in order.
    pub(crate) asked: Mutex<Vec<Ask>>,
    /// How long each answer takes.
    pub(crate) latency: Duration,
    pub(crate) account: Option<Account>,
    /// Reasons it gives before that, one for each answer it is asked about.
    pub(crate) reasons: Mutex<VecDeque<String>>,
    pub(crate) testimony: bool,
    /// What the gateway's living proxies have logged besides the answers 200.
    pub(crate) logged: Vec<Logged>,
    /// Answers 200 so far; nothing if the proxies do not log them.
    pub(crate) good: Option<Mutex<usize>>,
    /// What the API server's audit log has, by when it is read; the last one again and again.
    pub(crate) audited: Mutex<VecDeque<Audited>>,
    /// What is found to be the cause of a failure.
    pub(crate) diagnosis: &'static str,
    /// The call that fails, as it stands in the log.
    pub(crate) broken: Option<&'static str>,
    /// Whether no request can be sent any more.
    pub(crate) unplugged: Mutex<bool>,
    /// Objects that stay although deleted.
    pub(crate) sticky: Option<&'static str>,
    /// How many objects were made.
    pub(crate) made: Mutex<usize>,
    /// Objects that commands in a shell make, by id.
    pub(crate) by_shell: Vec<&'static str>,
    /// The pods behind every Gateway's address.
    pub(crate) replicas: Replicas,
    /// Watches that are open break whenever this changes.
    pub(crate) torn: watch::Sender<Torn>,
}

/// What becomes of watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Torn {
    /// New ones tell how things are.
    #[default]
    Renewed,
    /// New ones tell nothing.
    Silent,
    /// Those that are open end without a word, and new ones as well.
    Ended,
}

/// Id of the run.
pub(crate) const RUN: &str = "r-2";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Default for World {
    fn default() -> Self {
        Self {
            log: Mutex::default(),
            objects: watch::channel(Objects_::new()).0,
            controller: Box::new(|object| {
                if object["kind"] == "Gateway" {
                    object["status"] =
                        json!({"addresses": [{"type": "Hostname", "value": "fe-1.alb.internal"}]});
                }
            }),
            answers: Mutex::new(VecDeque::from([answer(200, "backend-v1")])),
            asked: Mutex::default(),
            latency: Duration::from_millis(5),
            account: Some(Account { reason: "ok".into(), upstream_pod: None }),
            reasons: Mutex::default(),
            testimony: true,
            logged: Vec::new(),
            good: Some(Mutex::default()),
            audited: Mutex::new(VecDeque::from([Audited::NotKept("there is no log".into())])),
            diagnosis: "the-cause",
            broken: None,
            unplugged: Mutex::default(),
            sticky: None,
            made: Mutex::default(),
            by_shell: Vec::new(),
            replicas: Replicas::Unknown("nobody knows them".into()),
            torn: watch::channel(Torn::default()).0,
        }
    }
}

/// An answer of a backend, or of the gateway itself if there is none.
pub(crate) fn answer(status: u16, backend: &str) -> Answer {
    let mut answer = Answer::failed(Vantage::Outside, FailureKind::Other, "", Duration::ZERO);
    answer.failure = None;
    answer.status = Some(status);
    answer.echo =
        (!backend.is_empty()).then(|| Echo { pod: format!("{backend}-5d9c7b6f4d-x2x7f"), ..Echo::default() });
    answer
}

impl World {
    pub(crate) fn outside(self: &Arc<Self>) -> Outside {
        Outside {
            objects: self.clone(),
            requests: self.clone(),
            witnesses: self.clone(),
            evidence: self.clone(),
            installer: self.clone(),
            mesh: self.clone(),
            machines: self.clone(),
            tools: self.clone(),
            placeholders: BTreeMap::from([("images.echo".into(), "echo:1".into())]),
            gone: meshproof_model::scenario::limits::GONE,
        }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Changes an object as its controller would.
    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        self.objects.send_modify(|objects| change(objects.get_mut(id).unwrap()));
    }

    /// A uid that no object has had.
    fn uid(&self) -> Value {
        let mut made = self.made.lock().unwrap();
        *made += 1;
        format!("uid-{made}").into()
    }

    pub(crate) fn insert(&self, id: &str, object: Value) {
        self.objects.send_modify(|objects| drop(objects.insert(id.to_owned(), object)));
    }

    fn call(&self, what: String) -> Result<(), PortError> {
        self.log.lock().unwrap().push(what.clone());
        match self.broken {
            Some(broken) if what.starts_with(broken) => Err(PortError::new(what, "it is broken")),
            _ => Ok(()),
        }
    }
}

impl Objects for World {
    fn apply<'a>(&'a self, id: &'a ObjectRef, object: &'a Value) -> PortFuture<'a, Applied> {
        async move {
            self.call(format!("apply {id}"))?;
            let before = self.objects.borrow().get(&id.to_string()).cloned();
            let mut object = object::labelled(object, RUN);
            object["metadata"]["name"] = id.name.clone().into();
            let uid = before.as_ref().map_or_else(|| self.uid(), |before| before["metadata"]["uid"].clone());
            object["metadata"]["uid"] = uid.clone();
            (self.controller)(&mut object);
            self.objects.send_modify(|objects| drop(objects.insert(id.to_string(), object)));
            Ok(Applied { uid: text(&uid), created: before.is_none(), refused: None })
        }
        .boxed()
    }

    fn patch<'a>(&'a self, id: &'a ObjectRef, patch: &'a Value) -> PortFuture<'a, Value> {
        async move {
            self.call(format!("patch {id} {patch}"))?;
            let before = self.objects.borrow().get(&id.to_string()).cloned();
            before.ok_or_else(|| PortError::new(format!("patching {id}"), "there is none"))
        }
        .boxed()
    }

    /// As the real one, by label and uid; what is within a namespace is anybody's to delete.
    fn delete<'a>(&'a self, id: &'a ObjectRef, whose: Whose<'a>) -> PortFuture<'a, Deleted> {
        async move {
            self.call(format!("delete {id}"))?;
            let Some(before) = self.objects.borrow().get(&id.to_string()).cloned() else {
                return Ok(Deleted::NotThere);
            };
            let (uid, run) = (text(&before["metadata"]["uid"]), &before["metadata"]["labels"][object::LABEL]);
            let other = match whose {
                Whose::Made(made) => uid != made || run != RUN,
                Whose::Marked => run.is_null(),
                Whose::Within => false,
            };
            if other {
                return Ok(Deleted::Left(format!("{id} is left alone")));
            }
            if self.sticky != Some(id.kind.word) {
                self.objects.send_modify(|objects| drop(objects.remove(&id.to_string())));
            }
            Ok(Deleted::Going(uid))
        }
        .boxed()
    }

    fn adopt<'a>(&'a self, id: &'a ObjectRef) -> PortFuture<'a, Option<String>> {
        async move {
            let Some(mut object) = self.objects.borrow().get(&id.to_string()).cloned() else {
                return Ok(None);
            };
            let uid = text(&object["metadata"]["uid"]);
            object = object::labelled(&object, RUN);
            self.objects.send_modify(|objects| drop(objects.insert(id.to_string(), object)));
            Ok(Some(uid))
        }
        .boxed()
    }

    fn end_pods<'a>(&'a self, _: &'a str) -> PortFuture<'a, ()> {
        future::ready(Ok(())).boxed()
    }

    fn finish<'a>(&'a self, _: &'a [String]) -> PortFuture<'a, ()> {
        future::ready(Ok(())).boxed()
    }

    fn observe(&self, query: &Query) -> BoxStream<'static, Result<Vec<Value>, PortError>> {
        let query = query.clone();
        let mut objects = self.objects.subscribe();
        objects.mark_changed();
        let changes = stream::unfold(objects, |mut objects| async {
            objects.changed().await.ok()?;
            let now = objects.borrow_and_update().clone();
            Some((now, objects))
        });
        let snapshots = changes.map(move |objects| {
            let prefix = format!("{}/{}", query.kind.word, query.name.clone().unwrap_or_default());
            let suffix = query.namespace.as_ref().map(|ns| format!(" in {ns}")).unwrap_or_default();
            let fits = |id: &String| id.starts_with(&prefix) && id.ends_with(&suffix);
            Ok(objects.iter().filter(|(id, _)| fits(id)).map(|(_, object)| object.clone()).collect())
        });
        let torn = self.torn.subscribe();
        if *torn.borrow() == Torn::Silent {
            return stream::pending().boxed();
        }
        let breaks = stream::unfold(torn, |mut torn| async {
            torn.changed().await.ok()?;
            let now = *torn.borrow_and_update();
            Some(((now != Torn::Ended).then(|| Err(PortError::new("watching", "it broke"))), torn))
        });
        stream::select(snapshots.map(Some), breaks).scan((), |(), item| future::ready(item)).boxed()
    }
}

impl Requests for World {
    fn send<'a>(&'a self, _: Vantage, ask: &'a Ask) -> PortFuture<'a, Answer> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.asked.lock().unwrap().push(ask.clone());
            let port = ask.connect_to.map_or(80, |address| address.port());
            self.call(if [80, 443].contains(&port) { "send".into() } else { format!("send to {port}") })?;
            if *self.unplugged.lock().unwrap() {
                return Err(PortError::new("send", "it is unplugged"));
            }
            let mut answers = self.answers.lock().unwrap();
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            let next = next.unwrap();
            if let Some(good) = self.good.as_ref().filter(|_| next.complete() == Some(200)) {
                *good.lock().unwrap() += 1;
            }
            Ok(next)
        }
        .boxed()
    }

    fn frontend<'a>(&'a self, _: &'a str) -> PortFuture<'a, SocketAddr> {
        future::ready(Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80))).boxed()
    }

    fn replicas<'a>(&'a self, _: &'a str, _: u16) -> PortFuture<'a, Replicas> {
        future::ready(Ok(self.replicas.clone())).boxed()
    }
}

impl Witnesses for World {
    fn hear<'a>(&'a self, witness: &'a str, _: &'a WitnessContext) -> PortFuture<'a, Testimony> {
        async move {
            self.call(format!("hear {witness}"))?;
            let (witness, summary) = (witness.to_owned(), "as it was seen".to_owned());
            Ok(Testimony { witness, held: self.testimony, summary, detail: Value::Null })
        }
        .boxed()
    }

    fn accounts<'a>(
        &'a self,
        _: &'a ObjectRef,
        answers: &'a [Answer],
        _: Duration,
    ) -> PortFuture<'a, Vec<Option<Account>>> {
        let account = |_: &Answer| {
            let first = self.reasons.lock().unwrap().pop_front();
            let first = first.map(|reason| Account { reason, upstream_pod: None });
            first.or_else(|| self.account.clone())
        };
        future::ready(Ok(answers.iter().map(account).collect())).boxed()
    }

    fn logged<'a>(
        &'a self,
        _: &'a ObjectRef,
        _: &'a str,
        _: Duration,
    ) -> PortFuture<'a, Option<Vec<Logged>>> {
        let mut logged = self.logged.clone();
        let good = self.good.as_ref().map(|good| *good.lock().unwrap()).unwrap_or_default();
        logged.extend(vec![Logged { status: 200, reason: "ok".into() }; good]);
        future::ready(Ok(Some(logged))).boxed()
    }

    fn audited<'a>(&'a self, _: &'a LeaderElection, _: Duration) -> PortFuture<'a, Audited> {
        let mut audited = self.audited.lock().unwrap();
        let next = if audited.len() > 1 { audited.pop_front() } else { audited.front().cloned() };
        future::ready(Ok(next.unwrap())).boxed()
    }
}

impl EvidenceCollector for World {
    fn collect<'a>(&'a self, request: &'a EvidenceRequest) -> BoxFuture<'a, Evidence> {
        let namespaces = request.namespaces.join(",");
        self.log.lock().unwrap().push(format!("collect evidence of {namespaces}"));
        let diagnosis =
            Diagnosis { id: self.diagnosis.into(), title: "t".into(), because: Vec::new(), next: "n".into() };
        let evidence =
            Evidence { files: vec!["a.yaml".into()], diagnosis: Some(diagnosis), missing: Vec::new() };
        future::ready(evidence).boxed()
    }
}

impl Installer for World {
    fn install<'a>(&'a self, request: &'a InstallRequest) -> PortFuture<'a, Vec<String>> {
        async move {
            self.call(format!("install {}", request.values))?;
            Ok(vec!["alb-controller 1.8.8".into()])
        }
        .boxed()
    }

    fn ensure<'a>(&'a self, _: &'a str) -> PortFuture<'a, Vec<String>> {
        async move {
            self.call("ensure".into())?;
            Ok(vec!["alb-controller 1.8.8".into()])
        }
        .boxed()
    }

    fn uninstall(&self) -> PortFuture<'_, Vec<String>> {
        async move {
            self.call("uninstall".into())?;
            Ok(Vec::new())
        }
        .boxed()
    }
}

impl Mesh for World {
    fn provide<'a>(&'a self, versions: &'a [String]) -> PortFuture<'a, ()> {
        async move { self.call(format!("provide Istio {}", versions.join(" "))) }.boxed()
    }

    fn install<'a>(&'a self, request: &'a MeshRequest) -> PortFuture<'a, String> {
        async move {
            let version = request.version.iter().map(|version| format!(" {version}")).collect::<String>();
            self.call(format!("install Istio {}{version}", request.namespace))?;
            Ok("Istio".into())
        }
        .boxed()
    }

    fn uninstall<'a>(&'a self, namespaces: &'a [String]) -> PortFuture<'a, ()> {
        async move { self.call(format!("uninstall Istio {}", namespaces.join(" "))) }.boxed()
    }

    fn rotate_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, Vec<String>> {
        async move {
            self.call(format!("rotate root {namespace}"))?;
            Ok(vec!["a stage".into()])
        }
        .boxed()
    }

    fn restore_root<'a>(&'a self, namespace: &'a str) -> PortFuture<'a, ()> {
        async move { self.call(format!("restore root {namespace}")) }.boxed()
    }
}

impl Machines for World {
    /// Its Leases have another holder at once.
    fn kill<'a>(&'a self, namespace: &'a str, pod: &'a str, _: bool) -> PortFuture<'a, ()> {
        async move {
            self.call(format!("kill {namespace}/{pod}"))?;
            self.objects.send_modify(|objects| {
                let held = objects.values_mut().filter(|object| object["spec"]["holderIdentity"] == pod);
                held.for_each(|lease| lease["spec"]["holderIdentity"] = "another".into());
            });
            Ok(())
        }
        .boxed()
    }

    fn stop<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        async move { self.call(format!("stop {node}")) }.boxed()
    }

    fn forget<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        async move { self.call(format!("forget {node}")) }.boxed()
    }

    fn start<'a>(&'a self, node: &'a str) -> PortFuture<'a, ()> {
        async move { self.call(format!("start {node}")) }.boxed()
    }
}

impl Tools for World {
    fn run<'a>(&'a self, tool: Tool, args: &'a [String]) -> PortFuture<'a, ToolOutput> {
        async move {
            self.call(format!("{tool:?} {}", args.join(" ")))?;
            let stderr = "Error from server (NotFound): no\n".to_owned();
            Ok(ToolOutput { code: 1, stdout: String::new(), stderr, took: Duration::ZERO })
        }
        .boxed()
    }

    fn shell<'a>(&'a self, script: &'a Script) -> PortFuture<'a, ToolOutput> {
        async move {
            self.call(format!("shell {}", script.text.trim_end()))?;
            for id in &self.by_shell {
                self.insert(id, json!({"metadata": {"uid": self.uid()}}));
            }
            let files = script.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
            // `exit 1` is enough of a shell.
            let code = i32::from(script.text.contains("exit 1"));
            let stderr = "Error from server (NotFound): no\nmore\n".to_owned();
            Ok(ToolOutput { code, stdout: format!("{files}\ndone\n"), stderr, took: Duration::ZERO })
        }
        .boxed()
    }
}
