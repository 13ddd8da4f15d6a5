//! The place of a broker that another one leaves to it, and what it has taken of it.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::passing::TakenSocket;

/// A place that a broker is to have from the one before it. Until it is left to it, its sockets are the other's, and so are
/// their files.
#[derive(Debug, Default)]
pub(super) struct PassedPlace {
    is_left: AtomicBool,
    taken: Mutex<Vec<TakenSocket>>,
}

impl PassedPlace {
    /// The other has left it.
    pub(super) fn leave_to_successor(&self) {
        self.is_left.store(true, Ordering::Release);
    }

    /// Whether the other has left it.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Acquire)
    }

    /// This broker uses one of the sockets.
    pub(super) fn take(&self, socket: TakenSocket) {
        self.taken.lock().push(socket);
    }

    /// The sockets that this broker uses.
    pub(super) fn taken(&self) -> Vec<TakenSocket> {
        self.taken.lock().clone()
    }
}
