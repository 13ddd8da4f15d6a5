//! The console of one node, which shows what all have.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::{Engine, Forwarder, Node, Setup, Socket};
use serde_json::{Value, json};

use crate::users::signed_in;
use crate::webhooks::{Told, apps, sink};
use crate::{eventually, eventually_is};

/// What the console of a node answers, and how.
#[track_caller]
fn ask(node: &Node, path: &str) -> (u16, Value) {
    let path = format!("/console/api/apps/{}{path}", node.target.credentials.app_id);
    let answer = node.api("GET", &path, &Value::Null);
    (answer.status, serde_json::from_str(answer.text()).unwrap())
}

/// What it shows when all nodes have answered, which a busy machine may keep from doing so in time.
#[track_caller]
fn show(node: &Node, path: &str) -> Value {
    eventually(path, || {
        let (status, shown) = ask(node, path);
        let is_whole = status == 200 && shown["silent"].as_array().is_none_or(Vec::is_empty);
        is_whole.then_some(shown)
    })
}

/// What is in a list, each with the name of its node.
fn listed<'a>(page: &'a Value, of: &str) -> Vec<(&'a str, &'a str)> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (item[of].as_str().unwrap(), item["node_name"].as_str().unwrap())).collect()
}

/// The names of those that have not answered.
fn silent(shown: &Value) -> Vec<&str> {
    let silent = shown["silent"].as_array().unwrap().iter();
    silent.map(|node| node["name"].as_str().unwrap()).collect()
}

/// Reads until the connection is closed.
#[track_caller]
fn closed_with(socket: &mut Socket) -> (u16, String) {
    let closed = socket.expect_close();
    (closed.code, closed.reason)
}

/// A connection is found by the console of any node, shown, and closed; users, subscribers, the pipe and the overview are those
/// of all nodes; and a node that does not answer is named within the bound.
///
/// Proves: N8.
#[test]
fn any_node_shows_and_closes_the_connections_of_all() {
    let engine = Engine::standalone();
    let [a, b]: [Node; 2] = Setup::on(&engine).start();
    let near = signed_in(&a, "ann", &Value::Null);
    let mut far = signed_in(&b, "ann", &Value::Null);
    far.subscribe("room");

    let page = show(&a, "/connections?details=1");
    let mut found = listed(&page, "socket_id");
    found.sort_unstable_by_key(|(_, node)| *node);
    assert_eq!(found, [(&*near.id, "a"), (&*far.id, "b")], "{page}");
    assert_eq!((&page["total"], &page["items"][0]["user_id"]), (&json!(2), &json!("ann")));
    let first = show(&a, "/connections?limit=1");
    let second = show(&a, &format!("/connections?limit=1&after={}", first["next"].as_str().unwrap()));
    let of_pages = [listed(&first, "socket_id"), listed(&second, "socket_id")].concat();
    assert_eq!(of_pages, listed(&page, "socket_id"), "page by page it is the same");
    assert_eq!(second["next"], Value::Null);
    for path in ["/connections?channel=room", "/channels/room/subscribers"] {
        assert_eq!(listed(&show(&a, path), "socket_id"), [(&*far.id, "b")], "{path}");
    }
    let users = show(&a, "/users?prefix=an");
    assert_eq!((&users["items"][0]["connections"], &users["total"]), (&json!(2), &json!(1)), "{users}");
    assert_eq!(show(&a, "/users/ann")["connections"].as_array().unwrap().len(), 2);
    assert_eq!(show(&a, "/pipe")["nodes"].as_array().unwrap().len(), 2);
    let overview = eventually("samples of both", || {
        let overview = a.api("GET", "/console/api/overview", &Value::Null).json();
        let nodes = overview["nodes"].as_array().unwrap().len();
        let all = overview["samples"].as_array()?.last()?.get(1)?.as_u64()?;
        (nodes == 2 && all == 2).then_some(overview)
    });
    assert!(silent(&overview).is_empty(), "{overview}");

    let detail = show(&a, &format!("/connections/{}", far.id));
    assert_eq!((&detail["node_name"], &detail["subscriptions"][0]["channel"]), (&json!("b"), &json!("room")));
    let app = a.target.credentials.app_id.clone();
    let close = format!("/console/api/apps/{app}/connections/{}/close", far.id);
    let answer = a.api("POST", &close, &json!({ "code": 4001, "reason": "enough" }));
    assert_eq!((answer.status, answer.json()), (200, json!({ "closed": true })));
    assert_eq!(closed_with(&mut far), (4001, "enough".to_owned()));
    eventually("it is gone", || (ask(&a, &format!("/connections/{}", far.id)).0 == 404).then_some(()));

    b.broker().pause();
    let began = Instant::now();
    let (_, page) = ask(&a, "/connections");
    let took = began.elapsed();
    assert_eq!((listed(&page, "socket_id"), silent(&page)), (vec![(&*near.id, "a")], vec!["b"]), "{page}");
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    // What this node refuses by itself waits for nobody; the other one would be waited for three seconds.
    let began = Instant::now();
    assert_eq!(ask(&a, "/channels/a%20b/subscribers").0, 400);
    assert_eq!(a.api("GET", "/console/api/overview?app=nobody", &Value::Null).status, 404);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    b.broker().resume();
}

