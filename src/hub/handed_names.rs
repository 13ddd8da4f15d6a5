//! Names of clients of the process that this one succeeds: those that it has left to this one, and what it is asked for; and
//! those of this one, for the process that succeeds it, with those whose clients have not come while this one was there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tracing::debug;

use crate::protocol::{ChannelName, SocketId};
use crate::recovery::{Arrived, ClientName, NameKey, NameNote, NoteNumber, TakenName};

use super::{AddressGroup, AppIndex, AppState, HandedKind, HandedLoss, HandedOver, Hub};

/// What the process before has left, name by name, until the client comes.
#[derive(Debug, Default)]
pub(super) struct HandedNames(Mutex<LeftNames>);

#[derive(Debug, Default)]
struct LeftNames {
    by_number: HashMap<NoteNumber, (AppIndex, Bytes)>,
    bytes: usize,
    /// When all of them are too old.
    until: Option<Instant>,
}

impl HandedNames {
    /// Keeps one, if there is room in so many bytes. Returns whether there is.
    fn put(
        &self,
        number: NoteNumber,
        app: AppIndex,
        note: Bytes,
        (most, most_bytes): (usize, usize),
        until: Instant,
    ) -> bool {
        let mut left = self.0.lock();
        let has_room = left.by_number.len() < most && left.bytes + note.len() <= most_bytes;
        if has_room {
            left.bytes += note.len();
            left.until = left.until.max(Some(until));
            if let Some((_, before)) = left.by_number.insert(number, (app, note)) {
                left.bytes -= before.len();
            }
        }
        has_room
    }

    fn take(&self, number: impl FnOnce() -> NoteNumber) -> Option<NameNote> {
        let mut left = self.0.lock();
        if left.by_number.is_empty() {
            return None;
        }
        let (_, note) = left.by_number.remove(&number())?;
        left.bytes -= note.len();
        NameNote::decode(&note).ok()
    }

    /// A user was terminated: whoever was signed in as that user finds nothing.
    pub(super) fn terminated(&self, app: AppIndex, user: &str) {
        let mut left = self.0.lock();
        let is_of_user = |note: &Bytes| {
            NameNote::decode(note).is_ok_and(|note| note.user.is_some_and(|of_note| &*of_note == user))
        };
        left.by_number.retain(|_, (of_name, note)| *of_name != app || !is_of_user(note));
        left.bytes = left.by_number.values().map(|(_, note)| note.len()).sum();
    }

    /// Forgets them when their time is over.
    pub(super) fn expire(&self, now: Instant) {
        let mut left = self.0.lock();
        if left.until.is_some_and(|until| until <= now) {
            *left = LeftNames::default();
        }
    }

