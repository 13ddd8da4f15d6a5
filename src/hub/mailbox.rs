//! Letters between workers: one per worker and broadcast, read in the order in which they were posted.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::protocol::{Broadcast, ChannelName, CloseCode, CloseStatus, Frame, SocketId};

use super::Totals;
use super::Version;
use super::app_index::AppIndex;
use super::interceptor::Injection;

/// Bytes of unread letters over which a mailbox counts as congested. Publishers wait then: HTTP requests before
/// they publish, connections before they are read on. So a mailbox holds at most this, and one message more of
/// each connection and request.
pub(crate) const CONGESTED_BYTES: usize = 64 * 1024 * 1024;

/// What a worker is asked to do.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// Deliver a frame to the local subscribers of a channel.
    Broadcast {
        app: AppIndex,
        channel: ChannelName,
        message: Broadcast,
        except: Option<SocketId>,
        /// Where the channel remembers the message: subscribers that joined at this version or later were given it as
        /// the remembered one.
        version: Option<Version>,
    },
    /// Tell the local subscribers of a presence channel of a member.
    Member {
        app: AppIndex,
        channel: ChannelName,
        frame: Frame,
        /// Subscribers that joined at this version of the roster or later know already.
        version: Version,
        /// The user came or left, and not just one of its connections.
        user_changed: bool,
    },
    /// Send a frame to one connection.
    ToSocket { app: AppIndex, socket: SocketId, frame: Frame },
    /// Send a frame to several connections, from the `next` one on.
    ToSockets { app: AppIndex, sockets: Box<[SocketId]>, next: usize, frame: Frame },
    /// End one connection, politely.
    Close { app: AppIndex, socket: SocketId, code: CloseStatus, reason: Cow<'static, str> },
    /// End every connection of an app, politely.
    CloseApp { app: AppIndex, code: CloseCode, reason: &'static str },
    /// End every stream over HTTP of an app.
    CloseStreams { app: AppIndex, code: CloseCode, reason: &'static str },
    /// Do what a fault injector asks for.
    Injected { app: AppIndex, injection: Injection },
    /// End every connection, politely.
    Drain { code: CloseCode, reason: &'static str },
    /// Nothing: whoever has sent it waits until it has been read.
    Turn { _reply: Sender<Infallible> },
    /// Some worker is no longer far behind: whoever waits for that may look again.
    Relieved,
    /// Tell what the worker holds.
    Totals { reply: UnboundedSender<Totals> },
}

impl Letter {
    /// What it counts as while it is unread.
    pub(super) fn bytes(&self) -> usize {
        // A letter shares its frame, but the frame lives at least as long as the letter.
        let frame = match self {
            Letter::Broadcast { message, .. } => message.bytes(),
            Letter::Member { frame, .. } | Letter::ToSocket { frame, .. } => frame.websocket().len(),
            Letter::Injected { injection, .. } => injection.bytes(),
            Letter::ToSockets { sockets, frame, .. } => size_of_val(&**sockets) + frame.websocket().len(),
            Letter::Close { .. }
            | Letter::CloseApp { .. }
            | Letter::CloseStreams { .. }
            | Letter::Relieved
            | Letter::Drain { .. }
            | Letter::Turn { .. } => 0,
            // Who counts does not count himself.
            Letter::Totals { .. } => return 0,
        };
        size_of::<Letter>() + frame
    }
}

/// The side that posts. Any thread may.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    sender: UnboundedSender<Letter>,
    unread: Arc<AtomicUsize>,
}

/// The side that reads: the worker's own.
#[derive(Debug)]
pub(super) struct MailboxReader {
    receiver: UnboundedReceiver<Letter>,
    unread: Arc<AtomicUsize>,
    /// A letter that took more than one turn.
    begun: Option<Letter>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "its bytes are counted, and publishers wait where they are too many"
)]
pub(super) fn mailbox() -> (Mailbox, MailboxReader) {
    let (sender, receiver) = unbounded_channel();
    let unread = Arc::new(AtomicUsize::new(0));
    (Mailbox { sender, unread: Arc::clone(&unread) }, MailboxReader { receiver, unread, begun: None })
}

impl Mailbox {
    /// Posts a letter. To a worker that is gone it is lost, like its connections.
    pub(super) fn post(&self, letter: Letter) {
        let bytes = letter.bytes();
        self.unread.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.send(letter).is_err() {
            self.unread.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Whether every letter posted by the calling thread has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.load(Ordering::Relaxed) == 0
    }

    /// Bytes of letters that have not been read.
    pub(super) fn unread_bytes(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether publishers should wait.
    pub(super) fn is_congested(&self) -> bool {
        self.unread.load(Ordering::Relaxed) > CONGESTED_BYTES
    }
}

impl MailboxReader {
    /// The next letter. It counts as unread until [`MailboxReader::done`] is called, so that while it is being
    /// carried out the mailbox is not empty and nothing overtakes it.
    pub(super) fn poll(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Letter>> {
        self.receiver.poll_recv(context)
    }

    /// The letter that was put back, if one was: it comes before all others.
    pub(super) fn begun(&mut self) -> Option<Letter> {
        self.begun.take()
    }

    /// Puts a letter back that has been carried out in part. It still counts as unread.
    pub(super) fn put_back(&mut self, letter: Letter) {
        self.begun = Some(letter);
    }

    /// A letter of this many bytes was carried out. Returns whether the mailbox was congested until now.
    pub(super) fn done(&self, bytes: usize) -> bool {
        let before = self.unread.fetch_sub(bytes, Ordering::Relaxed);
        before > CONGESTED_BYTES && before - bytes <= CONGESTED_BYTES
    }
}
