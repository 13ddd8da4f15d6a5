//! The process that is to succeed a running broker: the program as it is installed now, with the same arguments, environment
//! and working directory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SendFlags;
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::debug;

use super::passing::{
    self, HANDOVER_VERSION, LINE_BYTES, MOST_PASSED, PREDECESSOR, PassedSocket, PredecessorWord,
    SuccessorWord, TakenSocket,
};

/// How long a successor may take from its start until it serves. One of a cluster first learns what the others have.
const SERVES_WITHIN: Duration = Duration::from_secs(60);

/// How long a process that is not to succeed this one has to end in order.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Variables that are meant for this process alone.
const NOT_FOR_OTHERS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// A process that is to succeed this one. Unless this one has left its place to it, it is turned down when this is dropped.
#[derive(Debug)]
pub(super) struct Successor {
    process: u32,
    has_place: bool,
    child: Child,
    stream: BufReader<UnixStream>,
    /// This end of the link, by which the two are nodes of one broker.
    link: Option<StdStream>,
}

/// Why a broker has no successor.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSuccessor {
    /// With its end everything would end.
    #[error(
        "this broker is the first process of its container, which would end with it; start another container with the new \
         program instead"
    )]
    FirstProcess,
    /// The system refuses something.
    #[error("{0}")]
    System(io::Error),
    /// It cannot be started.
    #[error("{program} cannot be started: {error}")]
    NotStarted { program: String, error: io::Error },
    /// It has said why it does not serve.
    #[error("the new process does not start: {0}")]
    Failed(String),
    /// It has ended, or does not know what to say.
    #[error("the new process {0}")]
    Ended(String),
    /// It takes too long.
    #[error("the new process does not serve after {} s", .0.as_secs())]
    TooLate(Duration),
    /// This broker succeeds another one itself, which still serves clients.
    #[error("the process before this one still serves clients; ask again when it has ended")]
    StillSucceeding,
    /// It does not answer where it says that it does.
    #[error("the new process says that it serves, but {0}")]
    NotProven(String),
}

impl Successor {
    /// Starts it with these sockets, and with a link if it is to have one.
    pub(super) fn start(
        passed: &[(PassedSocket, Arc<Socket>)],
        is_linked: bool,
    ) -> Result<Self, NoSuccessor> {
        if std::process::id() == 1 {
            return Err(NoSuccessor::FirstProcess);
        }
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_default();
        let arguments: Vec<_> = arguments.collect();
        Self::spawn(&program, &arguments, passed, is_linked).map_err(|error| NoSuccessor::NotStarted {
            program: program.to_string_lossy().into_owned(),
            error,
        })
    }

    fn spawn(
        program: &OsStr,
        arguments: &[impl AsRef<OsStr>],
        passed: &[(PassedSocket, Arc<Socket>)],
        is_linked: bool,
    ) -> io::Result<Self> {
        if passed.len() + usize::from(is_linked) > MOST_PASSED {
            return Err(io::Error::other(format!("more than {MOST_PASSED} sockets cannot be passed on")));
        }
        let (ours, theirs) = StdStream::pair()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(OwnedFd::from(theirs)));
        for name in NOT_FOR_OTHERS {
            command.env_remove(name);
        }
        command.env(PREDECESSOR, std::process::id().to_string());
        let child = command.spawn()?;
        // It holds the other end as long as this is there.
        drop(command);
        let process = child.id().ok_or_else(|| io::Error::other("it has ended at once"))?;
        let sockets = passed.iter().map(|(socket, _)| socket.clone()).collect();
        let word = PredecessorWord::Take { version: HANDOVER_VERSION, sockets, is_linked };
        let (link, its_link) = is_linked.then(StdStream::pair).transpose()?.unzip();
        let files: Vec<_> = passed
            .iter()
            .map(|(_, socket)| socket.as_fd())
            .chain(its_link.as_ref().map(AsFd::as_fd))
            .collect();
        // It is taken as a whole by a socket that is empty.
        ours.set_nonblocking(true)?;
        passing::send_with_files(&ours, &word, &files)?;
        let stream = BufReader::new(UnixStream::from_std(ours)?);
        Ok(Successor { process, has_place: false, child, stream, link })
    }

    /// Its id.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// This end of the link, for the one who asks first.
    pub(super) fn take_link(&mut self) -> Option<StdStream> {
        self.link.take()
    }

    /// Waits until it serves; returns the sockets that it has taken, and where it answers that it is well. If it does not serve, it
    /// ends.
    pub(super) async fn until_it_serves(&mut self) -> Result<(Vec<TakenSocket>, String), NoSuccessor> {
        let why = match tokio::time::timeout(SERVES_WITHIN, self.hear()).await {
            Ok(Ok(SuccessorWord::Serves { taken, health })) => return Ok((taken, health)),
            Ok(Ok(SuccessorWord::Failed { why })) => NoSuccessor::Failed(why),
            Ok(Err(error)) => {
                // Its end tells more than that of the connection.
                match tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await {
                    Ok(Ok(status)) => NoSuccessor::Ended(how_ended(status)),
                    _ => NoSuccessor::Ended(format!("says nothing that can be understood: {error}")),
                }
            }
            Err(_) => NoSuccessor::TooLate(SERVES_WITHIN),
        };
        self.turn_down().await;
        Err(why)
    }

    async fn hear(&mut self) -> io::Result<SuccessorWord> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES as u64).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        passing::word_of(&line)
    }

    /// Leaves it this broker's place.
    pub(super) async fn leave_place(&mut self) -> Result<(), NoSuccessor> {
        let ended = |error: io::Error| NoSuccessor::Ended(format!("has gone: {error}"));
        let line = passing::line_of(&PredecessorWord::Yours).map_err(ended)?;
        self.stream.write_all(&line).await.map_err(ended)?;
        self.has_place = true;
        Ok(())
    }

    /// Has it end, for this broker goes on.
    pub(super) async fn turn_down(&mut self) {
        // It ends by itself when it has heard this.
        self.say_turned_down();
        let _ = self.stream.shutdown().await;
        if tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await.is_err()
            && let Err(error) = self.child.kill().await
        {
            debug!(%error, "the process that was to take over cannot be ended");
        }
    }

    /// Tells it that it is not to succeed this one, without which it would take the end of the connection for that of this
    /// process.
    fn say_turned_down(&self) {
        if let Ok(line) = passing::line_of(&PredecessorWord::TurnedDown) {
            // Nothing else has been said since its start, so there is room. It may have ended.
            let _ =
                rustix::net::send(self.stream.get_ref(), &line, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.has_place {
            self.say_turned_down();
        }
    }
}

/// How a process has ended, in words.
fn how_ended(status: ExitStatus) -> String {
    format!("has ended: {status}; standard error, or the log, tells why")
}
