//! Joins that are answered later.

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::channel::Wanted;
use crate::connection::pending::MAX_HELD_MESSAGES;
use crate::protocol::{BinaryPayload, Rewind};

const TRIGGER: &str = r#"{"event":"client-x","channel":"private-a","data":1}"#;
const NOT_SUBSCRIBED: &str =
    "refuse null Cannot broadcast client event (connection not subscribed to channel private-a)";
const BROADCAST: &str = r#"broadcast client-x on private-a by -: "1""#;

fn waiting(change: impl FnOnce(&mut App)) -> Subject {
    let mut subject = Subject::new(change);
    subject.waiting = Some(Vec::new());
    subject
}

impl Subject {
    /// The oldest join that waits for an answer.
    fn asked(&mut self) -> Join {
        self.waiting.as_mut().expect("joins wait").remove(0)
    }

    fn unsubscribe(&mut self, channel: &str) -> String {
        self.say(&format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"{channel}"}}}}"#))
    }
}

#[test]
fn there_is_a_subscription_when_the_join_is_answered_and_events_wait_for_it() {
    let mut subject = waiting(|_| {});
    assert_eq!(subject.subscribe("private-a", None), "join private-a");
    let again = subject.subscribe("private-a", None);
    assert_eq!(again, "refuse null Existing subscription to channel private-a");
    assert_eq!(subject.say(TRIGGER), "", "it is held");
    let elsewhere = subject.say(&TRIGGER.replace("private-a", "private-b"));
    assert_eq!(elsewhere, NOT_SUBSCRIBED.replace("private-a", "private-b"));
    assert!(subject.say(r#"{"event":"pusher:ping"}"#).starts_with("send"));
    let reserved = subject.say(r#"{"event":"pusher:x","channel":"private-a"}"#);
    assert_eq!(reserved, "refuse null Unsupported event received on socket: pusher:x");
    let join = subject.asked();
    assert_eq!(subject.answer(&join, Ok(())), [BROADCAST]);
    assert_eq!(subject.say(TRIGGER), BROADCAST, "nothing is held any more");
    assert_eq!(subject.answer(&join, Ok(())), [""; 0], "once is enough");
    assert_eq!(subject.unsubscribe("private-a"), "leave private-a");
}

#[test]
fn events_for_the_pipe_and_binary_ones_wait_too() {
    let mut subject = waiting(|app| app.limits.binary_message_bytes = 1000);
    subject.pipe = true;
    subject.say(r#"{"event":"pusher:subscribe","data":{"channel":"stream"}}"#);
    assert_eq!(subject.say(r#"{"event":"frame","channel":"stream","data":1}"#), "");
    assert!(subject.say(r#"{"event":"hello"}"#).starts_with("pipe hello on -"), "it is for no channel");
    let payload = BinaryPayload::new("image/jpeg", "", b"picture").unwrap();
    let mut message = Vec::new();
    BinaryMessage { channel: Some("stream"), event: "frame", user_id: None, payload }.encode(&mut message);
    let action = subject.connection.receive_binary(&message, subject.now, &|_, _| true, &|_| false);
    assert!(action.is_none(), "{action:?}");
    let join = subject.asked();
    let done = subject.answer(&join, Ok(()));
    assert_eq!(done.len(), 2);
    assert!(done.iter().all(|event| event.starts_with("pipe frame on stream by -")), "{done:?}");
}

#[test]
fn an_unsubscribe_cancels_a_join_and_what_waits_for_it() {
    let mut subject = waiting(|_| {});
    subject.subscribe("private-a", None);
    assert_eq!(subject.say(TRIGGER), "");
    assert_eq!(subject.unsubscribe("private-a"), "leave private-a");
    assert_eq!(subject.say(TRIGGER), NOT_SUBSCRIBED);
    let first = subject.asked();
    subject.subscribe("private-a", None);
    let second = subject.asked();
    assert_eq!(subject.answer(&first, Ok(())), [""; 0], "this answers the join that was cancelled");
    assert_eq!(subject.say(TRIGGER), "");
    assert_eq!(subject.answer(&second, Ok(())), [BROADCAST]);
    assert_eq!(subject.connection.disconnect(Ending::Lost).subscriptions, [second.channel]);
}

#[test]
fn a_disconnect_cancels_what_waits() {
    let mut subject = waiting(|_| {});
    subject.subscribe("private-a", None);
    let (settled, waits) = (subject.asked(), {
        subject.subscribe("private-b", None);
        subject.asked()
    });
    assert_eq!(subject.answer(&settled, Ok(())), [""; 0]);
    let cleanup = subject.connection.disconnect(Ending::Lost);
    assert_eq!(cleanup.subscriptions, [settled.channel, waits.channel.clone()]);
    let late = subject.connection.joined(&waits.channel, waits.number, Ok(()));
    assert!(late.action.is_none() && late.held.is_empty());
    assert_eq!(subject.connection.disconnect(Ending::Lost).subscriptions.len(), 0);
}

#[test]
fn a_refused_join_leaves_the_connection_unsubscribed() {
    let mut subject = waiting(|_| {});
    subject.subscribe("presence-a", Some(r#"{"user_id":"u1"}"#));
    let event = TRIGGER.replace("private-a", "presence-a");
    assert_eq!(subject.say(&event), "");
    let join = subject.asked();
    let refused = NotJoined::Refused(JoinRefused::OverCapacity);
    let Answered { action, held } = subject.connection.joined(&join.channel, join.number, Err(refused));
    let Some(Action::Refuse(refusal)) = action else { panic!("{action:?}") };
    assert_eq!(refusal.message, "Presence channel presence-a is over capacity");
    assert_eq!(refusal.frames(true, None).count(), 2);
    assert_eq!(refusal.frames(false, None).count(), 1);
    assert_eq!(held.len(), 1);
    assert_eq!(subject.say(&event), NOT_SUBSCRIBED.replace("private-a", "presence-a"));
    assert_eq!(subject.connection.disconnect(Ending::Lost).subscriptions.len(), 0);
}

#[test]
fn a_join_carries_what_is_wanted_of_the_history() {
    let mut subject = waiting(|_| {});
    let mut wanted = |rewind: &str| {
        let data = format!(r#"{{"channel":"news","rewind":{rewind}}}"#);
        let said = subject.say(&format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#));
        assert_eq!(said, "join news", "{rewind}");
        subject.unsubscribe("news");
        subject.asked().wanted.map(|wanted| *wanted)
    };
    assert_eq!(wanted("null"), None);
    assert_eq!(wanted(r#"{"events":20}"#), Some(Wanted::Last(Rewind::Events(20))));
    assert_eq!(wanted(r#"{"seconds":30}"#), Some(Wanted::Last(Rewind::Seconds(30))));
    let bad = r#"{"event":"pusher:subscribe","data":{"channel":"news","rewind":{"events":0}}}"#;
    let said = subject.say(bad);
    assert!(said.starts_with("refuse null Expected parameter data.rewind to be"), "{said}");
    assert!(said.ends_with(r#"got {"events":0}"#), "{said}");
    assert!(subject.unsubscribe("news").starts_with("refuse"), "nothing was asked for");
}

#[test]
fn an_app_without_room_ends_the_connection_that_had_to_authorize_itself() {
    let mut subject = waiting(|app| app.authorized_connections = true);
    subject.connection.must_authorize_by(subject.now + Duration::from_secs(30));
    subject.subscribe("private-a", None);
    let join = subject.asked();
    assert!(join.authorizes);
    assert_eq!(subject.answer(&join, Err(NotJoined::AppFull)), ["close 4004"]);
    assert!(subject.connection.is_unauthorized());
    assert_eq!(subject.connection.disconnect(Ending::Lost).subscriptions.len(), 0);
}

#[test]
fn joins_that_wait_count_as_subscriptions() {
    let mut subject = waiting(|app| app.limits.subscriptions_per_connection = 2);
    subject.subscribe("private-a", None);
    subject.subscribe("private-b", None);
    let join = subject.asked();
    subject.answer(&join, Ok(()));
    let third = subject.subscribe("private-c", None);
    assert!(third.contains("2 subscriptions per connection are allowed"), "{third}");
    subject.unsubscribe("private-b");
    assert_eq!(subject.subscribe("private-c", None), "join private-c");
}

#[test]
fn no_more_is_held_than_is_allowed() {
    let mut subject = waiting(|app| app.limits.client_events_per_second = 0);
    subject.subscribe("private-a", None);
    for _ in 0..MAX_HELD_MESSAGES {
        assert_eq!(subject.say(TRIGGER), "");
    }
    assert_eq!(subject.say(TRIGGER), NOT_SUBSCRIBED);
    let join = subject.asked();
    assert_eq!(subject.answer(&join, Ok(())), vec![BROADCAST; MAX_HELD_MESSAGES]);
}

/// The limit judges an event by when it came.
#[test]
fn events_that_wait_are_no_burst() {
    let mut subject = waiting(|app| app.limits.client_events_per_second = 10);
    subject.subscribe("private-a", None);
    for _ in 0..20 {
        assert_eq!(subject.say(TRIGGER), "");
        subject.now += Duration::from_millis(100);
    }
    let join = subject.asked();
    assert_eq!(subject.answer(&join, Ok(())), vec![BROADCAST; 20]);
}

#[test]
fn the_own_channel_of_a_user_is_asked_for_twice_and_joined_once() {
    let mut subject = waiting(|_| {});
    let user_data = r#"{"id":"ann"}"#;
    let signed = crate::auth::user::string_to_sign(SocketId::new(1, 2), user_data);
    let auth = format!("app-key:{}", sign(&Secret::new("app-secret"), &signed));
    let data = serde_json::json!({"auth": auth, "user_data": user_data});
    subject.say(&serde_json::json!({"event": "pusher:signin", "data": data}).to_string());
    let own = r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-ann","auth":""}}"##;
    assert_eq!(subject.say(own), "join #server-to-user-ann");
    assert_eq!(subject.say(own), "", "the first one is confirmed soon");
    let join = subject.asked();
    subject.answer(&join, Ok(()));
    assert!(subject.say(own).contains("subscription_succeeded"));
}

/// One thing that happens to one of three channels.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Subscribe(usize),
    Unsubscribe(usize),
    Event(usize),
    /// The answer to one of the joins that were ever asked for and not answered, cancelled ones included.
    Answer {
        nth: usize,
        succeeds: bool,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..3_usize).prop_map(Happening::Subscribe),
        (0..3_usize).prop_map(Happening::Unsubscribe),
        (0..3_usize).prop_map(Happening::Event),
        (any::<usize>(), any::<bool>()).prop_map(|(nth, succeeds)| Happening::Answer { nth, succeeds }),
    ]
}

/// What ought to be of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    Pending { number: JoinNumber, held: usize },
    Subscribed,
}

proptest! {
    // A failure prints the shortest history that fails; nothing is written beside the sources.
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    /// Whatever is asked for, cancelled and answered in whatever order.
    #[test]
    fn a_subscription_is_what_was_asked_for_last_and_granted(history in prop::collection::vec(happening(), 1..60)) {
        const CHANNELS: [&str; 3] = ["private-a", "private-b", "private-c"];
        let mut subject = waiting(|app| app.limits.client_events_per_second = 0);
        let mut expected = [Expected::Nothing; 3];
        for happening in history {
            match happening {
                Happening::Subscribe(at) => {
                    let said = subject.subscribe(CHANNELS[at], None);
                    if expected[at] == Expected::Nothing {
                        prop_assert!(said.starts_with("join"), "{said}");
                        let number = subject.waiting.as_ref().unwrap().last().unwrap().number;
                        expected[at] = Expected::Pending { number, held: 0 };
                    } else {
                        prop_assert!(said.contains("Existing subscription"), "{said}");
                    }
                }
                Happening::Unsubscribe(at) => {
                    let said = subject.unsubscribe(CHANNELS[at]);
                    prop_assert_eq!(said.starts_with("leave"), expected[at] != Expected::Nothing);
                    expected[at] = Expected::Nothing;
                }
                Happening::Event(at) => {
                    let said = subject.say(&TRIGGER.replace("private-a", CHANNELS[at]));
                    match &mut expected[at] {
                        Expected::Nothing => prop_assert!(said.contains("not subscribed"), "{said}"),
                        Expected::Subscribed => prop_assert!(said.starts_with("broadcast"), "{said}"),
                        Expected::Pending { held, .. } if said.is_empty() => *held += 1,
                        Expected::Pending { .. } => prop_assert!(said.contains("not subscribed"), "{said}"),
                    }
                }
                Happening::Answer { nth, succeeds } => {
                    let waiting = subject.waiting.as_mut().unwrap();
                    if waiting.is_empty() {
                        continue;
                    }
                    let join = waiting.remove(nth % waiting.len());
                    let at = CHANNELS.iter().position(|name| *name == join.channel.as_str()).unwrap();
                    let refused = NotJoined::Refused(JoinRefused::OverCapacity);
                    let done = subject.answer(&join, if succeeds { Ok(()) } else { Err(refused) });
                    match expected[at] {
                        Expected::Pending { number, held } if number == join.number => {
                            prop_assert_eq!(done.len(), held + usize::from(!succeeds));
                            let sent = done.iter().filter(|said| said.starts_with("broadcast")).count();
                            prop_assert_eq!(sent, if succeeds { held } else { 0 });
                            expected[at] = if succeeds { Expected::Subscribed } else { Expected::Nothing };
                        }
                        _ => prop_assert_eq!(done.len(), 0, "it was cancelled"),
                    }
                }
            }
        }
        let left = subject.connection.disconnect(Ending::Lost).subscriptions.len();
        prop_assert_eq!(left, expected.iter().filter(|of| **of != Expected::Nothing).count());
    }
}
