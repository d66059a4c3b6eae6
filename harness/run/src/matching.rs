//! Does an object hold what a file asks for? Mappings may hold more than is asked for; lists must be as long, unless they end
//! in `*`; `*` stands for any text within a text, and alone for anything that is there.

use serde_json::Value;
use wildmatch::WildMatch;

/// Keys that name an element of a list: a condition by its type, a listener by its name.
const NAMES: [&str; 3] = ["type", "name", "kind"];

/// Key of the controller that an entry belongs to.
const CONTROLLER: &str = "controllerName";

/// The differences between what is asked for and what is there, each with its path; none means it matches.
pub fn differences(wanted: &Value, found: &Value) -> Vec<String> {
    let mut all = Vec::new();
    compare("", wanted, found, &mut all);
    all
}

/// What is there without the entries of controllers that nothing is asked of: in `parents` and `ancestors` every controller
/// has entries of its own, in no particular order (Gateway API, RouteStatus and PolicyStatus).
pub fn of_controllers_asked(wanted: &Value, found: &Value) -> Value {
    let mut found = found.clone();
    let (Some(wanted), Some(lists)) = (wanted.as_object(), found.as_object_mut()) else { return found };
    for (key, list) in lists {
        let asked = wanted.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let asked: Vec<&str> = asked.iter().filter_map(|entry| entry[CONTROLLER].as_str()).collect();
        if let Some(entries) = list.as_array_mut()
            && !asked.is_empty()
        {
            entries.retain(|entry| entry[CONTROLLER].as_str().is_none_or(|name| asked.contains(&name)));
        }
    }
    found
}

fn compare(path: &str, wanted: &Value, found: &Value, all: &mut Vec<String>) {
    match (wanted, found) {
        (Value::String(any), found) if any == "*" => {
            if found.is_null() {
                all.push(format!("{path} is missing"));
            }
        }
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, wanted) in wanted {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, wanted, found.get(key).unwrap_or(&Value::Null), all);
            }
        }
        (Value::Array(wanted), Value::Array(found)) => lists(path, wanted, found, all),
        // The API server leaves empty texts out.
        (Value::String(wanted), Value::Null) if wanted.is_empty() => {}
        (Value::Array(wanted), Value::Null) if wanted.is_empty() => {}
        (_, Value::Null) if !wanted.is_null() => {
            all.push(format!("{path} is missing, wanted {}", short(wanted)))
        }
        (Value::String(wanted), Value::String(found)) if glob(wanted, found) => {}
        (wanted, found) if wanted == found => {}
        (wanted, found) => all.push(format!("{path} is {}, wanted {}", short(found), short(wanted))),
    }
}

fn lists(path: &str, wanted: &[Value], found: &[Value], all: &mut Vec<String>) {
    let (wanted, may_hold_more) = match wanted.split_last() {
        Some((last, before)) if last == "*" => (before, true),
        _ => (wanted, false),
    };
    let key = NAMES.into_iter().find(|key| wanted.iter().all(|element| element[*key].is_string()));
    let label = |element: &Value, at: usize| match key {
        Some(key) => element[key].as_str().map_or_else(|| at.to_string(), str::to_owned),
        None => at.to_string(),
    };
    let mut used = vec![false; found.len()];
    for (at, wanted) in wanted.iter().enumerate() {
        let path = format!("{path}[{}]", label(wanted, at));
        let partner = match key {
            None => found.get(at).map(|found| (at, found)),
            Some(key) => found.iter().enumerate().find(|(i, found)| {
                let named = wanted[key].as_str().zip(found[key].as_str()).is_some_and(|(w, f)| glob(w, f));
                named && !used.get(*i).copied().unwrap_or(true)
            }),
        };
        match partner {
            None => all.push(format!("{path} is missing")),
            Some((i, found)) => {
                if let Some(used) = used.get_mut(i) {
                    *used = true;
                }
                compare(&path, wanted, found, all);
            }
        }
    }
    if may_hold_more {
        return;
    }
    for (at, element) in found.iter().enumerate().filter(|(at, _)| !used.get(*at).copied().unwrap_or(true)) {
        all.push(format!("{path}[{}] is there, not wanted", label(element, at)));
    }
}

