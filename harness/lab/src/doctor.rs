//! What this host has, what will be used, what is missing and how to get it.
//!
//! [`facts`] looks; [`findings`] judges, without looking. Nothing is installed, started or downloaded, save one
//! bounded try to reach a registry.

use serde::Serialize;

use crate::cache::{Cache, CacheError};
use crate::supply::ImageSource;

pub mod facts;
pub mod findings;
mod text;

pub use facts::Facts;
pub use findings::{Finding, Level, Plan};

/// Everything `doctor` says.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorReport {
    /// Whether `meshproof up` can work here.
    pub fit: bool,
    /// What was seen.
    pub facts: Facts,
    /// What follows from it, in the order people read it.
    pub findings: Vec<Finding>,
    /// What `meshproof up` will do.
    pub plan: Plan,
}

impl std::fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text::write(self, f)
    }
}

/// Looks at this host and says what it is fit for.
///
/// # Errors
/// There is no place for the cache.
pub async fn run(source: ImageSource) -> Result<DoctorReport, CacheError> {
    let cache = Cache::open_default()?;
    let facts = facts::collect(&cache, source).await;
    let (findings, plan) = findings::judge(&facts, source);
    let fit = !findings.iter().any(|finding| finding.level == Level::Missing);
    Ok(DoctorReport { fit, facts, findings, plan })
}
