//! The program alb-controller-istio-extension; everything is in the library.

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    alb_controller_istio_extension::run::run(alb_controller_istio_extension::cli::Args::parse())
}
