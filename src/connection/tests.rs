//! The state machine stepped by hand.

use std::time::Duration;

use super::*;
use crate::app::Secret;
use crate::auth::{channel::string_to_sign, sign};
use crate::channel::JoinRefused;
use crate::event::AcceptedEvent;

mod joins;
mod track;

/// A connection with a driver that has every request granted at once.
struct Subject {
    connection: Connection,
    now: Instant,
    pipe: bool,
    /// Joins are not answered, but gathered here.
    waiting: Option<Vec<Join>>,
}

impl Subject {
    fn new(change: impl FnOnce(&mut App)) -> Self {
        let mut app = App::new("1", "app-key", "app-secret");
        app.client_events = true;
        change(&mut app);
        let now = Instant::now();
        let version = ProtocolVersion::NEWEST;
        let config = Arc::new(ConnectionConfig::default());
        let probe = Probe::ControlFrame;
        let id = SocketId::new(1, 2);
        let connection = Connection::new(Arc::new(app), config, id, version, probe, now);
        Subject { connection, now, pipe: false, waiting: None }
    }

    /// What the connection does about `text`, in short words.
    fn say(&mut self, text: &str) -> String {
        let pipe = self.pipe;
        let action = self.connection.receive(text, self.now, &|_, _| pipe);
        let in_short = action.as_ref().map(in_short).unwrap_or_default();
        match action {
            Some(Action::Join(join)) => match &mut self.waiting {
                Some(waiting) => waiting.push(join),
                None => assert_eq!(self.answer(&join, Ok(())), [""; 0]),
            },
            Some(Action::SignIn(sign_in)) => self.connection.signed_in(sign_in.user),
            _ => {}
        }
        in_short
    }

    /// Answers a join; what the connection does about it, and about what it has held.
    fn answer(&mut self, join: &Join, result: Result<(), NotJoined>) -> Vec<String> {
        let Answered { action, held } = self.connection.joined(&join.channel, join.number, result);
        let mut done: Vec<String> = action.iter().map(in_short).collect();
        for HeldMessage { message, received } in held {
            let listens = |_: Option<&str>, _: &str| self.pipe;
            let action = match &message {
                ReceivedMessage::Text(text) => self.connection.receive(text, received, &listens),
                ReceivedMessage::Binary(bytes) => {
                    self.connection.receive_binary(bytes, received, &listens, &|_| false)
                }
            };
            done.push(action.as_ref().map(in_short).unwrap_or_default());
        }
        done
    }

    fn subscribe(&mut self, channel: &str, channel_data: Option<&str>) -> String {
        let name = ChannelName::parse(channel, 164).unwrap();
        let signed = string_to_sign(SocketId::new(1, 2), &name, channel_data);
        let auth = format!("app-key:{}", sign(&Secret::new("app-secret"), &signed));
        let data = serde_json::json!({"channel": channel, "auth": auth, "channel_data": channel_data});
        self.say(&serde_json::json!({"event": "pusher:subscribe", "data": data}).to_string())
    }
}

fn in_short(action: &Action<'_>) -> String {
    match action {
        Action::Send(frame) => format!("send {}", String::from_utf8_lossy(frame.json())),
        Action::Ping => "ping".into(),
        Action::Refuse(refusal) => {
            let code = refusal.code.code().map_or("null".into(), |c| c.to_string());
            format!("refuse {code} {}", refusal.message)
        }
        Action::Join(Join { channel, member: None, .. }) => format!("join {channel}"),
        Action::Join(Join { channel, member: Some(member), .. }) => {
            format!("join {channel} as {}", member.user_id)
        }
        Action::Leave(channel) => format!("leave {channel}"),
        Action::SignIn(sign_in) => {
            format!("sign in {}: {}", sign_in.user.id(), String::from_utf8_lossy(sign_in.answer.json()))
        }
        Action::Accept(event) => event_in_short(event),
        Action::Watch(request) => format!("watch {request:?}"),
        Action::Authorize => "authorize".into(),
        Action::Close(code) => format!("close {}", code.code()),
    }
}

fn event_in_short(event: &AcceptedEvent<'_>) -> String {
    let to = match event.to {
        Destination::Subscribers { except, .. } => {
            assert_eq!(except, event.source.socket_id(), "its sender is not sent it");
            "broadcast"
        }
        Destination::Listeners { .. } => "pipe",
        Destination::Connection(_) => panic!("no client sends to a connection: {event:?}"),
    };
    let channel = event.channel().map_or("-", ChannelName::as_str);
    let user = event.source.user_id().map_or("-", |user_id| user_id);
    format!("{to} {} on {channel} by {user}: {}", event.name, event.data.literal())
}

