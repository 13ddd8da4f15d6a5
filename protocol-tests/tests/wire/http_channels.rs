//! The HTTP API: what can be asked about channels and their members.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use heliostat_protocol_tests::http::{Connection, percent_encoded};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Shared, Socket, Target, patience, unique};
use serde_json::{Value, json};

/// What a request without the prefix it needs is told; the misspelling is Pusher's, and tests compare it.
const PREFIX_NEEDED: &str = "user_count may only be requested for presence channels - \
    please supply filter_by_prefix begining with presence-";
const NOT_PRESENCE: &str = "Cannot retrieve the user count unless the channel is a presence channel";
const UNKNOWN_ATTRIBUTE: &str = "info should be a comma separated list of attributes";

/// Three connections in a presence channel, of two users.
fn two_users(target: &Target, channel: &str) -> Vec<Socket> {
    ["u1", "u1", "u2"]
        .into_iter()
        .map(|user| {
            let mut socket = target.connect();
            let _ = socket.subscribe_presence(channel, user, &json!({ "name": "Ann" }));
            socket
        })
        .collect()
}

/// Asks again and again until the answer is `wanted`, for as long as patience lasts.
#[track_caller]
fn await_answer(target: &Target, path: &str, wanted: &Value) {
    let deadline = Instant::now() + patience();
    loop {
        let answer = target.get(path).send().json();
        if answer == *wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{path}: {wanted} expected, still {answer}");
    }
}

/// With nobody subscribed there are no channels: an empty object, never a list.
///
/// Proves: 196.
#[test]
fn no_channels_are_an_empty_object() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let answer = target.get("/channels").send();
    assert_eq!(answer.json(), json!({ "channels": {} }));
    let mut socket = target.connect();
    socket.subscribe("room");
    assert_eq!(target.get("/channels").send().json(), json!({ "channels": { "room": {} } }));
    socket.unsubscribe("room");
    socket.assert_silence();
    await_answer(&target, "/channels", &json!({ "channels": {} }));
}

/// Occupied channels of every type are listed, each with an empty object, and each once.
///
/// Proves: 196.
#[test]
fn occupied_channels_are_listed() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut sockets = [target.connect(), target.connect()];
    for socket in &mut sockets {
        socket.subscribe("room");
        socket.subscribe("Room@=,.;");
        socket.subscribe_private("private-room");
        socket.subscribe_private("private-encrypted-room");
        let _ = socket.subscribe_presence("presence-room", "u1", &Value::Null);
    }
    let all = json!({ "channels": {
        "room": {}, "Room@=,.;": {}, "private-room": {}, "private-encrypted-room": {}, "presence-room": {}
    } });
    assert_eq!(target.get("/channels").send().json(), all);
    let [one, other] = sockets;
    one.close();
    await_answer(&target, "/channels", &all);
    other.vanish();
    await_answer(&target, "/channels", &json!({ "channels": {} }));
}

/// Only channels whose names begin with the prefix, to the letter, are listed.
///
/// Proves: 197.
#[test]
fn channels_can_be_filtered_by_prefix() {
    let target = Target::main();
    let stem = unique("stem");
    let mut socket = target.connect();
    for name in ["-one", "-two", "=3", ""] {
        socket.subscribe(&format!("{stem}{name}"));
    }
    socket.subscribe(&format!("other-{stem}-one"));
    let ask = |prefix: &str| target.get("/channels").query("filter_by_prefix", prefix).send().json();
    let named = |names: &[&str]| {
        let members = names.iter().map(|name| (format!("{stem}{name}"), json!({})));
        json!({ "channels": members.collect::<serde_json::Map<_, _>>() })
    };
    assert_eq!(ask(&stem), named(&["-one", "-two", "=3", ""]));
    assert_eq!(ask(&format!("{stem}-")), named(&["-one", "-two"]));
    assert_eq!(ask(&format!("{stem}-two")), named(&["-two"]));
    assert_eq!(ask(&format!("{stem}=")), named(&["=3"]));
    assert_eq!(ask(&stem.to_uppercase()), named(&[]));
    assert_eq!(ask(&format!("{stem}*")), named(&[]));
    let everything = ask("");
    assert!(everything["channels"][format!("other-{stem}-one")].is_object(), "not in {everything}");
}

