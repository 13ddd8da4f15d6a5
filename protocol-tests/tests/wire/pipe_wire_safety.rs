//! The pipe's wire in bad company: who is let in, what rubbish, floods and slow readers do, and how it ends.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heliostat_protocol_tests::frame::{FIN, TEXT};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Incoming, Pipe, Target, Wire, patience, picture};
use serde_json::json;

use crate::eventually;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Whoever cannot prove that it holds the secret gets an error with all three keys, and a close frame with the same
/// code and reason.
///
/// Proves: 247, bad input.
#[test]
fn strangers_are_told_why_they_are_not_let_in() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let good = Pipe::path(&target, Some("0.2"));
    let with = |credentials: Credentials| Pipe::path(&target.with_credentials(credentials), Some("0.2"));
    let table = [
        (with(Credentials::new("1001", "other-key", "app-secret")), 4001, "Unknown auth_key"),
        (with(Credentials::new("7", "app-key", "app-secret")), 4001, "App 7 not found"),
        (with(Credentials::new("1001", "app-key", "wrong")), 4009, "Invalid signature"),
        (good.replace("/app/1001", "/app/1002"), 4009, "Invalid signature"),
        (good.replace("auth_version=1.0", "auth_version=2.0"), 4009, "Version not supported"),
        (good.replace("auth_version=1.0&", ""), 4009, "Version required"),
        (Pipe::path_at(&target, Some("0.2"), now() - 601), 4009, "Timestamp expired"),
        (Pipe::path_at(&target, Some("0.2"), now() + 601), 4009, "Timestamp expired"),
        (good.replace("protocol_version=0.2", "protocol_version=0.1"), 4009, "Invalid signature"),
        (good.to_uppercase().replace("/APP/1001?AUTH", "/app/1001?auth"), 4001, "Unknown auth_key"),
        (good.replace("/app/1001", "/app/1001/more"), 4005, "Path not found"),
    ];
    for (path, code, reason) in table {
        let closed = Pipe::upgrade(&target, &path).expect_refusal();
        assert_eq!(closed.code, code, "{path}: {}", closed.reason);
        assert!(closed.reason.starts_with(reason), "{path}: {}", closed.reason);
    }
    for seconds in [590, 0] {
        Pipe::upgrade(&target, &Pipe::path_at(&target, Some("0.2"), now() - seconds)).await_established();
    }
}

/// An app that is switched off, or that wants TLS, refuses its backends too.
///
/// Proves: bad input.
#[test]
fn the_switches_of_an_app_hold_for_its_backends() {
    let app = |setting: &str| {
        format!("[[apps]]\nid = \"1001\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n{setting}\n")
    };
    for (setting, code) in
        [("enabled = false", 4003), ("force_tls = true", 4000), ("limits = { pipe_connections = 1 }", 4004)]
    {
        let Some(target) = Target::own(&app(setting)) else { return };
        let first = (code == 4004).then(|| Pipe::connect(&target));
        let closed = Pipe::upgrade(&target, &Pipe::path(&target, Some("0.2"))).expect_refusal();
        assert_eq!(closed.code, code, "{}", closed.reason);
        drop(first);
    }
}

/// A signature that is used twice at once lets both in, as it always did, and is noted in the log.
///
/// Proves: bad input.
#[test]
fn a_replayed_signature_is_let_in_and_logged() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let path = Pipe::path(&target, Some("0.2"));
    let mut first = Pipe::upgrade(&target, &path);
    first.await_established();
    let note = "the signature of another that is connected";
    assert!(!target.broker().unwrap().log().contains(note));
    let mut second = Pipe::upgrade(&target, &path);
    second.await_established();
    eventually("the log tells", || target.broker().unwrap().log().contains(note).then_some(()));
    first.assert_silence();
    second.assert_silence();
}

