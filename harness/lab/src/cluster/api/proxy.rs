//! Whether requests to an API server go through a proxy, as kubectl and the other programs in Go decide it: `proxy-url` of the
//! kubeconfig, else `HTTPS_PROXY`, unless `NO_PROXY` excepts the server. What is on this host never needs one.

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

/// What is looked at for a server by https, the first that says anything. Neither kubectl nor kube know `ALL_PROXY`.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// The same by http.
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
/// Servers that are not asked through a proxy.
pub(crate) const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// A proxy that is to be used.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it is, without credentials.
    pub(crate) uri: Uri,
    /// What it wants to hear.
    pub(crate) credentials: Option<HeaderValue>,
    /// What names it: a variable of the environment, or the kubeconfig's field.
    pub(crate) named_by: String,
}

impl Proxy {
    /// Says where requests went, and what decides that.
    pub fn in_words(&self) -> String {
        let place = self.uri.authority().map(ToString::to_string).unwrap_or_default();
        let named_by = &self.named_by;
        match named_by.as_str() {
            "proxy-url" => format!("through the proxy {place} that the kubeconfig names (proxy-url)"),
            _ => format!(
                "through the proxy {place} that {named_by} names; put the server into NO_PROXY, or unset {named_by}"
            ),
        }
    }
}

/// A proxy is named that cannot be used, for this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

/// The proxy for a server, if one is to be used.
///
/// # Errors
/// It is not one to be had over HTTP.
pub(crate) fn for_server(
    server: &Uri,
    kubeconfigs: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Unusable> {
    let first = |names: &[&str]| {
        let set = names.iter().map(|name| (*name, environment(name).unwrap_or_default()));
        set.into_iter()
            .find(|(_, value)| !value.trim().is_empty())
            .map(|(name, value)| (name.to_owned(), value))
    };
    let of_kubeconfig =
        kubeconfigs.filter(|proxy| !proxy.is_empty()).map(|proxy| ("proxy-url".to_owned(), proxy.to_owned()));
    let by = if server.scheme_str() == Some("http") { &HTTP } else { &HTTPS };
    // Exceptions are the environment's, and so about its proxies.
    let except = match of_kubeconfig {
        Some(_) => String::new(),
        None => first(&EXCEPT).map(|(_, value)| excepted(&value, server)).unwrap_or_default(),
    };
    // The library takes this for names alone.
    let all_excepted = except.split(',').any(|entry| entry == "*");
    let from_environment = || if is_loopback(server) || all_excepted { None } else { first(by) };
    let Some((named_by, value)) = of_kubeconfig.or_else(from_environment) else { return Ok(None) };
    let through = |proxy: &str| {
        let matcher = Matcher::builder().http(proxy.to_owned()).https(proxy.to_owned());
        matcher.no(except.clone()).build().intercept(server)
    };
    if through("http://proxy.invalid").is_none() {
        return Ok(None);
    }
    // A proxy that is asked for is not left out in silence.
    let Some(found) = through(&value) else {
        return Err(Unusable(format!("the value of {named_by} is not the address of a proxy")));
    };
    if found.uri().scheme_str() != Some("http") {
        let scheme = found.uri().scheme_str().unwrap_or_default().to_owned();
        return Err(Unusable(format!(
            "{named_by} names a proxy to be asked by {scheme}; only those asked by http are supported"
        )));
    }
    Ok(Some(Proxy { uri: found.uri().clone(), credentials: found.basic_auth().cloned(), named_by }))
}

/// The entries of `NO_PROXY` without what only programs in Go know: `*.example.com`, and a port, which must be the server's.
fn excepted(value: &str, server: &Uri) -> String {
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let entry = |entry: &str| {
        let entry =
            entry.trim().strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry.trim());
        match entry.rsplit_once(':') {
            // More than one colon: an address of version 6.
            Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
                (digits.parse() == Ok(port)).then(|| host.trim_matches(['[', ']']).to_owned())
            }
            _ => Some(entry.to_owned()),
        }
    };
    value.split(',').filter_map(entry).filter(|entry| !entry.is_empty()).collect::<Vec<_>>().join(",")
}