/// Whether the first endpoint is paused on each of the nodes that answer this one.
fn paused(at: &Node) -> Vec<Value> {
    let shown = show(at, "/webhooks");
    let nodes = shown["endpoints"][0]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["paused"].clone()).collect()
}

/// An endpoint of webhooks that was paused is paused by a node that starts later as well, which the console shows; any node resumes it on
/// all, and what waited is sent.
///
/// Proves: N12, console.
#[test]
fn a_node_that_starts_pauses_what_is_paused() {
    let (engine, sink) = (Engine::standalone(), sink());
    let setup = Setup::on(&engine).apps(&apps(&sink, 1.0));
    let [a]: [Node; 1] = setup.start();
    let path = |what: &str| format!("/console/api/apps/{}/webhooks/0/{what}", a.target.credentials.app_id);
    assert_eq!(a.api("POST", &path("pause"), &json!({})).json()["paused"], true);
    let b = setup.start_node("b");
    eventually_is("both have paused it", vec![json!(true); 2], || paused(&a));
    let mut socket = b.target.connect();
    socket.subscribe("room");
    eventually("it waits at both", || {
        let shown = show(&b, "/webhooks");
        let endpoint = &shown["endpoints"][0];
        (endpoint["waiting"].as_u64() > Some(0) && endpoint["attempts"] == json!([])).then_some(())
    });
    assert_eq!(b.api("POST", &path("resume"), &json!({})).json()["paused"], false);
    assert_eq!(paused(&a), [json!(false), json!(false)]);
    Told::default().until(&sink, "channel_occupied", "room");
}

/// A node whose bus was away learns what was said elsewhere meanwhile, and the others what was said there: the last change holds, not the
/// one that is told last.
///
/// Proves: N12, N16, console.
#[test]
fn a_pause_that_was_missed_is_learned_when_the_bus_is_back() {
    let (engine, sink) = (Engine::standalone(), sink());
    let forwarder = Forwarder::start(engine.server().port());
    let setup = Setup::on(&engine).apps(&apps(&sink, 1.0));
    let (a, b) = (setup.start_node("a"), setup.reaching(&forwarder).start_node("b"));
    let path = |what: &str| format!("/console/api/apps/{}/webhooks/0/{what}", a.target.credentials.app_id);
    let say = |at: &Node, what: &str| assert_eq!(at.api("POST", &path(what), &json!({})).status, 200);
    let is = |at: &Node| ask(at, "/webhooks").1["endpoints"][0]["paused"].clone();
    eventually("they know each other", || (paused(&a).len() == 2 && paused(&b).len() == 2).then_some(()));
    say(&a, "pause");
    assert_eq!(paused(&a), [json!(true), json!(true)]);
    // It is resumed at the one, and the other one does not hear it.
    forwarder.cut();
    b.await_not_ready();
    say(&a, "resume");
    assert_eq!((is(&a), is(&b)), (json!(false), json!(true)));
    forwarder.heal();
    eventually_is("it goes on at both", vec![json!(false); 2], || paused(&b));
    // It is paused at the one that is alone.
    forwarder.cut();
    b.await_not_ready();
    say(&b, "pause");
    assert_eq!((is(&a), is(&b)), (json!(false), json!(true)));
    forwarder.heal();
    eventually_is("it is paused at both", vec![json!(true); 2], || paused(&a));
}
