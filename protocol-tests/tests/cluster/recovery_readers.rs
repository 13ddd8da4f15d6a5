//! Channels with a history on several nodes, for backends on the pipe.

use heliostat_protocol_tests::{Pipe, Setup, unique};
use serde_json::{Value, json};

use crate::Trio;

/// The usual app, whose channels keep their last events.
const KEEPING: &str = "\
[[apps]]
id = \"1001\"
key = \"app-key\"
secret = \"app-secret\"

[[apps.channels]]
pattern = \"*\"
history = { events = 1000 }
";

fn keeping(setup: Setup) -> Setup {
    setup.apps(KEEPING)
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
