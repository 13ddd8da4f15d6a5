//! The console's live feed: what its viewers are told of what happens, each of what it wants, and what becomes of viewers that
//! do what they should not.

use std::iter::repeat_n;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::frame::{FIN, TEXT};
use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::nodes::plain;
use heliostat_protocol_tests::track::BinaryMessage;
use heliostat_protocol_tests::wire::Wire;
use heliostat_protocol_tests::{Broker, Incoming, patience, picture};
use serde_json::{Value, json};

use crate::admin::{TOKEN, ask, bearer};
use crate::console::Console;

/// One viewer of the feed.
struct Viewer(Wire);

impl Viewer {
    /// A viewer that has said nothing yet.
    fn come(console: &Console) -> Viewer {
        let credentials = format!("Authorization: Bearer {TOKEN}");
        let mut viewer = Viewer(Wire::upgrade(&console.admin, "/console/live", &[&credentials]));
        let hello = viewer.message();
        assert_eq!(hello["type"], "hello", "{hello}");
        viewer
    }

    /// One that wants this.
    fn watch(console: &Console, mut filter: Value) -> Viewer {
        let mut viewer = Viewer::come(console);
        filter["type"] = "filter".into();
        viewer.0.send_text(&filter.to_string());
        let answer = viewer.message();
        assert_eq!(answer["type"], "filtering", "{answer}");
        viewer
    }

