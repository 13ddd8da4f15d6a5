//! Connecting: the upgrade, the first frame, and what in the URL and the headers makes no difference.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::wire::upgrade_request;
use heliostat_protocol_tests::{Incoming, Socket, Target, Wire, unique};
use serde_json::json;

/// The first frame names the connection and tells how often to ask whether it lives.
///
/// Proves: 1, 2, 3, 4, 5, 7.
#[test]
fn the_first_frame_establishes_the_connection() {
    let target = Target::main();
    let mut socket = target.upgrade("protocol=7&client=js&version=8.4.0&flash=false");
    let upgraded = Instant::now();
    let first = socket.message();
    assert!(upgraded.elapsed() < Duration::from_secs(2), "clients of 2012 wait two seconds for it");
    assert_eq!(first.event, "pusher:connection_established");
    assert_eq!(first.channel, None);
    assert!(first.whole.get("channel").is_none(), "no channel, not even null: {}", first.whole);
    let data = first.decoded();
    let id = data["socket_id"].as_str().expect("the socket id is a string");
    let halves: Vec<&str> = id.split('.').collect();
    let digits = |half: &&str| !half.is_empty() && half.bytes().all(|b| b.is_ascii_digit());
    assert!(halves.len() == 2 && halves.iter().all(digits), "{id:?} is not two numbers around a dot");
    assert!(data["activity_timeout"].as_f64().is_some_and(|seconds| seconds > 0.0), "{data}");
}

/// Socket ids tell simultaneous connections apart.
///
/// Proves: 6.
#[test]
fn simultaneous_connections_have_different_ids() {
    let target = Target::main();
    let sockets: Vec<Socket> = (0..50).map(|_| target.connect()).collect();
    let ids: std::collections::HashSet<&str> = sockets.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), sockets.len());
}

/// What the query holds beyond the known names is nobody's business, nor is its order.
///
/// Proves: 8, 9.
#[test]
fn unknown_parameters_and_any_order_are_accepted() {
    let target = Target::main();
    let queries = [
        "protocol=7&client=js&version=8.4.0&flash=false&colour=blue&x[]=1&empty=&bare",
        "flash=false&version=8.4.0&client=js&protocol=7",
        "version=abc&protocol=7&client=",
        "&&protocol=7&&",
        "a%20b=%F0%9F%98%80&protocol=7&bad=%zz",
    ];
    for query in queries {
        let mut socket = target.upgrade(query);
        let first = socket.expect("pusher:connection_established");
        assert!(first.decoded()["activity_timeout"].is_number(), "{query} was taken for an older protocol");
        socket.assert_silence();
    }
}

/// Whether the client speaks through the Flash shim changes no answer.
///
/// Proves: 35.
#[test]
fn flash_or_not_is_accepted() {
    let target = Target::main();
    for query in
        ["protocol=7&client=js&version=2.2.4&flash=true", "protocol=7&flash=false", "protocol=6&flash=true"]
    {
        target.connect_as(query).assert_silence();
    }
}

/// Browsers tell where the page came from, other clients do not; both are welcome.
///
/// Proves: 34.
#[test]
fn with_or_without_an_origin() {
    let target = Target::main();
    let path = target.socket_path("protocol=7");
    for headers in
        [&[][..], &["Origin: https://pages.example"][..], &["Origin: *"][..], &["Origin: null"][..]]
    {
        let mut socket = Socket::upgrade(&target, &path, headers);
        socket.expect("pusher:connection_established");
    }
}

/// A client that offers the protocol as a WebSocket sub-protocol gets that one back, and one that offers none
/// gets none; either way the query decides the version.
///
/// Proves: 1.
#[test]
fn an_offered_sub_protocol_is_echoed() {
    let target = Target::main();
    let cases = [
        (None, None),
        (Some("pusher-channels-protocol-7"), Some("pusher-channels-protocol-7")),
        (
            Some("chat, pusher-channels-protocol-5, pusher-channels-protocol-7"),
            Some("pusher-channels-protocol-5"),
        ),
        (Some("pusher-channels-protocol-1"), Some("pusher-channels-protocol-1")),
        (Some("pusher-channels-protocol-8"), None),
        (Some("pusher-channels-protocol-"), None),
        (Some("chat"), None),
    ];
    for (offered, echoed) in cases {
        let header = offered.map(|tokens| format!("Sec-WebSocket-Protocol: {tokens}"));
        let headers: Vec<&str> = header.as_deref().into_iter().collect();
        let mut socket = Socket::upgrade(&target, &target.socket_path("protocol=7"), &headers);
        assert_eq!(
            socket.response_header("sec-websocket-protocol").as_deref(),
            echoed,
            "offered {offered:?}"
        );
        let first = socket.expect("pusher:connection_established");
        assert!(first.decoded()["activity_timeout"].is_number(), "the query said 7: {}", first.whole);
    }
}

