//! What is known of the notes of names, where several nodes are one broker: which names have one, what has become of one that was
//! to be taken, and what is to be written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::channel::{ChannelVersion, HistoryPosition, NodeId};
use crate::protocol::ChannelName;

use super::cursors::{Cursors, NameTimes};
use super::held_note::{ChangedNotes, HeldNote};
use super::note::{NameNote, NoteNumber};

/// The names that other nodes are told of.
#[derive(Debug)]
pub(super) struct NotedNames<K> {
    pub(super) by_number: HashMap<NoteNumber, Arc<K>>,
    /// When the notes of those that are held are to be written anew.
    pub(super) again: BTreeSet<(Instant, NoteNumber)>,
    again_at: HashMap<NoteNumber, Instant>,
    pub(super) changed: Arc<ChangedNotes>,
}

/// A name that other nodes are told of comes.
#[derive(Debug)]
pub(crate) struct ArrivingNote {
    /// The id of its app.
    pub(crate) app: Arc<str>,
    pub(crate) number: NoteNumber,
    /// What became of it at the engine; none if that could not be asked, or did not answer in time.
    pub(crate) taken: Option<TakenName>,
}

/// What has become of a name's note that this node was to take.
#[derive(Clone, Debug)]
pub(crate) enum TakenName {
    /// It is this node's.
    Taken {
        note: TakenNote,
        /// What the node before has told; none if there was no note.
        before: Option<Box<NameNote>>,
    },
    /// Several clients have the name, and therefore none.
    Shared,
    /// It is of another release, and was left as it is.
    Foreign,
    /// What the process before knew of it, if anything: there are no notes.
    Handed(Option<Box<NameNote>>),
}

/// A note as this node has just written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenNote {
    pub(crate) node: NodeId,
    pub(crate) turn: u64,
    pub(crate) taken_ms: u64,
    pub(crate) bytes: Bytes,
}

/// A note that is to be written.
#[derive(Debug)]
pub(crate) struct DueNote {
    pub(crate) app: Arc<str>,
    pub(super) cursors: Arc<Mutex<Cursors>>,
    /// All but what the cursors tell.
    pub(super) draft: NameNote,
    /// What the engine is to have until then.
    pub(crate) expected: Option<Bytes>,
    /// For how long it is kept.
    pub(crate) kept_for: Duration,
}

/// What comes of a note that was not written because there is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoteFate<C> {
    /// It is written the next time.
    Again,
    /// The same, and the node that had the name is told.
    TakenFrom(NodeId, u64),
    /// Another node has the name. The connection that held it here, if one did, is to end.
    Lost(Option<C>),
}

impl<K> Default for NotedNames<K> {
    fn default() -> Self {
        NotedNames {
            by_number: HashMap::new(),
            again: BTreeSet::new(),
            again_at: HashMap::new(),
            changed: Arc::default(),
        }
    }
}

impl<K> NotedNames<K> {
    /// A name is forgotten that had this note.
    pub(super) fn forget(&mut self, note: Option<HeldNote>) {
        if let Some(note) = note {
            self.by_number.remove(&note.number);
            self.write_again(note.number, None);
        }
    }

    pub(super) fn write_again(&mut self, number: NoteNumber, at: Option<Instant>) {
        let before = match at {
            Some(at) => self.again_at.insert(number, at),
            None => self.again_at.remove(&number),
        };
        before.map(|before| self.again.remove(&(before, number)));
        self.again.extend(at.map(|at| (at, number)));
    }
}

impl DueNote {
    /// It as bytes. `place_of` gives the place of a version of this node as other nodes understand it.
    pub(crate) fn write(
        &mut self,
        place_of: impl FnMut(&ChannelName, ChannelVersion) -> Option<HistoryPosition>,
        now: &NameTimes,
    ) -> Bytes {
        self.cursors.lock().fill(&mut self.draft, place_of, now);
        self.draft.encode()
    }
}
