//! Cache channels: the last published event waits for those who come later.

use std::thread;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

use crate::{eventually, fence};

const KINDS: [&str; 4] = ["cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"];

/// Subscribes to a channel of any kind and answers the first message after the success.
#[track_caller]
fn first_after_success(
    target: &Target,
    channel: &str,
    query: &str,
) -> heliostat_protocol_tests::message::Message {
    let mut socket = target.connect_as(query);
    let data = json!({ "user_id": "u1" }).to_string();
    if channel.starts_with("presence-") {
        socket.join(channel, &data)
    } else {
        let auth = socket.auth(channel, None);
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    }
    loop {
        let message = socket.message();
        if message.event != "pusher_internal:subscription_succeeded" {
            assert_eq!(message.channel.as_deref(), Some(channel));
            return message;
        }
    }
}

const TODAY: &str = "protocol=7";

/// Every kind of cache channel says that it remembers nothing, then remembers the last event and only that, whether
/// anybody is subscribed or not, and after everybody has left.
///
/// Proves: 134, 135, 136, 137, 138, 140, 141.
#[test]
pub(crate) fn the_last_event_waits_for_those_who_come_later() {
    let target = Target::main();
    for kind in KINDS {
        let channel = unique(kind);
        for query in ["protocol=3", TODAY] {
            let miss = first_after_success(&target, &channel, query);
            assert_eq!((miss.event.as_str(), &miss.data), ("pusher:cache_miss", &json!("{}")), "{channel}");
        }
        target.publish(&channel, "price", r#"{"p":1}"#);
        target.publish(&channel, "price", r#"{"p":2}"#);
        for query in ["protocol=3", TODAY, TODAY] {
            let hit = first_after_success(&target, &channel, query);
            assert_eq!((hit.event.as_str(), &hit.data), ("price", &json!(r#"{"p":2}"#)), "{channel}");
        }
    }
}

/// Names that merely look alike remember nothing, and say nothing of it.
///
/// Proves: 141.
#[test]
pub(crate) fn other_channels_remember_nothing() {
    let target = Target::main();
    for kind in ["cachefoo-", "Cache-", "public-cache-"] {
        let channel = unique(kind);
        target.publish(&channel, "price", "1");
        let mut socket = target.connect();
        socket.subscribe(&channel);
        fence(&target, &channel, [&mut socket]);
    }
}

/// Ciphertext is remembered to the byte.
///
/// Proves: 132.
#[test]
pub(crate) fn ciphertext_is_remembered_untouched() {
    let target = Target::main();
    let channel = unique("private-encrypted-cache-");
    let text = r#"{"nonce":"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9","ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A="}"#;
    target.publish(&channel, "secret", text);
    assert_eq!(first_after_success(&target, &channel, TODAY).data, json!(text));
}

/// What clients send among themselves is not remembered, and neither is who came and went.
///
/// Proves: 128.
#[test]
pub(crate) fn client_events_are_not_remembered() {
    let target = Target::main();
    let channel = unique("presence-cache-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    sender.subscribe_presence(&channel, "a", &json!(null));
    sender.expect_on(&channel, "pusher:cache_miss");
    other.subscribe_presence(&channel, "b", &json!(null));
    other.expect_on(&channel, "pusher:cache_miss");
    sender.trigger(&channel, "client-typing", &json!({ "on": true }));
    other.expect_on(&channel, "client-typing");
    assert_eq!(first_after_success(&target, &channel, TODAY).event, "pusher:cache_miss");
}

/// An event is forgotten when its time is over, read or not, and the HTTP API tells what is remembered and for how
/// long.
///
/// Proves: 139, 201.
#[test]
fn what_is_remembered_expires() {
    let Some(target) = Target::own(&format!("{MAIN_APP}cache_ttl_seconds = 1.5\n")) else { return };
    let channel = unique("cache-");
    let ask = || target.get(&format!("/channels/{channel}")).query("info", "cache").send().json();
    assert_eq!(ask(), json!({ "occupied": false, "cache": null }));
    target.publish(&channel, "price", r#"{"p":12}"#);
    let told = ask();
    assert_eq!(told["cache"]["data"], json!(r#"{"p":12}"#));
    assert!(told["cache"]["ttl"].as_u64().is_some_and(|ttl| ttl <= 1), "{told}");
    assert_eq!(told["occupied"], json!(false), "remembering is not being subscribed to");
    eventually("the event is forgotten", || ask()["cache"].is_null().then_some(()));
    assert_eq!(first_after_success(&target, &channel, TODAY).event, "pusher:cache_miss");
    let channels = target.get("/channels").send().json();
    assert!(channels["channels"].get(&channel).is_none_or(|c| *c == json!({})), "{channels}");
}

/// What is remembered is bounded in number and in bytes; the oldest goes first. A million keys cost no more.
///
/// Proves: bad input.
#[test]
fn memory_is_bounded() {
    let Some(target) =
        Target::own(&format!("{MAIN_APP}limits = {{ cached_channels = 20, cached_bytes = 5000 }}\n"))
    else {
        return;
    };
    let cached = |channel: &str| {
        let answer = target.get(&format!("/channels/{channel}")).query("info", "cache").send().json();
        !answer["cache"].is_null()
    };
    for n in 0..30 {
        target.publish(&format!("cache-{n}"), "e", "x");
    }
    let remembered: Vec<usize> = (0..30).filter(|n| cached(&format!("cache-{n}"))).collect();
    assert_eq!(remembered, (10..30).collect::<Vec<_>>());
    target.publish("cache-large", "e", &"x".repeat(4500));
    assert!(cached("cache-large") && cached("cache-29") && !cached("cache-10"));
    target.publish("cache-huge", "e", &"x".repeat(9000));
    assert!(!cached("cache-huge"), "larger than everything together may be");
}

/// Whoever joins in the middle of a stream of events is given one and then hears every later one, none of them twice
/// and none left out.
///
/// Proves: 134, 137.
#[test]
pub(crate) fn joining_in_the_middle_loses_and_repeats_nothing() {
    const EVENTS: u64 = 300;
    let target = Target::main();
    let channel = unique("cache-counter-");
    target.publish(&channel, "count", "0");
    let publisher = {
        let (target, channel) = (target.clone(), channel.clone());
        thread::spawn(move || (1..=EVENTS).for_each(|n| target.publish(&channel, "count", &n.to_string())))
    };
    let joiners = (0..4).map(|_| {
        let (target, channel) = (target.clone(), channel.clone());
        thread::spawn(move || {
            loop {
                let mut socket = target.connect();
                socket.subscribe(&channel);
                let mut heard = socket.expect_on(&channel, "count").decoded().as_u64().unwrap();
                if heard == EVENTS {
                    return;
                }
                for _ in 0..20.min(EVENTS - heard) {
                    let next = socket.expect_on(&channel, "count").decoded().as_u64().unwrap();
                    assert_eq!(next, heard + 1);
                    heard = next;
                }
            }
        })
    });
    let joiners: Vec<_> = joiners.collect();
    publisher.join().unwrap();
    joiners.into_iter().for_each(|joiner| joiner.join().unwrap());
}
