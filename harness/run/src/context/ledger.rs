//! What a scenario changed and has to undo, in reverse order.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::context::Outside;
use crate::ports::{Deleted, PortError, Query, Whose};
use meshproof_model::scenario::object::ObjectRef;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An object that did not exist before, and its uid: one of that name made later is another one.
    Created(ObjectRef, String),
    /// An object that literal commands may have made: there was none of the name when the scenario began.
    Named(ObjectRef),
    /// An object that existed, and the merge patch that puts it back.
    Patched(ObjectRef, Value),
    /// The implementation was installed.
    Installed,
    /// Istio's control plane was installed into this namespace.
    Mesh(String),
    /// The root of the control plane in this namespace was replaced.
    Root(String),
    /// The node of this name was stopped.
    Stopped(String),
}

/// Every change, in order.
#[derive(Debug, Default)]
pub struct Ledger(Vec<Entry>);

impl Ledger {
    /// Notes a change.
    pub fn note(&mut self, entry: Entry) {
        if let Entry::Created(id, _) = &entry {
            // What literal commands were to make is there, and known by its uid.
            if let Some(named) =
                self.0.iter_mut().find(|known| matches!(known, Entry::Named(named) if named == id))
            {
                *named = entry;
                return;
            }
        }
        if !self.0.contains(&entry) {
            self.0.push(entry);
        }
    }

    /// The object is gone again: nothing to undo.
    pub fn forget(&mut self, id: &ObjectRef) {
        self.0.retain(|entry| {
            !matches!(entry, Entry::Created(known, _) | Entry::Named(known) | Entry::Patched(known, _) if known == id)
        });
    }

    /// Nothing of the implementation is left.
    pub fn uninstalled(&mut self) {
        self.0.retain(|entry| *entry != Entry::Installed);
    }

    /// Nothing of the control planes is left that the scenario installed.
    pub fn mesh_uninstalled(&mut self) {
        self.0.retain(|entry| !matches!(entry, Entry::Mesh(_)));
    }

    /// Nodes that were stopped and not started again.
    pub fn stopped(&self) -> Vec<String> {
        let stopped = self.0.iter().filter_map(|entry| match entry {
            Entry::Stopped(node) => Some(node.clone()),
            _ => None,
        });
        stopped.collect()
    }

    /// The node runs again.
    pub fn started(&mut self, node: &str) {
        self.0.retain(|entry| !matches!(entry, Entry::Stopped(known) if known == node));
    }

    /// What is there because of the scenario: namespaces, cluster-wide objects, the implementation.
    pub fn kept(&self) -> Vec<String> {
        let own = self.namespaces();
        let kept = self.0.iter().filter_map(|entry| match entry {
            Entry::Created(id, _) | Entry::Named(id)
                if id.namespace.as_ref().is_some_and(|ns| own.contains(ns)) =>
            {
                None
            }
            Entry::Created(id, _) | Entry::Named(id) | Entry::Patched(id, _) => Some(id.to_string()),
            Entry::Installed => Some("the implementation".to_owned()),
            Entry::Mesh(namespace) => Some(format!("Istio in {namespace}")),
            Entry::Root(namespace) => Some(format!("another root of Istio in {namespace}")),
            Entry::Stopped(node) => Some(format!("node {node}, stopped")),
        });
        kept.collect()
    }

    /// Namespaces the scenario created.
    pub fn namespaces(&self) -> Vec<String> {
        let created = self.0.iter().filter_map(|entry| match entry {
            Entry::Created(id, _) | Entry::Named(id) if id.kind.word == "namespace" => Some(id.name.clone()),
            _ => None,
        });
        created.collect()
    }

    /// Namespaces the scenario touched, for the evidence.
    pub fn touched(&self) -> Vec<String> {
        let mut all = self.namespaces();
        for entry in &self.0 {
            if let Entry::Created(id, _) | Entry::Named(id) | Entry::Patched(id, _) = entry {
                all.extend(id.namespace.clone());
            }
        }
        all.sort();
        all.dedup();
        all
    }

