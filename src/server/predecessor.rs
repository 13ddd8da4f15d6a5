//! A broker that succeeds a running one: the sockets that it is given, and its word that it serves. Until the other has left
//! its place to it, everything it was given stays the other's.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tracing::{info, warn};

use super::inherited::InheritedSockets;
use super::passed_place::PassedPlace;
use super::passing::{
    self, HANDOVER_VERSION, LINE_BYTES, PREDECESSOR, PassedSocket, PredecessorWord, SuccessorWord,
    TakenSocket,
};
use crate::hub::Hub;

/// How long the predecessor may take to say what it passes on. It says so when it starts us.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What a broker has been given by the one before it. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Predecessor(Arc<PredecessorState>);

#[derive(Debug)]
struct PredecessorState {
    process: u32,
    stream: Mutex<Option<StdStream>>,
    place: Arc<PassedPlace>,
    /// With its number among those that were passed on.
    control: Mutex<Option<(usize, Socket)>>,
    /// This end of the link, by which the two are nodes of one broker.
    link: Mutex<Option<StdStream>>,
    outcome: watch::Sender<HandoverOutcome>,
}

/// What becomes of a broker that is to succeed another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandoverOutcome {
    /// That is not decided.
    Open,
    /// It has its place.
    Succeeded,
    /// The other goes on.
    Rejected,
}

/// Nothing can be taken over from the running broker.
#[derive(Debug, thiserror::Error)]
#[error("cannot take over from the running broker: {0}")]
pub(crate) struct NotHandedOver(#[from] io::Error);

impl Predecessor {
    /// Takes what the process that has started this one passes on, if it is a broker that wants to be succeeded; at the first
    /// call. To be called before the process opens anything itself.
    ///
    /// # Errors
    /// If it passes on nothing that can be understood.
    pub(crate) fn take() -> Result<Option<(Self, InheritedSockets)>, NotHandedOver> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let parent = std::os::unix::process::parent_id();
        let is_succeeded = std::env::var(PREDECESSOR).is_ok_and(|process| process == parent.to_string());
        if !is_succeeded || TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let stream = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Nobody else is to speak there.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?).map_err(io::Error::from)?;
        Self::receive(parent, stream).map(Some).map_err(NotHandedOver)
    }

    fn receive(process: u32, stream: StdStream) -> io::Result<(Self, InheritedSockets)> {
        stream.set_read_timeout(Some(FIRST_WORD))?;
        let (word, mut files) = passing::receive_with_files(&stream)?;
        stream.set_read_timeout(None)?;
        let (passed, is_linked) = match word {
            PredecessorWord::Take { version: HANDOVER_VERSION, sockets, is_linked } => (sockets, is_linked),
            PredecessorWord::Take { version, .. } => {
                let told =
                    format!("it speaks version {version} of this, and this program {HANDOVER_VERSION}");
                return Err(io::Error::other(told));
            }
            PredecessorWord::Yours => return Err(io::Error::other("it passes on nothing")),
        };
        if passed.len() + usize::from(is_linked) != files.len() {
            return Err(io::Error::other("it names other sockets than it passes on"));
        }
        let link = files.pop_if(|_| is_linked).map(StdStream::from);
        let place = Arc::new(PassedPlace::default());
        let (mut control, mut sockets) = (None, Vec::new());
        for (index, (PassedSocket { is_control, held }, file)) in passed.into_iter().zip(files).enumerate() {
            let socket = Socket::from(file);
            if is_control {
                control = Some((index, socket));
            } else {
                sockets.push((index, held, socket));
            }
        }
        let inherited = InheritedSockets::passed_on(sockets, &place)?;
        let state = PredecessorState {
            process,
            stream: Mutex::new(Some(stream)),
            place,
            control: Mutex::new(control),
            link: Mutex::new(link),
            outcome: watch::Sender::new(HandoverOutcome::Open),
        };
        Ok((Predecessor(Arc::new(state)), inherited))
    }

    /// This end of the link to it, for the one who asks first.
    pub(super) fn take_link(&self) -> Option<StdStream> {
        self.0.link.lock().take()
    }

    /// The predecessor's socket for commands, if it is at this path. It is taken by that.
    pub(super) fn control(&self, path: &Path) -> Option<(Socket, Arc<PassedPlace>)> {
        let is_there = |(_, socket): &mut (usize, Socket)| {
            socket.local_addr().is_ok_and(|address| address.as_pathname() == Some(path))
        };
        let (index, socket) = self.0.control.lock().take_if(is_there)?;
        self.0.place.take(TakenSocket { index, tls: false, proxy_protocol: false });
        Some((socket, Arc::clone(&self.0.place)))
    }

    /// Tells the predecessor why there is no successor. It goes on then.
    pub(crate) fn fail(&self, why: &str) {
        let stream = self.0.stream.lock().take();
        let word = SuccessorWord::Failed { why: why.to_owned() };
        if let Some(stream) = stream
            && let Err(error) = passing::send_with_files(&stream, &word, &[])
        {
            warn!(%error, "the running broker cannot be told why this one does not start");
        }
    }

    /// Tells the predecessor that this broker serves, once all its workers turn, and where it answers that it is well; and
    /// waits for what it says to that. If it is not to take over, this broker is to end.
    pub(super) async fn succeed(&self, hub: &Hub, health: String) {
        hub.until_started().await;
        let outcome = match self.ask(hub, health).await {
            Ok(()) => HandoverOutcome::Succeeded,
            Err(error) => {
                warn!(%error, process = self.0.process, "the running broker has not left its place, and goes on");
                HandoverOutcome::Rejected
            }
        };
        if outcome == HandoverOutcome::Succeeded {
            self.0.place.leave_to_successor();
            info!(
                process = self.0.process,
                "took over from the broker that ran before, which serves its clients to the end"
            );
        }
        self.0.outcome.send_replace(outcome);
    }

    async fn ask(&self, hub: &Hub, health: String) -> io::Result<()> {
        if !hub.sign_of_every_worker().await {
            return Err(io::Error::other("a worker thread has died"));
        }
        let Some(stream) = self.0.stream.lock().take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        stream.set_nonblocking(true)?;
        let mut stream = BufReader::new(UnixStream::from_std(stream)?);
        let word = SuccessorWord::Serves { taken: self.0.place.taken(), health };
        stream.write_all(&passing::line_of(&word)?).await?;
        let mut line = Vec::new();
        (&mut stream).take(LINE_BYTES as u64).read_until(b'\n', &mut line).await?;
        match passing::word_of(&line) {
            Ok(PredecessorWord::Yours) => Ok(()),
            Ok(PredecessorWord::Take { .. }) => Err(io::Error::other("it says what it must not")),
            Err(_) if line.is_empty() => Err(io::Error::other("it has turned this one down")),
            Err(error) => Err(error),
        }
    }

    /// Whether this broker has its predecessor's place by now.
    pub(super) fn has_place(&self) -> bool {
        *self.0.outcome.borrow() == HandoverOutcome::Succeeded
    }

    /// Waits until it is decided whether this broker has its predecessor's place.
    pub(crate) async fn has_succeeded(&self) -> bool {
        let mut outcome = self.0.outcome.subscribe();
        let decided = outcome.wait_for(|outcome| *outcome != HandoverOutcome::Open).await;
        decided.is_ok_and(|outcome| *outcome == HandoverOutcome::Succeeded)
    }
}