/// Rubbish is answered by an error, with the id where it can be read and null where it cannot, and the connection goes
/// on.
///
/// Proves: 247, 249, bad input.
#[test]
fn rubbish_is_answered() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    let rubbish =
        ["", "rubbish", "[]", "17", "null", "{", "{}", "\"text\"", r#"{"method":"subscribe"} x"#, "\u{0}"];
    for text in rubbish {
        pipe.send_text(text);
        assert_eq!(pipe.expect_error(), 4216, "{text}");
    }
    for (text, id) in [(r#"{"id":"a"}"#, json!("a")), (r#"{"id":5,"method":[]}"#, json!(5))] {
        pipe.send_text(text);
        let answer = pipe.message().whole;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(4216)), "{answer}");
    }
    pipe.send_text(&format!(r#"{{"id":"{}","method":"subscribe"}}"#, "x".repeat(5000)));
    assert_eq!(pipe.expect_error(), 4216);
    let deep = format!(
        r#"{{"id":1,"method":"send_to_channel","params":{{"channel":"a","event":"e","data":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    pipe.send_text(&deep);
    let answer = pipe.message().whole;
    assert!(matches!(answer["error"]["code"].as_u64(), Some(4213 | 4216)), "{answer}");
    pipe.send_text(
        r#"{"id":1,"method":"send_to_channel","params":{"channel":"a","event":"e","data":"\ud800"}}"#,
    );
    assert!(matches!(pipe.message().whole["error"]["code"].as_u64(), Some(4213 | 4216)));
    pipe.assert_silence();
}

/// What breaks the WebSocket protocol ends the connection with the code for it, after an error that says why.
///
/// Proves: bad input.
#[test]
fn broken_frames_end_the_connection() {
    let Some(target) = Target::own(&format!("[pipe]\nrequest_bytes = 65536\n{MAIN_APP}")) else { return };
    let table: [(u8, Vec<u8>, u16); 4] = [
        (0x82, b"binary".to_vec(), 1003),
        (FIN | TEXT, vec![0xff, 0xfe], 1007),
        (FIN | 0x3, Vec::new(), 1002),
        (FIN | TEXT, vec![b'x'; 65537], 1009),
    ];
    for (head, payload, code) in table {
        let mut pipe = Pipe::connect(&target);
        pipe.send_frame(head, &payload);
        // The first says what could not be read, the second why the connection ends.
        assert_eq!(pipe.expect_error(), 4216);
        assert_eq!(pipe.expect_refusal().code, code);
    }
    // An announcement alone is enough: nothing of it is kept.
    let mut pipe = Pipe::connect(&target);
    pipe.send_bytes(&[0x81, 0xff, 0, 0, 0x10, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(pipe.expect_error(), 4216);
    assert_eq!(pipe.expect_refusal().code, 1009);
}

/// A backend that does not read is told how much it missed; nobody else notices, and the broker's memory stays.
///
/// Proves: bad input.
#[test]
fn a_backend_that_does_not_read_holds_nobody_up() {
    const FRAMES: usize = 120;
    // Nor is it to be missed, however long a slow machine takes for the pictures.
    let config =
        format!("[connection]\nping_after_seconds = 3600\n[pipe]\nqueue_bytes = 4194304\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    for version in ["0.2", "1.0"] {
        let (mut slow, mut quick) = (Pipe::connect_as(&target, Some(version)), Pipe::connect(&target));
        slow.subscribe("socket_message");
        quick.subscribe("socket_message");
        let mut socket = target.connect();
        socket.subscribe("stream");
        let resident = || target.broker().and_then(|broker| broker.resident_bytes());
        let before = resident();
        for n in 0..FRAMES {
            socket.trigger("stream", "frame", &json!({ "n": n, "dataUrl": picture(n, 800 * 1024) }));
            assert_eq!(quick.expect("socket_message")["data"]["n"], n);
        }
        if let (Some(before), Some(after)) = (before, resident()) {
            let grown = after.peak.saturating_sub(before.now);
            assert!(
                grown < 48 << 20,
                "the broker grew by {grown} bytes for 94 MiB that one backend did not read"
            );
        }
        let mut heard = 0;
        let told = loop {
            let message = slow.message();
            match message.event.as_str() {
                "socket_message" => {
                    assert_eq!(message.data["data"]["n"], heard, "without a gap, and in order");
                    heard += 1;
                }
                _ => break message,
            }
        };
        let missed = FRAMES - heard;
        match version {
            "0.2" => {
                assert_eq!(told.event, "warning");
                assert!(
                    told.data.as_str().unwrap().starts_with(&format!("{missed} notifications")),
                    "{}",
                    told.data
                );
            }
            _ => assert_eq!((told.event.as_str(), &told.data), ("missed", &json!({ "count": missed }))),
        }
        socket.trigger("stream", "frame", &json!("after"));
        assert_eq!(slow.expect("socket_message")["data"], "after");
    }
}

/// A backend that floods and does not read its answers is not read from any more: its own writes stall, and neither
/// the others nor the broker's memory notice.
///
/// Proves: bad input.
#[test]
fn a_backend_that_floods_is_slowed() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut socket = target.connect();
    for n in 0..200 {
        socket.subscribe(&format!("room-{n}"));
    }
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let before = resident();
    let flood = Pipe::path(&target, Some("1.0"));
    let mut wire = Wire::upgrade(&target, &flood, &[]);
    // Each small question asks for a large answer.
    let question = r#"{"id":1,"method":"channels","params":{}}"#;
    let mut stalled = false;
    for _ in 0..2000 {
        if !wire.try_send_together(std::iter::repeat_n(question, 200), Duration::from_millis(300)) {
            stalled = true;
            break;
        }
    }
    assert!(stalled, "the broker read 400,000 questions whose answers nobody took");
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        assert!(grown < 32 << 20, "the broker grew by {grown} bytes");
    }
    socket.assert_silence();
    let mut other = Pipe::connect(&target);
    other.assert_silence();
}

/// Of a client's pings only the newest needs an answer; a flood of them costs nothing.
///
/// Proves: bad input.
#[test]
fn pings_are_answered() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    pipe.send_frame(0x89, b"are you there");
    assert_eq!(pipe.receive(), Incoming::Pong(b"are you there".to_vec()));
}

/// A backend that falls silent is asked, and closed with 4201 if it does not answer.
///
/// Proves: bad input.
#[test]
fn a_dead_backend_is_noticed() {
    let config = format!("[connection]\nping_after_seconds = 0.2\npong_timeout_seconds = 0.2\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let mut alive = Pipe::connect(&target);
    let mut dead = Pipe::connect(&target);
    dead.answers_pings = false;
    std::thread::scope(|scope| {
        // It answers because it listens, for longer than a dead one is kept.
        scope.spawn(|| {
            for _ in 0..4 {
                assert_eq!(alive.receive(), Incoming::Ping(Vec::new()));
            }
            alive.assert_silence();
        });
        assert_eq!(dead.receive(), Incoming::Ping(Vec::new()));
        assert_eq!(dead.expect_refusal().code, 4201);
    });
}

/// A broker that stops sends its backends away with 4200, and does not wait for those that are deaf.
///
/// Proves: bad input.
#[test]
fn shutdown_sends_backends_away() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut pipe = Pipe::connect(&target);
    target.broker().unwrap().terminate();
    assert_eq!(pipe.expect_refusal().code, 4200);
    drop(pipe);
    assert!(target.broker().unwrap().await_exit(patience()).success());
}

/// The pipe may have a port of its own as well, where nobody but backends is served.
///
/// Proves: 244, bad input.
#[test]
fn a_port_of_its_own_serves_backends_and_nobody_else() {
    let config = format!("[server]\npath_prefix = \"/light\"\n[pipe]\nown_port = true\nport = 0\n{MAIN_APP}");
    let Some(target) = Target::own(&config) else { return };
    let line = target.broker().unwrap().await_line("serves the pipe on ws://127.0.0.1:");
    let mut own = target.clone();
    own.port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    own.path_prefix = String::new();
    let mut pipe = Pipe::connect(&own);
    pipe.subscribe("socket_message");
    let mut listener = target.clone();
    listener.path_prefix = "/light".to_owned();
    let mut socket = listener.connect();
    socket.subscribe("stream");
    socket.trigger("stream", "frame", &json!(1));
    assert_eq!(pipe.expect("socket_message")["data"], 1);
    // The original client knows no prefix, and is served on the shared listener all the same.
    let mut shared = target.clone();
    shared.path_prefix = String::new();
    Pipe::connect(&shared).assert_silence();

    let closed = Pipe::upgrade(&own, "/app/app-key?protocol=7").expect_refusal();
    assert_eq!((closed.code, closed.reason.as_str()), (4001, "Missing parameter: auth_key"));
    let mut plain = Wire::open(&own);
    plain.send_bytes(b"GET /apps/1001/channels HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(plain.read_head().starts_with("HTTP/1.1 426 "));
}
