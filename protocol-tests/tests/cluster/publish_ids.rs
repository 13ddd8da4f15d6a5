//! Publishing once: a publisher that has not heard an answer may ask another node again.

use std::thread;

use heliostat_protocol_tests::http::Response;
use heliostat_protocol_tests::{Node, unique};
use serde_json::{Value, json};

use crate::{Trio, eventually, on_shared_nodes};

fn publish(node: &Node, id: &str, body: &Value) -> Response {
    node.target.post("/events", body).header("Idempotency-Key", id).send()
}

fn event(channel: &str, name: &str) -> Value {
    json!({ "name": name, "channel": channel, "data": "x", "info": "subscription_count" })
}

fn is_replayed(answer: &Response) -> bool {
    answer.header("idempotent-replayed").is_some()
}

/// Asks again, until it is no longer under way.
fn publish_again(node: &Node, id: &str, body: &Value) -> Response {
    eventually("it is no longer under way", || {
        let answer = publish(node, id, body);
        (answer.status != 409).then_some(answer)
    })
}

/// What one node has published, no other publishes, whichever is asked; also after the death of the one that did.
///
/// Proves: publish ids.
#[test]
fn what_one_node_has_published_no_other_does() {
    let trio = Trio::own(|setup| setup);
    let channel = unique("room-");
    let mut sockets = [1, 2].map(|n| {
        let mut socket = trio.nodes[n].target.connect();
        socket.subscribe(&channel);
        socket
    });
    let body = event(&channel, "once");
    let first = publish(&trio.nodes[0], "a", &body);
    assert!(first.status == 200 && !is_replayed(&first), "{first}");
    for node in &trio.nodes {
        let again = publish_again(node, "a", &body);
        assert_eq!((again.status, again.text(), is_replayed(&again)), (200, first.text(), true));
        assert_eq!(publish_again(node, "a", &event(&channel, "other")).status, 422);
    }
    let batch = |names: [&str; 2]| {
        let items = names.map(|name| json!({ "name": name, "channel": channel, "data": "x", "id": name }));
        eventually("it is no longer under way", || {
            let [first, second] = &trio.nodes[..2] else { panic!("three nodes") };
            let node = if names[0] == "b" { first } else { second };
            let answer = node.target.batch_events(&items);
            (answer.status != 409).then_some(answer)
        })
    };
    assert_eq!(batch(["b", "c"]).status, 200);
    assert!(!is_replayed(&batch(["c", "d"])), "one of them is new");
    assert!(is_replayed(&batch(["d", "c"])));
    trio.nodes[0].broker().kill();
    for node in &trio.nodes[1..] {
        assert!(is_replayed(&publish_again(node, "a", &body)));
    }
    for socket in &mut sockets {
        for expected in ["once", "b", "c", "d"] {
            assert_eq!(socket.message().event, expected);
        }
    }
}

/// Of many that ask all nodes at once, one is answered as the first.
///
/// Proves: publish ids.
#[test]
fn of_many_at_once_on_all_nodes_one_is_sent() {
    on_shared_nodes(|trio| {
        let channel = unique("room-");
        let mut socket = trio.nodes[0].target.connect();
        socket.subscribe(&channel);
        for round in 0..10 {
            let (id, body) = (unique("id-"), event(&channel, &format!("round-{round}")));
            let answers: Vec<Response> = thread::scope(|scope| {
                let asking: Vec<_> = (0..6)
                    .map(|n| {
                        let (node, id, body) = (&trio.nodes[n % 3], &id, &body);
                        scope.spawn(move || publish(node, id, body))
                    })
                    .collect();
                asking.into_iter().map(|asking| asking.join().unwrap()).collect()
            });
            assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status)), "{answers:?}");
            let firsts = answers.iter().filter(|answer| answer.status == 200 && !is_replayed(answer));
            assert_eq!(firsts.count(), 1, "{answers:?}");
            assert_eq!(socket.message().event, format!("round-{round}"));
        }
    });
}

/// While the engine does not answer, a publisher is answered all the same, after a time; whoever asks its node again
/// meanwhile is told that it is under way, and afterwards that it was done.
///
/// Proves: publish ids, N15.
#[test]
fn what_waits_for_the_engine_is_under_way() {
    let trio = Trio::own(|setup| setup);
    let node = &trio.nodes[0];
    let channel = unique("room-");
    let mut socket = node.target.connect();
    socket.subscribe(&channel);
    let body = event(&channel, "slow");
    trio.engine.server().pause();
    let mut answers = thread::scope(|scope| {
        let asking: Vec<_> = (0..2).map(|_| scope.spawn(|| publish(node, "a", &body))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect::<Vec<_>>()
    });
    answers.sort_by_key(|answer| answer.status);
    let [first, second] = &answers[..] else { panic!("two answers") };
    assert!(first.status == 200 && !is_replayed(first), "{first}");
    second.assert_error(409, "The request with the id \"a\" is under way: try again in 1 s");
    assert_eq!(second.header("retry-after"), Some("1"));
    assert!(is_replayed(&publish(node, "a", &body)));
    trio.engine.server().resume();
    assert!(is_replayed(&publish(node, "a", &body)));
    assert_eq!(socket.message().event, "slow");
    socket.assert_silence();
}
