//! Channels with a history on several nodes, for those who read them in other ways: server-sent events, the pipe, and cache channels.

use heliostat_protocol_tests::http::{Connection, Endless};
use heliostat_protocol_tests::tab::{Tab, complete, fresh_name, incomplete};
use heliostat_protocol_tests::{Node, Pipe, Setup, unique};
use serde_json::{Value, json};

use crate::Trio;

/// The usual app, which gives out its channels as streams, and keeps their last events.
const KEEPING: &str = "\
[[apps]]
id = \"1001\"
key = \"app-key\"
secret = \"app-secret\"
http_streams = true

[[apps.channels]]
pattern = \"*\"
history = { events = 1000 }
";

fn keeping(setup: Setup) -> Setup {
    setup.apps(KEEPING)
}

/// A reader of server-sent events, which comes with this id if it has one.
fn reader(node: &Node, channel: &str, id: Option<&str>) -> Endless {
    let header = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let path = format!("/apps/{}/channels/{channel}/sse", node.target.credentials.app_id);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
    Endless::open(Connection::open(&node.target), request.as_bytes())
}

/// What comes until there is this line, as pairs of the event's name and its data; and the last id.
fn up_to(stream: &mut Endless, line: &str) -> (Vec<(String, String)>, String) {
    let mut read = stream.up_to(line.as_bytes());
    read.extend(stream.up_to(b"\n\n"));
    let (text, mut events, mut last) = (String::from_utf8(read).unwrap(), Vec::new(), String::new());
    for block in text.split("\n\n") {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        last = field("id: ").unwrap_or(last);
        events.extend(field("event: ").zip(field("data: ")));
    }
    (events, last)
}

fn pair(event: &str, data: &str) -> (String, String) {
    (event.to_owned(), data.to_owned())
}

/// A reader goes from node to node with the id of the last event that it has, and hears each event once.
///
/// Proves: recovery.
#[test]
fn a_reader_of_server_sent_events_goes_on_at_another_node() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let mut stream = reader(&trio.nodes[0], &channel, None);
    trio.nodes[1].target.publish(&channel, "news", "1");
    let (events, mut id) = up_to(&mut stream, "data: 1");
    assert_eq!(events, [pair("news", "1")]);
    for round in 1..6 {
        drop(stream);
        let [first, second] = [2 * round, 2 * round + 1].map(|number| number.to_string());
        trio.nodes[round % 3].target.publish(&channel, "news", &first);
        stream = reader(&trio.nodes[round % 3], &channel, Some(&id));
        let (missed, _) = up_to(&mut stream, "event: pusher:resumed");
        let told = r#"{"complete":true,"events":1}"#;
        assert_eq!(missed, [pair("news", &first), pair("pusher:resumed", told)], "after {id}");
        trio.nodes[(round + 1) % 3].target.publish(&channel, "news", &second);
        let live;
        (live, id) = up_to(&mut stream, &format!("data: {second}\n"));
        assert_eq!(live, [pair("news", &second)]);
    }
    let mut stranger = reader(&trio.nodes[0], &channel, Some("1234-5"));
    let (told, _) = up_to(&mut stranger, "event: pusher:resumed");
    assert_eq!(told, [pair("pusher:resumed", r#"{"complete":false,"events":0}"#)]);
}

/// A backend on the pipe of any node reads what a channel keeps, also where that node hears nothing of it, and goes on at another
/// node where it stopped.
///
/// Proves: recovery.
#[test]
fn a_backend_reads_the_history_on_the_pipe_of_any_node() {
    let trio = Trio::own(keeping);
    let channel = unique("orders-");
    let mut socket = trio.nodes[0].target.connect();
    socket.subscribe(&channel);
    for text in ["1", "2", "3"] {
        trio.nodes[1].target.publish(&channel, "placed", text);
        assert_eq!(socket.expect_on(&channel, "placed").data, json!(text));
    }
    let mut pipes = trio.nodes.each_ref().map(|node| Pipe::connect_as(&node.target, Some("1.0")));
    let mut ask = |node: usize, more: &Value| {
        let mut params = json!({ "channel": channel });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = pipes[node].request("history", &params);
        let events = told["events"].as_array().unwrap();
        let data: Vec<String> =
            events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect();
        let last = events.last().map(|event| event["position"].clone()).unwrap_or_default();
        (data, told["complete"].as_bool().unwrap(), told["more"].as_bool().unwrap(), last)
    };
    for node in 0..3 {
        let (data, _, more, first) = ask(node, &json!({ "limit": 1 }));
        assert_eq!((data, more), (vec!["1".to_owned()], true), "node {node}");
        let rest = ask((node + 1) % 3, &json!({ "after": first }));
        assert_eq!((rest.0, rest.1, rest.2), (vec!["2".to_owned(), "3".to_owned()], true, false));
        let last = ask(node, &json!({ "rewind": { "events": 2 } }));
        assert_eq!((last.0, last.1), (vec!["2".to_owned(), "3".to_owned()], true), "node {node}");
    }
}

/// On a cache channel with a history, who comes back to another node is sent what it missed in place of what is remembered, and
/// whoever is new is sent that, once.
///
/// Proves: recovery.
#[test]
fn a_cache_channel_with_a_history_sends_what_was_missed_or_what_it_remembers() {
    let trio = Trio::own(keeping);
    let (channel, name) = (unique("cache-news-"), fresh_name());
    trio.nodes[1].target.publish(&channel, "news", "1");
    let mut socket = trio.nodes[0].target.named(&name).connect();
    socket.answers_pings = false;
    let (mut tab, resumed) = Tab::of(socket, &channel);
    assert_eq!(resumed.complete, incomplete().complete, "it was not here before");
    trio.nodes[1].target.publish(&channel, "news", "2");
    tab.echo_all(Some("2"));
    tab.cut();
    trio.nodes[2].target.publish(&channel, "news", "3");
    trio.nodes[0].target.publish(&channel, "news", "4");
    let (mut tab, resumed) = Tab::open(&trio.nodes[1].target, &name, &channel);
    let told: Vec<&str> = resumed.events.iter().filter_map(Value::as_str).collect();
    assert!(resumed.complete && complete(&told) == resumed && told.ends_with(&["3", "4"]), "{resumed:?}");
    trio.nodes[2].target.publish(&channel, "news", "5");
    assert_eq!(tab.socket.expect_on(&channel, "news").data, json!("5"), "not what is remembered");
    for node in &trio.nodes {
        let mut new = node.target.connect();
        new.subscribe(&channel);
        assert_eq!(new.expect_on(&channel, "news").data, json!("5"), "{}", node.name);
        new.assert_silence();
    }
}