    /// Undoes everything, last change first; goes on after trouble and returns all of it. Objects are gone before the
    /// implementation that looks after them is uninstalled.
    pub async fn undo(&mut self, outside: &Outside) -> Vec<String> {
        let mut problems = Vec::new();
        let mut going: Vec<Going> = Vec::new();
        while let Some(entry) = self.0.pop() {
            tracing::debug!(?entry, "undoing");
            let done = match &entry {
                Entry::Created(id, uid) => {
                    let deleted = delete(id, Whose::Made(uid), outside).await;
                    deleted.map(|deleted| going.extend(deleted.of(id, &mut problems)))
                }
                Entry::Named(id) => {
                    let deleted = delete_named(id, outside).await;
                    deleted.map(|deleted| going.extend(deleted.of(id, &mut problems)))
                }
                Entry::Patched(id, patch) => outside.objects.patch(id, patch).await.map(drop),
                Entry::Installed => {
                    problems.extend(gone(outside, but_namespaces(&mut going)).await);
                    outside.installer.uninstall().await.map(drop)
                }
                Entry::Mesh(namespace) => {
                    // With Istio go the definitions of its kinds: nothing of them could be looked for afterwards.
                    problems.extend(gone(outside, but_namespaces(&mut going)).await);
                    outside.mesh.uninstall(std::slice::from_ref(namespace)).await
                }
                Entry::Root(namespace) => outside.mesh.restore_root(namespace).await,
                Entry::Stopped(node) => outside.machines.start(node).await,
            };
            problems.extend(done.err().map(|error| error.to_string()));
        }
        tracing::debug!(left = going.len(), "waiting for the rest to be gone");
        problems.extend(gone(outside, going).await);
        problems
    }
}

/// An object that was deleted and may still be there.
#[derive(Debug, Clone)]
struct Going {
    id: ObjectRef,
    uid: String,
}

impl Deleted {
    /// What goes of an object; why it does not is a problem.
    fn of(self, id: &ObjectRef, problems: &mut Vec<String>) -> Option<Going> {
        match self {
            Self::Going(uid) => Some(Going { id: id.clone(), uid }),
            Self::NotThere => None,
            Self::Left(why) => {
                problems.push(why);
                None
            }
        }
    }
}

/// Takes out everything but namespaces. These may take their time: what is left in them needs no controller.
fn but_namespaces(going: &mut Vec<Going>) -> Vec<Going> {
    let (namespaces, objects) =
        std::mem::take(going).into_iter().partition(|going| going.id.kind.word == "namespace");
    *going = namespaces;
    objects
}

/// Removes what an earlier run left (kept on purpose, or killed before it could clean up): a scenario starts from an untouched
/// cluster. `made` is what its steps make; `installs` says that one installs the implementation afresh. Returns what was there. Only what bears the label of a run goes: whoever runs scenarios holds the cluster, so that
/// any other run is over.
///
/// # Errors
/// It cannot be deleted, does not go away, or is somebody else's.
pub async fn sweep(made: &[ObjectRef], installs: bool, outside: &Outside) -> Result<Vec<String>, PortError> {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    for id in made.iter().rev() {
        match delete(id, Whose::Marked, outside).await? {
            Deleted::Going(uid) => found.push(Going { id: id.clone(), uid }),
            Deleted::NotThere => {}
            Deleted::Left(why) => left.push((id.clone(), why)),
        }
    }
    refuse(&left)?;
    let mut names: Vec<_> = found.iter().map(|going| going.id.to_string()).collect();
    if let Some(left) = gone(outside, found).await.into_iter().next() {
        return Err(PortError::new("removing what an earlier run left", left));
    }
    if installs {
        names.extend(outside.installer.uninstall().await?);
    }
    Ok(names)
}

/// Somebody else has what the scenario would make: it cannot begin.
fn refuse(left: &[(ObjectRef, String)]) -> Result<(), PortError> {
    let Some((first, _)) = left.first() else { return Ok(()) };
    let reasons: Vec<_> = left.iter().map(|(_, why)| why.as_str()).collect();
    let namespace = first.namespace.iter().map(|namespace| format!(" -n {namespace}")).collect::<String>();
    let error = PortError::new("looking for what the scenario would make", reasons.join("; "));
    Err(error.next(format!(
        "rename it or, if it may go, kubectl delete {} {}{namespace}; or run on another cluster",
        first.kind.word, first.name
    )))
}

