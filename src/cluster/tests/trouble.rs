use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::channel::{ChannelVersion, Fact, NodeId};
use crate::cluster::adapter::Adapter;
use crate::cluster::envelope::{Content, Envelope, FactBatch, FactListBuilder, NodeHeartbeat, QuestionWord};
use crate::cluster::inbox::inbox;
use crate::cluster::local::Fate;
use crate::cluster::questions::QUESTION_BYTES;
use crate::cluster::status::Loss;
use crate::protocol::SocketTag;

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_members_of_a_node_that_is_killed_leave_once_and_nobody_else() {
    let engine = LocalEngine::new();
    let [mut a, b, c]: [TestNode; 3] = nodes(&engine);
    let members: Vec<_> = (0..100).map(|n| a.joined("presence-room", Some(&format!("user-{n}")))).collect();
    let _also = b.joined("presence-room", Some("user-0"));
    let witness = c.joined("presence-room", Some("witness"));
    until("all are known", || witness.roster().len() == members.len() + 1);
    a.kill();
    until("they leave", || witness.roster() == names(["user-0", "witness"]));
    let left = witness.members().iter().filter(|told| told.starts_with('-')).count();
    assert_eq!(left, members.len() - 1);
    until("it is forgotten", || [&b, &c].iter().all(|node| node.status().peers.len() == 1));
    assert_eq!(c.status().figures.peers_died, 1);
}

#[test]
fn a_goodbye_has_the_members_leave_at_once() {
    let engine = LocalEngine::new();
    let [mut a, b]: [TestNode; 2] = nodes(&engine);
    let _ann = a.joined("presence-room", Some("ann"));
    let bob = b.joined("presence-room", Some("bob"));
    until("one roster", || bob.roster() == names(["ann", "bob"]));
    a.stop();
    until("she leaves", || bob.roster() == names(["bob"]));
    let figures = b.status().figures;
    assert_eq!((figures.peers_left, figures.peers_died, b.status().peers.len()), (1, 0, 0));
}

#[test]
fn while_the_bus_is_away_nobody_dies_and_afterwards_all_agree() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let ann = a.joined("presence-room", Some("ann"));
    let bob = b.joined("presence-room", Some("bob"));
    until("one roster", || [&ann, &bob].iter().all(|client| client.roster() == names(["ann", "bob"])));
    engine.halt();
    until("it is known", || a.status().away.is_some() && b.status().away.is_some());
    // Joins do not wait, and events are delivered here.
    let eve = a.joined("presence-room", Some("eve"));
    a.joined("news", None);
    ann.disconnect("presence-room");
    a.publish("presence-room", "here", None);
    until("the event", || eve.events() == ["here"]);
    assert_eq!(eve.roster(), names(["bob", "eve"]), "the last view of the others, and its own");
    let since = Instant::now();
    until("longer than a peer is waited for", || since.elapsed() > Duration::from_secs(8));
    assert_eq!((a.status().peers.len(), b.status().peers.len()), (1, 1));
    engine.go_on();
    until("all agree", || [&eve, &bob].iter().all(|client| client.roster() == names(["bob", "eve"])));
    assert_eq!(bob.members().iter().filter(|told| told.contains("bob")).count(), 0);
    let figures = a.status().figures;
    assert!(figures.lost[Loss::Away as usize] > 0 && figures.joins_unconfirmed > 0);
    a.publish("presence-room", "again", None);
    until("events cross", || bob.events() == ["again"]);
}

/// What another node says is lost on its way to this one.
fn deaf_to(node: &TestNode, other: NodeId) {
    node.faults.fate(move |word| match Envelope::decode(&word.bytes) {
        Ok(envelope) if envelope.from == other => Fate::IsLost,
        _ => Fate::Arrives,
    });
}

#[test]
fn the_members_of_a_node_that_was_silent_leave_and_return_once() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let ann = a.joined("presence-room", Some("ann"));
    let bob = b.joined("presence-room", Some("bob"));
    until("one roster", || [&ann, &bob].iter().all(|client| client.roster() == names(["ann", "bob"])));
    let before = bob.members().len();
    deaf_to(&b, a.hub.node_id());
    until("she leaves", || bob.roster() == names(["bob"]));
    b.faults.fate(|_| Fate::Arrives);
    until("she returns", || bob.roster() == names(["ann", "bob"]));
    assert_eq!(bob.members()[before..], ["-ann", "+ann"]);
    assert_eq!(ann.members(), ["+bob"], "the other side has noticed nothing");
}

#[test]
fn facts_that_are_lost_are_made_up_for() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let bob = b.joined("presence-room", Some("bob"));
    let mut words = 0;
    b.faults.fate(move |word| {
        let is_fact =
            matches!(Envelope::decode(&word.bytes), Ok(Envelope { content: Content::Facts(_), .. }));
        words += usize::from(is_fact);
        if is_fact && words % 3 == 0 { Fate::IsLost } else { Fate::Arrives }
    });
    let clients: Vec<_> = (0..50).map(|n| a.joined("presence-room", Some(&format!("user-{n}")))).collect();
    clients.iter().step_by(2).for_each(|client| client.disconnect("presence-room"));
    until("all agree", || bob.roster().len() == 26 && b.status().peers[0].size.members == 25);
    assert!(b.status().figures.state_gaps > 0);
}

#[test]
fn another_engine_is_noticed_and_nobody_leaves() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let ann = a.joined("presence-room", Some("ann"));
    let bob = b.joined("presence-room", Some("bob"));
    until("one roster", || [&ann, &bob].iter().all(|client| client.roster() == names(["ann", "bob"])));
    let members = (ann.members(), bob.members());
    engine.wipe();
    until("they hear each other there", || a.status().away.is_none() && b.status().away.is_none());
    a.publish("presence-room", "again", None);
    until("events cross", || bob.events() == ["again"]);
    assert_eq!((ann.members(), bob.members()), members);
}

