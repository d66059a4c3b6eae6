//! Reads what a run left behind.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Report, Unfit, fit};
use meshproof_model::event;

/// Name of the file in a folder of results.
const FILE: &str = "report.json";

/// There is no report to be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(
        "reading {}: {source}; name a folder of results (target/meshproof/latest is the newest) or its report.json",
        path.display()
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is no report of meshproof: {source}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It holds a name that leads out of its folder, or one that is none.
    #[error("{} cannot be used: {unfit}; no meshproof writes that: it was changed, or is damaged", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The field.
        unfit: Unfit,
    },
    /// Another meshproof wrote it.
    #[error(
        "{} has schema {found}, this meshproof reads schema {known}; use the meshproof that wrote it, or run again",
        path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The one expected.
        known: u32,
    },
}

impl ReadError {
    /// Whether there simply is no such file.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// As much as every version of the shape has.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

impl Report {
    /// Reads a folder of results, or the `report.json` in it.
    ///
    /// # Errors
    /// It is not there, is no report, or is one of another schema.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let text = std::fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
        Self::parse(&text, &path)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, ReadError> {
        let shape = |source| ReadError::Shape { path: path.to_owned(), source };
        // The version first: of another schema nothing else need be as expected.
        let Version { schema: found } = serde_json::from_slice(text).map_err(shape)?;
        let known = event::SCHEMA;
        if found != u64::from(known) {
            return Err(ReadError::Schema { path: path.to_owned(), found, known });
        }
        let report = serde_json::from_slice(text).map_err(shape)?;
        match fit::check(&report) {
            Ok(()) => Ok(report),
            Err(unfit) => Err(ReadError::Unfit { path: path.to_owned(), unfit }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        super::super::write_all(&folder.path().join("run"), &sample::failed_run()).unwrap();
        let written = Report::from_events(&sample::failed_run());
        assert_eq!(Report::read(&folder.path().join("latest")).unwrap(), written);
        assert_eq!(Report::read(&folder.path().join("run/report.json")).unwrap(), written);
    }

    #[test]
    fn another_schema_is_named_even_if_nothing_else_is_as_expected() {
        let error = Report::parse(br#"{"schema": 7, "run": {}}"#, Path::new("r.json")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "r.json has schema 7, this meshproof reads schema 2; use the meshproof that wrote it, or run again"
        );
    }

    #[test]
    fn a_report_that_does_not_say_what_was_proved_of_what_is_told_apart() {
        let text = serde_json::json!({"schema": 1, "run": "old", "scenarios": []}).to_string();
        let error = Report::parse(text.as_bytes(), Path::new("r.json")).unwrap_err();
        assert!(matches!(error, ReadError::Schema { found: 1, known: 2, .. }), "{error}");
    }

    #[test]
    fn a_scenario_that_is_a_path_is_refused_with_its_place() {
        let mut report = Report::from_events(&sample::failed_run());
        report.scenarios[1].id = "../../x".into();
        let text = serde_json::to_vec(&report).unwrap();
        let error = Report::parse(&text, Path::new("r.json")).unwrap_err().to_string();
        assert!(
            error.starts_with("r.json cannot be used: scenarios[1].id is \"../../x\", which is no id"),
            "{error}"
        );
    }

    #[test]
    fn absence_is_told_from_something_else() {
        let error = Report::read(Path::new("nowhere/report.json")).unwrap_err();
        assert!(
            error.is_absence() && error.to_string().starts_with("reading nowhere/report.json"),
            "{error}"
        );
        let error = Report::parse(b"<html>", Path::new("page")).unwrap_err();
        assert!(!error.is_absence() && error.to_string().starts_with("page is no report"), "{error}");
    }
}