/// Deletes an object that literal commands may have made.
async fn delete_named(id: &ObjectRef, outside: &Outside) -> Result<Deleted, PortError> {
    match outside.objects.adopt(id).await? {
        Some(uid) => delete(id, Whose::Made(&uid), outside).await,
        None => Ok(Deleted::NotThere),
    }
}

/// Deletes an object; a namespace with no regard for the pods in it.
async fn delete(id: &ObjectRef, whose: Whose<'_>, outside: &Outside) -> Result<Deleted, PortError> {
    let deleted = outside.objects.delete(id, whose).await?;
    if matches!(deleted, Deleted::Going(_)) && id.kind.word == "namespace" {
        outside.objects.end_pods(&id.name).await?;
    }
    Ok(deleted)
}

/// Waits until none of the objects exists any more; says which ones do when the time is up.
async fn gone(outside: &Outside, going: Vec<Going>) -> Vec<String> {
    let deadline = Instant::now() + outside.gone;
    let mut problems = Vec::new();
    // What lives in a namespace that goes away goes with it.
    let namespaces: Vec<_> =
        going.iter().filter(|one| one.id.kind.word == "namespace").map(|one| one.id.name.clone()).collect();
    if let Err(error) = outside.objects.finish(&namespaces).await {
        problems.push(error.to_string());
    }
    let lone = going.iter().filter(|one| one.id.namespace.as_ref().is_none_or(|ns| !namespaces.contains(ns)));
    let mut sets: BTreeMap<(&str, Option<String>), Vec<&Going>> = BTreeMap::new();
    for one in lone {
        sets.entry((one.id.kind.word, one.id.namespace.clone())).or_default().push(one);
    }
    for going in sets.into_values() {
        let Some(Going { id: first, .. }) = going.first() else { continue };
        let name = (going.len() == 1).then(|| first.name.clone());
        let query = Query { kind: first.kind, namespace: first.namespace.clone(), name };
        if let Err(left) = wait_gone(outside, &query, &going, deadline).await {
            problems.push(left.to_string());
        }
    }
    problems
}

async fn wait_gone(
    outside: &Outside,
    query: &Query,
    going: &[&Going],
    deadline: Instant,
) -> Result<(), PortError> {
    let mut stream = outside.objects.observe(query);
    let mut left = "nothing could be listed".to_owned();
    while let Ok(Some(snapshot)) = timeout_at(deadline, stream.next()).await {
        match snapshot {
            Ok(objects) => {
                // One of the same name that was made since is another one.
                let same = |one: &Going| {
                    objects.iter().find(|object| {
                        object["metadata"]["name"] == one.id.name && object["metadata"]["uid"] == one.uid
                    })
                };
                let still: Vec<_> =
                    going.iter().filter_map(|one| same(one).map(|object| (&one.id, object))).collect();
                if still.is_empty() {
                    return Ok(());
                }
                left = still.iter().map(|(id, object)| lingering(id, object)).collect::<Vec<_>>().join("; ");
            }
            Err(error) => left = error.to_string(),
        }
    }
    let doing = format!("waiting until what the scenario created is gone ({:?})", outside.gone);
    Err(PortError::new(doing, left)
        .next("kubectl get and describe the objects named; finalizers may hold them"))
}

/// Why an object is still there.
fn lingering(id: &ObjectRef, object: &Value) -> String {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let telling = conditions.iter().filter(|c| c["status"] == "True" && id.kind.word == "namespace");
    let reasons: Vec<_> = telling.filter_map(|c| c["message"].as_str()).collect();
    let finalizers = &object["metadata"]["finalizers"];
    match (reasons.is_empty(), finalizers.is_null()) {
        (false, _) => format!("{id} is still there: {}", reasons.join("; ")),
        (true, false) => format!("{id} is still there with finalizers {finalizers}"),
        (true, true) => format!("{id} is still there"),
    }
}
