use super::super::adapter::EngineId;
use super::*;
use crate::protocol::SocketTag;

const ME: NodeId = NodeId::new(1);
const OTHER: NodeId = NodeId::new(2);

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn heartbeat(beat: u64, name: &str, engine: &str) -> NodeHeartbeat {
    NodeHeartbeat {
        beat,
        facts: 0,
        settled: true,
        name: name.into(),
        address: None,
        socket_tag: SocketTag::of_random(0),
        release: "1".into(),
        engine: Some(EngineId(engine.into())),
        started_ms: 0,
        settings: Default::default(),
    }
}

fn up(engine: &str) -> Link {
    Link::Up { engine: EngineId(engine.into()), round_trip: Duration::ZERO }
}

/// A node that has settled, with a peer that was heard just now.
struct Subject {
    peers: Peers,
    now: Instant,
    changes: Vec<PeerChange>,
}

impl Subject {
    fn new() -> Self {
        let now = Instant::now();
        let mut peers = Peers::new(ME, "a".into(), now);
        peers.listens(now);
        peers.link(&up("one"), now);
        let mut subject = Subject { peers, now: now + second(2), changes: Vec::new() };
        subject.pass(second(0));
        subject.hears(OTHER, heartbeat(1, "b", "one"));
        let settled = [PeerChange::Settled { unknown: 0 }, PeerChange::Appeared { node: OTHER, returned: 0 }];
        assert_eq!(subject.take(), settled);
        subject
    }

    fn hears(&mut self, from: NodeId, heartbeat: NodeHeartbeat) {
        self.peers.heard(from, heartbeat, self.now, &mut |change| self.changes.push(change));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.peers.pass(self.now, &mut |change| self.changes.push(change));
    }

    /// A probe is sent after this time, and comes back at once.
    fn probe(&mut self, after: Duration) {
        self.now += after;
        let beat = self.peers.beat(self.now);
        self.hears(ME, heartbeat(beat, "a", "one"));
    }

    fn take(&mut self) -> Vec<PeerChange> {
        std::mem::take(&mut self.changes)
    }
}

/// The end of the other one.
fn died() -> PeerChange {
    PeerChange::Died { node: OTHER, name: "b".into() }
}

/// A node that is silent dies after five probes, a second apart: less than ten seconds.
///
/// Proves: N6.
#[test]
fn a_peer_dies_by_five_probes_between_which_it_is_not_heard() {
    let mut subject = Subject::new();
    for beat in 2..5 {
        (0..4).for_each(|_| subject.probe(second(1)));
        subject.hears(OTHER, heartbeat(beat, "b", "one"));
    }
    (0..4).for_each(|_| subject.probe(second(1)));
    subject.hears(OTHER, heartbeat(4, "b", "one"));
    assert_eq!(subject.take(), [], "a late or repeated one is no sign of life, and no probe");
    subject.probe(second(1));
    assert_eq!(subject.take(), [died()]);
    assert_eq!(subject.peers.iter().len(), 0);
}

#[test]
fn a_heartbeat_that_was_tampered_with_does_not_hide_those_that_go_on_before_it() {
    let mut subject = Subject::new();
    for beat in [u64::MAX, 2, 1 << 40, 3, 4, 900, 901, 5] {
        (0..4).for_each(|_| subject.probe(second(1)));
        subject.hears(OTHER, heartbeat(beat, "b", "one"));
    }
    assert_eq!(subject.take(), [], "two that follow each other count");
    subject.probe(second(1));
    assert_eq!(subject.take(), [died()], "and so what comes later and is older does not");
    // Nor does it hide the return.
    subject.hears(OTHER, heartbeat(1000, "b", "one"));
    (0..4).for_each(|_| subject.probe(second(1)));
    subject.hears(OTHER, heartbeat(902, "b", "one"));
    subject.probe(second(1));
    assert_eq!(subject.take(), [PeerChange::Appeared { node: OTHER, returned: 1000 }]);
}

#[test]
fn what_is_sent_at_once_is_one_probe() {
    let mut subject = Subject::new();
    (0..20).for_each(|_| subject.probe(Duration::from_millis(40)));
    assert_eq!(subject.take(), []);
    // And what was sent before it was heard is none.
    let beats: Vec<u64> = (0..6).map(|n| subject.peers.beat(subject.now + second(n))).collect();
    subject.now += second(6);
    subject.hears(OTHER, heartbeat(2, "b", "one"));
    beats.into_iter().for_each(|beat| subject.hears(ME, heartbeat(beat, "a", "one")));
    assert_eq!(subject.take(), []);
}

