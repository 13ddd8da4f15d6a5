//! Who decides for a channel: of the nodes that are there, the one whose weight for it is the largest. All nodes that know
//! of the same nodes find the same one, and when one comes or goes, only its share moves.

use std::time::{Duration, Instant};

use crate::channel::NodeId;

/// So long those who decided before decide as well: a node may learn of a change later than another.
const BOTH_DECIDE_FOR: Duration = Duration::from_secs(10);

/// So long after a change it can be told who decided before, and a node that has died is remembered: longer than it takes until
/// a dead node counts as dead, also when the bus was away a moment ago.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// What was a node's to tell so long before it was heard for the last time, it has told, whenever it died.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Earlier views that are remembered. Where more change within [`BOTH_DECIDE_FOR`], the oldest is forgotten.
const MOST_FORMER: usize = 32;

/// The nodes that decide, and those that did until a moment ago. A value; it is read on any thread.
#[derive(Clone, Debug)]
pub(crate) struct Deciders {
    me: NodeId,
    /// In their order.
    nodes: Vec<NodeId>,
    /// Those of before, each until a time.
    former: Vec<(Vec<NodeId>, Instant)>,
    /// Nodes that have died of late, and how many have since the start.
    dead: Vec<DeadNode>,
    deaths: u64,
}

/// A node that has died.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadNode {
    pub(super) node: NodeId,
    /// When it was heard for the last time.
    pub(super) heard: Instant,
    /// Since when it counts as dead.
    pub(super) died: Instant,
}

impl Deciders {
    /// Nobody decides yet.
    pub(super) fn new(me: NodeId) -> Self {
        Deciders { me, nodes: Vec::new(), former: Vec::new(), dead: Vec::new(), deaths: 0 }
    }

    /// The same from when on these nodes decide; none if they do already, and none has died.
    pub(super) fn with(&self, mut nodes: Vec<NodeId>, died: Option<DeadNode>, now: Instant) -> Option<Self> {
        nodes.sort_unstable();
        if nodes == self.nodes && died.is_none() {
            return None;
        }
        let mut dead = self.dead.clone();
        dead.retain(|dead| now < dead.died + REMEMBERED_FOR);
        dead.extend(died);
        dead.drain(..dead.len().saturating_sub(MOST_FORMER));
        let deaths = self.deaths + u64::from(died.is_some());
        let mut former = self.former.clone();
        former.retain(|(_, until)| now < *until + (REMEMBERED_FOR - BOTH_DECIDE_FOR));
        former.push((self.nodes.clone(), now + BOTH_DECIDE_FOR));
        let too_many = former.len().saturating_sub(MOST_FORMER);
        former.drain(..too_many);
        Some(Deciders { me: self.me, nodes, former, dead, deaths })
    }

    /// Whether this node tells the backend what happens in a channel.
    pub(crate) fn decides(&self, app_id: &str, channel: &str, now: Instant) -> bool {
        let key = key(app_id, channel);
        // A node that does not decide yet has not decided before.
        let is_one = self.nodes.binary_search(&self.me).is_ok();
        let did =
            || self.former.iter().any(|(nodes, until)| now < *until && decider(nodes, key) == Some(self.me));
        is_one && (decider(&self.nodes, key) == Some(self.me) || did())
    }

    /// How many nodes have died.
    pub(crate) fn deaths(&self) -> u64 {
        self.deaths
    }

    /// Whether this node decides in the place of the one that decided then, and has died since.
    pub(crate) fn inherits(&self, app_id: &str, channel: &str, then: Instant) -> bool {
        if self.dead.is_empty() {
            return false;
        }
        let key = key(app_id, channel);
        let ended = then + BOTH_DECIDE_FOR;
        let nodes_then =
            self.former.iter().find(|(_, until)| *until > ended).map_or(&self.nodes, |(nodes, _)| nodes);
        let has_died = |node| {
            let mut dead = self.dead.iter().filter(|dead| dead.node == node);
            dead.any(|dead| dead.died > then && then + TOLD_WITHIN >= dead.heard)
        };
        decider(&self.nodes, key) == Some(self.me) && decider(nodes_then, key).is_some_and(has_died)
    }

    /// Whether there are others.
    pub(crate) fn has_others(&self) -> bool {
        self.nodes.iter().any(|node| *node != self.me)
    }
}

/// The node with the largest weight.
fn decider(nodes: &[NodeId], key: u64) -> Option<NodeId> {
    nodes.iter().copied().max_by_key(|node| (weight(*node, key), *node))
}