    /// Takes out all of them.
    fn take_all(&self) -> impl Iterator<Item = (NoteNumber, AppIndex, NameNote)> + use<> {
        let left = std::mem::take(&mut *self.0.lock()).by_number;
        left.into_iter()
            .filter_map(|(number, (app, note))| Some((number, app, NameNote::decode(&note).ok()?)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_number.len()
    }
}

impl Hub {
    /// A connection comes with a name that is known to this process alone, or to the one before.
    pub(super) fn arrive_alone(
        &self,
        app: &AppState,
        key: NameKey<AppIndex>,
        who: (SocketId, SocketId),
        address: Option<AddressGroup>,
        came: Option<TakenName>,
    ) -> Arrived<AppIndex, SocketId> {
        let told = match came {
            Some(TakenName::Handed(before)) => before.map(|before| *before),
            Some(TakenName::Taken { .. } | TakenName::Shared | TakenName::Foreign) | None => None,
        };
        let number = || NoteNumber::of_name(app.id(), &key.key, &key.name);
        let left = self.names.handed.take(number);
        let mut table = self.names.table.lock();
        match told.or(left) {
            None => table.arrive(key, who, address, (Instant::now(), app.clock().now())),
            Some(before) => table.arrive_handed(key, who, address, &before, &app.clock().name_times()),
        }
    }

    /// The client of a name has come to the process that succeeds this one: what is known of it here goes there, and its connection
    /// here ends.
    pub(crate) fn give_name(&self, app_id: &str, key: &str, name: &str) -> Option<Bytes> {
        let apps = self.apps();
        let (app, name) = (apps.by_id(app_id)?, ClientName::parse(name)?);
        let (note, holder) = self.give_up_name(app, &NameKey { app: app.index(), key: key.into(), name })?;
        if let Some(socket) = holder {
            debug!(app = app.id(), socket_id = %socket, "its name was taken over on the new process");
            self.end_taken_over(app, socket);
        }
        Some(note)
    }

    /// What is known of the names of all clients, for the process that succeeds this one: all connections have ended, or are about to.
    /// Those come last whose clients have not come while this one was there.
    pub(crate) fn names_to_leave(&self) -> impl Iterator<Item = (Arc<str>, HandedOver)> + '_ {
        let names = self.names.table.lock().to_hand_over();
        let apps: Arc<HashMap<AppIndex, Arc<AppState>>> =
            Arc::new(self.apps().iter().map(|app| (app.index(), Arc::clone(app))).collect());
        let of_before = Arc::clone(&apps);
        let own = names.into_iter().filter_map(move |key| {
            let app = apps.get(&key.app)?;
            let (note, _) = self.give_up_name(app, &key)?;
            let number = NoteNumber::of_name(app.id(), &key.key, &key.name);
            Some((Arc::clone(app.shared_id()), HandedOver::Name { number, note }))
        });
        let left = std::iter::once_with(|| self.names.handed.take_all()).flatten();
        own.chain(left.filter_map(move |(number, app, note)| {
            let app = of_before.get(&app)?;
            let note = self.hand_on(app, note)?;
            Some((Arc::clone(app.shared_id()), HandedOver::Name { number, note }))
        }))
    }

    fn give_up_name(&self, app: &AppState, key: &NameKey<AppIndex>) -> Option<(Bytes, Option<SocketId>)> {
        let left = self.names.handed.take(|| NoteNumber::of_name(app.id(), &key.key, &key.name));
        let (me, now) = ((self.node_id(), self.history_epoch()), app.clock().name_times());
        let version_of = |channel: &ChannelName, place| app.version_of(channel, place);
        let mut table = self.names.table.lock();
        if table.has(key) {
            // Whoever has come is known better here than by what was left of it.
            let (note, holder) = table.hand_over(key, me, version_of, &now)?;
            return Some((note.encode(), holder));
        }
        drop(table);
        Some((self.hand_on(app, left?)?, None))
    }

    /// What the process before has left of a name whose client has not come, for the process that succeeds this one.
    fn hand_on(&self, app: &AppState, note: NameNote) -> Option<Bytes> {
        let (me, now) = ((self.node_id(), self.history_epoch()), app.clock().name_times());
        let version_of = |channel: &ChannelName, place| app.version_of(channel, place);
        Some(note.handed_on(self.recovery().retention, me, version_of, &now)?.encode())
    }

    /// The process before has left a name to this one.
    pub(super) fn take_left_name(&self, app: &AppState, number: NoteNumber, note: Bytes) {
        let recovery = self.recovery();
        let until = Instant::now() + recovery.retention;
        let room = (recovery.max_names, recovery.cursor_bytes);
        if self.names.handed.put(number, app.index(), note.clone(), room, until) {
            self.upgrades().taken(HandedKind::Name, 1);
        } else {
            self.upgrades().lost(HandedLoss::Name, 1);
        }
        let is_over =
            |note: &NameNote| self.names.table.lock().may_be_over(&app.index(), note, Instant::now());
        if NameNote::decode(&note).is_ok_and(|note| is_over(&note)) {
            self.names.handed.take(|| number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::App;
    use crate::channel::NodeId;
    use crate::connection::ConnectionConfig;

    fn hub() -> Arc<Hub> {
        let app = App::new("1", "k", "s");
        Hub::new(vec![(app, Vec::new())], ConnectionConfig::default(), 1, 0).unwrap()
    }

    fn app() -> AppIndex {
        hub().state_by_key("k").unwrap().index()
    }

    fn number(n: u8) -> NoteNumber {
        NoteNumber([n; 16])
    }

    fn note(user: &str) -> Bytes {
        let note = NameNote {
            node: NodeId::new(1),
            turn: 0,
            is_held: false,
            taken_ms: 0,
            written_ms: 0,
            user: Some(user.into()),
            takeovers_ms: Vec::new(),
            shared_until_ms: None,
            sockets: Vec::new(),
            epoch: 0,
            cursors: Vec::new(),
        };
        note.encode()
    }

    #[test]
    fn names_that_were_left_are_kept_within_bounds_until_their_time_is_over() {
        let (names, start) = (HandedNames::default(), Instant::now());
        let (app, after) = (app(), |seconds| start + Duration::from_secs(seconds));
        let bytes = note("ann").len();
        let put = |n, most| names.put(number(n), app, note("ann"), most, after(10));
        put(1, (2, 100 * bytes));
        put(2, (2, 100 * bytes));
        put(3, (2, 100 * bytes));
        assert_eq!(names.len(), 2, "there are no more than that");
        put(4, (100, 3 * bytes - 1));
        assert_eq!(names.len(), 2, "nor more bytes");
        put(4, (100, 3 * bytes));
        assert_eq!((names.len(), names.0.lock().bytes), (3, 3 * bytes));
        assert!(names.take(|| number(3)).is_none());
        assert_eq!(names.take(|| number(2)).unwrap().user.as_deref(), Some("ann"));
        assert!(names.take(|| number(2)).is_none(), "it is given once");
        assert_eq!((names.len(), names.0.lock().bytes), (2, 2 * bytes));
        names.expire(after(9));
        assert_eq!(names.len(), 2);
        names.expire(after(10));
        assert_eq!((names.len(), names.0.lock().bytes), (0, 0));
    }

    #[test]
    fn what_is_left_of_a_user_who_was_terminated_a_moment_before_is_not_kept() {
        let hub = hub();
        let app = hub.state_by_key("k").unwrap();
        hub.terminate_user(&app, "ann");
        hub.take_left_name(&app, number(1), note("ann"));
        hub.take_left_name(&app, number(2), note("bob"));
        assert!(hub.names.handed.take(|| number(1)).is_none());
        assert!(hub.names.handed.take(|| number(2)).is_some());
    }

    #[test]
    fn of_a_user_who_was_terminated_nothing_is_left() {
        let (names, app, until) = (HandedNames::default(), app(), Instant::now());
        names.put(number(1), app, note("ann"), (10, 10_000), until);
        names.put(number(2), app, note("bob"), (10, 10_000), until);
        names.terminated(app, "ann");
        assert!(names.take(|| number(1)).is_none());
        assert!(names.take(|| number(2)).is_some());
        assert_eq!(names.0.lock().bytes, 0);
    }
}
