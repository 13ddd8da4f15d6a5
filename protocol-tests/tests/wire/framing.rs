//! Hostile framing: what RFC 6455 calls fatal closes that connection with its code, and costs nobody anything.

use heliostat_protocol_tests::frame::{self, close_payload};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::json;

/// The bytes of one message that an app takes by default.
const MESSAGE_BYTES: usize = 128 * 1024;

/// Frames that break RFC 6455, each with what is wrong.
///
/// Proves: bad input.
#[test]
fn broken_framing_is_closed_with_1002() {
    let target = Target::main();
    let ping = br#"{"event":"pusher:ping"}"#;
    let cases: [(&str, Vec<u8>); 15] = [
        ("an unmasked message", frame::unmasked(0x81, ping)),
        ("an unmasked Ping", frame::unmasked(0x89, b"")),
        ("the first reserved bit", frame::masked(0x81 | 0x40, ping)),
        ("the second reserved bit", frame::masked(0x81 | 0x20, ping)),
        ("the third reserved bit", frame::masked(0x81 | 0x10, ping)),
        ("a reserved data opcode", frame::masked(0x83, ping)),
        ("another", frame::masked(0x87, ping)),
        ("a reserved control opcode", frame::masked(0x8B, b"")),
        ("another", frame::masked(0x8F, b"")),
        ("a Ping of 126 bytes", frame::masked(0x89, &[b'p'; 126])),
        ("a Close of 126 bytes", frame::masked(0x88, &[b'c'; 126])),
        ("a fragmented Ping", frame::masked(0x09, b"")),
        ("a continuation of nothing", frame::masked(0x80, ping)),
        ("a message inside a message", [frame::masked(0x01, b"{"), frame::masked(0x81, ping)].concat()),
        ("a Close with half a code", frame::masked(0x88, &[0x03])),
    ];
    for (what, bytes) in cases {
        let mut socket = target.connect();
        socket.send_bytes(&bytes);
        let closed = socket.expect_close();
        assert_eq!(closed.code, 1002, "{what}: {closed:?}");
        socket.expect_end();
    }
}

/// Codes that no client may send in a Close, and a reason that is no text.
///
/// Proves: bad input.
#[test]
fn a_close_that_may_not_be_sent_is_answered_by_an_error_code() {
    let target = Target::main();
    for code in [0, 999, 1004, 1005, 1006, 1015, 65535] {
        let mut socket = target.connect();
        socket.send_frame(0x88, &close_payload(code, "because"));
        let closed = socket.expect_close();
        assert_eq!(closed.code, 1002, "answer to {code}: {closed:?}");
        socket.expect_end();
    }
    let mut socket = target.connect();
    socket.send_frame(0x88, &[&1000_u16.to_be_bytes()[..], &[0xFF, 0xFE]].concat());
    let closed = socket.expect_close();
    assert!(matches!(closed.code, 1002 | 1007), "{closed:?}");
    socket.expect_end();
}

/// A client that closes gets the closing handshake completed and is gone.
///
/// Proves: bad input.
#[test]
fn a_close_is_answered_by_a_close() {
    let target = Target::main();
    for payload in
        [close_payload(1000, "bye"), close_payload(1001, ""), close_payload(4999, "own"), Vec::new()]
    {
        let mut socket = target.connect();
        socket.send_frame(0x88, &payload);
        let sent = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
        let closed = socket.expect_close();
        assert!([sent, 1000, 1005].contains(&closed.code), "answer to {sent}: {closed:?}");
        socket.expect_end();
    }
}

/// What follows a Close is not heard any more.
///
/// Proves: bad input.
#[test]
fn nothing_is_heard_after_a_close() {
    let target = Target::main();
    let channel = unique("private-late-");
    let mut listener = target.connect();
    listener.subscribe_private(&channel);
    let mut socket = target.connect();
    socket.subscribe_private(&channel);
    let event = json!({ "event": "client-late", "channel": channel, "data": {} }).to_string();
    let close = frame::masked(0x88, &close_payload(1000, ""));
    socket.send_bytes(&[close, frame::masked(0x81, event.as_bytes())].concat());
    socket.expect_end();
    target.assert_nothing_published(&mut listener, &channel);
}

