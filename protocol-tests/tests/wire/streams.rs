//! Channels as HTTP answers that do not end: pictures one after another, and server-sent events.

use std::time::Duration;

use heliostat_protocol_tests::frame::{BINARY, FIN};
use heliostat_protocol_tests::http::{Connection, Endless};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, picture, unique};
use serde_json::{Value, json};

use crate::eventually;

/// The usual app with HTTP streams, and whatever else.
fn broker(more: &str) -> Option<Target> {
    let app = MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true");
    Target::own(&format!("{more}{app}"))
}

/// Opens a stream that needs no signature.
#[track_caller]
pub(crate) fn open(target: &Target, channel: &str, rest: &str) -> Endless {
    let path = format!("/apps/{}/channels/{channel}/{rest}", target.credentials.app_id);
    let host = format!("{}:{}", target.host, target.port);
    let stream = Endless::open(
        Connection::open(target),
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
    );
    assert_eq!(stream.head.status, 200);
    stream
}

/// The next event: its id, its name and its data.
#[track_caller]
fn event(stream: &mut Endless) -> (u64, String, String) {
    loop {
        let text = String::from_utf8(stream.up_to(b"\n\n")).unwrap();
        let fields: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(": ")).collect();
        let first = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        let data = fields.iter().filter(|(field, _)| *field == "data").map(|(_, value)| *value);
        if let (Some(id), Some(event)) = (first("id"), first("event")) {
            return (id.parse().unwrap(), event.to_owned(), data.collect::<Vec<_>>().join("\n"));
        }
        assert!(text.starts_with(':'), "neither an event nor a comment: {text:?}");
    }
}

/// The next part: its media type and its content.
#[track_caller]
fn part(stream: &mut Endless) -> (String, Vec<u8>) {
    let head = String::from_utf8(stream.up_to(b"\r\n\r\n")).unwrap();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{head}"));
        line.trim_start_matches(": ").to_owned()
    };
    let content = stream.take(header("Content-Length").parse().unwrap());
    assert_eq!(stream.up_to(b"\r\n--frame\r\n"), b"\r\n--frame\r\n");
    (header("Content-Type"), content)
}

fn occupied(target: &Target, channel: &str) -> bool {
    target.get(&format!("/channels/{channel}")).send().json()["occupied"] == json!(true)
}

/// Every event of a channel is a server-sent event, numbered, its data line by line.
///
/// Proves: video.
#[test]
fn a_channel_is_a_stream_of_server_sent_events() {
    let Some(target) = broker("") else { return };
    let mut stream = open(&target, "news", "sse");
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.head.header("access-control-allow-origin"), Some("*"));
    assert_eq!(stream.up_to(b"\n\n"), b": events of news\n\n");
    assert!(occupied(&target, "news"));
    for (n, data) in ["{\"a\":1}", "two\nlines", "", "é 📷"].iter().enumerate() {
        target.publish("news", "update", data);
        assert_eq!(event(&mut stream), (n as u64 + 1, "update".to_owned(), (*data).to_owned()));
    }
    // A name cannot break out of its line.
    target.publish("news", "a\nevent: b", "x");
    assert_eq!(event(&mut stream), (5, "a event: b".to_owned(), "x".to_owned()));
    // Other channels are not heard.
    target.publish("other", "update", "no");
    target.publish("news", "update", "yes");
    assert_eq!(event(&mut stream).2, "yes");
}

/// Only the events of one name, where that is asked for.
///
/// Proves: video.
#[test]
fn one_event_can_be_chosen() {
    let Some(target) = broker("") else { return };
    let mut stream = open(&target, "news", "sse?event=this%20one");
    target.publish("news", "that", "no");
    target.publish("news", "this one", "yes");
    assert_eq!(event(&mut stream), (1, "this one".to_owned(), "yes".to_owned()));
}

/// Image frames come as parts of their own type, from data URLs wherever they stand and from binary messages; other
/// events and payloads are passed over.
///
/// Proves: video.
#[test]
fn frames_are_a_stream_of_pictures() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\n";
    let app = MAIN_APP.replace("client_events = true", "http_streams = true");
    let Some(target) = Target::own(&format!("{app}{rule}")) else { return };
    let mut stream = open(&target, "mirror", "mjpeg");
    assert_eq!(stream.head.header("content-type"), Some("multipart/x-mixed-replace; boundary=frame"));
    assert_eq!(stream.up_to(b"\r\n"), b"--frame\r\n");
    let url = "data:image/png;base64,eHl6";
    for payload in
        [json!({ "dataUrl": url }).to_string(), json!({ "n": 1, "image": url }).to_string(), url.to_owned()]
    {
        target.publish("mirror", "other", &payload);
        target.publish("mirror", "frame", "no picture");
        target.publish("mirror", "frame", &payload);
        assert_eq!(part(&mut stream), ("image/png".to_owned(), b"xyz".to_vec()), "{payload}");
    }
    let mut sender = target.connect_as("protocol=7&binary=1");
    sender.subscribe("stream");
    let content: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let head = [&[1, 0, 0, 6, 0, 5, 0, 10, 0, 0, 0, 0][..], b"streamframeimage/jpeg"].concat();
    sender.send_frame(FIN | BINARY, &[head, content.clone()].concat());
    assert_eq!(part(&mut stream), ("image/jpeg".to_owned(), content));
}

