//! Hostile messages in good frames: each is answered, and the connection stays. Nothing here may disturb another
//! connection or cost memory.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::frame;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Socket, Target, unique};
use serde_json::json;

use crate::eventually;

/// JSON nested ten thousand deep, in every place where a value may stand, ends neither broker nor connection.
///
/// Proves: bad input.
#[test]
fn ten_thousand_levels_of_nesting_are_survived() {
    let target = Target::main();
    let mut socket = target.connect();
    let channel = unique("private-n-");
    socket.subscribe_private(&channel);
    let lists = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let unclosed = "[".repeat(100_000);
    for deep in [&lists, &objects, &unclosed] {
        let frames = [
            deep.clone(),
            format!(r#"{{"event":{deep}}}"#),
            format!(r#"{{"event":"pusher:subscribe","data":{deep}}}"#),
            format!(r#"{{"event":"pusher:subscribe","data":{{"channel":{deep}}}}}"#),
            format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"private-x","auth":{deep}}}}}"#),
            format!(r#"{{"event":"pusher:unsubscribe","data":{deep}}}"#),
            format!(r#"{{"event":"client-x","channel":{deep},"data":1}}"#),
            format!(r#"{{"event":"frame","data":{deep}}}"#),
        ];
        for text in frames {
            socket.send_text(&text);
            let answers = socket.drain();
            assert!(
                matches!(&answers[..], [only] if only.event == "pusher:error") ||
                    // Two answers to a failed subscription, for its two audiences.
                    matches!(&answers[..], [first, second]
                        if first.event == "pusher:subscription_error" && second.event == "pusher:error"),
                "{}… was answered by {answers:?}",
                &text[..70.min(text.len())]
            );
        }
        // A ping's data and unknown members are not looked at, so that either answer will do.
        for ping in [
            format!(r#"{{"event":"pusher:ping","data":{deep}}}"#),
            format!(r#"{{"event":"pusher:ping","unknown":{deep}}}"#),
        ] {
            socket.send_text(&ping);
            let answer = socket.message();
            assert!(matches!(answer.event.as_str(), "pusher:pong" | "pusher:error"), "{answer:?}");
            socket.assert_silence();
        }
        // Clients parse what they are sent, and recursively, so this is better refused than passed on.
        socket.send_text(&format!(r#"{{"event":"client-x","channel":"{channel}","data":{deep}}}"#));
        socket.expect_some_error(None);
    }
    // The same inside a string, which a presence subscription and a doubly encoded request parse.
    let presence = unique("presence-n-");
    for deep in [&lists, &objects] {
        socket.join(&presence, &format!(r#"{{"user_id":"u","user_info":{deep}}}"#));
        socket.send(&json!({ "event": "pusher:subscribe", "data": deep }));
        let answers = socket.drain();
        assert!(answers.iter().all(|m| m.event.ends_with("error")), "{answers:?}");
    }
    socket.assert_silence();
    target.connect().assert_silence();
}

/// Every member of every request with a value of every wrong type.
///
/// Proves: bad input.
#[test]
fn wrong_types_are_answered_and_survived() {
    let mut socket = Target::main().connect();
    let wrong = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({ "x": 1 }),
    ];
    for value in &wrong {
        let frames = [
            json!({ "event": "pusher:subscribe", "data": value }),
            json!({ "event": "pusher:subscribe", "data": { "channel": value } }),
            json!({ "event": "pusher:subscribe", "data": { "channel": "private-x", "auth": value } }),
            json!({ "event": "pusher:unsubscribe", "data": value }),
            json!({ "event": "pusher:unsubscribe", "data": { "channel": value } }),
            json!({ "event": "client-x", "channel": value, "data": {} }),
        ];
        for text in frames {
            socket.send(&text);
            let answers = socket.drain();
            let errors = answers.iter().filter(|m| m.event == "pusher:error").count();
            let expected = answers.iter().all(|m| m.event.ends_with("error"));
            assert!(errors == 1 && expected, "{text} was answered by {answers:?}");
        }
        let presence = unique("presence-t-");
        socket.send(&json!({ "event": "pusher:subscribe",
            "data": { "channel": presence, "auth": socket.auth(&presence, Some("{}")), "channel_data": value } }));
        assert!(socket.drain().iter().any(|m| m.event == "pusher:error"), "channel_data {value}");
    }
    socket.assert_silence();
}

/// Numbers that no machine holds.
///
/// Proves: bad input.
#[test]
fn huge_numbers_are_survived() {
    let target = Target::main();
    let mut socket = target.connect();
    let mut other = target.connect();
    let channel = unique("private-h-");
    socket.subscribe_private(&channel);
    other.subscribe_private(&channel);
    let digits = format!("1{}", "0".repeat(400));
    for number in
        ["1e400", "-1e400", "1e-400", "123456789012345678901234567890", digits.as_str(), "0.1e+9999999999"]
    {
        socket.send_text(&format!(r#"{{"event":{number}}}"#));
        socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{number}}}"#));
        socket.send_text(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":{number}}}}}"#));
        let answers = socket.drain();
        assert!(answers.iter().all(|m| m.event.ends_with("error")), "{number}: {answers:?}");
        assert_eq!(answers.iter().filter(|m| m.event == "pusher:error").count(), 3, "{number}: {answers:?}");
        // As a payload a number is none of the broker's business: it arrives, or is refused, but is not changed.
        socket.send_text(&format!(r#"{{"event":"client-n","channel":"{channel}","data":{number}}}"#));
        if socket.drain().is_empty() {
            assert_eq!(other.expect_on(&channel, "client-n").data, json!(number));
        }
        // Numbers name members by their digits, and these are too many or no integer.
        let presence = unique("presence-h-");
        socket.join(&presence, &format!(r#"{{"user_id":{number},"user_info":{{"n":{number}}}}}"#));
        for message in socket.drain() {
            let event = message.event.as_str();
            assert!(
                event.ends_with("error") || event == "pusher_internal:subscription_succeeded",
                "{message:?}"
            );
        }
    }
    target.assert_nothing_published(&mut other, &channel);
}

/// Escapes that stand for no character, and those that stand for odd ones.
///
/// Proves: bad input.
#[test]
fn odd_escapes_are_answered_and_survived() {
    let mut socket = Target::main().connect();
    for text in [
        r#"{"event":"\ud800"}"#,
        r#"{"event":"\udc00\ud800"}"#,
        r#"{"event":"\u12"}"#,
        r#"{"event":"\x41"}"#,
        "{\"event\":\"a\nb\"}",
        r#"{"\u0065vent":"nothing"}"#,
        r#"{"event":"\u0000"}"#,
    ] {
        socket.send_text(text);
        socket.expect_some_error(None);
        socket.assert_silence();
    }
    // Escapes are only another way to write a name.
    socket.send_text(r#"{"\u0065vent":"pusher\u003aping","data":"\ud83d\udcf7"}"#);
    socket.expect("pusher:pong");
}

/// A thousand faults in a row change nothing: the connection still works after them.
///
/// Proves: 47.
#[test]
fn a_thousand_faults_do_not_tire_the_broker() {
    let mut socket = Target::main().connect();
    for _ in 0..10 {
        let faults = ["{", "[]", r#"{"event":1}"#, r#"{"event":"x"}"#, r#"{"event":"pusher:subscribe"}"#];
        socket.send_together(faults.into_iter().cycle().take(100));
        let errors = socket.drain().iter().filter(|m| m.event == "pusher:error").count();
        assert_eq!(errors, 100);
    }
    let channel = unique("room-");
    socket.subscribe(&channel);
    socket.assert_silence();
}

/// A way to go, by its name.
type Ending = (&'static str, fn(Socket));

/// A connection that is torn off in the middle of a message, or without a word, leaves its channels.
///
/// Proves: 87, 99.
#[test]
fn a_torn_connection_leaves_its_channels() {
    let target = Target::main();
    let channel = unique("presence-torn-");
    let mut stays = target.connect();
    stays.subscribe_presence(&channel, "stays", &json!(null));
    let endings: [Ending; 4] = [
        ("a reset inside a frame", |mut socket| {
            socket.leave_an_answer_unread();
            socket.send_bytes(&frame::masked(0x81, b"{\"event\":\"pusher:ping\"}")[..9]);
        }),
        ("a reset inside a fragmented message", |mut socket| {
            socket.leave_an_answer_unread();
            socket.send_frame(0x01, b"{\"event\"");
        }),
        ("TCP ended without a Close", |socket| socket.vanish()),
        ("half of TCP ended", |mut socket| {
            socket.stop_talking();
            socket.expect_end();
        }),
    ];
    for (ending, tear) in endings {
        let mut goes = target.connect();
        goes.subscribe_presence(&channel, ending, &json!(null));
        stays.expect_on(&channel, "pusher_internal:member_added");
        tear(goes);
        let removed = stays.expect_on(&channel, "pusher_internal:member_removed");
        assert_eq!(removed.decoded(), json!({ "user_id": ending }));
    }
}

/// A client that does not read what it subscribed to is ended when its share of memory is used up; others are
/// served meanwhile.
///
/// Proves: bad input.
#[test]
fn a_client_that_never_reads_does_not_grow_the_broker() {
    const EVENTS: usize = 60;
    const EVENT_BYTES: usize = 1 << 20;
    let Some(target) = Target::own(&format!(
        "[server]\nhttp_body_bytes = 4194304\n[connection]\noutbox_bytes = 2097152\n\
         {MAIN_APP}limits = {{ event_payload_bytes = {EVENT_BYTES} }}\n"
    )) else {
        return;
    };
    let channel = unique("room-");
    let mut deaf = target.connect();
    deaf.subscribe(&channel);
    let mut witness = target.connect();
    witness.subscribe(&channel);
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let before = resident();
    let payload = "p".repeat(EVENT_BYTES);
    for _ in 0..EVENTS {
        target.publish(&channel, "much", &payload);
        witness.expect_on(&channel, "much");
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        assert!(grown < 32 << 20, "the broker grew by {grown} bytes for 60 MiB that one client did not read");
    }
    // It finds what was on its way, and then the end.
    let mut read = 0;
    while let Incoming::Message(_) = deaf.receive() {
        read += 1;
    }
    assert!(read < EVENTS, "everything was kept for it");
}

/// One that was merely slow, and reads on, is told to come back later, in so many words.
///
/// Proves: 29.
#[test]
fn a_client_that_reads_too_late_is_told_4100() {
    let Some(target) = Target::own(&narrow_config("65536", "")) else { return };
    let mut late = target.connect();
    assert_closed_when_late(&target, &mut late);
}

/// An app may have bounds of its own, of bytes and of frames; and a connection that is open has them when it has said
/// something after the reload.
///
/// Proves: 29.
#[test]
fn an_app_may_bound_what_waits_for_its_clients_itself() {
    let wide = narrow_config("1000000000", "");
    let Some(target) = Target::own(&narrow_config("1000000000", "outbox_bytes = 65536")) else { return };
    assert_closed_when_late(&target, &mut target.connect());
    for bound in ["outbox_bytes = 65536", "outbox_frames = 1"] {
        let reload = |config: &str| {
            let reloaded = target.broker().unwrap().reload(config);
            assert!(reloaded.status.success(), "{reloaded:?}");
        };
        reload(&wide);
        let mut late = target.connect();
        reload(&narrow_config("1000000000", bound));
        late.send(&json!({ "event": "pusher:ping", "data": {} }));
        late.expect("pusher:pong");
        assert_closed_when_late(&target, &mut late);
    }
    let wrong = target.broker().unwrap().reload(&narrow_config("65536", "outbox_bytes = 1023"));
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    let expected =
        "limits.outbox_bytes must be an integer from 1024 to 1000000000, or 0 for that of the node, got 1023";
    assert!(complaint.contains(expected), "{complaint}");
}

/// Bytes of an event that no socket takes many of.
const MUCH: usize = 1 << 20;

/// A node with this bound, and an app with large events and more limits.
fn narrow_config(outbox_bytes: &str, limits: &str) -> String {
    let limits = format!("limits = {{ event_payload_bytes = {MUCH}, {limits} }}");
    format!(
        "[server]\nhttp_body_bytes = 4194304\n[connection]\noutbox_bytes = {outbox_bytes}\n{MAIN_APP}{limits}\n"
    )
}

/// Sends a client more than may wait for it before it reads anything.
#[track_caller]
fn assert_closed_when_late(target: &Target, late: &mut Socket) {
    let channel = unique("room-");
    late.subscribe(&channel);
    let payload = "p".repeat(MUCH);
    // The kernel takes some of them; sooner or later the broker has to keep one, and gives up at the next.
    eventually("the subscription ends", || {
        target.publish(&channel, "much", &payload);
        let channel = target.get(&format!("/channels/{channel}")).send();
        (channel.json()["occupied"] == json!(false)).then_some(())
    });
    let closed = loop {
        match late.receive() {
            Incoming::Message(message) => assert_eq!(message.event, "much"),
            Incoming::Close(closed) => break closed,
            other => late.fail(&format!("expected a Close, got {other:?}")),
        }
    };
    assert_eq!(closed.code, 4100, "{closed:?}");
}

/// A client that was told to go and does not, though it hears well, has its connection ended for it.
///
/// Proves: bad input.
#[test]
fn a_client_that_does_not_go_is_let_go_of() {
    /// The five seconds that a client has, and as many again for a machine that is busy.
    const LET_GO: Duration = Duration::from_secs(10);
    let Some(target) = Target::own(MAIN_APP) else { return };
    let open = || {
        // Each look asks the broker, and so paces itself.
        let _ = target.get("/channels").send();
        target.broker().and_then(|broker| broker.open_sockets())
    };
    let mut stays = target.connect();
    // Every worker has answered something, and opened what it needs for itself; a look may count itself, too.
    let warm: Vec<_> = (0..20).map(|_| open()).collect();
    let Some(Some(held)) = warm.into_iter().skip(10).min() else { return };
    stays.send_frame(0x82, b"binary");
    stays.expect_close_with(1003);
    let told = Instant::now();
    while open().is_some_and(|open| open >= held) {
        assert!(told.elapsed() < LET_GO, "it still has a connection after {:?}", told.elapsed());
    }
    assert!(told.elapsed() > Duration::from_secs(4), "it had only {:?}", told.elapsed());
    drop(stays);
}
