//! Presence channels: who is there, who came, who went, and who may not come in.

use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::{Value, json};

use crate::{fence, keys};

/// The success carries the whole roster, the joiner included, in the form of protocol 3 and later.
///
/// Proves: 90, 92, 93, 94.
#[test]
pub(crate) fn the_roster_holds_everybody() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut members = Vec::new();
    for (n, protocol) in [3, 4, 5, 6, 7].into_iter().enumerate() {
        let mut socket = target.connect_as(&format!("protocol={protocol}"));
        let info = if n % 2 == 0 { json!({ "name": format!("n{n}") }) } else { json!(null) };
        let roster = socket.subscribe_presence(&channel, &format!("u{n}"), &info);
        let ids: Vec<String> = (0..=n).map(|n| format!("u{n}")).collect();
        let hash: serde_json::Map<String, Value> = (0..=n)
            .map(|n| {
                (format!("u{n}"), if n % 2 == 0 { json!({ "name": format!("n{n}") }) } else { json!(null) })
            })
            .collect();
        assert_eq!(keys(&roster), ["presence"]);
        assert_eq!(keys(&roster["presence"]), ["count", "hash", "ids"]);
        assert_eq!(roster["presence"]["count"], json!(n + 1));
        assert_eq!(sorted(&roster["presence"]["ids"]), ids);
        assert_eq!(roster["presence"]["hash"], Value::Object(hash));
        members.push(socket);
    }
}

/// An id is told as text, however it was written, and ten is `"10"`.
///
/// Proves: 91, 102.
#[test]
pub(crate) fn a_numeric_id_is_the_same_user_as_its_digits() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut watcher = target.connect();
    watcher.subscribe_presence(&channel, "watcher", &json!(null));
    let (mut number, mut text) = (target.connect(), target.connect());
    number.join(&channel, r#"{"user_id":10,"user_info":{"name":"Ten"}}"#);
    let roster = number.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(sorted(&roster["presence"]["ids"]), ["10", "watcher"]);
    assert_eq!(roster["presence"]["hash"]["10"], json!({ "name": "Ten" }));
    let added = watcher.expect_on(&channel, "pusher_internal:member_added").decoded();
    assert_eq!(added, json!({ "user_id": "10", "user_info": { "name": "Ten" } }));
    text.join(&channel, r#"{"user_id":"10"}"#);
    let roster = text.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
    assert_eq!(roster["presence"]["count"], json!(2));
    number.close();
    target.assert_nothing_published(&mut watcher, &channel);
    text.close();
    let removed = watcher.expect_on(&channel, "pusher_internal:member_removed");
    assert_eq!(removed.decoded(), json!({ "user_id": "10" }));
}

/// The others hear who came, once per user; the user does not hear it about itself.
///
/// Proves: 95, 96, 97.
#[test]
pub(crate) fn the_others_hear_who_came() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let (mut ann, mut bob, mut bob_again) = (target.connect(), target.connect(), target.connect());
    ann.subscribe_presence(&channel, "ann", &json!({ "name": "Ann" }));
    bob.subscribe_presence(&channel, "bob", &json!({ "name": "Bob", "tags": ["x", 1, null] }));
    let added = ann.expect_on(&channel, "pusher_internal:member_added");
    assert_eq!(keys(&added.whole), ["channel", "data", "event"]);
    assert_eq!(
        added.decoded(),
        json!({ "user_id": "bob", "user_info": { "name": "Bob", "tags": ["x", 1, null] } })
    );
    let roster = bob_again.subscribe_presence(&channel, "bob", &json!({ "name": "Bob's phone" }));
    assert_eq!(roster["presence"]["count"], json!(2));
    fence(&target, &channel, [&mut ann, &mut bob, &mut bob_again]);
}

/// A member without `user_info` is announced without it.
///
/// Proves: 93, 95.
#[test]
fn a_member_without_info_is_announced_without() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut watcher = target.connect();
    watcher.subscribe_presence(&channel, "watcher", &json!(null));
    for (n, member) in [r#"{"user_id":"u0"}"#, r#"{"user_id":"u1","user_info":null}"#].into_iter().enumerate()
    {
        let mut socket = target.connect();
        socket.join(&channel, member);
        let roster = socket.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
        assert_eq!(roster["presence"]["hash"][format!("u{n}")], json!(null), "{roster}");
        assert!(keys(&roster["presence"]["hash"]).contains(&format!("u{n}").as_str()), "{roster}");
        let added = watcher.expect_on(&channel, "pusher_internal:member_added").decoded();
        assert_eq!(added, json!({ "user_id": format!("u{n}") }));
        socket.close();
        watcher.expect_on(&channel, "pusher_internal:member_removed");
    }
}

/// An empty object as `user_info` is not the same as none, and stays an object.
///
/// Proves: 112.
#[test]
fn an_empty_info_stays_an_object() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let (mut first, mut second) = (target.connect(), target.connect());
    let roster = first.subscribe_presence(&channel, "u1", &json!({}));
    assert_eq!(roster["presence"]["hash"], json!({ "u1": {} }));
    second.subscribe_presence(&channel, "u2", &json!({}));
    let added = first.expect_on(&channel, "pusher_internal:member_added").decoded();
    assert_eq!(added, json!({ "user_id": "u2", "user_info": {} }));
}

