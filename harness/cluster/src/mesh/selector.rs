//! Label selectors, as Kubernetes reads them (`metav1.LabelSelector`).

use std::collections::BTreeMap;

use serde_json::Value;

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// A selector: all of its requirements have to be met; without any it selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    /// An operator that Kubernetes does not have.
    Never,
}

impl Selector {
    /// The selector in an object's field.
    pub(crate) fn of(value: &Value) -> Self {
        let labels = value["matchLabels"].as_object().into_iter().flatten();
        let equal = labels.map(|(key, value)| {
            Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()])
        });
        let expressions = value["matchExpressions"].as_array().into_iter().flatten();
        Self(equal.chain(expressions.map(Requirement::of)).collect())
    }

    /// Whether an object with these labels is selected.
    pub(crate) fn selects(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| requirement.is_met(labels))
    }
}

impl Requirement {
    fn of(expression: &Value) -> Self {
        let key = expression["key"].as_str().unwrap_or_default().to_owned();
        let values = expression["values"].as_array().into_iter().flatten();
        let values = values.filter_map(|value| Some(value.as_str()?.to_owned())).collect();
        match expression["operator"].as_str() {
            Some("In") => Self::In(key, values),
            Some("NotIn") => Self::NotIn(key, values),
            Some("Exists") => Self::Exists(key),
            Some("DoesNotExist") => Self::DoesNotExist(key),
            _ => Self::Never,
        }
    }

    fn is_met(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_operator_of_kubernetes_is_known() {
        let selects = |selector: Value, with: &[(&str, &str)]| Selector::of(&selector).selects(&labels(with));
        let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
        assert!(selects(json!({}), &[]) && selects(Value::Null, &[("a", "b")]));
        assert!(selects(json!({"matchLabels": {"a": "b"}}), &[("a", "b"), ("c", "d")]));
        assert!(!selects(json!({"matchLabels": {"a": "b"}}), &[("a", "c")]));
        assert!(selects(expression("In", json!(["x", "y"])), &[("a", "y")]));
        assert!(!selects(expression("In", json!(["x", "y"])), &[]));
        assert!(selects(expression("NotIn", json!(["x"])), &[]), "what is missing is not among them");
        assert!(!selects(expression("NotIn", json!(["x"])), &[("a", "x")]));
        assert!(selects(expression("Exists", json!([])), &[("a", "")]));
        assert!(!selects(expression("DoesNotExist", Value::Null), &[("a", "")]));
        assert!(!selects(expression("Like", json!(["x"])), &[("a", "x")]));
    }
}
