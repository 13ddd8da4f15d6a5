//! Who decides for a channel: of the nodes that are there, the one whose weight for it is the largest. All nodes that know
//! of the same nodes find the same one, and when one comes or goes, only its share moves.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::NodeId;

/// So long those who decided before decide as well: a node may learn of a change later than another.
const BOTH_DECIDE_FOR: Duration = Duration::from_secs(10);

/// So long a node that has gone is remembered: longer than it takes until a dead node counts as dead, also when the bus was away
/// a moment ago.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// What was a node's to tell so long before it was heard for the last time, it has told, whenever it died.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The same of one that stops: so long before that was heard.
const TOLD_WITHIN_IN_ORDER: Duration = Duration::from_secs(1);

/// Earlier views, and nodes that have gone, that are remembered: of more, the oldest are forgotten.
const MOST_FORMER: usize = 256;

/// The nodes that decide, and those that did before. A value; it is read on any thread.
#[derive(Clone, Debug)]
pub(crate) struct Deciders {
    me: NodeId,
    /// In their order.
    nodes: Arc<[NodeId]>,
    /// Those of before, in the order in which they did.
    former: Vec<FormerDeciders>,
    /// Nodes that decided and have gone of late; and how many have since the start.
    gone: Vec<GoneNode>,
    departures: u64,
}

/// The nodes that decided until a time.
#[derive(Clone, Debug)]
struct FormerDeciders {
    nodes: Arc<[NodeId]>,
    until: Instant,
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

/// A node that has died, or decides no longer because it stops.
#[derive(Clone, Copy, Debug)]
struct GoneNode {
    node: NodeId,
    at: Instant,
    /// What was its own so long before then, it has told.
    heard: Instant,
    told_within: Duration,
}

impl Deciders {
    /// Nobody decides yet.
    pub(super) fn new(me: NodeId) -> Self {
        Deciders { me, nodes: Arc::default(), former: Vec::new(), gone: Vec::new(), departures: 0 }
    }

    /// The same from when on these nodes decide; none if they do already, and none has died.
    pub(super) fn with(&self, mut nodes: Vec<NodeId>, died: Option<DeadNode>, now: Instant) -> Option<Self> {
        nodes.sort_unstable();
        let is_same = nodes == *self.nodes;
        if is_same && died.is_none() {
            return None;
        }
        let has_left = |node: &&NodeId| {
            nodes.binary_search(node).is_err() && died.is_none_or(|dead| dead.node != **node)
        };
        let left = self.nodes.iter().filter(has_left).map(|node| GoneNode {
            node: *node,
            at: now,
            heard: now,
            told_within: TOLD_WITHIN_IN_ORDER,
        });
        let dead = died.map(|DeadNode { node, heard, died }| GoneNode {
            node,
            at: died,
            heard,
            told_within: TOLD_WITHIN,
        });
        let mut next = self.clone();
        next.gone.retain(|gone| now < gone.at + REMEMBERED_FOR);
        for gone in left.chain(dead) {
            next.gone.push(gone);
            next.departures += 1;
        }
        next.gone.drain(..next.gone.len().saturating_sub(MOST_FORMER));
        if !is_same {
            next.nodes = nodes.into();
            if !self.nodes.is_empty() {
                next.former.push(FormerDeciders { nodes: Arc::clone(&self.nodes), until: now });
            }
            next.former.drain(..next.former.len().saturating_sub(MOST_FORMER));
        }
        Some(next)
    }

    /// Whether this node tells the backend of something in a channel for which those who decided so long ago know what to tell:
    /// one of them does, that is still there; where none is, one of those that came first after them.
    pub(crate) fn decides(&self, app_id: &str, channel: &str, ago: Duration, now: Instant) -> bool {
        let key = key(app_id, channel);
        // A node that does not decide yet has not decided before.
        self.nodes.binary_search(&self.me).is_ok()
            && self.views(ago, now).any(|view| self.elected(view, &self.nodes, key) == Some(self.me))
    }

    /// The node that decides for a channel now, as this one sees it.
    pub(crate) fn of(&self, app_id: &str, channel: &str) -> Option<NodeId> {
        decider(self.nodes.iter().copied(), key(app_id, channel))
    }

    /// How many nodes have died, or have stopped deciding.
    pub(crate) fn departures(&self) -> u64 {
        self.departures
    }

    /// Whether this node decides in the place of the one that decided then, and has gone since without telling. Those who
    /// decided so long before then know what there is to tell.
    pub(crate) fn inherits(&self, app_id: &str, channel: &str, ago: Duration, then: Instant) -> bool {
        if self.gone.is_empty() || self.nodes.binary_search(&self.me).is_err() {
            return false;
        }
        let key = key(app_id, channel);
        let there = self.view(*self.views(Duration::ZERO, then).end());
        let is_gone = |node| {
            let mut gone = self.gone.iter().filter(|gone| gone.node == node);
            gone.any(|gone| then < gone.at && gone.heard <= then + gone.told_within)
        };
        self.views(ago, then).any(|view| {
            self.elected(view, there, key).is_some_and(is_gone)
                && self.elected(view, &self.nodes, key) == Some(self.me)
        })
    }

