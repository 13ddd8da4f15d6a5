//! The other forms of the engine: behind Sentinel, and as a Redis Cluster.

use heliostat_protocol_tests::{Engine, Node, Setup, Socket, unique};

use crate::{
    ADDED, REMOVED, Trio, a_member_on_each, all_list, eventually, everybody, numbers, publish_number,
};

/// Waits until events of every node reach every member, who must not hear of anybody coming or going.
fn await_delivery(nodes: &[Node], channel: &str, sockets: &mut [Socket]) {
    for node in nodes {
        for place in 0..sockets.len() {
            eventually("events cross again", || {
                let name = unique("again-");
                node.target.publish(channel, &name, "");
                let heard = crate::whatever_came(&mut sockets[place]);
                if let Some(moved) = heard.iter().find(|m| [ADDED, REMOVED].contains(&m.event.as_str())) {
                    // Where a node has ended the connection of who is said to have gone, that is the fault.
                    sockets.iter_mut().for_each(|socket| drop(crate::whatever_came(socket)));
                    panic!("nobody has come or gone: {moved:?}");
                }
                heard.iter().any(|message| message.event == name).then_some(())
            });
        }
    }
}

/// Behind Sentinel: the primary is failed over, twice; delivery resumes by itself, and nobody who stayed is announced.
///
/// Proves: N14, N16.
#[test]
fn a_fail_over_by_sentinel_is_followed() {
    let Trio { nodes, engine, .. } = &Trio::over(Engine::sentinel(), |setup| setup);
    let Engine::Sentinel(watched) = engine else { unreachable!("it was made so") };
    let (channel, mut sockets) = a_member_on_each(nodes);
    let everybody = everybody();
    for _ in 0..2 {
        watched.await_replica();
        watched.fail_over();
        await_delivery(nodes, &channel, &mut sockets);
        for node in nodes {
            node.await_ready();
        }
        all_list(nodes, &channel, &everybody);
    }
}

/// Behind Sentinel: the primary stands still until its replica has taken its place, and then goes on as if it still were.
///
/// Proves: N14, N16.
#[test]
fn a_primary_that_was_demoted_while_it_stood_still_is_left() {
    let Trio { nodes, engine, .. } = &Trio::over(Engine::sentinel(), |setup| setup);
    let Engine::Sentinel(watched) = engine else { unreachable!("it was made so") };
    let (channel, mut sockets) = a_member_on_each(nodes);
    let everybody = everybody();
    let old = watched.primary();
    old.pause();
    eventually("another is the primary", || (watched.primary_port() != old.port()).then_some(()));
    old.resume();
    await_delivery(nodes, &channel, &mut sockets);
    for node in nodes {
        node.await_ready();
    }
    all_list(nodes, &channel, &everybody);
}

/// On a Redis Cluster, channels of all slots cross, presence is one, and a primary that stands still is noticed on every node
/// and harms nobody.
///
/// Proves: N1, N2, N5, N14, N16.
#[test]
fn a_redis_cluster_carries_channels_of_all_slots() {
    let engine = Engine::cluster();
    let nodes: [Node; 3] = Setup::on(&engine).start();
    let mut sockets: Vec<Socket> = nodes.iter().map(|node| node.target.connect()).collect();
    for round in 0..60 {
        let channel = unique("room-");
        let reader = round % 3;
        sockets[reader].subscribe(&channel);
        publish_number(&nodes[(round + 1) % 3], &channel, round);
        assert_eq!(numbers(&[sockets[reader].expect_on(&channel, "number")]), [round]);
    }
    let (channel, mut members) = a_member_on_each(&nodes);
    let everybody = everybody();
    for server in engine.servers() {
        server.pause();
        for node in &nodes {
            let why = node.await_not_ready();
            assert!(why.to_lowercase().contains("bus"), "{why}");
        }
        server.resume();
        for node in &nodes {
            node.await_ready();
        }
        await_delivery(&nodes, &channel, &mut members);
        all_list(&nodes, &channel, &everybody);
    }
}

/// Cache channels and signed-in users on a Redis Cluster, whose scripts know one slot only.
///
/// Proves: N8, N9.
#[test]
fn a_redis_cluster_remembers() {
    let engine = Engine::cluster();
    let nodes: [Node; 2] = Setup::on(&engine).start();
    for round in 0..20 {
        let channel = unique("cache-room-");
        publish_number(&nodes[0], &channel, round);
        let mut socket = nodes[1].target.connect();
        socket.subscribe(&channel);
        assert_eq!(numbers(&[socket.expect_on(&channel, "number")]), [round]);
        publish_number(&nodes[0], &channel, round + 1);
        assert_eq!(numbers(&[socket.expect_on(&channel, "number")]), [round + 1]);
    }
}
