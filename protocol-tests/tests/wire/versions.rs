//! Protocol versions 1 to 7: how one is chosen, and what it changes in the first frame.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Incoming, Target, unique};
use serde_json::json;

/// Every version a client can name is served under the event name and with the members of its time.
///
/// Proves: 4, 10, 11, 12, 13.
#[test]
pub(crate) fn each_named_version_gets_its_own_first_frame() {
    let target = Target::main();
    for protocol in 1..=7 {
        let mut socket = target.upgrade(&format!("protocol={protocol}&client=js&version=1.0.0"));
        let first = socket.await_established();
        let name = if protocol == 1 { "connection_established" } else { "pusher:connection_established" };
        assert_eq!(first.event, name, "protocol {protocol}");
        let told = first.decoded().get("activity_timeout").is_some();
        assert_eq!(told, protocol == 7, "activity_timeout came with protocol 7, this is {protocol}");
        // Not even protocol 1 gets its first frame twice if it was asked for by name.
        socket.assert_silence();
    }
}

/// Before there was a `protocol`, the version of the library told it.
///
/// Proves: 15.
#[test]
pub(crate) fn the_version_of_the_library_implies_the_protocol() {
    let target = Target::main();
    let cases = [
        ("version=1.2", "1"),
        ("version=1.4.1", "1"),
        ("client=js&version=1.4.2", "2"),
        ("client=js&version=1.7.6", "2"),
        ("client=js&version=1.8.0", "3"),
        ("client=js&version=1.9.4", "3"),
        ("client=js&version=1.10.0-pre", "4 or 5"),
        ("client=js&version=1.10.1", "4 or 5"),
        ("client=js&version=1.11.0", "4 or 5"),
        ("client=java-android-client&version=1.11", "4 or 5"),
        ("client=js&version=1.12.7", "4 or 5"),
        ("client=js&version=8.4.0", "4 or 5"),
    ];
    for (query, protocol) in cases {
        assert_eq!(observed_protocol(&target, query), protocol, "{query}");
    }
}

/// A named protocol wins over what the version would imply.
///
/// Proves: 11.
#[test]
pub(crate) fn a_named_protocol_wins_over_the_version() {
    let target = Target::main();
    for (query, protocol) in [
        ("protocol=4&version=1.9.4", "4 or 5"),
        ("protocol=6&version=1.9.4", "6"),
        ("protocol=3&version=abc", "3"),
    ] {
        assert_eq!(observed_protocol(&target, query), protocol, "{query}");
    }
}

/// Clients of 2010 say nothing at all: some wait for the old name of the first frame, some for the new one.
///
/// Proves: 17.
#[test]
pub(crate) fn a_client_that_names_no_version_gets_both_first_frames() {
    let target = Target::main();
    for query in ["", "client=js", "flash=false"] {
        let mut socket = target.upgrade(query);
        let old = socket.expect("connection_established");
        let new = socket.expect("pusher:connection_established");
        assert_eq!(old.data, new.data, "both frames tell the same");
        socket.assert_silence();
    }
}

/// The oldest library names a public channel in the URL and never subscribes to it otherwise.
///
/// Proves: 17.
#[test]
pub(crate) fn the_oldest_library_subscribes_in_its_url() {
    let target = Target::main();
    let channel = unique("room-");
    let mut socket = target.upgrade(&format!("channel={channel}"));
    socket.await_established();
    socket.expect("pusher:connection_established");
    target.publish(&channel, "greet", "hello");
    assert_eq!(socket.expect_on(&channel, "greet").data, json!("hello"));
}

/// Only the output depends on the version: a client of any age may use every request.
///
/// Proves: 10, 11, 13.
#[test]
pub(crate) fn every_version_is_pinged_ponged_and_subscribed_alike() {
    let target = Target::main();
    for protocol in 1..=7 {
        let mut socket = target.connect_as(&format!("protocol={protocol}"));
        let channel = unique("presence-room-");
        let roster = socket.subscribe_presence(&channel, "u1", &json!({ "name": "Ann" }));
        match protocol {
            1 | 2 => assert_eq!(roster, json!([{ "user_id": "u1", "user_info": { "name": "Ann" } }])),
            _ => assert_eq!(roster["presence"]["count"], json!(1)),
        }
        socket.assert_silence();
    }
}

/// Strict: a client that names neither protocol nor version is sent away; one that names either is served.
///
/// Proves: 18.
#[test]
fn strict_mode_sends_away_who_names_no_version() {
    let config = format!("[connection]\nwithout_version = \"strict\"\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    for query in ["", "client=js&flash=false"] {
        let mut socket = target.upgrade(query);
        let text = socket.expect_some_error(Some(4008));
        assert_eq!(socket.expect_close_with(4008), text);
    }
    target.connect_as("version=1.4.1").assert_silence();
    target.connect().assert_silence();
}

/// A broker may be told to serve no protocol below a minimum, named or implied.
///
/// Proves: 19, 32.
#[test]
fn a_protocol_below_the_configured_minimum_is_refused() {
    let config = format!("[connection]\nmin_protocol = 5\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    for query in ["protocol=4", "protocol=1", "version=1.9.4", ""] {
        let mut socket = target.upgrade(query);
        let text = socket.expect_some_error(Some(4007));
        assert_eq!(socket.expect_close_with(4007), text, "{query}");
    }
    for query in ["protocol=5", "protocol=7", "version=1.11.0"] {
        target.connect_as(query).assert_silence();
    }
}

/// The protocol the broker speaks with this query, as far as a busy connection shows it: by the first frame, the
/// roster of a presence channel, a public subscription, and a refusal. Protocols 4 and 5 differ only in what an
/// idle connection hears, which the heartbeat tests observe.
#[track_caller]
fn observed_protocol(target: &Target, query: &str) -> &'static str {
    let mut socket = target.upgrade(query);
    let first = socket.await_established();
    if first.event == "connection_established" {
        return "1";
    }
    if first.decoded().get("activity_timeout").is_some() {
        return "7";
    }
    if socket.subscribe_presence(&unique("presence-age-"), "u", &json!({})).is_array() {
        return "2";
    }
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": unique("age-") } }));
    if socket.drain().is_empty() {
        return "3";
    }
    let nobody = Credentials::new("0", &unique("nobody-"), "");
    match target.with_credentials(nobody).upgrade(query).receive() {
        Incoming::Close(_) => "6",
        _ => "4 or 5",
    }
}
