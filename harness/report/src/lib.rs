//! What a run leaves behind, for people and for machines. Every reporter only listens to the one stream
//! of [`Event`]s.
//!
//! ```text
//! target/meshproof/<run>/
//!   report.json                  machines: schema, cluster, timings, scenarios
//!   junit.xml                    continuous integration
//!   report.html                  people: one self-contained page
//!   transcript/<scenario>.yaml   reviewers: normalised, the same for every good run
//!   evidence/<scenario>/         whoever must find the cause of a failure
//! target/meshproof/latest        link to the newest run
//! ```

pub mod compare;
mod diff;
mod explain;
mod fit;
mod html;
mod json;
mod junit;
mod merge;
pub mod mutants;
mod normalise;
mod read;
mod rounds;
#[cfg(test)]
mod sample;
mod terminal;
mod text;
mod transcript;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use self::text::count;
pub use self::{
    diff::{Aspect, Change, Diff, Grade, NOISE, Noise, Side, Subject, diff},
    explain::explain,
    fit::Unfit,
    json::{Part, Report, Timings},
    merge::{MergeError, merge_into},
    normalise::normalise,
    read::ReadError,
    terminal::{Look, Terminal, terminal},
    transcript::transcript,
};
use meshproof_model::event::Event;
use meshproof_model::visible;

/// Writes everything but the evidence (which is collected while a scenario runs) below `results`, and
/// points `latest`, next to it, at it.
///
/// # Errors
/// When a file cannot be written; the error names it.
pub fn write_all(results: &Path, events: &[Event]) -> io::Result<()> {
    write_report(results, &Report::from_events(events))?;
    link_latest(results)
}

/// The same for a report that is there, without `latest`.
fn write_report(results: &Path, report: &Report) -> io::Result<()> {
    fit::check(report).map_err(|unfit| io::Error::new(io::ErrorKind::InvalidInput, unfit))?;
    let report = &visible::of(report).map_err(io::Error::other)?;
    let json = serde_json::to_string_pretty(report).map_err(io::Error::other)?;
    write(&results.join("report.json"), &(json + "\n"))?;
    write(&results.join("junit.xml"), &junit::render(report).map_err(io::Error::other)?)?;
    write(&results.join("report.html"), &html::render(report, results).map_err(io::Error::other)?)?;
    for scenario in &report.scenarios {
        write(&transcript_path(results, &scenario.name()), &transcript(scenario))?;
    }
    Ok(())
}

/// Where the transcript of a scenario is written; `name` as [`meshproof_model::event::result_name`] has it.
fn transcript_path(results: &Path, name: &str) -> PathBuf {
    results.join("transcript").join(format!("{name}.yaml"))
}

/// Points `latest`, in the folder of `results`, at `results`: replaced by a rename, so that it never
/// dangles and two runs that end together do not trip over each other.
pub fn link_latest(results: &Path) -> io::Result<()> {
    let (Some(parent), Some(run)) = (results.parent(), results.file_name()) else { return Ok(()) };
    #[cfg(unix)]
    {
        let fresh = parent.join(format!(".latest.{}", std::process::id()));
        let _ = fs::remove_file(&fresh);
        std::os::unix::fs::symlink(run, &fresh).map_err(|error| named(&fresh, error))?;
        let latest = parent.join("latest");
        fs::rename(&fresh, &latest).map_err(|error| named(&latest, error))?;
    }
    #[cfg(not(unix))]
    let _ = (parent, run);
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
    }
    fs::write(path, text).map_err(|error| named(path, error))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
