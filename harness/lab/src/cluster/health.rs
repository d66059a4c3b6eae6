//! Whether a cluster answers, without ever taking silence for death.

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::network::network_name;
use super::state::{self, ContainerState, Record, StateDir, Verdict};
use super::{Cluster, ClusterError, api, docker};
use crate::cache::Cache;
use crate::command::CommandError;
use crate::engine::{self, Engine};
use meshproof_model::progress::{Phase, Progress};

/// A machine of two cores that compiles, builds images and starts nodes at once has been seen to take a quarter of it.
const ANSWERS: Duration = Duration::from_secs(120);
/// One question; after that it is asked anew, on a connection of its own.
const ONE_ANSWER: Duration = Duration::from_secs(20);
/// From one question to the next.
const PACE: Duration = Duration::from_millis(250);

/// The engine that was recorded for a cluster, if it is not this one and may still run.
pub(super) fn elsewhere(cache: &Cache, record: Option<&Record>, engine: &Engine) -> Option<String> {
    let private = engine::private_host(cache);
    not_in(record, engine.host(), !engine::private_runs(cache), &private)
}

pub(super) fn paused(name: &str, nodes: &[String]) -> ClusterError {
    let nodes = nodes.join(" ");
    ClusterError::Silent {
        name: name.to_owned(),
        tried: "docker inspect".to_owned(),
        seen: format!("paused: {nodes}; let it go on with `docker unpause {nodes}`"),
    }
}

pub(super) fn is_elsewhere(name: &str, recorded: &str, used: &str) -> ClusterError {
    ClusterError::Silent {
        name: name.to_owned(),
        tried: format!("the Docker Engine at {used}, which has no such nodes"),
        seen: format!(
            "the cluster was made in the one at {recorded}: name that one with DOCKER_HOST={recorded}"
        ),
    }
}

pub(super) fn silent_engine(name: &str, engine: &Engine, error: &CommandError) -> ClusterError {
    ClusterError::Silent {
        name: name.to_owned(),
        tried: format!("the Docker Engine at {}", engine.host()),
        seen: error.to_string(),
    }
}

fn not_in(record: Option<&Record>, used: &str, private_is_over: bool, private: &str) -> Option<String> {
    let recorded = record?.engine.clone()?;
    let over = recorded == private && private_is_over;
    (recorded != used && !over).then_some(recorded)
}

impl Cluster {
    /// The condition of the cluster of this name, as far as records and the engine tell. Nothing is started.
    ///
    /// # Errors
    /// The engine could not be asked.
    pub async fn condition(cache: &Cache, state: &StateDir, name: &str) -> Result<Verdict, ClusterError> {
        let recorded = state.recorded();
        let network = network_name(name);
        let Some(engine) = engine::find(cache).await? else {
            // The containers of an engine of ours end with it; what became of another one is not known.
            let host = engine::private_host(cache);
            let other =
                recorded.known().and_then(|record| record.engine.clone()).filter(|engine| *engine != host);
            return Ok(state::condition(&recorded, &[], &network, other.as_deref()));
        };
        let seen =
            docker::containers(&engine, name).await.map_err(|error| silent_engine(name, &engine, &error))?;
        let elsewhere = elsewhere(cache, recorded.known(), &engine);
        Ok(state::condition(&recorded, &seen, &network, elsewhere.as_deref()))
    }

    /// A client, once the API server calls itself ready. Waits as long as a busy machine may take.
    ///
    /// # Errors
    /// [`ClusterError::Silent`]: what was tried and what was seen. Nothing is changed.
    pub(super) async fn answering(&self, progress: &dyn Progress) -> Result<Client, ClusterError> {
        self.answering_within(ANSWERS, progress).await
    }

    pub(super) async fn answering_within(
        &self,
        limit: Duration,
        progress: &dyn Progress,
    ) -> Result<Client, ClusterError> {
        let server = api::server_of(&self.kubeconfig);
        let silent = |seen: String| ClusterError::Silent {
            name: self.name.clone(),
            tried: format!("its API server at {}", server.as_deref().unwrap_or("an unknown address")),
            seen,
        };
        let client = self.client().await.map_err(|error| silent(error.to_string()))?;
        let until = Instant::now() + limit;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase: Option<Phase<'_>> = None;
        loop {
            pace.tick().await;
            let left = until.saturating_duration_since(Instant::now());
            let seen = match timeout(ONE_ANSWER.min(left), api::readyz(&client)).await {
                Ok(Ok(())) => {
                    phase.map(Phase::done);
                    return Ok(client);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it accepts connections, if any, and says nothing".to_owned(),
            };
            if let Some(over) = self.not_running().await? {
                return Err(silent(over));
            }
            if Instant::now() >= until {
                let seconds = limit.as_secs();
                return Err(silent(format!("{seen} (asked for {seconds} s; its nodes run)")));
            }
            let waiting =
                || Phase::start(progress, format!("wait for cluster {} to answer", self.name), None);
            phase.get_or_insert_with(waiting).note(&seen);
        }
    }

    /// Says which node stopped, or was stopped, while the API server was asked.
    async fn not_running(&self) -> Result<Option<String>, ClusterError> {
        let seen = docker::containers(&self.engine, &self.name).await?;
        let still = seen.iter().find(|node| node.state == ContainerState::Paused || node.state.has_ended());
        Ok(still.map(|node| {
            if node.state == ContainerState::Paused {
                format!("node {} was paused; let it go on with `docker unpause {}`", node.name, node.name)
            } else {
                format!("node {} ended", node.name)
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::state::Stage;
    use crate::cluster::state::tests::record;

    #[test]
    fn a_cluster_in_another_engine_is_elsewhere_unless_that_engine_was_ours_and_is_over() {
        let recorded = |host: &str| Record { engine: Some(host.to_owned()), ..record(Stage::Ready) };
        let elsewhere = |record: &Record, over| not_in(Some(record), "unix:///one", over, "unix:///private");
        assert_eq!(elsewhere(&recorded("unix:///one"), false), None);
        assert_eq!(elsewhere(&recorded("unix:///other"), true).as_deref(), Some("unix:///other"));
        assert_eq!(elsewhere(&recorded("unix:///private"), false).as_deref(), Some("unix:///private"));
        assert_eq!(elsewhere(&recorded("unix:///private"), true), None);
        assert_eq!(elsewhere(&record(Stage::Ready), false), None);
        assert_eq!(not_in(None, "unix:///one", false, "unix:///private"), None);
    }
}