    fn message(&mut self) -> Value {
        loop {
            let text = self.0.raw_text();
            // A ping has none.
            if !text.is_empty() {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    }

    /// The next entries, at least so many.
    fn entries(&mut self, least: usize) -> Vec<Value> {
        let mut entries = Vec::new();
        while entries.len() < least {
            let batch = self.message();
            assert_eq!((&batch["type"], &batch["missed"]), (&json!("entries"), &json!(0)), "{batch}");
            entries.extend(batch["entries"].as_array().unwrap().iter().cloned());
        }
        entries
    }

    /// What they are, each by its kind and what it is of that.
    fn whats(&mut self, least: usize) -> Vec<String> {
        self.entries(least).iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect()
    }
}

/// A client's whole visit is told in its order, and so is a refusal, an event with the number of those that it was for, and
/// the request that it came by.
///
/// Proves: pages.
#[test]
fn what_happens_is_told_as_it_happens() {
    let Some(console) = Console::start() else { return };
    let mut viewer = Viewer::watch(&console, json!({}));
    let mut client = console.broker.connect();
    client.subscribe_presence("presence-room", "ann", &json!({}));
    let mut whats = viewer.whats(4);
    whats.sort();
    assert_eq!(whats, ["member_added", "occupied", "opened", "subscribed"]);
    client.send(
        &json!({ "event": "pusher:subscribe", "data": { "channel": "private-den", "auth": "app-key:00" } }),
    );
    let _ = client.message();
    let refused = viewer.entries(1).remove(0);
    assert_eq!(
        [&refused["kind"], &refused["what"], &refused["channel"], &refused["socket_id"]],
        [&json!("refusals"), &json!("message"), &json!("private-den"), &json!(client.id)],
        "{refused}"
    );
    let html = "<script>alert(\"\u{1f600}\")</script>";
    client.trigger("presence-room", "client-e", &json!(html));
    let event = viewer.entries(1).remove(0);
    assert_eq!(
        [&event["kind"], &event["source"], &event["event"], &event["user_id"], &event["receivers"]],
        [&json!("events"), &json!("client"), &json!("client-e"), &json!("ann"), &json!(0)],
        "{event}"
    );
    assert_eq!(event["data"]["text"], html);
    let id = client.id.clone();
    client.close();
    let whats: Vec<Value> = viewer.entries(3);
    assert!(whats.iter().any(|entry| entry["what"] == "closed" && entry["socket_id"] == id), "{whats:?}");
    let _ = ask(&console.broker, "GET", "/apps/1001/channels", "");
    let of_request = viewer.entries(2);
    assert!(
        of_request.iter().any(|entry| entry["what"] == "call" && entry["status"] == 401),
        "{of_request:?}"
    );
    assert!(
        of_request.iter().any(|entry| entry["what"] == "request" && entry["status"] == 401),
        "{of_request:?}"
    );
}

/// Each viewer is told of what passes its filter, which can be another at any time.
///
/// Proves: pages.
#[test]
fn viewers_are_told_what_they_want() {
    let Some(console) = Console::start() else { return };
    let mut events =
        Viewer::watch(&console, json!({ "kinds": ["events"], "channel": "room-*", "event": "client-*" }));
    let mut client = console.broker.connect();
    let mut one = Viewer::watch(&console, json!({ "socket_id": client.id }));
    let mut needle = Viewer::watch(&console, json!({ "text": "NEEDLE" }));
    let mut other = console.broker.connect();
    for channel in ["private-den", "private-room"] {
        client.subscribe_private(channel);
        other.subscribe_private(channel);
    }
    client.trigger("private-den", "client-a", &json!("a needle"));
    other.trigger("private-room", "client-b", &json!("hay"));
    let found = needle.entries(1);
    assert_eq!((found.len(), &found[0]["event"]), (1, &json!("client-a")), "{found:?}");
    let of_one = one.entries(3);
    assert!(of_one.iter().all(|entry| entry["socket_id"] == client.id), "{of_one:?}");
    events.0.send_text(&json!({ "type": "filter", "kinds": ["events"], "channel": "*-room" }).to_string());
    assert_eq!(events.message()["type"], "filtering", "nothing came before it");
    other.trigger("private-room", "client-c", &json!({ "n": 1 }));
    let found = events.entries(1);
    assert_eq!((found.len(), &found[0]["data"]["text"]), (1, &json!("{\"n\":1}")), "{found:?}");
    for bad in [
        json!({ "type": "filter", "kinds": ["event"] }),
        json!({ "type": "filter", "channel": "a*b*" }),
        json!({ "type": "filter", "chanel": "a" }),
        json!({ "type": "dance" }),
        json!([]),
    ] {
        events.0.send_text(&bad.to_string());
        assert_eq!(events.message()["type"], "error", "{bad}");
    }
    events.0.send_text("{");
    assert_eq!(events.message()["type"], "error");
    events.0.send_text(r#"{"type":"ping"}"#);
    assert_eq!(events.message()["type"], "pong");
}

/// What the broker occupies now, in bytes; `None` where the system does not tell.
fn memory(console: &Console) -> Option<u64> {
    console.broker.broker().and_then(Broker::resident_bytes).map(|resident| resident.now)
}

/// A viewer that says more than one may is closed, one that reads nothing holds nobody up, and there are only so many; a
/// page of another site is none.
///
/// Proves: bad input.
#[test]
fn viewers_are_bounded() {
    let Some(console) = Console::start() else { return };
    let credentials = format!("Authorization: Bearer {TOKEN}");
    let mut loud = Viewer::come(&console);
    loud.0.will_close();
    loud.0.send_text(&"x".repeat(20_000));
    loop {
        match loud.0.receive() {
            Incoming::Close(closed) => break assert_eq!(closed.code, 1009, "{closed:?}"),
            Incoming::End => break,
            _ => {}
        }
    }
    let request = format!(
        "GET /console/live HTTP/1.1\r\nHost: localhost\r\n{credentials}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
    );
    // A frame that announces more than anybody has, and goes on.
    let mut endless = Connection::open(&console.admin);
    endless.send(format!("{request}\r\n").as_bytes());
    assert_eq!(endless.begin().expect("an answer").status, 101);
    let mut head = vec![FIN | TEXT, 0x80 | 127];
    head.extend(300_000_000_u64.to_be_bytes());
    head.extend([0; 4]);
    endless.send(&head);
    let more = vec![b'x'; 64 * 1024];
    // It is closed for it, and what comes on is kept by nobody.
    let before = memory(&console);
    let _ = (0..500).take_while(|_| endless.offer(&more)).count();
    if let (Some(before), Some(after)) = (before, memory(&console)) {
        assert!(after < before + 15_000_000, "of 30 MB of one message {} bytes are kept", after - before);
    }
    drop(endless);
    let mut deaf = Viewer::watch(&console, json!({}));
    let mut viewers: Vec<_> = (0..7).map(|_| Viewer::come(&console)).collect();
    let upgrade = |headers: &str| {
        Connection::open(&console.admin)
            .exchange(format!("{request}{headers}\r\n").as_bytes())
            .expect("an answer")
    };
    assert_eq!(upgrade("Origin: http://evil.example\r\n").status, 403);
    crate::eventually("the eighth viewer is the last", || (upgrade("").status == 503).then_some(()));
    let mut client = console.broker.connect();
    client.subscribe_private("private-room");
    let mut hearer = console.broker.connect();
    hearer.subscribe_private("private-room");
    // Within the rate of the app's clients.
    for n in 0..6 {
        client.trigger("private-room", "client-e", &json!({ "n": n, "x": "x".repeat(5000) }));
        assert_eq!(hearer.expect_on("private-room", "client-e").decoded()["n"], n);
    }
    assert_eq!(viewers.remove(0).0.response_header("sec-websocket-protocol"), None);
    drop(viewers);
    assert!(!deaf.whats(5).is_empty());
}

/// Entries that the broker has made for its viewers.
fn entries_made(console: &Console) -> u64 {
    let metrics = plain(&console.admin, "/metrics");
    let made = metrics.text().lines().find_map(|line| line.strip_prefix("heliostat_console_entries_total "));
    made.and_then(|made| made.parse().ok()).expect("the metric")
}

/// One that reads nothing, while as much happens as the broker takes, is kept no more for than there may be, and holds nobody up.
/// When it reads again, each event was either told, or is among those that it is told were not.
///
/// Proves: bad input.
#[test]
fn who_reads_nothing_is_told_how_much_it_was_not_told() {
    let Some(console) = Console::start_with("limits = { client_events_per_second = 0 }\n") else { return };
    let [mut loud, mut quiet, mut hearer] = [(); 3].map(|()| console.broker.connect());
    loud.subscribe_private("private-flood");
    [&mut quiet, &mut hearer].into_iter().for_each(|socket| socket.subscribe_private("private-room"));
    let mut deaf = Viewer::watch(&console, json!({ "kinds": ["events"] }));
    let text =
        json!({ "event": "client-e", "channel": "private-flood", "data": "x".repeat(9000) }).to_string();
    let (before, began, mut sent) = (memory(&console), Instant::now(), 0_u64);
    // Until it has been sent all that it is sent without reading, and more has happened since than is kept.
    while began.elapsed() < Duration::from_secs(6) || entries_made(&console) < 4000 {
        assert!(loud.try_send_together(repeat_n(text.as_str(), 500), patience()), "the broker takes it");
        quiet.trigger("private-room", "client-n", &json!(sent));
        assert_eq!(hearer.expect_on("private-room", "client-n").decoded(), sent);
        sent += 501;
    }
    if let (Some(before), Some(after)) = (before, memory(&console)) {
        // 16 MiB for all viewers, 8 MiB for this one, and what it takes to carry it.
        assert!(after < before + 80_000_000, "{} bytes are kept of {sent} events", after - before);
    }
    let (mut told, mut left_out, mut missed) = (0, 0, 0);
    while told + left_out + missed < sent {
        let batch = deaf.message();
        told += batch["entries"].as_array().unwrap().len() as u64;
        left_out += batch["left_out"]["events"].as_u64().unwrap_or_default();
        missed += batch["missed"].as_u64().unwrap();
    }
    assert_eq!(told + left_out + missed, sent);
    assert!(told > 500 && missed > 0, "{told} of {sent} are told, {left_out} are left out, {missed} missed");
}

/// Of a binary message its content can be fetched for a while, as what it is where it is a picture, and as nothing that a
/// browser would run.
///
/// Proves: pages.
#[test]
fn a_picture_can_be_fetched() {
    let Some(console) = Console::start() else { return };
    let mut viewer = Viewer::watch(&console, json!({ "kinds": ["events"] }));
    let mut client = console.broker.connect();
    client.subscribe_private("private-room");
    client.trigger("private-room", "client-e", &json!({ "dataUrl": picture(1, 100) }));
    let event = viewer.entries(1).remove(0);
    assert!(event["data"]["text"].as_str().unwrap().contains("data:image/"), "{event}");
    let nothing = ask(&console.admin, "GET", "/console/live/payloads/1", &bearer(TOKEN));
    assert_eq!(nothing.status, 404, "{nothing}");
    let mut sender = console.broker.connect_as("protocol=7&client=js&version=8.4.0&flash=false&binary=1");
    sender.subscribe_private("private-room");
    let content = b"\x89PNG<script>alert(1)</script>";
    for (media_type, served) in [("image/png", "image/png"), ("text/html", "application/octet-stream")] {
        let members = json!({ "n": 1 });
        BinaryMessage::new("private-room", "client-e", media_type, &members, content.to_vec())
            .send(&mut sender);
        let data = viewer.entries(1).remove(0)["data"].take();
        assert_eq!(
            (&data["bytes"], &data["media_type"], &data["members"]),
            (&json!(content.len()), &json!(media_type), &json!("{\"n\":1}")),
            "{data}"
        );
        let kept = ask(&console.admin, "GET", data["payload"].as_str().unwrap(), &bearer(TOKEN));
        assert_eq!((kept.status, &kept.body[..]), (200, &content[..]), "{kept}");
        assert_eq!(kept.header("content-type"), Some(served));
        let policy = kept.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
        assert_eq!(kept.header("x-content-type-options"), Some("nosniff"));
    }
}
