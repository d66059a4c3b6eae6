//! The program alb-controller; everything is in the library.

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    alb_controller::run::run(alb_controller::cli::Args::parse())
}
