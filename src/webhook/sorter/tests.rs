use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::app::App;
use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
use crate::config::ConnectionConfig;
use crate::hub::{Bus, FakeBus, Hub};
use crate::protocol::{ChannelName, SocketId};
use crate::webhook::WebhookEvent;
use crate::webhook::event_id::event_id;

const DELAY: Duration = Duration::from_secs(3);

/// One of two nodes, as far as its webhooks go.
struct Node {
    _hub: Arc<Hub>,
    bus: Arc<FakeBus>,
    decision: Decision,
    sorter: Sorter,
    told: Vec<IdentifiedEvent>,
    left: Vec<IdentifiedEvent>,
}

impl Node {
    fn new(decides: bool) -> Self {
        let bus = Arc::new(FakeBus::default());
        bus.decide(decides);
        let hub =
            Hub::new(vec![(App::new("1", "k", "s"), Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
        hub.set_bus(Arc::clone(&bus) as Arc<dyn Bus>);
        let decision = Decision::new(DELAY);
        decision.learn(&hub);
        let sorter = Sorter::new("1".to_owned(), Suppressor::new(DELAY, 100), decision.clone(), 100);
        Node { _hub: hub, bus, decision, sorter, told: Vec::new(), left: Vec::new() }
    }

    fn decide(&self, decides: bool) {
        self.bus.decide(decides);
    }

    fn hears(&mut self, identified: &IdentifiedEvent, now: Instant) {
        let is_ours = self.decision.is_ours("1", identified, Duration::ZERO);
        let mut sorted = Vec::new();
        self.sorter.add(identified.clone(), is_ours, now, |one| sorted.push(one));
        self.take(sorted);
    }

    fn pass(&mut self, now: Instant) {
        let mut sorted = Vec::new();
        self.sorter.due(now, |one| sorted.push(one));
        self.take(sorted);
    }

    fn stop(&mut self, now: Instant) {
        let mut sorted = Vec::new();
        self.sorter.stop(now, |one| sorted.push(one));
        self.take(sorted);
    }

    fn end(&mut self, now: Instant) {
        let mut sorted = Vec::new();
        self.sorter.flush(now, |one| sorted.push(one));
        self.take(sorted);
    }

    fn take(&mut self, sorted: Vec<Sorted>) {
        for one in sorted {
            match one {
                Sorted::Told(identified) => self.told.push(identified),
                Sorted::Left(identified) => self.left.push(identified),
            }
        }
    }

    fn ids(&self) -> Vec<String> {
        self.told.iter().map(|IdentifiedEvent { event, origin }| event_id("1", event, *origin)).collect()
    }
}

fn identified(event: WebhookEvent, version: u64) -> IdentifiedEvent {
    let origin = ChangeOrigin { node: NodeId::new(7), version: ChannelVersion::new(version) };
    IdentifiedEvent { event, origin }
}

fn room() -> ChannelName {
    ChannelName::parse("presence-a", 164).unwrap()
}

fn added(version: u64) -> IdentifiedEvent {
    identified(WebhookEvent::MemberAdded(room(), "ann".into()), version)
}

fn removed(version: u64) -> IdentifiedEvent {
    identified(WebhookEvent::MemberRemoved(room(), "ann".into()), version)
}

#[test]
fn one_of_two_tells_what_both_hear() {
    let now = Instant::now();
    let (mut a, mut b) = (Node::new(true), Node::new(false));
    for node in [&mut a, &mut b] {
        node.hears(&added(1), now);
        node.hears(&removed(2), now);
        node.pass(now + DELAY);
    }
    assert_eq!((&a.told, &a.left), (&vec![added(1), removed(2)], &vec![]));
    assert_eq!((&b.told, &b.left), (&vec![], &vec![added(1), removed(2)]));
}

#[test]
fn a_removal_that_is_held_back_is_told_by_whoever_decides_in_the_end() {
    let now = Instant::now();
    let (mut a, mut b) = (Node::new(true), Node::new(false));
    a.hears(&removed(2), now);
    b.hears(&removed(2), now);
    // The node that would have told it is gone.
    drop(a);
    b.decide(true);
    b.pass(now + DELAY);
    assert_eq!(b.told, [removed(2)]);
}

#[test]
fn while_both_decide_both_tell_and_the_ids_are_equal() {
    let now = Instant::now();
    let (mut a, mut b) = (Node::new(true), Node::new(true));
    for node in [&mut a, &mut b] {
        node.hears(&added(1), now);
        node.hears(&removed(2), now);
        node.pass(now + DELAY);
    }
    assert_eq!(a.ids(), b.ids());
    assert_eq!(a.ids().into_iter().collect::<HashSet<_>>().len(), 2);
}

#[test]
fn a_node_that_stops_leaves_to_the_others_what_it_holds_back() {
    let now = Instant::now();
    let mut a = Node::new(true);
    a.hears(&removed(2), now);
    a.stop(now);
    // As long as it is there, the others leave to it what is its own.
    a.pass(now + DELAY);
    assert_eq!(a.told, [removed(2)]);
    a.hears(&removed(3), now + DELAY);
    a.hears(&added(4), now + DELAY);
    a.hears(&removed(5), now + DELAY);
    a.end(now + DELAY);
    assert_eq!((&a.told, &a.left), (&vec![removed(2)], &vec![removed(5)]));

    let mut last = Node::new(true);
    last.bus.be_alone();
    last.hears(&removed(2), now);
    last.stop(now);
    assert_eq!(last.told, [removed(2)], "there is nobody else");
}

#[test]
fn what_was_to_be_told_here_is_although_another_one_decides_by_then() {
    let now = Instant::now();
    let mut a = Node::new(true);
    a.hears(&removed(2), now);
    // It was not there when she left.
    a.decide(false);
    a.pass(now + DELAY);
    assert_eq!(a.told, [removed(2)]);
}

#[test]
fn what_is_nearly_due_at_the_end_is_left_to_the_others_who_tell_it() {
    let now = Instant::now();
    let at_the_end = now + DELAY - Duration::from_millis(5);
    let (mut a, mut b, mut c) = (Node::new(true), Node::new(false), Node::new(false));
    [&mut a, &mut b, &mut c].into_iter().for_each(|node| node.hears(&removed(2), now));
    a.stop(now);
    a.end(at_the_end);
    assert_eq!((&a.told, &a.left), (&vec![], &vec![removed(2)]), "she may return to another one in time");
    // One whose clock is ahead takes it for told; the other one has heard that it has gone.
    b.pass(at_the_end + DELAY);
    assert_eq!(b.left, [removed(2)]);
    [&b, &c].into_iter().for_each(|node| node.bus.decider_dies(true, at_the_end + DELAY));
    b.pass(at_the_end + DELAY);
    c.pass(at_the_end + DELAY);
    assert_eq!((b.told, c.told), (vec![removed(2)], vec![removed(2)]));
}

#[test]
fn a_node_that_has_come_since_is_left_nothing_and_tells_nothing_of_before() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    // It decides, and does not know who has just left.
    let mut new = Node::new(true);
    new.bus.come(DELAY);
    new.hears(&added(1), now);
    assert_eq!((&new.told, &new.left), (&vec![], &vec![added(1)]), "those tell who know");
    new.bus.come(DELAY + second * 2);
    new.hears(&added(2), now);
    assert_eq!(new.told, [added(2)]);
    // What happens from now on it knows as the others do.
    let mut new = Node::new(true);
    new.bus.come(Duration::from_millis(1));
    new.hears(&removed(3), now);
    new.pass(now + DELAY);
    assert_eq!(new.told, [removed(3)]);

    // One that stops leaves to it what it has heard, too, and tells the rest: nobody else knows.
    let mut old = Node::new(true);
    old.hears(&removed(4), now);
    let other = ChannelName::parse("presence-b", 164).unwrap();
    let later = identified(WebhookEvent::MemberRemoved(other, "ann".into()), 5);
    old.hears(&later, now + second);
    old.bus.others_come(second * 2);
    old.stop(now + second * 2);
    old.end(now + second * 2);
    assert_eq!((&old.told, &old.left), (&vec![removed(4)], &vec![later]));
}

#[test]
fn while_the_bus_is_away_a_node_tells_what_happens_on_it() {
    let now = Instant::now();
    let mut a = Node::new(false);
    a.bus.leave(added(1).origin.node);
    let mut elsewhere = added(1);
    elsewhere.origin.node = NodeId::new(8);
    a.hears(&elsewhere, now);
    a.hears(&added(2), now);
    a.hears(&removed(3), now);
    a.pass(now + DELAY);
    assert_eq!((&a.told, &a.left), (&vec![added(2), removed(3)], &vec![elsewhere]));
}

#[test]
fn what_was_left_to_a_node_that_has_died_is_told_in_its_order() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut b = Node::new(false);
    b.hears(&added(1), at(0));
    b.hears(&removed(2), at(1));
    b.pass(at(4));
    assert!(b.told.is_empty() && b.sorter.has_left());
    b.bus.decider_dies(true, at(6));
    // What was decided before it died, and is sorted afterwards.
    let mut sorted = Vec::new();
    b.sorter.add(added(3), false, at(5), |one| sorted.push(one));
    b.take(sorted);
    b.hears(&removed(4), at(7));
    b.pass(at(10));
    b.pass(at(11));
    assert_eq!(b.told, [added(1), removed(2), added(3), removed(4)]);
    assert!(!b.sorter.has_left());
}

#[test]
fn what_was_left_is_told_if_the_next_one_dies_as_well_and_not_long_afterwards() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut c = Node::new(false);
    c.hears(&added(1), at(0));
    c.hears(&added(2), at(3));
    c.bus.decider_dies(false, at(6));
    c.pass(at(6));
    assert_eq!(c.told, [], "another one has told it");
    c.bus.decider_dies(true, at(32));
    c.pass(at(32));
    assert_eq!(c.told, [added(2)], "the first one is too old");
    c.decide(false);
    c.hears(&added(3), at(33));
    c.pass(at(64));
    assert!(!c.sorter.has_left());
    let mut few = LeftEvents::new(2);
    (1..5).for_each(|version| few.keep(added(version), Duration::ZERO, at(0)));
    assert_eq!(few.take(|_, _, _| true), [added(3), added(4)]);
}

