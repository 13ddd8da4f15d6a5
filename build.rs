//! Tells the program what it was built from, for `heliostat --version`: the commit, the target and the features.
//!
//! A commit is known from `HELIOSTAT_COMMIT`, from the archive that `cargo package` makes, or from git. Only builds that are
//! given away look for one: where people work, every commit would have everything compiled again.
//!
//! The variables by which it is told must not begin as those of the broker do: `cargo run` hands them on, and the broker warns of one
//! that it does not know.

use std::env;
use std::fs;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=HELIOSTAT_COMMIT");
    let given = env::var("HELIOSTAT_COMMIT").ok();
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let looked_up = || if is_release { packaged().or_else(from_git) } else { None };
    let fits =
        |commit: &String| !commit.is_empty() && commit.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let commit = given.or_else(looked_up).filter(fits).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=BUILT_FROM_COMMIT={commit}");
    println!("cargo:rustc-env=BUILT_FOR_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo:rustc-env=BUILT_WITH_FEATURES={}", features().join(", "));
}

/// What builds may differ in.
fn features() -> Vec<&'static str> {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    // As the allocator is chosen in src/main.rs.
    let has_jemalloc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    let all = [
        ("tls", true),
        ("jemalloc", has_jemalloc),
        ("debug assertions", env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_some()),
    ];
    all.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

/// What `cargo package` wrote.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// What git says, with `-dirty` behind it where files have changed. Of a directory above that happens to be under git it says
/// nothing.
fn from_git() -> Option<String> {
    if !fs::exists(".git").is_ok_and(|there| there) {
        return None;
    }
    let ask = |arguments: &[&str]| {
        let answer =
            Command::new("git").args(arguments).output().ok().filter(|answer| answer.status.success())?;
        Some(String::from_utf8(answer.stdout).ok()?.trim().to_owned())
    };
    if let Some(log) = ask(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    ask(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
}
