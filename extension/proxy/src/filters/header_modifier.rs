//! Header fields that are set, added and removed (Gateway API, `HTTPHeaderFilter`).

use alb_config::proto;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The changes, in the order in which they are made.
#[derive(Debug)]
pub(super) struct HeaderModifier {
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
    remove: Box<[HeaderName]>,
}

impl HeaderModifier {
    /// # Errors
    /// Names what is no field, or none that a filter may change.
    pub(super) fn new(given: &proto::HeaderModifier) -> Result<Self, String> {
        let fields = |given: &[proto::NameValue]| -> Result<Box<[_]>, String> {
            given.iter().map(|field| Ok((name(&field.name)?, value(&field.value)?))).collect()
        };
        Ok(Self {
            set: fields(&given.set)?,
            add: fields(&given.add)?,
            remove: given.remove.iter().map(|field| name(field)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

fn name(given: &str) -> Result<HeaderName, String> {
    let name = HeaderName::try_from(given).map_err(|_| format!("{given:?} is no header name"))?;
    match alb_config::is_changeable_header(name.as_str()) {
        true => Ok(name),
        false => Err(format!("{name} is no header that a filter may change")),
    }
}

fn value(given: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(given).map_err(|_| format!("{given:?} is no header value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> proto::NameValue {
        proto::NameValue { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn fields_are_set_added_and_removed_whatever_their_case() {
        let given = proto::HeaderModifier {
            set: vec![field("X-Set", "new"), field("x-made", "1")],
            add: vec![field("X-ADD", "b"), field("x-fresh", "c")],
            remove: vec!["X-Gone".to_owned(), "x-never".to_owned()],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-set", "1"), ("x-set", "2"), ("x-add", "a"), ("x-gone", "1"), ("x-stays", "1")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        HeaderModifier::new(&given).unwrap().apply(&mut headers);
        let all =
            |name| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>().join(",");
        assert_eq!(
            (all("x-set"), all("x-made"), all("x-add"), all("x-fresh")),
            ("new".into(), "1".into(), "a,b".into(), "c".into())
        );
        assert_eq!((all("x-gone"), all("x-stays")), (String::new(), "1".into()));
    }

    #[test]
    fn what_frames_or_routes_a_message_is_not_for_filters() {
        for name in [
            "Host",
            ":authority",
            "Connection",
            "content-length",
            "Transfer-Encoding",
            "TE",
            "upgrade",
            "a b",
            "",
        ] {
            let set = proto::HeaderModifier { set: vec![field(name, "1")], ..Default::default() };
            let remove = proto::HeaderModifier { remove: vec![name.to_owned()], ..Default::default() };
            assert!(HeaderModifier::new(&set).is_err() && HeaderModifier::new(&remove).is_err(), "{name}");
        }
        let wrong = proto::HeaderModifier { add: vec![field("x", "a\nb")], ..Default::default() };
        assert!(HeaderModifier::new(&wrong).is_err());
    }
}