#[test]
fn what_a_client_sends_is_told_where_it_was_accepted() {
    use crate::webhook::event::WebhookClientEvent;

    let event = WebhookClientEvent {
        channel: room(),
        event: "client-e".into(),
        data: "\"\"".into(),
        socket_id: SocketId::new(1, 1),
        user_id: None,
    };
    let mut node = Node::new(false);
    let sent = identified(WebhookEvent::ClientEvent(Box::new(event)), 1);
    node.hears(&sent, Instant::now());
    assert_eq!(node.told, [sent]);
}

/// So much later, somebody comes or goes; or another one decides, both for a while.
#[derive(Clone, Debug)]
enum Step {
    Changes(u64),
    Decider(bool),
}

proptest! {
    /// Whoever decides, and however that changes: all that one node would have told alone is told by one of two or by
    /// both, and nothing else is. By the ids it is told once.
    #[test]
    fn nothing_is_lost_or_told_besides_while_somebody_decides(
        steps in vec(prop_oneof![
            4 => (0_u64..5000).prop_map(Step::Changes),
            1 => any::<bool>().prop_map(Step::Decider),
        ], 0..60),
    ) {
        let (mut a, mut b, mut alone) = (Node::new(true), Node::new(false), Node::new(true));
        let (mut now, mut version, mut is_there) = (Instant::now(), 0, false);
        // Old and new decide until then.
        let mut both_until = now;
        let mut is_a = true;
        for step in steps {
            match step {
                Step::Changes(after) => {
                    now += Duration::from_millis(after);
                    let both = now < both_until;
                    a.decide(is_a || both);
                    b.decide(!is_a || both);
                    version += 1;
                    is_there = !is_there;
                    let event = if is_there { added(version) } else { removed(version) };
                    [&mut a, &mut b, &mut alone].into_iter().for_each(|node| node.hears(&event, now));
                }
                Step::Decider(of_a) => {
                    if of_a != is_a {
                        both_until = now + Duration::from_secs(10);
                    }
                    is_a = of_a;
                }
            }
        }
        [&mut a, &mut b, &mut alone].into_iter().for_each(|node| node.pass(now + DELAY));
        let told: HashSet<String> = a.ids().into_iter().chain(b.ids()).collect();
        prop_assert_eq!(told, alone.ids().into_iter().collect::<HashSet<_>>());
        prop_assert_eq!(a.ids().len() + a.left.len(), alone.told.len());
    }
}

