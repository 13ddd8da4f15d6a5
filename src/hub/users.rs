//! Who is signed in, by which connections, and who watches whom.
//!
//! A user is online while one of its connections is signed in. Whoever watches a user is told when it comes and goes;
//! what is to be told is decided and posted under one lock, so that it is told in the order in which it happened.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;
use indexmap::set::Slice;
use parking_lot::Mutex;

use crate::channel::WorkerIndex;
use crate::protocol::SocketId;

/// A connection, and the worker that owns it.
pub(super) type Address = (WorkerIndex, SocketId);

/// The signed-in users of one app. Touched when one signs in or leaves, never by a delivery.
#[derive(Debug, Default)]
pub(super) struct Users {
    state: Mutex<UserTable>,
}

/// Connections, one of which is removed as quickly as any: thousands may have a user in common.
type Addresses = IndexSet<Address>;

/// Nobody.
const NONE: &Slice<Address> = Slice::new();

#[derive(Debug, Default)]
struct UserTable {
    /// The connections of each user who is online.
    online: HashMap<Arc<str>, Addresses>,
    /// The connections that watch each user, online or not.
    watchers: HashMap<Arc<str>, Addresses>,
    /// Whom each connection watches, where it watches anybody.
    watching: HashMap<Address, Vec<Arc<str>>>,
}

/// The users of a watchlist, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) online: Vec<Arc<str>>,
    pub(super) offline: Vec<Arc<str>>,
}

impl Users {
    /// A connection is signed in as the user, and watches these. To sign in again replaces the watchlist. `tell` is
    /// called with the watchers of the user if it has come online. Returns how the watched ones are.
    pub(super) fn sign_in(
        &self,
        user_id: &Arc<str>,
        address: Address,
        watchlist: &[Arc<str>],
        tell: impl FnOnce(&Slice<Address>),
    ) -> Watched {
        let mut state = self.state.lock();
        let connections = state.online.entry(Arc::clone(user_id)).or_default();
        let came_online = connections.is_empty();
        connections.insert(address);
        if came_online {
            tell(state.watchers.get(user_id).map_or(NONE, IndexSet::as_slice));
        }
        state.unwatch(address);
        for watched in watchlist {
            state.watchers.entry(Arc::clone(watched)).or_default().insert(address);
        }
        if !watchlist.is_empty() {
            state.watching.insert(address, watchlist.to_vec());
        }
        let (online, offline) = watchlist.iter().cloned().partition(|id| state.online.contains_key(id));
        Watched { online, offline }
    }

    /// A connection of the user is gone, and watches nobody any more. `tell` is called with the watchers of the user
    /// if that was its last one.
    pub(super) fn remove(&self, user_id: &str, address: Address, tell: impl FnOnce(&Slice<Address>)) {
        let mut state = self.state.lock();
        state.unwatch(address);
        let Some(connections) = state.online.get_mut(user_id) else { return };
        connections.swap_remove(&address);
        if connections.is_empty() {
            state.online.remove(user_id);
            tell(state.watchers.get(user_id).map_or(NONE, IndexSet::as_slice));
        }
    }

    /// The connections that are signed in as the user.
    pub(super) fn connections(&self, user_id: &str) -> Vec<Address> {
        self.state
            .lock()
            .online
            .get(user_id)
            .map_or_else(Vec::new, |addresses| addresses.iter().copied().collect())
    }

    /// How many users are signed in, and how many are watched.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.online.len(), state.watchers.len())
    }
}

impl UserTable {
    fn unwatch(&mut self, address: Address) {
        for watched in self.watching.remove(&address).unwrap_or_default() {
            if let Some(watchers) = self.watchers.get_mut(&watched) {
                watchers.swap_remove(&address);
                if watchers.is_empty() {
                    self.watchers.remove(&watched);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Address {
        (0, SocketId::new(n, 1))
    }

    fn ids(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// Signs in and tells who was told of it.
    fn sign_in(users: &Users, user: &str, n: u32, watchlist: &[&str]) -> (Watched, Vec<Address>) {
        let mut told = Vec::new();
        let tell = |watchers: &Slice<Address>| told = watchers.iter().copied().collect();
        let watched = users.sign_in(&Arc::from(user), address(n), &ids(watchlist), tell);
        (watched, told)
    }

    fn remove(users: &Users, user: &str, n: u32) -> Vec<Address> {
        let mut told = Vec::new();
        users.remove(user, address(n), |watchers| told = watchers.iter().copied().collect());
        told
    }

    #[test]
    fn a_user_is_online_from_the_first_connection_to_the_last() {
        let users = Users::default();
        let (watched, told) = sign_in(&users, "ann", 1, &["bob", "cy", "ann"]);
        assert_eq!(watched, Watched { online: ids(&["ann"]), offline: ids(&["bob", "cy"]) });
        assert!(told.is_empty());
        assert_eq!(sign_in(&users, "bob", 2, &[]).1, [address(1)], "online");
        assert!(sign_in(&users, "bob", 3, &[]).1.is_empty(), "he is already");
        assert_eq!(users.connections("bob"), [address(2), address(3)]);
        assert!(remove(&users, "bob", 2).is_empty(), "he still is");
        assert_eq!(remove(&users, "bob", 3), [address(1)], "offline");
        assert!(remove(&users, "bob", 3).is_empty(), "gone is gone");
    }

    #[test]
    fn signing_in_again_replaces_the_watchlist() {
        let users = Users::default();
        sign_in(&users, "ann", 1, &["bob"]);
        let (watched, told) = sign_in(&users, "ann", 1, &["cy"]);
        assert_eq!((watched.offline, told), (ids(&["cy"]), Vec::new()));
        assert!(sign_in(&users, "bob", 2, &[]).1.is_empty());
        assert_eq!(sign_in(&users, "cy", 3, &[]).1, [address(1)]);
    }

    #[test]
    fn nothing_is_left_of_who_has_gone() {
        let users = Users::default();
        sign_in(&users, "ann", 1, &["bob", "ann"]);
        sign_in(&users, "bob", 2, &["ann"]);
        assert_eq!(remove(&users, "ann", 1), [address(2)]);
        assert!(remove(&users, "bob", 2).is_empty());
        let state = users.state.lock();
        assert!(state.online.is_empty() && state.watchers.is_empty() && state.watching.is_empty());
    }
}
