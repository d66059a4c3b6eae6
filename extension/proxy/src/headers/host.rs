//! The host a request is for.

use crate::error::{ProxyError, Reason};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Version, request};

/// The host a request is for: the authority of its target, else its `Host` field (RFC 9112 section 3.2.2).
///
/// # Errors
/// `bad_request` when there is none, more than one, or one that is no authority; when an HTTP/1.1 request has no `Host`
/// field, whatever its target (RFC 9112 section 3.2); and when an HTTP/2 request names two (RFC 9113 section 8.3.1).
pub(crate) fn host(request: &request::Parts) -> Result<HeaderValue, ProxyError> {
    let bad = |detail: &str| ProxyError::new(Reason::BadRequest, detail);
    if request.method == Method::CONNECT {
        return Err(bad("CONNECT is for proxies that clients choose; this is a gateway"));
    }
    let field = field(&request.headers)?;
    if field.is_none() && request.version == Version::HTTP_11 {
        return Err(bad("no Host field (RFC 9112 section 3.2)"));
    }
    let Some(authority) = request.uri.authority() else {
        return match (field, request.version) {
            (Some(field), _) => Ok(field.clone()),
            // They do not know the field.
            (None, Version::HTTP_10 | Version::HTTP_09) => Ok(HeaderValue::from_static("")),
            (None, _) => Err(bad("no authority and no Host field (RFC 9113 section 8.3.1)")),
        };
    };
    if request.version == Version::HTTP_2 {
        if authority.as_str().contains('@') {
            return Err(bad("the authority holds user information (RFC 9113 section 8.3.1)"));
        }
        if let Some(field) = field
            && !is_same(field, authority, request.uri.scheme())
        {
            return Err(bad("Host and :authority differ (RFC 9113 section 8.3.1)"));
        }
    }
    let host = without_userinfo(authority.as_str());
    if host.is_empty() || host.starts_with(':') {
        return Err(bad("the request target has no host"));
    }
    HeaderValue::try_from(host).map_err(|_| bad("the authority of the request target is no header value"))
}

/// The only `Host` field.
fn field(headers: &HeaderMap) -> Result<Option<&HeaderValue>, ProxyError> {
    let bad = |detail: &str| ProxyError::new(Reason::BadRequest, detail);
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(bad("more than one Host field (RFC 9112 section 3.2)"));
    }
    if let Some(field) = field {
        let text = field.to_str().map_err(|_| bad("the Host field is not ASCII"))?;
        if !text.is_empty() && (text.contains('@') || !is_authority(text)) {
            return Err(bad("the Host field is no host and port"));
        }
    }
    Ok(field)
}

fn is_authority(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| {
        let port = authority.as_str().rsplit_once(':').map(|(_, port)| port);
        !authority.host().is_empty()
            && (authority.host().starts_with('[')
                || port.is_none_or(is_port)
                || authority.port_u16().is_some())
    })
}

/// Empty stands for the default (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

/// Whether a field names the same host and port, however it is written.
fn is_same(field: &HeaderValue, authority: &Authority, scheme: Option<&Scheme>) -> bool {
    if field.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
        return true;
    }
    let default = if scheme == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let Some(other) = field.to_str().ok().and_then(|text| text.parse::<Authority>().ok()) else {
        return false;
    };
    other.host().eq_ignore_ascii_case(authority.host())
        && other.port_u16().unwrap_or(default) == authority.port_u16().unwrap_or(default)
}

fn without_userinfo(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}
