//! The HTTP API against nonsense: each has an answer or loses its connection, and the broker serves on.

mod framing;
mod paths;
mod slow;

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};

use crate::http_events::subscriber;

/// Bytes that one request body may have unless the configuration says otherwise.
const BODY_BYTES: usize = 1 << 20;

fn event(channel: &str) -> Value {
    json!({ "name": "greet", "channel": channel, "data": "hi" })
}

/// The body of an event padded to exactly this many bytes with a member that means nothing.
fn body_of(bytes: usize, channel: &str) -> String {
    let body = |padding: &str| {
        format!(r#"{{"name":"greet","channel":"{channel}","data":"hi","padding":"{padding}"}}"#)
    };
    body(&"x".repeat(bytes - body("").len()))
}

/// Asserts an answer that blames the client, or that the broker ended the connection without one.
#[track_caller]
fn assert_refused(answer: Option<Response>, what: &str) {
    if let Some(answer) = answer {
        assert!((400..500).contains(&answer.status), "{what} was answered {answer}");
    }
}

/// Bodies that are no JSON object are refused, by both endpoints that take one.
///
/// Proves: bad input.
#[test]
fn a_body_must_be_a_json_object() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let whole = event(&channel).to_string();
    let mut bodies: Vec<Vec<u8>> = [
        "x",
        "{",
        "}",
        "{}{}",
        "[",
        "\"",
        "nul",
        "{\"name\"",
        "{\"name\":}",
        "{'name':'greet'}",
        "\0",
        "\u{feff}",
        "name=greet&channel=room&data=hi",
        "<event/>",
        " ",
        "\n",
        "[]",
        "[1,2]",
        "\"greet\"",
        "17",
        "-0",
        "true",
        "null",
        "// comment\n{}",
        "{,}",
        "NaN",
        "1e",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud800\"}{",
    ]
    .iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push(format!("{whole}x").into_bytes());
    bodies.push(format!("{whole},").into_bytes());
    bodies.push(format!("[{whole}]").into_bytes());
    bodies.push(whole.replace("\"hi\"", "\"h\ni\"").into_bytes());
    bodies.push(whole.replace("\"hi\"", "\"h\0i\"").into_bytes());
    bodies.extend((1..whole.len()).map(|length| whole.as_bytes()[..length].to_vec()));
    let mut connection = Connection::open(&target);
    for body in bodies {
        for path in ["/events", "/batch_events"] {
            let answer = target.post_bytes(path, body.clone()).send_on(&mut connection);
            assert_eq!(answer.status, 400, "{:?} at {path}: {answer}", String::from_utf8_lossy(&body));
            let _ = answer.error(400);
        }
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Bodies that are no UTF-8 are refused, wherever the bad byte is.
///
/// Proves: bad input.
#[test]
fn a_body_must_be_utf8() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let whole = event(&channel).to_string();
    for bad in [&b"\xff"[..], b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9"] {
        for at in ["hi", "greet", "data"] {
            let (before, after) = whole.split_once(at).expect("the body holds it");
            let body = [before.as_bytes(), bad, after.as_bytes()].concat();
            let _ = target.post_bytes("/events", body.clone()).send().error(400);
            let batch = [&b"{\"batch\":["[..], &body, b"]}"].concat();
            let _ = target.post_bytes("/batch_events", batch).send().error(400);
        }
        let unread =
            [&b"{\"name\":\"greet\",\"data\":\"hi\",\"channel\":\"room\",\"x\":\""[..], bad, b"\"}"].concat();
        let _ = target.post_bytes("/events", unread).send().error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Half of a surrogate pair is no character.
///
/// Proves: bad input.
#[test]
fn half_a_character_is_refused() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for half in [r"\ud83c", r"\udfa5", r"\ud83c\ud83c", r"\ud83cx", r"\udfa5\ud83c"] {
        let body = format!(r#"{{"name":"greet","channel":"{channel}","data":"{half}"}}"#);
        let _ = target.post_bytes("/events", body).send().error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Nesting of any depth costs a refusal at most, in a member that counts and in one that does not.
///
/// Proves: bad input.
#[test]
fn deep_nesting_does_no_harm() {
    const DEPTH: usize = 10_000;
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let filling = if open == "[" { "" } else { "1" };
        let deep = format!("{}{filling}{}", open.repeat(DEPTH), close.repeat(DEPTH));
        for body in [
            deep.clone(),
            open.repeat(DEPTH),
            format!("{{\"batch\":{deep}}}"),
            format!("{{\"batch\":[{deep}]}}"),
        ] {
            let _ = target.post_bytes("/events", body.clone()).send().error(400);
            let _ = target.post_bytes("/batch_events", body).send().error(400);
        }
        for member in ["name", "channels"] {
            let body = event(&channel).to_string().replacen('{', &format!("{{\"{member}\":{deep},"), 1);
            let body = body.replacen(",\"name\":\"greet\"", "", usize::from(member == "name"));
            let _ = target.post_bytes("/events", body).send().error(400);
        }
        let data = format!(r#"{{"name":"greet","channel":"{channel}","data":{deep}}}"#);
        let refusal = target.post_bytes("/events", data).send();
        assert!(matches!(refusal.status, 400 | 413), "too deep and too long: {refusal}");
        let spare = format!(r#"{{"name":"deep","channel":"{channel}","data":"","spare":{deep}}}"#);
        let answer = target.post_bytes("/events", spare).send();
        match answer.status {
            200 => drop(socket.expect_on(&channel, "deep")),
            _ => drop(answer.error(400).to_owned()),
        }
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Of a member that is given twice the last counts.
///
/// Proves: bad input.
#[test]
fn the_last_of_several_members_counts() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let body = format!(
        r#"{{"name":"no","data":"no","channel":"no","data":"hi","name":"greet","channel":"{channel}"}}"#
    );
    target.post_bytes("/events", body.clone()).send().assert_empty_object();
    let frame = socket.message().whole;
    assert_eq!(frame, json!({ "event": "greet", "data": "hi", "channel": channel }));
    target
        .post_bytes("/batch_events", format!(r#"{{"batch":1,"batch":[{body}]}}"#))
        .send()
        .assert_empty_object();
    let _ = socket.expect_on(&channel, "greet");
    let spoiled = body.replace("}", r#","name":"pusher:x"}"#);
    let refusal = target.post_bytes("/events", spoiled).send();
    refusal.assert_error(400, "The 'pusher' namespace is reserved for internal usage");
    let unread = body.replace("}", r#","spare":1,"spare":{}}"#);
    target.post_bytes("/events", unread).send().assert_empty_object();
    let _ = socket.expect_on(&channel, "greet");
}

/// Numbers that no number type holds are text like any other.
///
/// Proves: bad input.
#[test]
fn huge_numbers_do_no_harm() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let digits = "9".repeat(5000);
    for number in
        ["1e999999", "-1e999999", "1e-999999", "123456789012345678901234567890", "0.1e1", "-0", &digits]
    {
        let body = |member: &str| {
            format!(r#"{{"channel":"{channel}","data":"hi","name":"greet","{member}":{number}}}"#)
        };
        target.post_bytes("/events", body("spare")).send().assert_empty_object();
        let _ = socket.expect_on(&channel, "greet");
        target.post_bytes("/events", body("data")).send().assert_empty_object();
        assert_eq!(socket.expect_on(&channel, "greet").data, json!(number));
        target
            .post_bytes("/events", body("name"))
            .send()
            .assert_error(400, "Expected name parameter to be a string");
        for member in ["channel", "channels", "socket_id", "info"] {
            let _ = target.post_bytes("/events", body(member)).send().error(400);
        }
        let _ = target.post_bytes("/batch_events", format!("{{\"batch\":{number}}}")).send().error(400);
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// A body of exactly the limit is read; one byte more is a 413, whether its length was declared or came in
/// chunks.
///
/// Proves: bad input.
#[test]
fn a_body_over_the_limit_is_refused() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    let (fits, large) = (body_of(BODY_BYTES, &channel), body_of(BODY_BYTES + 1, &channel));
    target.post_bytes("/events", fits.as_str()).send().assert_empty_object();
    target.post_bytes("/events", fits).chunked(60_000).send().assert_empty_object();
    let _ = socket.expect_on(&channel, "greet");
    let _ = socket.expect_on(&channel, "greet");
    let _ = target.post_bytes("/events", large.as_str()).send().error(413);
    let _ = target.post_bytes("/events", large.as_str()).chunked(60_000).send().error(413);
    let _ = target.post_bytes("/batch_events", large.as_str()).send().error(413);
    let legacy = target.post_bytes("/channels/room/events", large.as_str()).query("name", "greet");
    let _ = legacy.send().error(413);
    let unsigned = target.post_bytes("/events", large).auth("auth_signature", "0");
    assert_refused(Connection::open(&target).exchange(&unsigned.bytes()), "an unsigned giant");
    target.assert_nothing_published(&mut socket, &channel);
}

/// The limit is the configured one.
///
/// Proves: bad input.
#[test]
fn the_body_limit_is_configured() {
    let Some(target) = Target::own(&format!("[server]\nhttp_body_bytes = 1000\n{MAIN_APP}")) else { return };
    target.post_bytes("/events", body_of(1000, "room")).send().assert_empty_object();
    let _ = target.post_bytes("/events", body_of(1001, "room")).send().error(413);
    let _ = target.post_bytes("/events", body_of(1001, "room")).chunked(100).send().error(413);
}

/// A thousand refusals on one connection are as good as one: nothing is kept of them.
///
/// Proves: bad input.
#[test]
fn refusals_do_not_wear_the_broker_out() {
    let target = Target::main();
    let mut connection = Connection::open(&target);
    let refused = target.post_bytes("/events", "{").bytes();
    for _ in 0..1000 {
        connection.send(&refused);
        let _ = connection.answer().error(400);
    }
    target.post("/events", &event(&unique("room-"))).send_on(&mut connection).assert_empty_object();
}
