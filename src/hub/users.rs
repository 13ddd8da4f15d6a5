//! Who is signed in, by which connections, and who watches whom.
//!
//! A user is online while one of its connections is signed in, on this node or on another. Whoever watches a user is told
//! when it comes and goes; what is to be told, to them and to other nodes, is decided and posted under one lock, so that it
//! is told in the order in which it happened.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;
use indexmap::set::Slice;
use parking_lot::Mutex;

use crate::channel::{NodeId, WorkerIndex};
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
    /// The connections of each user who is online on this node.
    online: HashMap<Arc<str>, Addresses>,
    /// The other nodes on which each user is online who is on any.
    elsewhere: HashMap<Arc<str>, Vec<NodeId>>,
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
    /// called if it is the user's first one on this node, with those who watch the user if it has come online by it.
    /// Returns how the watched ones are.
    pub(super) fn sign_in(
        &self,
        user_id: &Arc<str>,
        address: Address,
        watchlist: &[Arc<str>],
        tell: impl FnOnce(Option<&Slice<Address>>),
    ) -> Watched {
        let mut state = self.state.lock();
        let connections = state.online.entry(Arc::clone(user_id)).or_default();
        let came = connections.is_empty();
        connections.insert(address);
        if came {
            let came_online = !state.elsewhere.contains_key(user_id);
            tell(came_online.then(|| state.watchers_of(user_id)));
        }
        state.unwatch(address);
        for watched in watchlist {
            state.watchers.entry(Arc::clone(watched)).or_default().insert(address);
        }
        if !watchlist.is_empty() {
            state.watching.insert(address, watchlist.to_vec());
        }
        let (online, offline) = watchlist.iter().cloned().partition(|id| state.is_online(id));
        Watched { online, offline }
    }

    /// A connection of the user is gone, and watches nobody any more. `tell` is called if that was its last one on this
    /// node, with those who watch the user if it has gone offline by it.
    pub(super) fn remove(&self, user_id: &str, address: Address, tell: impl FnOnce(Option<&Slice<Address>>)) {
        let mut state = self.state.lock();
        state.unwatch(address);
        let Some(connections) = state.online.get_mut(user_id) else { return };
        connections.swap_remove(&address);
        if connections.is_empty() {
            state.online.remove(user_id);
            let went_offline = !state.elsewhere.contains_key(user_id);
            tell(went_offline.then(|| state.watchers_of(user_id)));
        }
    }

    /// The user is online on another node. `tell` is called with those who watch it if it has come online by that.
    pub(super) fn sign_in_elsewhere(
        &self,
        user_id: &Arc<str>,
        node: NodeId,
        tell: impl FnOnce(&Slice<Address>),
    ) {
        let mut state = self.state.lock();
        let came_online = !state.is_online(user_id);
        let nodes = state.elsewhere.entry(Arc::clone(user_id)).or_default();
        if !nodes.contains(&node) {
            // Most users are on one node.
            nodes.reserve_exact(1);
            nodes.push(node);
        }
        if came_online {
            tell(state.watchers_of(user_id));
        }
    }

    /// The user is not online on another node any more, or the node is gone. `tell` is called with those who watch it if it
    /// has gone offline by that.
    pub(super) fn sign_out_elsewhere(&self, user_id: &str, node: NodeId, tell: impl FnOnce(&Slice<Address>)) {
        let mut state = self.state.lock();
        let Some(nodes) = state.elsewhere.get_mut(user_id) else { return };
        nodes.retain(|of| *of != node);
        if nodes.is_empty() {
            state.elsewhere.remove(user_id);
            if !state.is_online(user_id) {
                tell(state.watchers_of(user_id));
            }
        }
    }

    /// Tells of each user who is online on this node, under the lock.
    pub(super) fn tell_online_here(&self, tell: impl FnMut(&Arc<str>)) {
        self.state.lock().online.keys().for_each(tell);
    }

    /// The connections of this node that are signed in as the user.
    pub(super) fn connections(&self, user_id: &str) -> Vec<Address> {
        self.state
            .lock()
            .online
            .get(user_id)
            .map_or_else(Vec::new, |addresses| addresses.iter().copied().collect())
    }

    /// Tells of each user who is signed in on this node, with the number of connections, under the lock.
    pub(super) fn visit(&self, mut tell: impl FnMut(&str, usize)) {
        self.state.lock().online.iter().for_each(|(id, connections)| tell(id, connections.len()));
    }

    /// How many of the users who are signed in on any node are wanted.
    pub(super) fn count_everywhere(&self, wanted: impl Fn(&str) -> bool) -> usize {
        let state = self.state.lock();
        let here = state.online.keys().filter(|id| wanted(id)).count();
        let elsewhere = state.elsewhere.keys().filter(|id| !state.online.contains_key(*id) && wanted(id));
        here + elsewhere.count()
    }

    /// Whether the user is signed in on any node.
    pub(super) fn is_online(&self, user_id: &str) -> bool {
        self.state.lock().is_online(user_id)
    }

    /// How many users are signed in on this node, and how many are watched.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.online.len(), state.watchers.len())
    }
}

