//! curl's command line, as a request to a Gateway.

use super::draft::Draft;
use super::entry::{Asked, Kind, Reason, Step};
use super::said::Said;
use crate::page::Place;

/// Options with a value, by their letter.
const LETTERS: &str = "AbcCdDeEFhHKmoPrTtuUwxXyYz";

/// Options with a value, by their name.
const NAMES: &[&str] = &[
    "cacert",
    "cert",
    "connect-timeout",
    "connect-to",
    "cookie",
    "cookie-jar",
    "data",
    "data-binary",
    "data-raw",
    "data-urlencode",
    "form",
    "header",
    "json",
    "key",
    "max-time",
    "noproxy",
    "output",
    "proxy",
    "referer",
    "request",
    "resolve",
    "retry",
    "retry-delay",
    "url",
    "user",
    "user-agent",
    "write-out",
];

/// Options that change nothing of what is asked.
const HARMLESS: &[&str] = &[
    "S",
    "connect-timeout",
    "fail",
    "f",
    "http1.1",
    "i",
    "include",
    "m",
    "max-time",
    "no-progress-meter",
    "o",
    "output",
    "retry",
    "retry-delay",
    "s",
    "show-error",
    "silent",
    "v",
    "verbose",
    "w",
    "write-out",
    "N",
    "no-buffer",
    "compressed",
    "noproxy",
];

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asking {
    url: String,
    options: Vec<(String, String)>,
}

impl Asking {
    fn of(words: &[String]) -> Self {
        let mut asking = Self::default();
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let value = NAMES.contains(&long).then(|| words.next().cloned().unwrap_or_default());
                asking.option(long, value.unwrap_or_default());
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    if LETTERS.contains(letter) {
                        let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                        let value = if rest.is_empty() {
                            words.next().cloned().unwrap_or_default()
                        } else {
                            rest.to_owned()
                        };
                        asking.option(&letter.to_string(), value);
                        break;
                    }
                    asking.option(&letter.to_string(), String::new());
                }
            } else if asking.url.is_empty() {
                asking.url.clone_from(word);
            } else {
                asking.options.push(("another URL".to_owned(), word.clone()));
            }
        }
        asking
    }

    fn option(&mut self, name: &str, value: String) {
        match name {
            "url" => self.url = value,
            name if HARMLESS.contains(&name) => {}
            name => self.options.push((name.to_owned(), value)),
        }
    }
}

/// The parts of a URL: scheme, host, port, path.
fn parts(url: &str) -> (&str, &str, Option<u64>, String) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = port.map_or((authority, None), |(host, port)| (host, Some(port)));
    (scheme, host, port, path)
}

impl Draft {
    /// Reads one command of curl.
    pub(super) fn curl(&mut self, place: &Place, what: &str, words: &[String], reason: Option<Reason>) {
        let asking = Asking::of(words);
        match self.request(place, &asking) {
            Ok(step) => match reason {
                // The address of a Gateway has no value before there is a cluster: the request finds it itself.
                Some(reason) if !self.only_address(words) => self.would_run(place, what, step, reason),
                _ => self.run(place, what, step, Asked::Answer { known: false }),
            },
            Err(why) => {
                let why = reason.filter(|_| !self.only_address(words)).unwrap_or(why);
                self.leave(place, what, why);
            }
        }
    }

    /// Whether everything that these words leave open is an address.
    fn only_address(&self, words: &[String]) -> bool {
        let left = words.iter().flat_map(|word| self.variables.expand(word).1);
        let left: Vec<_> = left.collect();
        !left.is_empty() && left.iter().all(|left| self.variables.address(left).is_some())
    }

    fn request(&mut self, place: &Place, asking: &Asking) -> Result<Step, Reason> {
        let unknown = |why: String, next: &str| Err(Reason::new(Kind::Unknown, why, next));
        if asking.url.is_empty() {
            return unknown("it names no URL".into(), "write the request by hand");
        }
        let (scheme, host, port, path) = parts(&asking.url);
        let (mut named, mut head) = (None, false);
        for (name, value) in &asking.options {
            match (name.as_str(), value.as_str()) {
                ("H" | "header", header) if header.to_lowercase().starts_with("host:") => {
                    named = header.split_once(':').map(|(_, host)| host.trim().to_owned());
                }
                ("resolve" | "connect-to", _) => named = Some(host.to_owned()),
                ("X" | "request", "GET") | ("k" | "insecure", _) => {}
                ("I" | "head", _) | ("X" | "request", "HEAD") => head = true,
                (option, _) => {
                    let dashes = if option.chars().count() == 1 { "-" } else { "--" };
                    let next = "write the request by hand, with the words that `request` has";
                    return unknown(format!("nothing is known here of curl's {dashes}{option}"), next);
                }
            }
        }
        if scheme != "http" {
            return unknown(
                format!("a request over {scheme} is not made from a page"),
                "write it by hand, with its name and authority",
            );
        }
        if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
            return unknown(
                "it asks this machine, to which a command before it would have to lead".into(),
                "ask the Gateway instead",
            );
        }
        let (gateway, namespace) = match self.variables.address(host) {
            Some(known) => known,
            None => {
                let Some(only) = self.only_gateway() else {
                    return unknown(
                        format!("it is not known which Gateway answers for {host}"),
                        "name it: `request: {gateway: …}`",
                    );
                };
                let next = "if another one is meant, name it in the step";
                self.assume(
                    (place.line, place.end),
                    &asking.url,
                    &format!("asked of Gateway {}, the only one of the page", only.0),
                    next,
                );
                if !host.starts_with('$') {
                    named = named.or_else(|| Some(host.to_owned()));
                }
                only
            }
        };
        let mut request = vec![("gateway", Said::text(gateway))];
        request.extend(named.map(|host| ("host", Said::text(host))));
        request.extend(port.filter(|port| *port != 80).map(|port| ("port", Said::Number(port))));
        request.push(("path", Said::text(path)));
        request.push(("from", Said::text("outside")));
        let mut step = Step::new("request", Said::Map(request)).within(namespace);
        step.set("becomes", Said::Map(vec![("status", Said::Number(200))]));
        if head {
            step.set("with", Said::List(vec![Said::text("HEAD")]));
        }
        step.set("within", Said::text("answers"));
        if let Some(times) = self.loops.last().filter(|times| **times > 1) {
            step.set("stays", Said::text(format!("{times} requests")));
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_parts() {
        assert_eq!(parts("http://$fqdn/a?b=c#d"), ("http", "$fqdn", None, "/a?b=c".to_owned()));
        assert_eq!(parts("x.example:8080"), ("http", "x.example", Some(8080), "/".to_owned()));
        assert_eq!(parts("https://[::1]:1/"), ("https", "[::1]", Some(1), "/".to_owned()));
        assert_eq!(parts("http://x?a"), ("http", "x", None, "/?a".to_owned()));
    }

    #[test]
    fn options_are_told_from_the_url() {
        let asking = |line: &str| Asking::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(asking("curl -sSo /dev/null -vk http://x").url, "http://x");
        assert_eq!(asking("curl -sSo /dev/null -vk http://x").options, [("k".to_owned(), String::new())]);
        let header = asking("curl -HHost:a --max-time 3 x");
        assert_eq!((header.url.as_str(), header.options), ("x", vec![("H".to_owned(), "Host:a".to_owned())]));
        assert_eq!(asking("curl -H").options, [("H".to_owned(), String::new())]);
    }
}
