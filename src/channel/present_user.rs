//! A user who is present in a channel: the connections by which it is, on this node and on others.

use std::sync::Arc;

use super::arrivals::Arrivals;
use super::{ChannelVersion, NodeId};

/// What a connection says of its user.
type UserInfo = Option<Arc<str>>;

/// Names a connection of another node within a channel: the node, and the change by which it joined there.
pub(super) type DistantName = (NodeId, ChannelVersion);

/// A user who is present.
#[derive(Clone, Debug)]
pub(super) struct PresentUser {
    id: Arc<str>,
    /// What each of its connections on this node said of it, in the order in which they came.
    here: Arrivals<UserInfo>,
    /// What those on other nodes said, sorted by their names.
    elsewhere: Vec<(DistantName, UserInfo)>,
}

impl PresentUser {
    /// A user without a connection.
    pub(super) fn new(id: Arc<str>) -> Self {
        PresentUser { id, here: Arrivals::default(), elsewhere: Vec::new() }
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Whether it has no connection any more.
    pub(super) fn is_gone(&self) -> bool {
        self.here.is_empty() && self.elsewhere.is_empty()
    }

    /// Adds a connection of this node, which came by a later change than the others.
    pub(super) fn add(&mut self, connection: ChannelVersion, info: UserInfo) {
        self.here.push(connection, info);
    }

    /// Removes a connection of this node; returns what it said.
    pub(super) fn remove(&mut self, connection: ChannelVersion) -> Option<UserInfo> {
        self.here.remove(connection)
    }

    /// What a connection of this node said.
    pub(super) fn info_of(&self, connection: ChannelVersion) -> Option<&UserInfo> {
        self.here.get(connection)
    }

    /// Adds a connection of another node; `false` if it was there.
    pub(super) fn add_distant(&mut self, name: DistantName, info: UserInfo) -> bool {
        let place = self.elsewhere.binary_search_by_key(&name, |(name, _)| *name);
        if let Err(place) = place {
            if self.elsewhere.capacity() == 0 {
                // Most users have one.
                self.elsewhere.reserve_exact(1);
            }
            self.elsewhere.insert(place, (name, info));
        }
        place.is_err()
    }

    /// Removes a connection of another node; returns what it said.
    pub(super) fn remove_distant(&mut self, name: DistantName) -> Option<UserInfo> {
        let place = self.elsewhere.binary_search_by_key(&name, |(name, _)| *name).ok()?;
        let (_, info) = self.elsewhere.remove(place);
        if self.elsewhere.is_empty() {
            self.elsewhere = Vec::new();
        }
        Some(info)
    }

    /// What its connections say, in the order of their names, where this node is `here`: the first one speaks for the user
    /// on every node.
    pub(super) fn infos(&self, here: NodeId) -> impl Iterator<Item = Option<&str>> {
        let (before, behind) =
            self.elsewhere.split_at(self.elsewhere.partition_point(|((node, _), _)| *node < here));
        infos_of(before).chain(self.here.iter()).chain(infos_of(behind)).map(Option::as_deref)
    }
}

fn infos_of(distant: &[(DistantName, UserInfo)]) -> impl Iterator<Item = &UserInfo> {
    distant.iter().map(|(_, info)| info)
}
