//! Conditions in JSON, and when they hold.

use serde_json::{Value, json};

use super::*;
use crate::test_mode::entry::{Details, Kind};
use crate::test_mode::log::EventLog;

#[derive(Default)]
struct Fixed {
    subscribers: usize,
    members: Vec<&'static str>,
}

impl View for Fixed {
    fn subscribers(&self, _: &str) -> usize {
        self.subscribers
    }

    fn members(&self, _: &str) -> BTreeSet<String> {
        self.members.iter().map(|id| (*id).to_owned()).collect()
    }

    fn signed_in(&self, user_id: &str) -> usize {
        usize::from(user_id == "ann")
    }

    fn connections(&self) -> usize {
        3
    }

    fn channels(&self) -> Vec<(String, usize)> {
        vec![("presence-room".to_owned(), self.subscribers)]
    }

    fn users(&self) -> BTreeSet<String> {
        ["annabel".to_owned()].into()
    }
}

fn parsed(json: Value) -> Condition {
    Condition::parse(&json).unwrap()
}

fn delivered(log: &EventLog, socket: &str, name: &str) {
    let details = Details { socket_id: Some(socket.into()), name: Some(name.into()), ..Details::default() };
    log.write(Kind::Delivered, details);
}

#[test]
fn conditions_of_the_state_follow_it() {
    let log = EventLog::default();
    let view = Fixed { subscribers: 2, members: vec!["bob", "ann"] };
    let cases = [
        (json!({ "type": "subscribers", "channel": "room", "count": 2 }), Verdict::Met),
        (json!({ "type": "subscribers", "channel": "room", "count": 1 }), Verdict::NotYet),
        (json!({ "type": "members", "channel": "presence-room", "count": 2 }), Verdict::Met),
        (json!({ "type": "members", "channel": "presence-room", "user_ids": ["ann", "bob"] }), Verdict::Met),
        (json!({ "type": "members", "channel": "presence-room", "user_ids": ["ann"] }), Verdict::NotYet),
        (json!({ "type": "signed_in", "user_id": "ann" }), Verdict::Met),
        (json!({ "type": "signed_in", "user_id": "ann", "connections": 0 }), Verdict::NotYet),
        (json!({ "type": "signed_in", "user_id": "bob", "connections": 0 }), Verdict::Met),
        (json!({ "type": "connections", "count": { "at_least": 3 } }), Verdict::Met),
    ];
    for (json, verdict) in cases {
        assert_eq!(Watch::new(parsed(json.clone()), 0).look(&view, &log), verdict, "{json}");
    }
}

#[test]
fn entries_are_counted_as_they_come() {
    let log = EventLog::default();
    let view = Fixed::default();
    let json = json!({ "type": "delivered", "name": "message", "count": 2 });
    let mut watch = Watch::new(parsed(json), log.last());
    assert_eq!(watch.look(&view, &log), Verdict::NotYet);
    delivered(&log, "1.1", "message");
    delivered(&log, "1.1", "other");
    assert_eq!(watch.look(&view, &log), Verdict::NotYet);
    delivered(&log, "1.2", "message");
    assert_eq!(watch.look(&view, &log), Verdict::Met);
    delivered(&log, "1.3", "message");
    assert_eq!(watch.look(&view, &log), Verdict::Never, "more than two it will always be");
    assert_eq!((watch.found(), watch.entries().len()), (&json!(3), 3));
}

#[test]
fn connections_can_be_counted_in_place_of_deliveries() {
    let log = EventLog::default();
    let json = json!({ "type": "delivered", "sockets": 2, "after": 1 });
    for socket in ["1.0", "1.1", "1.1", "1.2"] {
        delivered(&log, socket, "message");
    }
    assert_eq!(Watch::new(parsed(json), log.last()).look(&Fixed::default(), &log), Verdict::Met);
    let none = json!({ "type": "delivered", "name": "other", "sockets": 0 });
    assert_eq!(Watch::new(parsed(none), log.last()).look(&Fixed::default(), &log), Verdict::Met);
}

#[test]
fn nothing_is_about_what_is_yet_to_come() {
    let log = EventLog::default();
    delivered(&log, "1.1", "message");
    let json = json!({ "type": "nothing", "for_ms": 50, "filter": { "type": "delivered" } });
    let mut watch = Watch::new(parsed(json), log.last());
    assert_eq!(
        (watch.look(&Fixed::default(), &log), watch.span()),
        (Verdict::Met, Duration::from_millis(50))
    );
    delivered(&log, "1.1", "message");
    assert_eq!(watch.look(&Fixed::default(), &log), Verdict::Never);
}

