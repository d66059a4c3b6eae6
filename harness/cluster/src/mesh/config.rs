//! Istio's MeshConfig, as far as evidence depends on it (`istio.io/docs`, "Global Mesh Options"). It is read field by field: what
//! is not understood of the rest does not matter.

use std::time::Duration;

use serde_json::Value;

use super::selector::Selector;
use meshproof_model::yaml;

/// A MeshConfig.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Config(Value);

impl Config {
    /// Reads it. As istiod does, later texts are put over earlier ones, field by field.
    pub(super) fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut merged = Value::Null;
        for text in texts {
            let documents: Vec<Value> = yaml::documents(text).map_err(|error| error.to_string())?;
            for document in documents {
                if !document.is_object() {
                    return Err("it is no mapping".to_owned());
                }
                put_over(&mut merged, document);
            }
        }
        Ok(Self(merged))
    }

    /// A field's text; nothing where it is missing or empty.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0[field].as_str().filter(|text| !text.is_empty())
    }

    /// How long sidecars go on with connections whose configuration has changed, if the mesh says.
    pub(super) fn drain(&self) -> Result<Option<Duration>, String> {
        let Some(given) = self.0["defaultConfig"]["drainDuration"].as_str() else { return Ok(None) };
        let seconds = given.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
        let read = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        read.map(Some)
            .ok_or_else(|| format!("defaultConfig.drainDuration: `{given}` is no duration such as 45s"))
    }

    /// Which namespaces istiod looks at; all if there is none.
    pub(super) fn discovery_selectors(&self) -> Vec<Selector> {
        self.0["discoverySelectors"].as_array().into_iter().flatten().map(Selector::of).collect()
    }

    /// Whether sidecars lead nowhere but to what the mesh knows.
    pub(super) fn registry_only(&self) -> bool {
        self.0["outboundTrafficPolicy"]["mode"] == "REGISTRY_ONLY"
    }

    /// Names of the providers that take the access logs of the whole mesh.
    pub(super) fn default_log_providers(&self) -> Vec<String> {
        let names = self.0["defaultProviders"]["accessLogging"].as_array();
        names.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }

    /// A provider that the mesh defines.
    pub(super) fn provider(&self, name: &str) -> Option<&Value> {
        let providers = self.0["extensionProviders"].as_array();
        providers.into_iter().flatten().find(|provider| provider["name"] == name)
    }
}

/// Objects are joined, anything else takes the place of what was there.
fn put_over(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                put_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, more) => *base = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_says_is_put_over_what_its_users_say() {
        let shared = "accessLogFile: /dev/stdout\ntrustDomain: theirs\ndefaultConfig: {drainDuration: 20s, concurrency: 1}\n";
        let own = "trustDomain: cluster.local\ndefaultConfig: {drainDuration: 5s}\n";
        let config = Config::read([shared, own]).unwrap();
        assert_eq!(config.text("accessLogFile"), Some("/dev/stdout"));
        assert_eq!(config.text("trustDomain"), Some("cluster.local"));
        assert_eq!(config.drain(), Ok(Some(Duration::from_secs(5))));
        assert_eq!(config.0["defaultConfig"]["concurrency"], 1);
    }

    #[test]
    fn nothing_is_as_good_as_no_config() {
        for text in ["", "# nothing yet\n", "{}", "trustDomain: ''\ndiscoverySelectors:\n"] {
            let config = Config::read([text]).unwrap();
            assert_eq!(config.text("trustDomain"), None, "{text}");
            assert!(config.discovery_selectors().is_empty() && !config.registry_only(), "{text}");
            assert_eq!(config.drain(), Ok(None), "{text}");
        }
        assert!(Config::read(["- a list"]).is_err());
        assert!(Config::read(["defaultConfig: {drainDuration: soon}"]).unwrap().drain().is_err());
    }

    #[test]
    fn what_keeps_traffic_in_is_known() {
        let config = Config::read(["outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"]).unwrap();
        assert!(config.registry_only());
        assert!(!Config::read(["outboundTrafficPolicy: {mode: ALLOW_ANY}\n"]).unwrap().registry_only());
    }
}
