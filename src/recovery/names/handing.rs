//! Names pass to the process that succeeds this one: each with what its client has received, and whom it was signed in as.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{ChannelVersion, HistoryPosition, NodeId};
use crate::protocol::{ChannelName, SocketId};

use super::super::cursors::{Cursors, NameTimes};
use super::super::note::NameNote;
use super::{Arrived, ClientNameTable, NameKey, NameState};

impl<A, G, C> ClientNameTable<A, G, C>
where
    A: Clone + Eq + Hash,
    G: Copy + Eq + Hash,
{
    /// All names. Those that several clients have are not handed over: they begin anew.
    pub(crate) fn to_hand_over(&self) -> Vec<Arc<NameKey<A>>> {
        self.names.keys().cloned().collect()
    }

    /// Hands a name over, and forgets it: what is to be told of it, and the connection that holds it, which is to end. `me` is this
    /// process and its run, and `version_of` gives the version of it that a place of the process before stands for.
    pub(crate) fn hand_over(
        &mut self,
        key: &NameKey<A>,
        me: (NodeId, u64),
        version_of: impl FnMut(&ChannelName, HistoryPosition) -> Option<ChannelVersion>,
        now: &NameTimes,
    ) -> Option<(NameNote, Option<C>)> {
        let entry = self.names.get(key)?;
        let is_held = match entry.state {
            NameState::Held(_) => true,
            NameState::Left(..) => false,
            NameState::Shared(..) => return None,
        };
        let note = entry.cursors.lock().handed_over(me, version_of, now);
        Some((NameNote { is_held, ..note }, self.let_go(key)))
    }

    /// Whether the user that a note tells of was terminated a moment ago: the process that has told it may not have heard of that.
    pub(crate) fn may_be_over(&self, app: &A, note: &NameNote, now: Instant) -> bool {
        note.user.as_ref().is_some_and(|user| self.terminated.may_hold(app, user, now))
    }

    /// Whether there is such a name.
    pub(crate) fn has(&self, key: &NameKey<A>) -> bool {
        self.names.contains_key(key)
    }

    /// A connection comes with a name of which another process has told this.
    pub(crate) fn arrive_handed(
        &mut self,
        key: NameKey<A>,
        who: (C, SocketId),
        address: Option<G>,
        before: &NameNote,
        now: &NameTimes,
    ) -> Arrived<A, C> {
        // Whoever has come before knows better.
        let is_new = !self.names.contains_key(&key);
        let is_over = self.may_be_over(&key.app, before, now.node);
        let arrived = self.arrive(key, who, address, (now.node, now.app));
        if let (Ok(hold), true) = (&arrived.hold, is_new && !is_over) {
            self.take_from(&hold.key, before, now);
        }
        arrived
    }
}

