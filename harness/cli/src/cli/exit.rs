//! Exit codes: an interface.

use meshproof_lab::cluster::ClusterError;

/// Everything was proved, or what was asked for was done.
pub const PROVED: u8 = 0;
/// A claim failed.
pub const FAILED: u8 = 1;
/// The command was not understood (clap's own code), or a scenario is not well formed.
pub const USAGE: u8 = 2;
/// The environment is not fit; `meshproof doctor` says why.
pub const UNFIT: u8 = 3;
/// Setting up failed.
pub const SETUP: u8 = 4;
/// Nothing was selected.
pub const NOTHING: u8 = 5;

/// The code of a command that ended with this trouble about its cluster.
pub fn of(error: &ClusterError) -> u8 {
    if error.is_unfit_host() { UNFIT } else { SETUP }
}