/// Users are counted where the prefix leaves only presence channels: distinct users.
///
/// Proves: 205, 197.
#[test]
fn a_list_of_presence_channels_may_count_users() {
    let target = Target::main();
    let stem = unique("presence-room-");
    let (one, other) = (format!("{stem}-1"), format!("{stem}-2"));
    let _members = two_users(&target, &one);
    let mut lone = target.connect();
    let _ = lone.subscribe_presence(&other, "u3", &Value::Null);
    let call = target.get("/channels").query("filter_by_prefix", &stem);
    let counts = json!({ "channels": { &one: { "user_count": 2 }, &other: { "user_count": 1 } } });
    assert_eq!(call.clone().query("info", "user_count").send().json(), counts);
    assert_eq!(call.send().json(), json!({ "channels": { &one: {}, &other: {} } }));
    let wide = target.get("/channels").query("filter_by_prefix", "presence-").query("info", "user_count");
    assert_eq!(wide.send().json()["channels"][&one], json!({ "user_count": 2 }));
}

/// Where the prefix lets other channels through, users cannot be counted.
///
/// Proves: 198.
#[test]
fn a_list_of_all_channels_cannot_count_users() {
    let target = Target::main();
    let call = target.get("/channels").query("info", "user_count");
    call.clone().send().assert_error(400, PREFIX_NEEDED);
    for prefix in ["", "presence", "private-", "Presence-", "xpresence-"] {
        call.clone().query("filter_by_prefix", prefix).send().assert_error(400, PREFIX_NEEDED);
    }
}

/// Attributes that do not exist, or not for a list, are refused.
///
/// Proves: 211a.
#[test]
fn a_list_knows_few_attributes() {
    let target = Target::main();
    for info in ["nonsense", "user_count,nonsense", "cache", "occupied"] {
        let call = target.get("/channels").query("filter_by_prefix", "presence-").query("info", info);
        call.send().assert_error_beginning(400, UNKNOWN_ATTRIBUTE);
    }
}

/// Subscriptions are counted in a list where the app has that switched on, and refused where it has not.
///
/// Proves: 165, 205.
#[test]
fn a_list_counts_subscriptions_where_that_is_on() {
    let Some(counting) = Target::shared(Shared::Counting) else { return };
    let presence = unique("presence-room-");
    let _members = two_users(&counting, &presence);
    let call = counting.get("/channels").query("filter_by_prefix", &presence);
    let both = call.query("info", "user_count,subscription_count").send().json();
    assert_eq!(both, json!({ "channels": { &presence: { "user_count": 2, "subscription_count": 3 } } }));
    let room = unique("private-room-");
    let mut socket = counting.connect();
    socket.subscribe_private(&room);
    let call = counting.get("/channels").query("filter_by_prefix", &room).query("info", "subscription_count");
    assert_eq!(call.send().json(), json!({ "channels": { &room: { "subscription_count": 1 } } }));
    let Some(target) = Target::shared(Shared::Main) else { return };
    let _ = target.get("/channels").query("info", "subscription_count").send().error(400);
}

/// A channel that nobody is in is no error: it is not occupied, and its counts are 0.
///
/// Proves: 199.
#[test]
fn an_empty_channel_is_not_occupied() {
    let target = Target::main();
    for prefix in ["room-", "private-", "presence-", "cache-", "private-encrypted-"] {
        let answer = target.get(&format!("/channels/{}", unique(prefix))).send();
        assert_eq!(answer.json(), json!({ "occupied": false }));
    }
    let call = target.get(&format!("/channels/{}", unique("presence-"))).query("info", "user_count");
    assert_eq!(call.send().json(), json!({ "occupied": false, "user_count": 0 }));
    let Some(counting) = Target::shared(Shared::Counting) else { return };
    let path = format!("/channels/{}", unique("presence-"));
    let call = counting.get(&path).query("info", "user_count,subscription_count");
    let nothing = json!({ "occupied": false, "user_count": 0, "subscription_count": 0 });
    assert_eq!(call.send().json(), nothing);
}

/// A channel is occupied as long as somebody is in it.
///
/// Proves: 199.
#[test]
fn a_channel_is_occupied_while_somebody_is_in_it() {
    let target = Target::main();
    let channel = unique("room-");
    let path = format!("/channels/{channel}");
    let mut sockets = [target.connect(), target.connect()];
    for socket in &mut sockets {
        socket.subscribe(&channel);
    }
    assert_eq!(target.get(&path).send().json(), json!({ "occupied": true }));
    let [mut one, other] = sockets;
    one.unsubscribe(&channel);
    one.assert_silence();
    assert_eq!(target.get(&path).send().json(), json!({ "occupied": true }));
    other.close();
    await_answer(&target, &path, &json!({ "occupied": false }));
}

