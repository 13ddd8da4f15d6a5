//! How many subscribers of a channel other nodes have.

use super::NodeId;

/// The nodes that have some, each with how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Elsewhere {
    nodes: Vec<Share>,
}

/// Those of one node.
#[derive(Clone, Copy, Debug)]
struct Share {
    node: NodeId,
    /// How many of them are without a member.
    plain: u32,
    /// How many are of members.
    members: u32,
}

impl Elsewhere {
    /// A connection of a member has come on a node.
    pub(super) fn member_came(&mut self, node: NodeId) {
        self.change(node, |share| share.members = share.members.saturating_add(1));
    }

    /// A connection of a member has left, or its node has gone.
    pub(super) fn member_left(&mut self, node: NodeId) {
        self.change(node, |share| share.members = share.members.saturating_sub(1));
    }

    /// A node has so many without a member.
    pub(super) fn set_plain(&mut self, node: NodeId, count: u32) {
        self.change(node, |share| share.plain = count);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.nodes.iter().map(Share::count).sum()
    }

    /// Whether a node has some.
    pub(super) fn is_on(&self, node: NodeId) -> bool {
        self.nodes.iter().any(|share| share.node == node)
    }

    /// Whether there is none.
    pub(super) fn is_nobody(&self) -> bool {
        self.nodes.is_empty()
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Share)) {
        let place = self.nodes.iter().position(|share| share.node == node);
        let mut share = place.map_or(Share { node, plain: 0, members: 0 }, |place| self.nodes[place]);
        change(&mut share);
        match place {
            Some(place) if share.count() == 0 => {
                self.nodes.swap_remove(place);
            }
            Some(place) => self.nodes[place] = share,
            None if share.count() == 0 => {}
            None => {
                // Most channels are on few nodes.
                self.nodes.reserve_exact(1);
                self.nodes.push(share);
            }
        }
    }
}

impl Share {
    fn count(&self) -> usize {
        self.plain as usize + self.members as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_there_as_long_as_a_member_or_another_subscriber_of_it_is() {
        let (a, b) = (NodeId::new(1), NodeId::new(2));
        let mut elsewhere = Elsewhere::default();
        elsewhere.set_plain(a, 0);
        elsewhere.member_left(a);
        assert!(elsewhere.is_nobody());
        elsewhere.member_came(a);
        elsewhere.set_plain(a, 3);
        elsewhere.set_plain(b, 2);
        assert_eq!(elsewhere.count(), 6);
        elsewhere.set_plain(a, 0);
        elsewhere.set_plain(b, 0);
        assert_eq!((elsewhere.count(), elsewhere.is_nobody()), (1, false), "its member has not left yet");
        elsewhere.member_left(a);
        assert!(elsewhere.is_nobody() && elsewhere.count() == 0);
    }
}
