//! `heliostat exec`: a command with a broker of its own, in test mode, for as long as the command runs.
//!
//! The command has this process's standard streams, and ends with it: where the system allows (Linux) the kernel
//! tells the command when this process is killed, so that no test hangs on a broker that is no more. Elsewhere its
//! connections end, and new ones are refused.

mod die_with_parent;
mod find;
mod signals;

pub(crate) use die_with_parent::become_command;

use std::cell::Cell;
use std::ffi::OsString;
use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::server::{Server, StartError};
use crate::test_mode::{Credentials, TestMode, credentials_of, draw_token};

use find::{Missing, find};
use signals::CaughtSignals;

/// How long the connections that the command leaves behind may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// The exit status where the command does not exist, as shells have it.
const NOT_FOUND: u8 = 127;
/// The exit status where the command cannot be executed, as shells have it.
const NOT_EXECUTABLE: u8 = 126;
/// The exit status where the broker ended before the command.
const BROKER_ENDED: u8 = 1;
/// Added to the number of the signal that ended the command, as shells do.
const SIGNALLED: u8 = 128;

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct CommandOutcome {
    /// The exit status to end with.
    pub status: u8,
    /// What to print to standard error.
    pub told: String,
}

/// Runs the command against a broker of this configuration.
///
/// # Errors
/// If the broker cannot be started. The command has not run then.
pub(crate) fn run(
    mut config: Config,
    env_prefixes: &[String],
    command: &[OsString],
) -> Result<CommandOutcome, StartError> {
    let name = command.first().map(OsString::as_os_str).unwrap_or_default();
    if let Err(missing) = find(name) {
        let status = match missing {
            Missing::NotFound => NOT_FOUND,
            Missing::NotExecutable => NOT_EXECUTABLE,
        };
        return Ok(CommandOutcome {
            status,
            told: format!("heliostat: cannot run {}: {missing}\n", name.display()),
        });
    }
    config.server.shutdown_grace = config.server.shutdown_grace.min(GRACE);
    let test_mode = TestMode::new(draw_token(), false);
    test_mode.remember_ended();
    let bound = Server::new(config.clone()).test_mode(Arc::clone(&test_mode)).bind()?;
    let tls = config.server.serves_tls();
    let mut environment = Vec::new();
    if let Some(first) = config.apps.first() {
        let (address, prefix) = (bound.address(), &config.server.path_prefix);
        let host = Credentials::host_of(address);
        let credentials = credentials_of(&first.app, &host, address.port(), tls, prefix);
        environment = credentials.environment_with_control(env_prefixes, test_mode.token());
    }
    let outcome = Rc::new(Cell::new(None));
    let served = actix_web::rt::System::new().block_on(async {
        let signals = CaughtSignals::catch();
        let ended = Rc::clone(&outcome);
        // The broker serves when this is first looked at, and stops when it is ready. If the broker ends before, the
        // command is dropped, and killed by that.
        let commanded = async move {
            let begun = signals.and_then(|signals| {
                let child = die_with_parent::command(command).envs(environment).kill_on_drop(true).spawn()?;
                Ok((signals, child))
            });
            let result = match begun {
                Err(error) => Err(error),
                Ok((mut signals, mut child)) => signals.forward_until_end(&mut child).await,
            };
            ended.set(Some(result));
        };
        bound.run(commanded).await
    });
    Ok(match (outcome.take(), served) {
        (Some(Ok(status)), _) if status.success() => CommandOutcome::default(),
        (Some(Ok(status)), _) => {
            let (code, how) = in_words(status);
            let told = test_mode.timeline();
            CommandOutcome {
                status: code,
                told: format!("heliostat: the command {how}; what the broker saw:\n{told}"),
            }
        }
        (Some(Err(error)), _) => {
            let told = format!("heliostat: cannot run {}: {error}\n", name.display());
            CommandOutcome { status: NOT_EXECUTABLE, told }
        }
        (None, served) => {
            let why = served.err().map_or_else(|| "without a reason".to_owned(), |error| error.to_string());
            CommandOutcome {
                status: BROKER_ENDED,
                told: format!("heliostat: the broker ended before the command: {why}\n"),
            }
        }
    })
}

/// The exit status to pass on, and how the command ended.
fn in_words(status: ExitStatus) -> (u8, String) {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => (u8::try_from(code).unwrap_or(u8::MAX), format!("ended with status {code}")),
        (None, Some(signal)) => {
            let code = u8::try_from(signal).unwrap_or(0).saturating_add(SIGNALLED);
            (code, format!("was ended by signal {signal}"))
        }
        (None, None) => (u8::MAX, "ended".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_status_is_passed_on_as_shells_do() {
        assert_eq!(in_words(ExitStatus::from_raw(3 << 8)), (3, "ended with status 3".to_owned()));
        assert_eq!(in_words(ExitStatus::from_raw(9)), (137, "was ended by signal 9".to_owned()));
    }
}
