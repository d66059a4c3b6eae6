//! Paths that are replaced, whole or in front (Gateway API, `HTTPPathModifier`).

use alb_config::proto;
use alb_config::proto::path_modifier::Replace;
use http::Uri;
use http::uri::PathAndQuery;

/// What takes the place of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathModifier {
    Full(String),
    /// Without a slash at its end.
    Prefix(String),
}

impl PathModifier {
    /// Reads what the controller says; none when the path stays.
    ///
    /// # Errors
    /// Says what is no path.
    pub(super) fn new(given: Option<&proto::PathModifier>) -> Result<Option<Self>, String> {
        let replace = given.and_then(|given| given.replace.as_ref());
        let Some(replace) = replace else { return Ok(None) };
        let (path, modifier) = match replace {
            Replace::Full(path) => (path, Self::Full(path.clone())),
            Replace::Prefix(path) => {
                let front = path.strip_suffix('/').unwrap_or(path);
                (path, Self::Prefix(front.to_owned()))
            }
        };
        let may_be_empty = matches!(modifier, Self::Prefix(_));
        match alb_config::is_path(path) || (may_be_empty && path.is_empty()) {
            true => Ok(Some(modifier)),
            false => Err(format!("{path:?} is no path")),
        }
    }

    /// The path that takes the place of `path`, of which the first `matched` bytes are what the rule's prefix has matched; and
    /// how many bytes of it are in their place.
    pub(super) fn apply(&self, path: &str, matched: usize) -> (String, usize) {
        match self {
            Self::Full(full) => (full.clone(), full.len()),
            Self::Prefix(front) => {
                let rest = path.get(matched..).unwrap_or_default();
                match (front.as_str(), rest) {
                    ("", "") => ("/".to_owned(), 0),
                    (front, rest) => ([front, rest].concat(), front.len()),
                }
            }
        }
    }
}

/// A request target with another path and the same query.
pub(super) fn with_path(uri: &Uri, mut path: String) -> Option<PathAndQuery> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::try_from(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alb_route::PathMatch;
    use proptest::prelude::*;

    fn prefix(replacement: &str) -> PathModifier {
        let given = proto::PathModifier { replace: Some(Replace::Prefix(replacement.to_owned())) };
        PathModifier::new(Some(&given)).unwrap().unwrap()
    }

    fn replaced(path: &str, matched: &str, replacement: &str) -> String {
        let matched = PathMatch::Prefix(matched.to_owned());
        assert!(matched.matches(path), "{path}");
        prefix(replacement).apply(path, matched.matched(path)).0
    }

    /// The table in the documentation of `HTTPPathModifier.replacePrefixMatch`.
    #[test]
    fn a_prefix_is_replaced_as_the_specification_shows() {
        for (path, matched, replacement, wanted) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            // And the prefix that matches everything.
            ("/foo", "/", "/xyz", "/xyz/foo"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/", "/", "", "/"),
        ] {
            assert_eq!(replaced(path, matched, replacement), wanted, "{path} {matched} {replacement:?}");
        }
    }

    #[test]
    fn what_is_no_path_takes_the_place_of_none() {
        for (replace, good) in [
            (Replace::Full("/a%20b/c;d=1".into()), true),
            (Replace::Full(String::new()), false),
            (Replace::Full("a".into()), false),
            (Replace::Full("/a?b".into()), false),
            (Replace::Prefix("/a b".into()), false),
            (Replace::Prefix("/a#b".into()), false),
            (Replace::Prefix(String::new()), true),
        ] {
            let given = proto::PathModifier { replace: Some(replace.clone()) };
            assert_eq!(PathModifier::new(Some(&given)).is_ok(), good, "{replace:?}");
        }
    }

    #[test]
    fn the_query_stays() {
        let uri = Uri::from_static("/a?b=%2F&c");
        assert_eq!(with_path(&uri, "/x".to_owned()).unwrap().as_str(), "/x?b=%2F&c");
    }

    fn path() -> impl Strategy<Value = String> {
        "(/[ab]{1,2}){0,3}/?".prop_map(|path| if path.is_empty() { "/".to_owned() } else { path })
    }

    proptest! {
        #[test]
        fn elements_before_are_replaced_and_those_behind_stay(front in path(), rest in "(/[ab]{1,2}){0,3}/?", other in path()) {
            let bare = front.strip_suffix('/').unwrap_or(&front);
            let whole = format!("{bare}{rest}");
            prop_assume!(!whole.is_empty());
            let new = replaced(&whole, &front, &other);
            let elements = |path: &str| path.split('/').filter(|e| !e.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(elements(&new), [elements(&other), elements(&rest)].concat());
            prop_assert!(new.starts_with('/') && !new.contains("//"), "{}", new);
            prop_assert_eq!(new.ends_with('/'), rest.ends_with('/') || new == "/" );
        }

        #[test]
        fn the_same_prefix_again_changes_nothing(front in path(), rest in "(/[ab]{1,2}){0,3}/?") {
            let bare = front.strip_suffix('/').unwrap_or(&front);
            let whole = format!("{bare}{rest}");
            prop_assume!(!whole.is_empty());
            prop_assert_eq!(replaced(&whole, &front, &front), whole);
        }
    }
}
