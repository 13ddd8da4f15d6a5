//! How many client events one connection may send, and how large they may be.

use std::time::Instant;

use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

/// Ten at once and ten per second are delivered; what comes faster is rejected one by one, and the connection
/// stays.
///
/// Proves: 33, 124.
#[test]
fn the_eleventh_event_within_a_second_is_rejected() {
    const SENT: usize = 40;
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let events: Vec<String> = (0..SENT)
        .map(|n| json!({ "event": "client-x", "channel": channel, "data": n }).to_string())
        .collect();
    let began = Instant::now();
    sender.send_together(events.iter().map(String::as_str));
    let errors = sender.drain();
    let took = began.elapsed();
    for error in &errors {
        let message = error.data["message"].as_str().unwrap();
        assert_eq!(
            (&error.data["code"], message.get(..39)),
            (&json!(4301), Some("Client event rejected due to rate limit"))
        );
    }
    let delivered: Vec<u64> = (0..SENT - errors.len())
        .map(|_| other.expect_on(&channel, "client-x").decoded().as_u64().unwrap())
        .collect();
    // Ten tokens are there, and one more grows each tenth of a second.
    let grown = (took.as_secs_f64() * 10.0).ceil() as usize;
    assert!(delivered.len() <= 10 + grown, "{} in {took:?}", delivered.len());
    assert_eq!(delivered[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    crate::fence(&target, &channel, [&mut sender, &mut other]);
}

/// Only client events count as such: neither pings nor subscriptions, nor events that were refused for another
/// reason.
///
/// Proves: 125.
#[test]
fn other_requests_do_not_count_for_the_rate() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let mut frames = Vec::new();
    for n in 0..10 {
        for m in 0..5 {
            frames.push(json!({ "event": "pusher:ping", "data": {} }).to_string());
            let channel = unique(&format!("room-{m}-"));
            frames.push(json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string());
            frames
                .push(json!({ "event": "client-x", "channel": "private-elsewhere", "data": {} }).to_string());
        }
        frames.push(json!({ "event": "client-x", "channel": channel, "data": n }).to_string());
    }
    sender.send_together(frames.iter().map(String::as_str));
    for n in 0..10 {
        assert_eq!(other.expect_on(&channel, "client-x").decoded(), json!(n));
    }
    // Ten pass and the limit is reached: nothing that came between had refused one of them.
    let mut pongs = 0;
    while pongs < 50 {
        let answer = sender.message();
        pongs += usize::from(answer.event == "pusher:pong");
        assert_ne!(answer.data["code"], json!(4301), "{}", answer.whole);
    }
}

/// A silent second fills the measure again.
///
/// Proves: 126.
#[test]
fn after_a_pause_events_flow_again() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let event = json!({ "event": "client-x", "channel": channel, "data": "flood" }).to_string();
    sender.send_together(std::iter::repeat_n(event.as_str(), 30));
    assert!(!sender.drain().is_empty(), "the flood was not stopped");
    crate::eventually("an event is accepted again", || {
        sender.trigger(&channel, "client-again", &json!({}));
        sender.drain().is_empty().then_some(())
    });
    while other.message().event != "client-again" {}
}

/// Each connection has its own measure.
///
/// Proves: 124.
#[test]
fn one_senders_flood_takes_nothing_from_another() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut flooder, mut polite) = (target.connect(), target.connect());
    flooder.subscribe_private(&channel);
    polite.subscribe_private(&channel);
    let event = json!({ "event": "client-x", "channel": channel, "data": "flood" }).to_string();
    flooder.send_together(std::iter::repeat_n(event.as_str(), 30));
    let answers = flooder.drain();
    assert!(answers.iter().any(|m| m.data["code"] == json!(4301)), "{answers:?}");
    polite.trigger(&channel, "client-y", &json!({}));
    let passed = polite.drain();
    assert!(passed.iter().all(|m| m.event == "client-x"), "{passed:?}");
    flooder.expect_on(&channel, "client-y");
}

/// The payload is measured as it is delivered, in bytes: ten kilobytes and no more.
///
/// Proves: 33, 127.
#[test]
fn data_over_ten_kilobytes_is_rejected() {
    const LIMIT: usize = 10_240;
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let refusal = "Client event data exceeds the allowed maximum (10240 bytes)";
    let over = [
        json!("x".repeat(LIMIT + 1)),
        json!("é".repeat(LIMIT / 2 + 1)),
        json!({ "p": "x".repeat(LIMIT - r#"{"p":""}"#.len() + 1) }),
        json!(vec![0; LIMIT]),
    ];
    for data in over {
        sender.trigger(&channel, "client-x", &data);
        sender.expect_error(Some(4301), refusal);
    }
    // A string's quotes and escapes do not count, an object's do: they are what arrives.
    for data in [
        json!("x".repeat(LIMIT)),
        json!("\"".repeat(LIMIT)),
        json!({ "p": "x".repeat(LIMIT - r#"{"p":""}"#.len()) }),
    ] {
        sender.trigger(&channel, "client-x", &data);
        let arrived = other.expect_on(&channel, "client-x");
        assert_eq!(arrived.data.as_str().unwrap().len(), LIMIT);
    }
    sender.assert_silence();
}

/// Camera frames need more room and more of them: both limits are the app's own.
///
/// Proves: 124, 127.
#[test]
fn size_and_rate_are_configurable() {
    let config = format!(
        "{}limits = {{ client_event_payload_bytes = 1048576, client_events_per_second = 0 }}\n",
        heliostat_protocol_tests::target::MAIN_APP
    );
    let Some(target) = Target::own(&config) else { return };
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let frame = "f".repeat(100 * 1024);
    for n in 0..50 {
        sender.trigger(&channel, "client-frame", &json!({ "n": n, "dataUrl": frame }));
        assert_eq!(other.expect_on(&channel, "client-frame").decoded()["n"], json!(n));
    }
    sender.trigger(&channel, "client-frame", &json!("f".repeat(1048576)));
    other.expect_on(&channel, "client-frame");
    sender.trigger(&channel, "client-frame", &json!("f".repeat(1048577)));
    sender.expect_error(Some(4301), "Client event data exceeds the allowed maximum (1048576 bytes)");
}

/// The name of an event has at most 200 characters.
///
/// Proves: bad input.
#[test]
fn a_name_has_at_most_200_characters() {
    let target = Target::main();
    let channel = unique("private-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let name = |characters: usize| format!("client-{}", "é".repeat(characters - "client-".len()));
    sender.trigger(&channel, &name(201), &json!({}));
    sender.expect_some_error(Some(4301));
    sender.trigger(&channel, &name(200), &json!({}));
    other.expect_on(&channel, &name(200));
    sender.trigger(&channel, "client-", &json!({}));
    other.expect_on(&channel, "client-");
}
