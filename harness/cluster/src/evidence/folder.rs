//! The folder that evidence is written to, within limits.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::redact;
use meshproof_model::event::Diagnosis;
use meshproof_model::visible;
use meshproof_run::ports::EvidenceRequest;

/// A file is cut at this size: its end is kept, which for logs is what matters.
const FILE: usize = 4 * 1024 * 1024;

/// All files together.
const TOTAL: usize = 96 * 1024 * 1024;

/// Writes files below a directory and keeps account of them.
pub(super) struct Folder {
    directory: PathBuf,
    /// Namespaces of which files are kept; all if nothing is said.
    only: Option<BTreeSet<String>>,
    files: Vec<(PathBuf, usize)>,
    missing: Vec<String>,
    total: usize,
}

impl Folder {
    pub(super) fn new(directory: &Path, only: Option<BTreeSet<String>>) -> Self {
        Self { directory: directory.into(), only, files: Vec::new(), missing: Vec::new(), total: 0 }
    }

    /// Whether anything of this namespace is kept.
    pub(super) fn keeps(&self, namespace: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(namespace))
    }

    /// Writes a file, without credentials. What does not fit is cut or left out, and said so; what is of a namespace of which
    /// nothing is to be kept is not written.
    pub(super) fn write(&mut self, path: &str, text: &str) {
        if text.trim().is_empty() || namespace_of(path).is_some_and(|namespace| !self.keeps(namespace)) {
            return;
        }
        let text = cut(&visible::file(path, &redact::text(text)));
        if self.total + text.len() > TOTAL {
            self.missing(format!("{path}: there are {} MB of evidence already", TOTAL / 1024 / 1024));
            return;
        }
        let file = self.directory.join(path);
        let written = match file.parent() {
            Some(parent) => fs::create_dir_all(parent).and_then(|()| fs::write(&file, &text)),
            None => fs::write(&file, &text),
        };
        match written {
            Ok(()) => {
                self.total += text.len();
                self.files.push((PathBuf::from(path), text.len()));
            }
            Err(error) => self.missing(format!("{path}: {error}")),
        }
    }

    /// Notes what could not be had.
    pub(super) fn missing(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    /// Writes `index.md`.
    pub(super) fn index(&mut self, request: &EvidenceRequest, diagnosis: &Diagnosis) {
        let text = index(request, diagnosis, &self.files, &self.missing);
        self.write("index.md", &text);
    }

    /// Files, relative to the directory, and what is missing.
    pub(super) fn into_parts(self) -> (Vec<PathBuf>, Vec<String>) {
        (self.files.into_iter().map(|(path, _)| path).collect(), self.missing)
    }
}

/// The namespace that a file is about.
fn namespace_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    let sort = parts.next().filter(|sort| matches!(*sort, "objects" | "logs" | "envoy"));
    // Objects outside of namespaces have a folder beside theirs.
    sort.and_then(|_| parts.next())
        .filter(|namespace| !(path.starts_with("objects/cluster/") && *namespace == "cluster"))
}

fn cut(text: &str) -> String {
    if text.len() <= FILE {
        return text.to_string();
    }
    let from = (text.len() - FILE..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("(the first {from} bytes were left out)\n{}", &text[from..])
}

fn index(
    request: &EvidenceRequest,
    diagnosis: &Diagnosis,
    files: &[(PathBuf, usize)],
    missing: &[String],
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# Evidence: {}, step {}\n", request.scenario, request.step + 1);
    let _ = writeln!(text, "{}\n", request.name);
    let _ = writeln!(text, "- expected: {}\n- seen: {}", request.expected, request.seen);
    let _ = writeln!(text, "\n## {}\n\n{}", diagnosis.id, diagnosis.title);
    for (index, reason) in diagnosis.because.iter().enumerate() {
        let _ = writeln!(text, "{}- {reason}", if index == 0 { "\n" } else { "" });
    }
    let _ = writeln!(text, "\nNext: {}\n\n## Files\n", diagnosis.next);
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    for (path, size) in files {
        let _ = writeln!(text, "- [{0}]({0}) {1}", path.display(), human(*size));
    }
    if !missing.is_empty() {
        let _ = writeln!(text, "\n## Not collected\n");
        for reason in missing {
            let _ = writeln!(text, "- {reason}");
        }
    }
    text
}

fn human(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KB", bytes / 1024),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_run::diagnosis::{Claim, Facts, diagnose};

    #[test]
    fn files_are_written_redacted_and_listed() {
        let directory = tempfile::tempdir().unwrap();
        let only = Some(["ns".to_owned()].into());
        let mut folder = Folder::new(directory.path(), only);
        for path in ["logs/other/pod/c.log", "objects/other/pods.yaml", "envoy/other/pod/stats.txt"] {
            folder.write(path, "theirs");
        }
        folder.write("logs/ns/pod/c.log", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----");
        folder.write("empty.log", " \n");
        folder.missing("envoy/ns/pod: no answer in time");
        let request = EvidenceRequest {
            scenario: "broken/istio-alpn".into(),
            step: 4,
            name: "request / becomes 503".into(),
            expected: "503".into(),
            seen: "200".into(),
            ..EvidenceRequest::default()
        };
        let facts = Facts { claim: Claim { seen: "200".into(), ..Claim::default() }, ..Facts::default() };
        folder.index(&request, &diagnose(&facts));
        assert!(!fs::read_to_string(directory.path().join("logs/ns/pod/c.log")).unwrap().contains("BEGIN"));
        insta::assert_snapshot!(fs::read_to_string(directory.path().join("index.md")).unwrap());
        let (files, missing) = folder.into_parts();
        assert_eq!(files, [PathBuf::from("logs/ns/pod/c.log"), PathBuf::from("index.md")]);
        assert_eq!(missing.len(), 1);
    }

    #[test]
    fn a_long_file_keeps_its_end() {
        let kept = cut(&format!("{}end", "ä".repeat(FILE)));
        assert!(kept.ends_with("end") && kept.len() < FILE + 100);
        assert!(kept.starts_with("(the first "));
    }
}