/// Offers over several header lines are one list.
///
/// Proves: 1.
#[test]
fn sub_protocols_offered_on_several_lines_are_one_list() {
    let target = Target::main();
    let headers = ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: pusher-channels-protocol-7"];
    let socket = Socket::upgrade(&target, &target.socket_path("protocol=7"), &headers);
    assert_eq!(
        socket.response_header("sec-websocket-protocol").as_deref(),
        Some("pusher-channels-protocol-7")
    );
}

/// The key is one percent-decoded path segment.
///
/// Proves: 1.
#[test]
fn the_key_is_percent_decoded() {
    let target = Target::main();
    let encoded: String = target.credentials.key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut socket =
        Socket::upgrade(&target, &format!("{}/app/{encoded}?protocol=7", target.path_prefix), &[]);
    socket.expect("pusher:connection_established");
}

/// A broker that shares its host with others may live under a path; there it is complete, and elsewhere it is not.
///
/// Proves: 1, 30.
#[test]
fn a_path_prefix_comes_before_everything() {
    let prefix = ["--path-prefix", "/some/where"];
    let Some(mut target) = Target::own_with(Some(heliostat_protocol_tests::target::MAIN_APP), &prefix, &[])
    else {
        return;
    };
    let outside = Socket::upgrade(&target, &target.socket_path("protocol=7"), &[]).expect_close();
    assert_eq!(outside.code, 4005);
    target.path_prefix = "/some/where".to_owned();
    let mut inside = target.connect();
    let channel = unique("room-");
    inside.subscribe(&channel);
    target.publish(&channel, "greet", "hello");
    inside.expect_on(&channel, "greet");
    let beyond = Socket::upgrade(&target, "/some/wherever/app/app-key?protocol=7", &[]).expect_close();
    assert_eq!(beyond.code, 4005);
}

/// Only a request that asks for no upgrade, or for one that cannot be, gets an HTTP status.
///
/// Proves: bad input.
#[test]
fn a_request_that_is_no_upgrade_gets_an_http_status() {
    let target = Target::main();
    let path = target.socket_path("protocol=7");
    let upgrade = upgrade_request(&target, &path, &[]);
    let requests = [
        ("a plain GET", format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("no key", without_line(&upgrade, "Sec-WebSocket-Key")),
        ("no version", without_line(&upgrade, "Sec-WebSocket-Version")),
        ("another protocol", upgrade.replace("Upgrade: websocket", "Upgrade: h2c")),
        ("an unknown version", upgrade.replace("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 99")),
    ];
    for (what, request) in requests {
        let mut socket = Wire::open(&target);
        socket.send_bytes(request.as_bytes());
        let head = socket.read_head();
        let status = head.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "400" | "426"), "{what}: {head}");
    }
}

/// A frame sent together with the upgrade request, before its answer was seen, is not lost.
///
/// Proves: 36.
#[test]
fn a_frame_sent_before_the_upgrade_was_answered_is_heard() {
    let target = Target::main();
    let channel = unique("early-");
    let mut wire = Wire::open(&target);
    let mut bytes = upgrade_request(&target, &target.socket_path("protocol=7"), &[]).into_bytes();
    let subscribe = json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string();
    bytes.extend(heliostat_protocol_tests::frame::masked(0x81, subscribe.as_bytes()));
    wire.send_bytes(&bytes);
    assert!(wire.read_head().starts_with("HTTP/1.1 101 "));
    let mut socket = Socket::over(wire, &target);
    socket.expect("pusher:connection_established");
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
}

/// An upgrade request that never ends is given up, and nobody else notices.
///
/// Proves: bad input.
#[test]
fn a_half_open_upgrade_is_given_up() {
    let config =
        format!("[server]\nhttp_request_timeout_seconds = 1\n{}", heliostat_protocol_tests::target::MAIN_APP);
    let Some(target) = Target::own(&config) else { return };
    let mut halves: Vec<Wire> = (0..20).map(|_| Wire::open(&target)).collect();
    let request = upgrade_request(&target, &target.socket_path("protocol=7"), &[]);
    for (n, half) in halves.iter_mut().enumerate() {
        half.send_bytes(&request.as_bytes()[..request.len() * n / 20]);
    }
    target.connect().assert_silence();
    for half in &mut halves {
        half.read_to_end();
    }
    target.connect().assert_silence();
}

/// The broker answers a WebSocket Ping, whatever it carries, with the same bytes.
///
/// Proves: 40.
#[test]
fn a_websocket_ping_is_answered_with_its_payload() {
    let mut socket = Target::main().connect();
    for payload in [&b""[..], b"x", &[0xFF, 0x00, 0xC3], &[b'p'; 125]] {
        socket.send_frame(0x89, payload);
        let answer = loop {
            match socket.receive() {
                Incoming::Pong(answer) => break answer,
                Incoming::Ping(_) => {}
                other => socket.fail(&format!("expected a Pong, got {other:?}")),
            }
        };
        assert_eq!(answer, payload);
    }
}

fn without_line(request: &str, name: &str) -> String {
    request.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
}