/// `*` stands for any run of characters, `?` for one.
pub fn glob(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_fields_than_asked_for_are_fine() {
        assert!(differences(&json!({"a": {"b": 1}}), &json!({"a": {"b": 1, "c": 2}, "d": 3})).is_empty());
    }

    #[test]
    fn elements_are_found_by_type_or_name_in_any_order() {
        let wanted =
            json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]});
        let found =
            json!({"conditions": [{"type": "B", "status": "False"}, {"type": "A", "status": "True"}]});
        assert_eq!(differences(&wanted, &found), [r#"conditions[B].status is "False", wanted "True""#]);
    }

    #[test]
    fn an_element_too_many_or_too_few_is_a_difference() {
        let (one, two) = (json!([{"name": "a"}]), json!([{"name": "a"}, {"name": "b"}]));
        assert_eq!(differences(&one, &two), ["[b] is there, not wanted"]);
        assert_eq!(differences(&two, &one), ["[b] is missing"]);
    }

    #[test]
    fn a_list_that_ends_in_a_star_may_hold_more() {
        let wanted = json!([{"name": "a"}, "*"]);
        assert!(differences(&wanted, &json!([{"name": "b"}, {"name": "a"}])).is_empty());
        assert!(differences(&wanted, &json!([{"name": "a"}])).is_empty());
        assert_eq!(differences(&wanted, &json!([{"name": "b"}])), ["[a] is missing"]);
    }

    #[test]
    fn a_star_wants_something_to_be_there() {
        let wanted = json!({"a": "*", "b": "fe-????????.*"});
        assert!(differences(&wanted, &json!({"a": 1, "b": "fe-12345678.alb"})).is_empty());
        assert_eq!(differences(&wanted, &json!({"b": "fe-1.alb"})).len(), 2);
    }

    #[test]
    fn entries_of_other_controllers_are_not_looked_at() {
        let ours = |name| json!({"controllerName": "a.example/a", "name": name});
        let others = json!({"controllerName": "b.example/b"});
        let wanted = json!({"ancestors": [ours("x")]});
        let seen = |ancestors: Value| {
            let found = json!({"ancestors": ancestors});
            differences(&wanted, &of_controllers_asked(&wanted, &found))
        };
        assert!(seen(json!([others, ours("x"), others])).is_empty());
        assert_eq!(seen(json!([others])), ["ancestors[x] is missing"]);
        assert_eq!(seen(json!([ours("x"), ours("y")])), ["ancestors[y] is there, not wanted"]);
        let anybody = json!({"ancestors": [{"name": "x"}]});
        let found = json!({"ancestors": [ours("x"), others]});
        assert_eq!(of_controllers_asked(&anybody, &found), found);
    }

    #[test]
    fn an_empty_text_may_be_left_out() {
        assert!(differences(&json!({"message": ""}), &json!({})).is_empty());
        assert_eq!(differences(&json!({"message": ""}), &json!({"message": "x"})).len(), 1);
    }

    #[test]
    fn nothing_but_a_star_and_a_question_mark_is_special() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("**b", "ab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("[ab]", "a", false),
            ("[ab]{c}/\\d", "[ab]{c}/\\d", true),
            ("a/*/c", "a/b/b/c", true),
            ("A", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_value_matches_itself(keys in proptest::collection::btree_map("[a-z]{1,4}", 0..9i64, 0..5)) {
            let value = json!({"x": keys, "y": [1, "a", {"name": "n"}]});
            proptest::prop_assert!(differences(&value, &value).is_empty());
        }

        #[test]
        fn a_star_in_a_pattern_takes_any_middle(a in "[a-z]{0,5}", middle in "[a-z.-]{0,9}", b in "[a-z]{0,5}") {
            let pattern = format!("{a}*{b}");
            let text = format!("{a}{middle}{b}");
            proptest::prop_assert!(glob(&pattern, &text));
        }
    }
}
