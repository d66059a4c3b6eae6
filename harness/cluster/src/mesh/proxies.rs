//! What a mesh sets for all of its sidecars when they are injected: ConfigMap `istio-sidecar-injector` (`-<revision>`), which holds
//! the values of Istio's chart and the policy of injection.

use serde_json::Value;

use meshproof_model::yaml;

/// A setting for all sidecars by which what comes to a pod may pass them by, or none is injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSidecars {
    /// The setting, by its name in Istio's chart, with its value.
    pub setting: String,
    /// The ports that it is about; all if there is none.
    pub ports: Vec<u16>,
    /// Whether it is these ports that go past the sidecar, and not all others.
    pub excludes: bool,
}

impl PastSidecars {
    /// Whether what comes to a port passes the sidecar by.
    pub(crate) fn concerns(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port) == self.excludes
    }
}

/// The settings of a ConfigMap: its keys `values` (JSON) and `config` (YAML).
pub(super) fn past_sidecars(values: &str, config: &str) -> Vec<PastSidecars> {
    let values: Value = serde_json::from_str(values).unwrap_or_default();
    let config: Value = yaml::documents(config).ok().and_then(|mut all| all.pop()).unwrap_or_default();
    let mut found = Vec::new();
    let policy = config["policy"].as_str().unwrap_or("enabled");
    if policy != "enabled" {
        let setting = format!("global.proxy.autoInject: {policy}");
        found.push(PastSidecars { setting, ports: Vec::new(), excludes: true });
    }
    let proxy = &values["global"]["proxy"];
    for (name, excludes) in [("includeInboundPorts", false), ("excludeInboundPorts", true)] {
        let given = proxy[name].as_str().unwrap_or_default().trim();
        if given.is_empty() || given == "*" {
            continue;
        }
        let ports = given.split(',').filter_map(|port| port.trim().parse().ok()).collect();
        found.push(PastSidecars { setting: format!("global.proxy.{name}: {given}"), ports, excludes });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(proxy: &str, policy: &str) -> Vec<(String, bool)> {
        let settings = past_sidecars(&format!(r#"{{"global": {{"proxy": {proxy}}}}}"#), policy);
        settings
            .into_iter()
            .map(|setting| (setting.concerns(3000), setting.setting))
            .map(|(c, s)| (s, c))
            .collect()
    }

    #[test]
    fn what_istios_chart_sets_by_itself_is_no_matter() {
        let stock = r#"{"autoInject": "enabled", "includeInboundPorts": "*", "excludeInboundPorts": ""}"#;
        assert!(found(stock, "policy: enabled\ntemplates: {}\n").is_empty());
        assert!(past_sidecars("", "").is_empty() && past_sidecars("{", "a: [").is_empty());
    }

    #[test]
    fn ports_that_pass_sidecars_by_are_known() {
        let excluded = found(r#"{"excludeInboundPorts": "9090, 3000"}"#, "");
        assert_eq!(excluded, [("global.proxy.excludeInboundPorts: 9090, 3000".to_owned(), true)]);
        assert!(!found(r#"{"excludeInboundPorts": "9090"}"#, "")[0].1);
        assert!(found(r#"{"includeInboundPorts": "8080"}"#, "")[0].1, "it is not among them");
        assert!(!found(r#"{"includeInboundPorts": "8080,3000"}"#, "")[0].1);
        assert_eq!(found("{}", "policy: disabled"), [("global.proxy.autoInject: disabled".to_owned(), true)]);
    }
}