#[test]
fn what_is_no_condition_is_explained() {
    let cases = [
        (json!(7), "got 7"),
        (json!({}), "got none"),
        (json!({ "type": "subscriber" }), "got \"subscriber\"; did you mean \"subscribers\"?"),
        (json!({ "type": "zzz" }), "got \"zzz\""),
        (json!({ "type": "subscribers", "count": 1 }), "\"channel\" is missing"),
        (
            json!({ "type": "subscribers", "chanel": "a", "count": 1 }),
            "\"channel\" is missing; did you mean it by \"chanel\"?",
        ),
        (json!({ "type": "subscribers", "channel": "a", "count": "x" }), "\"count\": expected a number"),
        (
            json!({ "type": "subscribers", "channel": "a", "count": 1, "chanel": 1 }),
            "unknown member \"chanel\"; did you mean \"channel\"?",
        ),
        (json!({ "type": "event", "event": "x" }), "unknown field `event`"),
        (json!({ "type": "event", "chanel": "x" }), "did you mean \"channel\"?"),
        (json!({ "type": "event", "sokets": 1 }), "did you mean \"sockets\"?"),
        (json!({ "type": "event", "data": [{ "equal": 1 }] }), "did you mean \"equals\"?"),
        (json!({ "type": "logged", "filter": { "user": "x" } }), "did you mean \"user_id\"?"),
        (json!({ "type": "logged", "filter": { "type": "subscribe" } }), "did you mean \"subscribed\"?"),
        (json!({ "type": "nothing", "for_ms": 1, "filtr": {} }), "did you mean \"filter\"?"),
        (json!({ "type": "event", "data": [{ "path": "a..b" }] }), "expected a JSON path"),
        (json!({ "type": "nothing" }), "\"for_ms\" is missing"),
    ];
    for (json, expected) in cases {
        let error = Condition::parse(&json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn an_outcome_is_told_in_words() {
    let log = EventLog::default();
    let json = json!({ "type": "subscribers", "channel": "room", "count": 2 });
    let mut watch = Watch::new(parsed(json), 0);
    watch.look(&Fixed::default(), &log);
    let told = format!("expected {}, {}", watch.expected(), watch.found_in_words());
    assert_eq!(told, r#"expected "room" to have exactly 2 subscribers, it has 0"#);
}

/// What the condition was nearly met by, once it has been looked at.
fn near(json: Value, log: &EventLog) -> Vec<String> {
    let view = Fixed { subscribers: 2, members: vec!["ann"] };
    let mut watch = Watch::new(parsed(json), 0);
    watch.look(&view, log);
    watch.near(&view, log)
}

#[test]
fn a_mistyped_name_is_seen() {
    let log = EventLog::default();
    let near = |json| near(json, &log);
    let room = "\"presence-room\" has 2 subscribed, 1 members";
    assert_eq!(near(json!({ "type": "subscribers", "channel": "presence-roon", "count": 1 })), [room]);
    assert_eq!(near(json!({ "type": "members", "channel": "presence-roon", "count": 1 })), [room]);
    assert!(near(json!({ "type": "subscribers", "channel": "news", "count": 1 })).is_empty());
    assert_eq!(near(json!({ "type": "signed_in", "user_id": "anabel" })).len(), 1);
}

#[test]
fn entries_that_lack_the_least_are_near() {
    let log = EventLog::default();
    let event = |channel: &str, name: &str, data: &str| {
        let details = Details {
            channel: Some(channel.into()),
            name: Some(name.into()),
            data: Some(data.into()),
            ..Details::default()
        };
        log.write(Kind::Event, details);
    };
    event("room", "message", "{\"n\":1}");
    event("roon", "message", "{\"n\":2}");
    event("news", "other", "{\"n\":3}");
    log.write(Kind::GaveUp, Details { channel: Some("room".into()), ..Details::default() });
    let wanted = json!({
        "type": "event", "channel": "room", "name": "message", "data": [{ "path": "n", "equals": 2 }],
    });
    let lines = near(wanted, &log);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("{\"n\":1} (another data)"), "{lines:?}");
    assert!(lines[1].ends_with("{\"n\":2} (another channel)"), "{lines:?}");
    let delivered = near(json!({ "type": "delivered", "channel": "news" }), &log);
    assert!(delivered.len() == 1 && delivered[0].ends_with("(of type event)"), "{delivered:?}");
    let earlier = near(json!({ "type": "event", "channel": "room", "after": 1 }), &log);
    assert!(earlier.iter().any(|line| line.ends_with("(it is entry 1, not after 1)")), "{earlier:?}");
    let bare = near(json!({ "type": "event", "after": 3 }), &log);
    assert!(bare.len() == 3 && bare[2].ends_with("(it is entry 3, not after 3)"), "{bare:?}");
    assert!(near(json!({ "type": "refused", "code": 4009, "status": 401 }), &log).is_empty());
}

#[test]
fn a_wait_that_was_given_up_is_nothing_that_happened() {
    let log = EventLog::default();
    let mut quiet = Watch::new(parsed(json!({ "type": "nothing", "for_ms": 1 })), 0);
    log.write(Kind::GaveUp, Details::default());
    assert_eq!(quiet.look(&Fixed::default(), &log), Verdict::Met);
    let named = json!({ "type": "logged", "filter": { "type": "gave_up" } });
    assert_eq!(Watch::new(parsed(named), 0).look(&Fixed::default(), &log), Verdict::Met);
}
