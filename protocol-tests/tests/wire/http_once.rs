//! The HTTP API: what is published again under its id is answered as before and not sent again. Which ids there are, and what
//! they are bound to, docs/http-api.md says; the real service has none.

use std::thread;

use heliostat_protocol_tests::http::{Call, Response};
use heliostat_protocol_tests::target::{Credentials, MAIN_APP};
use heliostat_protocol_tests::{Shared, Target, TestMode, unique};
use serde_json::{Value, json};

use crate::http_events::subscriber;

const KEY: &str = "Idempotency-Key";

fn event(channel: &str, name: &str) -> Value {
    json!({ "name": name, "channel": channel, "data": "x" })
}

/// An event with an id in its body.
fn event_with(id: &str, channel: &str, name: &str) -> Value {
    json!({ "name": name, "channel": channel, "data": "x", "id": id })
}

fn keyed<'t>(target: &'t Target, key: &str, body: &Value) -> Call<'t> {
    target.post("/events", body).header(KEY, key)
}

/// The answer is a success, and says whether it is the one of before.
#[track_caller]
fn assert_answered(answer: &Response, before: bool, body: &Value) {
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json(), *body, "{answer}");
    assert_eq!(answer.header("idempotent-replayed"), before.then_some("true"), "{answer}");
}

#[track_caller]
fn assert_of_another(answer: &Response, id: &str) {
    let sentence = format!(
        "Another request was published under the id {id:?} within the last ten minutes: another request needs another id"
    );
    answer.assert_error(422, &sentence);
}

/// Wherever the id stands, the same request again is given the same answer and sent once; with what `info` told the first
/// time, whoever has come since.
///
/// Proves: publish ids.
#[test]
fn what_is_published_again_is_sent_once() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (mut socket, channel) = subscriber(&target);
    let _ = socket.expect("pusher_internal:subscription_count");
    let (one, other) = (unique("id-"), unique("id-"));
    let counted = json!({ "name": "a", "channel": channel, "data": "x", "info": "subscription_count" });
    let told = json!({ "channels": { &channel: { "subscription_count": 1 } } });
    assert_answered(&keyed(&target, &format!("\"{one}\""), &counted).send(), false, &told);
    assert_eq!(socket.message().event, "a");
    let mut late = target.connect();
    late.subscribe(&channel);
    let _ = socket.expect("pusher_internal:subscription_count");
    for key in [format!("\"{one}\""), one.clone(), format!(" \"{one}\" ;a=1")] {
        assert_answered(&keyed(&target, &key, &counted).send(), true, &told);
    }
    assert_of_another(&target.events(&event_with(&one, &channel, "a")), &one);

    let in_body = event_with(&other, &channel, "b");
    assert_answered(&target.events(&in_body), false, &json!({}));
    for again in [target.post("/events", &in_body), keyed(&target, &other, &in_body)] {
        assert_answered(&again.send(), true, &json!({}));
    }
    assert_eq!(socket.message().event, "b");
    target.assert_nothing_published(&mut socket, &channel);
}

/// An id is bound to every byte of the body, and to what the request is for. What is refused for that does nothing.
///
/// Proves: publish ids, bad input.
#[test]
fn an_id_is_one_requests() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let id = unique("id-");
    let body = event(&channel, "first").to_string();
    let post = |path: &str, body: String| target.post_bytes(path, body).header(KEY, &id);
    assert_answered(&post("/events", body.clone()).send(), false, &json!({}));
    for (path, other) in [
        ("/events", event(&channel, "second").to_string()),
        ("/events", format!("{body} ")),
        ("/batch_events", json!({ "batch": [event(&channel, "first")] }).to_string()),
    ] {
        assert_of_another(&post(path, other).send(), &id);
    }
    let legacy = post(&format!("/channels/{channel}/events"), body.clone()).query("name", "first");
    assert_of_another(&legacy.send(), &id);
    let of_batch = json!({ "name": "first", "channel": channel, "data": "x", "id": id });
    assert_of_another(&target.batch_events(&[of_batch, event(&channel, "third")]), &id);
    assert_answered(&post("/events", body).send(), true, &json!({}));
    assert_eq!(socket.message().event, "first");
    target.assert_nothing_published(&mut socket, &channel);
}