/// A text message must be UTF-8, however it is cut.
///
/// Proves: bad input.
#[test]
fn invalid_utf8_is_closed_with_1007() {
    let target = Target::main();
    let bad: [&[u8]; 6] = [
        b"\xFF",
        b"{\"event\":\"\xC3\x28\"}",
        b"\xED\xA0\x80",              // half a surrogate pair
        b"\xC0\xAF",                  // overlong
        b"\xF4\x90\x80\x80",          // beyond the last code point
        b"{\"event\":\"x\"}\xE2\x82", // ends inside a character
    ];
    for bytes in bad {
        let mut socket = target.connect();
        socket.send_frame(0x81, bytes);
        socket.expect_close_with(1007);
        socket.expect_end();

        let mut socket = target.connect();
        socket.send_frame(0x01, &bytes[..bytes.len() / 2]);
        socket.send_frame(0x80, &bytes[bytes.len() / 2..]);
        socket.expect_close_with(1007);
    }
}

/// A message may be as long as the limit and no longer; a fragmented one is measured as a whole.
///
/// Proves: bad input.
#[test]
fn a_message_over_the_limit_is_closed_with_1009() {
    let target = Target::main();
    let padded = |bytes: usize| {
        let bare = r#"{"event":"pusher:ping","p":""}"#.len();
        json!({ "event": "pusher:ping", "p": "p".repeat(bytes - bare) }).to_string()
    };

    let mut socket = target.connect();
    socket.send_text(&padded(MESSAGE_BYTES));
    socket.expect("pusher:pong");
    socket.send_text(&padded(MESSAGE_BYTES + 1));
    socket.expect_close_with(1009);
    socket.expect_end();

    let mut socket = target.connect();
    let long = padded(MESSAGE_BYTES + 1);
    let (first, last) = long.as_bytes().split_at(MESSAGE_BYTES);
    socket.send_frame(0x01, first);
    socket.send_frame(0x80, last);
    socket.expect_close_with(1009);
    socket.expect_end();
}

/// A frame is judged by the length in its header: nobody waits for bytes that would be refused, or makes room
/// for them.
///
/// Proves: bad input.
#[test]
fn an_announced_length_over_the_limit_is_closed_at_once() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut witness = target.connect();
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let before = resident();
    for length in [MESSAGE_BYTES as u64 + 1, 1 << 31, 1 << 40, (1 << 63) - 1] {
        for head in [0x81, 0x01] {
            let mut socket = target.connect();
            socket.send_bytes(&[frame::header(head, length, true), vec![0; 4]].concat());
            socket.expect_close_with(1009);
            socket.expect_end();
        }
    }
    // RFC 6455 leaves the highest bit of a length unused.
    let mut socket = target.connect();
    socket.send_bytes(&[frame::header(0x81, u64::MAX, true), vec![0; 4]].concat());
    assert!(matches!(socket.expect_close().code, 1002 | 1009));
    witness.assert_silence();
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        assert!(grown < 32 << 20, "the broker grew by {grown} bytes");
    }
}

/// Many connections that each begin a message and never end it hold no more than what they sent.
///
/// Proves: bad input.
#[test]
fn begun_messages_cost_what_was_sent_of_them() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut witness = target.connect();
    let before = target.broker().and_then(|broker| broker.resident_bytes());
    let mut begun: Vec<Socket> = (0..100).map(|_| target.connect()).collect();
    for socket in &mut begun {
        socket
            .send_bytes(&[frame::header(0x81, MESSAGE_BYTES as u64, true), vec![1, 2, 3, 4, b'x']].concat());
    }
    witness.assert_silence();
    let after = target.broker().and_then(|broker| broker.resident_bytes());
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.now.saturating_sub(before.now) / 100;
        assert!(each < MESSAGE_BYTES as u64 / 2, "{each} bytes per connection that sent five");
    }
}
