//! What a filter may make of a message: the controller refuses the rest with a condition, and the proxy takes no such
//! configuration.

/// Fields that frame or route a message or concern one connection (RFC 9110 sections 7.2, 7.6 and 8.6). The host has a filter of
/// its own.
const FIXED: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Whether a filter may set or remove a header field; names are compared without regard to case.
pub fn is_changeable_header(name: &str) -> bool {
    is_token(name) && !FIXED.iter().any(|fixed| name.eq_ignore_ascii_case(fixed))
}

/// Whether a text is a token, as names of header fields and cookies are (RFC 9110 section 5.6.2).
pub fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// Whether a filter may put this value into a header field (RFC 9110 section 5.5).
pub fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// Whether a text is an absolute path (RFC 3986 section 3.3), and nothing else.
pub fn is_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/') && {
        let mut rest = bytes;
        loop {
            match rest.next() {
                None => break true,
                Some(b'%') => {
                    let is_hexadecimal = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
                    if !is_hexadecimal(rest.next()) || !is_hexadecimal(rest.next()) {
                        break false;
                    }
                }
                Some(byte) if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) => {}
                Some(_) => break false,
            }
        }
    }
}

/// An origin that CORS may be granted to, in parts (Gateway API, `CORSOrigin`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// In lower case.
    pub host: String,
    /// The scheme's own when none is given.
    pub port: u16,
}

impl Origin {
    /// Reads `<scheme>://<host>(:<port>)`; none when it is something else. A `*` in the host is kept as it is.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, own) = [("https", 443), ("http", 80)]
            .into_iter()
            .find(|(known, _)| scheme.eq_ignore_ascii_case(known))?;
        let after_address = rest.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match rest.get(after_address..)?.rfind(':') {
            Some(colon) => {
                let colon = after_address + colon;
                let digits = rest.get(colon + 1..)?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                (rest.get(..colon)?, digits.parse::<u16>().ok().filter(|port| is_number && *port > 0)?)
            }
            None => (rest, own),
        };
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*[]:".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_of_host)).then(|| Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_leave_alone_what_frames_or_routes_a_message() {
        for name in ["Host", "TE", "content-length", ":path", "", "a b", "ä"] {
            assert!(!is_changeable_header(name), "{name}");
        }
        for name in ["x-a", "Authorization", "x-forwarded-for", "cookie"] {
            assert!(is_changeable_header(name), "{name}");
        }
        assert!(is_header_value("a b\tä") && !is_header_value("a\r\nb") && !is_header_value("\u{7f}"));
        assert!(FIXED.is_sorted());
    }

    #[test]
    fn a_path_is_absolute_and_holds_no_query() {
        for path in ["/", "/a//b/", "/a%2Fb", "/a;b=c,d:@!$&'()*+~"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "a", "/a?b", "/a#b", "/a b", "/%", "/%2", "/%zz", "/ä", "/\\"] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn an_origin_has_a_port_whether_it_says_so_or_not() {
        let parts = |text| Origin::parse(text).map(|origin| (origin.scheme, origin.host, origin.port));
        assert_eq!(parts("https://A.example"), Some(("https", "a.example".into(), 443)));
        assert_eq!(parts("http://a.example:8080"), Some(("http", "a.example".into(), 8080)));
        assert_eq!(parts("http://*.a.example"), Some(("http", "*.a.example".into(), 80)));
        assert_eq!(parts("http://[::1]:81"), Some(("http", "[::1]".into(), 81)));
        for text in [
            "null",
            "",
            "ftp://a",
            "https://",
            "https://a/",
            "https://a:0",
            "https://a:x",
            "https://a:+1",
            "https://a:70000",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
