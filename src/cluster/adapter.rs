//! What an engine must offer to carry words between nodes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::channel::NodeId;
use crate::protocol::ChannelName;

/// What nodes talk on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// Heartbeats and changes of state: every node hears it.
    State,
    /// What is said to one node alone.
    Node(NodeId),
    /// The events of one channel: heard by the nodes that have subscribers of it.
    Channel { app: Arc<str>, channel: ChannelName },
    /// The events of an app that backends on the pipe's wire hear: heard by the nodes that have some.
    Pipe { app: Arc<str> },
    /// That a document has changed. The engine says it itself: the bytes are its key, the number is its version, 0 if it
    /// was removed.
    Documents,
}

impl Subject {
    /// Whether what is said on it are events, of which there may be any number. What nodes say of themselves has room of its
    /// own beside them: without it healthy nodes would be taken for dead.
    pub(crate) const fn is_of_events(&self) -> bool {
        matches!(self, Subject::Channel { .. } | Subject::Pipe { .. })
    }
}

/// How much of a bound events may take; the rest is for what nodes say of themselves.
pub(crate) const fn for_events(bound: usize) -> usize {
    bound - bound / 8
}

/// Something that was said on a subject. It comes through [`Inbox`](super::inbox::Inbox).
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) subject: Subject,
    /// As it was said. It may be anything: others may write there, too.
    pub(crate) bytes: Bytes,
    /// The number that the engine gave it, if the subject remembers or keeps it.
    pub(crate) number: Option<u64>,
    /// The number of the word that the subject's stream was given before it, if the stream keeps it: 0 if the engine knows of none.
    pub(crate) previous: Option<u64>,
}

/// Is told when the engine has carried something out, or that it will not. It is dropped where nobody can say.
pub(crate) struct EngineTicket(Box<dyn FnOnce(Result<(), EngineError>) + Send + Sync>);

impl EngineTicket {
    /// One that does this, at once, wherever the answer becomes known. It never waits.
    pub(crate) fn doing(this: impl FnOnce(Result<(), EngineError>) + Send + Sync + 'static) -> Self {
        EngineTicket(Box::new(this))
    }
}

impl From<oneshot::Sender<Result<(), EngineError>>> for EngineTicket {
    fn from(waits: oneshot::Sender<Result<(), EngineError>>) -> Self {
        Self::doing(|answer| {
            // Whoever waited for it may have gone.
            let _ = waits.send(answer);
        })
    }
}

impl fmt::Debug for EngineTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineTicket").finish()
    }
}

/// Answers a ticket, if there is one.
pub(crate) fn answer(ticket: Option<EngineTicket>, answer: Result<(), EngineError>) {
    if let Some(EngineTicket(tell)) = ticket {
        tell(answer);
    }
}

/// Why an engine has not carried something out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// It cannot be reached at present. What was asked of it has perhaps been done.
    #[error("the engine cannot be reached")]
    Away,
    /// It has refused.
    #[error("the engine refuses: {0}")]
    Refused(String),
}

/// Nothing more is taken at present: what waits to be published has reached its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutboxFull;

/// Which engine it is. After a fail-over to an empty one it is another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EngineId(pub(crate) Arc<str>);

/// Whether the engine is there, by the adapter's own probes: said by the connection that publishes and heard by the one
/// that hears events, on every shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Probes come back.
    Up { engine: EngineId, round_trip: Duration },
    /// They do not, since then.
    Away { since: Instant, reason: Arc<str> },
}

/// An event that a subject remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) bytes: Bytes,
    /// Larger than that of what it remembered before. What is heard live has its number, too.
    pub(crate) number: u64,
    /// How long it will be remembered from now on.
    pub(crate) expires_in: Duration,
}

/// How the stream of a subject keeps what is said: the newest within all of these bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// Words.
    pub(crate) events: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long each is kept, and the stream behind the last one.
    pub(crate) time: Duration,
    /// How long the engine knows the number of the last one, whatever is left of the stream; not shorter than `time`.
    pub(crate) last_known_for: Duration,
    /// How long the subject remembers it as well, under the same number, if it does.
    pub(crate) remembered_for: Option<Duration>,
}

/// A word that a stream keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptWord {
    /// Larger than that of every word before. It is the time at which the engine has taken it, in microseconds since 1970, but where
    /// that is not later than the number before.
    pub(crate) number: u64,
    /// The number of the word before it, which may be kept no more; 0 if the engine knew of none.
    pub(crate) previous: u64,
    pub(crate) bytes: Bytes,
}

/// A part of a stream, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptPage {
    pub(crate) words: Vec<KeptWord>,
    /// The number of the last word that the stream was given, also if it is kept no more; none if the engine knows of none.
    pub(crate) last: Option<u64>,
    /// The engine's clock, as numbers have it. Where `last` is none, nothing was said since that, less [`Keeping::last_known_for`].
    pub(crate) now: u64,
    /// There may be words behind these.
    pub(crate) has_more: bool,
}

