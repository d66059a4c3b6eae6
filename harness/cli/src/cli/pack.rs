//! `meshproof pack`: makes a pack, or says what is wrong with one. Neither needs a cluster.

mod check;
mod new;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ImplementationArgs, RootArgs, exit};

/// Arguments of `meshproof pack`.
#[derive(Debug, Clone, Args)]
pub struct PackArgs {
    /// What to do
    #[command(subcommand)]
    pub command: PackCommand,
}

/// What can be done with packs.
#[derive(Debug, Clone, Subcommand)]
pub enum PackCommand {
    /// Say what is wrong with a pack, each with its place: words that mean nothing, promises that cite nothing, requirements that
    /// no scenario proves. 0 if nothing is, 1 if something is, 2 if there is no pack that can be read
    Check(CheckArgs),
    /// Make a small pack that runs at once, to go on from
    New(NewArgs),
}

/// Arguments of `meshproof pack check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Folder of the pack; without it, the one that other commands would take
    pub folder: Option<PathBuf>,
    /// Which gateway it is read for
    #[command(flatten)]
    pub implementation: ImplementationArgs,
}

/// Arguments of `meshproof pack new`.
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// Name of the pack, and of its folder
    pub name: String,
    /// Where to make the folder
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub into: PathBuf,
}

/// Runs `meshproof pack`; the exit code.
pub fn run(args: &PackArgs) -> u8 {
    match &args.command {
        PackCommand::Check(args) => check::run(args),
        PackCommand::New(args) => match new::make(&args.name, &args.into) {
            Ok(folder) => {
                print!("{}", new::next(&folder));
                exit::PROVED
            }
            Err(error) => {
                eprintln!("{error}");
                exit::USAGE
            }
        },
    }
}

impl CheckArgs {
    /// The pack that is meant.
    fn root(&self) -> RootArgs {
        let pack = self.folder.clone().or_else(|| {
            std::env::var_os("MESHPROOF_PACK").filter(|folder| !folder.is_empty()).map(PathBuf::from)
        });
        RootArgs { pack, scenarios: None }
    }
}
