//! Passing signals on to the command.

use std::io::{self, IsTerminal};
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// The signals that are passed on, caught from now on: none is lost before the command runs.
pub(super) struct CaughtSignals {
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    user_1: tokio::signal::unix::Signal,
    user_2: tokio::signal::unix::Signal,
    /// Whether a terminal sends its own signals, Ctrl-C and Ctrl-\, to the command as well.
    terminal: bool,
}

impl CaughtSignals {
    pub(super) fn catch() -> io::Result<Self> {
        let terminal = io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal();
        Ok(CaughtSignals {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            terminal,
        })
    }

    /// Passes signals on until the command has ended.
    pub(super) async fn forward_until_end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            let caught = tokio::select! {
                ended = child.wait() => return ended,
                _ = self.terminate.recv() => Signal::TERM,
                _ = self.hang_up.recv() => Signal::HUP,
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.quit.recv() => Signal::QUIT,
                _ = self.user_1.recv() => Signal::USR1,
                _ = self.user_2.recv() => Signal::USR2,
            };
            // A second Ctrl-C would tell many programs to end at once, without tidying up.
            let has_it = self.terminal && (caught == Signal::INT || caught == Signal::QUIT);
            if let (false, Some(pid)) = (has_it, child.id().and_then(process)) {
                // A command that has just ended needs no signal.
                let _ = kill_process(pid, caught);
            }
        }
    }
}

fn process(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}
