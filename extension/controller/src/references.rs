//! Watches of what other objects refer to: single ConfigMaps and Secrets, for they may hold anything and nobody else's are
//! asked for, and the pods of single namespaces, for those of the others matter to nobody.

use crate::watch::refusal;
use crate::world::{CaBundle, Difference, Key, TlsSecret, Watched, World, of_namespace};
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Answers that may wait for the loop.
const ANSWERS: usize = 64;

/// What is to be watched: a ConfigMap or a Secret, or the pods of a namespace (the name is empty then).
pub type Reference = (Watched, Key);

/// What a watch reported.
#[derive(Debug)]
pub struct Answer {
    reference: Reference,
    news: News,
}

#[derive(Debug)]
enum News {
    /// The object as it is now, none if there is none, or why it cannot be read.
    Object(Result<Option<Box<DynamicObject>>, String>),
    /// A step of the watch of a namespace.
    Step(Box<Event<DynamicObject>>),
}

/// The watches.
pub struct References {
    client: kube::Client,
    answers: mpsc::Sender<Answer>,
    followed: BTreeMap<Reference, Followed>,
}

struct Followed {
    /// Ends with the entry.
    _watch: AbortOnDropHandle<()>,
    answered: bool,
    /// What has been seen during a list: the rest is gone at its end.
    seen: BTreeSet<Key>,
}

impl References {
    /// No watches yet, and where their answers will come from.
    pub fn new(client: kube::Client) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        (Self { client, answers, followed: BTreeMap::new() }, receiver)
    }

    /// Watches these and no others. Until the API server has answered for one, the world does not have it.
    pub fn follow(&mut self, wanted: &BTreeSet<Reference>, world: &mut World) {
        let gone: Vec<Reference> =
            self.followed.keys().filter(|reference| !wanted.contains(*reference)).cloned().collect();
        for reference in gone {
            self.followed.remove(&reference);
            match &reference {
                (Watched::Pod, of) => world.forget_pods(&of.namespace),
                (kind, key) => drop(world.remove(*kind, key)),
            }
        }
        for reference in wanted {
            if !self.followed.contains_key(reference) {
                let (client, answers) = (self.client.clone(), self.answers.clone());
                let watch = match reference.0 {
                    Watched::Pod => tokio::spawn(watch_namespace(reference.clone(), client, answers)),
                    _ => tokio::spawn(watch_object(reference.clone(), client, answers)),
                };
                let watch = AbortOnDropHandle::new(watch);
                let followed = Followed { _watch: watch, answered: false, seen: BTreeSet::new() };
                self.followed.insert(reference.clone(), followed);
            }
        }
    }

    /// Takes an answer into the world. Returns whether there is something to be done about it.
    pub fn absorb(&mut self, answer: Answer, world: &mut World) -> bool {
        let Answer { reference, news } = answer;
        // Sent before the watch was given up.
        let Some(followed) = self.followed.get_mut(&reference) else { return false };
        let (kind, key) = reference;
        match news {
            News::Step(event) => step(followed, &key.namespace, *event, world),
            News::Object(content) => {
                let first = !std::mem::replace(&mut followed.answered, true);
                let changed = match content {
                    Ok(Some(object)) => world.apply(kind, *object) != Difference::None,
                    Ok(None) => absent(kind, key, world),
                    // What was known before goes on being right until something else is known.
                    Err(_) if !first => false,
                    Err(problem) => unusable(kind, key, format!("cannot be read: {problem}"), world),
                };
                first || changed
            }
        }
    }
}

fn absent(kind: Watched, key: Key, world: &mut World) -> bool {
    match kind {
        Watched::Certificate => world.set_tls_secret(key, TlsSecret::Absent),
        _ => world.set_ca_bundle(key, CaBundle::Absent),
    }
}

fn unusable(kind: Watched, key: Key, problem: String, world: &mut World) -> bool {
    match kind {
        Watched::Certificate => world.set_tls_secret(key, TlsSecret::Unusable(problem)),
        _ => world.set_ca_bundle(key, CaBundle::Unusable(problem)),
    }
}

/// One step of the watch of a namespace's pods.
fn step(followed: &mut Followed, namespace: &str, event: Event<DynamicObject>, world: &mut World) -> bool {
    let key_of =
        |object: &DynamicObject| Key::new(namespace, object.metadata.name.clone().unwrap_or_default());
    match event {
        Event::Apply(object) => world.apply(Watched::Pod, object) != Difference::None,
        Event::Delete(object) => world.remove(Watched::Pod, &key_of(&object)),
        Event::Init => {
            followed.seen.clear();
            false
        }
        Event::InitApply(object) => {
            followed.seen.insert(key_of(&object));
            world.apply(Watched::Pod, object) != Difference::None
        }
        Event::InitDone => {
            let seen = std::mem::take(&mut followed.seen);
            let known = of_namespace(&world.pods, namespace).map(|(key, _)| key.clone());
            let gone: Vec<Key> = known.filter(|key| !seen.contains(key)).collect();
            for key in &gone {
                world.remove(Watched::Pod, key);
            }
            world.know_pods(namespace) || !gone.is_empty()
        }
    }
}

async fn watch_object(reference: Reference, client: kube::Client, answers: mpsc::Sender<Answer>) {
    let (kind, key) = &reference;
    let resource = kind.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, &resource);
    let mut contents = std::pin::pin!(watcher::watch_object(api, &key.name).default_backoff());
    while let Some(content) = contents.next().await {
        let content = match content {
            Ok(object) => Ok(object.map(Box::new)),
            Err(error) => {
                tracing::warn!(resource = resource.plural, %key, %error, "watch interrupted; it will be resumed");
                // Anything else passes; this the API server means.
                match refusal(&error) {
                    Some(status) => Err(status.message.clone()),
                    None => continue,
                }
            }
        };
        let answer = Answer { reference: reference.clone(), news: News::Object(content) };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

async fn watch_namespace(reference: Reference, client: kube::Client, answers: mpsc::Sender<Answer>) {
    let (kind, of) = &reference;
    let api: Api<DynamicObject> = Api::namespaced_with(client, &of.namespace, &kind.resource());
    let config = watcher::Config::default().page_size(crate::watch::PAGE_SIZE);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(namespace = of.namespace, %error, "watch of pods interrupted; it will be resumed");
                continue;
            }
        };
        let answer = Answer { reference: reference.clone(), news: News::Step(Box::new(event)) };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}
