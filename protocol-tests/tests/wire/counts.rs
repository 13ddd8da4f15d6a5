//! Subscription counts: who is subscribed hears how many there are, where the app has switched that on.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::message::Message;
use heliostat_protocol_tests::target::Shared;
use heliostat_protocol_tests::{Incoming, Socket, Target, unique};
use serde_json::json;

use crate::fence;

const COUNT: &str = "pusher_internal:subscription_count";

fn counting() -> Option<Target> {
    Target::shared(Shared::Counting)
}

/// The next message must be a count, in its whole form.
#[track_caller]
fn count(socket: &mut Socket, channel: &str) -> u64 {
    let message = socket.expect_on(channel, COUNT);
    let counted = message.decoded()["subscription_count"].as_u64().expect("a number");
    assert_eq!(message.decoded(), json!({ "subscription_count": counted }));
    counted
}

fn subscribe(socket: &mut Socket, channel: &str) {
    let auth = socket.auth(channel, None);
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    socket.expect_on(channel, "pusher_internal:subscription_succeeded");
}

/// Every subscription and every end of one is told to everybody who is subscribed, to the newcomer after its success,
/// on every kind of channel without presence.
///
/// Proves: 161, 162.
#[test]
pub(crate) fn every_change_is_told_to_every_subscriber() {
    let Some(target) = counting() else { return };
    for kind in ["room-", "private-", "private-encrypted-"] {
        let channel = unique(kind);
        let (mut first, mut second, third) = (target.connect(), target.connect(), target.connect());
        subscribe(&mut first, &channel);
        assert_eq!(count(&mut first, &channel), 1);
        subscribe(&mut second, &channel);
        assert_eq!((count(&mut first, &channel), count(&mut second, &channel)), (2, 2));
        let mut third = third;
        subscribe(&mut third, &channel);
        for socket in [&mut first, &mut second, &mut third] {
            assert_eq!(count(socket, &channel), 3);
        }
        second.unsubscribe(&channel);
        assert_eq!((count(&mut first, &channel), count(&mut third, &channel)), (2, 2));
        third.vanish();
        assert_eq!(count(&mut first, &channel), 1);
        second.assert_silence();
    }
}

/// On a cache channel the count comes after what is remembered.
///
/// Proves: 162.
#[test]
fn the_count_comes_after_what_is_remembered() {
    let Some(target) = counting() else { return };
    let channel = unique("cache-");
    target.publish(&channel, "price", "1");
    let mut socket = target.connect();
    subscribe(&mut socket, &channel);
    socket.expect_on(&channel, "price");
    assert_eq!(count(&mut socket, &channel), 1);
}

/// Members of presence channels know who they are, and are told no number.
///
/// Proves: 163.
#[test]
pub(crate) fn presence_channels_are_told_no_count() {
    let Some(target) = counting() else { return };
    for kind in ["presence-", "presence-cache-"] {
        let channel = unique(kind);
        let mut socket = target.connect();
        socket.subscribe_presence(&channel, "u1", &json!(null));
        let heard: Vec<Message> = socket.drain();
        assert!(heard.iter().all(|message| message.event == "pusher:cache_miss"), "{heard:?}");
        fence(&target, &channel, [&mut socket]);
    }
}

/// Where the app has not switched it on, nobody is told.
///
/// Proves: 165.
#[test]
fn without_the_switch_nobody_is_told() {
    let target = Target::main();
    let channel = unique("room-");
    let mut sockets: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    sockets.iter_mut().for_each(|socket| socket.subscribe(&channel));
    fence(&target, &channel, &mut sockets);
}

/// Above a hundred subscribers the count is told at most once in five seconds, with the latest number, and not at all
/// where nothing changes.
///
/// Proves: 164.
#[test]
fn a_crowd_is_told_seldom() {
    const WINDOW: Duration = Duration::from_secs(5);
    /// The windows end by a coarse clock of the broker's.
    const SLACK: Duration = Duration::from_secs(2);
    let Some(target) = counting() else { return };
    let channel = unique("room-");
    let mut crowd: Vec<Socket> = (0..100).map(|_| target.connect()).collect();
    crowd.iter_mut().for_each(|socket| subscribe(socket, &channel));
    let mut watcher = crowd.remove(0);
    while count(&mut watcher, &channel) < 100 {}

    let begun = Instant::now();
    crowd.extend((0..10).map(|_| target.connect()));
    crowd.iter_mut().rev().take(10).for_each(|socket| subscribe(socket, &channel));
    let told = next_count(&mut watcher, WINDOW + SLACK).expect("the end of the window tells");
    assert_eq!(told, 110, "the latest number, and no number before it");
    assert!(begun.elapsed() > WINDOW - SLACK, "told after {:?}", begun.elapsed());
    fence(&target, &channel, [&mut watcher]);

    // A change in the next window is told at its end; then there is none, and nothing is told.
    drop(crowd.split_off(105));
    assert_eq!(next_count(&mut watcher, WINDOW + SLACK), Some(106));
    assert_eq!(next_count(&mut watcher, WINDOW + SLACK), None);
}

fn next_count(socket: &mut Socket, within: Duration) -> Option<u64> {
    let deadline = Instant::now() + within;
    while let Some(incoming) = socket.receive_within(deadline.saturating_duration_since(Instant::now())) {
        match incoming {
            Incoming::Message(message) if message.event == COUNT => {
                return message.decoded()["subscription_count"].as_u64();
            }
            Incoming::Ping(_) => {}
            other => socket.fail(&format!("expected a count, got {other:?}")),
        }
    }
    None
}
