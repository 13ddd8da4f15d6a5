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
    /// How many it has said that it has.
    said: u32,
    /// How many of them are known as connections of members.
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

    /// A node says how many it has.
    pub(super) fn say(&mut self, node: NodeId, count: u32) {
        self.change(node, |share| share.said = count);
    }

    /// How many there are. A member counts, whatever its node says.
    pub(super) fn count(&self) -> usize {
        self.nodes.iter().map(Share::count).sum()
    }

    /// Whether there is none.
    pub(super) fn is_nobody(&self) -> bool {
        self.nodes.is_empty()
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Share)) {
        let place = self.nodes.iter().position(|share| share.node == node);
        let mut share = place.map_or(Share { node, said: 0, members: 0 }, |place| self.nodes[place]);
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
        self.said.max(self.members) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_here_as_long_as_it_says_so_or_a_member_of_it_is() {
        let (a, b) = (NodeId::new(1), NodeId::new(2));
        let mut elsewhere = Elsewhere::default();
        elsewhere.say(a, 0);
        elsewhere.member_left(a);
        assert!(elsewhere.is_nobody());
        elsewhere.member_came(a);
        assert_eq!((elsewhere.count(), elsewhere.is_nobody()), (1, false), "before it has said so");
        elsewhere.say(a, 3);
        elsewhere.say(b, 2);
        assert_eq!(elsewhere.count(), 5);
        elsewhere.say(a, 0);
        assert_eq!(elsewhere.count(), 3, "its member has not left yet");
        elsewhere.say(b, 0);
        elsewhere.member_left(a);
        assert!(elsewhere.is_nobody() && elsewhere.count() == 0);
    }
}
