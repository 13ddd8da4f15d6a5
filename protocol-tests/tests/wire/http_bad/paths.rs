//! Paths, queries and methods that mean nothing.

use heliostat_protocol_tests::Target;
use heliostat_protocol_tests::http::{Connection, Response};
use serde_json::json;

use crate::http_events::subscriber;

/// Escapes that mean nothing, in the path and in the query, are no valid names; bytes that are no text may also
/// be no path.
///
/// Proves: bad input.
#[test]
fn broken_escapes_do_no_harm() {
    let target = Target::main();
    let (mut socket, channel) = subscriber(&target);
    for escape in
        ["%zz", "%", "%2", "%ff", "%00", "%C3", "%ed%a0%80", "%25zz", "%2e%2e%2f", "%0d%0a", "%u0061"]
    {
        for path in [format!("/channels/{escape}"), format!("/channels/presence-{escape}/users")] {
            assert_nameless(&target.get(&path).send());
        }
        let legacy = target.post_bytes(&format!("/channels/{escape}/events"), "x").query("name", "greet");
        assert_nameless(&legacy.send());
        let call = target.get("/channels").raw_query(
            &format!("filter_by_prefix={escape}"),
            "filter_by_prefix",
            escape,
        );
        let listed = call.send().json();
        assert_eq!(listed, json!({ "channels": {} }), "no channel begins with {escape}");
        let call = target.call("POST", "/events").query("name", "greet").query("data", "hi");
        let call =
            call.raw_query(&format!("channel={channel}{escape}"), "channel", &format!("{channel}{escape}"));
        let _ = call.send().error(400);
        let key = format!("auth_key={}{escape}", target.credentials.key);
        let call = target.get("/channels").without("auth_key").raw_query(&key, "auth_key", &key);
        call.send().assert_error(400, "Unknown auth_key");
    }
    for query in ["&&&", "=", "=x", "a=b=c", "auth_", "?", "[]=1", "a[b][c]=1", "%"] {
        let answer = target.get("/channels").unsigned_query(query).send();
        assert!(matches!(answer.status, 200 | 401), "with {query} the answer was {answer}");
    }
    target.assert_nothing_published(&mut socket, &channel);
}

/// Asserts that the path was refused, as a bad name or as no path at all.
#[track_caller]
fn assert_nameless(answer: &Response) {
    let status = if answer.status == 404 { 404 } else { 400 };
    let _ = answer.error(status);
}

/// A parameter that is given twice is one of the two, and the signature covers both.
///
/// Proves: bad input.
#[test]
fn repeated_parameters_do_no_harm() {
    let target = Target::main();
    let call = target.get("/channels").unsigned_query("auth_key=nobody");
    let answer = call.send();
    assert!(matches!(answer.status, 400 | 401), "the answer was {answer}");
    let call = target.get("/channels").unsigned_query("auth_timestamp=1");
    let _ = call.send().error(401);
    let call = target.get("/channels").unsigned_query("auth_signature=0");
    let answer = call.send();
    assert!(matches!(answer.status, 200 | 401), "the answer was {answer}");
    let twice = target.get("/channels").query("filter_by_prefix", "x").query("filter_by_prefix", "y");
    assert!(twice.send().json()["channels"].is_object());
}

/// Paths that are not of the API, with or without a signature, are unknown.
///
/// Proves: 192.
#[test]
fn unknown_paths_are_not_found() {
    let target = Target::main();
    for path in
        ["/nothing", "/channel", "/channels/room/nothing", "/channels/room/users/1", "/events/1", "/users"]
    {
        let _ = target.get(path).send().error(404);
        let _ = target.post(path, &json!({})).send().error(404);
    }
    for path in ["/apps", "/apps/", "/nothing", "/APPS/1001/channels", "/../etc/passwd", "//nothing"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n");
        let answer = Connection::open(&target).exchange(request.as_bytes()).expect("an answer");
        let _ = answer.error(404);
    }
}

/// A path with another method than its own says which it has.
///
/// Proves: 192.
#[test]
fn wrong_methods_are_told_the_right_ones() {
    let target = Target::main();
    for (path, right, wrong) in [
        ("/events", "POST", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/batch_events", "POST", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/channels", "GET", ["POST", "PUT", "DELETE", "PATCH"]),
        ("/channels/room", "GET", ["POST", "PUT", "DELETE", "PATCH"]),
        ("/channels/presence-room/users", "GET", ["POST", "PUT", "DELETE", "PATCH"]),
        ("/channels/room/events", "POST", ["GET", "PUT", "DELETE", "PATCH"]),
        ("/channels/room/stats", "GET", ["POST", "PUT", "DELETE", "PATCH"]),
    ] {
        for method in wrong {
            let answer = target.call(method, path).send();
            let _ = answer.error(405);
            let allow = answer.header("allow").unwrap_or_default();
            assert!(
                allow.split(',').any(|allowed| allowed.trim() == right),
                "{method} {path}: Allow is {allow:?}"
            );
        }
    }
    let _ = target.call("BREW", "/events").send().error(405);
}
