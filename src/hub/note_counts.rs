//! What was told of the names of this node's clients to the other nodes, and what waits to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::recovery::ChangedNotes;

/// What was told of names, and what waits to be.
#[derive(Debug)]
pub(super) struct NoteCounts {
    pub(super) list: Arc<ChangedNotes>,
    /// Told when some are to be written at once.
    pub(super) urgent: Notify,
    pub(super) written: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) late: AtomicU64,
}

/// The same as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NoteFigures {
    pub(crate) waiting: usize,
    pub(crate) written: u64,
    /// The engine had another one.
    pub(crate) refused: u64,
    /// The engine has not answered.
    pub(crate) failed: u64,
    /// Names of which it was known too late, or not at all, what other nodes know.
    pub(crate) late: u64,
}

impl NoteCounts {
    pub(super) fn new(list: &Arc<ChangedNotes>) -> Self {
        NoteCounts {
            list: Arc::clone(list),
            urgent: Notify::new(),
            written: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    pub(super) fn figures(&self) -> NoteFigures {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [written, refused, failed, late] =
            [&self.written, &self.refused, &self.failed, &self.late].map(get);
        NoteFigures { waiting: self.list.len(), written, refused, failed, late }
    }
}
