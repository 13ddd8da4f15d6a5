//! Lists of what there is, a page at a time: connections, users, channels and their subscribers. Each page is found by
//! looking at all that there is, and takes the room of a page. Not to be called on a worker's thread.

use std::collections::BTreeMap;

use crate::channel::Channel;
use crate::protocol::{ChannelName, SocketId};

use super::{AppState, ChannelSummary, Hub};

/// One page of a list, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListPage<T> {
    pub(crate) items: Vec<T>,
    /// How many there are on all pages.
    pub(crate) total: usize,
    /// Whether there is a page behind this one.
    pub(crate) has_more: bool,
}

/// A channel in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedChannel {
    pub(crate) summary: ChannelSummary,
    /// Subscribed connections of this node.
    pub(crate) subscriptions_here: usize,
}

impl ListedChannel {
    /// One that nobody is subscribed to.
    pub(crate) fn vacant(name: &ChannelName) -> Self {
        let summary = ChannelSummary { name: name.clone(), subscription_count: 0, user_count: 0 };
        ListedChannel { summary, subscriptions_here: 0 }
    }

    fn of(name: &ChannelName, channel: &Channel) -> Self {
        let summary = ChannelSummary::of(name, channel);
        ListedChannel { summary, subscriptions_here: channel.subscribers().count() }
    }
}

/// The first of what comes behind a place, in order.
struct FirstBehind<'k, K: ?Sized, O, T> {
    after: Option<&'k K>,
    most: usize,
    found: BTreeMap<O, T>,
    total: usize,
    has_more: bool,
}

impl<'k, K: Ord + ?Sized, O: Ord + std::borrow::Borrow<K>, T> FirstBehind<'k, K, O, T> {
    fn new(after: Option<&'k K>, most: usize) -> Self {
        FirstBehind { after, most, found: BTreeMap::new(), total: 0, has_more: false }
    }

    /// Looks at one more.
    fn offer(&mut self, key: &K, make: impl FnOnce() -> (O, T)) {
        self.total += 1;
        if self.after.is_some_and(|after| key <= after) {
            return;
        }
        if self.found.len() >= self.most {
            self.has_more = true;
            if self.found.last_key_value().is_none_or(|(last, _)| last.borrow() <= key) {
                return;
            }
            self.found.pop_last();
        }
        let (key, value) = make();
        self.found.insert(key, value);
    }

    fn page(self) -> ListPage<T> {
        ListPage { items: self.found.into_values().collect(), total: self.total, has_more: self.has_more }
    }
}

impl Hub {
    /// Connections of an app on this node that are `wanted`: of a channel those that are subscribed to it.
    pub(crate) fn list_connections(
        &self,
        app: &AppState,
        channel: Option<&ChannelName>,
        (after, most): (Option<SocketId>, usize),
        wanted: impl Fn(SocketId) -> bool,
    ) -> ListPage<SocketId> {
        let mut first = FirstBehind::<SocketId, SocketId, SocketId>::new(after.as_ref(), most);
        let mut offer = |socket: SocketId| {
            if wanted(socket) {
                first.offer(&socket, || (socket, socket));
            }
        };
        match channel {
            None => self.sockets.visit(app.index(), offer),
            Some(channel) => {
                if let Some(entry) = app.channels.get(channel) {
                    entry.visit_subscribers(|socket, _| offer(socket));
                }
            }
        }
        first.page()
    }
}

impl AppState {
    /// Occupied channels that are `wanted`, in the order of their names.
    pub(crate) fn list_channels(
        &self,
        after: Option<&str>,
        most: usize,
        wanted: impl Fn(&ChannelName) -> bool,
    ) -> ListPage<ListedChannel> {
        let mut first = FirstBehind::<str, String, ListedChannel>::new(after, most);
        for entry in self.channels.iter().filter(|entry| wanted(entry.key()) && !entry.value().is_vacant()) {
            let (name, channel) = entry.pair();
            first.offer(name.as_str(), || (name.as_str().to_owned(), ListedChannel::of(name, channel)));
        }
        first.page()
    }