/// An id has a form, and there is one of a request. Where the two places differ, or it cannot be read, nothing is sent; and
/// what is no string in a body is no id.
///
/// Proves: publish ids, bad input.
#[test]
fn an_id_is_read_or_refused() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = event(&channel, "x");
    let expected = "expected 1 to 255 visible ASCII characters";
    for (key, got) in [("a b", "a b"), ("\"\"", "\"\""), ("\"open", "\"open"), ("\u{e9}", "\u{e9}")] {
        let sentence = format!("Invalid Idempotency-Key: {expected}, got {got:?}");
        keyed(&target, key, &body).send().assert_error(400, &sentence);
    }
    let long = "x".repeat(256);
    assert_eq!(keyed(&target, &long, &body).send().status, 400);
    for id in ["", "a b", "\u{e9}", "a\nb"] {
        let sentence = format!("Invalid id: {expected}, got {id:?}");
        target.events(&event_with(id, &channel, "x")).assert_error(400, &sentence);
        target.batch_events(&[event_with(id, &channel, "x")]).assert_error(400, &sentence);
    }
    let id = unique("id-");
    keyed(&target, "other", &event_with(&id, &channel, "x"))
        .send()
        .assert_error(400, &format!("Idempotency-Key and id differ: {id:?} and \"other\""));
    keyed(&target, "one", &body)
        .header(KEY, "other")
        .send()
        .assert_error(400, "Idempotency-Key and id differ: \"one\" and \"other\"");
    target.assert_nothing_published(&mut socket, &channel);

    assert_answered(
        &keyed(&target, &id, &event_with(&id, &channel, "both")).header(KEY, &id).send(),
        false,
        &json!({}),
    );
    assert_eq!(socket.message().event, "both");
    for no_id in [json!(17), json!({ "of": "an order" }), json!(true), json!(null), json!(["a"])] {
        let body = json!({ "name": "each", "channel": channel, "data": "x", "id": no_id });
        for _ in 0..2 {
            assert_answered(&target.events(&body), false, &json!({}));
            assert_eq!(socket.message().event, "each");
        }
    }
    let most = unique(&"x".repeat(200));
    let padded = format!("{most}{}", "~".repeat(255 - most.len()));
    assert_answered(&keyed(&target, &padded, &body).send(), false, &json!({}));
    assert_answered(&keyed(&target, &padded, &body).send(), true, &json!({}));
}