    /// Whether there are others of those that decided so long ago.
    pub(crate) fn has_others(&self, ago: Duration, now: Instant) -> bool {
        let then = self.view(*self.views(ago, now).end());
        then.iter().any(|node| *node != self.me && self.nodes.binary_search(node).is_ok())
    }

    /// The places of the view of so long before then, and of those that had ended shortly before that.
    fn views(&self, ago: Duration, then: Instant) -> RangeInclusive<usize> {
        let first = self.former.partition_point(|former| former.until + BOTH_DECIDE_FOR + ago <= then);
        let last = self.former.partition_point(|former| former.until + ago <= then);
        first..=last
    }

    /// The view at a place: the last one is that of now.
    fn view(&self, place: usize) -> &[NodeId] {
        self.former.get(place).map_or(&self.nodes, |former| &former.nodes)
    }

    /// Who decides of those nodes of a view that are there; if none of them is, of the next view.
    fn elected(&self, view: usize, there: &[NodeId], key: u64) -> Option<NodeId> {
        let is_there = |node: &NodeId| there.binary_search(node).is_ok();
        (view..=self.former.len())
            .find_map(|view| decider(self.view(view).iter().copied().filter(is_there), key))
    }
}

/// The node with the largest weight.
fn decider(nodes: impl Iterator<Item = NodeId>, key: u64) -> Option<NodeId> {
    nodes.max_by_key(|node| (weight(*node, key), *node))
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

    const NOW: Duration = Duration::ZERO;

    fn of_nodes(nodes: &[NodeId], key: u64) -> Option<NodeId> {
        decider(nodes.iter().copied(), key)
    }

    fn nodes(bits: impl IntoIterator<Item = u128>) -> Vec<NodeId> {
        bits.into_iter().map(NodeId::new).collect()
    }

    /// Pinned: nodes of two releases must agree.
    #[test]
    fn the_decider_is_that_of_releases_before() {
        let nodes = nodes([1, 2, 3]);
        let of = |app, channel| of_nodes(&nodes, key(app, channel)).map(NodeId::bits);
        let found = ["news", "presence-a", "private-b", "cache-c"].map(|channel| of("1001", channel));
        assert_eq!(
            (key("1001", "news"), weight(nodes[0], 7)),
            (8_741_423_191_010_101_791, 7_091_162_075_535_606_283)
        );
        assert_eq!((found, of("1002", "news")), ([Some(3), Some(2), Some(1), Some(2)], Some(3)));
        assert_eq!(of_nodes(&[], 7), None);
        let deciders = Deciders::new(nodes[0]).with(nodes.to_vec(), None, Instant::now()).unwrap();
        assert_eq!(deciders.of("1001", "news"), Some(nodes[2]));
    }

    #[test]
    fn each_has_its_share_and_only_that_of_one_that_goes_moves() {
        let all = nodes([10, 11, 12, u128::MAX]);
        let rest = &all[..3];
        let mut shares = [0; 4];
        for n in 0..4000 {
            let key = key("1", &format!("room-{n}"));
            let of_all = of_nodes(&all, key).unwrap();
            shares[all.iter().position(|node| *node == of_all).unwrap()] += 1;
            let of_rest = of_nodes(rest, key).unwrap();
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
        let decides = |deciders: &Deciders, at| {
            channels.iter().filter(|name| deciders.decides("1", name, NOW, at)).count()
        };
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
        assert!(!alone.has_others(NOW, now) && two.has_others(NOW, now));
    }

    #[test]
    fn earlier_views_are_few() {
        let now = Instant::now();
        let mut deciders = Deciders::new(NodeId::new(0));
        for n in 0..1000 {
            deciders = deciders.with(nodes([0, n + 1]), None, now).unwrap();
        }
        assert_eq!((deciders.former.len(), deciders.gone.len()), (MOST_FORMER, MOST_FORMER));
    }

    #[test]
    fn what_was_left_to_a_node_that_has_died_is_told_by_whoever_decides_now() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let all = nodes([1, 2, 3]);
        let channel = |of: NodeId, nodes: &[NodeId]| {
            let mut names = (0..).map(|n| format!("room-{n}"));
            names.find(|name| of_nodes(nodes, key("1", name)) == Some(of)).unwrap()
        };
        let name = channel(all[2], &all);
        let heir = of_nodes(&all[..2], key("1", &name)).unwrap();
        let other = all.iter().copied().find(|node| *node != heir && *node != all[2]).unwrap();
        let of = |me| Deciders::new(me).with(all.clone(), None, at(0)).unwrap();
        let dead = |node, heard, died| Some(DeadNode { node, heard: at(heard), died: at(died) });
        let died = |me| of(me).with(all[..2].to_vec(), dead(all[2], 14, 20), at(20)).unwrap();
        assert!(!of(heir).inherits("1", &name, NOW, at(15)));
        assert!(
            died(heir).inherits("1", &name, NOW, at(15)) && !died(other).inherits("1", &name, NOW, at(15))
        );
        assert!(!died(heir).inherits("1", &name, NOW, at(20)), "it was dead by then");
        assert!(!died(heir).inherits("1", &name, NOW, at(8)), "it has told that");
        let of_heir = channel(heir, &all);
        assert!(!died(heir).inherits("1", &of_heir, NOW, at(15)), "it was this node's own");
        // It has said goodbye, and has told what was its own.
        let left = of(heir).with(all[..2].to_vec(), None, at(20)).unwrap();
        assert!(!left.inherits("1", &name, NOW, at(15)));
        // The one that would tell it dies as well.
        let last = died(other).with(vec![other], dead(heir, 18, 24), at(24)).unwrap();
        assert!(last.inherits("1", &name, NOW, at(15)) && last.inherits("1", &name, NOW, at(22)));
        assert_eq!((of(heir).departures(), last.departures()), (0, 2));
        // One that had not settled decided nothing.
        assert_eq!(last.with(vec![other], dead(NodeId::new(9), 19, 25), at(25)).unwrap().departures(), 3);
    }

    /// The nodes of these that tell something of so long ago, each by its own history.
    fn tellers(of: &[&Deciders], channel: &str, ago: u64, now: Instant) -> Vec<u128> {
        let ago = Duration::from_secs(ago);
        let told = of.iter().filter(|deciders| deciders.decides("1", channel, ago, now));
        told.map(|deciders| deciders.me.bits()).collect()
    }

    #[test]
    fn what_was_before_a_node_came_is_told_by_those_who_were_there() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for n in 0..50 {
            let channel = format!("room-{n}");
            let of = |me: u128| Deciders::new(NodeId::new(me)).with(nodes([1, 2]), None, at(0)).unwrap();
            // The third one comes, then the first one goes.
            let [a, b, c] = [1, 2, 3].map(|me| of(me).with(nodes([1, 2, 3]), None, at(20)).unwrap());
            let of_three = tellers(&[&a, &b, &c], &channel, 0, at(35));
            let of_two = tellers(&[&a, &b, &c], &channel, 35, at(35));
            assert_eq!((of_three.len(), of_two.len()), (1, 1), "{channel}");
            assert!(of_two != [3] && (of_three == of_two || of_three == [3]));
            let [b, c] = [b, c].map(|deciders| deciders.with(nodes([2, 3]), None, at(40)).unwrap());
            assert_eq!(tellers(&[&b, &c], &channel, 60, at(60)), [2], "the one that is left");
            assert_eq!(tellers(&[&b, &c], &channel, 60, at(95)).len(), 1);
            assert!(
                b.has_others(Duration::from_secs(35), at(60))
                    && !b.has_others(Duration::from_secs(60), at(60))
            );
            // It goes as well: whoever came next tells, although it did not hear of it.
            let c = c.with(nodes([3, 4]), None, at(62)).unwrap();
            let d = Deciders::new(NodeId::new(4)).with(nodes([3]), None, at(61)).unwrap();
            let d = d.with(nodes([3, 4]), None, at(62)).unwrap();
            assert_eq!(tellers(&[&c, &d], &channel, 60, at(75)), [3]);
        }
    }

    #[test]
    fn what_a_node_that_stops_may_not_have_told_is_told_in_its_place() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let (mut inherited, ago) = (0, Duration::from_secs(3));
        for channel in (0..50).map(|n| format!("room-{n}")) {
            let of = |me: u128| {
                let all = Deciders::new(NodeId::new(me)).with(nodes([1, 2, 3]), None, at(0)).unwrap();
                all.with(nodes([1, 2]), None, at(60_000)).unwrap()
            };
            let [a, b] = [1, 2].map(of);
            let inherits = |then| [&a, &b].map(|node| node.inherits("1", &channel, ago, at(then)));
            let was_its_own = of_nodes(&nodes([1, 2, 3]), key("1", &channel)) == Some(NodeId::new(3));
            let told = inherits(59_500).iter().filter(|is_told| **is_told).count();
            assert_eq!(told, usize::from(was_its_own), "{channel}");
            assert_eq!((inherits(58_500), inherits(60_500)), ([false; 2], [false; 2]));
            inherited += told;
        }
        assert!(inherited > 5, "{inherited}");
    }
}
