//! `meshproof doctor`.

use clap::Args;

use meshproof_lab::cache::CacheError;
use meshproof_lab::doctor::{self, DoctorReport};
use meshproof_lab::supply::ImageSource;

/// Arguments of `meshproof doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Judge the host for images from here: registry, source or auto
    #[arg(long, value_name = "SOURCE", default_value_t = ImageSource::Auto)]
    pub image_source: ImageSource,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the report; returns it for the exit code.
///
/// # Errors
/// There is no place for the cache.
pub async fn run(args: &DoctorArgs) -> Result<DoctorReport, CacheError> {
    let report = doctor::run(args.image_source).await?;
    if args.json {
        // Nothing in the report can fail to serialise: no maps with other keys than text, no custom code.
        println!("{}", meshproof_model::visible::pretty(&report).unwrap_or_default());
    } else {
        print!("{report}");
    }
    Ok(report)
}
