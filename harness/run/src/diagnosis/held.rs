//! What a sidecar really does with a port: its own configuration, not the policies it ought to keep.

use serde_json::Value;

use super::{
    Facts,
    facts::{items, name_of, text},
    peer::Mode,
};

/// What a sidecar does, as its Envoy's dump shows it, and since when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// What it does with connections to the port.
    pub(super) mode: Mode,
    /// When its inbound listener was last changed (RFC 3339).
    pub(super) since: String,
}

/// What the sidecar of a pod does with a port; nothing where it could not be asked, or takes no connections for others.
pub(super) fn held(facts: &Facts, pod: &Value, port: u64) -> Option<Held> {
    let dump = facts.sidecars.get(&name_of(pod))?;
    let listeners = items(&dump["configs"]).iter().flat_map(|config| items(&config["dynamic_listeners"]));
    let inbound = listeners.into_iter().find(|listener| listener["name"] == "virtualInbound")?;
    let state = &inbound["active_state"];
    let chains = items(&state["listener"]["filter_chains"]).iter();
    let wanted = |chain: &&Value| chain["filter_chain_match"]["destination_port"].as_u64() == Some(port);
    let of_port: Vec<&Value> = chains.filter(wanted).collect();
    let encrypted = of_port.iter().filter(|chain| !chain["transport_socket"].is_null()).count();
    let mode = match (of_port.len(), encrypted) {
        (0, _) => return None,
        (_, 0) => Mode::Disable,
        (all, encrypted) if all == encrypted => Mode::Strict,
        _ => Mode::Permissive,
    };
    Some(Held { mode, since: text(&state["last_updated"]).to_owned() })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// The part of a dump that matters: whether each filter chain of port 3000 takes TLS off.
    pub(in crate::diagnosis) fn dump(port: u64, chains: &[bool], updated: &str) -> Value {
        let chain = |tls: &bool| {
            let mut chain = json!({"filter_chain_match": {"destination_port": port}});
            if *tls {
                chain["transport_socket"] = json!({"name": "envoy.transport_sockets.tls"});
            }
            chain
        };
        let chains: Vec<Value> = chains.iter().map(chain).collect();
        json!({"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"},
            {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [
            {"name": "virtualOutbound"},
            {"name": "virtualInbound", "active_state": {"last_updated": updated, "listener": {"filter_chains": chains}}}]}]})
    }

    #[test]
    fn the_filter_chains_of_the_port_tell_the_mode() {
        let pod = json!({"metadata": {"namespace": "shop", "name": "backend-a"}});
        let mode = |chains: &[bool]| {
            let mut facts = Facts::default();
            facts.sidecars.insert("shop/backend-a".into(), dump(3000, chains, "2026-11-23T16:00:00Z"));
            held(&facts, &pod, 3000).map(|held| held.mode)
        };
        assert_eq!(mode(&[true, true]), Some(Mode::Strict));
        assert_eq!(mode(&[true, false, false]), Some(Mode::Permissive));
        assert_eq!(mode(&[false]), Some(Mode::Disable));
        assert_eq!(mode(&[]), None);
        assert_eq!(held(&Facts::default(), &pod, 3000), None);
    }
}
