//! What the log tells of the end of a stream over HTTP: what ended it, and that a reader was slow only where one was. A
//! broker's own concern.

use std::time::Duration;

use heliostat_protocol_tests::http::Endless;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Pipe, Target, TestMode, unique};
use serde_json::json;

use crate::eventually;
use crate::streams::open;

/// All of streams, and not every event that is published.
const DEBUG: [&str; 2] = ["--log-level", "info,heliostat::transport::stream=debug"];

/// Room for some events that are not read, and a sign of life soon, by which whoever has gone is missed.
const NODE: &str = "[connection]\nping_after_seconds = 0.1\noutbox_bytes = 4194304\n";

fn app() -> String {
    MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true")
}

fn broker() -> Option<Target> {
    Target::own_with(Some(&format!("{NODE}{}", app())), &DEBUG, &[])
}

/// A stream that has begun, and its channel.
fn begun(target: &Target, kind: &str) -> (Endless, String) {
    let channel = unique("room-");
    let mut stream = open(target, &channel, kind);
    stream.up_to(b"\n");
    (stream, channel)
}

/// A stream of events that its reader has stopped to read: more waits for it than the kernel takes.
fn stalled(target: &Target) -> (Endless, String) {
    let (stream, channel) = begun(target, "sse");
    stall(target, &channel, 150);
    (stream, channel)
}

/// Publishes events of 10 kB.
fn stall(target: &Target, channel: &str, events: usize) {
    let data = "x".repeat(10_000);
    (0..events).for_each(|_| target.publish(channel, "much", &data));
}

/// The one line that tells of the end of the stream of a channel, which tells this.
#[track_caller]
fn assert_ended(broker: &Broker, channel: &str, told: &str) {
    let channel = format!("channel={channel} ");
    let lines = || -> Vec<String> {
        let log = broker.log();
        let lines = log.lines().filter(|line| line.contains("HTTP stream ended") && line.contains(&channel));
        lines.map(str::to_owned).collect()
    };
    let line = eventually("the end of the stream is told", || lines().pop());
    assert_eq!(lines().len(), 1, "{:#?}", lines());
    let ending = line.split_once("ending=").map_or("", |(_, ending)| ending).trim_start_matches('"');
    assert!(ending.starts_with(told), "expected {told}: {line}");
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
}

#[track_caller]
fn assert_nobody_was_slow(broker: &Broker) {
    let log = broker.log();
    assert!(!log.contains("slow reader"), "{log}");
}

/// A reader that goes, with or without a word, and whether or not something waits for it, was lost, and not slow.
#[test]
fn a_reader_that_goes_was_lost() {
    let Some(target) = broker() else { return };
    let broker = target.broker().unwrap();
    for kind in ["sse", "mjpeg"] {
        let (stream, channel) = begun(&target, kind);
        drop(stream);
        assert_ended(broker, &channel, "Lost");
    }
    // What it has not read makes the end of the connection a reset.
    let (stream, channel) = stalled(&target);
    drop(stream);
    assert_ended(broker, &channel, "Lost");
    assert_nobody_was_slow(broker);
}

/// What the broker ends is told with its code and its reason.
#[test]
fn what_ended_a_stream_is_told() {
    let Some(target) = broker() else { return };
    let broker = target.broker().unwrap();
    // By a backend, while it is read and while it is not.
    let streams = [begun(&target, "sse"), begun(&target, "mjpeg"), stalled(&target)];
    let mut pipe = Pipe::connect_as(&target, Some("1.0"));
    for (_, channel) in &streams {
        let line = eventually("its beginning is told", || {
            let log = broker.log();
            let begun = |line: &&str| line.contains("subscribed over HTTP") && line.contains(channel);
            log.lines().find(begun).map(str::to_owned)
        });
        let socket_id = line.split_once("socket_id=").unwrap().1.split(' ').next().unwrap().to_owned();
        pipe.request("close_socket", &json!({ "socket_id": socket_id }));
    }
    let [events, pictures, late] = streams;
    for (mut stream, channel) in [events, pictures, late] {
        stream.rest();
        assert_ended(broker, &channel, "Closed(Unauthorized,");
    }
    // By a reload that switches streams off, and by one that removes the app.
    let other = "\n[[apps]]\nid = \"2\"\nkey = \"k\"\nsecret = \"s\"\n";
    let (before, off, gone) = (app(), app().replace("http_streams = true", ""), other.to_owned());
    for (config, told) in [
        (&off, "Closed(Unauthorized, \\\"HTTP streams were switched off"),
        (&gone, "Closed(UnknownApp, \\\"The app was removed"),
    ] {
        assert!(broker.reload(&format!("{NODE}{before}")).status.success());
        let streams = [begun(&target, "sse"), begun(&target, "mjpeg"), stalled(&target)];
        assert!(broker.reload(&format!("{NODE}{config}")).status.success());
        for (mut stream, channel) in streams {
            stream.rest();
            assert_ended(broker, &channel, told);
        }
    }
    assert_nobody_was_slow(broker);
}

/// At the end of the broker it is the broker that ends them.
#[test]
fn what_a_stopping_broker_ends_is_told() {
    let Some(target) = broker() else { return };
    let broker = target.broker().unwrap();
    let streams = [begun(&target, "sse"), begun(&target, "mjpeg"), stalled(&target)];
    broker.terminate();
    for (mut stream, channel) in streams {
        stream.rest();
        assert_ended(broker, &channel, "Closed(OverCapacity, \\\"The broker is stopping");
    }
    assert_eq!(broker.await_exit(Duration::from_secs(10)).code(), Some(0), "{}", broker.log());
    assert_nobody_was_slow(broker);
}

/// An app of test mode is deleted with its streams.
#[test]
fn what_a_test_deletes_is_told() {
    let Some(mode) = TestMode::start(&DEBUG) else { return };
    let app = mode.app(&json!({ "settings": { "http_streams": true, "connection.outbox_bytes": 4194304 } }));
    let streams = [begun(&app.target, "sse"), begun(&app.target, "mjpeg"), stalled(&app.target)];
    app.call("DELETE", "", &json!(null));
    for (mut stream, channel) in streams {
        stream.rest();
        assert_ended(mode.broker(), &channel, "Closed(UnknownApp,");
    }
    assert_nobody_was_slow(mode.broker());
}

/// Who does not keep up is told and counted as a slow reader, and nobody else is.
#[test]
fn only_slow_readers_are_counted_as_such() {
    let node = "[connection]\noutbox_bytes = 262144\n";
    let Some(target) = Target::own_with(Some(&format!("{node}{}", app())), &DEBUG, &[]) else { return };
    let broker = target.broker().unwrap();
    for n in 1..=2 {
        // Some that go in other ways do not count.
        let (stream, channel) = begun(&target, "sse");
        drop(stream);
        stall(&target, &channel, 1);
        assert_ended(broker, &channel, "Lost");
        let (mut slow, channel) = begun(&target, "sse");
        // As much as the kernel takes, and more.
        stall(&target, &channel, 1000);
        slow.rest();
        assert_ended(broker, &channel, "Closed(OverCapacity, \\\"Too slow");
        let log = broker.log();
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("slow reader")).collect();
        assert_eq!(warned.len(), n, "{warned:#?}");
        let parts = [format!("closed={n} "), format!("channel={channel} "), "peer=127.0.0.1:".to_owned()];
        assert!(parts.iter().all(|part| warned[n - 1].contains(part)), "{parts:?}: {warned:#?}");
    }
}
