//! Where an API server keeps its audit log, as its pod says (pure).

use std::path::Path;

/// What the kubelet hands out.
const HANDED_OUT: &str = "/var/log/";

/// What matters of an API server's pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) node: String,
    /// Its command line.
    pub(super) arguments: Vec<String>,
    /// Where directories and files of the node are within it: path in the pod, path on the node.
    pub(super) mounts: Vec<(String, String)>,
}

/// A file below `/var/log` of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    node: String,
    /// The directory, seen from `/var/log/`; empty, or with a slash at its end.
    directory: String,
    /// The file that is written to now.
    pub(super) file: String,
}

/// The place of the log of these API servers, if it can be read.
///
/// # Errors
/// Why not.
pub(super) fn of(servers: &[Server]) -> Result<Place, String> {
    let server = match servers {
        [] => return Err("no pod of the API server is to be seen: it runs elsewhere".to_owned()),
        [server] => server,
        // Each has a log of its own, by a clock of its own.
        several => {
            return Err(format!(
                "there are {} API servers, each with an audit log and a clock of its own",
                several.len()
            ));
        }
    };
    let argument = |name: &str| {
        let value = |argument: &String| argument.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        server.arguments.iter().rev().find_map(value)
    };
    let name = &server.name;
    let path = argument("--audit-log-path")
        .filter(|path| path.starts_with('/'))
        .ok_or_else(|| format!("{name} keeps no audit log in a file (--audit-log-path)"))?;
    if argument("--audit-log-format").is_some_and(|format| format != "json") {
        return Err(format!("{name} does not write its audit log in JSON (--audit-log-format)"));
    }
    let on_node = |(within, outside): &(String, String)| {
        let below = Path::new(&path).strip_prefix(within).ok()?;
        // A mount of the file itself leaves nothing.
        let joined =
            if below.as_os_str().is_empty() { outside.into() } else { Path::new(outside).join(below) };
        Some((within.len(), joined.to_string_lossy().into_owned()))
    };
    let found = server.mounts.iter().filter_map(on_node).max();
    let (_, on_node) = found.ok_or_else(|| format!("{path} of {name} is on no volume of its node"))?;
    let below = on_node.strip_prefix(HANDED_OUT).ok_or_else(|| {
        format!("the audit log of {name} is at {on_node}; the kubelet hands out {HANDED_OUT} alone")
    })?;
    let (directory, file) = below.rsplit_once('/').map_or(("", below), |(directory, file)| (directory, file));
    let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    Ok(Place { node: server.node.clone(), directory, file: file.to_owned() })
}

impl Place {
    /// Where the API server hands out a file beside the log; the list of them for an empty name.
    pub(super) fn uri(&self, file: &str) -> String {
        format!("/api/v1/nodes/{}/proxy/logs/{}{file}", self.node, self.directory)
    }

    /// Where the log is on its node.
    pub(super) fn path(&self) -> String {
        format!("{HANDED_OUT}{}{} on node {}", self.directory, self.file, self.node)
    }

    /// Files of the log that are full, the newest first, from the page that lists the directory: `audit.log` becomes
    /// `audit-<time>.log`.
    pub(super) fn older(&self, listing: &str) -> Vec<String> {
        let (stem, end) =
            self.file.rsplit_once('.').map_or((self.file.as_str(), ""), |(stem, end)| (stem, end));
        let is_older = |name: &&str| {
            let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()) && rest.ends_with(end))
        };
        let links = listing.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let mut files: Vec<String> = links.filter(is_older).map(str::to_owned).collect();
        files.sort_by(|a, b| b.cmp(a));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(path: &str, mounts: &[(&str, &str)]) -> Server {
        Server {
            name: "kube-apiserver-a".into(),
            node: "a".into(),
            arguments: vec!["kube-apiserver".into(), format!("--audit-log-path={path}")],
            mounts: mounts.iter().map(|(within, outside)| ((*within).into(), (*outside).into())).collect(),
        }
    }

    #[test]
    fn the_log_is_found_by_what_the_api_server_was_told() {
        let logs = ("/var/log/kubernetes", "/var/log/kubernetes");
        let place =
            of(&[server("/var/log/kubernetes/audit.log", &[("/etc/ssl", "/etc/ssl"), logs])]).unwrap();
        assert_eq!(place.uri(&place.file), "/api/v1/nodes/a/proxy/logs/kubernetes/audit.log");
        assert_eq!(place.uri(""), "/api/v1/nodes/a/proxy/logs/kubernetes/");
        let elsewhere = of(&[server("/audit/a.log", &[("/audit", "/var/log/x/y")])]).unwrap();
        assert_eq!(elsewhere.uri(&elsewhere.file), "/api/v1/nodes/a/proxy/logs/x/y/a.log");
        let file = of(&[server("/audit.log", &[("/", "/srv"), ("/audit.log", "/var/log/k.log")])]).unwrap();
        assert_eq!(file.uri(&file.file), "/api/v1/nodes/a/proxy/logs/k.log", "the nearest mount counts");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_none() {
        let why = |servers: &[Server]| of(servers).unwrap_err();
        let logs = [("/var/log/kubernetes", "/var/log/kubernetes")];
        let one = server("/var/log/kubernetes/audit.log", &logs);
        assert!(why(&[]).contains("elsewhere"));
        assert!(why(&[one.clone(), one.clone()]).contains("2 API servers"));
        assert!(why(&[server("-", &logs)]).contains("--audit-log-path"));
        assert!(why(&[Server { arguments: Vec::new(), ..one.clone() }]).contains("--audit-log-path"));
        assert!(why(&[server("/audit/a.log", &[])]).contains("no volume"));
        assert!(why(&[server("/audit/a.log", &[("/audit", "/srv/audit")])]).contains("/srv/audit/a.log"));
        let mut legacy = one;
        legacy.arguments.push("--audit-log-format=legacy".into());
        assert!(why(&[legacy]).contains("JSON"));
    }

    #[test]
    fn files_that_are_full_are_found_the_newest_first() {
        let place = of(&[server("/var/log/k/audit.log", &[("/var/log/k", "/var/log/k")])]).unwrap();
        let listing = "<pre>\n<a href=\"audit-2026-12-01T06-10-00.000.log\">x</a>\n\
                       <a href=\"audit-2026-12-01T07-10-00.000.log\">x</a>\n<a href=\"audit-policy.log\">x</a>\n\
                       <a href=\"audit.log\">audit.log</a>\n<a href=\"other-2026.log\">x</a>\n</pre>\n";
        assert_eq!(
            place.older(listing),
            ["audit-2026-12-01T07-10-00.000.log", "audit-2026-12-01T06-10-00.000.log"]
        );
        assert!(place.older("404 page not found").is_empty());
    }
}
