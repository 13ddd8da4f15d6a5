//! The `heliostat` command.

use std::process::ExitCode;

/// The memory of a burst of connections goes back to the system, which the C library's allocator keeps; its pages are
/// given back a second after their last use (`.cargo/config.toml`).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    heliostat::cli::main()
}