#[test]
fn what_is_handed_over_to_another_process_is_told_by_that_alone() {
    let now = Instant::now();
    let (mut before, mut after) = (Node::new(true), Node::new(false));
    let version = ChannelVersion::new(1);
    let origin = ChangeOrigin { node: NodeId::new(1), version };
    let channel = ChannelName::parse("presence-a", 164).unwrap();
    let gone = |user: &str| IdentifiedEvent {
        event: WebhookEvent::MemberRemoved(channel.clone(), user.into()),
        origin,
    };
    before.hears(&gone("ann"), now);
    assert_eq!(before.sorter.removals(now + DELAY / 3).len(), 1);
    let held = &before.sorter.removals(now + DELAY / 3)[0];
    assert_eq!((held.user_id.as_deref(), held.ago, held.origin), (Some("ann"), DELAY / 3, origin));
    after.hears(&gone("ann"), now);
    before.decide(false);
    before.bus.hand_over();
    after.decide(true);
    before.hears(&gone("bob"), now);
    after.hears(&gone("bob"), now);
    before.stop(now);
    assert!(before.told.is_empty());
    // One is due while it is still there, one has not come so far when it ends.
    before.pass(now + DELAY);
    before.hears(&gone("cy"), now + DELAY);
    before.end(now + DELAY);
    assert_eq!((before.told.len(), before.left.len()), (0, 3));
    after.pass(now + DELAY);
    assert_eq!(after.told, [gone("ann"), gone("bob")]);
}
