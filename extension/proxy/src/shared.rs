//! What all connections and requests of the proxy have in common.

use crate::config::Config;
use crate::exchange::Reporter;
use crate::settings::Settings;
use crate::upstream::Sender;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) struct Shared {
    pub(crate) config: ArcSwap<Config>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) sender: Sender,
    pub(crate) reporter: Reporter,
    /// The end is announced: answers close their connections.
    pub(crate) draining: CancellationToken,
    /// The deadline of the drain has passed: what is still open is cut off.
    pub(crate) abort: CancellationToken,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) requests: Arc<Semaphore>,
    /// Accept loops and connections.
    pub(crate) tasks: TaskTracker,
}
