//! The form of a sidecar's access log, from the mesh's own settings: what each line holds is known by Envoy's command
//! operators (`%DOWNSTREAM_REMOTE_ADDRESS%`), whatever the fields are called and wherever they stand.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::SidecarEntry;

/// What Istio's sidecars write if `accessLogFormat` says nothing (Istio 1.24 and later).
const DEFAULT_TEXT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
    \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
    %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

/// The same as JSON, as far as anybody here reads it: field and operator.
const DEFAULT_JSON: &[(&str, &str)] = &[
    ("start_time", "START_TIME"),
    ("path", "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)"),
    ("response_code", "RESPONSE_CODE"),
    ("response_flags", "RESPONSE_FLAGS"),
    ("request_id", "REQ(X-REQUEST-ID)"),
    ("upstream_cluster", "UPSTREAM_CLUSTER_RAW"),
    ("upstream_local_address", "UPSTREAM_LOCAL_ADDRESS"),
    ("downstream_remote_address", "DOWNSTREAM_REMOTE_ADDRESS"),
];

/// The form of the access log of a mesh's sidecars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// None is written, or not where it can be read.
    Off,
    /// A line of text.
    Text(TextForm),
    /// A JSON object: operator by field.
    Json(BTreeMap<String, String>),
}

/// A line of text: an expression with a group for each operator.
#[derive(Clone, Debug)]
pub struct TextForm {
    expression: Regex,
    operators: Vec<String>,
}

impl PartialEq for TextForm {
    fn eq(&self, other: &Self) -> bool {
        self.expression.as_str() == other.expression.as_str() && self.operators == other.operators
    }
}

impl Eq for TextForm {}

impl LogForm {
    /// From `accessLogFile`, `accessLogEncoding` and `accessLogFormat`; what is empty is as Istio has it.
    ///
    /// # Errors
    /// The format cannot be understood.
    pub fn new(file: &str, encoding: &str, format: &str) -> Result<Self, String> {
        if !matches!(file, "/dev/stdout" | "/dev/stderr") {
            return Ok(Self::Off);
        }
        match (encoding, format.is_empty()) {
            ("JSON", true) => {
                let fields = DEFAULT_JSON.iter();
                Ok(Self::Json(
                    fields.map(|(field, operator)| ((*field).into(), (*operator).into())).collect(),
                ))
            }
            ("JSON", false) => {
                let fields: BTreeMap<String, Value> = serde_json::from_str(format)
                    .map_err(|error| format!("accessLogFormat is no JSON object: {error}"))?;
                let known = fields.iter().filter_map(|(field, value)| {
                    Some((field.clone(), only_operator(value.as_str()?)?.to_owned()))
                });
                Ok(Self::Json(known.collect()))
            }
            ("" | "TEXT", empty) => text(if empty { DEFAULT_TEXT } else { format }).map(Self::Text),
            (other, _) => Err(format!("accessLogEncoding {other} is not known")),
        }
    }

