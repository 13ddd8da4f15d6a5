//! Refusals: the upgrade completes first, then a close code tells the client what to do, and a reason tells its
//! developer why. Clients that do not read close codes (protocol 5 and below) get the same in an error first.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Incoming, Shared, Socket, Target, unique};

/// A key that no app has.
///
/// Proves: 22, 23, 24, 25, 31, 32.
#[test]
pub(crate) fn an_unknown_key_is_closed_with_4001() {
    let nobody = nobody(&Target::main());
    for protocol in 1..=7 {
        let reason =
            expect_refusal(&mut nobody.upgrade(&format!("protocol={protocol}")), 4001, protocol <= 5);
        assert!(reason.contains(&nobody.credentials.key), "the reason names the key: {reason:?}");
    }
}

/// The reason of a refusal fits a Close frame, whatever the client put into the URL.
///
/// Proves: 32.
#[test]
fn a_reason_is_cut_to_fit_and_stays_text() {
    let target = Target::main();
    for key in [
        "k".repeat(2000),
        "%C3%A4".repeat(100),
        format!("x{}", "%F0%9F%98%80".repeat(60)),
        "%ff%fe".repeat(90),
    ] {
        for protocol in [5, 7] {
            let path = format!("{}/app/{key}?protocol={protocol}", target.path_prefix);
            let mut socket = Socket::upgrade(&target, &path, &[]);
            // The close frame itself is checked for valid UTF-8 wherever one is read.
            if protocol == 5 {
                socket.expect_some_error(Some(4001));
            }
            let reason = socket.expect_close_with(4001);
            assert!(!reason.is_empty() && reason.len() <= 123, "{} bytes: {reason}", reason.len());
        }
    }
}

/// A protocol that does not exist, or not any more, or not yet.
///
/// Proves: 19, 32.
#[test]
pub(crate) fn an_unsupported_protocol_is_closed_with_4007() {
    let target = Target::main();
    for protocol in ["8", "0", "70", "99999999999999999999999999"] {
        let mut socket = target.upgrade(&format!("protocol={protocol}&client=js"));
        let reason = expect_refusal_of_either_age(&mut socket, 4007);
        assert!(reason.to_lowercase().contains("protocol"), "{reason:?}");
    }
}

/// A protocol or version that is no number. Nobody knows what such a client understands, so it gets both the
/// error and the code.
///
/// Proves: 20, 21, 32.
#[test]
pub(crate) fn an_unreadable_version_is_closed_with_4006() {
    let target = Target::main();
    let queries = [
        "protocol=abc",
        "protocol=7x",
        "protocol=7.0",
        "protocol=&version=8.4.0",
        "version=abc",
        "version=",
        "version=x1.2",
    ];
    for query in queries {
        let mut socket = target.upgrade(query);
        let reason = expect_refusal(&mut socket, 4006, true);
        assert!(
            reason.to_lowercase().contains("version") || reason.contains("protocol"),
            "{query}: {reason:?}"
        );
    }
}

/// An app that was switched off.
///
/// Proves: 26, 32.
#[test]
pub(crate) fn a_disabled_app_is_closed_with_4003() {
    let Some(target) = Target::shared(Shared::Disabled) else { return };
    for protocol in [1, 5, 6, 7] {
        expect_refusal(&mut target.upgrade(&format!("protocol={protocol}")), 4003, protocol <= 5);
    }
}

/// An app that insists on TLS, reached without. A proxy's word about TLS counts only where the broker was told
/// that there is a proxy.
///
/// Proves: 27, 32.
#[test]
fn a_plain_socket_of_a_tls_only_app_is_closed_with_4000() {
    let Some(target) = Target::shared(Shared::TlsOnly) else { return };
    for protocol in [1, 5, 6, 7] {
        expect_refusal(&mut target.upgrade(&format!("protocol={protocol}")), 4000, protocol <= 5);
    }
    let path = target.socket_path("protocol=7");
    let mut forged = Socket::upgrade(&target, &path, &["X-Forwarded-Proto: https"]);
    expect_refusal(&mut forged, 4000, false);
}

/// Behind a trusted proxy that speaks TLS, a TLS-only app is served, and only to those who used TLS.
///
/// Proves: 27.
#[test]
fn a_trusted_proxy_tells_that_the_client_used_tls() {
    let config = format!("[server]\ntrust_forwarded_proto = true\n{MAIN_APP}force_tls = true\n");
    let Some(target) = Target::own(&config) else { return };
    let path = target.socket_path("protocol=7");
    let mut secure = Socket::upgrade(&target, &path, &["X-Forwarded-Proto: https"]);
    secure.expect("pusher:connection_established");
    for headers in [&["X-Forwarded-Proto: http"][..], &[]] {
        expect_refusal(&mut Socket::upgrade(&target, &path, headers), 4000, false);
    }
}

/// An app that has as many connections as it may.
///
/// Proves: 28, 32.
#[test]
fn over_the_connection_quota_the_code_is_4004() {
    let Some(target) = Target::shared(Shared::Crowded) else { return };
    let mut first = target.connect();
    for protocol in [1, 5, 6, 7] {
        expect_refusal(&mut target.upgrade(&format!("protocol={protocol}")), 4004, protocol <= 5);
    }
    first.assert_silence();
    first.close();
    // The place is free as soon as the broker has noticed, and refused connections took none.
    crate::eventually("a place is free again", || match target.upgrade("protocol=7").receive() {
        Incoming::Message(_) => Some(()),
        _ => None,
    });
}

