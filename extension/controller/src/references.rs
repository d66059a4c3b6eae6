//! Watches of single ConfigMaps that other objects refer to. Nobody else's are asked for: a ConfigMap may hold anything.

use crate::watch::refusal;
use crate::world::{CaBundle, Difference, Key, Watched, World};
use futures::StreamExt as _;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Answers that may wait for the loop.
const ANSWERS: usize = 16;

/// What a watch of one ConfigMap reported.
#[derive(Debug)]
pub struct Answer {
    key: Key,
    /// The ConfigMap as it is now, none if there is none, or why it cannot be read.
    content: Result<Option<DynamicObject>, String>,
}

/// The watches.
pub struct References {
    client: kube::Client,
    answers: mpsc::Sender<Answer>,
    followed: BTreeMap<Key, Followed>,
}

struct Followed {
    /// Ends with the entry.
    _watch: AbortOnDropHandle<()>,
    answered: bool,
}

impl References {
    /// No watches yet, and where their answers will come from.
    pub fn new(client: kube::Client) -> (Self, mpsc::Receiver<Answer>) {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        (Self { client, answers, followed: BTreeMap::new() }, receiver)
    }

    /// Watches these ConfigMaps and no others. Until the API server has answered for one, the world does not have it.
    pub fn follow(&mut self, wanted: &BTreeSet<Key>, world: &mut World) {
        let gone: Vec<Key> = self.followed.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
        for key in gone {
            self.followed.remove(&key);
            world.remove(Watched::ConfigMap, &key);
        }
        for key in wanted {
            if !self.followed.contains_key(key) {
                let watch = tokio::spawn(watch(key.clone(), self.client.clone(), self.answers.clone()));
                let followed = Followed { _watch: AbortOnDropHandle::new(watch), answered: false };
                self.followed.insert(key.clone(), followed);
            }
        }
    }

    /// Takes an answer into the world. Returns whether there is something to be done about it.
    pub fn absorb(&mut self, answer: Answer, world: &mut World) -> bool {
        let Answer { key, content } = answer;
        // Sent before the watch was given up.
        let Some(followed) = self.followed.get_mut(&key) else { return false };
        let first = !std::mem::replace(&mut followed.answered, true);
        let changed = match content {
            Ok(Some(object)) => world.apply(Watched::ConfigMap, object) != Difference::None,
            Ok(None) => world.set_ca_bundle(key, CaBundle::Absent),
            // What was known before goes on being right until something else is known.
            Err(_) if !first => false,
            Err(problem) => {
                world.set_ca_bundle(key, CaBundle::Unusable(format!("cannot be read: {problem}")))
            }
        };
        first || changed
    }
}

async fn watch(key: Key, client: kube::Client, answers: mpsc::Sender<Answer>) {
    let resource = Watched::ConfigMap.resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, &resource);
    let mut contents = std::pin::pin!(watcher::watch_object(api, &key.name).default_backoff());
    while let Some(content) = contents.next().await {
        let content = match content {
            Ok(object) => Ok(object),
            Err(error) => {
                tracing::warn!(config_map = %key, %error, "watch interrupted; it will be resumed");
                // Anything else passes; this the API server means.
                match refusal(&error) {
                    Some(status) => Err(status.message.clone()),
                    None => continue,
                }
            }
        };
        if answers.send(Answer { key: key.clone(), content }).await.is_err() {
            return;
        }
    }
}