#[test]
fn a_probe_that_comes_back_twice_is_one() {
    let mut subject = Subject::new();
    subject.now += second(1);
    let beat = subject.peers.beat(subject.now);
    (0..9).for_each(|_| subject.hears(ME, heartbeat(beat, "a", "one")));
    (0..3).for_each(|_| subject.probe(second(1)));
    assert_eq!(subject.take(), []);
}

#[test]
fn nobody_dies_while_the_bus_is_away_or_has_just_become_another() {
    let mut subject = Subject::new();
    let away = Link::Away { since: subject.now, reason: "gone".into() };
    subject.peers.link(&away, subject.now);
    (0..20).for_each(|_| subject.probe(second(1)));
    let trouble = subject.peers.bus_trouble();
    assert_eq!(trouble.map(|trouble| trouble.reason), Some("gone".into()));

    subject.peers.link(&up("two"), subject.now);
    subject.hears(OTHER, heartbeat(2, "b", "one"));
    let reason = subject.peers.bus_trouble().unwrap().reason;
    assert!(reason.contains("1 of the other nodes"), "it was heard, but is elsewhere: {reason}");
    (0..29).for_each(|_| subject.probe(second(1)));
    subject.hears(OTHER, heartbeat(3, "b", "two"));
    assert_eq!(subject.peers.bus_trouble(), None);
    assert_eq!(subject.take(), []);
    (0..6).for_each(|_| subject.probe(second(1)));
    assert_eq!(subject.take(), [died()]);
}

#[test]
fn another_engine_counts_as_away_until_all_are_heard_there_or_dead() {
    let mut subject = Subject::new();
    subject.peers.link(&up("two"), subject.now);
    (0..33).for_each(|_| subject.probe(second(1)));
    assert!(subject.peers.bus_trouble().is_some(), "nobody is dead yet");
    subject.probe(second(1));
    assert_eq!((subject.take(), subject.peers.bus_trouble()), (vec![died()], None));
}

#[test]
fn nobody_dies_before_it_can_have_found_the_engine_again() {
    let mut subject = Subject::new();
    let away = Link::Away { since: subject.now, reason: "gone".into() };
    subject.peers.link(&away, subject.now);
    subject.peers.link(&up("one"), subject.now);
    // An attempt to connect that is given up, a pause, and one that succeeds.
    (0..13).for_each(|_| subject.probe(second(1)));
    assert_eq!(subject.take(), []);
    (0..2).for_each(|_| subject.probe(second(1)));
    assert_eq!(subject.take(), [died()]);
}

#[test]
fn one_that_was_taken_for_dead_comes_back_by_a_new_heartbeat() {
    let mut subject = Subject::new();
    (0..5).for_each(|_| subject.probe(second(1)));
    subject.hears(OTHER, heartbeat(1, "b", "one"));
    assert_eq!(subject.take(), [died()], "it was said before");
    subject.hears(OTHER, heartbeat(7, "b", "one"));
    assert_eq!(subject.take(), [PeerChange::Appeared { node: OTHER, returned: 7 }]);
}

/// The other one is said to have left.
fn say_goodbye(subject: &mut Subject) {
    let now = subject.now;
    subject.peers.goodbye(OTHER, now, &mut |change| {
        assert_eq!(change, PeerChange::Left { node: OTHER, name: "b".into() })
    });
}

#[test]
fn what_comes_late_does_not_bring_one_back_that_has_left() {
    let mut subject = Subject::new();
    say_goodbye(&mut subject);
    (2..50).for_each(|beat| subject.hears(OTHER, heartbeat(beat, "b", "one")));
    for _ in 0..9 {
        subject.now += second(1);
        subject.hears(OTHER, heartbeat(49, "b", "one"));
        subject.hears(OTHER, heartbeat(7, "b", "one"));
    }
    assert_eq!((subject.take(), subject.peers.ignored().departed), (vec![], 48 + 18));
}

/// Somebody else has said goodbye in its name, or a bit of its heartbeat was turned.
///
/// Proves: N18.
#[test]
fn one_that_goes_on_beating_after_a_goodbye_has_not_left() {
    let mut subject = Subject::new();
    say_goodbye(&mut subject);
    for beat in 2..5 {
        assert_eq!(subject.take(), []);
        subject.now += second(1);
        subject.hears(OTHER, heartbeat(beat, "b", "one"));
    }
    assert_eq!(subject.take(), [PeerChange::Appeared { node: OTHER, returned: 4 }]);
    subject.hears(OTHER, heartbeat(5, "b", "one"));
    assert_eq!((subject.take(), subject.peers.ignored().departed), (vec![], 2));
}

