//! Which access log sidecars keep of what comes in: that of the MeshConfig, or the one that the Telemetry API asks for instead
//! (`istio.io/docs`, "Telemetry"; it decides as soon as one of its objects speaks of access logs).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::config::Config;
use super::log_form::{LogForm, is_output};

/// The provider that every mesh has: its form is the MeshConfig's own.
const BUILT_IN: &str = "envoy";

/// The access log, and which setting decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The form of its lines.
    pub form: LogForm,
    /// What switches it on, off or elsewhere: `meshConfig.accessLogFile`, or an object.
    pub by: String,
    /// What says what a line holds.
    pub form_by: String,
}

impl AccessLog {
    /// What sidecars of the mesh keep, by its config and the Telemetry objects of its root namespace.
    pub(super) fn of(config: &Config, telemetries: &[Value]) -> Result<Self, String> {
        let wanted = oldest(telemetries);
        let entries = wanted.and_then(|telemetry| telemetry["spec"]["accessLogging"].as_array());
        let providers = match entries.filter(|entries| !entries.is_empty()) {
            Some(entries) => merged(entries, &config.default_log_providers()),
            None => config.default_log_providers().into_iter().map(|name| (name, Wanted::All)).collect(),
        };
        let by = match wanted.filter(|_| entries.is_some()) {
            Some(telemetry) => {
                let metadata = &telemetry["metadata"];
                let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
                format!("Telemetry {}/{} (spec.accessLogging)", text("namespace"), text("name"))
            }
            None => "meshConfig.defaultProviders.accessLogging".to_owned(),
        };
        // Those that the mesh does not know are passed over; without any that it knows, everything is as without.
        let known: Vec<_> = providers
            .iter()
            .filter(|(name, _)| config.provider(name).is_some() || *name == BUILT_IN)
            .collect();
        if known.is_empty() {
            return Self::of_config(config);
        }
        let mut all = Vec::new();
        for (name, wanted) in known {
            all.push(Self::of_provider(config, name, *wanted, &by)?);
        }
        // Of several the one that tells most.
        all.sort_by_key(|log| (log.form == LogForm::Off, !log.form.has("DOWNSTREAM_PEER_URI_SAN")));
        let off = Self { form: LogForm::Off, form_by: by.clone(), by };
        Ok(all.into_iter().next().unwrap_or(off))
    }

    fn of_config(config: &Config) -> Result<Self, String> {
        Ok(Self {
            form: config_form(config, config.text("accessLogFile").unwrap_or_default())?,
            by: "meshConfig.accessLogFile".to_owned(),
            form_by: "meshConfig.accessLogFormat".to_owned(),
        })
    }

