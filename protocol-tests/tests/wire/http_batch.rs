//! The HTTP API: `POST /batch_events`, several events in one request, all of them or none.

use heliostat_protocol_tests::{Shared, Target, unique};
use serde_json::{Value, json};

use crate::http_events::subscriber;

/// An item that nothing is wrong with.
fn good(channel: &str, data: &str) -> Value {
    json!({ "name": "greet", "channel": channel, "data": data })
}

/// The same with one member changed, or left out if `value` is null.
fn changed(mut item: Value, member: &str, value: Value) -> Value {
    let members = item.as_object_mut().expect("an item is an object");
    match value {
        Value::Null => drop(members.remove(member)),
        value => drop(members.insert(member.to_owned(), value)),
    }
    item
}

/// Ten events in one request arrive in its order, and the answer is `{}`.
///
/// Proves: 193, 194.
#[test]
fn ten_events_arrive_in_order() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let items: Vec<Value> = (0..10).map(|number| good(&channel, &number.to_string())).collect();
    target.batch_events(&items).assert_empty_object();
    for number in 0..10 {
        let frame = socket.message().whole;
        assert_eq!(frame, json!({ "event": "greet", "data": number.to_string(), "channel": channel }));
    }
}

/// Each item has a name, a channel and data of its own.
///
/// Proves: 193, 194.
#[test]
fn items_are_independent() {
    let target = Target::main();
    let (mut one, first) = subscriber(&target);
    let (mut other, second) = subscriber(&target);
    let items = [
        json!({ "name": "a", "channel": first, "data": "{\"to\":1}", "extra": [] }),
        json!({ "name": "b", "channel": second, "data": { "to": 2 } }),
        json!({ "name": "c", "channel": unique("nobody-"), "data": "" }),
    ];
    target.batch_events(&items).assert_empty_object();
    assert_eq!(one.expect_on(&first, "a").data, json!("{\"to\":1}"));
    assert_eq!(other.expect_on(&second, "b").data, json!("{\"to\":2}"));
    target.assert_nothing_published(&mut one, &first);
    target.assert_nothing_published(&mut other, &second);
}

/// Eleven are too many, and the refusal counts them.
///
/// Proves: 193.
#[test]
fn eleven_events_are_too_many() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let items = vec![good(&channel, "hi"); 11];
    target.batch_events(&items).assert_error(400, "Batch too large (11 > 10)");
    target.batch_events(&vec![good(&channel, "hi"); 250]).assert_error(400, "Batch too large (250 > 10)");
    target.assert_nothing_published(&mut socket, &channel);
}

/// The number of events is the app's own limit.
///
/// Proves: 193.
#[test]
fn an_app_may_have_another_limit() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let channel = unique("r-");
    target.batch_events(&vec![good(&channel, "hi"); 2]).assert_empty_object();
    target.batch_events(&vec![good(&channel, "hi"); 3]).assert_error(400, "Batch too large (3 > 2)");
    let large = good(&channel, &"x".repeat(101));
    target.batch_events(&[large]).assert_error_beginning(413, "The data content of this event exceeds");
}

/// A body without a list of items is refused.
///
/// Proves: 193.
#[test]
fn a_batch_is_a_list() {
    let target = Target::main();
    let post = |body: &Value| target.post("/batch_events", body).send();
    post(&json!({})).assert_error(400, "Missing required parameter: batch");
    post(&json!({ "events": [] })).assert_error(400, "Missing required parameter: batch");
    for batch in
        [json!(null), json!([]), json!({}), json!("greet"), json!(1), json!({ "0": good("room", "") })]
    {
        let _ = post(&json!({ "batch": batch })).error(400);
    }
    let _ = post(&json!([good("room", "")])).error(400);
    let _ = target.call("POST", "/batch_events").send().error(400);
    for item in [json!(null), json!([]), json!("greet"), json!(1)] {
        let _ = target.batch_events(&[item]).error(400);
    }
}

/// An item names one channel; a list of channels is for single events.
///
/// Proves: 211b.
#[test]
fn an_item_has_one_channel() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let listed = json!({ "name": "greet", "channels": [channel], "data": "hi" });
    target.batch_events(&[listed]).assert_error(400, "Missing required parameter: channel");
    target.assert_nothing_published(&mut socket, &channel);
}

/// One oversize item makes the whole request a 413, whatever stands beside it.
///
/// Proves: 211c, 185.
#[test]
fn one_oversize_item_stops_the_batch() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let (fits, large) = (good(&channel, &"é".repeat(5120)), good(&channel, &"é".repeat(5121)));
    let text = "The data content of this event exceeds the allowed maximum (10240 bytes)";
    target.batch_events(&[fits.clone(), large]).assert_error_beginning(413, text);
    target.assert_nothing_published(&mut socket, &channel);
    target.batch_events(&[fits]).assert_empty_object();
    assert_eq!(socket.expect_on(&channel, "greet").data, json!("é".repeat(5120)));
}

