//! Relays: what backends publish is published on another server as well, once and in its order, and nobody waits for it.

mod faults;
mod other_server;

use std::time::Duration;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Target, patience, unique};
use serde_json::{Value, json};

use crate::admin::{admin_of, ask};
use crate::eventually;
use other_server::{OtherServer, Reaction, SECRET, answer};

/// A broker whose app relays, and its admin listener.
struct Relaying {
    target: Target,
    admin: Target,
}

/// The table of a relay to a server on this machine, with more lines.
fn relay_to(port: u16, more: &str) -> String {
    format!(
        "\n[[apps.relay]]\nurl = \"http://127.0.0.1:{port}/ws\"\napp_id = \"7\"\nkey = \"old-key\"\n\
         secret = \"{SECRET}\"\n{more}\n"
    )
}

/// The table of a relay to the main app of another broker.
fn relay_to_broker(other: &Target) -> String {
    let Credentials { app_id, key, secret } = &other.credentials;
    let port = other.port;
    format!(
        "\n[[apps.relay]]\nurl = \"http://127.0.0.1:{port}\"\napp_id = \"{app_id}\"\nkey = \"{key}\"\n\
         secret = \"{secret}\"\n"
    )
}

fn config(relays: &str) -> String {
    format!("[server]\nshutdown_grace_seconds = 1\n[admin]\nenabled = true\nport = 0\n{MAIN_APP}{relays}")
}

impl Relaying {
    fn start(relays: &str) -> Option<Relaying> {
        let target = Target::own(&config(relays))?;
        Some(Relaying { admin: admin_of(&target), target })
    }

    /// The value of a series of the relays, by what follows `heliostat_relay_`.
    #[track_caller]
    fn figure(&self, series: &str) -> u64 {
        let scrape = ask(&self.admin, "GET", "/metrics", "");
        let name = format!("heliostat_relay_{series} ");
        let found = scrape.text().lines().find_map(|line| line.strip_prefix(name.as_str()));
        found.unwrap_or_else(|| panic!("no {name}in {scrape}")).parse::<f64>().expect("a number") as u64
    }

    /// Events by what became of them.
    #[track_caller]
    fn events(&self, result: &str) -> u64 {
        self.figure(&format!(
            "events_total{{app_id=\"{}\",result=\"{result}\"}}",
            self.target.credentials.app_id
        ))
    }

    #[track_caller]
    fn await_events(&self, result: &str, number: u64) {
        eventually(&format!("{number} events {result}"), || (self.events(result) == number).then_some(()));
    }

    #[track_caller]
    fn waiting(&self) -> u64 {
        self.figure(&format!("waiting_events{{app_id=\"{}\"}}", self.target.credentials.app_id))
    }

    #[track_caller]
    fn reload(&self, relays: &str) {
        let done = self.target.broker().unwrap().reload(&config(relays));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Publishes events of these names in one channel, one by one.
    #[track_caller]
    fn publish(&self, names: &[String]) {
        names.iter().for_each(|name| self.target.publish("room", name, "x"));
    }
}

/// Names of events: `e0`, `e1` and so on.
fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("e{number}")).collect()
}

/// Whatever a backend publishes is published there, too, as the backend has said it, in the order in which it was
/// published; what clients and pipes send is not.
///
/// Proves: relay.
#[test]
fn what_backends_publish_goes_there_as_well() {
    let other = OtherServer::start();
    let rule =
        "\n[[apps.pipe]]\nfrom = \"stream\"\nevent = \"frame\"\nto = \"mirror\"\nsource = [\"http\"]\n";
    let Some(relaying) = Relaying::start(&(relay_to(other.port, "batch_events = 1") + rule)) else { return };
    let target = &relaying.target;
    let mut client = target.connect();
    client.subscribe_private("private-room");
    client.trigger("private-room", "client-hello", &json!("x"));
    let both = json!({
        "name": "both", "channels": ["room", "private-room"], "data": "{\"a\":\"é\\\"\"}", "socket_id": "0.99999999999"
    });
    target.events(&both).assert_empty_object();
    client.expect("both");
    let object = json!({ "name": "object", "channel": "room", "data": { "b": [1.5, "x"] }, "info": "subscription_count" });
    assert_eq!(target.events(&object).status, 200);
    let batch = ["one", "two"].map(|name| json!({ "name": name, "channel": "room", "data": name }));
    assert_eq!(target.batch_events(&batch).status, 200);
    assert_eq!(
        target.post_bytes("/channels/room/events", "a body").query("name", "older").send().status,
        202
    );
    let user = json!({ "name": "to-ann", "channels": ["#server-to-user-ann"], "data": "x" });
    target.events(&user).assert_empty_object();
    target.publish("stream", "frame", "x");
    target.post("/users/ann%20b/terminate_connections", &json!({})).send().assert_empty_object();

    let first = other.request();
    assert_eq!(first.path, "/ws/apps/7/events");
    assert_eq!(first.header("host"), Some(format!("127.0.0.1:{}", other.port).as_str()));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("x-heliostat-relay").map(str::len), Some(32));
    assert_eq!(first.events(), [both]);
    let expected = [
        json!({ "name": "object", "channels": ["room"], "data": "{\"b\":[1.5,\"x\"]}" }),
        json!({ "name": "one", "channels": ["room"], "data": "one" }),
        json!({ "name": "two", "channels": ["room"], "data": "two" }),
        json!({ "name": "older", "channels": ["room"], "data": "a body" }),
        json!({ "name": "to-ann", "channels": ["#server-to-user-ann"], "data": "x" }),
        json!({ "name": "frame", "channels": ["stream"], "data": "x" }),
    ];
    for event in expected {
        let request = other.request();
        assert_eq!((request.events(), request.path.as_str()), (vec![event], "/ws/apps/7/events"));
    }
    let last = other.request();
    assert_eq!(
        (last.path.as_str(), last.body.as_str()),
        ("/ws/apps/7/users/ann%20b/terminate_connections", "{}")
    );
    relaying.await_events("sent", 8);
    assert_eq!(relaying.waiting(), 0);
}

