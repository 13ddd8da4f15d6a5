//! Names where several nodes are one broker: what others have told of one that comes, and what they are told.
//!
//! Each name has one note at the engine, which belongs to the node that has taken the name, and which that one alone writes. Who
//! finds another node's note in place of its own has lost the name.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::NodeId;
use crate::protocol::SocketId;

use super::super::cursors::NameTimes;
use super::super::held_note::{ChangedNotes, HeldNote, NoteUrgency, OldNote};
use super::super::note::{HELD_LONGER, NameNote, NoteNumber, UnreadableNote};
use super::super::noted_names::{ArrivingNote, DueNote, NoteFate, TakenName, TakenNote};
use super::{Arrived, ClientNameTable, NameKey, NameState, NotHeld};

/// A note of a name that is held is written anew after so long, so that it does not end: and so that it says up to where a
/// client has received a channel on which nothing happens.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

impl<A, G, C> ClientNameTable<A, G, C>
where
    A: Clone + Eq + Hash,
    G: Copy + Eq + Hash,
{
    /// The names whose notes are to be written.
    pub(crate) fn changed_notes(&self) -> &Arc<ChangedNotes> {
        &self.noted.changed
    }

    /// A connection comes with a name that other nodes are told of, and may have told of.
    pub(crate) fn arrive_noted(
        &mut self,
        key: NameKey<A>,
        who: (C, SocketId),
        address: Option<G>,
        came: ArrivingNote,
        now: &NameTimes,
    ) -> Arrived<A, C> {
        let ArrivingNote { app, number, taken } = came;
        let (note, before) = match taken {
            None => (None, None),
            Some(TakenName::Taken { note, before }) => (Some(note), before),
            Some(TakenName::Handed(before)) => (None, before),
            Some(TakenName::Shared) => {
                self.counts.not_held_shared += 1;
                return Arrived { hold: Err(NotHeld::Shared), taken_from: self.let_go(&key) };
            }
            Some(TakenName::Foreign) => {
                self.counts.not_held_foreign += 1;
                return Arrived { hold: Err(NotHeld::Foreign), taken_from: self.let_go(&key) };
            }
        };
        let is_own = |before: &NameNote| note.as_ref().is_some_and(|note| note.node == before.node);
        // What this node has told itself it knows better, if it has not forgotten it.
        let elsewhere = before.filter(|before| !(is_own(before) && self.names.contains_key(&key)));
        let mut taken_from = None;
        if let Some(before) = &elsewhere
            && !is_own(before)
        {
            taken_from = self.let_go(&key);
            self.counts.taken_from_elsewhere += 1;
        }
        let mut arrived = self.arrive(key, who, address, (now.node, now.app));
        arrived.taken_from = arrived.taken_from.or(taken_from);
        let Ok(hold) = &arrived.hold else { return arrived };
        let key = Arc::clone(&hold.key);
        if let Some(mut before) = elsewhere {
            // Its mark may have come to the engine after this node had asked for it.
            if before.user.as_ref().is_some_and(|user| self.terminated.may_hold(&key.app, user, now.node)) {
                before.cursors.clear();
            }
            self.take_from(&key, &before, now);
        }
        self.begin_note(&key, (app, number), note, now);
        arrived
    }

    /// What another node has told of a name counts.
    pub(super) fn take_from(&mut self, key: &Arc<NameKey<A>>, before: &NameNote, now: &NameTimes) {
        let Some(entry) = self.names.get_mut(key) else { return };
        entry.cursors.lock().take_from(before, now);
        let ago = |ms: &u64| Duration::from_millis(now.ms.saturating_sub(*ms));
        entry.takeovers = before.takeovers_ms.iter().filter_map(|ms| now.node.checked_sub(ago(ms))).collect();
        if let Some(user) = &before.user {
            let of_user = self.users.entry((key.app.clone(), Arc::clone(user))).or_default();
            of_user.insert(Arc::clone(key));
        }
    }

    /// From now on other nodes are told of a name. None: the engine was not asked.
    fn begin_note(
        &mut self,
        key: &Arc<NameKey<A>>,
        (app, number): (Arc<str>, NoteNumber),
        taken: Option<TakenNote>,
        now: &NameTimes,
    ) {
        let Some(entry) = self.names.get_mut(key) else { return };
        let mut cursors = entry.cursors.lock();
        let mut note = HeldNote::new(app, number, &self.noted.changed);
        note.taken_ms = now.ms;
        match (taken, cursors.set_note(None)) {
            (Some(taken), _) => {
                (note.turn, note.taken_ms) = (taken.turn, taken.taken_ms);
                note.at_engine = Some(taken.bytes);
            }
            // Whether it is still this node's, is seen when it is written.
            (None, Some(before)) => (note.turn, note.at_engine) = (before.turn, before.at_engine),
            (None, None) => {}
        }
        note.changed(NoteUrgency::Soon);
        cursors.set_note(Some(note));
        self.noted.by_number.insert(number, Arc::clone(key));
    }

    /// What became of a name's note is known when its connection was served already, with what was known here: the note is this
    /// node's. Returns whether somebody here has the name.
    pub(crate) fn taken_late(&mut self, key: &NameKey<A>, taken: &TakenNote) -> bool {
        let Some(entry) = self.names.get(key) else { return false };
        let mut cursors = entry.cursors.lock();
        let Some(note) = cursors.note() else { return false };
        if note.turn < taken.turn {
            (note.turn, note.taken_ms) = (taken.turn, taken.taken_ms);
            note.changed(NoteUrgency::Soon);
            cursors.noted(Some(taken.bytes.clone()));
        }
        true
    }

    /// Another node has taken a name, as that one says. Returns the connection that held it here, with the id of its app, which
    /// is to end.
    pub(crate) fn taken_elsewhere(
        &mut self,
        number: NoteNumber,
        (node, turn): (NodeId, u64),
    ) -> Option<(Arc<str>, C)> {
        let key = Arc::clone(self.noted.by_number.get(&number)?);
        let app = {
            let mut cursors = self.names.get(&key)?.cursors.lock();
            let note = cursors.note()?;
            if note.turn >= turn {
                // It has come back since.
                return None;
            }
            let app = Arc::clone(&note.app);
            cursors.taken_by_node(number, node);
            app
        };
        self.counts.taken_elsewhere += 1;
        self.let_go(&key).map(|connection| (app, connection))
    }

    /// A connection of another node that a name was taken over from has shown that it was there.
    pub(crate) fn was_there_elsewhere(&mut self, number: NoteNumber, now: Instant) {
        if let Some(key) = self.noted.by_number.get(&number).cloned() {
            self.was_there(&key, now);
        }
    }

    /// Has notes be written anew whose time has come, at most so many.
    pub(crate) fn list_old_notes(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            let Some((at, number)) = self.noted.again.first().copied() else { return };
            if at > now {
                return;
            }
            self.noted.write_again(number, None);
            self.note_unwritten(number);
        }
    }

    /// A note that was in the list of those that are to be written, if it still is to be.
    pub(crate) fn due_note(
        &mut self,
        number: NoteNumber,
        urgency: NoteUrgency,
        me: NodeId,
        now: &NameTimes,
    ) -> Option<DueNote> {
        let key = self.noted.by_number.get(&number)?;
        let entry = self.names.get(key)?;
        let mut cursors = entry.cursors.lock();
        let note = cursors.note()?;
        if !note.unlisted(urgency) {
            return None;
        }
        let ago = |at: &Instant| now.node.saturating_duration_since(*at).as_millis() as u64;
        let (shared_until_ms, kept_for) = match entry.state {
            NameState::Shared(_, until) => {
                let rest = until.saturating_duration_since(now.node).max(Duration::from_secs(1));
                (Some(now.ms + rest.as_millis() as u64), rest)
            }
            NameState::Held(_) => (None, self.bounds.retention + HELD_LONGER),
            NameState::Left(..) => (None, self.bounds.retention),
        };
        let draft = NameNote {
            node: me,
            turn: note.turn.max(1),
            is_held: matches!(entry.state, NameState::Held(_)),
            taken_ms: note.taken_ms,
            written_ms: now.ms,
            user: None,
            takeovers_ms: entry.takeovers.iter().map(|at| now.ms.saturating_sub(ago(at))).collect(),
            shared_until_ms,
            sockets: Vec::new(),
            epoch: 0,
            cursors: Vec::new(),
        };
        Some(DueNote {
            app: Arc::clone(&note.app),
            expected: note.at_engine.clone(),
            cursors: Arc::clone(&entry.cursors),
            draft,
            kept_for,
        })
    }

    /// A note was written.
    pub(crate) fn note_written(&mut self, number: NoteNumber, bytes: Bytes, now: Instant) {
        let Some(entry) = self.noted.by_number.get(&number).and_then(|key| self.names.get(key)) else {
            return;
        };
        {
            let mut cursors = entry.cursors.lock();
            if let Some(note) = cursors.note() {
                // Now it is, whether or not the engine could be asked when the name was taken.
                note.turn = note.turn.max(1);
            }
            cursors.noted(Some(bytes));
        }
        let is_held = matches!(entry.state, NameState::Held(_));
        self.noted.write_again(number, is_held.then(|| now + WRITTEN_EVERY));
    }

    /// A note could not be written, or it is not known whether it was, or its time has come: it is written anew.
    pub(crate) fn note_unwritten(&mut self, number: NoteNumber) {
        let key = self.noted.by_number.get(&number);
        if let Some(entry) = key.and_then(|key| self.names.get(key))
            && let Some(note) = entry.cursors.lock().note()
        {
            note.changed(NoteUrgency::Soon);
        }
    }

    /// A note was not written, because the engine has another one, or none.
    pub(crate) fn note_refused(
        &mut self,
        number: NoteNumber,
        found: Option<Bytes>,
        me: NodeId,
    ) -> NoteFate<C> {
        let Some(key) = self.noted.by_number.get(&number).cloned() else { return NoteFate::Lost(None) };
        let Some(entry) = self.names.get(&key) else { return NoteFate::Lost(None) };
        let mut cursors = entry.cursors.lock();
        let Some(note) = cursors.note() else { return NoteFate::Lost(None) };
        let other = found.as_ref().map(|found| NameNote::decode(found));
        let fate = match other {
            // The engine has forgotten it, or somebody else has written there: it is this node's to tell.
            None | Some(Err(UnreadableNote::Malformed)) => NoteFate::Again,
            Some(Ok(other)) if other.node == me => {
                note.turn = note.turn.max(other.turn);
                NoteFate::Again
            }
            // The engine could not be asked when the client came here, and it has not gone elsewhere since.
            Some(Ok(other)) if note.turn == 0 && other.taken_ms < note.taken_ms => {
                note.turn = other.turn.saturating_add(1);
                NoteFate::TakenFrom(other.node, note.turn)
            }
            Some(Ok(other)) => {
                cursors.taken_by_node(number, other.node);
                drop(cursors);
                self.counts.taken_elsewhere += 1;
                return NoteFate::Lost(self.let_go(&key));
            }
            Some(Err(UnreadableNote::Version(_))) => {
                drop(cursors);
                self.let_go(&key);
                return NoteFate::Lost(None);
            }
        };
        note.changed(NoteUrgency::Now);
        cursors.noted(found);
        fate
    }

    /// Forgets a name, and has its note removed.
    pub(super) fn forget_everywhere(&mut self, key: &Arc<NameKey<A>>) {
        if let Some(entry) = self.names.get(key)
            && let Some(note) = entry.cursors.lock().note()
            && let Some(bytes) = note.at_engine.clone()
        {
            let (app, number) = (Arc::clone(&note.app), note.number);
            self.noted.changed.remove(OldNote { app, number, bytes });
        }
        self.forget(key);
    }

    /// Forgets a name that another node has. Returns the connection that held it.
    pub(super) fn let_go(&mut self, key: &NameKey<A>) -> Option<C> {
        let (key, _) = self.names.get_key_value(key)?;
        let key = Arc::clone(key);
        match self.forget(&key) {
            Some(NameState::Held(connection)) => Some(connection),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;
    use crate::recovery::{ClientName, NameBounds, NotedCursor};

    const BOUNDS: NameBounds = NameBounds {
        retention: Duration::from_secs(300),
        names: 10,
        per_address: 10,
        cursor_bytes: 1 << 20,
        cursor_bytes_per_address: 1 << 20,
    };

    fn told_by_another_node() -> NameNote {
        let channel = ChannelName::parse("a", 164).unwrap();
        let cursor = NotedCursor { channel, number: 5, member: None, left_ms: None };
        let (node, socket) = (NodeId::new(2), SocketId::new(2, 1));
        let note = NameNote::taken_by((node, socket), None, 1_700_000_000_000);
        NameNote { user: Some("ann".into()), epoch: 9, cursors: vec![cursor], ..note }
    }

    /// How many cursors somebody finds who comes so many seconds after this user was terminated.
    fn found(terminated: &str, seconds: u64) -> usize {
        let (start, before) = (Instant::now(), told_by_another_node());
        let mut table = ClientNameTable::<u8, u8, u32>::new(BOUNDS);
        table.terminated(&1, &terminated.into(), start);
        let at = start + Duration::from_secs(seconds);
        let now = NameTimes { node: at, app: at, ms: 1_700_000_000_000 };
        let socket = SocketId::new(1, 1);
        let note = NameNote::taken_by((NodeId::new(1), socket), Some(&before), now.ms);
        let (bytes, turn, taken_ms) = (note.encode(), note.turn, note.taken_ms);
        let note = TakenNote { node: NodeId::new(1), turn, taken_ms, bytes };
        let taken = Some(TakenName::Taken { note, before: Some(Box::new(before)) });
        let name = ClientName::parse("a-name-of-22-letters-001").unwrap();
        let number = NoteNumber::of_name("1", "k", &name);
        let key = NameKey { app: 1, key: "k".into(), name };
        let came = ArrivingNote { app: "1".into(), number, taken };
        let hold = table.arrive_noted(key, (1, socket), None, came, &now).hold.unwrap();
        assert_eq!(hold.cursors.lock().user().map(|user| &**user), Some("ann"));
        table.cursor_bytes().cursors()
    }

    /// The node that comes to have the name may hear of the termination before it knows of the name, and have asked the engine
    /// before that one knew of the termination.
    #[test]
    fn who_was_terminated_a_moment_before_finds_nothing_of_what_another_node_tells() {
        assert_eq!(found("ann", 0), 0);
        assert_eq!(found("ann", 10), 0);
        assert_eq!(found("bob", 0), 1);
        assert_eq!(found("ann", 30), 1, "by then the engine has told of it");
    }

    #[test]
    fn a_note_that_says_that_it_is_the_last_one_of_all_is_followed_all_the_same() {
        let start = Instant::now();
        let mut table = ClientNameTable::<u8, u8, u32>::new(BOUNDS);
        let now = NameTimes { node: start, app: start, ms: 1_700_000_000_000 };
        let name = ClientName::parse("a-name-of-22-letters-001").unwrap();
        let number = NoteNumber::of_name("1", "k", &name);
        let key = NameKey { app: 1, key: "k".into(), name };
        let came = ArrivingNote { app: "1".into(), number, taken: None };
        let _hold = table.arrive_noted(key, (1, SocketId::new(1, 1)), None, came, &now).hold.unwrap();
        let before = NameNote { turn: u64::MAX, taken_ms: 1, ..told_by_another_node() };
        match table.note_refused(number, Some(before.encode()), NodeId::new(1)) {
            NoteFate::TakenFrom(node, turn) => assert_eq!((node, turn), (before.node, u64::MAX)),
            _ => panic!("the client has come here since"),
        }
    }
}