/// Ten items of the full size fit in one request, also when JSON escaping makes them six times as long.
///
/// Proves: 193, 185.
#[test]
fn ten_full_items_fit_in_one_request() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let item = format!(r#"{{"name":"greet","channel":"{channel}","data":"{}"}}"#, r"\u0001".repeat(10_240));
    let body = format!(r#"{{"batch":[{}]}}"#, vec![item; 10].join(","));
    target.post_bytes("/batch_events", body).send().assert_empty_object();
    for _ in 0..10 {
        assert_eq!(socket.expect_on(&channel, "greet").data, json!("\u{1}".repeat(10_240)));
    }
}

/// Anything wrong in one item, first or last, and none of the batch is sent. The refusal is the one that a
/// single event gets.
///
/// Proves: 189, 186, 187, 188, 184, 211a, 211b, 211c.
#[test]
fn one_bad_item_stops_the_whole_batch() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let spoiled = |member: &str, value: Value| changed(good(&channel, "hi"), member, value);
    let no_name = "Expected name parameter to be a string";
    let faults = [
        (spoiled("name", Value::Null), 400, no_name),
        (spoiled("name", json!(1)), 400, no_name),
        (spoiled("name", json!("pusher:x")), 400, "The 'pusher' namespace is reserved for internal usage"),
        (spoiled("name", json!("e".repeat(201))), 400, ""),
        (spoiled("name", json!("")), 400, ""),
        (spoiled("data", Value::Null), 400, "Missing required parameter: data"),
        (spoiled("data", json!("x".repeat(10_241))), 413, "The data content of this event exceeds"),
        (spoiled("channel", Value::Null), 400, "Missing required parameter: channel"),
        (spoiled("channel", json!("no such")), 400, "Invalid channel name"),
        (spoiled("channel", json!("x".repeat(165))), 400, "Invalid channel name"),
        (spoiled("channel", json!([channel])), 400, ""),
        (spoiled("socket_id", json!("12")), 400, "Invalid socket id"),
        (spoiled("info", json!("nonsense")), 400, "info should be a comma separated list of attributes"),
        (json!(null), 400, ""),
        (json!("greet"), 400, ""),
    ];
    for (bad, status, beginning) in faults {
        for items in [[bad.clone(), good(&channel, "after")], [good(&channel, "before"), bad]] {
            target.batch_events(&items).assert_error_beginning(status, beginning);
        }
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Each item leaves out the connection it names, and only that item does.
///
/// Proves: 183.
#[test]
fn each_item_may_leave_out_a_connection() {
    let target = Target::main();
    let (mut one, channel) = subscriber(&target);
    let mut other = target.connect();
    other.subscribe(&channel);
    let items = [
        changed(good(&channel, "not one"), "socket_id", json!(one.id)),
        changed(good(&channel, "not other"), "socket_id", json!(other.id)),
        good(&channel, "both"),
    ];
    target.batch_events(&items).assert_empty_object();
    target.publish(&channel, "end", "");
    for (socket, first) in [(&mut one, "not other"), (&mut other, "not one")] {
        assert_eq!(socket.expect_on(&channel, "greet").data, json!(first));
        assert_eq!(socket.expect_on(&channel, "greet").data, json!("both"));
        let _ = socket.expect_on(&channel, "end");
    }
}

/// With `info` in one item, every item has its place in the answer: the one that asked its counts, the others
/// an empty object.
///
/// Proves: 195.
#[test]
fn answers_stand_where_their_items_stand() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (room, presence) = (unique("private-room-"), unique("presence-room-"));
    let mut sockets = [target.connect(), target.connect()];
    for socket in &mut sockets {
        let _ = socket.subscribe_presence(&presence, "u1", &Value::Null);
    }
    sockets[0].subscribe_private(&room);
    let asking =
        |channel: &str, info: &str| json!({ "name": "greet", "channel": channel, "data": "", "info": info });
    let items = [
        good(&room, ""),
        asking(&presence, "user_count"),
        good(&presence, ""),
        asking(&room, "user_count,subscription_count"),
        asking(&presence, "subscription_count,user_count"),
        asking(&unique("presence-empty-"), "user_count,subscription_count"),
    ];
    assert_eq!(
        target.batch_events(&items).json(),
        json!({ "batch": [
            {},
            { "user_count": 1 },
            {},
            { "subscription_count": 1 },
            { "user_count": 1, "subscription_count": 2 },
            { "user_count": 0, "subscription_count": 0 },
        ] })
    );
}

/// Where subscription counts are off they are left out; the item keeps its place.
///
/// Proves: 195, 165.
#[test]
fn counts_that_are_off_are_left_out() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let item = changed(good(&unique("room-"), ""), "info", json!("subscription_count"));
    let presence = changed(good(&unique("presence-"), ""), "info", json!("user_count,subscription_count"));
    let answer = target.batch_events(&[good("room", ""), item, presence]).json();
    assert_eq!(answer, json!({ "batch": [{}, {}, { "user_count": 0 }] }));
}
