//! Links to the files of an evidence folder.

use std::path::Path;

use super::Link;

/// At most so many files are linked from a step; the index names all.
const LINKS: usize = 40;

/// Links relative to the page, the folder's index first.
pub(super) fn links(folder: &Path, results: &Path) -> Vec<Link> {
    let mut names = Vec::new();
    let mut folders = vec![results.join(folder)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(below) = path.strip_prefix(results.join(folder)) {
                names.push(below.display().to_string());
            }
        }
    }
    names.sort_by_key(|name| (name != "index.md", name.clone()));
    names.truncate(LINKS);
    let folder = folder.display();
    names.into_iter().map(|name| Link { link: relative(&format!("{folder}/{name}")), name }).collect()
}

/// A relative path as a link: what means something in a URL is escaped, slashes stay.
pub(super) fn relative(path: &str) -> String {
    let mut link = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                link.push(byte.into())
            }
            // The first part of a relative path must not look like a scheme: a colon is escaped as well.
            other => link.push_str(&format!("%{other:02X}")),
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_linked_with_its_index_first() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = folder.path().join("evidence/broken/istio-alpn");
        std::fs::create_dir_all(evidence.join("logs")).unwrap();
        std::fs::write(evidence.join("logs/a.log"), "").unwrap();
        std::fs::write(evidence.join("index.md"), "").unwrap();
        let links = links(Path::new("evidence/broken/istio-alpn"), folder.path());
        let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["index.md", "logs/a.log"]);
        assert_eq!(links[1].link, "evidence/broken/istio-alpn/logs/a.log");
    }

    #[test]
    fn a_link_leads_to_the_file_whatever_its_name() {
        assert_eq!(relative("evidence/x~2/a b#1?.log"), "evidence/x~2/a%20b%231%3F.log");
        assert_eq!(relative("a:b/%"), "a%3Ab/%25");
    }
}
