//! Commands between workers: one per worker and broadcast, read in the order in which they were posted.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::protocol::{Broadcast, ChannelName, CloseCode, CloseStatus, Frame, SocketId};

use super::app_index::AppIndex;
use super::details::DetailsReply;
use super::interceptor::Injection;
use super::viewers_question::ViewersQuestion;
use super::{AppState, Totals};
use crate::channel::ChannelVersion;

/// Bytes of unread commands over which a mailbox counts as congested. Publishers wait then: HTTP requests before
/// they publish, connections before they are read on. So a mailbox holds at most this, and one message more of
/// each connection and request.
pub(crate) const CONGESTED_BYTES: usize = 64 * 1024 * 1024;

/// What a worker is asked to do.
#[derive(Clone, Debug)]
pub(super) enum WorkerCommand {
    /// Deliver a frame to the local subscribers of a channel.
    Broadcast {
        app: AppIndex,
        channel: ChannelName,
        message: Broadcast,
        except: Option<SocketId>,
        /// Where the channel remembers or keeps the message: subscribers that joined at this version or later were given it
        /// as the remembered one, or as one that they missed.
        version: Option<ChannelVersion>,
    },
    /// Tell the local subscribers of a presence channel of a member.
    Member {
        app: AppIndex,
        channel: ChannelName,
        frame: Frame,
        /// Subscribers that joined at this version of the roster or later know already.
        version: ChannelVersion,
        /// The user came or left, and not just one of its connections.
        user_changed: bool,
    },
    /// Tell the local subscribers of a channel who hold that they have missed nothing that they may have, before this version.
    HistoryGap { app: AppIndex, channel: ChannelName, version: ChannelVersion },
    /// Look at the local subscribers of a channel: how late they are sent its pictures.
    Viewers { app: AppIndex, channel: ChannelName, question: ViewersQuestion },
    /// Tell how many subscribers a channel has, when that is to be told.
    Count { app: Arc<AppState>, channel: ChannelName },
    /// Send a frame to one connection.
    ToSocket { app: AppIndex, socket: SocketId, frame: Frame },
    /// Send a frame to several connections, from the `next` one on.
    ToSockets { app: AppIndex, sockets: Box<[SocketId]>, next: usize, frame: Frame },
    /// End one connection, politely.
    Close { app: AppIndex, socket: SocketId, code: CloseStatus, reason: Cow<'static, str> },
    /// Have one connection tell of itself.
    Describe { app: AppIndex, socket: SocketId, reply: DetailsReply },
    /// End every connection of an app, politely.
    CloseApp { app: AppIndex, code: CloseCode, reason: &'static str },
    /// End every stream over HTTP of an app.
    CloseStreams { app: AppIndex, code: CloseCode, reason: &'static str },
    /// Have every stream over HTTP of an app look whether it goes on.
    LookAtStreams { app: AppIndex },
    /// Do what a fault injector asks for.
    Injected { app: AppIndex, injection: Injection },
    /// End every connection, politely.
    Drain { code: CloseCode, reason: &'static str },
    /// End some more connections of those that there were at the first of these commands, politely.
    DrainSome { most: usize, code: CloseCode, reason: &'static str },
    /// Say that it has been read: whoever has sent it waits for that.
    Turn { reply: Sender<()> },
    /// Some worker is no longer far behind: whoever waits for that may look again.
    Relieved,
    /// Look at all connections, in pieces: whoever has sent it waits until that is done.
    Survey { asked: Sender<Infallible> },
    /// Tell what the worker holds.
    Totals { reply: UnboundedSender<Totals> },
    /// Panic, as a fault of the program would have it.
    #[cfg(test)]
    Panic,
}

impl WorkerCommand {
    /// What it counts as while it is unread.
    pub(super) fn bytes(&self) -> usize {
        // A command shares its frame, but the frame lives at least as long as the command.
        let frame = match self {
            WorkerCommand::Broadcast { message, .. } => message.bytes(),
            WorkerCommand::Member { frame, .. } | WorkerCommand::ToSocket { frame, .. } => {
                frame.websocket().len()
            }
            WorkerCommand::Injected { injection, .. } => injection.bytes(),
            WorkerCommand::ToSockets { sockets, frame, .. } => {
                size_of_val(&**sockets) + frame.websocket().len()
            }
            WorkerCommand::Count { .. }
            | WorkerCommand::HistoryGap { .. }
            | WorkerCommand::Viewers { .. }
            | WorkerCommand::Close { .. }
            | WorkerCommand::Describe { .. }
            | WorkerCommand::CloseApp { .. }
            | WorkerCommand::CloseStreams { .. }
            | WorkerCommand::LookAtStreams { .. }
            | WorkerCommand::Relieved
            | WorkerCommand::Drain { .. }
            | WorkerCommand::DrainSome { .. }
            | WorkerCommand::Turn { .. } => 0,
            #[cfg(test)]
            WorkerCommand::Panic => 0,
            // Who counts does not count himself.
            WorkerCommand::Totals { .. } | WorkerCommand::Survey { .. } => return 0,
        };
        size_of::<WorkerCommand>() + frame
    }
}

/// The side that posts. Any thread may.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    sender: UnboundedSender<WorkerCommand>,
    unread: Arc<AtomicUsize>,
    sign: Arc<TurnSign>,
}

/// The side that reads: the worker's own.
#[derive(Debug)]
pub(super) struct MailboxReader {
    receiver: UnboundedReceiver<WorkerCommand>,
    unread: Arc<AtomicUsize>,
    sign: Arc<TurnSign>,
    /// A command that took more than one turn.
    begun: Option<WorkerCommand>,
}

/// Whoever waits for the end of the worker's present turn, or of its next: however much is in the mailbox, it is told then.
#[derive(Debug, Default)]
struct TurnSign {
    is_awaited: AtomicBool,
    awaiting: Mutex<Option<Sender<()>>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "its bytes are counted, and publishers wait where they are too many"
)]
pub(super) fn mailbox() -> (Mailbox, MailboxReader) {
    let (sender, receiver) = unbounded_channel();
    let (unread, sign) = (Arc::new(AtomicUsize::new(0)), Arc::<TurnSign>::default());
    let posting = Mailbox { sender, unread: Arc::clone(&unread), sign: Arc::clone(&sign) };
    (posting, MailboxReader { receiver, unread, sign, begun: None })
}

impl Mailbox {
    /// Posts a command. To a worker that is gone it is lost, like its connections.
    pub(super) fn post(&self, command: WorkerCommand) {
        let bytes = command.bytes();
        self.unread.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.send(command).is_err() {
            self.unread.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Has the worker answer at the end of its present turn, or of one that it takes for this: what is in the mailbox is
    /// overtaken. Whoever has asked before and waits still is answered no more. Of a worker that is gone the reply is
    /// dropped.
    pub(super) fn ask_for_a_turn(&self, reply: Sender<()>) {
        self.sign.put(Some(reply));
        if self.is_abandoned() {
            self.sign.put(None);
        }
        // Only so that there is a turn.
        self.post(WorkerCommand::Relieved);
    }

    /// Whether every command posted by the calling thread has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.load(Ordering::Relaxed) == 0
    }

    /// Whether nobody will ever read what is posted: the worker is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    /// Bytes of commands that have not been read.
    pub(super) fn unread_bytes(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether publishers should wait.
    pub(super) fn is_congested(&self) -> bool {
        self.unread.load(Ordering::Relaxed) > CONGESTED_BYTES
    }
}

impl TurnSign {
    fn put(&self, reply: Option<Sender<()>>) {
        let mut awaiting = self.awaiting.lock();
        self.is_awaited.store(reply.is_some(), Ordering::Relaxed);
        *awaiting = reply;
    }
}

impl MailboxReader {
    /// The worker has ended a turn: tells whoever waits for that.
    pub(super) fn turned(&self) {
        if self.sign.is_awaited.load(Ordering::Relaxed) {
            let mut awaiting = self.sign.awaiting.lock();
            self.sign.is_awaited.store(false, Ordering::Relaxed);
            if let Some(reply) = awaiting.take() {
                // There is room for an answer of every worker.
                let _ = reply.try_send(());
            }
        }
    }

    /// The next command. It counts as unread until [`MailboxReader::done`] is called, so that while it is being
    /// carried out the mailbox is not empty and nothing overtakes it.
    pub(super) fn poll(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<WorkerCommand>> {
        self.receiver.poll_recv(context)
    }

    /// The command that was put back, if one was: it comes before all others.
    pub(super) fn begun(&mut self) -> Option<WorkerCommand> {
        self.begun.take()
    }

    /// Puts a command back that has been carried out in part. It still counts as unread.
    pub(super) fn put_back(&mut self, command: WorkerCommand) {
        self.begun = Some(command);
    }

    /// A command of this many bytes was carried out. Returns whether the mailbox was congested until now.
    pub(super) fn done(&self, bytes: usize) -> bool {
        let before = self.unread.fetch_sub(bytes, Ordering::Relaxed);
        before > CONGESTED_BYTES && before - bytes <= CONGESTED_BYTES
    }
}

impl Drop for MailboxReader {
    fn drop(&mut self) {
        // What nobody will read must keep no publisher waiting.
        self.receiver.close();
        self.sign.put(None);
        while let Ok(command) = self.receiver.try_recv() {
            self.unread.fetch_sub(command.bytes(), Ordering::Relaxed);
        }
    }
}