/// Events that wait share requests, in their order; one that is for several channels has its own. Which channels' events
/// are relayed can be chosen.
///
/// Proves: relay.
#[test]
fn events_that_wait_share_requests() {
    let other = OtherServer::start();
    let more = "batch_events = 4\nchannels = [\"room\", \"private-*\"]";
    let Some(relaying) = Relaying::start(&relay_to(other.port, more)) else { return };
    // While the first one waits, the others come. It is tried again when the settings change.
    other.react([answer(429, "Retry-After: 30\r\n", "")]);
    relaying.publish(&numbered(0..1));
    assert_eq!(other.names(1), [["e0"]]);
    relaying.publish(&numbered(1..4));
    relaying.target.publish("elsewhere", "unwanted", "x");
    let both = json!({ "name": "both", "channels": ["room", "private-a", "elsewhere"], "data": "x" });
    relaying.target.events(&both).assert_empty_object();
    relaying.publish(&numbered(4..10));
    eventually("all wait", || (relaying.waiting() == 11).then_some(()));
    relaying.reload(&relay_to(other.port, &format!("{more}\nqueue_events = 100")));
    assert_eq!(other.names(1), [["e0"]]);
    let mut requests = Vec::new();
    while requests.iter().map(Vec::len).sum::<usize>() < 10 {
        requests.push(other.request().events());
    }
    let names = |request: &Vec<Value>| -> Vec<String> {
        request.iter().map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    let names: Vec<Vec<String>> = requests.iter().map(names).collect();
    assert_eq!(names[..2], [numbered(1..4), vec!["both".to_owned()]]);
    assert_eq!(names[2..], [numbered(4..8), numbered(8..10)]);
    assert_eq!(requests[1][0]["channels"], json!(["room", "private-a"]));
    assert_eq!(requests[0][0], json!({ "name": "e1", "channel": "room", "data": "x" }));
    relaying.await_events("sent", 11);
    assert_eq!(relaying.events("unknown"), 0);
}

/// Brokers that relay to each other, or in a ring, publish nothing twice; and one that is told to relay to itself refuses
/// that, and says why.
///
/// Proves: relay.
#[test]
fn nothing_is_relayed_twice() {
    let Some(first) = Relaying::start("") else { return };
    let second = Relaying::start(&relay_to_broker(&first.target)).expect("a broker");
    let third = Relaying::start(&relay_to_broker(&second.target)).expect("a broker");
    first.reload(&format!("{}{}", relay_to_broker(&second.target), relay_to_broker(&third.target)));
    let brokers = [&first, &second, &third];
    let room = unique("room-");
    let mut clients = brokers.map(|broker| {
        let mut client = broker.target.connect();
        client.subscribe(&room);
        client
    });
    // Each hears of its own, and of those that are relayed to it in one step.
    for (number, broker) in brokers.into_iter().enumerate() {
        broker.target.publish(&room, &format!("from-{number}"), "x");
        let hearers: &[usize] = match number {
            0 => &[0, 1, 2],
            1 => &[1, 0],
            _ => &[2, 1],
        };
        hearers.iter().for_each(|hearer| {
            clients[*hearer].expect_on(&room, &format!("from-{number}"));
        });
    }
    first.await_events("sent", 2);
    second.await_events("sent", 1);
    third.await_events("sent", 1);
    // What the third has said goes from the second to nobody, and that is counted.
    second.await_events("not_relayed", 2);
    for (broker, client) in brokers.into_iter().zip(&mut clients) {
        broker.reload("");
        crate::fence(&broker.target, &room, [client]);
    }

    first.reload(&relay_to_broker(&first.target));
    first.target.publish(&room, "to-myself", "x");
    clients[0].expect_on(&room, "to-myself");
    first.await_events("refused", 1);
    first.reload("");
    crate::fence(&first.target, &room, [&mut clients[0]]);
    let log = first.target.broker().unwrap().log();
    assert!(log.contains("leads back to the broker that it begins at"), "{log}");
}

/// What is published again under its id is not relayed again; and a relayed event has no id, which would be bound to another
/// body there.
///
/// Proves: relay, publish ids.
#[test]
fn what_is_published_again_is_not_relayed_again() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1")) else { return };
    let target = &relaying.target;
    let event = |name: &str, id: &str| json!({ "name": name, "channel": "room", "data": "x", "id": id });
    for _ in 0..2 {
        let once = target.post("/events", &event("one", "a")).header("Idempotency-Key", "a").send();
        once.assert_empty_object();
    }
    target.batch_events(&[event("one", "b"), event("two", "c")]).assert_empty_object();
    target.batch_events(&[event("two", "c"), event("three", "d")]).assert_empty_object();
    for name in ["one", "one", "two", "three"] {
        let request = other.request();
        assert_eq!(request.events(), [json!({ "name": name, "channels": ["room"], "data": "x" })]);
        assert_eq!(request.header("idempotency-key"), None);
    }
    relaying.await_events("sent", 4);
    assert_eq!(relaying.waiting(), 0);
}