/// Nor do heartbeats of large numbers that it has not said silence it.
///
/// Proves: N18.
#[test]
fn heartbeats_that_a_peer_has_not_said_do_not_end_it() {
    let mut subject = Subject::new();
    [u64::MAX - 1, u64::MAX].into_iter().for_each(|beat| subject.hears(OTHER, heartbeat(beat, "b", "one")));
    for beat in 2..20 {
        subject.probe(second(1));
        subject.hears(OTHER, heartbeat(beat, "b", "one"));
    }
    (0..4).for_each(|_| subject.probe(second(1)));
    assert_eq!(subject.take(), []);
    subject.probe(second(1));
    assert_eq!(subject.take(), [died()], "and it dies as others do");
}

#[test]
fn what_is_said_in_the_name_of_this_node_is_a_lie() {
    let mut subject = Subject::new();
    subject.peers.goodbye(ME, subject.now, &mut |change| panic!("{change:?}"));
    subject.hears(ME, heartbeat(1 << 40, "a", "one"));
    assert_eq!(subject.peers.ignored().forged, 2);
    (0..5).for_each(|_| subject.probe(second(1)));
    assert_eq!((subject.take(), subject.peers.ignored().forged), (vec![died()], 2));
}

#[test]
fn a_starting_node_settles_when_it_knows_what_everybody_has() {
    let start = Instant::now();
    let settles = |known: bool, listens: Option<u64>| {
        let mut peers = Peers::new(ME, "a".into(), start);
        for now in (0..200).map(|tenth| start + Duration::from_millis(tenth * 100)) {
            if listens.is_some_and(|after| now >= start + second(after)) {
                peers.listens(now);
            }
            peers.heard(OTHER, heartbeat(1, "b", "one"), now, &mut |_| {});
            peers.set_in_step(OTHER, known);
            peers.pass(now, &mut |_| {});
            assert_eq!(peers.iter().len(), 1);
            if peers.is_settled() {
                return now - start;
            }
        }
        second(20)
    };
    assert_eq!(settles(true, Some(1)), second(3));
    assert_eq!(settles(false, Some(1)), second(11), "it is not told");
    assert_eq!(settles(true, None), second(20), "it cannot listen, so it does not");
}

#[test]
fn a_namesake_that_goes_on_beating_is_told_once() {
    let mut subject = Subject::new();
    subject.hears(NodeId::new(3), heartbeat(1, "a", "one"));
    subject.hears(NodeId::new(4), heartbeat(1, "b", "one"));
    subject.take();
    for beat in 2..30 {
        subject.pass(second(1));
        // The node that was called b has been restarted.
        subject.hears(NodeId::new(4), heartbeat(beat, "b", "one"));
        subject.hears(NodeId::new(3), heartbeat(beat, "a", "one"));
        assert!(beat > 9 || subject.changes.is_empty());
    }
    assert_eq!(subject.take(), [PeerChange::Namesake { node: NodeId::new(3), name: "a".into() }]);
    assert!(subject.peers.peer(NodeId::new(3)).unwrap().is_namesake);
}

#[test]
fn whoever_leaves_beside_the_one_that_has_its_place_is_no_namesake() {
    let mut subject = Subject::new();
    subject.hears(NodeId::new(3), heartbeat(1, "c", "one"));
    subject.take();
    for beat in 2..60 {
        subject.pass(second(1));
        subject.hears(OTHER, heartbeat(beat, "b", "one"));
        let leaving = NodeHeartbeat { settled: false, ..heartbeat(beat, "b", "one") };
        subject.hears(NodeId::new(3), leaving);
    }
    assert_eq!(subject.take(), []);
}

#[test]
fn peers_are_bounded() {
    let mut subject = Subject::new();
    for n in 0..100_000 {
        subject.hears(NodeId::new(10 + n), heartbeat(1, "b", "one"));
        subject.peers.goodbye(NodeId::new(1_000_000 + n), subject.now, &mut |change| panic!("{change:?}"));
    }
    assert_eq!(subject.peers.iter().len(), MOST_PEERS);
    assert_eq!(subject.peers.ignored().too_many, 100_001 - MOST_PEERS as u64);
    assert_eq!(subject.peers.departed.len(), (MOST_DEPARTED, MOST_DEPARTED));
    assert!(subject.peers.probes.under_way.is_empty());
    (0..1000).for_each(|_| {
        subject.peers.beat(subject.now);
    });
    assert_eq!(subject.peers.probes.under_way.len(), Probes::MOST_UNDER_WAY);
}
