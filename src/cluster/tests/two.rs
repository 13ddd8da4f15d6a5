//! The two processes of an upgrade: one that serves is succeeded by another.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream as StdStream;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::*;
use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
use crate::cluster::{after, before};
use crate::event::{PublishFingerprint, PublishId};
use crate::hub::{EarlierPublish, HandedOver, HeldRemoval, Listener, Notice};

/// Has one node succeeded by another, which knows then what it has.
pub(super) fn succeed(first: &mut TestNode, second: &mut TestNode) {
    let (one, other) = StdStream::pair().unwrap();
    first.running = Some(block_on(before(&first.hub, ClusterConfig::default(), one)).unwrap());
    second.running = Some(block_on(after(&second.hub, ClusterConfig::default(), other)).unwrap());
    until("it knows what the other has", || second.knows(1));
}

/// What a process does when the other one has gone.
pub(super) fn part(node: &mut TestNode) -> JoinHandle<()> {
    let (running, hub) = (node.running.take().unwrap(), Arc::clone(&node.hub));
    thread::spawn(move || {
        block_on(async {
            running.until_alone().await;
            hub.take_bus_away();
            running.stop().await;
        });
    })
}

/// It ends in order, and the other one goes on alone.
pub(super) fn end(mut first: TestNode, second: &mut TestNode) {
    first.hub.begin_leaving();
    first.running.as_ref().unwrap().begin_leaving();
    let parted = part(second);
    first.stop();
    parted.join().unwrap();
    assert!(second.hub.bus().is_none());
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn payload(node: &TestNode, name: &str) -> Option<String> {
    node.app.cached(&channel(name)).map(|(payload, _)| payload)
}

#[test]
fn what_is_true_of_one_that_serves_holds_for_both_and_what_either_accepts_crosses() {
    let (mut first, mut second) = (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    let ann = first.joined("presence-a", Some("ann"));
    let reader = first.joined("news", None);
    first.publish("cache-a", "kept", None);
    succeed(&mut first, &mut second);
    let bob = second.joined("presence-a", Some("bob"));
    assert_eq!(bob.roster(), set(&["ann", "bob"]));
    until("ann hears of bob", || ann.roster() == set(&["ann", "bob"]));
    assert_eq!(second.app.subscription_count(&channel("news")), 1);

    let late = second.joined("news", None);
    until("both count", || first.app.subscription_count(&channel("news")) == 2);
    for (node, text) in [(&first, "1"), (&second, "2"), (&first, "3"), (&second, "4")] {
        node.publish_and_wait("news", text);
    }
    for client in [&reader, &late] {
        until("all events", || client.events().len() == 4);
        assert_eq!(client.events(), ["1", "2", "3", "4"]);
    }
    let cached = second.joined("cache-a", None);
    until("the event that was kept", || cached.events() == ["kept"]);
    second.publish_and_wait("cache-a", "newer");
    until("what is newer", || cached.events() == ["kept", "newer"]);
    until("both remember it", || {
        [&first, &second].map(|node| payload(node, "cache-a")) == [Some("newer".into()), Some("newer".into())]
    });

    // The first one has given ids without a tag.
    assert!(second.hub.close_socket_everywhere(&second.app, reader.socket));
    assert!(first.hub.close_socket_everywhere(&first.app, late.socket));
    until("the one is to end", || reader.is_to_end());
    until("the other, too", || late.is_to_end());
    ann.disconnect("presence-a");
    until("ann has left", || bob.members() == ["-ann"]);
    end(first, &mut second);
}

#[test]
fn processes_take_turns_and_nothing_is_left_of_those_that_went() {
    let mut now = TestNode::alone(Vec::new());
    now.publish("cache-a", "0", None);
    let _member = now.joined("presence-a", Some("user-0"));
    for round in 1..=4 {
        let mut next = TestNode::alone(Vec::new());
        succeed(&mut now, &mut next);
        let user = format!("user-{round}");
        let member = next.joined("presence-a", Some(&user));
        assert_eq!(member.roster(), set(&[&format!("user-{}", round - 1), &user]));
        let reader = next.joined("cache-a", None);
        until("what is kept", || reader.events() == [format!("{}", round - 1)]);
        now.publish_and_wait("cache-a", "crosses");
        until("what crosses", || reader.events().len() == 2);
        let counted = now.joined("news", None);
        until("it is counted", || next.app.subscription_count(&channel("news")) == 1);
        drop(counted);
        next.publish_and_wait("cache-a", &format!("{round}"));
        until("what is kept by both", || payload(&now, "cache-a") == Some(format!("{round}")));
        end(now, &mut next);
        let members = next.app.user_ids(&channel("presence-a"));
        assert_eq!((members, next.app.subscription_count(&channel("news"))), (vec![user], 0));
        until("the last one has left", || member.members() == [format!("-user-{}", round - 1)]);
        now = next;
    }
}

#[test]
fn of_two_one_tells_what_there_is_to_tell() {
    let (mut first, mut second) = (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    succeed(&mut first, &mut second);
    let decides = |node: &TestNode| {
        let bus = node.hub.bus().unwrap();
        [&first, &second].map(|by| bus.decides("1", &channel("a"), by.hub.node_id(), Duration::ZERO))
    };
    until("the first one hears of the other", || first.knows(1));
    assert_eq!((decides(&first), decides(&second)), ([true, true], [false, false]));
    first.hub.begin_leaving();
    first.running.as_ref().unwrap().begin_leaving();
    until("the second one tells", || decides(&second) == [true, true] && decides(&first) == [false, false]);
    let bus = first.hub.bus().unwrap();
    assert!(
        bus.has_handed_over()
            && bus.has_peers(Duration::ZERO)
            && !second.hub.bus().unwrap().has_handed_over()
    );
}

#[test]
fn one_that_is_not_a_node_is_not_waited_for() {
    let second = TestNode::alone(Vec::new());
    let (one, other) = StdStream::pair().unwrap();
    drop(one);
    assert!(block_on(after(&second.hub, ClusterConfig::default(), other)).is_err());
    assert!(second.hub.bus().is_none());
}

#[test]
fn one_that_is_killed_takes_its_members_along() {
    let (mut first, mut second) = (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    let _ann = first.joined("presence-a", Some("ann"));
    succeed(&mut first, &mut second);
    let bob = second.joined("presence-a", Some("bob"));
    let parted = part(&mut second);
    first.running = None;
    parted.join().unwrap();
    until("ann has left", || bob.members() == ["-ann"]);
    second.publish("presence-a", "alone", None);
    until("it goes on", || bob.events() == ["alone"]);
    assert_eq!(second.app.subscription_count(&channel("presence-a")), 1);
}

#[test]
fn one_whose_successor_fails_goes_on_and_can_be_succeeded_by_another() {
    let mut first = TestNode::alone(Vec::new());
    let reader = first.joined("cache-a", None);
    for round in 0..3 {
        let mut second = TestNode::alone(Vec::new());
        succeed(&mut first, &mut second);
        let passing = second.joined("cache-a", None);
        first.publish_and_wait("cache-a", &format!("both {round}"));
        until("both hear it", || passing.events().last() == Some(&format!("both {round}")));
        let parted = part(&mut first);
        second.running = None;
        parted.join().unwrap();
        assert!(first.hub.bus().is_none());
        assert_eq!(first.app.subscription_count(&channel("cache-a")), 1);
        first.publish_and_wait("cache-a", &format!("alone {round}"));
        until("it goes on", || reader.events().len() == 2 * (round + 1));
    }
}

#[test]
fn snapshots_and_memories_larger_than_an_inbox_come_whole() {
    let (mut first, mut second) = (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    const MANY: usize = 3000;
    for n in 0..MANY {
        first.publish(&format!("cache-{n}"), &"x".repeat(1000), None);
    }
    let _readers: Vec<_> = (0..50).map(|n| first.joined(&format!("presence-{n}"), Some("ann"))).collect();
    let small = || ClusterConfig { inbox_words: 64, inbox_bytes: 128 * 1024, ..ClusterConfig::default() };
    let (one, other) = StdStream::pair().unwrap();
    first.running = Some(block_on(before(&first.hub, small(), one)).unwrap());
    second.running = Some(block_on(after(&second.hub, small(), other)).unwrap());
    until("it knows what the other has", || second.knows(1));
    let missing = (0..MANY).filter(|n| payload(&second, &format!("cache-{n}")).is_none()).count();
    assert_eq!(missing, 0);
    assert!((0..50).all(|n| second.app.subscription_count(&channel(&format!("presence-{n}"))) == 1));
}

/// Holds one removal back, and takes others.
#[derive(Default)]
struct Holder {
    held: Vec<HeldRemoval>,
    taken: Mutex<Vec<HeldRemoval>>,
}

impl Listener for Holder {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, _: &Notice<'_>) {}

    fn held_removals(&self) -> Option<oneshot::Receiver<Vec<HeldRemoval>>> {
        let (tell, told) = oneshot::channel();
        tell.send(self.held.clone()).unwrap();
        Some(told)
    }

    fn take_held(&self, _: &AppState, removal: &HeldRemoval) {
        self.taken.lock().push(removal.clone());
    }
}

#[test]
fn what_is_held_back_is_handed_over() {
    let removal = |user: Option<&str>| HeldRemoval {
        channel: channel("presence-a"),
        user_id: user.map(Arc::from),
        origin: ChangeOrigin { node: NodeId::new(7), version: ChannelVersion::new(9) },
        ago: Duration::from_millis(1234),
    };
    let held = vec![removal(Some("ann")), removal(None)];
    let holds = Arc::new(Holder { held: held.clone(), ..Holder::default() });
    let takes = Arc::<Holder>::default();
    let mut first = TestNode::alone(vec![holds]);
    let mut second = TestNode::alone(vec![Arc::clone(&takes) as Arc<dyn Listener>]);
    let _ann = first.joined("presence-a", Some("zoe"));
    succeed(&mut first, &mut second);
    assert_eq!(*takes.taken.lock(), held);
}

/// What is known of an id on a node; `None` if something may be published under it.
fn known(node: &TestNode, id: &str) -> Option<EarlierPublish> {
    let claimed = node.app.claim_publish(&PublishId::parse(id).unwrap(), PublishFingerprint::of([&b"x"[..]]));
    claimed.err()
}

/// Whether it is known that something was published under an id. Who asked by a claim might be in the way.
fn remembers(node: &TestNode, id: &str) -> bool {
    let wanted = PublishId::parse(id).unwrap().digest();
    let mut all = node.hub.to_hand_over(&node.app);
    all.any(|handed| matches!(handed, HandedOver::Published { id, .. } if id == wanted))
}

/// Publishes under an id that is free on the node.
fn publish_as(node: &TestNode, id: &str, answer: Option<&str>) {
    let here = node.app.claim_publish(&PublishId::parse(id).unwrap(), PublishFingerprint::of([&b"x"[..]]));
    let mut claimed = block_on(here.unwrap().everywhere(&node.hub)).unwrap();
    claimed.published(answer.map(Into::into));
}

#[test]
fn what_was_published_under_ids_the_one_that_succeeds_knows() {
    let (mut first, mut second) = (TestNode::alone(Vec::new()), TestNode::alone(Vec::new()));
    let answered = |answer: Option<&str>| Some(EarlierPublish::Answered(answer.map(Into::into)));
    publish_as(&first, "before", Some("told"));
    succeed(&mut first, &mut second);
    until("it is handed over", || remembers(&second, "before"));
    publish_as(&first, "meanwhile", None);
    until("it is told", || remembers(&second, "meanwhile"));
    publish_as(&second, "its-own", None);
    end(first, &mut second);
    for (id, answer) in [("before", Some("told")), ("meanwhile", None), ("its-own", None)] {
        assert_eq!(known(&second, id), answered(answer), "{id}");
    }
    assert_eq!(known(&second, "another"), None);
}
