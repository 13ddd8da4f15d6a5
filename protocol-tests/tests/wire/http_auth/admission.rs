//! Authentic requests and what they may reach: the app of their key, under the broker's path prefix, from any
//! origin.

use heliostat_protocol_tests::http::{Connection, now_seconds};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Shared, Target, unique};
use serde_json::json;

use super::event;

/// The app is found by its key; a path that names another app, or none, is a 404.
///
/// Proves: 167, 168.
#[test]
fn the_path_must_name_the_app_of_the_key() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    for id in ["1002", "9999", "01001", "app", "-1"] {
        let mut credentials = target.credentials.clone();
        credentials.app_id = id.to_owned();
        let stray = target.with_credentials(credentials);
        stray.get("/channels").send().assert_error_beginning(404, &format!("App {id} not found"));
        stray.events(&event("room")).assert_error_beginning(404, &format!("App {id} not found"));
    }
    let channel = unique("room-");
    let mut subscriber = target.connect();
    subscriber.subscribe(&channel);
    let foreign = Credentials::new("1001", "plain-key", "plain-secret");
    target
        .with_credentials(foreign)
        .events(&event(&channel))
        .assert_error_beginning(404, "App 1001 not found");
    target.assert_nothing_published(&mut subscriber, &channel);
}

/// An app that is switched off answers every authentic request with 403.
///
/// Proves: 211.
#[test]
fn a_disabled_app_is_refused() {
    let Some(target) = Target::shared(Shared::Disabled) else { return };
    for path in ["/channels", "/channels/room", "/channels/presence-room/users"] {
        target.get(path).send().assert_error(403, "App disabled");
    }
    target.events(&event("room")).assert_error(403, "App disabled");
    target.batch_events(&[event("room")]).assert_error(403, "App disabled");
    let legacy = target.post("/channels/room/events", &json!("x")).query("name", "greet");
    legacy.send().assert_error(403, "App disabled");
}

/// Of several faults the first in the order of the checks is reported: key, version, time, signature, body,
/// app id, disabled app, and only then what the request asks for.
///
/// Proves: 167, 168, 169, 170, 171, 172, 211.
#[test]
fn faults_are_reported_in_order() {
    let Some(target) = Target::shared(Shared::Disabled) else { return };
    let mut lost = target.credentials.clone();
    lost.app_id = "9999".to_owned();
    let lost = target.with_credentials(lost);
    let everything = lost.post_bytes("/events", "{").sent_body("[").auth("auth_signature", "0");
    let everything = everything.auth("auth_timestamp", "1").auth("auth_version", "2.0");
    everything.clone().auth("auth_key", "nobody").send().assert_error(400, "Unknown auth_key");
    everything.clone().send().assert_error(401, "Version not supported");
    let dated = everything.auth("auth_version", "1.0");
    dated.clone().send().assert_error_beginning(401, "Timestamp expired: ");
    let signed = dated.auth("auth_timestamp", &now_seconds().to_string());
    signed.send().assert_error_beginning(401, "Invalid signature: ");
    // The body comes last: it is not read before the head is in order.
    let body = |target: &Target| target.post_bytes("/events", "{").sent_body("[").send();
    body(&lost).assert_error_beginning(404, "App 9999 not found");
    body(&target).assert_error(403, "App disabled");
    body(&target.with_credentials(Shared::Main.credentials()))
        .assert_error_beginning(401, "Invalid body_md5");
}

/// Every active pair of key and secret opens the app it belongs to.
///
/// Proves: 168.
#[test]
fn every_key_of_an_app_is_good() {
    let Some(older) = Target::shared(Shared::Other) else { return };
    let newer = older.with_credentials(Shared::OtherNewer.credentials());
    let channel = unique("room-");
    let mut subscriber = older.connect();
    subscriber.subscribe(&channel);
    for target in [&older, &newer] {
        target.publish(&channel, "greet", "hi");
        let _ = subscriber.expect_on(&channel, "greet");
    }
    let mixed = Credentials::new("1003", "newer-key", "other-secret");
    let answer = older.with_credentials(mixed).get("/channels").send();
    answer.assert_error_beginning(401, "Invalid signature");
}

/// With a path prefix the API is found under it and only there; libraries sign the path with the prefix or
/// without it, and both are let in.
///
/// Proves: 178, 171.
#[test]
fn the_path_prefix_may_be_signed_or_not() {
    let config = format!("[server]\npath_prefix = \"/broker/x\"\n{MAIN_APP}");
    let Some(mut target) = Target::own(&config) else { return };
    target.path_prefix = "/broker/x".to_owned();
    let path = format!("/apps/{}/events", target.credentials.app_id);
    let mut subscriber = target.connect();
    subscriber.subscribe("room");
    let call = target.post("/events", &event("room"));
    assert!(call.url().starts_with("/broker/x/apps/1001/events?"), "{}", call.url());
    call.clone().send().assert_empty_object();
    call.clone().signed_path(&path).send().assert_empty_object();
    let _ = subscriber.expect_on("room", "greet");
    let _ = subscriber.expect_on("room", "greet");
    for other in ["/x/apps/1001/events", "/brokerx/apps/1001/events", "apps/1001/events", "/events"] {
        call.clone().signed_path(other).send().assert_error_beginning(401, "Invalid signature");
    }
    let health = b"GET /broker/x/health HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n";
    assert_eq!(Connection::open(&target).exchange(health).expect("an answer").status, 200);
    target.path_prefix.clear();
    assert_eq!(target.events(&event("room")).error(404).lines().count(), 1);
    target.path_prefix = "/broker/x".to_owned();
    target.assert_nothing_published(&mut subscriber, "room");
}

/// A page of another origin may read the answers, errors included, and is told so beforehand when it asks.
///
/// Proves: bad input.
#[test]
fn other_origins_are_let_in() {
    let target = Target::main();
    let origin = "http://page.example";
    let welcome = target.get("/channels").header("Origin", origin).send();
    let error = target.get("/channels").without("auth_key").header("Origin", origin).send();
    let preflight = target
        .call("OPTIONS", "/events")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type, x-requested-with");
    let plain = b"OPTIONS /apps/1001/events HTTP/1.1\r\nHost: broker\r\nOrigin: http://page.example\r\n\
        Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n";
    let unsigned = Connection::open(&target).exchange(plain).expect("an answer");
    let preflight = preflight.send();
    assert_eq!((welcome.status, error.status), (200, 401));
    for answer in [&welcome, &error, &preflight, &unsigned] {
        let allowed = answer.header("access-control-allow-origin");
        assert!(matches!(allowed, Some("*" | "http://page.example")), "{allowed:?} allowed by {answer}");
    }
    for answer in [&preflight, &unsigned] {
        assert!(matches!(answer.status, 200 | 204), "the preflight was answered {answer}");
        let methods = answer.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains("POST") && methods.contains("GET"), "allowed methods: {methods}");
    }
    let headers = preflight.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    assert!(headers == "*" || headers.contains("content-type"), "allowed headers: {headers}");
}

/// Other origins can be shut out: no answer then says that they may read it.
///
/// Proves: bad input.
#[test]
fn other_origins_can_be_shut_out() {
    let Some(target) = Target::own(&format!("[server]\ncors = false\n{MAIN_APP}")) else { return };
    let asked = |method: &str| {
        let call = target.call(method, "/channels").header("Origin", "http://page.example");
        call.header("Access-Control-Request-Method", "GET").send()
    };
    assert_eq!(asked("GET").status, 200);
    for method in ["GET", "OPTIONS"] {
        assert_eq!(asked(method).header("access-control-allow-origin"), None, "after {method}");
    }
}
