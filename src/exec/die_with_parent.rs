//! A command that dies with its parent, this process: when this process ends, however that is, the command is told to end.
//!
//! Linux does that for whoever asks for it in the process that is to be told. So this program is started again, asks,
//! and becomes the command.

use std::ffi::{OsStr, OsString};
use std::io;

use tokio::process::Command;

/// Why this process could not become the command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotBecome {
    /// There was no command.
    #[error("no command was given")]
    NoCommand,
    /// It could not be executed.
    #[error("cannot run {}: {error}", name.display())]
    Exec {
        /// The command.
        name: OsString,
        /// Why.
        error: io::Error,
    },
}

/// The command, which is told to end when this process ends.
#[cfg(target_os = "linux")]
pub(super) fn command(command: &[OsString]) -> Command {
    // The running program, even if its file has been replaced since.
    let mut started = Command::new("/proc/self/exe");
    started
        .arg("die-with-parent")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .args(command);
    started
}

/// The command. This system has no means to tell it of the end of this process.
#[cfg(not(target_os = "linux"))]
pub(super) fn command(command: &[OsString]) -> Command {
    let (name, arguments) =
        command.split_first().map_or((OsStr::new(""), &[][..]), |(n, a)| (n.as_os_str(), a));
    let mut plain = Command::new(name);
    plain.args(arguments);
    plain
}

/// Becomes the command, which is sent SIGTERM when the process `parent` ends. Returns only if that fails, or if the
/// parent has ended already: there is nobody to do it for then.
///
/// # Errors
/// If the command cannot be executed.
pub(crate) fn become_command(parent: i32, command: &[OsString]) -> Result<(), CannotBecome> {
    use std::os::unix::process::CommandExt;
    let (name, arguments) = command.split_first().ok_or(CannotBecome::NoCommand)?;
    #[cfg(target_os = "linux")]
    {
        // If it cannot be had, the command runs all the same.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let alive = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    if alive != Some(parent) {
        return Ok(());
    }
    let error = std::process::Command::new(OsStr::new(name)).args(arguments).exec();
    Err(CannotBecome::Exec { name: name.clone(), error })
}
