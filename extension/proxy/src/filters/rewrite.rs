//! Requests that are sent on under another host or path (Gateway API, `HTTPURLRewriteFilter`).

use super::path::{PathModifier, with_path};
use alb_config::proto;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Uri, request};

/// What takes the place of host and path.
#[derive(Debug)]
pub(super) struct Rewrite {
    host: Option<HeaderValue>,
    path: Option<PathModifier>,
}

impl Rewrite {
    /// # Errors
    /// Names the part that cannot be used.
    pub(super) fn new(given: &proto::Rewrite) -> Result<Self, String> {
        let host = match given.hostname.as_str() {
            "" => None,
            name => {
                name.parse::<Authority>().map_err(|error| format!("the hostname {name:?}: {error}"))?;
                Some(HeaderValue::try_from(name).map_err(|_| format!("{name:?} is no hostname"))?)
            }
        };
        Ok(Self { host, path: PathModifier::new(given.path.as_ref())? })
    }

    /// Of the path, the first `matched` bytes are what the rule's prefix has matched, and afterwards what is in their place.
    pub(super) fn apply(&self, request: &mut request::Parts, matched: &mut usize) {
        if let Some(host) = &self.host {
            request.headers.insert(HOST, host.clone());
        }
        if let Some(path) = &self.path {
            let (path, front) = path.apply(request.uri.path(), *matched);
            if let Some(target) = with_path(&request.uri, path) {
                request.uri = Uri::from(target);
                *matched = front;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proto::path_modifier::Replace;

    fn rewrite(hostname: &str, replace: Option<Replace>) -> Rewrite {
        let path = replace.map(|replace| proto::PathModifier { replace: Some(replace) });
        Rewrite::new(&proto::Rewrite { hostname: hostname.to_owned(), path }).unwrap()
    }

    #[test]
    fn what_is_not_replaced_stays() {
        let sent = |rewrite: &Rewrite| {
            let request = Request::get("/a/b?c").header("host", "h:80").body(()).unwrap();
            let mut parts = request.into_parts().0;
            rewrite.apply(&mut parts, &mut 2);
            format!("{}{}", parts.headers["host"].to_str().unwrap(), parts.uri)
        };
        assert_eq!(sent(&rewrite("", None)), "h:80/a/b?c");
        assert_eq!(sent(&rewrite("x.example", None)), "x.example/a/b?c");
        assert_eq!(sent(&rewrite("", Some(Replace::Full("/x".into())))), "h:80/x?c");
        assert_eq!(sent(&rewrite("", Some(Replace::Prefix("/".into())))), "h:80/b?c");
    }

    #[test]
    fn what_was_put_in_the_place_of_a_prefix_can_be_replaced_again() {
        let mut parts = Request::get("/a/b").body(()).unwrap().into_parts().0;
        let mut matched = 2;
        for (replacement, wanted) in [("/one/two", "/one/two/b"), ("", "/b"), ("/x", "/x/b")] {
            rewrite("", Some(Replace::Prefix(replacement.into()))).apply(&mut parts, &mut matched);
            assert_eq!(parts.uri.path(), wanted);
        }
    }
}