/// A versioned document of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) key: Arc<str>,
    pub(crate) version: u64,
    pub(crate) bytes: Bytes,
}

/// What a note is found by: the app, and a number that stands for what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NoteName {
    pub(crate) app: Arc<str>,
    pub(crate) number: [u8; 16],
}

/// There is another note than was expected, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherNote(pub(crate) Option<Bytes>);

/// The document has another version than was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The version that it has; 0 if there is none.
    pub(crate) version: u64,
}

/// An engine that this node has joined. What others say, and what this node says on a subject that it wants, comes through
/// the [`Inbox`](super::inbox::Inbox) that it was started with, in each sender's order. Dropping it leaves.
///
/// While the link is away nothing is kept to be published later: each ticket is answered with [`EngineError::Away`]. What is
/// subscribed to stays so, and is confirmed by the engine before the link is up again.
pub(crate) trait Adapter: Send + Sync + fmt::Debug + 'static {
    /// Says something on a subject; never waits. What one thread says on one subject arrives in that order.
    ///
    /// # Errors
    /// If the queue is full. The ticket is dropped then.
    fn publish(
        &self,
        subject: &Subject,
        bytes: Bytes,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull>;

    /// The same, and remembers it under the subject for so long; the engine numbers it, in one step with publishing it.
    ///
    /// # Errors
    /// As of [`Adapter::publish`].
    fn publish_and_remember(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull>;

    /// Remembers it for so long and says it, as [`Adapter::publish_and_remember`] does, if the subject remembers the event of
    /// this number (0: none) until then. Whether it did.
    fn restore(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        over: u64,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send;

    /// What a subject remembers. Whoever waits for it bounds the wait.
    fn recall(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<Option<Remembered>, EngineError>> + Send;

    /// Says it, and keeps it in the subject's stream, in one step: the engine numbers it, says what came before it, and lets go of
    /// what is beyond the bounds. A link between two processes has no streams: there it is published or remembered, and each of the two
    /// keeps what it hears.
    ///
    /// # Errors
    /// As of [`Adapter::publish`].
    fn publish_and_keep(
        &self,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull>;

    /// What a subject's stream keeps behind a number: of the next words so many, and of so many bytes together, or one. Where
    /// others have written there what this node does not read, it is refused. Whoever waits for it bounds the wait.
    fn kept(
        &self,
        subject: &Subject,
        behind: u64,
        most: (usize, usize),
    ) -> impl Future<Output = Result<KeptPage, EngineError>> + Send;

    /// Somebody has found that a subject remembers nothing. Whether it was the first one since the subject last remembered
    /// something, of all nodes; it is not if the subject remembers something by now. For so long the engine knows of it:
    /// then the next one is the first again.
    fn note_miss(
        &self,
        subject: &Subject,
        expiry: Duration,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send;

    /// Wants a subject. The ticket is answered when the engine has confirmed it, after whatever was asked for before.
    fn subscribe(&self, subject: &Subject, ticket: Option<EngineTicket>);

    /// Wants a subject no longer.
    fn unsubscribe(&self, subject: &Subject);

    /// Writes a document if it has this version (0: if there is none); none removes it. Returns its new version.
    fn write_document(
        &self,
        key: &str,
        expected: u64,
        bytes: Option<Bytes>,
    ) -> impl Future<Output = Result<Result<u64, Conflict>, EngineError>> + Send;

    /// The document of this key, if there is one. One that is longer than this node reads is refused.
    fn document(&self, key: &str) -> impl Future<Output = Result<Option<Document>, EngineError>> + Send;

    /// Writes a note, for so long, if there is just this one until then (none: if there is none); none removes it. One that is
    /// longer than this node reads is refused. It is not said to anybody.
    fn write_note(
        &self,
        name: &NoteName,
        expected: Option<Bytes>,
        note: Option<(Bytes, Duration)>,
    ) -> impl Future<Output = Result<Result<(), OtherNote>, EngineError>> + Send;

    /// Whether the engine is there.
    fn link(&self) -> watch::Receiver<Link>;

    /// Waits until the others have room for much, where the engine has no more of that than they have: whoever says much at once
    /// waits for it before each part.
    fn room(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// What waits to be published, and what was.
    fn outbox(&self) -> OutboxCounts;

    /// Messages on the names of the cluster that nobody could have said who is one of it. They are not handed on.
    fn foreign_words(&self) -> u64;
}

/// What waits to be published, and what was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxCounts {
    /// Words that the engine has not yet answered, and the bytes in them.
    pub(crate) waiting: (usize, usize),
    /// Words that the engine has taken, and the bytes in them.
    pub(crate) taken: (u64, u64),
    /// Words that there was no room for.
    pub(crate) full: u64,
    /// Words that the engine has refused.
    pub(crate) refused: u64,
    /// Words that were lost with the connection to it.
    pub(crate) lost: u64,
}
