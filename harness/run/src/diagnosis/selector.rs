//! Label selectors, as Kubernetes reads them.

use serde_json::Value;

use super::facts::{items, text};

/// Whether a selector (`matchLabels`, `matchExpressions`) takes these labels. An empty one takes all; an operator that is
/// not known takes none.
pub(super) fn takes(selector: &Value, labels: &Value) -> bool {
    let pairs = selector["matchLabels"].as_object();
    pairs.into_iter().flatten().all(|(key, value)| labels[key.as_str()] == *value)
        && items(&selector["matchExpressions"]).iter().all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let value = &labels[text(&expression["key"])];
    let among = items(&expression["values"]).contains(value);
    match text(&expression["operator"]) {
        "In" => !value.is_null() && among,
        "NotIn" => value.is_null() || !among,
        "Exists" => !value.is_null(),
        "DoesNotExist" => value.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_are_read_as_kubernetes_reads_them() {
        let labels = json!({"app": "backend", "istio-injection": "enabled"});
        let with = |operator: &str, key: &str, values: Value| {
            takes(
                &json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
                &labels,
            )
        };
        assert!(takes(&json!({}), &labels) && takes(&Value::Null, &Value::Null));
        assert!(takes(&json!({"matchLabels": {"app": "backend"}}), &labels));
        assert!(!takes(&json!({"matchLabels": {"app": "backend", "tier": "a"}}), &labels));
        assert!(with("In", "app", json!(["backend", "x"])) && !with("In", "tier", json!(["a"])));
        assert!(with("NotIn", "tier", json!(["a"])) && !with("NotIn", "app", json!(["backend"])));
        assert!(with("Exists", "app", json!([])) && !with("Exists", "tier", json!([])));
        assert!(with("DoesNotExist", "tier", json!([])) && !with("DoesNotExist", "app", json!([])));
        assert!(!with("Like", "app", json!(["backend"])));
    }
}
