//! The death of a node: exactly those who were on it leave, once.

use heliostat_protocol_tests::nodes::NODE_APPS;
use heliostat_protocol_tests::{Socket, unique};
use serde_json::Value;

use crate::{REMOVED, Trio, all_list, assert_quiet, member, sorted, users_told};

/// A node with a hundred members is killed: every subscriber elsewhere hears of each user who is nowhere else once, and of
/// nobody else; then all nodes list the same. Within how many seconds, the tests of `src/cluster/peers` say.
///
/// Proves: N6.
#[test]
fn exactly_the_members_of_a_killed_node_leave_once() {
    let trio = Trio::own(|setup| {
        setup.apps(&NODE_APPS.replace("client_events_per_second = 0", "presence_members_per_channel = 500"))
    });
    let channel = unique("presence-room-");
    let mut watchers: Vec<Socket> = vec![
        member(&trio.nodes[1], &channel, "w0"),
        member(&trio.nodes[1], &channel, "w1"),
        member(&trio.nodes[2], &channel, "w2"),
    ];
    let dying: Vec<Socket> = (0..100).map(|n| member(&trio.nodes[0], &channel, &format!("u{n}"))).collect();
    // Ten of them have another connection elsewhere.
    let elsewhere: Vec<Socket> =
        (0..10).map(|n| member(&trio.nodes[1 + n % 2], &channel, &format!("u{n}"))).collect();
    let everybody = sorted((0..100).map(|n| format!("u{n}")).chain((0..3).map(|n| format!("w{n}"))));
    all_list(&trio.nodes, &channel, &everybody);
    let _ = crate::settle(&trio.nodes, &channel, &mut watchers);
    trio.nodes[0].broker().kill();
    let gone = sorted((10..100).map(|n| format!("u{n}")));
    for watcher in &mut watchers {
        assert_eq!(users_told(watcher, REMOVED, gone.len()), gone);
    }
    let left = sorted((0..10).map(|n| format!("u{n}")).chain((0..3).map(|n| format!("w{n}"))));
    all_list(&trio.nodes[1..], &channel, &left);
    assert_quiet(&trio.nodes[1..], &channel, &mut watchers);
    drop((dying, elsewhere));
}

/// The same with a thousand members, in ten channels.
///
/// Proves: N6.
#[test]
fn a_thousand_members_of_a_killed_node_leave_once() {
    let trio = Trio::own(|setup| {
        setup.apps(&NODE_APPS.replace("client_events_per_second = 0", "presence_members_per_channel = 500"))
    });
    let channels: Vec<String> = (0..10).map(|_| unique("presence-room-")).collect();
    let mut watchers: Vec<Socket> = Vec::new();
    for node in &trio.nodes[1..] {
        let mut watcher = node.target.connect();
        for channel in &channels {
            watcher.subscribe_presence(channel, &format!("w-{}", node.name), &Value::Null);
            let _ = watcher.drain();
        }
        watchers.push(watcher);
    }
    let mut dying: Vec<Socket> = Vec::new();
    for n in 0..100 {
        let mut socket = trio.nodes[0].target.connect();
        for channel in &channels {
            socket.join(channel, &format!(r#"{{"user_id":"u{n}"}}"#));
        }
        dying.push(socket);
    }
    let everybody = sorted((0..100).map(|n| format!("u{n}")).chain(["w-b".to_owned(), "w-c".to_owned()]));
    for channel in &channels {
        all_list(&trio.nodes, channel, &everybody);
        let _ = crate::settle(&trio.nodes, channel, &mut watchers);
    }
    trio.nodes[0].broker().kill();
    let mut gone: Vec<(String, String)> = channels
        .iter()
        .flat_map(|channel| (0..100).map(move |n| (channel.clone(), format!("u{n}"))))
        .collect();
    gone.sort_unstable();
    for watcher in &mut watchers {
        let mut told = Vec::new();
        while told.len() < gone.len() {
            let message = watcher.message();
            assert_eq!(message.event, REMOVED, "{}", message.whole);
            let user = message.decoded()["user_id"].as_str().unwrap().to_owned();
            told.push((message.channel.unwrap(), user));
        }
        told.sort_unstable();
        assert_eq!(told, gone);
    }
    for channel in &channels {
        all_list(&trio.nodes[1..], channel, &sorted(["w-b", "w-c"]));
        assert_quiet(&trio.nodes[1..], channel, &mut watchers);
    }
    let lists: Vec<Value> = trio.nodes[1..]
        .iter()
        .map(|node| {
            node.target
                .get("/channels")
                .query("info", "user_count")
                .query("filter_by_prefix", "presence-")
                .send()
                .json()
        })
        .collect();
    assert_eq!(lists[0], lists[1]);
    drop(dying);
}

/// A node that is killed and started again under its name is another node: who was on the old one leaves once, and who
/// comes to the new one joins once, whichever is told first.
///
/// Proves: N6, N17.
#[test]
fn a_node_that_comes_back_is_another() {
    let mut trio = Trio::own(|setup| setup);
    let channel = unique("presence-room-");
    let mut watcher = member(&trio.nodes[1], &channel, "watcher");
    let _old: Vec<Socket> = (0..5).map(|n| member(&trio.nodes[0], &channel, &format!("old{n}"))).collect();
    let _ = users_told(&mut watcher, crate::ADDED, 5);
    trio.nodes[0].broker().kill();
    trio.nodes[0] = trio.setup.start_node("a");
    let mut new = member(&trio.nodes[0], &channel, "new");
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    while added.len() + removed.len() < 6 {
        let message = watcher.message();
        let user = message.decoded()["user_id"].as_str().unwrap().to_owned();
        if message.event == REMOVED { removed.push(user) } else { added.push(user) }
    }
    assert_eq!(added, ["new"]);
    assert_eq!(sorted(removed), sorted((0..5).map(|n| format!("old{n}"))));
    all_list(&trio.nodes, &channel, &sorted(["new", "watcher"]));
    let _ = crate::settle(&trio.nodes, &channel, [&mut new]);
    assert_quiet(&trio.nodes, &channel, [&mut watcher]);
}
