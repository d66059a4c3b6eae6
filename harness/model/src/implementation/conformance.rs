//! What the Gateway API's own conformance suite is told of a gateway.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde_json::Value;

use super::Implementation;

/// How the suite is run against it, and what its report calls it (Gateway API, `ConformanceReport.implementation`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConformanceOf {
    /// Profiles that it is put to, e.g. `GATEWAY-HTTP`.
    pub profiles: Vec<String>,
    /// Whose it is.
    pub organization: String,
    /// Where to read more.
    pub url: String,
    /// Whom to ask.
    pub contact: Vec<String>,
    /// Features that it claims beside those of its GatewayClass's status.
    pub features: Vec<String>,
    /// Values over those of its releases, by release: Gateways of the suite have no annotations, say.
    pub values: BTreeMap<String, Value>,
    /// Manifests that are applied before, and removed afterwards.
    pub manifests: Vec<PathBuf>,
    /// An address that a Gateway may ask for; without it, one of the cluster's own load balancer.
    pub usable_address: Option<IpAddr>,
    /// An address that no Gateway can have; without it, [`NOBODYS_ADDRESS`].
    pub unusable_address: Option<IpAddr>,
}

/// An address that no load balancer hands out: it is for documentation (RFC 5737, section 3).
pub const NOBODYS_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

impl Implementation {
    /// The same with the values that the suite needs.
    #[must_use]
    pub fn for_conformance(mut self) -> Self {
        let over = self.conformance.as_ref().map(|part| part.values.clone()).unwrap_or_default();
        for release in &mut self.releases {
            if let Some(over) = over.get(&release.name) {
                merge(&mut release.values, over);
            }
        }
        self
    }
}

/// Merges objects key by key; anything else is replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
