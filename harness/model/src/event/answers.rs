//! Answers to requests, as events carry them: counted, over time, and those of constant traffic.

use serde::{Deserialize, Serialize};

/// Equal answers to the requests of one claim, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerGroup {
    /// HTTP status, or nothing when there was no answer.
    pub status: Option<u16>,
    /// Why there was no answer (`reset`, `timeout` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Workload that answered (`backend-v1`), if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// The gateway's own word for what happened (`ok`, `no_endpoint` …), if it was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many.
    pub count: usize,
}

/// Who ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// Nobody answered: the client's own connection was refused, reset or stayed silent.
    Connection,
    /// The gateway answered by itself.
    Gateway,
    /// A sidecar answered instead of its application.
    Sidecar,
    /// A backend answered.
    Backend,
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Connection => "connection",
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
            Self::Backend => "backend",
        })
    }
}

/// Equal answers in a row: requests over time, run-length encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// When its first request started; what it counts from is said where the stretch stands.
    pub at_ms: u64,
    /// When its last request started, on the same clock.
    pub until_ms: u64,
    /// Who ended the exchanges.
    pub hop: Hop,
    /// What was answered, and how often in a row.
    #[serde(flatten)]
    pub answers: AnswerGroup,
}

/// A request of constant traffic that was not answered as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficFailure {
    /// When the request started, since the traffic began.
    pub at_ms: u64,
    /// HTTP status, or nothing when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, in a word: the gateway's own (`no_endpoint` …) or how the connection failed (`reset`, `timeout` …).
    pub reason: String,
    /// Who ended the exchange.
    pub hop: Hop,
    /// What came back, in one line.
    pub seen: String,
}

/// Constant traffic while other steps ran: what a claim of continuity saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// When it began, since the start of the scenario.
    pub started_ms: u64,
    /// From the first request to the last answer.
    pub lasted_ms: u64,
    /// Requests per second that were to be sent.
    pub rate: f64,
    /// Requests sent.
    pub sent: u64,
    /// Every answer, counted, in order of first appearance.
    pub answers: Vec<AnswerGroup>,
    /// The same over time, from `started_ms`, in the order the requests started.
    pub stretches: Vec<Stretch>,
    /// Every request that was not answered as wanted, in the order they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<TrafficFailure>,
    /// The longest time between the starts of two requests answered as wanted (from the start, and to the end, as
    /// well): how long a client saw nothing but failures.
    pub longest_gap_ms: u64,
}