    /// Whether lines hold what this operator stands for.
    pub fn has(&self, operator: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Text(form) => form.operators.iter().any(|known| known == operator),
            Self::Json(fields) => fields.values().any(|known| known == operator),
        }
    }

    /// Reads a line. `None` for what is no line about a connection or request.
    pub fn parse(&self, line: &str) -> Option<SidecarEntry> {
        let values: BTreeMap<&str, String> = match self {
            Self::Off => return None,
            Self::Text(form) => {
                let found = form.expression.captures(line.trim_end())?;
                let values = found.iter().skip(1).map(|value| value.map_or("", |value| value.as_str()));
                form.operators.iter().map(String::as_str).zip(values.map(str::to_owned)).collect()
            }
            Self::Json(fields) => {
                let object: BTreeMap<String, Value> = serde_json::from_str(line.trim()).ok()?;
                let value = |field: &String| match object.get(field)? {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                };
                fields
                    .iter()
                    .filter_map(|(field, operator)| Some((operator.as_str(), value(field)?)))
                    .collect()
            }
        };
        let get = |operator: &str| {
            values.get(operator).filter(|value| !matches!(value.as_str(), "" | "-")).cloned()
        };
        let path =
            values.keys().find(|operator| operator.starts_with("REQ(") && operator.ends_with(":PATH)"));
        let entry = SidecarEntry {
            time: get("START_TIME"),
            downstream_peer_serial: get("DOWNSTREAM_PEER_SERIAL"),
            downstream_peer_uri_san: get("DOWNSTREAM_PEER_URI_SAN"),
            downstream_remote_address: get("DOWNSTREAM_REMOTE_ADDRESS"),
            downstream_tls_version: get("DOWNSTREAM_TLS_VERSION"),
            filter_chain: get("FILTER_CHAIN_NAME"),
            upstream_cluster: get("UPSTREAM_CLUSTER_RAW").or_else(|| get("UPSTREAM_CLUSTER")),
            upstream_local_address: get("UPSTREAM_LOCAL_ADDRESS"),
            path: path.and_then(|path| get(path)),
            request_id: get("REQ(X-REQUEST-ID)"),
            response_code: get("RESPONSE_CODE").and_then(|code| code.parse().ok()),
            response_flags: values.get("RESPONSE_FLAGS").cloned(),
        };
        entry.downstream_remote_address.is_some().then_some(entry)
    }
}

/// The operator of a text that is nothing else: `START_TIME` of `%START_TIME%`.
fn only_operator(text: &str) -> Option<&str> {
    text.strip_prefix('%')?.strip_suffix('%').filter(|operator| !operator.contains('%'))
}

