//! Whole histories of the presence channels of an app, drawn at random and shrunk when they fail: whatever is joined,
//! left, cut, terminated and removed in whatever order, on this node or on others that come and go, the rosters are exact
//! and the announcements balanced.

mod elsewhere;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

const CONNECTIONS: u32 = 10;
const CHANNELS: usize = 3;
/// Other nodes, some before this one in their order and some behind it.
const NODES: u128 = 3;
const HERE: NodeId = NodeId::new(1);
const USERS: usize = 4;
/// One fewer than the users, so that some are refused.
const MEMBERS_LIMIT: usize = 3;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Join {
        connection: u32,
        channel: usize,
        user: usize,
    },
    Leave {
        connection: u32,
        channel: usize,
    },
    /// The connection ends, in whatever way.
    Disconnect {
        connection: u32,
    },
    /// Every connection of the user is told to end. They do so later, and may do other things before.
    Terminate {
        user: usize,
    },
    /// Every connection is told to end.
    RemoveApp,
    /// One of those that were told ends.
    Obey {
        nth: usize,
    },
    /// A connection of another node joins.
    JoinElsewhere {
        node: u128,
        channel: usize,
        user: usize,
    },
    /// One of another node's connections leaves.
    LeaveElsewhere {
        nth: usize,
    },
    /// A node tells what it has told already.
    Repeat {
        nth: usize,
    },
    /// A node is gone, and all that it had.
    Die {
        node: u128,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let connection = || 0..CONNECTIONS;
    prop_oneof![
        10 => (connection(), 0..CHANNELS, 0..USERS)
            .prop_map(|(connection, channel, user)| Happening::Join { connection, channel, user }),
        5 => (connection(), 0..CHANNELS).prop_map(|(connection, channel)| Happening::Leave { connection, channel }),
        2 => connection().prop_map(|connection| Happening::Disconnect { connection }),
        1 => (0..USERS).prop_map(|user| Happening::Terminate { user }),
        1 => Just(Happening::RemoveApp),
        4 => any::<usize>().prop_map(|nth| Happening::Obey { nth }),
        8 => (0..NODES, 0..CHANNELS, 0..USERS)
            .prop_map(|(node, channel, user)| Happening::JoinElsewhere { node: 2 * node, channel, user }),
        5 => any::<usize>().prop_map(|nth| Happening::LeaveElsewhere { nth }),
        2 => any::<usize>().prop_map(|nth| Happening::Repeat { nth }),
        1 => (0..NODES).prop_map(|node| Happening::Die { node: 2 * node }),
    ]
}

/// A connection: of this node, or of another by the name that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attendant {
    Here(u32),
    Elsewhere(NodeId, ChannelVersion),
}

/// What a subscriber has been told of a channel: the roster at its version, and the changes since.
#[derive(Debug)]
struct ModelSubscriber {
    since: ChannelVersion,
    /// As clients of protocol 3 and later count: users.
    users: BTreeSet<String>,
    /// As older ones count: connections per user.
    connections: BTreeMap<String, usize>,
}

/// The channels of an app as the hub keeps them, and beside them what ought to be.
#[derive(Default)]
struct World {
    versions: u64,
    channels: BTreeMap<usize, Channel>,
    /// Who is where, and as whom.
    attending: BTreeMap<(Attendant, usize), String>,
    listeners: BTreeMap<(u32, usize), ModelSubscriber>,
    told_to_end: Vec<u32>,
}

