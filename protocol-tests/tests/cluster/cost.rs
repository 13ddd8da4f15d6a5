//! What an event costs the engine, and nodes that want nothing of it: counted at the engine itself.

use std::collections::BTreeMap;
use std::process::Command;

use heliostat_protocol_tests::{Engine, Setup, Socket, unique};

use crate::{Trio, eventually, eventually_is};

/// How many nodes are subscribed to each subject that has this prefix.
fn subscribers(engine: &Engine, prefix: &str) -> BTreeMap<String, i64> {
    let mut client = engine.server().client();
    let mut found = BTreeMap::new();
    for (list, count) in [("CHANNELS", "NUMSUB"), ("SHARDCHANNELS", "SHARDNUMSUB")] {
        for subject in client.call(&["PUBSUB", list, &format!("*{prefix}*")]).texts() {
            let counted = client.call(&["PUBSUB", count, &subject]).texts();
            *found.entry(subject).or_default() += counted[1].parse::<i64>().unwrap();
        }
    }
    found
}

/// One event is one command to the engine, however many nodes and subscribers there are, and none for nodes without a
/// subscriber: they are not subscribed to the channel.
///
/// Proves: N3.
#[test]
fn an_event_is_published_once_and_only_to_those_who_want_it() {
    let trio = Trio::own(|setup| setup);
    let channel = unique("room-");
    let prefix = trio.setup.prefix_text();
    let before = subscribers(&trio.engine, prefix);
    let mut sockets: Vec<Socket> = Vec::new();
    for (n, node) in trio.nodes.iter().enumerate().skip(1) {
        for _ in 0..3 {
            let mut socket = node.target.connect();
            socket.subscribe(&channel);
            sockets.push(socket);
        }
        let now = subscribers(&trio.engine, prefix);
        let new: Vec<_> = now.iter().filter(|(subject, _)| !before.contains_key(*subject)).collect();
        assert_eq!(new.len(), 1, "one subject is the channel's: {new:?}");
        assert_eq!(*new[0].1, n as i64, "as many as have subscribers");
    }
    let mut monitor = trio.engine.server().client();
    assert_eq!(monitor.call(&["MONITOR"]).text(), "OK");
    let word = unique("word");
    for n in 0..50 {
        trio.nodes[n % 3].target.publish(&channel, &word, "x");
    }
    for socket in &mut sockets {
        for _ in 0..50 {
            socket.expect_on(&channel, &word);
        }
    }
    trio.engine.server().client().call(&["ECHO", "the end"]);
    let mut carried = 0;
    loop {
        let line = monitor.read().text();
        if line.contains("\"the end\"") {
            break;
        }
        carried += usize::from(line.contains(&word));
    }
    assert_eq!(carried, 50, "commands that carry an event");
}

/// Some seconds after the last subscriber has gone, the node wants nothing of the channel any more.
///
/// Proves: N3.
#[test]
fn a_node_lets_go_of_a_channel_that_nobody_has() {
    let engine = Engine::standalone();
    let setup = Setup::on(&engine);
    let [one, other] = setup.start();
    let before = subscribers(&engine, setup.prefix_text());
    let mut sockets = [one.target.connect(), other.target.connect()];
    let channels: Vec<String> = (0..20).map(|_| unique("room-")).collect();
    for socket in &mut sockets {
        for channel in &channels {
            socket.subscribe(channel);
        }
    }
    assert_eq!(subscribers(&engine, setup.prefix_text()).len(), before.len() + channels.len());
    let [first, mut second] = sockets;
    first.close();
    for channel in &channels {
        second.unsubscribe(channel);
    }
    eventually_is("what the nodes are subscribed to", before, || subscribers(&engine, setup.prefix_text()));
    second.subscribe(&channels[0]);
    one.target.publish(&channels[0], "again", "");
    second.expect_on(&channels[0], "again");
    eventually("both are ready", || (one.ready().status == 200).then_some(()));
}

/// What an event costs with three nodes is measured for each of them and for the engine, and printed: figures for a few
/// events, of which all arrive. What they should be is for a machine that does nothing else.
///
/// Proves: N20.
#[test]
fn what_an_event_costs_is_measured() {
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-cost"))
        .args(["1600", "events"])
        .env("PROTOCOL_TESTS_BIN", heliostat_protocol_tests::broker::binary())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stderr));
    for role in [
        "one node alone",
        "accepting",
        "receiving 1",
        "receiving 2",
        "the engine",
        "without subscribers, node 1",
    ] {
        let line = words.lines().find(|line| line.trim_start().starts_with(role));
        let figure =
            line.and_then(|line| line.split("µs").next()?.split_whitespace().last()?.parse::<f64>().ok());
        assert!(figure.is_some(), "no figure for {role}: {words}");
    }
    println!("{words}");
}