/// A node that holds as many connections as it can asks the client to come back later.
///
/// Proves: 29, 32.
#[test]
fn over_the_capacity_of_the_node_the_code_is_4100() {
    let config = format!("[server]\nmax_connections = 2\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let mut held = [target.connect(), target.connect()];
    for protocol in [1, 5, 6, 7] {
        expect_refusal(&mut target.upgrade(&format!("protocol={protocol}")), 4100, protocol <= 5);
    }
    held.iter_mut().for_each(Socket::assert_silence);
    let [first, _second] = held;
    first.close();
    crate::eventually("a place is free again", || match target.upgrade("protocol=7").receive() {
        Incoming::Message(_) => Some(()),
        _ => None,
    });
}

/// An upgrade on a path that is no endpoint.
///
/// Proves: 30, 32.
#[test]
fn an_unknown_path_is_closed_with_4005() {
    let target = Target::main();
    let key = &target.credentials.key;
    let app = format!("/app/{key}");
    for path in
        ["/nowhere", "/app", &format!("{app}/more"), &format!("/App/{key}"), &format!("/apps/{key}/x/y")]
    {
        for protocol in [5, 7] {
            let mut socket = Socket::upgrade(&target, &format!("{path}?protocol={protocol}"), &[]);
            expect_refusal(&mut socket, 4005, protocol <= 5);
        }
    }
}

/// Of several reasons the first in a fixed order is given: path, key, version, switched off, TLS, quota, capacity.
///
/// Proves: 22, 26, 30.
#[test]
fn of_several_reasons_the_first_in_order_is_given() {
    let config = r#"
        [server]
        max_connections = 1
        [[apps]]
        id = "1"
        key = "open"
        secret = "s"
        limits = { connections = 1 }
        [[apps]]
        id = "2"
        key = "off"
        secret = "s"
        enabled = false
        force_tls = true
        [[apps]]
        id = "3"
        key = "tls"
        secret = "s"
        force_tls = true
        [[apps]]
        id = "4"
        key = "free"
        secret = "s"
    "#;
    let Some(target) = Target::own(config) else { return };
    let mut held = Socket::upgrade(&target, "/app/open?protocol=7", &[]);
    held.await_established();
    let cases = [
        ("/nowhere/nope?protocol=8", 4005),
        ("/app/nope?protocol=8", 4001),
        ("/app/off?protocol=8", 4007),
        ("/app/off?protocol=abc", 4006),
        ("/app/off?protocol=7", 4003),
        ("/app/tls?protocol=7", 4000),
        ("/app/open?protocol=7", 4004),
        ("/app/free?protocol=7", 4100),
    ];
    for (path, code) in cases {
        let mut socket = Socket::upgrade(&target, path, &[]);
        assert_eq!((path, expect_refusal_code(&mut socket)), (path, code));
    }
    held.assert_silence();
}

/// No refusal uses a code of the 4300s, which would make clients give up.
///
/// Proves: 33.
#[test]
pub(crate) fn what_keeps_a_connection_open_is_no_close_code() {
    let Some(target) = Target::shared(Shared::Small) else { return };
    let channel = unique("private-c-");
    let mut socket = target.connect();
    socket.subscribe_private(&channel);
    socket.trigger(&channel, "client-big", &"x".repeat(101).into());
    socket.expect_some_error(Some(4301));
    // `Socket` fails on any Close of the 4300s, wherever it is read.
    socket.assert_silence();
}

/// What a client sends after it was refused is ignored, and the connection ends.
///
/// Proves: 22.
#[test]
fn a_refused_client_gets_no_further_answer() {
    let mut socket = nobody(&Target::main()).upgrade("protocol=7");
    socket.send_text(r#"{"event":"pusher:ping","data":{}}"#);
    socket.expect_close_with(4001);
    socket.send_frame(0x88, &4001_u16.to_be_bytes());
    socket.expect_end();
}

/// Reads a refusal: the error if `announced`, then the Close with the same text, and nothing else. Answers the
/// reason.
#[track_caller]
fn expect_refusal(socket: &mut Socket, code: u16, announced: bool) -> String {
    let error = announced.then(|| socket.expect_some_error(Some(code)));
    let reason = socket.expect_close_with(code);
    assert!(!reason.is_empty() && reason.len() <= 123, "{} bytes: {reason}", reason.len());
    if let Some(error) = error {
        assert!(error.starts_with(&reason), "the error says {error:?}, the Close {reason:?}");
    }
    reason
}

/// As [`expect_refusal`], where it is nobody's business whether an error comes first.
#[track_caller]
fn expect_refusal_of_either_age(socket: &mut Socket, code: u16) -> String {
    match socket.receive() {
        Incoming::Close(closed) if closed.code == code => {
            assert!(!closed.reason.is_empty() && closed.reason.len() <= 123, "{closed:?}");
            closed.reason
        }
        Incoming::Message(message) if message.data["code"] == code => expect_refusal(socket, code, false),
        other => socket.fail(&format!("expected a refusal with {code}, got {other:?}")),
    }
}

/// The code of a refusal, error frame or not.
#[track_caller]
fn expect_refusal_code(socket: &mut Socket) -> u16 {
    loop {
        match socket.receive() {
            Incoming::Close(closed) => return closed.code,
            Incoming::Message(message) if message.event == "pusher:error" => {}
            other => socket.fail(&format!("expected a refusal, got {other:?}")),
        }
    }
}

/// The target as a client that has the key of no app sees it.
fn nobody(target: &Target) -> Target {
    target.with_credentials(Credentials::new("0", &unique("nobody-"), "no-secret"))
}
