//! What must not be kept: the content of Secrets, and everything that looks like a credential.

mod names;
mod patterns;

use serde_json::{Value, json};

use names::is_sensitive;

/// Removes managed fields, the content of Secrets, and values that by their names are credentials, from an object. Of what is
/// removed the size is told, and certificates stay: they are public, and often the point.
pub(super) fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    let is_secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
    for field in ["data", "stringData", "binaryData"] {
        for (key, value) in object.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten() {
            if !is_certificate(key) && (is_secret || is_sensitive(key)) {
                remove(value);
            }
        }
    }
    if !is_secret {
        pairs(object);
    }
}

/// Removes what stands beside a name that says what it is: environment variables and headers (`{name: DB_PASSWORD, value: …}`),
/// and arguments after a flag (`--password`, `…`).
fn pairs(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let named = fields.get("name").and_then(Value::as_str).is_some_and(is_sensitive);
            if let Some(value) = fields.get_mut("value").filter(|value| named && value.is_string()) {
                remove(value);
            }
            fields.values_mut().for_each(pairs);
        }
        Value::Array(list) => {
            let mut after_flag = false;
            for item in list {
                if after_flag && item.is_string() {
                    remove(item);
                }
                let flag = item.as_str().and_then(|text| text.strip_prefix('-'));
                after_flag = flag.is_some_and(|flag| !flag.contains('=') && is_sensitive(flag));
                pairs(item);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value) {
    let size = value.as_str().map_or(0, |text| text.chars().count());
    *value = json!(format!("(removed: {size} characters)"));
}

/// Keys that hold certificates and nothing else, by convention of Kubernetes and Istio.
fn is_certificate(key: &str) -> bool {
    matches!(key, "tls.crt" | "ca.crt" | "root-cert.pem" | "cert-chain.pem" | "ca-cert.pem")
}

/// Text without what looks like a credential, whatever it is part of: an object, a log, a configuration, a command's output.
pub(super) fn text(text: &str) -> String {
    patterns::removed(text)
}

#[cfg(test)]
mod tests;