/// FNV-1a of the app's id, a byte that no text has, and the channel's name. Nodes of two releases must agree.
fn key(app_id: &str, channel: &str) -> u64 {
    let bytes = app_id.bytes().chain([0xff]).chain(channel.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn weight(node: NodeId, key: u64) -> u64 {
    let bits = node.bits();
    mix(mix(key ^ (bits >> 64) as u64) ^ bits as u64)
}

/// The finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(bits: impl IntoIterator<Item = u128>) -> Vec<NodeId> {
        bits.into_iter().map(NodeId::new).collect()
    }

    /// Pinned: nodes of two releases must agree.
    #[test]
    fn the_decider_is_that_of_releases_before() {
        let nodes = nodes([1, 2, 3]);
        let of = |app, channel| decider(&nodes, key(app, channel)).map(NodeId::bits);
        let found = ["news", "presence-a", "private-b", "cache-c"].map(|channel| of("1001", channel));
        assert_eq!(
            (key("1001", "news"), weight(nodes[0], 7)),
            (8_741_423_191_010_101_791, 7_091_162_075_535_606_283)
        );
        assert_eq!((found, of("1002", "news")), ([Some(3), Some(2), Some(1), Some(2)], Some(3)));
        assert_eq!(decider(&[], 7), None);
    }

    #[test]
    fn each_has_its_share_and_only_that_of_one_that_goes_moves() {
        let all = nodes([10, 11, 12, u128::MAX]);
        let rest = &all[..3];
        let mut shares = [0; 4];
        for n in 0..4000 {
            let key = key("1", &format!("room-{n}"));
            let of_all = decider(&all, key).unwrap();
            shares[all.iter().position(|node| *node == of_all).unwrap()] += 1;
            let of_rest = decider(rest, key).unwrap();
            assert!(of_rest == of_all || of_all == all[3]);
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }

    #[test]
    fn old_and_new_decide_for_ten_seconds() {
        let now = Instant::now();
        let [a, b] = [1, 2].map(NodeId::new);
        let alone = Deciders::new(a).with(vec![a], None, now).unwrap();
        let channels: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
        let decides =
            |deciders: &Deciders, at| channels.iter().filter(|name| deciders.decides("1", name, at)).count();
        assert_eq!(decides(&alone, now), 50);
        let two = alone.with(vec![b, a], None, now).unwrap();
        let later = now + BOTH_DECIDE_FOR;
        assert_eq!(decides(&two, later - Duration::from_millis(1)), 50);
        let own = decides(&two, later);
        assert!((10..40).contains(&own), "{own}");
        assert!(two.with(vec![a, b], None, later).is_none(), "nothing has changed");

        // It has learned of the other one, and waits until it has settled.
        let new = Deciders::new(b).with(vec![a], None, now).unwrap();
        assert_eq!(decides(&new, now), 0);
        assert_eq!(decides(&new.with(vec![a, b], None, now).unwrap(), now), 50 - own);
        assert!(!alone.has_others() && two.has_others());
    }

    #[test]
    fn earlier_views_are_few() {
        let now = Instant::now();
        let mut deciders = Deciders::new(NodeId::new(0));
        for n in 0..100 {
            deciders = deciders.with(nodes([0, n + 1]), None, now).unwrap();
        }
        assert_eq!(deciders.former.len(), MOST_FORMER);
    }

    #[test]
    fn what_was_left_to_a_node_that_has_died_is_told_by_whoever_decides_now() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let all = nodes([1, 2, 3]);
        let channel = |of: NodeId, nodes: &[NodeId]| {
            let mut names = (0..).map(|n| format!("room-{n}"));
            names.find(|name| decider(nodes, key("1", name)) == Some(of)).unwrap()
        };
        let name = channel(all[2], &all);
        let heir = decider(&all[..2], key("1", &name)).unwrap();
        let other = all.iter().copied().find(|node| *node != heir && *node != all[2]).unwrap();
        let of = |me| Deciders::new(me).with(all.clone(), None, at(0)).unwrap();
        let dead = |node, heard, died| Some(DeadNode { node, heard: at(heard), died: at(died) });
        let died = |me| of(me).with(all[..2].to_vec(), dead(all[2], 14, 20), at(20)).unwrap();
        assert!(!of(heir).inherits("1", &name, at(15)));
        assert!(died(heir).inherits("1", &name, at(15)) && !died(other).inherits("1", &name, at(15)));
        assert!(!died(heir).inherits("1", &name, at(20)), "it was dead by then");
        assert!(!died(heir).inherits("1", &name, at(8)), "it has told that");
        let of_heir = channel(heir, &all);
        assert!(!died(heir).inherits("1", &of_heir, at(15)), "it was this node's own");
        // It has said goodbye, and has told what was its own.
        let left = of(heir).with(all[..2].to_vec(), None, at(20)).unwrap();
        assert!(!left.inherits("1", &name, at(15)));
        // The one that would tell it dies as well.
        let last = died(other).with(vec![other], dead(heir, 18, 24), at(24)).unwrap();
        assert!(last.inherits("1", &name, at(15)) && last.inherits("1", &name, at(22)));
        assert_eq!((of(heir).deaths(), last.deaths()), (0, 2));
        // One that had not settled decided nothing.
        assert_eq!(last.with(vec![other], dead(NodeId::new(9), 19, 25), at(25)).unwrap().deaths(), 3);
    }
}
