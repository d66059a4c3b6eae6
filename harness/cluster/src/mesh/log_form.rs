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
    /// A JSON object: operator by the place of its field (JSON Pointer, RFC 6901).
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
        if !is_output(file) {
            return Ok(Self::Off);
        }
        match encoding {
            // istiod takes its own form where it cannot read the one that is given.
            "JSON" => Ok(Self::labels(&serde_json::from_str(format).unwrap_or_default())),
            "" | "TEXT" => Self::text(format),
            other => Err(format!("accessLogEncoding {other} is not known")),
        }
    }

    /// Lines of text; as Istio has them if the format is empty.
    ///
    /// # Errors
    /// The format cannot be understood.
    pub(super) fn text(format: &str) -> Result<Self, String> {
        text(if format.is_empty() { DEFAULT_TEXT } else { format }).map(Self::Text)
    }

    /// JSON with these fields; as Istio has it without any.
    pub(super) fn labels(fields: &Value) -> Self {
        let mut known = BTreeMap::new();
        if fields.as_object().is_some_and(|fields| !fields.is_empty()) {
            operators_of(fields, "", &mut known);
        } else {
            known.extend(
                DEFAULT_JSON.iter().map(|(field, operator)| (pointer("", field), (*operator).into())),
            );
        }
        Self::Json(known)
    }

    /// Whether lines hold what this operator stands for.
    pub fn has(&self, operator: &str) -> bool {
        let is_there = |wanted: &str| match self {
            Self::Off => false,
            Self::Text(form) => form.operators.iter().any(|known| known == wanted),
            Self::Json(fields) => fields.values().any(|known| known == wanted),
        };
        is_there(operator) || same_as(operator).is_some_and(is_there)
    }

    /// Whether lines are JSON with this field for this operator.
    pub(crate) fn has_field(&self, (field, operator): (&str, &str)) -> bool {
        matches!(self, Self::Json(fields) if fields.get(&pointer("", field)).is_some_and(|known| known == operator))
    }

    /// Whether lines tell whose connections the sidecar turned away: who silently closes connections is not told from a program
    /// otherwise.
    pub(crate) fn tells_refusals(&self) -> bool {
        ["DOWNSTREAM_REMOTE_ADDRESS", "RESPONSE_FLAGS"].iter().all(|operator| self.has(operator))
    }

    /// Whether lines tell whose a connection to the program was.
    pub(crate) fn tells_clients(&self) -> bool {
        self.has("DOWNSTREAM_REMOTE_ADDRESS")
            && (self.has("UPSTREAM_LOCAL_ADDRESS") || self.has("START_TIME"))
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
                let object: Value = serde_json::from_str(line.trim()).ok()?;
                let value = |field: &String| match object.pointer(field)? {
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
        let of = |operator: &str| {
            values.get(operator).filter(|value| !matches!(value.as_str(), "" | "-")).cloned()
        };
        let get = |operator: &str| of(operator).or_else(|| of(same_as(operator)?));
        let path =
            values.keys().find(|operator| operator.starts_with("REQ(") && operator.ends_with(":PATH)"));
        let entry = SidecarEntry {
            time: get("START_TIME"),
            downstream_peer_serial: get("DOWNSTREAM_PEER_SERIAL"),
            downstream_peer_uri_san: get("DOWNSTREAM_PEER_URI_SAN"),
            // Of a request the other operator is what `x-forwarded-for` says, which the client may have written.
            downstream_remote_address: of("DOWNSTREAM_DIRECT_REMOTE_ADDRESS")
                .or_else(|| of("DOWNSTREAM_REMOTE_ADDRESS")),
            downstream_tls_version: get("DOWNSTREAM_TLS_VERSION"),
            filter_chain: get("FILTER_CHAIN_NAME"),
            upstream_cluster: get("UPSTREAM_CLUSTER_RAW"),
            upstream_local_address: get("UPSTREAM_LOCAL_ADDRESS"),
            path: path.and_then(|path| get(path)),
            request_id: get("REQ(X-REQUEST-ID)"),
            response_code: get("RESPONSE_CODE").and_then(|code| code.parse().ok()),
            response_flags: values.get("RESPONSE_FLAGS").cloned(),
        };
        entry.downstream_remote_address.is_some().then_some(entry)
    }
}

/// Whether what is written to a file can be read as the container's log.
pub(super) fn is_output(file: &str) -> bool {
    matches!(file, "/dev/stdout" | "/dev/stderr")
}

/// The operator that stands for the same in a sidecar, where one of them is missing.
fn same_as(operator: &str) -> Option<&'static str> {
    match operator {
        "DOWNSTREAM_REMOTE_ADDRESS" => Some("DOWNSTREAM_DIRECT_REMOTE_ADDRESS"),
        "UPSTREAM_CLUSTER_RAW" => Some("UPSTREAM_CLUSTER"),
        _ => None,
    }
}

fn pointer(base: &str, field: &str) -> String {
    format!("{base}/{}", field.replace('~', "~0").replace('/', "~1"))
}

