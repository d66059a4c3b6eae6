//! The form of a gateway's access log.

use std::collections::BTreeMap;

use serde_json::Value;

/// The form of an access log. Each line is a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// alb-proxy's own: in the words of the harness.
    Alb,
    /// Envoy's, with the fields that `kind-config/istio/values.yaml` asks for.
    Istio,
    /// Fields of its own.
    Fields(Box<LogFields>),
}

/// Which fields of a gateway's log hold what: each name is a path through the line, its parts joined by dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFields {
    /// By [`LogFields::KNOWN`].
    pub fields: BTreeMap<String, String>,
    /// Our words for its reasons. One that is not among them is taken as it is.
    pub reasons: BTreeMap<String, String>,
}

impl LogFields {
    /// What can be looked for in a line. `status` has to be there, and one of the two ids by which a request is found.
    pub const KNOWN: [&'static str; 9] = [
        "time",
        "request-id",
        "traceparent",
        "path",
        "status",
        "reason",
        "upstream-address",
        "client-identity",
        "server-identity",
    ];

    /// What a line holds under one of [`Self::KNOWN`]; nothing if it is not there, empty, or `-`.
    pub fn of(&self, line: &Value, what: &str) -> Option<String> {
        let path = self.fields.get(what)?;
        // A name with dots in it may be the name of a field as it is.
        let found =
            line.get(path).or_else(|| path.split('.').try_fold(line, |value, part| value.get(part)))?;
        let text = match found {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty() && text != "-").then_some(text)
    }

    /// The harness's word for a reason.
    pub fn reason(&self, own: &str) -> String {
        self.reasons.get(own).map_or(own, String::as_str).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_found_by_name_or_by_path() {
        let fields = [("status", "http.status"), ("path", "url"), ("reason", "why")];
        let own = |(ours, theirs): (&str, &str)| (ours.to_owned(), theirs.to_owned());
        let log = LogFields {
            fields: fields.map(own).into(),
            reasons: [("UF".to_owned(), "upstream_connect_failed".to_owned())].into(),
        };
        let line = json!({"http": {"status": 503}, "url": "-", "why": "UF"});
        assert_eq!(log.of(&line, "status").as_deref(), Some("503"));
        assert_eq!((log.of(&line, "path"), log.of(&line, "time")), (None, None));
        assert_eq!(
            (log.reason("UF").as_str(), log.reason("other").as_str()),
            ("upstream_connect_failed", "other")
        );
        assert_eq!(log.of(&json!({"http.status": 200}), "status").as_deref(), Some("200"));
    }
}