/// A batch may have an id as a whole, and its events ids of their own: those that are known are not sent again, whatever they
/// are together with now.
///
/// Proves: publish ids.
#[test]
fn batches_and_their_events_have_ids() {
    let Some(target) = Target::shared(Shared::Counting) else { return };
    let (mut socket, channel) = subscriber(&target);
    let _ = socket.expect("pusher_internal:subscription_count");
    let whole = unique("id-");
    let batch = json!({ "batch": [event(&channel, "one"), event(&channel, "two")] });
    let beside = json!({ "batch": [event(&channel, "three")], "id": unique("id-") });
    for before in [false, true] {
        assert_answered(&target.post("/batch_events", &batch).header(KEY, &whole).send(), before, &json!({}));
        assert_answered(&target.post("/batch_events", &beside).send(), before, &json!({}));
    }
    let [a, b, c] = [unique("id-"), unique("id-"), unique("id-")];
    let counting = |id: &str, name: &str| json!({ "name": name, "channel": channel, "data": "x", "id": id, "info": "subscription_count" });
    let (counted, nothing) = (json!({ "subscription_count": 1 }), json!({}));
    let told = json!({ "batch": [&counted, &nothing] });
    assert_answered(
        &target.batch_events(&[counting(&a, "four"), event_with(&b, &channel, "five")]),
        false,
        &told,
    );
    let mut late = target.connect();
    late.subscribe(&channel);
    for expected in ["one", "two", "three", "four", "five"] {
        assert_eq!(socket.message().event, expected);
    }
    let _ = socket.expect("pusher_internal:subscription_count");
    // In another order, with another one between them: only that one is new.
    let mixed = [event_with(&b, &channel, "five"), counting(&c, "six"), counting(&a, "four")];
    let now = json!({ "subscription_count": 2 });
    assert_answered(&target.batch_events(&mixed), false, &json!({ "batch": [&nothing, &now, &counted] }));
    assert_answered(&target.batch_events(&mixed), true, &json!({ "batch": [&nothing, &now, &counted] }));
    assert_answered(&target.batch_events(&mixed[..1]), true, &json!({}));
    assert_eq!(socket.message().event, "six");
    // One that has none is sent each time.
    let without = [mixed[0].clone(), event(&channel, "seven")];
    for _ in 0..2 {
        assert_answered(&target.batch_events(&without), false, &json!({}));
        assert_eq!(socket.message().event, "seven");
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// If one event of a batch cannot be published, for its id or for anything else, none is, and no id is taken for it.
///
/// Proves: publish ids, bad input.
#[test]
fn a_refused_batch_takes_no_ids() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let [taken, fresh] = [unique("id-"), unique("id-")];
    assert_answered(&target.batch_events(&[event_with(&taken, &channel, "taken")]), false, &json!({}));
    assert_eq!(socket.message().event, "taken");
    let good = event_with(&fresh, &channel, "good");
    target
        .batch_events(&[good.clone(), good.clone()])
        .assert_error(400, &format!("Two events of the batch have the id {fresh:?}"));
    assert_of_another(&target.batch_events(&[good.clone(), event_with(&taken, &channel, "other")]), &taken);
    assert_eq!(target.batch_events(&[good.clone(), event("no channel", "x")]).status, 400);
    let whole = json!({ "batch": [good, event_with(&taken, &channel, "other")] });
    assert_of_another(&target.post("/batch_events", &whole).header(KEY, "whole").send(), &taken);
    target.assert_nothing_published(&mut socket, &channel);
    assert_answered(&target.events(&event_with(&fresh, &channel, "free")), false, &json!({}));
    assert_eq!(socket.message().event, "free");
}

/// What was refused may be tried again under the same id, mended or as it was.
///
/// Proves: publish ids.
#[test]
fn what_was_refused_is_not_remembered() {
    let limited = format!("[server]\nworkers = 2\n{MAIN_APP}limits = {{ backend_events_per_second = 2 }}\n");
    let Some(target) = Target::own(&limited) else { return };
    let (mut socket, channel) = subscriber(&target);
    assert_eq!(keyed(&target, "mended", &event("no channel", "x")).send().status, 400);
    let long = json!({ "name": "x", "channel": channel, "data": "x".repeat(10_241) });
    assert_eq!(keyed(&target, "mended", &long).send().status, 413);
    let three = json!({ "name": "x", "channels": [&channel, "a", "b"], "data": "" });
    assert_eq!(keyed(&target, "mended", &three).send().status, 400);
    assert_eq!(
        keyed(&target, "mended", &event(&channel, "x")).auth("auth_signature", "0").send().status,
        401
    );

    // Over the rate, until there is room again; a repetition takes none.
    assert_answered(&keyed(&target, "mended", &event(&channel, "mended")).send(), false, &json!({}));
    for _ in 0..20 {
        assert_answered(&keyed(&target, "mended", &event(&channel, "mended")).send(), true, &json!({}));
    }
    assert_eq!(socket.message().event, "mended");
    let refused = (0..200).find_map(|number| {
        let id = format!("job-{number}");
        (keyed(&target, &id, &event(&channel, "job")).send().status == 429).then_some((number, id))
    });
    let (published, id) = refused.expect("one of 200 is over the rate");
    crate::eventually("there is room again", || {
        let answer = keyed(&target, &id, &event(&channel, "last")).send();
        (answer.status == 200).then(|| assert_answered(&answer, false, &json!({})))
    });
    for _ in 0..published {
        assert_eq!(socket.message().event, "job");
    }
    assert_eq!(socket.message().event, "last");
}

/// Two apps may use the same id, and an app's keys share theirs.
///
/// Proves: publish ids.
#[test]
fn an_id_belongs_to_its_app() {
    let (Some(other), Some(newer)) = (Target::shared(Shared::Other), Target::shared(Shared::OtherNewer))
    else {
        return;
    };
    let main = Target::main();
    let (id, channel) = (unique("id-"), unique("room-"));
    let mut sockets = [&main, &other].map(|target| {
        let mut socket = target.connect();
        socket.subscribe(&channel);
        socket
    });
    let body = event(&channel, "x");
    assert_answered(&keyed(&main, &id, &body).send(), false, &json!({}));
    assert_answered(&keyed(&other, &id, &body).send(), false, &json!({}));
    assert_answered(&keyed(&newer, &id, &body).send(), true, &json!({}));
    for (socket, target) in sockets.iter_mut().zip([&main, &other]) {
        assert_eq!(socket.message().event, "x");
        target.assert_nothing_published(socket, &channel);
    }
}

/// What stands in the query and in the path belongs to a request as its body does; the signature, which differs each time,
/// does not.
///
/// Proves: publish ids.
#[test]
fn parameters_of_the_query_count() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let [one, two, three] = [unique("id-"), unique("id-"), unique("id-")];
    let in_query = |data: &str, offset| {
        target
            .post_bytes("/events", "")
            .query("name", "query")
            .query("channel", &channel)
            .query("data", data)
            .query("id", &one)
            .timestamp(heliostat_protocol_tests::http::now_seconds(), offset)
            .send()
    };
    assert_answered(&in_query("a", 0), false, &json!({}));
    assert_answered(&in_query("a", -5), true, &json!({}));
    assert_of_another(&in_query("b", 0), &one);
    let legacy = |channel: &str, name: &str, data: &str| {
        let path = format!("/channels/{channel}/events");
        target.post_bytes(&path, data).query("name", name).header(KEY, &two).send()
    };
    for before in [None, Some("true")] {
        let answer = legacy(&channel, "legacy", "a");
        assert_eq!((answer.status, answer.text(), answer.header("idempotent-replayed")), (202, "", before));
    }
    let other = unique("room-");
    for (channel, name, data) in
        [(&other, "legacy", "a"), (&channel, "other", "a"), (&channel, "legacy", "b")]
    {
        assert_of_another(&legacy(channel, name, data), &two);
    }
    let user = json!({ "name": "x", "channel": "#server-to-user-7", "data": "x", "id": three });
    assert_answered(&target.events(&user), false, &json!({}));
    assert_answered(&target.events(&user), true, &json!({}));
    assert_eq!((socket.message().event, socket.message().event), ("query".into(), "legacy".into()));
    target.assert_nothing_published(&mut socket, &channel);
}

