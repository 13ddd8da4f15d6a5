//! What those who listen to an app want to hear at present, and how large a client's message may be because of it.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::app::Limits;

/// What is wanted of one app's events, as it was when it was last looked at.
pub(super) struct Demand {
    /// Whether any listener wants to hear anything at present.
    any: AtomicBool,
    /// Whether any wants to be handed what backends ask for.
    calls: AtomicBool,
    /// Whether anybody has listened to clients yet. Once somebody has, their messages may be large for good: one may be
    /// half read when nobody listens any more.
    clients_heard: AtomicBool,
    /// Bytes that one message of a client may have.
    message_bytes: AtomicUsize,
    /// Held while it is looked at: the last look counts.
    looking: Mutex<()>,
}

/// What the listeners say.
pub(super) struct CurrentDemand {
    /// Any of them wants to hear anything.
    pub(super) anything: bool,
    /// Any of them wants clients' events.
    pub(super) clients: bool,
    /// Any of them wants to be handed what backends ask for.
    pub(super) calls: bool,
}

impl Demand {
    /// Nobody listens yet.
    pub(super) fn new(limits: &Limits) -> Self {
        Demand {
            any: AtomicBool::new(false),
            calls: AtomicBool::new(false),
            clients_heard: AtomicBool::new(false),
            message_bytes: AtomicUsize::new(limits.inbound_message_bytes(false)),
            looking: Mutex::default(),
        }
    }

    /// Whether anybody listens at present.
    pub(super) fn is_any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether anybody wants to be handed what backends ask for.
    pub(super) fn is_of_calls(&self) -> bool {
        self.calls.load(Ordering::Acquire)
    }

    /// Bytes that one message of a client may have, as of now.
    pub(super) fn message_bytes(&self) -> usize {
        self.message_bytes.load(Ordering::Relaxed)
    }

    /// Looks at what is wanted, and at the app's bound of a message, whose argument says whether anybody has listened to
    /// clients.
    pub(super) fn look(
        &self,
        wanted: impl FnOnce() -> CurrentDemand,
        message_bytes: impl FnOnce(bool) -> usize,
    ) {
        let _last_look_counts = self.looking.lock();
        let CurrentDemand { anything, clients, calls } = wanted();
        self.any.store(anything, Ordering::Release);
        self.calls.store(calls, Ordering::Release);
        if clients {
            self.clients_heard.store(true, Ordering::Relaxed);
        }
        let bytes = message_bytes(self.clients_heard.load(Ordering::Relaxed));
        self.message_bytes.store(bytes, Ordering::Relaxed);
    }
}
