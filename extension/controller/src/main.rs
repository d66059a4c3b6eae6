//! Entry point.

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    alb_runtime::install_crypto_provider();
    let args = alb_controller::cli::Args::parse();
    // Two threads: one translates, the other keeps the Lease and the streams alive.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(alb_controller::run::run(args))
}