    fn of_provider(config: &Config, name: &str, wanted: Wanted, by: &str) -> Result<Self, String> {
        let file = config.provider(name).map(|provider| &provider["envoyFileAccessLog"]);
        let path = file.map_or(Some("/dev/stdout"), |file| match file.is_object() {
            true => Some(file["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("/dev/stdout")),
            // It goes to a service.
            false => None,
        });
        let format = file.map_or(&Value::Null, |file| &file["logFormat"]);
        let own = format!("meshConfig.extensionProviders ({name})");
        let form_by = match name == BUILT_IN && format.is_null() {
            true => "meshConfig.accessLogFormat".to_owned(),
            false => format!("{own}.envoyFileAccessLog.logFormat"),
        };
        let log = |form, by: String| Self { form, by, form_by: form_by.clone() };
        let (Wanted::All, Some(path)) = (wanted, path) else {
            return Ok(log(LogForm::Off, by.to_owned()));
        };
        if !is_output(path) {
            return Ok(log(LogForm::Off, format!("{own}.envoyFileAccessLog.path")));
        }
        let form = match (format["labels"].is_object(), format["text"].as_str()) {
            (true, _) => LogForm::labels(&format["labels"]),
            (false, Some(text)) => LogForm::text(text)?,
            (false, None) if name == BUILT_IN => config_form(config, path)?,
            (false, None) => LogForm::text("")?,
        };
        Ok(log(form, by.to_owned()))
    }
}

fn config_form(config: &Config, file: &str) -> Result<LogForm, String> {
    let text = |field: &str| config.text(field).unwrap_or_default();
    LogForm::new(file, text("accessLogEncoding"), text("accessLogFormat"))
}

/// What becomes of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// It gets a line about everything.
    All,
    /// It gets some, or none.
    NotAll,
}

/// Of several objects for the whole mesh istiod takes the oldest.
fn oldest(telemetries: &[Value]) -> Option<&Value> {
    let whole = telemetries.iter().filter(|telemetry| {
        let spec = &telemetry["spec"];
        let targets = [&spec["targetRefs"], &spec["targetRef"]];
        let chosen = spec["selector"]["matchLabels"].as_object().is_some_and(|labels| !labels.is_empty());
        !chosen && targets.iter().all(|target| target.is_null())
    });
    let age = |telemetry: &Value| {
        let metadata = &telemetry["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        (text("creationTimestamp"), text("name"))
    };
    whole.min_by_key(|telemetry| age(telemetry))
}

/// The entries of one object about what comes in, as istiod joins them.
fn merged(entries: &[Value], defaults: &[String]) -> BTreeMap<String, Wanted> {
    let about_incoming = |entry: &Value| entry["match"]["mode"] != "CLIENT";
    let named = |entry: &Value| -> Vec<String> {
        let providers = entry["providers"].as_array().into_iter().flatten();
        providers.filter_map(|provider| Some(provider["name"].as_str()?.to_owned())).collect()
    };
    let mut in_scope: BTreeSet<String> = BTreeSet::new();
    let mut filtered = BTreeSet::new();
    for entry in entries.iter().filter(|entry| about_incoming(entry)) {
        for name in named(entry) {
            let all = entry["filter"]["expression"].as_str().is_none_or(str::is_empty);
            let _ = if all { filtered.remove(&name) } else { filtered.insert(name.clone()) };
            in_scope.insert(name);
        }
    }
    if in_scope.is_empty() {
        in_scope.extend(defaults.iter().cloned());
    }
    let mut before = defaults.to_vec();
    let mut merged = BTreeMap::new();
    for entry in entries {
        let names = named(entry);
        if !names.is_empty() {
            before = names;
        }
        if !about_incoming(entry) {
            continue;
        }
        for name in before.iter().filter(|name| in_scope.contains(*name)) {
            let off = entry["disabled"] == true || filtered.contains(name);
            merged.insert(name.clone(), if off { Wanted::NotAll } else { Wanted::All });
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(config: &str, telemetries: &[Value]) -> AccessLog {
        AccessLog::of(&Config::read([config]).unwrap(), telemetries).unwrap()
    }

    fn telemetry(name: &str, entries: Value) -> Value {
        let metadata =
            json!({"namespace": "istio-system", "name": name, "creationTimestamp": "2026-01-01T00:00:00Z"});
        json!({"metadata": metadata, "spec": {"accessLogging": entries}})
    }

    fn stdout(encoding: &str) -> LogForm {
        LogForm::new("/dev/stdout", encoding, "").unwrap()
    }

    const FILE: &str = "accessLogFile: /dev/stdout\n";

    #[test]
    fn without_the_telemetry_api_the_mesh_config_decides() {
        let stock = log("", &[]);
        assert_eq!((stock.form, stock.by.as_str()), (LogForm::Off, "meshConfig.accessLogFile"));
        assert_eq!(log(FILE, &[]).form, stdout(""));
        let metrics = json!({"metadata": {"name": "m"}, "spec": {"metrics": []}});
        assert_eq!(log(FILE, &[metrics]).form, stdout(""), "it speaks of other things");
        assert_eq!(log("accessLogFile: /var/log/a\n", &[]).form, LogForm::Off);
    }

    #[test]
    fn the_telemetry_api_switches_the_log_on_in_the_mesh_configs_form() {
        let on = telemetry("mesh", json!([{"providers": [{"name": "envoy"}]}]));
        assert_eq!(log("", std::slice::from_ref(&on)).form, stdout(""));
        let json = log("accessLogEncoding: JSON\n", &[on]);
        assert_eq!((json.form, json.form_by.as_str()), (stdout("JSON"), "meshConfig.accessLogFormat"));
        assert_eq!(json.by, "Telemetry istio-system/mesh (spec.accessLogging)");
    }

    #[test]
    fn the_telemetry_api_switches_it_off_again_or_lets_some_lines_through() {
        for entries in [
            json!([{"providers": [{"name": "envoy"}], "disabled": true}]),
            json!([{"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 400"}}]),
            json!([{"match": {"mode": "SERVER"}, "providers": [{"name": "envoy"}], "disabled": true}]),
        ] {
            let off = log(FILE, &[telemetry("mesh", entries.clone())]);
            assert_eq!(off.form, LogForm::Off, "{entries}");
            assert!(off.by.starts_with("Telemetry istio-system/mesh"), "{entries}");
        }
        let client =
            json!([{"match": {"mode": "CLIENT"}, "providers": [{"name": "envoy"}], "disabled": true}]);
        assert_eq!(
            log(FILE, &[telemetry("mesh", client)]).form,
            stdout(""),
            "what goes out is another matter"
        );
    }

    #[test]
    fn a_provider_of_the_mesh_has_a_form_and_a_file_of_its_own() {
        let providers = |file: Value| {
            json!({"extensionProviders": [{"name": "own", "envoyFileAccessLog": file}, {"name": "otel",
                "envoyOtelAls": {"service": "o", "port": 1}}], "defaultProviders": {"accessLogging": ["own"]}})
            .to_string()
        };
        let labels = json!({"logFormat": {"labels": {"who": "%DOWNSTREAM_PEER_URI_SAN%"}}});
        assert!(log(&providers(labels.clone()), &[]).form.has("DOWNSTREAM_PEER_URI_SAN"));
        let text = log(&providers(json!({"logFormat": {"text": "%START_TIME%\n"}})), &[]);
        assert!(text.form.has("START_TIME") && !text.form.has("RESPONSE_FLAGS"));
        assert_eq!(text.form_by, "meshConfig.extensionProviders (own).envoyFileAccessLog.logFormat");
        let elsewhere = log(&providers(json!({"path": "/var/log/a"})), &[]);
        assert_eq!(elsewhere.form, LogForm::Off);
        assert!(elsewhere.by.ends_with("envoyFileAccessLog.path"), "{}", elsewhere.by);
        let service = telemetry("mesh", json!([{"providers": [{"name": "otel"}]}]));
        assert_eq!(log(&providers(json!({})), std::slice::from_ref(&service)).form, LogForm::Off);
        let both = telemetry("mesh", json!([{"providers": [{"name": "otel"}, {"name": "own"}]}]));
        assert!(
            log(&providers(labels), &[both]).form.has("DOWNSTREAM_PEER_URI_SAN"),
            "one of them can be read"
        );
    }

    #[test]
    fn what_is_not_there_decides_nothing() {
        let unknown = telemetry("mesh", json!([{"providers": [{"name": "gone"}]}]));
        assert_eq!(log(FILE, &[unknown]).form, stdout(""));
        let mut chosen = telemetry("some", json!([{"providers": [{"name": "envoy"}], "disabled": true}]));
        chosen["spec"]["selector"] = json!({"matchLabels": {"app": "a"}});
        assert_eq!(log(FILE, &[chosen]).form, stdout(""), "it is about some workloads");
        let mut newer = telemetry("a-newer", json!([{"providers": [{"name": "envoy"}], "disabled": true}]));
        newer["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
        let older = telemetry("older", json!([{"providers": [{"name": "envoy"}]}]));
        assert_eq!(log("", &[newer, older]).form, stdout(""));
    }
}
