//! Channels with a history on several nodes, for those who read them in other ways: server-sent events, the pipe, and cache channels.

use heliostat_protocol_tests::http::{Connection, Endless};
use heliostat_protocol_tests::tab::{Tab, fresh_name};
use heliostat_protocol_tests::{Node, Pipe, Setup, Socket, unique};
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

/// A reader of server-sent events.
struct Reader {
    stream: Endless,
    /// The last id that it has, by which it goes on.
    last_id: Option<String>,
}

impl Reader {
    /// Opens the stream at a node, with this id if it has one.
    #[track_caller]
    fn open(node: &Node, channel: &str, last_id: Option<&str>) -> Reader {
        let header = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let path = format!("/apps/{}/channels/{channel}/sse", node.target.credentials.app_id);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let stream = Endless::open(Connection::open(&node.target), request.as_bytes());
        assert_eq!(stream.head.status, 200, "{}", stream.head);
        Reader { stream, last_id: last_id.map(str::to_owned) }
    }

    /// The line is cut, and it goes on at this node.
    #[track_caller]
    fn go_on_at(self, node: &Node, channel: &str) -> Reader {
        let Reader { stream, last_id } = self;
        drop(stream);
        Reader::open(node, channel, Some(last_id.as_deref().expect("an id")))
    }

    /// Reads a block of lines: the name and the data of an event, if it is one.
    #[track_caller]
    fn block(&mut self) -> Option<(String, String)> {
        let block = String::from_utf8(self.stream.up_to(b"\n\n")).unwrap();
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        self.last_id = field("id: ").or(self.last_id.take());
        field("event: ").zip(field("data: "))
    }

    /// The next event must be this one.
    #[track_caller]
    fn expect(&mut self, event: &str, data: &str) {
        loop {
            if let Some((came, with)) = self.block() {
                assert_eq!((&*came, &*with), (event, data), "after {:?}", self.last_id);
                return;
            }
        }
    }

    /// Of a reader that has come back these must be the next events, and it must be told, once, that all were sent again which were
    /// there. What its node has not heard yet comes behind that.
    #[track_caller]
    fn expect_missed(&mut self, missed: &[&str]) {
        let (mut events, mut told) = (Vec::new(), None);
        while told.is_none() || events.len() < missed.len() {
            let Some((event, data)) = self.block() else { continue };
            if event == "pusher:resumed" {
                let all = json!({ "complete": true, "events": events.len() });
                let came: Value = serde_json::from_str(&data).unwrap();
                assert_eq!((came, told), (all, None), "after {events:?}");
                told = Some(());
            } else {
                events.push(data);
            }
        }
        assert_eq!(events, missed);
    }
}

/// A reader goes from node to node with the id of the last event that it has, and hears each event once, in order, also what was
/// published through whatever node while it was away.
///
/// Proves: recovery.
#[test]
fn a_reader_of_server_sent_events_goes_on_at_another_node() {
    let trio = Trio::own(keeping);
    let channel = unique("news-");
    let mut reader = Reader::open(&trio.nodes[0], &channel, None);
    while reader.last_id.is_none() {
        assert_eq!(reader.block(), None, "it is told where it begins");
    }
    trio.nodes[2].target.publish(&channel, "news", "0");
    reader = reader.go_on_at(&trio.nodes[1], &channel);
    reader.expect_missed(&["0"]);
    for round in 1..7 {
        let [at, other] = [&trio.nodes[round % 3], &trio.nodes[(round + 1) % 3]];
        let [live, first, second] = ["live", "first", "second"].map(|what| format!("{what} {round}"));
        other.target.publish(&channel, "news", &live);
        reader.expect("news", &live);
        drop(reader.stream);
        at.target.publish(&channel, "news", &first);
        other.target.publish(&channel, "news", &second);
        reader = Reader::open(at, &channel, reader.last_id.as_deref());
        reader.expect_missed(&[&first, &second]);
    }
    let mut stranger = Reader::open(&trio.nodes[0], &channel, Some("1234-5"));
    stranger.expect("pusher:resumed", r#"{"complete":false,"events":0}"#);
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
    socket.subscribe(&channel);
    assert_eq!(socket.expect_on(&channel, "news").data, json!("1"), "remembered");
    let told = socket.expect_on(&channel, "pusher:resumed").decoded();
    assert_eq!(told["complete"], json!(false), "it was not here before");
    let mut tab = Tab { socket, channel: channel.clone() };
    trio.nodes[1].target.publish(&channel, "news", "2");
    tab.echo_all(Some("2"));
    tab.cut();
    trio.nodes[2].target.publish(&channel, "news", "3");
    trio.nodes[0].target.publish(&channel, "news", "4");
    let (mut tab, resumed) = Tab::open(&trio.nodes[1].target, &name, &channel);
    let told: Vec<&str> = resumed.events.iter().filter_map(Value::as_str).collect();
    assert!(resumed.complete && ["2", "3", "4"].ends_with(&told) && told.len() >= 2, "{resumed:?}");
    trio.nodes[2].target.publish(&channel, "news", "5");
    let next = |socket: &mut Socket| socket.expect_on(&channel, "news").data;
    assert_eq!(next(&mut tab.socket), json!("5"), "and not what is remembered");
    for node in &trio.nodes {
        let mut new = node.target.connect();
        new.subscribe(&channel);
        assert_eq!(next(&mut new), json!("5"), "{}", node.name);
        new.assert_silence();
    }
}
