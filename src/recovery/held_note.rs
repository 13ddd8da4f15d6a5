//! The note of a name that this node has: what the engine has of it, as far as this node knows, and whether it is to be written
//! anew. And the list of those that are.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::note::NoteNumber;

/// Notes that wait to be written, or removed, of each kind. What has no room there waits for its next change, or ends by its
/// time.
const MOST_LISTED: usize = 1_000_000;
const MOST_REMOVALS: usize = 10_000;

/// How soon a note is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoteUrgency {
    /// At once: the client has left, or what was told of it must not be told any more.
    Now,
    /// With many others, each second.
    Soon,
}

/// Names whose notes are to be written, each at most once for each urgency.
#[derive(Debug, Default)]
pub(crate) struct ChangedNotes {
    now: Mutex<VecDeque<NoteNumber>>,
    soon: Mutex<VecDeque<NoteNumber>>,
    removals: Mutex<VecDeque<OldNote>>,
}

/// A note that nothing is to be told by any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldNote {
    pub(crate) app: Arc<str>,
    pub(crate) number: NoteNumber,
    /// It is removed if it is just this one.
    pub(crate) bytes: Bytes,
}

/// The note of a name that this node has taken.
#[derive(Debug)]
pub(crate) struct HeldNote {
    pub(super) app: Arc<str>,
    pub(super) number: NoteNumber,
    /// How often the name has been taken. 0 if the engine was not asked.
    pub(super) turn: u64,
    /// When it was taken.
    pub(super) taken_ms: u64,
    /// What the engine has; none if it is not known to have anything.
    pub(super) at_engine: Option<Bytes>,
    list: Arc<ChangedNotes>,
    is_changed: bool,
    is_listed_now: bool,
    is_listed_soon: bool,
}

impl HeldNote {
    /// That of a name that has just been taken, of an app with this id.
    pub(super) fn new(app: Arc<str>, number: NoteNumber, list: &Arc<ChangedNotes>) -> Self {
        HeldNote {
            app,
            number,
            turn: 0,
            taken_ms: 0,
            at_engine: None,
            list: Arc::clone(list),
            is_changed: false,
            is_listed_now: false,
            is_listed_soon: false,
        }
    }

    /// Something has changed that it tells.
    pub(super) fn changed(&mut self, urgency: NoteUrgency) {
        self.is_changed = true;
        let (list, is_listed) = match urgency {
            NoteUrgency::Now => (&self.list.now, &mut self.is_listed_now),
            NoteUrgency::Soon => (&self.list.soon, &mut self.is_listed_soon),
        };
        if !*is_listed {
            let mut list = list.lock();
            if list.len() < MOST_LISTED {
                list.push_back(self.number);
                *is_listed = true;
            }
        }
    }

    /// It was taken out of a list. Returns whether it is to be written; from now on, what changes is told the next time.
    pub(super) fn unlisted(&mut self, urgency: NoteUrgency) -> bool {
        match urgency {
            NoteUrgency::Now => self.is_listed_now = false,
            NoteUrgency::Soon => self.is_listed_soon = false,
        }
        std::mem::take(&mut self.is_changed)
    }
}

impl ChangedNotes {
    /// Takes out the one that has waited longest.
    pub(crate) fn next(&self, urgency: NoteUrgency) -> Option<NoteNumber> {
        match urgency {
            NoteUrgency::Now => self.now.lock().pop_front(),
            NoteUrgency::Soon => self.soon.lock().pop_front(),
        }
    }

    /// Takes out a note that is to be removed.
    pub(crate) fn next_removal(&self) -> Option<OldNote> {
        self.removals.lock().pop_front()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.now.lock().len() + self.soon.lock().len() + self.removals.lock().len()
    }

    /// Whether some are to be written or removed at once.
    pub(crate) fn has_urgent(&self) -> bool {
        !self.now.lock().is_empty() || !self.removals.lock().is_empty()
    }

    pub(super) fn remove(&self, old: OldNote) {
        let mut removals = self.removals.lock();
        if removals.len() < MOST_REMOVALS {
            removals.push_back(old);
        }
    }
}
