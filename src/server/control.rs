//! The control socket: how a command on the same machine talks to the running broker, and hears what came of it.
//!
//! A Unix socket that only its owner may open. One connection carries one request, a line of one word, and the
//! answer: a line that is `ok` or `failed`, then text for people until the end. It knows nothing of what a request
//! does.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::passing::PassedSocket;
use super::predecessor::Predecessor;
use super::socket_file::{self, SocketFile, SocketFileError};
use crate::net::idle::{IdleEntry, IdleList};

/// Asks the broker to read its configuration again.
pub(crate) const RELOAD: &str = "reload";

/// Asks the broker what that would change.
pub(crate) const PLAN: &str = "reload-plan";

/// Asks the broker which file the apps are in that it lets be changed.
pub(crate) const APPS_FILE: &str = "apps-file";

/// Asks the broker for the nodes of its cluster, as JSON.
pub(crate) const NODES: &str = "nodes";

/// Asks the broker to have another process take its place.
pub(crate) const UPGRADE: &str = "upgrade";

/// Bytes of a request. There is no longer one.
const REQUEST_BYTES: u64 = 64;

/// How long a peer may take to send its request, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Peers at once. All are the owner's own programs, of which few have reason to ask.
const PEERS: usize = 16;

/// Peers that the kernel holds until they are heard.
const BACKLOG: i32 = 128;

/// How long a command waits for the broker's answer. To reload takes as long as the configuration takes to read.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The same where the answer comes when another process serves, or does not.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(120);

/// What the broker answered: the text, and whether it did what it was asked.
pub(crate) type ControlAnswer = Result<String, String>;