fn text(format: &str) -> Result<TextForm, String> {
    let mut expression = String::from("^");
    let mut operators = Vec::new();
    let mut rest = format.trim_end();
    while let Some(begin) = rest.find('%') {
        let (literal, after) = rest.split_at(begin);
        // Arguments of an operator may hold more of them: `%START_TIME(%s)%`.
        let (name, inside) = (after[1..].find('%'), after[1..].find('('));
        let closed = inside.filter(|inside| name.is_some_and(|name| *inside < name));
        let closed = closed.map_or(Some(0), |inside| Some(inside + after[1 + inside..].find(')')?));
        let end = closed.and_then(|closed| Some(closed + after[1 + closed..].find('%')?));
        let Some(end) = end else { return Err("accessLogFormat has a % too few or too many".into()) };
        expression.push_str(&regex::escape(literal));
        expression.push_str("(.*?)");
        operators.push(after[1..=end].to_owned());
        rest = &after[end + 2..];
    }
    expression.push_str(&regex::escape(rest));
    expression.push('$');
    let expression = Regex::new(&expression).map_err(|error| format!("accessLogFormat: {error}"))?;
    Ok(TextForm { expression, operators })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "[2026-11-23T18:24:45.459Z] \"- - -\" 0 - - - \"-\" 407 1194 834 - \"-\" \"-\" \"-\" \"-\" \
        \"10.244.2.6:3000\" inbound|3000|| 127.0.0.6:40001 10.244.2.6:3000 10.244.2.22:36638 - -";
    const HTTP: &str = "[2026-11-23T17:56:54.998Z] \"GET /a?b=c HTTP/1.1\" 200 - via_upstream - \"-\" 0 383 0 0 \"-\" \
        \"curl/8.5\" \"4d0190a8-1820-4ee8-a305-cbcbb9eca88a\" \"10.244.2.6:3000\" \"10.244.2.6:3000\" inbound|3000|| \
        127.0.0.6:40002 10.244.2.6:3000 10.244.2.7:56338 - default";

    fn default_text() -> LogForm {
        LogForm::new("/dev/stdout", "", "").unwrap()
    }

    #[test]
    fn istios_own_text_is_read() {
        let form = default_text();
        let tcp = form.parse(TCP).unwrap();
        assert_eq!(tcp.upstream_local_address.as_deref(), Some("127.0.0.6:40001"));
        assert_eq!(tcp.client(), Some("10.244.2.22".parse().unwrap()));
        assert_eq!((tcp.response_code, tcp.path), (Some(0), None));
        let http = form.parse(HTTP).unwrap();
        assert_eq!(http.path.as_deref(), Some("/a?b=c"));
        assert_eq!(http.request_id.as_deref(), Some("4d0190a8-1820-4ee8-a305-cbcbb9eca88a"));
        assert_eq!(form.parse("2026-11-23T17:56:14.718213Z\tinfo\tEnvoy proxy is ready"), None);
        assert!(form.has("UPSTREAM_LOCAL_ADDRESS") && !form.has("DOWNSTREAM_PEER_URI_SAN"));
    }

    #[test]
    fn a_form_of_ones_own_is_known_by_its_operators() {
        let text =
            LogForm::new("/dev/stdout", "TEXT", "%DOWNSTREAM_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%|\n");
        let entry = text.unwrap().parse("10.244.2.22:1|spiffe://mesh.example/ns/a/sa/b|").unwrap();
        assert_eq!(entry.downstream_peer_uri_san.as_deref(), Some("spiffe://mesh.example/ns/a/sa/b"));
        let format = r#"{"who": "%DOWNSTREAM_PEER_URI_SAN%", "from": "%DOWNSTREAM_REMOTE_ADDRESS%", "x": "a %PROTOCOL%", "n": 1}"#;
        let json = LogForm::new("/dev/stdout", "JSON", format).unwrap();
        assert!(json.has("DOWNSTREAM_PEER_URI_SAN") && !json.has("PROTOCOL"));
        let entry = json.parse(r#"{"who": "spiffe://a", "from": "10.0.0.1:2", "x": "a HTTP/1.1"}"#).unwrap();
        assert_eq!(entry.downstream_peer_uri_san.as_deref(), Some("spiffe://a"));
    }

    #[test]
    fn istios_own_json_is_read() {
        let form = LogForm::new("/dev/stdout", "JSON", "").unwrap();
        let line = r#"{"start_time":"2026-11-23T18:24:45.459Z","response_code":0,"response_flags":"-","upstream_local_address":"127.0.0.6:4","downstream_remote_address":"10.244.2.22:36638"}"#;
        let entry = form.parse(line).unwrap();
        assert_eq!(entry.response_code, Some(0));
        assert!(entry.began_ms().is_some());
    }

    #[test]
    fn the_form_of_the_clusters_made_here_is_among_them() {
        let values: Value =
            meshproof_model::yaml::from_str(include_str!("../../../../kind-config/istio/values.yaml"))
                .unwrap();
        let config = &values["spec"]["meshConfig"];
        let text = |key: &str| config[key].as_str().unwrap();
        let form =
            LogForm::new(text("accessLogFile"), text("accessLogEncoding"), text("accessLogFormat")).unwrap();
        let recorded = include_str!("../../../../fixtures/recorded/sidecar-access-log.txt");
        assert_eq!(recorded.lines().filter_map(|line| form.parse(line)).count(), 4);
        assert!(form.has("DOWNSTREAM_PEER_URI_SAN") && form.has("DOWNSTREAM_PEER_SERIAL"));
    }

    #[test]
    fn what_is_not_on_stdout_cannot_be_read() {
        for file in ["", "/var/log/envoy.log"] {
            assert_eq!(LogForm::new(file, "", "").unwrap(), LogForm::Off);
        }
        assert!(LogForm::new("/dev/stdout", "XML", "").is_err());
        assert!(LogForm::new("/dev/stdout", "TEXT", "%START_TIME").is_err());
        let nested =
            LogForm::new("/dev/stdout", "TEXT", "%START_TIME(%s.%3f)% %DOWNSTREAM_REMOTE_ADDRESS%").unwrap();
        assert!(nested.has("START_TIME(%s.%3f)") && nested.has("DOWNSTREAM_REMOTE_ADDRESS"));
        assert!(LogForm::new("/dev/stdout", "JSON", "[%START_TIME%]").is_err());
    }
}