/// What an application put into `user_info` arrives as it was, whatever it is made of.
///
/// Proves: 95.
#[test]
pub(crate) fn user_info_arrives_unchanged() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut watcher = target.connect();
    watcher.subscribe_presence(&channel, "watcher", &json!(null));
    let info = r#"{"z":1,"a":{"deep":[true,null,1.5e3]},"é\u00e9\ud83d\udcf7\"\\/":"\u0000\n","n":12345678901234567890}"#;
    let mut socket = target.connect();
    socket.join(&channel, &format!(r#"{{"user_id":"\u00fc \"q\" \ud83d\udcf7","user_info":{info}}}"#));
    let roster = socket.expect_on(&channel, "pusher_internal:subscription_succeeded").decoded();
    let added = watcher.expect_on(&channel, "pusher_internal:member_added").decoded();
    let expected: Value = serde_json::from_str(info).unwrap();
    assert_eq!(added, json!({ "user_id": "ü \"q\" 📷", "user_info": expected }));
    assert_eq!(roster["presence"]["hash"]["ü \"q\" 📷"], expected);
}

/// A user has gone when the last of its connections has.
///
/// Proves: 98, 99, 100.
#[test]
pub(crate) fn a_user_has_gone_with_its_last_connection() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let (mut watcher, mut phone, mut laptop) = (target.connect(), target.connect(), target.connect());
    watcher.subscribe_presence(&channel, "watcher", &json!(null));
    phone.subscribe_presence(&channel, "bob", &json!({ "at": "phone" }));
    watcher.expect_on(&channel, "pusher_internal:member_added");
    laptop.subscribe_presence(&channel, "bob", &json!({ "at": "laptop" }));
    phone.unsubscribe(&channel);
    phone.assert_silence();
    target.assert_nothing_published(&mut watcher, &channel);
    // Whose information is shown when the first of the connections has gone: that of the first still there.
    let mut late = target.connect();
    let roster = late.subscribe_presence(&channel, "late", &json!(null));
    assert_eq!(roster["presence"]["hash"]["bob"], json!({ "at": "laptop" }));
    watcher.expect_on(&channel, "pusher_internal:member_added");
    laptop.unsubscribe(&channel);
    for socket in [&mut watcher, &mut late] {
        let removed = socket.expect_on(&channel, "pusher_internal:member_removed");
        assert_eq!(removed.decoded(), json!({ "user_id": "bob" }));
    }
    // It heard who came, and the event that proved the watcher's silence, but nothing about its own user.
    for message in laptop.drain() {
        assert_ne!(message.event, "pusher_internal:member_removed", "{}", message.whole);
    }
}

/// Leaving and joining again is going and coming.
///
/// Proves: 84, 99, 100.
#[test]
pub(crate) fn leaving_and_joining_again_is_announced_each_time() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let (mut watcher, mut socket) = (target.connect(), target.connect());
    watcher.subscribe_presence(&channel, "watcher", &json!(null));
    for _ in 0..5 {
        let roster = socket.subscribe_presence(&channel, "bob", &json!({}));
        assert_eq!(roster["presence"]["count"], json!(2));
        watcher.expect_on(&channel, "pusher_internal:member_added");
        socket.unsubscribe(&channel);
        watcher.expect_on(&channel, "pusher_internal:member_removed");
    }
    fence(&target, &channel, [&mut watcher]);
    socket.assert_silence();
}

/// Somebody who comes while others come and go knows everybody: from the roster or from an announcement, never
/// from both.
///
/// Proves: 85, 92.
#[test]
pub(crate) fn roster_and_announcements_agree() {
    let target = Target::main();
    let channel = unique("presence-room-");
    std::thread::scope(|scope| {
        for crowd in 0..2 {
            let (target, channel) = (&target, &channel);
            scope.spawn(move || {
                let mut sockets: Vec<Socket> = (0..10).map(|_| target.connect()).collect();
                for round in 0..6 {
                    for (n, socket) in sockets.iter_mut().enumerate() {
                        match round % 2 {
                            0 => socket
                                .join(channel, &json!({ "user_id": format!("c{crowd}-{n}") }).to_string()),
                            _ => socket.unsubscribe(channel),
                        }
                    }
                }
                for socket in &mut sockets {
                    socket.drain();
                }
            });
        }
        for n in 0..10 {
            let mut socket = target.connect();
            let roster = socket.subscribe_presence(&channel, &format!("observer-{n}"), &json!(null));
            let ids = sorted(&roster["presence"]["ids"]);
            let mut present: std::collections::HashSet<String> = ids.into_iter().collect();
            for message in socket.drain() {
                let user = message.decoded()["user_id"].as_str().unwrap().to_owned();
                match message.event.as_str() {
                    "pusher_internal:member_added" => {
                        assert!(present.insert(user.clone()), "{user} came twice");
                    }
                    "pusher_internal:member_removed" => {
                        assert!(present.remove(&user), "{user} went without having been there");
                    }
                    other => panic!("unexpected {other}"),
                }
            }
        }
    });
    // Everybody has gone; the roster says so to the next one.
    crate::eventually("only the last observer is there", || {
        let roster = target.connect().subscribe_presence(&channel, "last", &json!(null));
        (roster["presence"]["ids"] == json!(["last"])).then_some(())
    });
}