impl World {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Join { connection, channel, user } => {
                self.join(connection, channel, &format!("u{user}"))
            }
            Happening::Leave { connection, channel } => self.leave(connection, channel),
            Happening::Disconnect { connection } => self.disconnect(connection),
            Happening::Terminate { user } => {
                let user = format!("u{user}");
                let here = |(attendant, _): &(Attendant, usize)| match attendant {
                    Attendant::Here(connection) => Some(*connection),
                    Attendant::Elsewhere(..) => None,
                };
                let of_user = self.attending.iter().filter(|(_, attending)| **attending == user);
                let connections: BTreeSet<u32> = of_user.filter_map(|(key, _)| here(key)).collect();
                self.told_to_end.extend(connections);
            }
            Happening::RemoveApp => self.told_to_end.extend(0..CONNECTIONS),
            Happening::Obey { nth } => {
                if !self.told_to_end.is_empty() {
                    let connection = self.told_to_end.remove(nth % self.told_to_end.len());
                    self.disconnect(connection);
                }
            }
            Happening::JoinElsewhere { node, channel, user } => {
                let (node, joined) = (NodeId::new(node), self.next_version());
                self.join_elsewhere(node, joined, channel, &format!("u{user}"));
            }
            Happening::LeaveElsewhere { nth } => {
                if let Some((node, joined, channel, user)) = self.distant(nth) {
                    self.leave_elsewhere(node, joined, channel, &user);
                }
            }
            Happening::Repeat { nth } => {
                if let Some((node, joined, channel, user)) = self.distant(nth) {
                    self.join_elsewhere(node, joined, channel, &user);
                }
            }
            Happening::Die { node } => self.die(NodeId::new(node)),
        }
    }

    fn next_version(&mut self) -> ChannelVersion {
        self.versions += 1;
        ChannelVersion::new(self.versions)
    }

    fn join(&mut self, connection: u32, at: usize, user: &str) {
        let version = self.next_version();
        let channel = self.channels.entry(at).or_default();
        let before = channel.subscribers().count();
        let member = Member { user_id: Arc::from(user), user_info: None };
        let joined =
            channel.join(worker(connection), socket(connection), Some(&member), MEMBERS_LIMIT, version);
        let attending = self.attending.contains_key(&(Attendant::Here(connection), at));
        let users = users(&self.attending, at);
        match joined {
            Err(JoinRefused::AlreadyJoined) => assert!(attending),
            Err(JoinRefused::OverCapacity) => {
                assert!(!attending && !users.contains(user) && users.len() >= MEMBERS_LIMIT);
                assert_eq!(channel.subscribers().count(), before);
            }
            Ok(joined) => {
                assert!(!attending);
                assert_eq!(joined.occupied, users.is_empty());
                let announcement = joined.announcement.expect("members are announced");
                assert_eq!(announcement.user_changed, !users.contains(user));
                assert_eq!(announcement.version, version, "later than all before");
                self.announce(at, &announcement, true);
                self.attending.insert((Attendant::Here(connection), at), user.to_owned());
                let presence = self.channels[&at].presence().expect("it has members");
                let users = presence.user_ids().map(str::to_owned).collect();
                let connections = connections(&self.attending, at);
                self.listeners.insert(
                    (connection, at),
                    ModelSubscriber { since: announcement.version, users, connections },
                );
            }
        }
        self.forget_if_idle(at);
    }

    fn leave(&mut self, connection: u32, at: usize) {
        let version = self.next_version();
        let attending = self.attending.remove(&(Attendant::Here(connection), at));
        self.listeners.remove(&(connection, at));
        let Some(channel) = self.channels.get_mut(&at) else { return assert_eq!(attending, None) };
        let left = channel.leave(worker(connection), socket(connection), version);
        assert_eq!(left.is_some(), attending.is_some());
        let (Some(left), Some(user)) = (left, attending) else { return };
        let users = users(&self.attending, at);
        let announcement = left.announcement.expect("members are announced");
        assert_eq!(*announcement.member.user_id, *user);
        assert_eq!(announcement.user_changed, !users.contains(&user));
        assert_eq!(left.vacated, users.is_empty());
        self.announce(at, &announcement, false);
        self.forget_if_idle(at);
    }

    /// The disconnect procedure.
    fn disconnect(&mut self, connection: u32) {
        (0..CHANNELS).for_each(|at| self.leave(connection, at));
    }

    /// Tells the subscribers, as the workers do: those whose roster is older.
    fn announce(&mut self, at: usize, announcement: &Announcement, came: bool) {
        let user = announcement.member.user_id.to_string();
        for (_, listener) in self.listeners.iter_mut().filter(|((_, channel), _)| *channel == at) {
            assert!(announcement.version > listener.since, "versions only grow");
            let count = listener.connections.entry(user.clone()).or_default();
            if came {
                *count += 1
            } else {
                *count = count.checked_sub(1).expect("as many leave as have come")
            }
            if *count == 0 {
                listener.connections.remove(&user);
            }
            if announcement.user_changed {
                if came {
                    assert!(listener.users.insert(user.clone()), "added twice")
                } else {
                    assert!(listener.users.remove(&user), "removed without having been there")
                }
            }
        }
    }

    /// What the hub does with a channel that nothing is left of.
    fn forget_if_idle(&mut self, at: usize) {
        if self.channels.get(&at).is_some_and(Channel::is_forgettable) {
            self.channels.remove(&at);
        }
    }

    fn check(&self) {
        for at in 0..CHANNELS {
            let (users, connections) = (users(&self.attending, at), connections(&self.attending, at));
            let Some(channel) = self.channels.get(&at) else {
                assert!(users.is_empty(), "a channel was forgotten that somebody is on");
                continue;
            };
            let presence = channel.presence().expect("a channel that is kept has members");
            assert_eq!(presence.user_ids().map(str::to_owned).collect::<BTreeSet<_>>(), users);
            assert_eq!(presence.user_count(), users.len());
            assert_eq!(channel.subscription_count(), connections.values().sum::<usize>());
            let here = self.listeners.keys().filter(|(_, channel)| *channel == at).count();
            assert_eq!(
                (channel.subscribers().member_connections(), channel.subscribers().count()),
                (here, here)
            );
            for (_, listener) in self.listeners.iter().filter(|((_, channel), _)| *channel == at) {
                assert_eq!((&listener.users, &listener.connections), (&users, &connections));
            }
        }
    }
}

fn socket(connection: u32) -> SocketId {
    SocketId::new(connection + 1, 1)
}

fn worker(connection: u32) -> WorkerIndex {
    (connection % 3) as WorkerIndex
}

fn users(attending: &BTreeMap<(Attendant, usize), String>, at: usize) -> BTreeSet<String> {
    connections(attending, at).into_keys().collect()
}

fn connections(attending: &BTreeMap<(Attendant, usize), String>, at: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, user) in attending.iter().filter(|((_, channel), _)| *channel == at) {
        *counts.entry(user.clone()).or_default() += 1;
    }
    counts
}

proptest! {
    // A failure prints the shortest history that fails; nothing is written beside the sources.
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn rosters_are_exact_and_announcements_balanced(history in prop::collection::vec(happening(), 1..150)) {
        let mut world = World::default();
        for step in history {
            world.happen(step);
            world.check();
        }
        (0..CONNECTIONS).for_each(|connection| world.disconnect(connection));
        (0..NODES).for_each(|node| world.die(NodeId::new(2 * node)));
        world.check();
        prop_assert!(world.channels.is_empty() && world.listeners.is_empty(), "nothing is left of anybody");
    }
}