#[test]
fn commands_become_actions() {
    let mut subject = Subject::new(|_| {});
    assert_eq!(subject.say(r#"{"event":"pusher:ping"}"#), r#"send {"event":"pusher:pong","data":"{}"}"#);
    assert_eq!(subject.say(r#"{"event":"pusher:pong","data":null}"#), "");
    assert_eq!(subject.say(r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":""}}"#), "join a");
    let again = subject.say(r#"{"event":"pusher:subscribe","data":{"channel":"a"}}"#);
    assert_eq!(again, "refuse null Existing subscription to channel a");
    assert_eq!(subject.say(r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#), "leave a");
    let again = subject.say(r#"{"event":"pusher:unsubscribe","data":{"channel":"a"}}"#);
    assert_eq!(again, "refuse null No current subscription to channel a, or subscription in progress");
    let own = subject.say(r##"{"event":"pusher:unsubscribe","data":{"channel":"#server-to-user-ann"}}"##);
    assert_eq!(own, "", "the .NET client leaves it while it subscribes to it");
    assert_eq!(subject.subscribe("presence-a", Some(r#"{"user_id":7}"#)), "join presence-a as 7");
}

#[test]
fn faults_are_refused_and_never_fatal() {
    let mut subject = Subject::new(|_| {});
    let table = [
        ("nonsense", "refuse null Received invalid JSON"),
        ("{}", "refuse null Missing parameter: event"),
        (r#"{"event":"nope"}"#, "refuse null Unsupported event received on socket: nope"),
        (
            r#"{"event":"pusher_internal:x"}"#,
            "refuse null Unsupported event received on socket: pusher_internal:x",
        ),
        (r#"{"event":"pusher:subscribe"}"#, "refuse null Expected parameter data to be a hash"),
        (r#"{"event":"pusher:subscribe","data":{}}"#, "refuse null Missing parameter: data.channel"),
        (
            r#"{"event":"pusher:subscribe","data":{"channel":"a b"}}"#,
            "refuse null Invalid channel name: a b (' ' is not one of the letters, digits and _ - = @ , . ; \
             that a name may hold)",
        ),
        (
            r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-1"}}"##,
            "refuse null Not authorized to subscribe to #server-to-user-1",
        ),
        (
            r#"{"event":"pusher:subscribe","data":{"channel":"private-a"}}"#,
            "refuse null Auth info required to subscribe to private-a",
        ),
        (
            r#"{"event":"client-x","channel":"private-a"}"#,
            "refuse null Invalid client event (must contain channel and data)",
        ),
        (
            r#"{"event":"client-x","channel":"a","data":1}"#,
            "refuse null Client event rejected - only supported on private and presence channels",
        ),
        (
            r#"{"event":"client-x","channel":"private-a","data":1}"#,
            "refuse null Cannot broadcast client event (connection not subscribed to channel private-a)",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(subject.say(text), expected, "{text}");
    }
    let no_data = subject.subscribe("presence-a", None);
    assert_eq!(no_data, "refuse null Invalid channel_data for presence channel presence-a");
}

#[test]
fn client_events_carry_their_sender_and_obey_the_limits() {
    let mut subject = Subject::new(|app| app.limits.client_event_payload_bytes = 10);
    subject.subscribe("presence-a", Some(r#"{"user_id":"u1"}"#));
    let event = |data: &str| format!(r#"{{"event":"client-x","channel":"presence-a","data":{data}}}"#);
    let heard = subject.say(&event(r#"{ "a": 1 }"#));
    assert_eq!(heard, r#"broadcast client-x on presence-a by u1: "{\"a\":1}""#);
    assert!(subject.say(&event("\"1234567890\"")).starts_with("broadcast"));
    let too_big = "refuse 4301 Client event data exceeds the allowed maximum (10 bytes)";
    assert_eq!(subject.say(&event("\"12345678901\"")), too_big);
    for _ in 0..8 {
        assert!(subject.say(&event("null")).starts_with("broadcast"), "a refused event costs nothing");
    }
    let too_fast = "refuse 4301 Client event rejected due to rate limit \
                    (at most 10 per second and connection are allowed)";
    assert_eq!(subject.say(&event("null")), too_fast);
    subject.now += Duration::from_secs(1);
    assert!(subject.say(&event("null")).starts_with("broadcast"));
}

#[test]
fn unprefixed_events_are_for_the_pipe_alone() {
    let mut subject = Subject::new(|app| app.client_events = false);
    subject.say(r#"{"event":"pusher:subscribe","data":{"channel":"stream"}}"#);
    let frame = r#"{"event":"frame","channel":"stream","data":{"dataUrl":"x"}}"#;
    assert_eq!(subject.say(frame), "refuse null Unsupported event received on socket: frame");
    subject.pipe = true;
    for _ in 0..50 {
        assert_eq!(subject.say(frame), r#"pipe frame on stream by -: "{\"dataUrl\":\"x\"}""#);
    }
    let elsewhere = subject.say(r#"{"event":"frame","channel":"other","data":1}"#);
    let expected = "refuse null Cannot broadcast client event (connection not subscribed to channel other)";
    assert_eq!(elsewhere, expected);
    assert_eq!(subject.say(r#"{"event":"hello"}"#), r#"pipe hello on - by -: "null""#);
    let reserved = subject.say(r#"{"event":"pusher:hello"}"#);
    assert_eq!(reserved, "refuse null Unsupported event received on socket: pusher:hello");
}

#[test]
fn a_signed_in_user_has_a_channel_and_is_a_member_without_saying_so() {
    let mut subject = Subject::new(|_| {});
    let sign_in = |subject: &mut Subject, user_data: &str| {
        let signed = crate::auth::user::string_to_sign(SocketId::new(1, 2), user_data);
        let auth = format!("app-key:{}", sign(&Secret::new("app-secret"), &signed));
        let data = serde_json::json!({"auth": auth, "user_data": user_data});
        subject.say(&serde_json::json!({"event": "pusher:signin", "data": data}).to_string())
    };
    let expected = r#"sign in ann: {"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"ann\\\"}\"}"}"#;
    assert_eq!(sign_in(&mut subject, r#"{"id":"ann"}"#), expected);
    assert!(sign_in(&mut subject, r#"{"id":"ann","user_info":{"n":1}}"#).starts_with("sign in ann"));
    let other = sign_in(&mut subject, r#"{"id":"bob"}"#);
    assert_eq!(other, "refuse null Connection already signed in as another user");
    let own = r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-ann","auth":""}}"##;
    assert_eq!(subject.say(own), "join #server-to-user-ann");
    assert!(subject.say(own).contains("subscription_succeeded"), "again");
    let foreign = r##"{"event":"pusher:subscribe","data":{"channel":"#server-to-user-bob"}}"##;
    assert_eq!(subject.say(foreign), "refuse null Not authorized to subscribe to #server-to-user-bob");
    assert_eq!(subject.subscribe("presence-a", None), "join presence-a as ann");
    assert_eq!(subject.subscribe("presence-b", Some(r#"{"user_id":"guest"}"#)), "join presence-b as guest");
    let cleanup = subject.connection.disconnect(Ending::Lost);
    assert_eq!((cleanup.subscriptions.len(), cleanup.user_id.as_deref()), (3, Some("ann")));
}

#[test]
fn who_must_authorize_itself_has_until_the_deadline() {
    let tick = |subject: &mut Subject, seconds| {
        let (action, again) = subject.connection.tick(subject.now + Duration::from_secs(seconds));
        let again = again.map(|again| again.duration_since(subject.now).as_secs());
        (action.as_ref().map(in_short).unwrap_or_default(), again)
    };
    let waiting = || {
        let mut subject = Subject::new(|app| app.authorized_connections = true);
        subject.connection.must_authorize_by(subject.now + Duration::from_secs(30));
        subject
    };

    let mut idle = waiting();
    idle.waiting = Some(Vec::new());
    assert_eq!(idle.say(r#"{"event":"pusher:subscribe","data":{"channel":"a"}}"#), "join a");
    let join = idle.waiting.take().unwrap().remove(0);
    assert!(!join.authorizes, "a public channel takes no signature");
    assert_eq!(idle.answer(&join, Ok(())), [""; 0]);
    assert_eq!(tick(&mut idle, 29), (String::new(), Some(30)));
    assert_eq!(tick(&mut idle, 30), ("close 4009".into(), None));

    let mut subscriber = waiting();
    subscriber.waiting = Some(Vec::new());
    assert_eq!(subscriber.subscribe("private-encrypted-cache-a", None), "join private-encrypted-cache-a");
    assert_eq!(subscriber.subscribe("presence-a", Some(r#"{"user_id":7}"#)), "join presence-a as 7");
    let joins = subscriber.waiting.replace(Vec::new()).unwrap();
    assert!(joins.iter().all(|join| join.authorizes));
    let full = NotJoined::Refused(JoinRefused::OverCapacity);
    subscriber.answer(&joins[1], Err(full));
    assert!(subscriber.connection.is_unauthorized(), "the channel refused it");
    assert_eq!(subscriber.answer(&joins[0], Ok(())), [""; 0]);
    assert!(!subscriber.connection.is_unauthorized());
    subscriber.subscribe("presence-b", Some(r#"{"user_id":7}"#));
    assert!(!subscriber.waiting.take().unwrap()[0].authorizes, "once in a life");
    assert_eq!(tick(&mut subscriber, 30), (String::new(), Some(45)));

    let mut user = waiting();
    let signed = crate::auth::user::string_to_sign(SocketId::new(1, 2), r#"{"id":"ann"}"#);
    let auth = format!("app-key:{}", sign(&Secret::new("app-secret"), &signed));
    let data = serde_json::json!({"auth": auth, "user_data": r#"{"id":"ann"}"#});
    let text = serde_json::json!({"event": "pusher:signin", "data": data}).to_string();
    for expected in [true, false] {
        let action = user.connection.receive(&text, user.now, &|_, _| false);
        let Some(Action::SignIn(sign_in)) = action else { panic!("{action:?}") };
        assert_eq!(sign_in.authorizes, expected);
        assert_eq!(user.connection.is_unauthorized(), expected, "the app may be full yet");
        user.connection.signed_in(sign_in.user);
    }
    assert_eq!(tick(&mut user, 30), (String::new(), Some(45)));
    assert_eq!(user.connection.disconnect(Ending::Lost).user_id.as_deref(), Some("ann"));
}

#[test]
fn an_app_that_demands_nothing_any_more_is_obeyed_at_the_deadline() {
    let mut subject = Subject::new(|app| app.authorized_connections = true);
    subject.connection.must_authorize_by(subject.now + Duration::from_secs(30));
    subject.connection.set_app(Arc::new(App::new("1", "app-key", "app-secret")));
    let at = subject.now + Duration::from_secs(31);
    let (action, again) = subject.connection.tick(at);
    assert_eq!((action.as_ref().map(in_short).as_deref(), again), (Some("authorize"), Some(at)));
    subject.connection.authorized();
    assert_eq!(subject.connection.tick(at).1, Some(subject.now + Duration::from_secs(45)));
}

#[test]
fn a_new_rate_begins_with_a_full_second() {
    let mut subject = Subject::new(|app| app.limits.client_events_per_second = 1);
    subject.subscribe("private-a", None);
    let event = r#"{"event":"client-x","channel":"private-a","data":1}"#;
    assert!(subject.say(event).starts_with("broadcast"));
    assert!(subject.say(event).starts_with("refuse 4301"));
    let mut app = App::new("1", "app-key", "app-secret");
    app.client_events = true;
    app.limits.client_events_per_second = 2;
    subject.connection.set_app(Arc::new(app.clone()));
    assert!(subject.say(event).starts_with("broadcast"));
    subject.connection.set_app(Arc::new(app));
    assert!(subject.say(event).starts_with("broadcast"));
    assert!(subject.say(event).starts_with("refuse 4301"), "the same rate does not begin again");
}

#[test]
fn silence_leads_to_a_ping_and_to_the_end() {
    let mut subject = Subject::new(|_| {});
    let start = subject.now;
    let tick = |subject: &mut Subject, seconds| {
        let (action, _) = subject.connection.tick(start + Duration::from_secs(seconds));
        action.as_ref().map(in_short).unwrap_or_default()
    };
    assert_eq!(tick(&mut subject, 10), "");
    assert_eq!(tick(&mut subject, 45), "ping");
    subject.connection.heard(start + Duration::from_secs(50));
    assert_eq!(tick(&mut subject, 94), "");
    assert_eq!(tick(&mut subject, 95), "ping");
    assert_eq!(tick(&mut subject, 125), "close 4201");
}

/// A pong must not put the next ping off until the pong would have been missed.
#[test]
fn a_client_that_answers_is_looked_at_when_its_next_ping_may_be_due() {
    let mut subject = Subject::new(|_| {});
    let config = ConnectionConfig {
        ping_after: Duration::from_secs(2),
        pong_timeout: Duration::from_secs(30),
        ..ConnectionConfig::default()
    };
    subject.connection.config = Arc::new(config);
    let at = |seconds| subject.now + Duration::from_secs(seconds);
    let (action, again) = subject.connection.tick(at(2));
    assert!(matches!(action, Some(Action::Ping)), "{action:?}");
    assert_eq!(again, Some(at(4)));
    subject.connection.heard(at(2));
    assert!(matches!(subject.connection.tick(at(4)).0, Some(Action::Ping)));
    // And one that does not answer is still closed in time, and not before.
    assert_eq!(subject.connection.tick(at(6)).1, Some(at(34)));
    assert!(matches!(subject.connection.tick(at(34)).0, Some(Action::Close(CloseCode::PongMissing))));
}