    /// A channel as it would be in the list; `None` if nobody is subscribed.
    pub(crate) fn listed_channel(&self, name: &ChannelName) -> Option<ListedChannel> {
        let entry = self.channels.get(name).filter(|entry| !entry.is_vacant())?;
        Some(ListedChannel::of(entry.key(), entry.value()))
    }

    /// Connections of this node that are subscribed to a channel, each with its member on presence channels.
    pub(crate) fn list_subscribers(
        &self,
        channel: &ChannelName,
        after: Option<SocketId>,
        most: usize,
    ) -> ListPage<(SocketId, Option<String>)> {
        let mut first =
            FirstBehind::<SocketId, SocketId, (SocketId, Option<String>)>::new(after.as_ref(), most);
        if let Some(entry) = self.channels.get(channel) {
            entry.visit_subscribers(|socket, member| {
                first.offer(&socket, || (socket, (socket, member().map(|id| id.to_string()))));
            });
        }
        first.page()
    }

    /// Members of a presence channel on all nodes, in the order in which they came, with what is told of each: so many.
    pub(crate) fn list_members(&self, channel: &ChannelName, most: usize) -> Vec<(String, Option<String>)> {
        let Some(entry) = self.channels.get(channel) else { return Vec::new() };
        let Some(presence) = entry.presence() else { return Vec::new() };
        let text = |text: &str| text.to_owned();
        presence.shown().take(most).map(|(id, info)| (text(id), info.map(text))).collect()
    }

    /// Users who are signed in on this node and whose ids begin so, each with the number of their connections.
    pub(crate) fn list_users(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> ListPage<(String, usize)> {
        let mut first = FirstBehind::<str, String, (String, usize)>::new(after, most);
        self.users.visit(|id, connections| {
            if id.starts_with(prefix) {
                first.offer(id, || (id.to_owned(), (id.to_owned(), connections)));
            }
        });
        first.page()
    }

    /// How many users whose ids begin so are signed in on any node.
    pub(crate) fn users_everywhere(&self, prefix: &str) -> usize {
        self.users.count_everywhere(|id| id.starts_with(prefix))
    }

    /// The connections of this node that are signed in as the user, so many of them.
    pub(crate) fn sockets_of_user(&self, user_id: &str, most: usize) -> Vec<SocketId> {
        self.users.connections(user_id).into_iter().map(|(_, socket)| socket).take(most).collect()
    }

    /// Whether the user is signed in on any node.
    pub(crate) fn is_online(&self, user_id: &str) -> bool {
        self.users.is_online(user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_miss_nothing() {
        let names: Vec<String> = (0..25).map(|n| format!("c{:02}", n * 7 % 25)).collect();
        let page = |after: Option<&str>| {
            let mut first = FirstBehind::<str, String, String>::new(after, 10);
            names.iter().for_each(|name| first.offer(name, || (name.clone(), name.clone())));
            first.page()
        };
        let first = page(None);
        let second = page(first.items.last().map(String::as_str));
        let third = page(second.items.last().map(String::as_str));
        assert_eq!([first.has_more, second.has_more, third.has_more], [true, true, false]);
        assert_eq!([first.total, third.total, third.items.len()], [25, 25, 5]);
        let all: Vec<String> = [first.items, second.items, third.items].concat();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(all, sorted);
        assert!(page(Some("c24")).items.is_empty() && !page(Some("c24")).has_more);
    }

    #[test]
    fn a_page_of_a_million_holds_no_more_than_the_page() {
        const MANY: u64 = 1_000_000;
        let made = std::cell::Cell::new(0);
        let mut first = FirstBehind::<u64, u64, u64>::new(Some(&4999), 500);
        for n in 0..MANY {
            // In no order: 7919 has no divisor in common with a million.
            let key = n * 7919 % MANY;
            first.offer(&key, || {
                made.set(made.get() + 1);
                (key, key)
            });
            assert!(first.found.len() <= 500);
        }
        let page = first.page();
        assert_eq!((page.total, page.has_more, page.items), (MANY as usize, true, (5000..5500).collect()));
        assert!(made.get() < 10_000, "{} of a million were made, to be shown or not", made.get());
    }
}
