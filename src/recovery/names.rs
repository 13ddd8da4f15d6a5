//! The names of a node's clients: who holds one, who has left one and may come back, and which are shared.
//!
//! Whoever comes with a name takes it over at once: most often from a connection whose line is dead, without anybody here
//! knowing it. Where it turns out that the other one was there, two clients may have the name, and what one has received says
//! nothing of the other: nothing is kept. Where it turns out so again and again, the name is shared: then neither has it,
//! until nobody has come with it for a minute.
//!
//! Only a name that keeps a cursor is remembered when its connection ends. Beyond the bounds the one that was left first
//! is forgotten, and where all are held the newcomer gets none.

mod handing;
mod notes;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::protocol::SocketId;

use super::note::SHARED_FOR;
use super::noted_names::NotedNames;
use super::terminations::LateTerminations;
use super::{ClientName, CursorBytes, Cursors};

/// So many takeovers of a name from somebody who is there, within [`SHARED_FOR`], say that it is shared.
const TAKEOVERS_OF_SHARED: usize = 3;

/// A name, and where it is one: with one key of one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameKey<A> {
    pub(crate) app: A,
    pub(crate) key: Arc<str>,
    pub(crate) name: ClientName,
}

/// The most that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameBounds {
    /// How long a name that was left is kept.
    pub(crate) retention: Duration,
    /// Names, held and left.
    pub(crate) names: usize,
    /// Those of one client address.
    pub(crate) per_address: usize,
    /// Bytes of all cursors. It is looked at when one is made.
    pub(crate) cursor_bytes: usize,
    /// Those of one client address.
    pub(crate) cursor_bytes_per_address: usize,
}

/// Names of clients: of apps `A`, whose addresses are `G`, held by connections `C`.
#[derive(Debug)]
pub(crate) struct ClientNameTable<A, G, C> {
    bounds: NameBounds,
    names: HashMap<Arc<NameKey<A>>, NameEntry<G, C>>,
    /// Those that nobody holds, in the order in which they were left.
    left: BTreeMap<u64, Arc<NameKey<A>>>,
    last_left: u64,
    addresses: HashMap<G, NamesOfAddress>,
    /// The names of those who are signed in, or were.
    users: HashMap<(A, Arc<str>), NamesOfUser<A>>,
    of_all: Arc<CursorBytes>,
    counts: NameCounts,
    /// Those that other nodes are told of.
    noted: NotedNames<NameKey<A>>,
    terminated: LateTerminations<A>,
}

#[derive(Debug)]
struct NameEntry<G, C> {
    cursors: Arc<Mutex<Cursors>>,
    address: Option<G>,
    state: NameState<C>,
    /// Of the last minute, from somebody who was there.
    takeovers: Vec<Instant>,
}

type NamesOfUser<A> = HashSet<Arc<NameKey<A>>>;

#[derive(Debug)]
enum NameState<C> {
    Held(C),
    /// Its number in `left`, and when.
    Left(u64, Instant),
    /// Its number in `left`, and until when.
    Shared(u64, Instant),
}

#[derive(Debug, Default)]
struct NamesOfAddress {
    names: usize,
    left: BTreeSet<u64>,
    cursors: Arc<CursorBytes>,
}

/// How many names there are, and what has become of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameCounts {
    pub(crate) held: usize,
    /// Nobody holds them, and they may come back.
    pub(crate) left: usize,
    pub(crate) shared: usize,
    /// Since the start: taken over from a connection that was there.
    pub(crate) taken_over: u64,
    /// Forgotten before their time, for want of room.
    pub(crate) crowded_out: u64,
    /// Connections that got none: it was shared.
    pub(crate) not_held_shared: u64,
    /// There was no room.
    pub(crate) not_held_full: u64,
    /// The engine had a note of another release.
    pub(crate) not_held_foreign: u64,
    /// Taken from another node; and by another node, from this one.
    pub(crate) taken_from_elsewhere: u64,
    pub(crate) taken_elsewhere: u64,
}

/// A connection's hold on its name.
#[derive(Debug)]
pub(crate) struct NameHold<A> {
    pub(crate) key: Arc<NameKey<A>>,
    pub(crate) cursors: Arc<Mutex<Cursors>>,
    /// Its number among those who held the name.
    pub(crate) number: u64,
}