/// Whether it is this host: every cluster of meshproof's own is.
fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        server: &str,
        kubeconfigs: Option<&str>,
        set: &[(&str, &str)],
    ) -> Result<Option<String>, Unusable> {
        let environment =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let server = server.parse().unwrap();
        for_server(&server, kubeconfigs, environment).map(|proxy| proxy.map(|proxy| proxy.named_by))
    }

    #[test]
    fn the_environment_names_a_proxy_and_what_is_asked_without_it() {
        let proxy = ("HTTPS_PROXY", "http://127.0.0.1:9");
        let by = |name: &str| Ok(Some(name.to_owned()));
        let far = "https://172.18.0.2:6443";
        assert_eq!(found(far, None, &[]), Ok(None));
        assert_eq!(found(far, None, &[proxy]), by("HTTPS_PROXY"));
        assert_eq!(
            found(far, None, &[("HTTPS_PROXY", ""), ("https_proxy", "proxy.example:3128")]),
            by("https_proxy")
        );
        assert_eq!(found(far, None, &[("HTTP_PROXY", "http://p:1"), ("ALL_PROXY", "http://p:1")]), Ok(None));
        for except in [
            "172.16.0.0/12",
            "127.0.0.1,localhost,172.16.0.0/12",
            "172.18.0.2",
            "*",
            " 10.0.0.0/8 , 172.18.0.2:6443",
        ] {
            assert_eq!(found(far, None, &[proxy, ("NO_PROXY", except)]), Ok(None), "{except}");
            assert_eq!(found(far, None, &[proxy, ("no_proxy", except)]), Ok(None), "{except}");
        }
        for except in ["", "172.18.0.3", "172.18.0.2:443", "172.18.0.8/30", "172.32.0.0/12"] {
            assert_eq!(found(far, None, &[proxy, ("NO_PROXY", except)]), by("HTTPS_PROXY"), "{except}");
        }
        for except in ["example.com", ".example.com", "*.example.com"] {
            let api = "https://api.example.com:6443";
            assert_eq!(found(api, None, &[proxy, ("NO_PROXY", except)]), Ok(None), "{except}");
        }
        assert_eq!(
            found("https://notexample.com", None, &[proxy, ("NO_PROXY", "example.com")]),
            by("HTTPS_PROXY")
        );
    }

    #[test]
    fn what_is_on_this_host_is_never_asked_through_a_proxy_of_the_environment() {
        for server in ["https://127.0.0.1:40123", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(found(server, None, &[("HTTPS_PROXY", "http://127.0.0.1:9")]), Ok(None), "{server}");
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_counts_first_and_whatever_the_environment_excepts() {
        let set = [("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "*")];
        assert_eq!(found("https://10.1.2.3", Some("http://p:3128"), &set), Ok(Some("proxy-url".into())));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_left_out_in_silence() {
        for odd in ["socks5://p:1080", "https://p:3128", "ftp://p", "::"] {
            let found = found("https://10.1.2.3", None, &[("HTTPS_PROXY", odd)]);
            assert!(matches!(&found, Err(Unusable(why)) if why.contains("HTTPS_PROXY")), "{odd}: {found:?}");
        }
        let excepted = [("HTTPS_PROXY", "socks5://p:1080"), ("NO_PROXY", "10.0.0.0/8")];
        assert_eq!(found("https://10.1.2.3", None, &excepted), Ok(None));
    }

    #[test]
    fn credentials_of_a_proxy_are_sent_and_not_told() {
        let server = "https://10.1.2.3".parse().unwrap();
        let environment = |name: &str| (name == "HTTPS_PROXY").then(|| "http://me:secret@p:3128".to_owned());
        let proxy = for_server(&server, None, environment).unwrap().unwrap();
        assert!(proxy.credentials.is_some());
        assert!(
            !proxy.in_words().contains("secret") && proxy.in_words().contains("p:3128"),
            "{}",
            proxy.in_words()
        );
    }
}