/// A viewer that does not read is sent the newest picture when it does, not those between; nobody else waits for it.
///
/// Proves: video.
#[test]
fn a_slow_viewer_gets_the_newest_picture() {
    const PICTURES: usize = 80;
    let Some(target) = broker("[server]\nhttp_body_bytes = 4194304\n") else { return };
    let mut stream = open(&target, "mirror", "mjpeg");
    stream.up_to(b"--frame\r\n");
    let mut reader = target.connect();
    reader.subscribe("mirror");
    for n in 0..PICTURES {
        target.publish("mirror", "frame", &json!({ "dataUrl": picture(n, 10_003) }).to_string());
        reader.expect_on("mirror", "frame");
    }
    let newest = picture(PICTURES - 1, 10_003);
    let mut seen = 0;
    loop {
        let (_, content) = part(&mut stream);
        seen += 1;
        if content == base64_decoded(&newest) {
            break;
        }
    }
    assert!(seen <= PICTURES, "{seen} of {PICTURES}");
}

/// Bytes of the base64 of a data URL.
fn base64_decoded(url: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = url.split_once(',').unwrap().1.as_bytes();
    let mut bytes = Vec::new();
    for chunk in text.chunks(4) {
        let bits = chunk.iter().map(|byte| LETTERS.iter().position(|letter| letter == byte).unwrap() as u32);
        let word = bits.fold(0, |word, bits| word << 6 | bits) << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}

/// The channel is occupied while the stream is open and vacated when its reader goes; the app's connections count it.
///
/// Proves: video.
#[test]
fn a_stream_is_a_subscriber_like_any_other() {
    let app = MAIN_APP.replace("client_events = true", "http_streams = true\nlimits = { connections = 2 }");
    let Some(target) = Target::own(&format!("[connection]\nping_after_seconds = 0.1\n{app}")) else { return };
    let channel = unique("room-");
    let mut stream = open(&target, &channel, "sse");
    stream.up_to(b"\n\n");
    let _other = target.connect();
    target
        .get(&format!("/channels/{channel}/sse"))
        .send()
        .assert_error(503, "Account over quota (2 connections)");
    assert!(occupied(&target, &channel));
    // While nothing happens, comments come, and so whoever has gone is missed.
    assert_eq!(stream.up_to(b"\n\n"), b":\n\n");
    drop(stream);
    eventually("the channel is vacated", || (!occupied(&target, &channel)).then_some(()));
    let _place = open(&target, &channel, "sse");
}

/// A viewer that hears nothing is shown the last picture again.
///
/// Proves: video.
#[test]
fn silence_repeats_the_last_picture() {
    let Some(target) = broker("[connection]\nping_after_seconds = 0.1\n") else { return };
    let mut stream = open(&target, "mirror", "mjpeg");
    stream.up_to(b"--frame\r\n");
    target.publish("mirror", "frame", "data:image/png;base64,eHl6");
    for _ in 0..3 {
        assert_eq!(part(&mut stream), ("image/png".to_owned(), b"xyz".to_vec()));
    }
}

/// Only where the app allows it; private and presence channels take the signature of the HTTP API.
///
/// Proves: video.
#[test]
fn what_needs_a_signature_takes_one() {
    let Some(off) = Target::own(MAIN_APP) else { return };
    for path in ["/channels/news/sse", "/channels/private-a/mjpeg"] {
        off.get(path)
            .send()
            .assert_error(403, "Forbidden: HTTP streams of channels are off for this app (http_streams)");
    }
    let Some(target) = broker("") else { return };
    for name in ["private-a", "presence-a", "private-cache-a"] {
        for kind in ["sse", "mjpeg"] {
            let path = format!("/apps/1001/channels/{name}/{kind}");
            let unsigned = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let answer = Connection::open(&target).exchange(unsigned.as_bytes()).unwrap();
            answer.assert_error(401, "Missing parameter: auth_key");
            let signed = target.get(&format!("/channels/{name}/{kind}"));
            let wrong = target.get(&format!("/channels/{name}/{kind}")).auth("auth_signature", "0123");
            assert_eq!(wrong.send().status, 401);
            let stream = Endless::open(Connection::open(&target), &signed.bytes());
            assert_eq!(stream.head.status, 200, "{path}");
        }
    }
    let mut private =
        Endless::open(Connection::open(&target), &target.get("/channels/private-a/sse").bytes());
    target.publish("private-a", "secret", "told");
    assert_eq!(event(&mut private), (1, "secret".to_owned(), "told".to_owned()));
    // Whoever watches a presence channel so is no member of it.
    let _eye = Endless::open(Connection::open(&target), &target.get("/channels/presence-a/sse").bytes());
    let users: Value = target.get("/channels/presence-a/users").send().json();
    assert_eq!(users, json!({ "users": [] }));

    let get = |path: &str| target.get(path).send();
    get("/channels/%23server-to-user-7/sse")
        .assert_error(403, "Forbidden: the events of one user cannot be streamed over HTTP");
    assert_eq!(get("/channels/b%20d/sse").status, 400);
    assert_eq!(target.post("/channels/news/sse", &json!({})).send().status, 405);
    let unknown = b"GET /apps/9/channels/news/sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    Connection::open(&target).exchange(unknown).unwrap().assert_error(404, "App 9 not found");
}

/// A slow reader of events is treated like any slow reader: what waits for it is bounded, and the others are not kept
/// waiting.
///
/// Proves: bad input.
#[test]
fn a_slow_reader_of_events_does_not_grow_the_broker() {
    let Some(target) = broker("[server]\nhttp_body_bytes = 4194304\n[connection]\noutbox_bytes = 1048576\n")
    else {
        return;
    };
    let mut stalled = open(&target, "news", "sse");
    stalled.up_to(b"\n\n");
    let mut reader = target.connect();
    reader.subscribe("news");
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let before = resident();
    let data = "x".repeat(10_000);
    for _ in 0..1500 {
        target.publish("news", "much", &data);
        reader.expect_on("news", "much");
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        assert!(grown < 8 << 20, "the broker grew by {grown} bytes for 15 MB that nobody read");
    }
    // When it reads on, its answer ends with what was under way.
    let rest = stalled.rest();
    assert!(rest.len() < 15_000_000 / 2, "{} bytes", rest.len());
    eventually("the slow reader is logged", || {
        reader.assert_silence();
        target.broker().unwrap().log().contains("slow reader of an HTTP stream closed").then_some(())
    });
}

/// At shutdown streams are told and end, and the broker does not wait for them.
///
/// Proves: 24.
#[test]
fn streams_end_with_the_broker() {
    let Some(target) = broker("") else { return };
    let (mut events, mut pictures) = (open(&target, "news", "sse"), open(&target, "news", "mjpeg"));
    events.up_to(b"\n\n");
    pictures.up_to(b"--frame\r\n");
    let broker = target.broker().unwrap();
    broker.terminate();
    let last = String::from_utf8(events.rest()).unwrap();
    assert_eq!(last, ": closed with 4100: The broker is stopping, come back soon\n\n");
    assert!(pictures.rest().is_empty());
    assert_eq!(broker.await_exit(Duration::from_secs(10)).code(), Some(0), "{}", broker.log());
}

/// Where a reload switches streams off, those that are open end at once, and say why; everything else stays.
///
/// Proves: video.
#[test]
fn streams_that_are_switched_off_end() {
    let Some(target) = broker("") else { return };
    let (mut events, mut pictures) = (open(&target, "news", "sse"), open(&target, "news", "mjpeg"));
    let mut signed = Endless::open(Connection::open(&target), &target.get("/channels/private-a/sse").bytes());
    events.up_to(b"\n\n");
    signed.up_to(b"\n\n");
    pictures.up_to(b"--frame\r\n");
    let mut socket = target.connect();
    socket.subscribe("news");
    let reloaded = target.broker().unwrap().reload(MAIN_APP);
    assert!(reloaded.status.success(), "{reloaded:?}");
    for stream in [&mut events, &mut signed] {
        let last = String::from_utf8(stream.rest()).unwrap();
        assert_eq!(last, ": closed with 4009: HTTP streams were switched off\n\n");
    }
    assert!(pictures.rest().is_empty());
    eventually("only the socket is left", || {
        let channel = target.get("/channels/private-a").send().json();
        (channel["occupied"] == json!(false)).then_some(())
    });
    target.publish("news", "update", "x");
    socket.expect_on("news", "update");
}

/// The URL of a stream is good until 600 s after the time it was signed at, and not because that time has yet to come.
///
/// Proves: video.
#[test]
fn a_signed_url_is_good_for_six_hundred_seconds() {
    let Some(target) = broker("") else { return };
    let status = |channel: &str, kind: &str, offset: i64| {
        heliostat_protocol_tests::http::within_one_second(|now| {
            let request = target.get(&format!("/channels/{channel}/{kind}")).timestamp(now, offset).bytes();
            let mut connection = Connection::open(&target);
            connection.send(&request);
            connection.begin().expect("an answer").status
        })
    };
    for kind in ["sse", "mjpeg"] {
        for (offset, expected) in [(-600, 401), (-599, 200), (0, 200), (10, 200), (11, 401), (599, 401)] {
            assert_eq!(status("private-a", kind, offset), expected, "{kind} {offset}");
        }
    }
    // What a backend asks for itself may have a clock as far ahead as behind.
    let ahead = heliostat_protocol_tests::http::within_one_second(|now| {
        target.get("/channels").timestamp(now, 599).send().status
    });
    assert_eq!(ahead, 200);
}