/// Why a connection gets no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// Several clients come with it.
    Shared,
    /// As many are held as may be, of the node or of the address.
    Full,
    /// Another release has written what is known of it.
    Foreign,
}

/// What comes of a connection that comes with a name.
#[derive(Debug)]
pub(crate) struct Arrived<A, C> {
    pub(crate) hold: Result<NameHold<A>, NotHeld>,
    /// The connection that it was taken over from, which is to end.
    pub(crate) taken_from: Option<C>,
}

impl<A, G, C> ClientNameTable<A, G, C>
where
    A: Clone + Eq + Hash,
    G: Copy + Eq + Hash,
{
    /// An empty one.
    pub(crate) fn new(bounds: NameBounds) -> Self {
        ClientNameTable {
            bounds,
            names: HashMap::new(),
            left: BTreeMap::new(),
            last_left: 0,
            addresses: HashMap::new(),
            users: HashMap::new(),
            of_all: Arc::default(),
            counts: NameCounts::default(),
            noted: NotedNames::default(),
            terminated: LateTerminations::default(),
        }
    }

    /// From now on these hold; what is there already stays until its time.
    pub(crate) fn set_bounds(&mut self, bounds: NameBounds) {
        self.bounds = bounds;
    }

    /// The bytes of all cursors.
    pub(crate) fn cursor_bytes(&self) -> &Arc<CursorBytes> {
        &self.of_all
    }

    /// A connection comes with a name. `app_now` is the time of its app, which the cursors have; `now` that of the node.
    pub(crate) fn arrive(
        &mut self,
        key: NameKey<A>,
        (connection, socket): (C, SocketId),
        address: Option<G>,
        (now, app_now): (Instant, Instant),
    ) -> Arrived<A, C> {
        let Some((key, _)) = self.names.get_key_value(&key) else {
            return self.come_first(key, (connection, socket), address, app_now);
        };
        let key = Arc::clone(key);
        self.move_to(&key, address);
        let Some(entry) = self.names.get_mut(&key) else {
            return Arrived { hold: Err(NotHeld::Full), taken_from: None };
        };
        match entry.state {
            NameState::Shared(_, until) if now < until => {
                self.counts.not_held_shared += 1;
                self.set_state(&key, |number| NameState::Shared(number, now + SHARED_FOR));
                Arrived { hold: Err(NotHeld::Shared), taken_from: None }
            }
            NameState::Held(_) | NameState::Left(..) | NameState::Shared(..) => {
                let number = entry.cursors.lock().taken_by(socket, app_now);
                let cursors = Arc::clone(&entry.cursors);
                let before = self.set_state(&key, |_| NameState::Held(connection));
                let taken_from = match before {
                    Some(NameState::Held(connection)) => Some(connection),
                    _ => None,
                };
                self.counts.taken_over += u64::from(taken_from.is_some());
                Arrived { hold: Ok(NameHold { key, cursors, number }), taken_from }
            }
        }
    }

    fn come_first(
        &mut self,
        key: NameKey<A>,
        (connection, socket): (C, SocketId),
        address: Option<G>,
        app_now: Instant,
    ) -> Arrived<A, C> {
        if !self.has_room_for(address) {
            self.counts.not_held_full += 1;
            return Arrived { hold: Err(NotHeld::Full), taken_from: None };
        }
        let of_address = address.map(|address| {
            let names = self.addresses.entry(address).or_default();
            names.names += 1;
            Arc::clone(&names.cursors)
        });
        let mut cursors =
            Cursors::of_address(self.bounds.retention, &self.of_all, of_address.unwrap_or_default());
        let number = cursors.taken_by(socket, app_now);
        let (key, cursors) = (Arc::new(key), Arc::new(Mutex::new(cursors)));
        let entry = NameEntry {
            cursors: Arc::clone(&cursors),
            address,
            state: NameState::Held(connection),
            takeovers: Vec::new(),
        };
        self.names.insert(Arc::clone(&key), entry);
        Arrived { hold: Ok(NameHold { key, cursors, number }), taken_from: None }
    }

    /// Makes room for one more name, of this address, if there is none; returns whether there is.
    fn has_room_for(&mut self, address: Option<G>) -> bool {
        let of_address = address.and_then(|address| self.addresses.get(&address));
        if let Some(of_address) = of_address.filter(|names| names.names >= self.bounds.per_address) {
            let Some(oldest) = of_address.left.first().copied() else { return false };
            self.crowd_out(oldest);
        }
        if self.names.len() >= self.bounds.names {
            let Some((&oldest, _)) = self.left.first_key_value() else { return false };
            self.crowd_out(oldest);
        }
        true
    }

    fn crowd_out(&mut self, number: u64) {
        if let Some(key) = self.left.get(&number).cloned() {
            self.counts.crowded_out += 1;
            self.forget(&key);
        }
    }

    /// Cursors of a name have been made: forgets names until those of its address, and all, take no more bytes than they may.
    /// Returns whether they do.
    pub(crate) fn make_room(&mut self, key: &NameKey<A>) -> bool {
        let address = self.names.get(key).and_then(|entry| entry.address);
        while let Some(of_address) = address.and_then(|address| self.addresses.get(&address))
            && of_address.cursors.bytes() > self.bounds.cursor_bytes_per_address
        {
            let Some(oldest) = of_address.left.first().copied() else { return false };
            self.crowd_out(oldest);
        }
        while self.of_all.bytes() > self.bounds.cursor_bytes {
            let Some((&oldest, _)) = self.left.first_key_value() else { return false };
            self.crowd_out(oldest);
        }
        true
    }

    /// A connection that a name was taken over from has shown that it was there: it may be another client's than the one that
    /// holds the name, of which nothing is kept until it comes again. Where that is once too often, nobody has the name any
    /// more.
    pub(crate) fn was_there(&mut self, key: &Arc<NameKey<A>>, now: Instant) {
        let Some(entry) = self.names.get_mut(key) else { return };
        entry.cursors.lock().bar();
        if entry.is_shared_by_takeover(now) {
            entry.cursors.lock().drop_all();
            self.set_state(key, |number| NameState::Shared(number, now + SHARED_FOR));
        }
    }

    /// A connection ends that held a name. Returns whether another one has it by now.
    pub(crate) fn leave(&mut self, hold: &NameHold<A>, (now, app_now): (Instant, Instant)) -> bool {
        let is_current =
            self.names.get(&hold.key).is_some_and(|entry| Arc::ptr_eq(&entry.cursors, &hold.cursors));
        let kept = hold.cursors.lock().left_by(hold.number, app_now);
        match kept {
            Some(true) if is_current => {
                self.set_state(&hold.key, |number| NameState::Left(number, now));
            }
            Some(false) if is_current => self.forget_everywhere(&hold.key),
            _ => {}
        }
        kept.is_none()
    }

    /// The client of a name is signed in.
    pub(crate) fn signed_in(&mut self, hold: &NameHold<A>, user: &Arc<str>) {
        let Some(before) = hold.cursors.lock().signed_in(hold.number, user) else { return };
        if let Some(before) = before.filter(|before| before != user) {
            self.forget_user(&hold.key, &before);
        }
        let app = hold.key.app.clone();
        self.users.entry((app, Arc::clone(user))).or_default().insert(Arc::clone(&hold.key));
    }

    /// A user was terminated: whoever was signed in as that user, here or away, finds nothing when he comes.
    pub(crate) fn terminated(&mut self, app: &A, user: &Arc<str>, now: Instant) {
        self.terminated.add(app.clone(), Arc::clone(user), now);
        let Some(names) = self.users.remove(&(app.clone(), Arc::clone(user))) else { return };
        for key in names {
            let Some(entry) = self.names.get(&key) else { continue };
            entry.cursors.lock().bar();
            if matches!(entry.state, NameState::Left(..)) {
                self.forget_everywhere(&key);
            }
        }
    }

    /// Forgets names whose time is over, at most so many. Returns whether that was all.
    pub(crate) fn expire(&mut self, now: Instant, most: usize) -> bool {
        for _ in 0..most {
            let Some((_, key)) = self.left.first_key_value() else { return true };
            let is_over = match self.names.get(key).map(|entry| &entry.state) {
                Some(NameState::Left(_, at)) => *at + self.bounds.retention <= now,
                Some(NameState::Shared(_, until)) => *until <= now,
                Some(NameState::Held(_)) | None => true,
            };
            if !is_over {
                return true;
            }
            let key = Arc::clone(key);
            self.forget(&key);
        }
        false
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> NameCounts {
        let NameCounts { shared, .. } = self.counts;
        let (held, left) = (self.names.len() - self.left.len(), self.left.len() - shared);
        NameCounts { held, left, ..self.counts }
    }

    /// Puts a name into a state, whose number in `left` is given; returns the state before.
    fn set_state(
        &mut self,
        key: &Arc<NameKey<A>>,
        state: impl FnOnce(u64) -> NameState<C>,
    ) -> Option<NameState<C>> {
        self.last_left += 1;
        let number = self.last_left;
        let entry = self.names.get_mut(key)?;
        let before = std::mem::replace(&mut entry.state, state(number));
        let of_address = entry.address.and_then(|address| self.addresses.get_mut(&address));
        self.counts.shared += usize::from(matches!(entry.state, NameState::Shared(..)));
        if let NameState::Shared(..) = before {
            self.counts.shared -= 1;
        }
        let is_left = !matches!(entry.state, NameState::Held(_));
        let was_left = match before {
            NameState::Held(_) => None,
            NameState::Left(number, _) | NameState::Shared(number, _) => Some(number),
        };
        if let Some(of_address) = of_address {
            was_left.map(|number| of_address.left.remove(&number));
            if is_left {
                of_address.left.insert(number);
            }
        }
        was_left.map(|number| self.left.remove(&number));
        if is_left {
            self.left.insert(number, Arc::clone(key));
        }
        Some(before)
    }

    /// A name is that of a client at another address from now on. Nobody is refused for that: it was counted when it came.
    fn move_to(&mut self, key: &Arc<NameKey<A>>, address: Option<G>) {
        let Some(entry) = self.names.get_mut(key).filter(|entry| entry.address != address) else { return };
        let number = match entry.state {
            NameState::Held(_) => None,
            NameState::Left(number, _) | NameState::Shared(number, _) => Some(number),
        };
        let before = std::mem::replace(&mut entry.address, address);
        let of_address = address.map(|address| {
            let names = self.addresses.entry(address).or_default();
            names.names += 1;
            names.left.extend(number);
            Arc::clone(&names.cursors)
        });
        entry.cursors.lock().move_to(of_address.unwrap_or_default());
        if let Some(before) = before {
            self.leave_address(before, number);
        }
    }

    fn leave_address(&mut self, address: G, number: Option<u64>) {
        let Some(names) = self.addresses.get_mut(&address) else { return };
        names.names -= 1;
        number.map(|number| names.left.remove(&number));
        if names.names == 0 {
            self.addresses.remove(&address);
        }
    }

    /// Returns the state that it had.
    fn forget(&mut self, key: &Arc<NameKey<A>>) -> Option<NameState<C>> {
        let NameEntry { cursors, address, state, .. } = self.names.remove(key)?;
        let number = match state {
            NameState::Held(_) => None,
            NameState::Left(number, _) => Some(number),
            NameState::Shared(number, _) => {
                self.counts.shared -= 1;
                Some(number)
            }
        };
        number.map(|number| self.left.remove(&number));
        if let Some(address) = address {
            self.leave_address(address, number);
        }
        let user = {
            let mut cursors = cursors.lock();
            cursors.drop_all();
            self.noted.forget(cursors.set_note(None));
            cursors.user().cloned()
        };
        if let Some(user) = user {
            self.forget_user(key, &user);
        }
        let names = &mut self.names;
        if names.capacity() > 1024 && names.len() < names.capacity() / 8 {
            names.shrink_to(2 * names.len());
        }
        Some(state)
    }

    fn forget_user(&mut self, key: &Arc<NameKey<A>>, user: &Arc<str>) {
        let user = (key.app.clone(), Arc::clone(user));
        if let Some(names) = self.users.get_mut(&user) {
            names.remove(key);
            if names.is_empty() {
                self.users.remove(&user);
            }
        }
    }
}

impl<G, C> NameEntry<G, C> {
    /// It was taken over from somebody who was there. Whether that is once too often.
    fn is_shared_by_takeover(&mut self, now: Instant) -> bool {
        self.takeovers.retain(|at| now.saturating_duration_since(*at) < SHARED_FOR);
        self.takeovers.push(now);
        let is_shared = self.takeovers.len() >= TAKEOVERS_OF_SHARED;
        if is_shared {
            self.takeovers.clear();
        }
        is_shared
    }
}

#[cfg(test)]
mod tests;