/// The broker's end of the socket. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    // The file goes before the socket is closed.
    file: Mutex<Option<SocketFile>>,
    listener: StdListener,
    /// Another broker answers from now on.
    left: watch::Sender<bool>,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlSocketError {
    /// Another broker answers there.
    #[error("cannot make the control socket {}: another broker is using it", .0.display())]
    InUse(PathBuf),
    /// Something else is there, and not to be removed.
    #[error("cannot make the control socket {}: there is something else at that path", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot make the control socket {}: {error}", .path.display())]
    Refused {
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No broker is there.
    #[error("no broker answers at the control socket {}: {error}", .path.display())]
    Unreachable {
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It did not answer, or not to the end.
    #[error("the broker at the control socket {} gave no answer that can be understood: {reason}", .path.display())]
    NoAnswer {
        path: PathBuf,
        /// What came, or what was in the way.
        reason: String,
    },
}

impl ControlSocket {
    /// Makes the socket. A file that an earlier broker left behind is replaced.
    ///
    /// # Errors
    /// See [`ControlSocketError`].
    pub(crate) fn bind(path: &Path) -> Result<Self, ControlSocketError> {
        let listening = socket_file::listen(path, 0o600, BACKLOG);
        let (listener, file) = listening.map_err(|error| match error {
            SocketFileError::InUse => ControlSocketError::InUse(path.to_owned()),
            SocketFileError::NotASocket => ControlSocketError::NotASocket(path.to_owned()),
            SocketFileError::Refused(error) => ControlSocketError::Refused { path: path.to_owned(), error },
        })?;
        Ok(ControlSocket::new(listener, file))
    }

    fn new(listener: StdListener, file: SocketFile) -> Self {
        ControlSocket { file: Mutex::new(Some(file)), listener, left: watch::Sender::new(false) }
    }

    /// Takes the socket of the broker that is to be succeeded, if it is at this path, and else makes one.
    ///
    /// # Errors
    /// See [`ControlSocketError`].
    pub(crate) fn succeed(
        path: &Path,
        predecessor: Option<&Predecessor>,
    ) -> Result<Self, ControlSocketError> {
        let of_predecessor = predecessor.and_then(|predecessor| predecessor.control(path));
        match of_predecessor {
            Some((socket, place)) => {
                let file = SocketFile::passed_on(path, &place);
                Ok(ControlSocket::new(socket.into(), file))
            }
            None => ControlSocket::bind(path),
        }
    }

    /// What another broker is to know of it, and the socket.
    pub(super) fn to_pass(&self) -> io::Result<(PassedSocket, Arc<Socket>)> {
        let socket = Socket::from(self.listener.try_clone()?);
        Ok((PassedSocket { is_control: true, held: None }, Arc::new(socket)))
    }

    /// Answers only who has asked already: another broker answers from now on. Where it `is_taken` by that, the file stays.
    pub(super) fn leave(&self, is_taken: bool) {
        if let Some(file) = self.file.lock().take()
            && is_taken
        {
            file.leave();
        }
        self.left.send_replace(true);
    }

    /// Answers requests until another broker does, by what `answer` makes of each. Must run within a runtime. Peers are heard side by
    /// side, so that nobody has to wait for one that says nothing; of too many the one that has been silent longest goes.
    ///
    /// # Errors
    /// If the runtime cannot take the socket.
    pub(crate) async fn serve(&self, answer: impl AsyncFn(&str) -> ControlAnswer) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        let idle = IdleList::default();
        let mut peers: Vec<Peer<'_>> = Vec::new();
        let mut left = self.left.subscribe();
        loop {
            let accepted = poll_fn(|context| {
                peers.retain_mut(|peer| peer.as_mut().poll(context).is_pending());
                listener.poll_accept(context)
            });
            let accepted = tokio::select! {
                accepted = accepted => accepted,
                _ = left.wait_for(|left| *left) => break,
            };
            match accepted {
                // All are being answered: whoever comes now is hung up on.
                Ok(_) if peers.len() >= PEERS && !idle.evict_longest() => {
                    debug!("a peer of the control socket came while too many were being answered");
                }
                Ok((stream, _)) => peers.push(Box::pin(serve(stream, idle.enter(), &answer))),
                // Out of files, most likely: others must end first.
                Err(error) => {
                    warn!(%error, "the control socket cannot be reached");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
        drop(listener);
        poll_fn(|context| {
            peers.retain_mut(|peer| peer.as_mut().poll(context).is_pending());
            if peers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(())
    }
}

/// What is under way with one peer.
type Peer<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

async fn serve(stream: UnixStream, entry: IdleEntry, answer: impl AsyncFn(&str) -> ControlAnswer) {
    if let Err(error) = converse(stream, &entry, answer).await {
        debug!(%error, "a request on the control socket was not answered");
    }
}

async fn converse(
    stream: UnixStream,
    entry: &IdleEntry,
    answer: impl AsyncFn(&str) -> ControlAnswer,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    let mut line = (&mut stream).take(REQUEST_BYTES);
    let read = tokio::time::timeout(PATIENCE, line.read_line(&mut request));
    let read = entry.unless_evicted(read).await;
    let Some(read) = read else { return Err(io::Error::other("it said nothing, and others came")) };
    read??;
    entry.set_busy();
    if request.is_empty() {
        // Somebody only looked whether anyone is here.
        return Ok(());
    }
    let text = match answer(request.trim_end()).await {
        Ok(text) => format!("ok\n{text}\n"),
        Err(text) => format!("failed\n{text}\n"),
    };
    tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await??;
    stream.shutdown().await
}

/// Asks the broker at the control socket, and waits for its answer.
///
/// # Errors
/// See [`AskError`].
pub(crate) fn ask(path: &Path, request: &str) -> Result<ControlAnswer, AskError> {
    let unreachable = |error| AskError::Unreachable { path: path.to_owned(), error };
    let mut stream = StdStream::connect(path).map_err(unreachable)?;
    let mut text = String::new();
    let mut exchange = || {
        stream.set_write_timeout(Some(PATIENCE))?;
        let patience = if request == UPGRADE { UPGRADE_PATIENCE } else { ANSWER_PATIENCE };
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        stream.read_to_string(&mut text)
    };
    let no_answer = |reason| AskError::NoAnswer { path: path.to_owned(), reason };
    exchange().map_err(|error| no_answer(error.to_string()))?;
    let (word, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match word {
        "ok" => Ok(Ok(rest.trim_end().to_owned())),
        "failed" => Ok(Err(rest.trim_end().to_owned())),
        other => Err(no_answer(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("heliostat-control-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_request_is_answered_and_the_socket_is_gone_with_its_owner() {
        let path = path("answered");
        let socket = ControlSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner alone");
        assert!(matches!(ControlSocket::bind(&path), Err(ControlSocketError::InUse(_))));
        let asking = {
            let path = path.clone();
            std::thread::spawn(move || {
                (ask(&path, "reload"), ask(&path, "dance"), ask(&path, &"x".repeat(1000)))
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (known, unknown, long) = runtime.block_on(async {
            let answer = async |request: &str| match request {
                "reload" => Ok("done\nand done".to_owned()),
                other => Err(format!("cannot {} of {}", &other[..1], other.len())),
            };
            let asked = tokio::task::spawn_blocking(move || asking.join().unwrap());
            tokio::select! {
                served = socket.serve(answer) => panic!("{served:?}"),
                asked = asked => asked.unwrap(),
            }
        });
        assert_eq!(known.unwrap(), Ok("done\nand done".to_owned()));
        assert_eq!(unknown.unwrap(), Err("cannot d of 5".to_owned()));
        // It is cut, so it may also be reset before it has read the answer.
        assert!(long.is_err() || long.is_ok_and(|answer| answer == Err("cannot x of 64".to_owned())));
        drop(socket);
        assert!(!path.exists());
        assert!(matches!(ask(&path, "reload"), Err(AskError::Unreachable { .. })));
    }

    #[test]
    fn nobody_waits_for_peers_that_say_nothing() {
        let path = path("idle");
        let socket = ControlSocket::bind(&path).unwrap();
        let asking = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut idle: Vec<StdStream> = Vec::new();
                // More than there is room for: the first ones go.
                let answers: Vec<_> = (0..3 * PEERS)
                    .map(|n| {
                        idle.push(StdStream::connect(&path).unwrap());
                        if n % 2 == 0 {
                            // As silent, for the line does not end.
                            idle[n].write_all(b"rel").unwrap();
                        }
                        ask(&path, "reload").unwrap()
                    })
                    .collect();
                let ended = idle[0].read(&mut [0]).unwrap();
                idle[3 * PEERS - 1].write_all(b"reload\n").unwrap();
                let mut last = String::new();
                idle[3 * PEERS - 1].read_to_string(&mut last).unwrap();
                (answers, ended, last)
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (answers, ended, last) = runtime.block_on(async {
            let asked = tokio::task::spawn_blocking(move || asking.join().unwrap());
            tokio::select! {
                served = socket.serve(async |_| Ok("done".to_owned())) => panic!("{served:?}"),
                asked = asked => asked.unwrap(),
            }
        });
        assert!(answers.iter().all(|answer| *answer == Ok("done".to_owned())));
        // Nobody waited until the silent one before it had been given up: it is still heard.
        assert_eq!((ended, last.as_str()), (0, "ok\ndone\n"));
    }

    #[test]
    fn what_an_earlier_broker_left_is_replaced_and_nothing_else() {
        let path = path("left");
        drop(StdListener::bind(&path).unwrap());
        drop(ControlSocket::bind(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(ControlSocketError::NotASocket(_))));
        fs::remove_file(&path).unwrap();
        let nowhere = Path::new("/nowhere/at/all.sock");
        assert!(matches!(ControlSocket::bind(nowhere), Err(ControlSocketError::Refused { .. })));
    }
}
