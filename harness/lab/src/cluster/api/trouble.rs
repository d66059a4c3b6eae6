//! What a failed request to an API server means, in words that people act on.

use std::error::Error;
use std::io::ErrorKind;

/// What the API server said, or why the connection to it did not come about.
pub fn why(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({} {})", status.message, status.code, status.reason);
    }
    of_chain(error)
}

/// The kind of trouble and the innermost words of a chain of errors. The outer ones name the layers of a library.
pub fn of_chain(error: &(dyn Error + 'static)) -> String {
    let chain: Vec<&(dyn Error + 'static)> =
        std::iter::successors(Some(error), |error| (*error).source()).collect();
    let innermost = chain.last().map(ToString::to_string).unwrap_or_default();
    let kinds = chain.iter().filter_map(|error| error.downcast_ref::<std::io::Error>());
    let mut words = kinds.filter_map(|error| in_words(error.kind()));
    let known = words.next().or_else(|| in_text(&innermost));
    match known {
        Some(words) if innermost.to_ascii_lowercase().contains(words) => innermost,
        Some(words) => format!("{words} ({innermost})"),
        // A library's own words may be of use only together.
        None if chain.len() > 1 => {
            let mut all: Vec<String> = chain.iter().map(ToString::to_string).collect();
            all.dedup();
            let last = all.pop().unwrap_or_default();
            let outer = all.into_iter().find(|text| !text.contains(&last));
            outer.map_or(last.clone(), |outer| format!("{outer}: {last}"))
        }
        None => innermost,
    }
}

fn in_words(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::ConnectionRefused => "the connection was refused",
        ErrorKind::TimedOut => "timed out",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            "the connection was broken off"
        }
        ErrorKind::UnexpectedEof => "the connection was closed",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no way to it",
        ErrorKind::PermissionDenied => "not permitted",
        _ => return None,
    })
}

fn in_text(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    if text.contains("failed to lookup address") || text.contains("dns error") {
        return Some("there is no host of that name");
    }
    if text.contains("deadline has elapsed") || text.contains("timed out") {
        return Some("timed out");
    }
    if text.contains("certificate") { Some("its certificate is not trusted") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("ServiceError: client error (Connect)")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn it_is_said_what_became_of_the_connection_and_not_in_which_layer() {
        for (kind, words) in [
            (ErrorKind::ConnectionRefused, "refused"),
            (ErrorKind::TimedOut, "timed out"),
            (ErrorKind::ConnectionReset, "broken off"),
        ] {
            let said = of_chain(&Outer(std::io::Error::new(kind, "os error 4711")));
            assert!(
                said.contains(words) && said.contains("4711") && !said.contains("ServiceError"),
                "{said}"
            );
        }
        let said = of_chain(&Outer(std::io::Error::other("failed to lookup address information")));
        assert!(said.starts_with("there is no host"), "{said}");
    }

    #[test]
    fn what_is_not_known_is_told_whole() {
        assert_eq!(
            of_chain(&Outer(std::io::Error::other("odd"))),
            "ServiceError: client error (Connect): odd"
        );
    }
}
