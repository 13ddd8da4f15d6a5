//! Trouble with the engine that all nodes have: it stops, loses connections, is replaced by an empty one. Nobody exits, nobody
//! is declared dead, and it heals by itself.

use std::time::Duration;

use heliostat_protocol_tests::engine::RedisServer;
use heliostat_protocol_tests::{Engine, Forwarder, Node, Setup, Socket, unique};
use serde_json::{Value, json};

use crate::feed::FeedAt;
use crate::users::signed_in;
use crate::{
    ADDED, REMOVED, Trio, a_member_on_each, all_list, assert_quiet, eventually, member, settle, sorted,
    throughout, webhooks,
};

/// Longer than it takes to find a node dead: five probes, a second apart.
const LONGER_THAN_DEATH: Duration = Duration::from_secs(9);

/// Members on every node, and what they must not hear.
struct Room {
    channel: String,
    sockets: Vec<Socket>,
    everybody: Vec<String>,
}

impl Room {
    fn of(nodes: &[Node]) -> Room {
        let channel = unique("presence-room-");
        let mut sockets: Vec<Socket> = Vec::new();
        for (n, node) in nodes.iter().enumerate() {
            sockets.push(member(node, &channel, &format!("u{n}")));
        }
        let everybody = sorted((0..nodes.len()).map(|n| format!("u{n}")));
        all_list(nodes, &channel, &everybody);
        let _ = settle(nodes, &channel, &mut sockets);
        Room { channel, sockets, everybody }
    }

    /// Each node still lists everybody, and nobody was told otherwise.
    fn assert_nobody_moved(&mut self, nodes: &[Node]) {
        for node in nodes {
            assert_eq!(node.users(&self.channel), self.everybody, "the last known view of {}", node.name);
        }
        for socket in &mut self.sockets {
            let heard = socket.drain();
            let moved = heard.iter().find(|message| [ADDED, REMOVED].contains(&message.event.as_str()));
            assert!(moved.is_none(), "{moved:?}");
        }
    }

    /// After healing: events cross again, all agree, and nobody was announced.
    fn assert_healed(&mut self, nodes: &[Node]) {
        for node in nodes {
            node.await_ready();
        }
        all_list(nodes, &self.channel, &self.everybody);
        for (n, node) in nodes.iter().enumerate() {
            let name = unique(&format!("healed{n}-"));
            node.target.publish(&self.channel, &name, "");
            for socket in &mut self.sockets {
                loop {
                    let message = socket.message();
                    let moved = [ADDED, REMOVED].contains(&message.event.as_str());
                    assert!(!moved, "{}", message.whole);
                    if message.event == name {
                        break;
                    }
                }
            }
        }
        assert_quiet(nodes, &self.channel, &mut self.sockets);
    }
}

/// Events that a node has accepted and knows not to cross, since before anybody waited for the engine.
fn not_crossed(node: &Node) -> f64 {
    node.metric("heliostat_cluster_lost_total", "reason=\"away\"")
}

/// What a node alone does while the bus is away: it delivers to its own clients, takes new ones, and answers publishes, at
/// once, for it knows then that they do not cross.
fn serves_alone(node: &Node) {
    let channel = unique("room-");
    let mut socket = node.target.connect();
    socket.subscribe(&channel);
    let before = not_crossed(node);
    node.target.publish(&channel, "local", "x");
    assert!(not_crossed(node) > before, "the engine was waited for");
    socket.expect_on(&channel, "local");
}

/// The engine stands still for longer than the dead time. Within a moment the admin listener's `/ready` is 503 and names the
/// bus, that for clients is 200 and says so, as viewers of the console are told, everything local goes on, and nobody is declared dead;
/// then it heals.
///
/// Proves: N8, N14, N15, N16, N21.
#[test]
fn an_engine_that_stands_still_harms_nobody() {
    let sink = webhooks::sink();
    let trio = Trio::own(|setup| setup.apps(&webhooks::apps(&sink, 1.0)));
    let mut room = Room::of(&trio.nodes);
    let mut told = webhooks::Told::default();
    for user in room.everybody.clone() {
        told.until(&sink, &format!("member_added {user}"), &room.channel);
    }
    let ann = signed_in(&trio.nodes[1], "ann", &Value::Null);
    let mut feed = FeedAt::come(&trio.nodes[0], json!({}));
    feed.await_nodes(2);
    trio.engine.server().pause();
    let why = feed.await_silent(2);
    assert!(why.iter().all(|why| why.contains("the bus")), "who watches is told the reason: {why:?}");
    drop(feed);
    for node in &trio.nodes {
        let why = node.await_not_ready();
        assert!(why.to_lowercase().contains("bus"), "{why}");
        let open = node.ready_for_clients();
        assert_eq!((open.status, open.text().contains("degraded")), (200, true), "{open}");
    }
    throughout(LONGER_THAN_DEATH, || {
        for node in &trio.nodes {
            serves_alone(node);
        }
        room.assert_nobody_moved(&trio.nodes);
    });
    let path = "/users/ann/terminate_connections";
    let refused = trio.nodes[0].target.post(path, &json!({})).send();
    assert_eq!(refused.status, 503, "{refused}");
    trio.engine.server().resume();
    room.assert_healed(&trio.nodes);
    drop(ann);
    // Nobody who stayed was told to the backend: what comes first on this channel is the end of it.
    let end = room.sockets.remove(0);
    end.close();
    told.until(&sink, "member_removed u0", &room.channel);
    let mut names = told.on(&room.channel).to_vec();
    names.sort_unstable();
    assert_eq!(
        names,
        ["channel_occupied", "member_added u0", "member_added u1", "member_added u2", "member_removed u0"]
    );
}

