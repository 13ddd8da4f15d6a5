//! Names pass to the process that succeeds this one: each with what its client has received, and whom it was signed in as.

use std::hash::Hash;
use std::sync::Arc;

use crate::channel::{ChannelVersion, HistoryPosition, NodeId};
use crate::protocol::{ChannelName, SocketId};

use super::super::cursors::NameTimes;
use super::super::note::NameNote;
use super::{Arrived, ClientNameTable, NameKey, NameState};

impl<A, G, C> ClientNameTable<A, G, C>
where
    A: Clone + Eq + Hash,
    G: Copy + Eq + Hash,
{
    /// All names that may be handed over. Those that several clients have begin anew.
    pub(crate) fn to_hand_over(&self) -> Vec<Arc<NameKey<A>>> {
        let is_one = |state: &NameState<C>| !matches!(state, NameState::Shared(..));
        let names = self.names.iter().filter(|(_, entry)| is_one(&entry.state));
        names.map(|(key, _)| Arc::clone(key)).collect()
    }

    /// Hands a name over, and forgets it: what is to be told of it, and the connection that holds it, which is to end. `place_of`
    /// gives the place of a version of this process as the other one understands it.
    pub(crate) fn hand_over(
        &mut self,
        key: &NameKey<A>,
        me: NodeId,
        place_of: impl FnMut(&ChannelName, ChannelVersion) -> Option<HistoryPosition>,
        now: &NameTimes,
    ) -> Option<(NameNote, Option<C>)> {
        let entry = self.names.get(key)?;
        if let NameState::Shared(..) = entry.state {
            return None;
        }
        let mut note = NameNote {
            node: me,
            turn: 0,
            is_held: matches!(entry.state, NameState::Held(_)),
            taken_ms: now.ms,
            written_ms: now.ms,
            user: None,
            takeovers_ms: Vec::new(),
            shared_until_ms: None,
            sockets: Vec::new(),
            epoch: 0,
            cursors: Vec::new(),
        };
        entry.cursors.lock().fill(&mut note, place_of, now);
        Some((note, self.let_go(key)))
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
        let arrived = self.arrive(key, who, address, (now.node, now.app));
        if let (Ok(hold), true) = (&arrived.hold, is_new) {
            self.take_from(&hold.key, before, now);
        }
        arrived
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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

    #[test]
    fn a_name_that_is_left_or_held_passes_with_what_was_received_and_for_as_long_as_it_would_have_been_kept()
    {
        let start = Instant::now();
        let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
        let left = receives(&mut before, 1, 5, &times(start, 0));
        let _held = receives(&mut before, 2, 7, &times(start, 0));
        before.leave(&left, (times(start, 10).node, times(start, 10).app));
        assert_eq!(before.to_hand_over().len(), 2);
        let place_of = |_: &ChannelName, version: ChannelVersion| {
            Some(HistoryPosition { epoch: 9, number: version.number() })
        };
        let now = times(start, 20);
        let mut handed = |n| before.hand_over(&key(n), NodeId::new(3), place_of, &now);
        let ((first, none), (second, holder)) = (handed(1).unwrap(), handed(2).unwrap());
        assert_eq!((none, holder), (None, Some(2)));
        assert!(handed(1).is_none(), "it is forgotten");
        assert_eq!((before.counts().held, before.counts().left, before.cursor_bytes().bytes()), (0, 0, 0));
        let wanted = |table: &mut Table, n: u8, note: &NameNote, seconds| {
            let note = NameNote::decode(&note.encode()).unwrap();
            let now = times(start, seconds);
            let id = u32::from(n) + 10;
            let hold = table.arrive_handed(key(n), (id, socket(id)), None, &note, &now).hold.unwrap();
            let cursors = hold.cursors.lock();
            assert_eq!(cursors.sockets(), [socket(u32::from(n)), socket(id)]);
            assert_eq!(cursors.user().map(|user| &**user), Some("ann"));
            cursors.wanted_by(hold.number, &channel(), None, now.app)
        };
        let at = |number| Some(ReceivedPlace::Elsewhere(HistoryPosition { epoch: 9, number }));
        assert_eq!(wanted(&mut after, 1, &first, 309), at(5));
        assert_eq!(wanted(&mut after, 2, &second, 309), at(7), "it was away since it was handed over");
        assert_eq!(wanted(&mut Table::new(BOUNDS), 1, &first, 311), None, "it was away for too long");
        after.terminated(&1, &"ann".into(), start);
        assert_eq!(after.cursor_bytes().cursors(), 0, "who is terminated finds nothing");
    }

    #[test]
    fn who_has_come_already_keeps_what_is_known_of_it_here() {
        let start = Instant::now();
        let now = times(start, 0);
        let (mut before, mut after) = (Table::new(BOUNDS), Table::new(BOUNDS));
        receives(&mut before, 1, 5, &now);
        let place_of = |_: &ChannelName, _| Some(HistoryPosition { epoch: 9, number: 5 });
        let (note, _) = before.hand_over(&key(1), NodeId::new(3), place_of, &now).unwrap();
        let hold = receives(&mut after, 1, 70, &now);
        after.leave(&hold, (now.node, now.app));
        let hold = after.arrive_handed(key(1), (9, socket(9)), None, &note, &now).hold.unwrap();
        let wanted = hold.cursors.lock().wanted_by(hold.number, &channel(), None, now.app);
        assert_eq!(wanted, Some(ReceivedPlace::Here(ChannelVersion::new(70))));
    }
}