impl NameNote {
    /// What the process before has told of a name whose client has not come to this one, for the process that succeeds this one, with
    /// what is left of its time. Nothing, if nothing of it is of use any more. The rest is as with a name of this process.
    pub(crate) fn handed_on(
        mut self,
        retention: Duration,
        me: (NodeId, u64),
        version_of: impl FnMut(&ChannelName, HistoryPosition) -> Option<ChannelVersion>,
        now: &NameTimes,
    ) -> Option<NameNote> {
        for cursor in &mut self.cursors {
            // Who was there when it was told has left with that process.
            cursor.left_ms.get_or_insert(self.written_ms);
        }
        let mut cursors = Cursors::of_address(retention, &Arc::default(), Arc::default());
        cursors.take_from(&self, now);
        let note = cursors.handed_over(me, version_of, now);
        (!note.cursors.is_empty()).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::{ClientName, NameBounds, NameHold, ReceivedPlace};

    type Table = ClientNameTable<u8, u8, u32>;

    const BOUNDS: NameBounds = NameBounds {
        retention: Duration::from_secs(300),
        names: 10,
        per_address: 10,
        cursor_bytes: 1 << 20,
        cursor_bytes_per_address: 1 << 20,
    };

    fn key(n: u8) -> NameKey<u8> {
        let name = ClientName::parse(&format!("a-name-of-22-letters-{n:03}")).unwrap();
        NameKey { app: 1, key: "k".into(), name }
    }

    fn channel() -> ChannelName {
        ChannelName::parse("a", 164).unwrap()
    }

    fn times(start: Instant, seconds: u64) -> NameTimes {
        let at = start + Duration::from_secs(seconds);
        NameTimes { node: at, app: at, ms: 1_700_000_000_000 + seconds * 1000 }
    }

    fn socket(n: u32) -> SocketId {
        SocketId::new(n, 1)
    }

    /// A client that has received its channel up to a version.
    fn receives(table: &mut Table, n: u8, version: u64, now: &NameTimes) -> NameHold<u8> {
        let id = u32::from(n);
        let hold = table.arrive(key(n), (id, socket(id)), None, (now.node, now.app)).hold.unwrap();
        table.signed_in(&hold, &"ann".into());
        let joined = hold.cursors.lock().joined(hold.number, &channel(), None, false).unwrap();
        hold.cursors.lock().received(&channel(), joined, ChannelVersion::new(version));
        hold
    }

    /// What a client wants of its channel that comes with a name of which this was told.
    fn wanted(table: &mut Table, n: u8, note: &NameNote, now: &NameTimes) -> Option<ReceivedPlace> {
        let note = NameNote::decode(&note.encode()).unwrap();
        let id = u32::from(n) + 10;
        let hold = table.arrive_handed(key(n), (id, socket(id)), None, &note, now).hold.unwrap();
        let cursors = hold.cursors.lock();
        assert_eq!(cursors.sockets(), [socket(u32::from(n)), socket(id)]);
        assert_eq!(cursors.user().map(|user| &**user), Some("ann"));
        cursors.wanted_by(hold.number, &channel(), None, now.app)
    }

    #[test]
    fn a_name_that_is_left_or_held_passes_with_what_was_received_and_for_as_long_as_it_would_have_been_kept()
    {
        let start = Instant::now();
        let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
        let left = receives(&mut before, 1, 5, &times(start, 0));
        let _held = receives(&mut before, 2, 7, &times(start, 0));
        before.leave(&left, (times(start, 10).node, times(start, 10).app));
        assert_eq!(before.to_hand_over().len(), 2);
        let now = times(start, 20);
        let mut handed = |n| before.hand_over(&key(n), (NodeId::new(3), 9), |_, _| None, &now);
        let ((first, none), (second, holder)) = (handed(1).unwrap(), handed(2).unwrap());
        assert_eq!((none, holder), (None, Some(2)));
        assert!(handed(1).is_none(), "it is forgotten");
        assert_eq!((before.counts().held, before.counts().left, before.cursor_bytes().bytes()), (0, 0, 0));
        let at = |number| Some(ReceivedPlace::Elsewhere(HistoryPosition { epoch: 9, number }));
        let [in_time, late] = [309, 311].map(|seconds| times(start, seconds));
        assert_eq!(wanted(&mut after, 1, &first, &in_time), at(5));
        assert_eq!(wanted(&mut after, 2, &second, &in_time), at(7), "it was away since it was handed over");
        assert_eq!(wanted(&mut Table::new(BOUNDS), 1, &first, &late), None, "it was away for too long");
        after.terminated(&1, &"ann".into(), start);
        assert_eq!(after.cursor_bytes().cursors(), 0, "who is terminated finds nothing");
    }

    /// The places of this run are those versions of the process that hands over; of others it knows nothing.
    fn known(run: u64) -> impl Fn(&ChannelName, HistoryPosition) -> Option<ChannelVersion> {
        move |_, place| (place.epoch == run).then(|| ChannelVersion::new(place.number + 100))
    }

    #[test]
    fn a_name_that_has_not_come_is_handed_on_with_places_of_who_hands_it_on_and_what_is_left_of_its_time() {
        let start = Instant::now();
        let mut before = Table::new(BOUNDS);
        let left = receives(&mut before, 1, 5, &times(start, 0));
        let _held = receives(&mut before, 2, 7, &times(start, 0));
        before.leave(&left, (times(start, 10).node, times(start, 10).app));
        let mut handed =
            |n| before.hand_over(&key(n), (NodeId::new(3), 9), |_, _| None, &times(start, 20)).unwrap().0;
        let notes = [handed(1), handed(2)];
        let handed_on = |note: &NameNote, run, seconds| {
            let me = (NodeId::new(4), 77);
            note.clone().handed_on(BOUNDS.retention, me, known(run), &times(start, seconds))
        };
        let wanted =
            |n, note: &NameNote, seconds| wanted(&mut Table::new(BOUNDS), n, note, &times(start, seconds));
        let at = |number| Some(ReceivedPlace::Elsewhere(HistoryPosition { epoch: 77, number }));
        // One has left after ten seconds, the other one with the first process, after twenty.
        for (n, note, number, left) in [(1, &notes[0], 105, 10), (2, &notes[1], 107, 20)] {
            let once = handed_on(note, 9, 200).unwrap();
            assert_eq!(wanted(n, &once, 299 + left), at(number));
            assert_eq!(wanted(n, &once, 301 + left), None, "its time does not begin anew");
            assert!(handed_on(note, 9, 301 + left).is_none(), "it is over");
            assert!(handed_on(note, 8, 200).is_none(), "its place is not known");
        }
    }

    #[test]
    fn who_has_come_and_not_subscribed_to_all_again_is_handed_over_with_the_rest() {
        let start = Instant::now();
        let now = times(start, 0);
        let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
        receives(&mut before, 1, 5, &now);
        let (note, _) = before.hand_over(&key(1), (NodeId::new(3), 9), |_, _| None, &now).unwrap();
        let hold = after.arrive_handed(key(1), (9, socket(9)), None, &note, &now).hold.unwrap();
        let other = ChannelName::parse("b", 164).unwrap();
        let joined = hold.cursors.lock().joined(hold.number, &other, None, false).unwrap();
        hold.cursors.lock().received(&other, joined, ChannelVersion::new(70));
        let (note, _) = after.hand_over(&key(1), (NodeId::new(4), 77), known(9), &now).unwrap();
        let mut cursors: Vec<_> =
            note.cursors.iter().map(|cursor| (cursor.channel.as_str(), cursor.number)).collect();
        cursors.sort_unstable();
        assert_eq!((note.epoch, cursors), (77, vec![("a", 105), ("b", 70)]));
    }

    #[test]
    fn who_was_terminated_here_before_the_other_process_has_heard_of_it_finds_nothing() {
        let start = Instant::now();
        let now = times(start, 0);
        let found = |terminated: &str, seconds| {
            let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
            receives(&mut before, 1, 5, &now);
            after.terminated(&1, &terminated.into(), start);
            let (note, _) = before.hand_over(&key(1), (NodeId::new(3), 9), |_, _| None, &now).unwrap();
            let now = times(start, seconds);
            let hold = after.arrive_handed(key(1), (9, socket(9)), None, &note, &now).hold.unwrap();
            hold.cursors.lock().wanted_by(hold.number, &channel(), None, now.app).is_some()
        };
        assert_eq!([found("ann", 0), found("ann", 10), found("bob", 0)], [false, false, true]);
    }

    #[test]
    fn who_has_come_already_keeps_what_is_known_of_it_here() {
        let start = Instant::now();
        let now = times(start, 0);
        let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
        receives(&mut before, 1, 5, &now);
        let (note, _) = before.hand_over(&key(1), (NodeId::new(3), 9), |_, _| None, &now).unwrap();
        let hold = receives(&mut after, 1, 70, &now);
        after.leave(&hold, (now.node, now.app));
        let hold = after.arrive_handed(key(1), (9, socket(9)), None, &note, &now).hold.unwrap();
        let wanted = hold.cursors.lock().wanted_by(hold.number, &channel(), None, now.app);
        assert_eq!(wanted, Some(ReceivedPlace::Here(ChannelVersion::new(70))));
    }
}
