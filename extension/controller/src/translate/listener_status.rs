//! Status of listeners: those of a Gateway and those of a ListenerSet have one form.

use super::condition::{Condition, Settling};
use serde::Serialize;

/// Status of a ListenerSet.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ListenerSetStatus {
    /// Conditions of the ListenerSet.
    pub conditions: Vec<Condition>,
    /// Listeners, in the order of the specification; none when the Gateway does not take them.
    pub listeners: Vec<ListenerStatus>,
    /// Whether to wait a moment before it is written.
    pub settling: Settling,
}

/// Status of a listener.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ListenerStatus {
    /// Name, the same as in the specification (R34).
    pub name: String,
    /// Attached routes (R33).
    pub attached_routes: u32,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Whether `supportedKinds` holds HTTPRoute (R35).
    pub serves_http_routes: bool,
    /// Whether `supportedKinds` holds GRPCRoute. Most do: dumps say so only of the others.
    #[serde(skip_serializing_if = "is_true")]
    pub serves_grpc_routes: bool,
    /// Whether `supportedKinds` holds TLSRoute, and nothing else then.
    #[serde(skip_serializing_if = "is_false")]
    pub serves_tls_routes: bool,
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}
