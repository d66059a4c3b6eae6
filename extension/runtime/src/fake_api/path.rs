//! Kubernetes request paths.

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// `/api/v1` or `/apis/<group>/<version>`.
    pub(super) api: String,
    /// The resource, such as `services`.
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// Whether the subresource `status` is meant.
    pub(super) status: bool,
    pub(super) watch: bool,
    /// The resourceVersion to watch from.
    pub(super) since: Option<u64>,
    /// Name demanded by a field selector.
    pub(super) only: Option<String>,
    /// Labels demanded by a label selector.
    pub(super) labels: Vec<(String, String)>,
}

impl Target {
    /// Reads a path with its query; `None` when it is not one of Kubernetes' resource paths.
    pub(super) fn parse(path_and_query: &str) -> Option<Self> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let mut parts = path.trim_matches('/').split('/').peekable();
        let api = match parts.next()? {
            "api" => format!("/api/{}", parts.next()?),
            "apis" => format!("/apis/{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, plural, rest @ ..] if *plural != "status" => {
                (Some(*namespace), [&[*plural], rest].concat())
            }
            rest => (None, rest.to_vec()),
        };
        let (plural, name, status) = match rest.as_slice() {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some(*name), false),
            [plural, name, "status"] => (*plural, Some(*name), true),
            _ => return None,
        };
        let mut target = Self {
            api,
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            status,
            watch: false,
            since: None,
            only: None,
            labels: Vec::new(),
        };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
            match key {
                "watch" => target.watch = value == "true",
                "resourceVersion" => target.since = value.parse().ok(),
                "fieldSelector" => target.only = value.strip_prefix("metadata.name=").map(str::to_owned),
                "labelSelector" => {
                    let pairs = value.split(',').filter_map(|pair| pair.split_once('='));
                    target.labels = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
                }
                _ => {}
            }
        }
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_objects_collections_and_subresources() {
        let target = Target::parse("/api/v1/namespaces/ns/services/a/status?force=true").unwrap();
        assert_eq!((target.api.as_str(), target.plural.as_str()), ("/api/v1", "services"));
        assert_eq!((target.namespace.as_deref(), target.name.as_deref()), (Some("ns"), Some("a")));
        assert!(target.status);
        let target = Target::parse("/api/v1/namespaces/ns").unwrap();
        assert_eq!((target.plural.as_str(), target.name.as_deref()), ("namespaces", Some("ns")));
        let target = Target::parse(
            "/apis/apps/v1/deployments?watch=true&resourceVersion=7&fieldSelector=metadata.name%3Dx",
        );
        let target = target.unwrap();
        assert_eq!((target.api.as_str(), target.namespace), ("/apis/apps/v1", None));
        assert_eq!((target.watch, target.since, target.only.as_deref()), (true, Some(7), Some("x")));
        assert_eq!(Target::parse("/healthz"), None);
    }
}
