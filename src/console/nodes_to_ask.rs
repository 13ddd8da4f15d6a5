//! Which other nodes are still to be asked what an operator has changed there.
//!
//! Pure. One is asked that this node has not seen before, or that has come back; all are when the bus has been away; and one is that
//! may have missed something, or says that it has something to tell.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::status::PeerStatus;

/// How often a node is asked that does not answer.
const MOST_TRIES: u8 = 3;

/// How far the asking of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeAsking {
    /// It is to be asked; so often that was in vain.
    Due(u8),
    UnderWay(u8),
    /// It has answered, or has not so often.
    Over,
}

/// A node that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeToAsk {
    name: String,
    asking: NodeAsking,
    /// It may have missed what this node could tell.
    may_have_missed: bool,
    /// It is asked in a way that it learns of that.
    is_told_so: bool,
}

/// The nodes that are there, by their ids.
#[derive(Debug, Default)]
pub(super) struct NodesToAsk(BTreeMap<String, NodeToAsk>);

/// The nodes that are asked now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AskedNow {
    pub(super) ids: Vec<String>,
    /// One of them may have missed what this node could tell.
    pub(super) may_have_missed: bool,
}

impl NodesToAsk {
    /// Takes who is there, as far as this node knows, which has settled or has not; and whether the bus between them is away.
    pub(super) fn look(&mut self, peers: &[PeerStatus], is_settled: bool, is_away: bool) {
        if is_away {
            // Who could not be asked meanwhile may have missed something, as may this node.
            self.0.clear();
            return;
        }
        // Who has told this node what it has knows it, and answers it.
        for peer in peers.iter().filter(|peer| peer.is_complete || is_settled) {
            let name = || peer.name.to_string();
            let new = || NodeToAsk {
                name: name(),
                asking: NodeAsking::Due(0),
                may_have_missed: true,
                is_told_so: false,
            };
            self.0.entry(peer.id.to_string()).or_insert_with(new);
        }
        let there: BTreeSet<String> = peers.iter().map(|peer| peer.id.to_string()).collect();
        self.0.retain(|id, _| there.contains(id));
    }

    /// One may have missed something that it was told.
    pub(super) fn may_have_missed(&mut self, id: &str) {
        self.ask_anew(id, true);
    }

    /// One says that it has something to tell.
    pub(super) fn has_something_to_tell(&mut self, id: &str) {
        self.ask_anew(id, false);
    }

    fn ask_anew(&mut self, id: &str, may_have_missed: bool) {
        // One that is not known to be there is asked when it is.
        if let Some(node) = self.0.get_mut(id) {
            node.asking = NodeAsking::Due(0);
            node.may_have_missed |= may_have_missed;
        }
    }

    /// Begins to ask those that are to be asked; none if there are none.
    pub(super) fn begin(&mut self) -> Option<AskedNow> {
        let mut now = AskedNow { ids: Vec::new(), may_have_missed: false };
        for (id, node) in &mut self.0 {
            if let NodeAsking::Due(tries) = node.asking {
                node.asking = NodeAsking::UnderWay(tries);
                node.is_told_so = std::mem::take(&mut node.may_have_missed);
                now.may_have_missed |= node.is_told_so;
                now.ids.push(id.clone());
            }
        }
        Some(now).filter(|now| !now.ids.is_empty())
    }