#[test]
fn two_nodes_of_one_name_are_reported() {
    let engine = LocalEngine::new();
    let (a, b) = (TestNode::start(&engine, "twin"), TestNode::start(&engine, "twin"));
    until("it is reported", || {
        [&a, &b].iter().all(|node| node.status().peers.iter().any(|peer| peer.is_namesake))
    });
}

#[test]
fn rubbish_is_counted_and_harms_nobody() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let ann = a.joined("presence-room", Some("ann"));
    let (into, _words) = inbox(1000, 1 << 20);
    let stranger = engine.join(into);
    let version = Bytes::from_static(&[99, 1, 2, 3]);
    let nonsense = Bytes::from_static(b"*1\r\n$4\r\nPING\r\n");
    for subject in [Subject::State, Subject::Node(a.hub.node_id()), subject("presence-room")] {
        for bytes in [&version, &nonsense, &Bytes::new(), &Bytes::from(vec![1; 1 << 20])] {
            let _ = stranger.publish(&subject, bytes.clone(), None);
        }
    }
    until("it is counted", || {
        let lost = a.status().figures.lost;
        lost[Loss::Unreadable as usize] + lost[Loss::Unknown as usize] == 12
    });
    let bob = b.joined("presence-room", Some("bob"));
    until("one roster", || [&ann, &bob].iter().all(|client| client.roster() == names(["ann", "bob"])));
    assert_eq!(a.status().peers.len(), 1);
}

/// Another node that says what it likes.
fn stranger(engine: &LocalEngine) -> impl Fn(Content) {
    let say = stranger_about(engine);
    move |content| say(&Subject::State, content)
}

fn stranger_about(engine: &LocalEngine) -> impl Fn(&Subject, Content) {
    let (into, _words) = inbox(1000, 1 << 20);
    let adapter = engine.join(into);
    move |subject, content| {
        let bytes = Envelope { from: NodeId::new(4711), content }.encode();
        assert!(adapter.publish(subject, bytes, None).is_ok());
    }
}

#[test]
fn what_somebody_asks_who_is_not_known_is_not_answered_and_not_called_unreadable() {
    let engine = LocalEngine::new();
    let node = TestNode::start(&engine, "node");
    let say = stranger_about(&engine);
    let asks = |bytes: usize| {
        let word = QuestionWord::Asked(Bytes::from(vec![b'x'; bytes]));
        say(&Subject::Node(node.hub.node_id()), Content::Question { number: 1, word });
    };
    let lost = |loss| node.status().figures.lost[loss as usize];
    // The node may not have asked for what is said to it yet.
    until("it is counted", || {
        asks(1);
        lost(Loss::Departed) > 0
    });
    assert_eq!(lost(Loss::Unreadable), 0);
    asks(QUESTION_BYTES + 1);
    until("it is counted", || lost(Loss::Unreadable) == 1);
}

fn heartbeat(beat: u64, facts: u64) -> Content {
    Content::Heartbeat(NodeHeartbeat {
        beat,
        facts,
        settled: true,
        name: "boaster".into(),
        socket_tag: SocketTag::of_random(1),
        address: None,
        release: "0".into(),
        engine: None,
        started_ms: 0,
        settings: Default::default(),
    })
}

#[test]
fn changes_that_go_to_and_fro_wait_where_they_are_bounded() {
    const BATCHES: u64 = 40;
    const FACTS: u64 = 20_000;
    let engine = LocalEngine::new();
    let node = TestNode::start(&engine, "node");
    let say = stranger(&engine);
    let mut beat = 0;
    let mut beats = |facts| {
        beat += 1;
        say(heartbeat(beat, facts));
    };
    // The node may not have asked for what others say yet, and whoever is silent while it settles is taken for dead.
    until("it is known", || {
        beats(0);
        node.knows(1)
    });
    let most = || {
        let untold = node.status().figures.untold_changes as u64;
        assert!(untold < 65_536 + 2 * FACTS, "{untold} changes wait in the node");
        untold
    };
    for batch in 0..BATCHES {
        let mut list = FactListBuilder::default();
        (0..FACTS).for_each(|n| list.push(&"1".into(), &Fact::Connections { count: n as u32 % 2 + 1 }));
        say(Content::Facts(FactBatch { first: batch * FACTS + 1, facts: list.take() }));
        beats((batch + 1) * FACTS);
        most();
    }
    until("all of it is known", || most() == 0 && node.status().figures.inbox_words == 0);
    assert_eq!(node.status().figures.state_gaps, 0);
}

/// What one node claims holds up neither the events nor the end of the others' view of it.
///
/// Proves: N18.
#[test]
fn a_node_that_claims_a_million_channels_holds_nobody_up() {
    const CHANNELS: u64 = 1_000_000;
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let bob = b.joined("news", None);
    let say = stranger(&engine);
    say(heartbeat(1, 0));
    let (mut first, mut list) = (1, FactListBuilder::default());
    for n in 1..=CHANNELS {
        let (channel, version) = (channel(&format!("c{n}")), ChannelVersion::new(n));
        list.push(&"1".into(), &Fact::Subscribers { channel, count: 1, version });
        if list.bytes() > 60_000 || n == CHANNELS {
            say(Content::Facts(FactBatch { first, facts: list.take() }));
            first = n + 1;
        }
    }
    a.publish("news", "in between", None);
    until("the event", || bob.events() == ["in between"]);
    say(Content::Goodbye);
    until("it is forgotten", || b.status().peers.len() == 1);
    a.publish("news", "afterwards", None);
    until("the event", || bob.events() == ["in between", "afterwards"]);
}
