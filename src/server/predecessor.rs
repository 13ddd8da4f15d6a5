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
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
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

/// How long after the end of the connection it may be before it is known that the predecessor has ended: the system closes a process's
/// files first.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How often that is looked for.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// What a broker has been given by the one before it. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Predecessor(Arc<PredecessorState>);

#[derive(Debug)]
struct PredecessorState {
    process: u32,
    /// Until this broker has said all that it has to say.
    says: Mutex<Option<StdStream>>,
    /// Until somebody hears what the other says.
    hears: Mutex<Option<StdStream>>,
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
            PredecessorWord::Yours | PredecessorWord::TurnedDown => {
                return Err(io::Error::other("it passes on nothing"));
            }
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
            hears: Mutex::new(Some(stream.try_clone()?)),
            says: Mutex::new(Some(stream)),
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
        let stream = self.0.says.lock().take();
        let word = SuccessorWord::Failed { why: why.to_owned() };
        if let Some(stream) = stream
            && let Err(error) = passing::send_with_files(&stream, &word, &[])
        {
            warn!(%error, "the running broker cannot be told why this one does not start");
        }
    }

    /// Hears whether this broker is to have the predecessor's place, from its start on. If it is not, this broker is to end. Where
    /// the predecessor dies without a word, nobody else is there, and it has the place.
    pub(super) async fn hear(&self) {
        let process = self.0.process;
        match self.next_word().await {
            Ok(PredecessorWord::Yours) if self.0.says.lock().is_none() => {
                if self.decide(HandoverOutcome::Succeeded) {
                    info!(
                        process,
                        "took over from the broker that ran before, which serves its clients to the end"
                    );
                }
            }
            Err(_) if self.has_died().await => {
                if self.decide(HandoverOutcome::Succeeded) {
                    warn!(process, "the broker that ran before has died, and this one takes its place");
                }
            }
            heard => self.give_up(&match heard {
                Ok(PredecessorWord::TurnedDown) => "it has turned this one down".to_owned(),
                Ok(word) => format!("it says what it must not: {word:?}"),
                Err(error) => error.to_string(),
            }),
        }
    }

    async fn next_word(&self) -> io::Result<PredecessorWord> {
        let stream = self.0.hears.lock().take().ok_or(io::ErrorKind::NotConnected)?;
        stream.set_nonblocking(true)?;
        let mut line = Vec::new();
        let stream = BufReader::new(UnixStream::from_std(stream)?);
        stream.take(LINE_BYTES as u64).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        passing::word_of(&line)
    }

    /// Whether the predecessor has ended: it is this process's parent, as long as it lives.
    async fn has_died(&self) -> bool {
        let is_gone = async {
            while std::os::unix::process::parent_id() == self.0.process {
                tokio::time::sleep(LOOKED_EVERY).await;
            }
        };
        tokio::time::timeout(GONE_WITHIN, is_gone).await.is_ok()
    }

    /// Tells the predecessor that this broker serves, once all its workers turn, and where it answers that it is well.
    pub(super) async fn succeed(&self, hub: &Hub, health: String) {
        hub.until_started().await;
        let served = if hub.sign_of_every_worker().await {
            self.say_that_it_serves(health)
        } else {
            Err(io::Error::other("a worker thread has died"))
        };
        if let Err(error) = served
            && !self.has_died().await
        {
            self.give_up(&error.to_string());
        }
    }

    fn say_that_it_serves(&self, health: String) -> io::Result<()> {
        // From now on it may answer.
        let stream = self.0.says.lock().take().ok_or(io::ErrorKind::NotConnected)?;
        let word = SuccessorWord::Serves { taken: self.0.place.taken(), health };
        passing::send_with_files(&stream, &word, &[])
    }

    fn give_up(&self, why: &str) {
        if self.decide(HandoverOutcome::Rejected) {
            warn!(why, process = self.0.process, "the running broker does not leave its place to this one");
        }
    }

    /// Whether this is what becomes of it, since nothing else has been decided.
    fn decide(&self, decided: HandoverOutcome) -> bool {
        self.0.outcome.send_if_modified(|outcome| {
            let is_open = *outcome == HandoverOutcome::Open;
            if is_open && decided == HandoverOutcome::Succeeded {
                self.0.place.leave_to_successor();
                // Nobody uses what is left of it.
                drop(self.0.control.lock().take());
            }
            if is_open {
                *outcome = decided;
            }
            is_open
        })
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A process that was given a socket for commands, and the other end of its connection to the one with this id.
    fn given(process: u32, control: &UnixListener) -> (Predecessor, StdStream) {
        let (ours, theirs) = StdStream::pair().unwrap();
        let sockets = vec![PassedSocket { is_control: true, held: None }];
        let word = PredecessorWord::Take { version: HANDOVER_VERSION, sockets, is_linked: false };
        passing::send_with_files(&ours, &word, &[control.as_fd()]).unwrap();
        (Predecessor::receive(process, theirs).unwrap().0, ours)
    }

    fn control(name: &str) -> (std::path::PathBuf, UnixListener) {
        let path = std::env::temp_dir().join(format!("heliostat-given-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        (path, listener)
    }

    #[tokio::test]
    async fn whoever_has_the_place_keeps_nothing_that_it_does_not_use() {
        let (path, listener) = control("unused");
        let (predecessor, mut other) = given(std::os::unix::process::parent_id(), &listener);
        drop(listener);
        drop(StdStream::connect(&path).unwrap());
        predecessor.say_that_it_serves("/health".to_owned()).unwrap();
        other.write_all(&passing::line_of(&PredecessorWord::Yours).unwrap()).unwrap();
        predecessor.hear().await;
        assert!(predecessor.has_place() && predecessor.has_succeeded().await);
        assert_eq!(StdStream::connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn of_a_process_that_has_died_the_place_is_taken() {
        let (path, listener) = control("died");
        let (predecessor, other) = given(u32::MAX, &listener);
        drop(other);
        predecessor.hear().await;
        assert!(predecessor.has_succeeded().await, "nobody else is there");
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn whoever_is_turned_down_knows_it_from_its_start_on() {
        let (path, listener) = control("turned-down");
        // The place is nobody's who has not said that it serves.
        for word in [PredecessorWord::TurnedDown, PredecessorWord::Yours] {
            let (predecessor, mut other) = given(u32::MAX, &listener);
            other.write_all(&passing::line_of(&word).unwrap()).unwrap();
            drop(other);
            predecessor.hear().await;
            assert!(!predecessor.has_succeeded().await && !predecessor.has_place());
        }
        std::fs::remove_file(path).unwrap();
    }
}