    /// Of those that were asked, these have answered. The names of those that are not asked again though they have not.
    pub(super) fn end(&mut self, answered: &BTreeSet<String>) -> Vec<String> {
        let mut given_up = Vec::new();
        for (id, node) in &mut self.0 {
            let is_answered = answered.contains(id);
            // Also of one that is to be asked anew: what it was told it need not be told again, or two would ask each other for ever.
            node.may_have_missed |= std::mem::take(&mut node.is_told_so) && !is_answered;
            let NodeAsking::UnderWay(tries) = node.asking else { continue };
            let is_last = tries + 1 >= MOST_TRIES;
            node.asking = if is_answered || is_last { NodeAsking::Over } else { NodeAsking::Due(tries + 1) };
            if !is_answered && is_last {
                given_up.push(node.name.clone());
            }
        }
        given_up
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::NodeId;
    use crate::cluster::status::ReplicaSize;

    fn peer(id: u128, is_complete: bool) -> PeerStatus {
        PeerStatus {
            id: NodeId::new(id),
            name: format!("n{id}").into(),
            address: None,
            release: "1".into(),
            silent_for: Duration::ZERO,
            is_complete,
            size: ReplicaSize::default(),
            is_namesake: false,
            differing: Vec::new(),
        }
    }

    fn id(id: u128) -> String {
        NodeId::new(id).to_string()
    }

    fn answered(ids: &[u128]) -> BTreeSet<String> {
        ids.iter().map(|of| id(*of)).collect()
    }

    /// Begins to ask, and tells whom.
    fn asked(nodes: &mut NodesToAsk) -> Vec<String> {
        nodes.begin().map_or_else(Vec::new, |now| now.ids)
    }

    #[test]
    fn a_node_is_asked_until_it_has_answered_or_has_not_so_often() {
        let mut nodes = NodesToAsk::default();
        nodes.look(&[peer(1, false)], false, false);
        assert_eq!(nodes.begin(), None, "it may not know this one");
        let there = [peer(1, true), peer(2, true)];
        nodes.look(&there, false, false);
        assert_eq!(asked(&mut nodes), [id(1), id(2)]);
        assert!(nodes.end(&answered(&[1, 3])).is_empty());
        assert_eq!(asked(&mut nodes), [id(2)]);
        assert!(nodes.end(&answered(&[])).is_empty());
        assert_eq!(asked(&mut nodes), [id(2)]);
        assert_eq!(nodes.end(&answered(&[])), ["n2"]);
        nodes.look(&there, true, false);
        assert_eq!(nodes.begin(), None);
    }

    #[test]
    fn who_has_come_back_is_asked_again_and_all_are_when_the_bus_has_been_away() {
        let (mut nodes, there) = (NodesToAsk::default(), [peer(1, true), peer(2, true)]);
        nodes.look(&there, true, false);
        asked(&mut nodes);
        nodes.end(&answered(&[1, 2]));
        nodes.look(&there[1..], true, false);
        assert_eq!(nodes.begin(), None);
        nodes.look(&there, true, false);
        assert_eq!(asked(&mut nodes), [id(1)]);
        // It goes away while they are asked.
        nodes.look(&there, true, true);
        assert_eq!(nodes.begin(), None);
        nodes.end(&answered(&[1]));
        nodes.look(&there, true, false);
        assert_eq!(asked(&mut nodes), [id(1), id(2)]);
    }

    #[test]
    fn who_may_have_missed_something_or_has_something_to_tell_is_asked_again() {
        let (mut nodes, there) = (NodesToAsk::default(), [peer(1, true), peer(2, true)]);
        nodes.look(&there, true, false);
        assert!(nodes.begin().is_some_and(|now| now.may_have_missed));
        // It says so while it is asked: what it has answered may be of before.
        nodes.has_something_to_tell(&id(2));
        nodes.end(&answered(&[1, 2]));
        assert_eq!(nodes.begin(), Some(AskedNow { ids: vec![id(2)], may_have_missed: false }));
        nodes.end(&answered(&[2]));
        nodes.has_something_to_tell(&id(2));
        nodes.has_something_to_tell(&id(3));
        assert_eq!(nodes.begin(), Some(AskedNow { ids: vec![id(2)], may_have_missed: false }));
        nodes.end(&answered(&[2]));
        nodes.may_have_missed(&id(1));
        let once_more = || Some(AskedNow { ids: vec![id(1)], may_have_missed: true });
        assert_eq!(nodes.begin(), once_more());
        nodes.end(&answered(&[]));
        assert_eq!(nodes.begin(), once_more(), "it has not heard of it");
        nodes.has_something_to_tell(&id(1));
        nodes.end(&answered(&[]));
        assert_eq!(nodes.begin(), once_more(), "nor when it is asked anew");
        nodes.may_have_missed(&id(1));
        nodes.end(&answered(&[1]));
        assert_eq!(nodes.begin(), once_more(), "that may be of after what it was told");
        nodes.end(&answered(&[1]));
        assert_eq!(nodes.begin(), None);
    }

    /// Two are asked by each other at the same moment, again and again, each before it has its own answer.
    #[test]
    fn two_that_ask_in_step_come_to_an_end() {
        let mut both = [NodesToAsk::default(), NodesToAsk::default()];
        both[0].look(&[peer(1, true)], true, false);
        both[1].look(&[peer(0, true)], true, false);
        let mut rounds = 0;
        loop {
            let asked = both.each_mut().map(NodesToAsk::begin);
            if asked == [None, None] {
                break;
            }
            rounds += 1;
            assert!(rounds < 5, "{both:?}");
            for (who, asked) in asked.iter().enumerate() {
                if asked.as_ref().is_some_and(|asked| asked.may_have_missed) {
                    both[1 - who].has_something_to_tell(&id(who as u128));
                }
            }
            both[0].end(&answered(&[1]));
            both[1].end(&answered(&[0]));
        }
        assert_eq!(rounds, 2, "at first, and because the other one has something to tell");
    }
}