/// A relay that is taken away sends what waits; one whose settings change goes on with it, in its order. What is wrong with
/// one is said, and changes nothing.
///
/// Proves: relay, bad input.
#[test]
fn a_reload_loses_nothing_that_waits() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1")) else { return };
    other.react([answer(503, "Retry-After: 30\r\n", "")]);
    relaying.publish(&numbered(0..5));
    assert_eq!(other.request().events()[0]["name"], "e0");
    relaying.reload(&relay_to(other.port, "batch_events = 3\nqueue_events = 50"));
    relaying.publish(&numbered(5..8));
    let names = other.names(8);
    assert_eq!(names.concat(), numbered(0..8));
    assert_eq!(names[0].len(), 3, "{names:?}");
    relaying.await_events("sent", 8);

    let bad = relay_to(other.port, "ca_file = \"/nowhere/ca.pem\"");
    let refused = relaying.target.broker().unwrap().reload(&config(&bad));
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && complaint.contains("/nowhere/ca.pem, named by apps.relay.ca_file"),
        "{complaint}"
    );
    other.react([answer(429, "Retry-After: 1\r\n", "")]);
    relaying.publish(&numbered(8..10));
    assert_eq!(other.request().events()[0]["name"], "e8");
    relaying.reload("");
    relaying.publish(&["unwanted".to_owned()]);
    assert_eq!(other.names(2).concat(), numbered(8..10));
    relaying.await_events("sent", 10);
    assert!(other.is_left_alone(Duration::from_millis(300)));
}

/// A relay that is taken away and put back while something waits goes on where it was: nothing overtakes that.
///
/// Proves: relay.
#[test]
fn a_relay_that_comes_back_goes_on_where_it_was() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1")) else { return };
    other.react([answer(503, "Retry-After: 30\r\n", "")]);
    relaying.publish(&numbered(0..5));
    assert_eq!(other.request().events()[0]["name"], "e0");
    relaying.reload("");
    relaying.reload(&relay_to(other.port, "batch_events = 2"));
    relaying.publish(&numbered(5..8));
    assert_eq!(other.names(8).concat(), numbered(0..8));
    relaying.await_events("sent", 8);
}

/// What waits while its relay is taken away, and is then led back to the broker that it comes from, is refused there.
///
/// Proves: relay.
#[test]
fn what_waits_does_not_come_back() {
    let other = OtherServer::start();
    let Credentials { app_id, key, secret } = Credentials::new("1001", "app-key", "app-secret");
    let relay = format!(
        "\n[[apps.relay]]\nurl = \"http://127.0.0.1:{}\"\napp_id = \"{app_id}\"\nkey = \"{key}\"\n\
         secret = \"{secret}\"\nbatch_events = 1\n",
        other.port
    );
    let Some(relaying) = Relaying::start(&relay) else { return };
    let mut client = relaying.target.connect();
    client.subscribe("room");
    other.react([answer(429, "Retry-After: 2\r\n", "")]);
    other.usually(Reaction::Forward(relaying.target.port));
    relaying.publish(&numbered(0..5));
    assert_eq!(other.names(1), [["e0"]]);
    relaying.reload("");
    relaying.await_events("refused", 5);
    numbered(0..5).iter().for_each(|name| {
        client.expect_on("room", name);
    });
    crate::fence(&relaying.target, "room", [&mut client]);
}

/// At its end the broker sends what waits, as long as it may take to stop.
///
/// Proves: relay.
#[test]
fn the_end_of_the_broker_waits_for_what_waits() {
    let other = OtherServer::start();
    let Some(relaying) = Relaying::start(&relay_to(other.port, "batch_events = 1")) else { return };
    other.react([answer(429, "", "")]);
    relaying.publish(&numbered(0..30));
    relaying.target.broker().unwrap().terminate();
    let mut names = other.names(31).concat();
    assert_eq!(names.remove(0), "e0");
    assert_eq!(names, numbered(0..30));
    assert!(relaying.target.broker().unwrap().await_exit(patience()).success());
}
