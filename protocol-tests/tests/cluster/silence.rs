//! A node that falls silent alone: paused, or cut off from the engine.

use std::time::Duration;

use heliostat_protocol_tests::{Forwarder, Node, Socket, unique};

use crate::{ADDED, REMOVED, Trio, all_list, assert_quiet, member, settle, sorted, throughout, users_told};

/// Five members on one node, which falls silent and comes back; who watches on the others, and one who watches on it.
fn leaves_and_rejoins(trio: &Trio, silent: &Node, all: &[Node], fall: impl FnOnce(), rise: impl FnOnce()) {
    let channel = unique("presence-room-");
    let mut watchers: Vec<Socket> =
        vec![member(&trio.nodes[1], &channel, "w1"), member(&trio.nodes[2], &channel, "w2")];
    let mut members: Vec<Socket> = (0..5).map(|n| member(silent, &channel, &format!("u{n}"))).collect();
    let users = sorted((0..5).map(|n| format!("u{n}")));
    let everybody = sorted(users.iter().map(String::as_str).chain(["w1", "w2"]));
    all_list(all, &channel, &everybody);
    all_list(std::slice::from_ref(silent), &channel, &everybody);
    let _ = settle(all, &channel, watchers.iter_mut().chain(&mut members));
    fall();
    for watcher in &mut watchers {
        assert_eq!(users_told(watcher, REMOVED, 5), users);
    }
    let others: Vec<&Node> = trio.nodes[1..].iter().collect();
    for node in &others {
        crate::eventually_is("who is left", sorted(["w1", "w2"]), || node.users(&channel));
    }
    rise();
    for watcher in &mut watchers {
        assert_eq!(users_told(watcher, ADDED, 5), users);
    }
    silent.await_ready();
    all_list(all, &channel, &everybody);
    all_list(std::slice::from_ref(silent), &channel, &everybody);
    assert_quiet(&trio.nodes[1..], &channel, &mut watchers);
    // For those on the silent node nobody has gone and nobody has come: the others were there all the time.
    for heard in settle(&trio.nodes[1..], &channel, &mut members) {
        assert!(heard.is_empty(), "{heard:?}");
    }
}

/// For how long a node stands still: its clients and the engine have not given it up by then.
const A_MINUTE: Duration = Duration::from_secs(60);

/// A node that is paused for a minute: its members leave and rejoin, once each.
///
/// Proves: N17.
#[test]
fn the_members_of_a_paused_node_leave_and_rejoin_once() {
    let trio = Trio::own(|setup| setup);
    let silent = &trio.nodes[0];
    let rise = || {
        throughout(A_MINUTE, || {
            for node in &trio.nodes[1..] {
                assert_eq!(node.ready().status, 200, "{} does without it", node.name);
            }
        });
        silent.broker().resume();
    };
    leaves_and_rejoins(&trio, silent, &trio.nodes, || silent.broker().pause(), rise);
}

/// The same for a node that is cut off from the engine, which goes on alone meanwhile.
///
/// Proves: N17, N15.
#[test]
fn the_members_of_a_node_that_was_cut_off_leave_and_rejoin_once() {
    let trio = Trio::own(|setup| setup);
    let forwarder = Forwarder::start(trio.engine.server().port());
    let silent = trio.setup.reaching(&forwarder).start_node("d");
    let fall = || {
        forwarder.cut();
        let why = silent.await_not_ready();
        assert!(why.to_lowercase().contains("bus"), "{why}");
        let channel = unique("room-");
        let mut alone = silent.target.connect();
        alone.subscribe(&channel);
        silent.target.publish(&channel, "local", "");
        alone.expect_on(&channel, "local");
    };
    leaves_and_rejoins(&trio, &silent, &trio.nodes, fall, || forwarder.heal());
}

/// And for one whose packets are lost: the connections stay, and nothing comes.
///
/// Proves: N17, N14.
#[test]
fn the_members_of_a_node_whose_packets_are_lost_leave_and_rejoin_once() {
    let trio = Trio::own(|setup| setup);
    let forwarder = Forwarder::start(trio.engine.server().port());
    let silent = trio.setup.reaching(&forwarder).start_node("d");
    let fall = || {
        forwarder.stall();
        let why = silent.await_not_ready();
        assert!(why.to_lowercase().contains("bus"), "{why}");
    };
    leaves_and_rejoins(&trio, &silent, &trio.nodes, fall, || forwarder.heal());
}

/// Two nodes of one name are both served, and it is said.
///
/// Proves: N17.
#[test]
fn a_namesake_is_reported() {
    let trio = Trio::own(|setup| setup);
    let namesake = trio.setup.start_node("a");
    let channel = unique("room-");
    let mut socket = namesake.target.connect();
    socket.subscribe(&channel);
    trio.nodes[0].target.publish(&channel, "hello", "");
    socket.expect_on(&channel, "hello");
    crate::eventually("somebody says that there are two", || {
        let nodes = trio.nodes.iter().chain([&namesake]);
        let counts = nodes.map(|node| node.metric("heliostat_cluster_namesakes", ""));
        (counts.sum::<f64>() > 0.0).then_some(())
    });
}
