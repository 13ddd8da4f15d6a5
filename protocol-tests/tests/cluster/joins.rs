//! Joins: who has been told of a success hears everything from then on.

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::{Forwarder, Node, Setup, unique};
use serde_json::json;

use crate::{ADDED, Trio, ask_for, assert_quiet, member, on_shared_nodes};

const SUCCEEDED: &str = "pusher_internal:subscription_succeeded";

/// The first subscriber of a channel on a node hears what another node accepts right after the success, two hundred times.
///
/// Proves: N2.
#[test]
pub(crate) fn the_first_subscriber_hears_what_is_published_right_after_its_success() {
    on_shared_nodes(|trio| {
        let mut connections: Vec<Connection> =
            trio.nodes.iter().map(|node| Connection::open(&node.target)).collect();
        let mut sockets: Vec<_> = trio.nodes.iter().map(|node| node.target.connect()).collect();
        for round in 0..200 {
            let channel = unique("room-");
            let (there, here) = (round % 3, (round + 1 + round / 3 % 2) % 3);
            sockets[there].subscribe(&channel);
            let body = json!({ "name": "soon", "channel": channel, "data": round.to_string() });
            let answer = trio.nodes[here].target.post("/events", &body).send_on(&mut connections[here]);
            answer.assert_empty_object();
            assert_eq!(sockets[there].expect_on(&channel, "soon").data, json!(round.to_string()));
            // What is left of it must not matter for the next.
            if round % 2 == 0 {
                sockets[there].unsubscribe(&channel);
            }
        }
    });
}

/// A channel that is left and joined again, over and over, ends in what was asked for last: confirmations are not taken for
/// those of another time.
///
/// Proves: N2.
#[test]
fn joining_and_leaving_over_and_over_ends_in_the_last_word() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut socket = trio.nodes[1].target.connect();
        let join = json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string();
        let leave = json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }).to_string();
        for round in 0..30 {
            let mut texts: Vec<&str> = Vec::new();
            for _ in 0..round % 4 {
                texts.extend([join.as_str(), leave.as_str()]);
            }
            texts.push(&join);
            socket.send_together(texts);
            // A join that is taken back while it waits is not answered; the last one is, in any case.
            let asked = unique("asked-");
            socket.expect_on(&channel, SUCCEEDED);
            let mut successes = 1;
            loop {
                trio.nodes[0].target.publish(&channel, &asked, "");
                let heard = crate::whatever_came(&mut socket);
                successes += heard.iter().filter(|message| message.event == SUCCEEDED).count();
                assert!(successes <= 1 + round % 4);
                if heard.iter().any(|message| message.event == asked) {
                    break;
                }
            }
            socket.unsubscribe(&channel);
            let _ = socket.drain();
        }
    });
}

/// What a client says about a channel right behind its first subscription there waits for that, and then goes on.
///
/// Proves: N2.
#[test]
pub(crate) fn what_follows_a_waiting_join_queues_behind_it() {
    on_shared_nodes(|trio| {
        for round in 0..20 {
            let channel = unique("private-room-");
            let mut other = trio.nodes[(round + 1) % 3].target.connect();
            other.subscribe_private(&channel);
            let mut socket = trio.nodes[round % 3].target.connect();
            let auth = socket.auth(&channel, None);
            let join = json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } });
            let mut texts = vec![join.to_string()];
            for n in 0..5 {
                texts.push(
                    json!({ "event": "client-n", "channel": channel, "data": n.to_string() }).to_string(),
                );
            }
            socket.send_together(texts.iter().map(String::as_str));
            socket.expect_on(&channel, SUCCEEDED);
            for n in 0..5 {
                assert_eq!(other.expect_on(&channel, "client-n").data, json!(n.to_string()));
            }
            socket.assert_silence();
        }
    });
}

/// Two nodes, of which the second reaches the engine through a forwarder.
fn one_behind_a_forwarder() -> (Trio, Node, Forwarder) {
    let trio = Trio::own(|setup| setup);
    let forwarder = Forwarder::start(trio.engine.server().port());
    let setup: Setup = trio.setup.reaching(&forwarder);
    let node = setup.start_node("d");
    (trio, node, forwarder)
}

/// A join that waits for an engine which says nothing is in no roster, is told apart from a second one, and is taken back
/// without a word; one that is not taken back succeeds all the same after a while.
///
/// Proves: N2.
#[test]
fn a_waiting_join_can_be_taken_back_and_does_not_wait_for_ever() {
    let (trio, node, forwarder) = one_behind_a_forwarder();
    let (channel, taken_back) = (unique("presence-room-"), unique("presence-room-"));
    let mut watcher = member(&trio.nodes[0], &channel, "watcher");
    let mut other = member(&trio.nodes[0], &taken_back, "watcher");
    let mut socket = node.target.connect();
    // What the node has asked before is answered.
    node.target.publish(&channel, "before", "");
    watcher.expect_on(&channel, "before");
    forwarder.stall();
    let join = |channel: &str, user: &str| {
        let data = json!({ "user_id": user }).to_string();
        let auth = socket.auth(channel, Some(&data));
        json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth, "channel_data": data } })
            .to_string()
    };
    let (first, second, back) = (join(&channel, "ann"), join(&channel, "ann"), join(&taken_back, "bob"));
    let leave = json!({ "event": "pusher:unsubscribe", "data": { "channel": taken_back } }).to_string();
    socket.send_together([back.as_str(), leave.as_str(), first.as_str(), second.as_str()]);
    let answers = [socket.message(), socket.message()];
    let refused =
        answers.iter().find(|answer| answer.event.ends_with("error")).expect("the second is refused");
    assert!(refused.whole.to_string().contains("Existing subscription"), "{}", refused.whole);
    let roster = answers.iter().find(|answer| answer.event == SUCCEEDED).expect("the first succeeds");
    assert_eq!(roster.channel.as_deref(), Some(channel.as_str()));
    forwarder.heal();
    let added = watcher.expect_on(&channel, ADDED).decoded();
    assert_eq!(added["user_id"], json!("ann"));
    assert_quiet(&trio.nodes, &taken_back, [&mut other]);
    assert_eq!(node.users(&taken_back), ["watcher"]);
    assert!(
        crate::whatever_came(&mut socket).iter().all(|message| message.channel != Some(taken_back.clone()))
    );
}

/// A client that goes while its join waits leaves nothing behind.
///
/// Proves: N2, N5.
#[test]
fn a_client_that_goes_while_its_join_waits_leaves_nothing_behind() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let mut watcher = member(&trio.nodes[0], &channel, "watcher");
        for round in 0..30 {
            let mut socket = trio.nodes[1 + round % 2].target.connect();
            socket.join(&channel, &json!({ "user_id": format!("u{round}") }).to_string());
            socket.vanish();
        }
        crate::all_list(&trio.nodes, &channel, &["watcher".to_owned()]);
        // Each was announced and left again, or neither.
        let mut there = std::collections::BTreeSet::new();
        for heard in crate::settle(&trio.nodes, &channel, [&mut watcher]) {
            for message in heard {
                let user = message.decoded()["user_id"].as_str().unwrap().to_owned();
                match message.event.as_str() {
                    ADDED => assert!(there.insert(user.clone()), "{user} was there"),
                    _ => assert!(there.remove(&user), "{user} was not there"),
                }
            }
        }
        assert!(there.is_empty(), "{there:?}");
        ask_for(&mut watcher, &unique("private-room-"));
        watcher.expect(SUCCEEDED);
    });
}