impl UserTable {
    fn is_online(&self, user_id: &str) -> bool {
        self.online.contains_key(user_id) || self.elsewhere.contains_key(user_id)
    }

    fn watchers_of(&self, user_id: &str) -> &Slice<Address> {
        self.watchers.get(user_id).map_or(NONE, IndexSet::as_slice)
    }

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
        let tell = |watchers: Option<&Slice<Address>>| told = watchers.map_or(Vec::new(), addresses);
        let watched = users.sign_in(&Arc::from(user), address(n), &ids(watchlist), tell);
        (watched, told)
    }

    fn remove(users: &Users, user: &str, n: u32) -> Vec<Address> {
        let mut told = Vec::new();
        users.remove(user, address(n), |watchers| told = watchers.map_or(Vec::new(), addresses));
        told
    }

    fn addresses(slice: &Slice<Address>) -> Vec<Address> {
        slice.iter().copied().collect()
    }

    /// The user comes, or goes, on another node. Who was told of it.
    fn elsewhere(users: &Users, user: &str, node: u128, is_online: bool) -> Vec<Address> {
        let (mut told, node) = (Vec::new(), NodeId::new(node));
        let tell = |watchers: &Slice<Address>| told = addresses(watchers);
        if is_online {
            users.sign_in_elsewhere(&Arc::from(user), node, tell);
        } else {
            users.sign_out_elsewhere(user, node, tell);
        }
        told
    }

    #[test]
    fn a_user_is_online_while_it_is_on_any_node() {
        let users = Users::default();
        sign_in(&users, "ann", 1, &["bob"]);
        assert_eq!(elsewhere(&users, "bob", 1, true), [address(1)], "online");
        assert!(elsewhere(&users, "bob", 1, true).is_empty(), "it is said again");
        assert!(elsewhere(&users, "bob", 2, true).is_empty(), "on a second node");
        assert!(sign_in(&users, "bob", 2, &[]).1.is_empty(), "and here");
        assert_eq!(sign_in(&users, "cy", 3, &["bob", "ann", "dan"]).0.online, ids(&["bob", "ann"]));
        assert!(elsewhere(&users, "bob", 1, false).is_empty());
        assert!(remove(&users, "bob", 2).is_empty());
        assert_eq!(elsewhere(&users, "bob", 2, false), [address(1), address(3)], "offline");
        assert!(elsewhere(&users, "bob", 2, false).is_empty(), "gone is gone");
        assert_eq!(elsewhere(&users, "bob", 2, true), [address(1), address(3)], "online again");
        assert_eq!(sign_in(&users, "ann", 1, &["bob"]).0.online, ids(&["bob"]));
        elsewhere(&users, "bob", 2, false);
        assert!(users.state.lock().elsewhere.is_empty());
    }

    #[test]
    fn the_first_and_the_last_connection_here_are_told_wherever_else_the_user_is() {
        let users = Users::default();
        let mut told = Vec::new();
        elsewhere(&users, "bob", 1, true);
        users.sign_in(&Arc::from("bob"), address(1), &[], |watchers| told.push(watchers.is_some()));
        users.sign_in(&Arc::from("bob"), address(2), &[], |watchers| told.push(watchers.is_some()));
        users.remove("bob", address(1), |watchers| told.push(watchers.is_some()));
        users.remove("bob", address(2), |watchers| told.push(watchers.is_some()));
        assert_eq!(told, [false, false], "twice, and he has been online all the time");
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
