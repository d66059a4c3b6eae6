//! A chart with one of its files reading otherwise.

use std::path::Path;

use super::MutationError;

/// What becomes of a file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It is left out.
    Omit,
    /// Every occurrence of a text is another one.
    Replace {
        /// What is there.
        text: String,
        /// What is there instead.
        with: String,
    },
}

/// Copies a chart, with these edits of its files.
///
/// # Errors
/// A file cannot be read or written, or does not hold what is to be replaced.
pub fn copy_with(chart: &Path, to: &Path, edits: &[(String, Edit)]) -> Result<(), MutationError> {
    let _ = std::fs::remove_dir_all(to);
    copy(chart, to)?;
    for (file, edit) in edits {
        let path = to.join(file);
        match edit {
            Edit::Omit => std::fs::remove_file(&path).map_err(io("leaving out", &path))?,
            Edit::Replace { text, with } => {
                let content = std::fs::read_to_string(&path).map_err(io("reading", &path))?;
                if !content.contains(text.as_str()) {
                    return Err(MutationError::NotThere { file: file.clone(), text: text.clone() });
                }
                std::fs::write(&path, content.replace(text.as_str(), with)).map_err(io("writing", &path))?;
            }
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), MutationError> {
    std::fs::create_dir_all(to).map_err(io("making", to))?;
    for entry in std::fs::read_dir(from).map_err(io("listing", from))? {
        let entry = entry.map_err(io("listing", from))?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io("looking at", &path))?.is_dir() {
            copy(&path, &copied)?;
        } else {
            std::fs::copy(&path, &copied).map_err(io("copying", &path))?;
        }
    }
    Ok(())
}

fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> MutationError {
    let doing = format!("{doing} {}", path.display());
    move |source| MutationError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_reads_otherwise_and_the_chart_stays_as_it_is() {
        let (chart, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(chart.path().join("templates")).unwrap();
        std::fs::write(chart.path().join("templates/a.yaml"), "replicas: 2").unwrap();
        std::fs::write(chart.path().join("values.schema.json"), "{}").unwrap();
        let replace = |text: &str| Edit::Replace { text: text.into(), with: "replicas: 3".into() };
        let edits = [
            ("templates/a.yaml".to_owned(), replace("replicas: 2")),
            ("values.schema.json".into(), Edit::Omit),
        ];
        let copy = to.path().join("copy");
        copy_with(chart.path(), &copy, &edits).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("templates/a.yaml")).unwrap(), "replicas: 3");
        assert!(!copy.join("values.schema.json").exists());
        assert!(chart.path().join("values.schema.json").exists());
        let error = copy_with(chart.path(), &copy, &[("templates/a.yaml".into(), replace("replicas: 9"))])
            .unwrap_err();
        assert!(error.to_string().contains("does not hold `replicas: 9`"), "{error}");
    }
}
