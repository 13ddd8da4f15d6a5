//! Counting the instructions of one operation.
//!
//! The program is run twice under valgrind, with N repetitions and with twice as many. The difference is what N
//! repetitions take: what comes before and after them is in both counts, and drops out.

use std::io;
use std::process::Command;

use super::paths::HotPath;

/// There is no count.
#[derive(Debug, thiserror::Error)]
pub enum NotCounted {
    /// Install it.
    #[error("valgrind cannot be run ({0}): on Debian it is in the package `valgrind`")]
    NoValgrind(io::Error),
    /// The path is broken: the text is what it said.
    #[error("{path} failed under valgrind:\n{said}")]
    Failed {
        /// The path.
        path: &'static str,
        /// Its standard error.
        said: String,
    },
}

/// What the count depends on besides the source. Where it differs, counts of the same source differ a little.
#[must_use]
pub fn surroundings() -> String {
    let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let libc = libc.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "another libc".to_owned());
    format!("{}, {libc}, {}", env!("BUILT_BY"), processor())
}

/// Libraries choose their code by what the processor offers; valgrind knows nothing newer than AVX2.
#[cfg(target_arch = "x86_64")]
fn processor() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") { "x86_64 with AVX2" } else { "x86_64 without AVX2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> &'static str {
    std::env::consts::ARCH
}

/// Instructions of one operation of `path`.
///
/// # Errors
/// If valgrind is missing, or the path fails.
pub fn instructions(path: &HotPath) -> Result<f64, NotCounted> {
    let once = instructions_of(path, path.repetitions)?;
    let twice = instructions_of(path, 2 * path.repetitions)?;
    let operations = path.repetitions * path.operations;
    Ok(twice.saturating_sub(once) as f64 / operations as f64)
}

/// Instructions of the whole program with so many repetitions.
fn instructions_of(path: &HotPath, repetitions: usize) -> Result<u64, NotCounted> {
    let program = std::env::current_exe().map_err(NotCounted::NoValgrind)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).args(["run", path.name, &repetitions.to_string()]);
    // The size of the environment moves the stack, and with it how memory is copied.
    if let Some(search_path) = std::env::var_os("PATH") {
        command.env_clear().env("PATH", search_path);
    }
    let output = command.output().map_err(NotCounted::NoValgrind)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match (output.status.success(), collected) {
        (true, Some(instructions)) => Ok(instructions),
        _ => Err(NotCounted::Failed { path: path.name, said: said.into_owned() }),
    }
}
