//! The program alb-proxy; everything is in the library.

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    alb_proxy::run(alb_proxy::Options::parse())
}