/// Of a presence channel the distinct users are counted, of any the connections.
///
/// Proves: 205.
#[test]
fn users_and_connections_are_counted() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let presence = unique("presence-room-");
    let mut members = two_users(&target, &presence);
    let path = format!("/channels/{presence}");
    let ask = |info: &str| target.get(&path).query("info", info).send().json();
    assert_eq!(ask("user_count"), json!({ "occupied": true, "user_count": 2 }));
    assert_eq!(ask("subscription_count"), json!({ "occupied": true, "subscription_count": 3 }));
    let both = json!({ "occupied": true, "user_count": 2, "subscription_count": 3 });
    assert_eq!(ask("subscription_count,user_count"), both);
    let mut first = members.remove(0);
    first.unsubscribe(&presence);
    let _ = first.drain();
    let fewer = json!({ "occupied": true, "user_count": 2, "subscription_count": 2 });
    assert_eq!(ask("subscription_count,user_count"), fewer);
    let room = unique("room-");
    first.send(&json!({ "event": "pusher:subscribe", "data": { "channel": room } }));
    let _ = first.expect_on(&room, "pusher_internal:subscription_succeeded");
    let call = target.get(&format!("/channels/{room}")).query("info", "subscription_count");
    assert_eq!(call.send().json(), json!({ "occupied": true, "subscription_count": 1 }));
}

/// Users can be counted in presence channels only.
///
/// Proves: 200.
#[test]
fn users_are_counted_in_presence_channels_only() {
    let target = Target::main();
    for channel in
        ["room", "private-room", "presence", "Presence-room", "private-encrypted-room", "cache-room"]
    {
        let call = target.get(&format!("/channels/{channel}")).query("info", "user_count");
        call.send().assert_error(400, NOT_PRESENCE);
    }
}

/// A channel without a cache has no cached event to ask for.
///
/// Proves: 201.
#[test]
fn only_cache_channels_have_a_cache() {
    let target = Target::main();
    for channel in ["room", "private-room", "presence-room", "cachefoo", "private-encrypted-room"] {
        let _ = target.get(&format!("/channels/{channel}")).query("info", "cache").send().error(400);
    }
}

/// A channel's attributes are known ones, and that of subscriptions only where the app has it switched on.
///
/// Proves: 211a, 165.
#[test]
fn a_channel_knows_few_attributes() {
    let target = Target::main();
    for info in ["nonsense", "user_count,nonsense", "occupied", "USER_COUNT"] {
        let call = target.get("/channels/presence-room").query("info", info);
        call.send().assert_error_beginning(400, UNKNOWN_ATTRIBUTE);
    }
    let Some(target) = Target::shared(Shared::Main) else { return };
    let _ = target.get("/channels/room").query("info", "subscription_count").send().error(400);
}

/// A name that no channel can have is refused, wherever it stands in a path.
///
/// Proves: 60, 61.
#[test]
fn a_name_in_the_path_must_be_valid() {
    let target = Target::main();
    let long = "x".repeat(165);
    for name in ["a b", "a:b", "a/b", "a#b", "#a", "é", "\0", "a\n", &long] {
        let path = format!("/channels/{}", percent_encoded(name));
        target.get(&path).send().assert_error_beginning(400, "Invalid channel name");
    }
    let long = format!("presence-{}", &long[9..164]);
    assert_eq!(target.get(&format!("/channels/{long}")).send().json(), json!({ "occupied": false }));
    assert_eq!(target.get(&format!("/channels/{long}/users")).send().json(), json!({ "users": [] }));
}