/// Of many at once, on all workers, one is sent; the others are answered as it is, or told that it is under way.
///
/// Proves: publish ids.
#[test]
fn of_many_at_once_one_is_sent() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for round in 0..10 {
        let (id, body) = (unique("id-"), event(&channel, &format!("round-{round}")));
        let answers: Vec<Response> = thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| keyed(&target, &id, &body).send())).collect();
            asking.into_iter().map(|asking| asking.join().unwrap()).collect()
        });
        let mut firsts = 0;
        for answer in answers {
            match answer.status {
                200 => firsts += usize::from(answer.header("idempotent-replayed").is_none()),
                _ => {
                    let sentence = format!("The request with the id {id:?} is under way: try again in 1 s");
                    answer.assert_error(409, &sentence);
                    assert_eq!(answer.header("retry-after"), Some("1"));
                }
            }
        }
        assert_eq!(firsts, 1, "one of them was the first");
        assert_answered(&keyed(&target, &id, &body).send(), true, &json!({}));
        assert_eq!(socket.message().event, format!("round-{round}"));
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// An id is known for ten minutes of the app's clock after its answer, however often it is asked for, and then forgotten.
///
/// Proves: publish ids, test mode.
#[test]
fn after_ten_minutes_an_id_is_free() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let app = mode.app(&json!({}));
    let target = &app.target;
    let body = event("room", "x");
    let advance = |ms: u64| app.ask("POST", "/clock", &json!({ "advance_ms": ms }));
    assert_answered(&keyed(target, "a", &body).send(), false, &json!({}));
    for _ in 0..2 {
        advance(290_000);
        assert_answered(&keyed(target, "a", &body).send(), true, &json!({}));
    }
    advance(20_000);
    assert_answered(&keyed(target, "a", &event("room", "y")).send(), false, &json!({}));
    assert_answered(&keyed(target, "a", &event("room", "y")).send(), true, &json!({}));
    let log = app.ask("GET", "/log", &Value::Null);
    let published =
        log["entries"].as_array().unwrap().iter().filter(|entry| entry["type"] == "event").count();
    assert_eq!(published, 2, "what was not sent is not in the record: {log}");
}

/// The process that succeeds another knows what was published before.
///
/// Proves: publish ids.
#[test]
fn an_upgrade_hands_over_what_was_published() {
    let config = format!("[server]\nworkers = 2\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let body = event("room", "x");
    assert_answered(&keyed(&target, "a", &body).send(), false, &json!({}));
    let upgraded = target.broker().unwrap().upgrade();
    assert!(upgraded.status.success(), "{}", String::from_utf8_lossy(&upgraded.stdout));
    assert_answered(&keyed(&target, "a", &body).send(), true, &json!({}));
    assert_of_another(&keyed(&target, "a", &event("room", "y")).send(), "a");
}

/// An app remembers as many ids as its limit says, the newest; with none, they are passed over, whatever they look like.
///
/// Proves: publish ids.
#[test]
fn the_oldest_gives_way() {
    let apps = "[server]\nworkers = 2\n\
        [[apps]]\nid = \"1\"\nkey = \"k1\"\nsecret = \"s1\"\nlimits = { publish_ids = 2 }\n\
        [[apps]]\nid = \"2\"\nkey = \"k2\"\nsecret = \"s2\"\nlimits = { publish_ids = 0 }\n";
    let Some(target) = Target::own(apps) else { return };
    let two = target.with_credentials(Credentials::new("1", "k1", "s1"));
    let none = target.with_credentials(Credentials::new("2", "k2", "s2"));
    let body = event("room", "x");
    for (id, before) in
        [("a", false), ("b", false), ("a", true), ("c", false), ("b", true), ("a", false), ("c", true)]
    {
        assert_answered(&keyed(&two, id, &body).send(), before, &json!({}));
    }
    for id in ["a", "a", "a b", "\"open"] {
        assert_answered(&keyed(&none, id, &event_with("b", "room", "x")).send(), false, &json!({}));
    }
    assert_answered(
        &none.batch_events(&[event_with("", "room", "x"), event_with("", "room", "x")]),
        false,
        &json!({}),
    );
}
