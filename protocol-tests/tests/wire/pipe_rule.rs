//! Pipe rules: what clients of 2011 sent to a backend, and what today's send as client events, goes on to another
//! channel inside the broker.

use heliostat_protocol_tests::{Shared, Socket, Target, picture, unique};
use serde_json::{Value, json};

use crate::keys;

/// The payload of a rule that changes nothing goes on as it came: text as that text, anything else as its JSON.
///
/// Proves: 116, 117, pipe rules.
#[test]
pub(crate) fn payloads_go_on_unchanged() {
    let Some(mut line) = Line::open("stream-", "mirror-") else { return };
    for text in ["plain", "", "{\"a\": 1}", "line\nbreak \"quoted\" é 📷 \u{0}"] {
        line.say("frame", &json!(text));
        assert_eq!(line.hear("frame").data, json!(text));
    }
    for value in
        [json!({}), json!([1, "two", null]), json!(17), json!(true), json!(null), json!({ "a": { "b": [] } })]
    {
        line.say("frame", &value);
        assert_eq!(line.hear("frame").decoded(), value);
    }
    // A number that no machine holds is nobody's business.
    let channel = line.from.clone();
    line.sender
        .send_text(&format!(r#"{{"event":"frame","channel":"{channel}","data":{{"n":1e400,"n":2e400}}}}"#));
    assert_eq!(line.hear("frame").data, json!(r#"{"n":1e400,"n":2e400}"#));
}

/// A rule may send under another name.
///
/// Proves: pipe rules.
#[test]
fn as_renames_the_event() {
    let Some(mut line) = Line::open("renamed-", "mirror-") else { return };
    line.say("frame", &json!({ "a": 1 }));
    assert_eq!(line.hear("picture").decoded(), json!({ "a": 1 }));
}

/// A rule may add members to an object; any other payload has no members and stays as it is.
///
/// Proves: pipe rules.
#[test]
pub(crate) fn add_merges_members_into_objects() {
    let Some(mut line) = Line::open("adding-", "mirror-") else { return };
    line.say("frame", &json!({ "dataUrl": "data:", "depth": 1 }));
    let merged = json!({ "dataUrl": "data:", "message": "Sending frame", "depth": 3 });
    assert_eq!(line.hear("frame").decoded(), merged);
    line.say("frame", &json!({}));
    assert_eq!(line.hear("frame").decoded(), json!({ "message": "Sending frame", "depth": 3 }));
    for other in [json!([1, 2]), json!(7), json!(null)] {
        line.say("frame", &other);
        assert_eq!(line.hear("frame").decoded(), other);
    }
    line.say("frame", &json!("text"));
    assert_eq!(line.hear("frame").data, json!("text"));
}

/// A rule may keep only some members of an object.
///
/// Proves: pipe rules.
#[test]
fn pick_keeps_only_the_named_members() {
    let Some(mut line) = Line::open("picking-", "mirror-") else { return };
    line.say("frame", &json!({ "secret": "x", "dataUrl": { "deep": [1, 2] }, "other": 1 }));
    assert_eq!(line.hear("frame").decoded(), json!({ "dataUrl": { "deep": [1, 2] } }));
    line.say("frame", &json!({ "secret": "x" }));
    assert_eq!(line.hear("frame").decoded(), json!({}));
    line.say("frame", &json!("text"));
    assert_eq!(line.hear("frame").data, json!("text"));
}

/// Both together: first members are kept, then members are added.
///
/// Proves: pipe rules.
#[test]
fn pick_and_add_together() {
    let Some(mut line) = Line::open("shaping-", "mirror-") else { return };
    line.say("frame", &json!({ "dataUrl": "data:", "message": "forged", "junk": 1 }));
    assert_eq!(line.hear("frame").decoded(), json!({ "dataUrl": "data:", "message": "Sending frame" }));
}

/// What the star of the source matched stands in the target; the empty text matches too.
///
/// Proves: pipe rules.
#[test]
fn the_star_carries_over() {
    let Some(target) = Target::shared(Shared::Piped) else { return };
    let (mut sender, mut mirror) = (target.connect(), target.connect());
    let tag = unique("t");
    for tag in [tag.as_str(), "", "a-b,c.d;e=f@g_h"] {
        let (from, to) = (format!("stream-{tag}"), format!("mirror-{tag}"));
        sender.subscribe(&from);
        mirror.subscribe(&to);
        sender.trigger(&from, "frame", &json!(1));
        mirror.expect_on(&to, "frame");
    }
    // A target that would be too long is no channel: nothing is sent there, and nothing breaks.
    let long = format!("every-{}", "x".repeat(164 - "every-".len()));
    sender.subscribe(&long);
    sender.trigger(&long, "frame", &json!(1));
    sender.assert_silence();
}

/// A rule with `*` as its event hears every event, but nothing that belongs to the protocol.
///
/// Proves: 49, 121, pipe rules.
#[test]
fn a_rule_for_every_event_hears_no_protocol_events() {
    let Some(mut line) = Line::open("every-", "mirror-") else { return };
    for event in ["frame", "anything at all", "pusher-auth-request", "pusherx", "é 📷"] {
        line.say(event, &json!({ "n": 1 }));
        assert_eq!(line.hear(event).decoded(), json!({ "n": 1 }));
    }
    for event in ["pusher:hello", "pusher_internal:hello", "pusher:error"] {
        line.say(event, &json!({}));
        line.sender.expect_error(None, &format!("Unsupported event received on socket: {event}"));
    }
    // Names with the prefix are client events, which a public channel does not take.
    line.say("client-x", &json!({}));
    let refusal = "Client event rejected - only supported on private and presence channels";
    line.sender.expect_error(None, refusal);
    line.expect_quiet();
}

/// What no rule names is as unsupported as in an app without rules.
///
/// Proves: 49, 50.
#[test]
pub(crate) fn what_no_rule_hears_is_unsupported() {
    let Some(mut line) = Line::open("stream-", "mirror-") else { return };
    let (to, from) = (line.to.clone(), line.from.clone());
    for event in ["Frame", "frames", "picture", "frame "] {
        line.say(event, &json!({}));
        line.sender.expect_error(None, &format!("Unsupported event received on socket: {event}"));
    }
    // Neither may a client speak on the target, nor without a channel, nor on what only looks like the source.
    line.sender.subscribe(&to);
    let frames = [
        json!({ "event": "frame", "channel": to, "data": {} }),
        json!({ "event": "frame", "data": {} }),
        json!({ "event": "frame", "channel": from.to_uppercase(), "data": {} }),
        json!({ "event": "frame", "channel": ["stream"], "data": {} }),
        json!({ "event": "frame", "channel": format!("x{from}"), "data": {} }),
        json!({ "event": "frame", "channel": format!("private-{from}"), "data": {} }),
    ];
    for frame in frames {
        line.sender.send(&frame);
        line.sender.expect_error(None, "Unsupported event received on socket: frame");
    }
    line.expect_quiet();
}

/// Whoever speaks on a channel is subscribed to it.
///
/// Proves: 122, pipe rules.
#[test]
fn the_sender_must_be_subscribed() {
    let Some(mut line) = Line::open("stream-", "mirror-") else { return };
    line.sender.unsubscribe(&line.from);
    line.say("frame", &json!({}));
    let from = &line.from;
    let refusal = format!("Cannot broadcast client event (connection not subscribed to channel {from})");
    line.sender.expect_error(None, &refusal);
    line.expect_quiet();
}

/// The rate of client events does not bind what only a pipe hears; the order is kept.
///
/// Proves: pipe rules.
#[test]
fn there_is_no_rate_limit_and_the_order_is_kept() {
    let Some(mut line) = Line::open("stream-", "mirror-") else { return };
    let frames: Vec<String> = (0..200)
        .map(|n| json!({ "event": "frame", "channel": line.from, "data": { "n": n } }).to_string())
        .collect();
    line.sender.send_together(frames.iter().map(String::as_str));
    for n in 0..200 {
        assert_eq!(line.hear("frame").decoded(), json!({ "n": n }));
    }
    line.sender.assert_silence();
}

/// It does bind client events, which are forwarded only if they are accepted.
///
/// Proves: 120, 124, 127, pipe rules.
#[test]
fn a_rejected_client_event_is_not_forwarded() {
    let Some(mut line) = Line::open_private("private-stream-", "private-mirror-") else { return };
    line.say("client-frame", &json!("x".repeat(10_241)));
    line.sender.expect_some_error(Some(4301));
    let frame = json!({ "event": "client-frame", "channel": line.from, "data": 1 }).to_string();
    line.sender.send_together(std::iter::repeat_n(frame.as_str(), 40));
    let rejected = line.sender.drain().len();
    assert!(rejected > 0, "the flood was not stopped");
    for _ in 0..40 - rejected {
        line.hear("client-frame");
    }
    line.expect_quiet();
}

/// What only a pipe hears may have a megabyte of payload; more is answered, and the connection stays.
///
/// Proves: 33, pipe rules.
#[test]
fn a_frame_over_a_megabyte_is_rejected_with_4301() {
    const LIMIT: usize = 1 << 20;
    let Some(mut line) = Line::open("stream-", "mirror-") else { return };
    line.say("frame", &json!(picture(1, LIMIT)));
    assert_eq!(line.hear("frame").data, json!(picture(1, LIMIT)));
    line.say("frame", &json!(picture(2, LIMIT + 1)));
    line.sender.expect_some_error(Some(4301));
    line.expect_quiet();
}

/// Forwarded events name nobody, also if a presence member sent them.
///
/// Proves: 118, pipe rules.
#[test]
fn a_presence_members_event_is_forwarded_without_its_name() {
    let Some(target) = Target::shared(Shared::Piped) else { return };
    let tag = unique("");
    let (from, to) = (format!("presence-stream-{tag}"), format!("mirror-{tag}"));
    let (mut sender, mut other, mut mirror) = (target.connect(), target.connect(), target.connect());
    other.subscribe_presence(&from, "other", &json!(null));
    sender.subscribe_presence(&from, "sender", &json!(null));
    other.expect_on(&from, "pusher_internal:member_added");
    mirror.subscribe(&to);
    sender.trigger(&from, "client-frame", &json!({ "n": 1 }));
    assert_eq!(other.expect_on(&from, "client-frame").whole["user_id"], json!("sender"));
    assert_eq!(keys(&mirror.expect_on(&to, "client-frame").whole), ["channel", "data", "event"]);
}

/// A rule hears clients unless it says otherwise, and the backend only if it says so.
///
/// Proves: 50, pipe rules.
#[test]
fn a_rule_hears_the_sources_it_names() {
    let Some(mut clients) = Line::open("stream-", "mirror-") else { return };
    clients.target.publish(&clients.from, "frame", "published");
    clients.expect_quiet();

    let Some(mut backend) = Line::open("published-", "mirror-") else { return };
    backend.target.publish(&backend.from, "frame", "published");
    assert_eq!(backend.hear("frame").data, json!("published"));
    backend.sender.expect_on(&backend.from, "frame");
    backend.say("frame", &json!({}));
    backend.sender.expect_error(None, "Unsupported event received on socket: frame");
    backend.expect_quiet();

    let Some(mut both) = Line::open("anyway-", "mirror-") else { return };
    both.target.publish(&both.from, "frame", "published");
    assert_eq!(both.hear("frame").data, json!("published"));
    both.say("frame", &json!("said"));
    assert_eq!(both.hear("frame").data, json!("said"));
}

/// Every rule that hears an event sends it.
///
/// Proves: pipe rules.
#[test]
fn several_rules_hear_one_event() {
    let Some(target) = Target::shared(Shared::Piped) else { return };
    let tag = unique("");
    let mut sender = target.connect();
    sender.subscribe(&format!("forked-{tag}"));
    let mut ends: Vec<(String, Socket)> =
        ["left", "right"].map(|side| (format!("{side}-{tag}"), target.connect())).into();
    ends.iter_mut().for_each(|(channel, socket)| socket.subscribe(channel));
    sender.trigger(&format!("forked-{tag}"), "frame", &json!(1));
    for (channel, socket) in &mut ends {
        socket.expect_on(channel, "frame");
        target.assert_nothing_published(socket, channel);
    }
}

/// What a pipe sends is heard by no rule: a chain stops after its first link, and a circle turns once.
///
/// Proves: pipe rules.
#[test]
fn no_rule_hears_what_a_rule_sent() {
    let Some(target) = Target::shared(Shared::Piped) else { return };
    let tag = unique("");
    let name = |word: &str| format!("{word}-{tag}");
    let (mut sender, mut listener) = (target.connect(), target.connect());
    sender.subscribe(&name("chain-a"));
    listener.subscribe(&name("chain-b"));
    listener.subscribe(&name("chain-c"));
    sender.trigger(&name("chain-a"), "frame", &json!(1));
    listener.expect_on(&name("chain-b"), "frame");
    target.publish(&name("chain-a"), "frame", "2");
    assert_eq!(listener.expect_on(&name("chain-b"), "frame").data, json!("2"));
    // The second link works, but only for what was said to it.
    target.assert_nothing_published(&mut listener, &name("chain-c"));

    let (mut sender, mut listener) = (target.connect(), target.connect());
    for socket in [&mut sender, &mut listener] {
        socket.subscribe(&name("circle"));
    }
    sender.trigger(&name("circle"), "frame", &json!(1));
    assert_eq!(listener.expect_on(&name("circle"), "frame").data, json!("1"));
    target.assert_nothing_published(&mut listener, &name("circle"));
}

/// A sender subscribed to a rule's source and a listener subscribed to its target, both under a name of this
/// test's own.
struct Line {
    target: Target,
    from: String,
    to: String,
    sender: Socket,
    mirror: Socket,
}

impl Line {
    fn open(from: &str, to: &str) -> Option<Line> {
        let mut line = Line::between(from, to)?;
        line.sender.subscribe(&line.from);
        line.mirror.subscribe(&line.to);
        Some(line)
    }

    fn open_private(from: &str, to: &str) -> Option<Line> {
        let mut line = Line::between(from, to)?;
        line.sender.subscribe_private(&line.from);
        line.mirror.subscribe_private(&line.to);
        Some(line)
    }

    fn between(from: &str, to: &str) -> Option<Line> {
        let target = Target::shared(Shared::Piped)?;
        let tag = unique("");
        let (sender, mirror) = (target.connect(), target.connect());
        Some(Line { target, from: format!("{from}{tag}"), to: format!("{to}{tag}"), sender, mirror })
    }

    #[track_caller]
    fn say(&mut self, event: &str, data: &Value) {
        self.sender.trigger(&self.from, event, data);
    }

    #[track_caller]
    fn hear(&mut self, event: &str) -> heliostat_protocol_tests::Message {
        self.mirror.expect_on(&self.to, event)
    }

    /// Nothing else came out at the far end, and nothing at all was said to the sender.
    #[track_caller]
    fn expect_quiet(&mut self) {
        // Once the sender's ping is answered, all it said has been handled.
        for message in self.sender.drain() {
            assert!(message.event != "pusher:error", "{}", message.whole);
        }
        self.target.assert_nothing_published(&mut self.mirror, &self.to);
    }
}