/// The members of a presence channel: distinct ids, as strings, and nothing else about them.
///
/// Proves: 202.
#[test]
fn the_users_of_a_presence_channel_are_listed() {
    let target = Target::main();
    let channel = unique("presence-room-");
    let mut members = two_users(&target, &channel);
    let mut numeric = target.connect();
    numeric.join(&channel, r#"{"user_id":10}"#);
    let _ = numeric.expect_on(&channel, "pusher_internal:subscription_succeeded");
    let path = format!("/channels/{channel}/users");
    let ids = || {
        let mut answer = target.get(&path).send().json();
        answer["users"].as_array_mut().expect("a list of users").sort_by_key(|user| user.to_string());
        answer
    };
    assert_eq!(ids(), json!({ "users": [{ "id": "10" }, { "id": "u1" }, { "id": "u2" }] }));
    let mut last = members.pop().expect("three members");
    last.unsubscribe(&channel);
    let _ = last.drain();
    assert_eq!(ids(), json!({ "users": [{ "id": "10" }, { "id": "u1" }] }));
}

/// Only presence channels have users; one that nobody is in has an empty list of them.
///
/// Proves: 203.
#[test]
fn only_presence_channels_have_users() {
    let target = Target::main();
    for channel in ["room", "private-room", "presence", "Presence-room", "private-encrypted-room"] {
        let refusal = "Users can only be retrieved for presence channels";
        target.get(&format!("/channels/{channel}/users")).send().assert_error(400, refusal);
    }
    let empty = format!("/channels/{}/users", unique("presence-"));
    assert_eq!(target.get(&empty).send().json(), json!({ "users": [] }));
}

/// The list of users takes no parameters; the refusal names those that were given.
///
/// Proves: 204.
#[test]
fn a_list_of_users_takes_no_parameters() {
    let target = Target::main();
    let call = target.get("/channels/presence-room/users");
    let beginning = "The following query string parameters are extraneous: ";
    call.clone().query("info", "user_count").send().assert_error(400, &format!("{beginning}info"));
    let several = call.clone().query("zone", "1").query("info", "user_count").send();
    let text = several.error(400);
    assert!(text.starts_with(beginning) && text.contains("info") && text.contains("zone"), "{text}");
    let nothing_extra = call.auth("body_md5", "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(nothing_extra.send().json(), json!({ "users": [] }));
}

/// The questions of one app are answered from its own channels.
///
/// Proves: 65.
#[test]
fn questions_stay_in_their_app() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let Some(other) = Target::shared(Shared::Other) else { return };
    let presence = unique("presence-room-");
    let _members = two_users(&target, &presence);
    let path = format!("/channels/{presence}");
    assert_eq!(target.get(&path).send().json(), json!({ "occupied": true }));
    assert_eq!(other.get(&path).send().json(), json!({ "occupied": false }));
    assert_eq!(other.get(&format!("{path}/users")).send().json(), json!({ "users": [] }));
    let listed = other.get("/channels").query("filter_by_prefix", &presence).send().json();
    assert_eq!(listed, json!({ "channels": {} }));
}

/// The broker says that it is there, to anyone and without credentials.
///
/// Proves: bad input.
#[test]
fn health_is_public() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let request = b"GET /health HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n";
    let answer = Connection::open(&target).exchange(request).expect("an answer");
    assert_eq!((answer.status, answer.text().trim_end()), (200, "ok"));
}

/// Of very many channels, which are answered in pieces, none is missing and none comes twice, whatever is asked of them.
///
/// Proves: 196, 197.
#[test]
fn very_many_channels_are_listed_exactly() {
    let app = MAIN_APP.replace("client_events = true", "client_events = true\nsubscription_count = true");
    let Some(target) = Target::own(&app) else { return };
    let mut sockets: Vec<Socket> = (0..3).map(|_| target.connect()).collect();
    let mut all = BTreeMap::from([("presence-room".to_owned(), 2)]);
    let _ = sockets[0].subscribe_presence("presence-room", "u1", &Value::Null);
    let _ = sockets[1].subscribe_presence("presence-room", "u2", &Value::Null);
    for (place, socket) in sockets.iter_mut().enumerate() {
        for number in 0..500 {
            let name = format!("{}-{place}-{number}", if number % 2 == 0 { "even" } else { "odd" });
            socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": name } }));
            all.insert(name, 1);
        }
    }
    for socket in &mut sockets {
        // The answer to a ping comes after all that was asked for before it.
        socket.send(&json!({ "event": "pusher:ping", "data": {} }));
        while socket.message().event != "pusher:pong" {}
    }
    let listed = |parameters: &[(&str, &str)]| {
        let call = target.get("/channels");
        let call = parameters.iter().fold(call, |call, (name, value)| call.query(name, value));
        let answer = call.send();
        let text = answer.text().to_owned();
        let channels = answer.json()["channels"].as_object().expect("an object").clone();
        assert_eq!(text.matches("\":{").count(), channels.len() + 1, "a name comes twice");
        channels
    };
    let counted: BTreeMap<String, u64> = listed(&[("info", "subscription_count")])
        .into_iter()
        .map(|(name, attributes)| (name, attributes["subscription_count"].as_u64().expect("a count")))
        .collect();
    assert_eq!(counted, all);
    let names: BTreeSet<String> = listed(&[]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, all.keys().cloned().collect());
    let odd = listed(&[("filter_by_prefix", "odd-")]);
    assert_eq!(odd.len(), 750);
    assert!(odd.iter().all(|(name, attributes)| name.starts_with("odd-") && *attributes == json!({})));
    let presence = listed(&[("filter_by_prefix", "presence-"), ("info", "user_count,subscription_count")]);
    assert_eq!(
        Value::Object(presence),
        json!({ "presence-room": { "user_count": 2, "subscription_count": 2 } })
    );
    assert_eq!(listed(&[("filter_by_prefix", "nothing-")]).len(), 0);
}
