//! Tracks the request on a connection, phase by phase: its guard and the handlers of its requests share this.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::net::idle::IdleEntry;

/// Bytes of further requests that are taken from a client while one is being answered. The HTTP server keeps them, and
/// has no rest with a client that sends more than it keeps.
pub(super) const PIPELINED_BYTES: usize = 4 * 1024;

/// The bounds of the connections of one listener while they speak HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeBounds {
    /// For a whole head, from its first byte on.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// While nothing is taken of an answer that goes on.
    pub answer: Duration,
    /// Bytes that are read, and thrown away, after a request was answered before its end.
    pub unread_bytes: usize,
}

/// The phase that the current request of a connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangePhase {
    /// The last answer is given, and nothing has come since.
    Waiting { since: Instant },
    /// A head, or blank lines before it, has begun.
    Head { since: Instant },
    /// The body of a request is read: what bounds it knows the path.
    Body,
    /// A request is answered. What comes belongs to further ones, of which so much more is taken.
    Request { left: usize },
    /// The answer was given before the request had come whole.
    Refused { left: usize, answered: Option<Instant> },
}

impl ExchangePhase {
    /// Whether nothing is under way but what the peer may say or take, or not.
    fn is_idle(self) -> bool {
        match self {
            ExchangePhase::Waiting { .. }
            | ExchangePhase::Head { .. }
            | ExchangePhase::Refused { answered: Some(_), .. } => true,
            ExchangePhase::Body
            | ExchangePhase::Request { .. }
            | ExchangePhase::Refused { answered: None, .. } => false,
        }
    }
}

/// The state of the current request of a connection, shared by its guard and its request handlers.
#[derive(Debug)]
pub(crate) struct Exchange {
    phase: Cell<ExchangePhase>,
    body_read: Cell<bool>,
    unread_bytes: usize,
    /// The connection's task, where it is to read on with the next phase.
    waiting: RefCell<Option<Waker>>,
    /// The connection's entry in the list of idle ones.
    entry: IdleEntry,
}

impl Exchange {
    pub(super) fn new(now: Instant, unread_bytes: usize, entry: IdleEntry) -> Self {
        Exchange {
            phase: Cell::new(ExchangePhase::Head { since: now }),
            body_read: Cell::new(false),
            unread_bytes,
            waiting: RefCell::default(),
            entry,
        }
    }

    /// A head has come whole, of a request that has a body or has none.
    pub(crate) fn begin(&self, has_body: bool) {
        self.body_read.set(!has_body);
        self.enter(if has_body {
            ExchangePhase::Body
        } else {
            ExchangePhase::Request { left: PIPELINED_BYTES }
        });
    }

    /// The body has come whole.
    pub(crate) fn set_body_read(&self) {
        self.body_read.set(true);
        self.enter(ExchangePhase::Request { left: PIPELINED_BYTES });
    }

    /// Whether the body has come whole.
    pub(crate) fn is_body_read(&self) -> bool {
        self.body_read.get()
    }

    /// The request is answered before its body has come whole: no more than a little of it is read, and less while the
    /// answer goes on.
    pub(crate) fn refuse(&self, endless: bool) {
        let left = if endless { PIPELINED_BYTES } else { self.unread_bytes };
        self.enter(ExchangePhase::Refused { left, answered: None });
    }

    /// The answer is complete.
    pub(crate) fn end(&self) {
        let now = Instant::now();
        self.enter(match self.phase.get() {
            ExchangePhase::Refused { left, .. } => ExchangePhase::Refused { left, answered: Some(now) },
            _ => ExchangePhase::Waiting { since: now },
        });
    }

    fn enter(&self, phase: ExchangePhase) {
        self.phase.set(phase);
        if phase.is_idle() {
            self.entry.set_idle();
        } else {
            self.entry.set_busy();
        }
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }

    pub(super) fn phase(&self) -> ExchangePhase {
        self.phase.get()
    }

    /// The task is to be woken with the next phase.
    pub(super) fn await_next_phase(&self, context: &Context<'_>) {
        *self.waiting.borrow_mut() = Some(context.waker().clone());
    }

    /// Ready once the connection is evicted. There was nothing to read.
    pub(super) fn poll_evicted(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.phase.get().is_idle() {
            self.entry.poll_idle(context)
        } else {
            self.entry.poll_evicted(context)
        }
    }

    /// The connection's entry in the list of idle ones.
    pub(super) fn entry(&self) -> &IdleEntry {
        &self.entry
    }

    pub(super) fn received(&self, bytes: usize) {
        match self.phase.get() {
            ExchangePhase::Waiting { .. } if bytes > 0 => {
                self.phase.set(ExchangePhase::Head { since: Instant::now() });
                self.entry.set_idle();
            }
            ExchangePhase::Refused { left, answered } => {
                self.phase.set(ExchangePhase::Refused { left: left.saturating_sub(bytes), answered });
            }
            ExchangePhase::Request { left } => {
                self.phase.set(ExchangePhase::Request { left: left.saturating_sub(bytes) });
            }
            _ => {}
        }
    }

    /// A peer that takes its answer, of which something had to wait for it, is not idle.
    pub(super) fn sent(&self) {
        if let ExchangePhase::Waiting { .. } = self.phase.get() {
            self.phase.set(ExchangePhase::Waiting { since: Instant::now() });
            self.entry.set_idle();
        }
    }

    pub(super) fn deadline(&self, bounds: &ExchangeBounds) -> Option<Instant> {
        match self.phase.get() {
            ExchangePhase::Waiting { since } | ExchangePhase::Refused { answered: Some(since), .. } => {
                Some(since + bounds.idle)
            }
            ExchangePhase::Head { since } => Some(since + bounds.head),
            ExchangePhase::Body
            | ExchangePhase::Request { .. }
            | ExchangePhase::Refused { answered: None, .. } => None,
        }
    }
}