/// What changed while the engine stood still is known everywhere soon after.
///
/// Proves: N16.
#[test]
fn what_changed_meanwhile_is_known_afterwards() {
    let trio = Trio::own(|setup| setup);
    let (channel, mut sockets) = a_member_on_each(&trio.nodes);
    trio.engine.server().pause();
    for node in &trio.nodes {
        let _ = node.await_not_ready();
    }
    sockets.remove(1).close();
    let _new = member(&trio.nodes[1], &channel, "new");
    trio.engine.server().resume();
    all_list(&trio.nodes, &channel, &sorted(["new", "u-a", "u-c"]));
    for heard in settle(&trio.nodes, &channel, &mut sockets) {
        let mut heard: Vec<(String, Value)> = heard
            .iter()
            .map(|message| (message.event.clone(), message.decoded()["user_id"].clone()))
            .collect();
        heard.sort_unstable_by_key(|(event, _)| event.clone());
        assert_eq!(heard, [(ADDED.to_owned(), json!("new")), (REMOVED.to_owned(), json!("u-b"))]);
    }
}

/// The engine ends the nodes' connections, of both kinds, several times: they come back by themselves, and nobody is
/// announced.
///
/// Proves: N14, N16.
#[test]
fn connections_that_the_engine_ends_come_back() {
    let trio = Trio::own(|setup| setup);
    let mut room = Room::of(&trio.nodes);
    let channel = unique("room-");
    let mut socket = trio.nodes[2].target.connect();
    socket.subscribe(&channel);
    for kind in ["normal", "pubsub", "normal", "pubsub"] {
        assert!(trio.engine.server().kill_clients(kind) > 0, "there are {kind} connections");
        eventually("events cross again", || {
            let name = unique("again-");
            trio.nodes[0].target.publish(&channel, &name, "");
            let heard = crate::whatever_came(&mut socket);
            heard.iter().any(|message| message.event == name).then_some(())
        });
    }
    room.assert_healed(&trio.nodes);
}

/// The name of the engine leads to another one, which is empty: the nodes notice, find each other there, and nobody who
/// stayed is announced.
///
/// Proves: N14, N16.
#[test]
fn an_empty_engine_under_the_same_name_is_noticed() {
    let (engine, empty) = (Engine::standalone(), RedisServer::start(&[]));
    let forwarder = Forwarder::start(engine.server().port());
    let nodes: [Node; 3] = Setup::through(&forwarder).start();
    let mut room = Room::of(&nodes);
    forwarder.lead_to(empty.port());
    eventually("a node talks to the new engine", || {
        (empty.client().call(&["PUBSUB", "CHANNELS", "*"]).texts().len() > 1).then_some(())
    });
    room.assert_healed(&nodes);
    // And again while it is looked at: the first one has what nodes left there.
    forwarder.lead_to(engine.server().port());
    throughout(LONGER_THAN_DEATH, || room.assert_nobody_moved(&nodes));
    room.assert_healed(&nodes);
}

/// The engine dies and another starts in its place. A node that is told to drain asks for no new clients meanwhile.
///
/// Proves: N14, N15, N16.
#[test]
fn an_engine_that_is_started_again_is_the_engine_again() {
    let first = RedisServer::start(&[]);
    let port = first.port();
    let forwarder = Forwarder::start(port);
    let setup = Setup::through(&forwarder);
    let draining = setup.clone().cluster("bus_lost = \"drain\"");
    let nodes: [Node; 3] = [setup.start_node("a"), setup.start_node("b"), draining.start_node("c")];
    let mut room = Room::of(&nodes);
    first.kill();
    for node in &nodes {
        let _ = node.await_not_ready();
    }
    let open = nodes.each_ref().map(|node| node.ready_for_clients().status);
    assert_eq!(open, [200, 200, 503], "the third is to be sent nobody");
    throughout(LONGER_THAN_DEATH, || {
        serves_alone(&nodes[0]);
        room.assert_nobody_moved(&nodes);
    });
    let _second = RedisServer::start_at(port, &[]);
    room.assert_healed(&nodes);
}

/// An answer 200 is given when the engine has taken the event: whoever is subscribed anywhere gets it, also when the answer
/// is the last thing that the accepting node did.
///
/// Proves: N21, N1.
#[test]
fn what_was_answered_with_200_outlives_the_node_that_answered() {
    let mut trio = Trio::own(|setup| setup);
    for round in 0..5 {
        let channel = unique("room-");
        let mut socket = trio.nodes[1].target.connect();
        socket.subscribe(&channel);
        for n in 0..10 {
            crate::publish_number(&trio.nodes[0], &channel, n);
        }
        trio.nodes[0].broker().kill();
        for n in 0..10 {
            assert_eq!(socket.expect_on(&channel, "number").data, json!(n.to_string()), "round {round}");
        }
        trio.nodes[0] = trio.setup.start_node("a");
    }
}
