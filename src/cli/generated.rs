//! What is made of the definitions of the command line for others: completions for shells, manual pages, and the version.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;

/// The version and what it was built from, as `--version` prints it behind the name; `-V` prints the first line alone.
pub(super) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILT_FROM_COMMIT"),
    "\ntarget: ",
    env!("BUILT_FOR_TARGET"),
    "\nfeatures: ",
    env!("BUILT_WITH_FEATURES"),
);

/// The completions for a shell, as a script of it.
pub(super) fn completions(mut command: clap::Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "heliostat", &mut script);
    script
}

/// The manual page of the program.
///
/// # Errors
/// None but those of memory: it is written there.
pub(super) fn manual_page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Writes the manual pages of the program and of each command into a directory, which is made if it is not there.
///
/// # Errors
/// If it cannot be written to.
pub(super) fn write_manual(command: clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_it_was_built_from_is_no_variable_of_the_broker() {
        let build = include_str!("../../build.rs");
        let given = build.matches("rustc-env=").count();
        assert!(given > 0 && !build.contains("rustc-env=HELIOSTAT_"), "`cargo run` would hand it on");
    }
}