/// Fields that hold an operator and nothing else, also those of objects in objects.
fn operators_of(fields: &Value, base: &str, known: &mut BTreeMap<String, String>) {
    for (field, value) in fields.as_object().into_iter().flatten() {
        let place = pointer(base, field);
        match value.as_str() {
            Some(text) => {
                if let Ok([Part::Operator(operator)]) = parts(text).as_deref() {
                    known.insert(place, operator.clone());
                }
            }
            None => operators_of(value, &place, known),
        }
    }
}

/// A piece of a format.
enum Part<'a> {
    Literal(&'a str),
    /// Without its percent signs, as [`canonical`] has it.
    Operator(String),
}

/// Reads a format: `%START_TIME% %REQ(:METHOD)%`.
fn parts(format: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(begin) = rest.find('%') {
        let (literal, after) = rest.split_at(begin);
        let after = &after[1..];
        // Arguments of an operator may hold more of them: `%START_TIME(%s)%`.
        let (name, inside) = (after.find('%'), after.find('('));
        let closed = inside.filter(|inside| name.is_some_and(|name| *inside < name));
        let closed = closed.map_or(Some(0), |inside| Some(inside + after[inside..].find(')')?));
        let end = closed.and_then(|closed| Some(closed + after[closed..].find('%')?));
        let Some(end) = end else { return Err("accessLogFormat has a % too few or too many".into()) };
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        parts.push(Part::Operator(canonical(&after[..end])));
        rest = &after[end + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

/// An operator as it is looked for: names of headers in upper case, without a length that cuts nothing off, and times in
/// RFC 3339 as what they are without a format.
fn canonical(operator: &str) -> String {
    let (operator, length) = match operator.rsplit_once(':') {
        Some((operator, length)) if operator.ends_with(')') => (operator, length.parse::<usize>().ok()),
        _ => (operator, None),
    };
    let upper = match operator.strip_prefix("REQ(") {
        Some(_) => operator.to_ascii_uppercase(),
        None => operator.to_owned(),
    };
    let format = upper.strip_prefix("START_TIME(").and_then(|rest| rest.strip_suffix(')'));
    if format.is_some_and(|format| format.starts_with("%Y-%m-%dT%H:%M:%") && format.ends_with('Z')) {
        return "START_TIME".to_owned();
    }
    match length {
        Some(length) if length < UUID => format!("{upper}:{length}"),
        _ => upper,
    }
}

/// Length of a request's id.
const UUID: usize = 36;

fn text(format: &str) -> Result<TextForm, String> {
    let mut expression = String::from("^");
    let mut operators = Vec::new();
    for part in parts(format.trim_end())? {
        match part {
            Part::Literal(literal) => expression.push_str(&regex::escape(literal)),
            Part::Operator(operator) => {
                expression.push_str("(.*?)");
                operators.push(operator);
            }
        }
    }
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
    fn the_peer_itself_counts_and_not_who_is_said_to_be_the_client() {
        let format = "%START_TIME% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%";
        let form = LogForm::new("/dev/stdout", "TEXT", format).unwrap();
        let entry = form.parse("2026-11-23T18:24:45.459Z 192.0.2.1:0 10.244.2.22:36638").unwrap();
        assert_eq!(entry.client(), Some("10.244.2.22".parse().unwrap()));
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
        let unreadable = LogForm::new("/dev/stdout", "JSON", "[%START_TIME%]").unwrap();
        assert_eq!(unreadable, LogForm::new("/dev/stdout", "JSON", "").unwrap(), "as istiod does");
    }

    #[test]
    fn operators_are_known_however_they_are_written() {
        let format = r#"{"conn": {"from/to": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "id": "%REQ(x-request-id):64%"},
                         "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%", "short": "%REQ(:path):8%", "n": 1}"#;
        let form = LogForm::new("/dev/stdout", "JSON", format).unwrap();
        for known in ["DOWNSTREAM_REMOTE_ADDRESS", "REQ(X-REQUEST-ID)", "START_TIME"] {
            assert!(form.has(known), "{known}");
        }
        assert!(!form.has("REQ(:PATH)"), "it is cut off");
        let line = r#"{"conn": {"from/to": "10.0.0.1:2", "id": "a"}, "at": "2026-11-23T18:24:45.459Z"}"#;
        let entry = form.parse(line).unwrap();
        assert_eq!((entry.request_id.as_deref(), entry.path.as_deref()), (Some("a"), None));
        assert_eq!(entry.client(), Some("10.0.0.1".parse().unwrap()));
        assert!(entry.began_ms().is_some());
    }

    #[test]
    fn a_form_says_what_can_be_told_by_it() {
        let form = |format: &str| LogForm::new("/dev/stdout", "TEXT", format).unwrap();
        assert!(default_text().tells_refusals() && default_text().tells_clients());
        let clients = form("%DOWNSTREAM_REMOTE_ADDRESS% %START_TIME%");
        assert!(clients.tells_clients() && !clients.tells_refusals());
        let nobody = form("%START_TIME% %RESPONSE_FLAGS% %UPSTREAM_LOCAL_ADDRESS%");
        assert!(!nobody.tells_clients() && !nobody.tells_refusals());
        assert!(
            !form("%START_TIME(%s)% %DOWNSTREAM_REMOTE_ADDRESS%").tells_clients(),
            "no time that is read here"
        );
        assert!(!LogForm::Off.tells_clients() && !LogForm::Off.tells_refusals());
    }
}