/// Protocol 2 and below counts connections by itself: its roster is a list with one entry for each of them, and
/// so are its announcements. Newer clients on the same channel are told about users.
///
/// Proves: 88, 97, 98, 111.
#[test]
pub(crate) fn old_protocols_see_connections_instead_of_users() {
    let target = Target::main();
    for protocol in [1, 2] {
        let channel = unique("presence-room-");
        let mut young = target.connect();
        young.subscribe_presence(&channel, "young", &json!(null));
        let mut old = target.connect_as(&format!("protocol={protocol}"));
        let roster = old.subscribe_presence(&channel, "old", &json!({ "name": "Old" }));
        let expected =
            [json!({ "user_id": "young" }), json!({ "user_id": "old", "user_info": { "name": "Old" } })];
        assert_same_members(&roster, &expected);
        young.expect_on(&channel, "pusher_internal:member_added");

        let (mut phone, mut laptop) = (target.connect(), target.connect());
        phone.subscribe_presence(&channel, "bob", &json!({ "at": "phone" }));
        let added = young.expect_on(&channel, "pusher_internal:member_added").decoded();
        assert_eq!(added["user_id"], json!("bob"));
        let added = old.expect_on(&channel, "pusher_internal:member_added").decoded();
        assert_eq!(added, json!({ "user_id": "bob", "user_info": { "at": "phone" } }));
        laptop.subscribe_presence(&channel, "bob", &json!({ "at": "laptop" }));
        let added = old.expect_on(&channel, "pusher_internal:member_added").decoded();
        assert_eq!(added, json!({ "user_id": "bob", "user_info": { "at": "laptop" } }));

        let mut other_old = target.connect_as(&format!("protocol={protocol}"));
        let roster = other_old.subscribe_presence(&channel, "old", &json!(null));
        let bobs = roster.as_array().unwrap().iter().filter(|m| m["user_id"] == "bob").count();
        let olds = roster.as_array().unwrap().iter().filter(|m| m["user_id"] == "old").count();
        assert_eq!((roster.as_array().unwrap().len(), bobs, olds), (5, 2, 2), "{roster}");
        old.expect_on(&channel, "pusher_internal:member_added");

        for (leaver, last) in [(phone, false), (laptop, true)] {
            leaver.close();
            for socket in [&mut old, &mut other_old] {
                let removed = socket.expect_on(&channel, "pusher_internal:member_removed");
                assert_eq!(removed.decoded(), json!({ "user_id": "bob" }));
            }
            if last {
                young.expect_on(&channel, "pusher_internal:member_removed");
            }
            fence(&target, &channel, [&mut young, &mut old, &mut other_old]);
        }
    }
}

/// Closing ends all of a connection's memberships at once.
///
/// Proves: 87, 99.
#[test]
pub(crate) fn closing_leaves_every_channel() {
    let target = Target::main();
    let channels: Vec<String> = (0..5).map(|_| unique("presence-room-")).collect();
    let (mut watcher, mut goes) = (target.connect(), target.connect());
    for channel in &channels {
        watcher.subscribe_presence(channel, "watcher", &json!(null));
        goes.subscribe_presence(channel, "goes", &json!(null));
        watcher.expect_on(channel, "pusher_internal:member_added");
    }
    goes.close();
    let mut left: Vec<String> = channels
        .iter()
        .map(|_| watcher.expect("pusher_internal:member_removed").channel.unwrap_or_default())
        .collect();
    left.sort();
    let mut expected = channels.clone();
    expected.sort();
    assert_eq!(left, expected);
    channels.iter().for_each(|channel| fence(&target, channel, [&mut watcher]));
}

#[track_caller]
fn sorted(ids: &Value) -> Vec<String> {
    let ids = ids.as_array().unwrap_or_else(|| panic!("ids is a list: {ids}"));
    let mut ids: Vec<String> = ids
        .iter()
        .map(|id| id.as_str().unwrap_or_else(|| panic!("an id is text: {id}")).to_owned())
        .collect();
    ids.sort();
    ids
}

/// Compares rosters of protocol 2, in any order; a member without information has the key null or not at all.
#[track_caller]
fn assert_same_members(roster: &Value, expected: &[Value]) {
    let mut members = roster.as_array().unwrap_or_else(|| panic!("a list: {roster}")).clone();
    for member in &mut members {
        if member["user_info"].is_null() {
            member.as_object_mut().unwrap().remove("user_info");
        }
    }
    assert_eq!(members.len(), expected.len(), "{roster}");
    assert!(expected.iter().all(|member| members.contains(member)), "{roster}");
}
