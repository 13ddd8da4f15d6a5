//! Binary messages: who may send them, who is sent them, and what everybody else is sent instead.

use heliostat_protocol_tests::frame::{BINARY, CONTINUATION, FIN};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Shared, Socket, Target, unique};
use serde_json::{Value, json};

/// What stands in the query of a connection that wants binary messages.
const QUERY: &str = "protocol=7&client=js&version=8.4.0&flash=false&binary=1";

/// A picture of no format that anybody knows, with every byte in it.
fn picture() -> Vec<u8> {
    (0..=255).cycle().take(600).collect()
}

/// The data URL of [`picture`].
fn data_url() -> String {
    format!("data:image/jpeg;base64,{}", base64(&picture()))
}

/// A message as `docs/binary.md` lays it out.
#[derive(Clone, Debug, PartialEq)]
struct Binary {
    channel: String,
    event: String,
    media_type: String,
    user_id: String,
    members: String,
    content: Vec<u8>,
}

impl Binary {
    fn picture(channel: &str, event: &str) -> Binary {
        let [channel, event, media_type] = [channel, event, "image/jpeg"].map(str::to_owned);
        let [user_id, members] = ["", r#"{"n":1}"#].map(str::to_owned);
        Binary { channel, event, media_type, user_id, members, content: picture() }
    }

    fn texts(&self) -> [&String; 5] {
        [&self.channel, &self.event, &self.media_type, &self.user_id, &self.members]
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, 0];
        bytes.extend(self.texts().iter().flat_map(|text| (text.len() as u16).to_be_bytes()));
        bytes.extend(self.texts().iter().flat_map(|text| text.bytes()));
        bytes.extend(&self.content);
        bytes
    }

    fn read(message: &[u8]) -> Binary {
        assert_eq!(message[..2], [1, 0]);
        let mut at = 12;
        let mut texts = (0..5).map(|n| {
            let length = usize::from(u16::from_be_bytes([message[2 + 2 * n], message[3 + 2 * n]]));
            at += length;
            String::from_utf8(message[at - length..at].to_vec()).unwrap()
        });
        let [channel, event, media_type, user_id, members] = [(); 5].map(|()| texts.next().unwrap());
        drop(texts);
        Binary { channel, event, media_type, user_id, members, content: message[at..].to_vec() }
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * n) & 63) as usize]);
            text.push(if n <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// A connection that takes binary messages.
fn connect(target: &Target) -> Socket {
    let mut socket = target.connect_as(QUERY);
    socket.takes_binary = true;
    socket
}

fn send(socket: &mut Socket, message: &Binary) {
    socket.send_frame(FIN | BINARY, &message.bytes());
}

/// Has a client that takes binary messages send a picture on a private channel.
pub(crate) fn send_a_picture(target: &Target, channel: &str, event: &str) {
    let mut sender = connect(target);
    sender.subscribe_private(channel);
    send(&mut sender, &Binary::picture(channel, event));
    sender.assert_silence();
}

/// The greeting says how large a binary message may be, to those that asked; that is how they know that they may.
///
/// Proves: video.
#[test]
fn the_greeting_tells_who_may_send_them() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let greeting = |query: &str| target.upgrade(query).await_established().decoded();
    assert_eq!(greeting(QUERY)["binary_message_bytes"], json!(1_048_576));
    for query in ["protocol=7", "protocol=7&binary=0", "protocol=7&binary=true", "protocol=7&binary="] {
        assert_eq!(greeting(query).get("binary_message_bytes"), None, "{query}");
    }
}

/// A binary client event reaches those that take binary messages as it was sent, and the others as a data URL; the
/// sender does not hear it.
///
/// Proves: video.
#[test]
fn a_client_event_reaches_everybody_in_the_form_they_take() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let channel = unique("private-binary-");
    let (mut sender, mut modern, mut ordinary) = (connect(&target), connect(&target), target.connect());
    for socket in [&mut sender, &mut modern, &mut ordinary] {
        socket.subscribe_private(&channel);
    }
    let sent = Binary::picture(&channel, "client-frame");
    send(&mut sender, &sent);
    assert_eq!(Binary::read(&modern.receive_binary()), sent);
    let event = ordinary.expect_on(&channel, "client-frame");
    assert_eq!(event.decoded(), json!({ "dataUrl": data_url(), "n": 1 }));
    assert!(event.data.as_str().unwrap().starts_with("{\"dataUrl\":\"data:image/jpeg;base64,"));
    // What is sent as JSON comes as JSON, to everybody.
    ordinary.trigger(&channel, "client-frame", &json!({ "dataUrl": data_url() }));
    for socket in [&mut sender, &mut modern] {
        assert_eq!(socket.expect_on(&channel, "client-frame").decoded(), json!({ "dataUrl": data_url() }));
    }
    for socket in [&mut sender, &mut modern, &mut ordinary] {
        socket.assert_silence();
        assert!(!socket.has_binary());
    }
}

/// A message may come in fragments, and members are optional.
///
/// Proves: video.
#[test]
fn fragments_make_one_message() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let channel = unique("private-binary-");
    let (mut sender, mut modern) = (connect(&target), connect(&target));
    sender.subscribe_private(&channel);
    modern.subscribe_private(&channel);
    let sent = Binary { members: String::new(), ..Binary::picture(&channel, "client-frame") };
    let bytes = sent.bytes();
    let pieces: Vec<&[u8]> = bytes.chunks(200).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let fin = if n + 1 == pieces.len() { FIN } else { 0 };
        sender.send_frame(fin | if n == 0 { BINARY } else { CONTINUATION }, piece);
    }
    assert_eq!(Binary::read(&modern.receive_binary()), sent);
}

/// On presence channels the others are told who sent it, whatever the sender says of that.
///
/// Proves: video.
#[test]
fn on_presence_channels_the_sender_is_named() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let channel = unique("presence-binary-");
    let (mut modern, mut ordinary, mut sender) = (connect(&target), target.connect(), connect(&target));
    for (socket, user) in [(&mut modern, "m"), (&mut ordinary, "o"), (&mut sender, "ann")] {
        socket.subscribe_presence(&channel, user, &json!(null));
    }
    // Each hears of those who came after it, whenever its worker gets round to it.
    for (socket, later) in [(&mut modern, 2), (&mut ordinary, 1)] {
        (0..later).for_each(|_| drop(socket.expect_on(&channel, "pusher_internal:member_added")));
    }
    let sent = Binary { user_id: "forged".to_owned(), ..Binary::picture(&channel, "client-frame") };
    send(&mut sender, &sent);
    assert_eq!(Binary::read(&modern.receive_binary()), Binary { user_id: "ann".to_owned(), ..sent });
    assert_eq!(ordinary.expect_on(&channel, "client-frame").whole["user_id"], json!("ann"));
}

/// The rules of client events hold: channel type, subscription, switch, reserved names, and the rate.
///
/// Proves: video.
#[test]
fn the_rules_of_client_events_hold() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let private = unique("private-binary-");
    let mut sender = connect(&target);
    sender.subscribe("public");
    let mut refused = |channel: &str, event: &str, error: &str| {
        send(&mut sender, &Binary::picture(channel, event));
        sender.expect_error(None, error);
    };
    refused("public", "client-x", "Client event rejected - only supported on private and presence channels");
    refused("", "client-x", "Invalid client event (must contain channel and data)");
    refused("public", "frame", "Unsupported event received on socket: frame");
    refused("public", "pusher:subscribe", "Unsupported event received on socket: pusher:subscribe");
    let not_subscribed =
        format!("Cannot broadcast client event (connection not subscribed to channel {private})");
    refused(&private, "client-x", &not_subscribed);
    sender.subscribe_private(&private);
    let mut sent = 0;
    let message = loop {
        send(&mut sender, &Binary::picture(&private, "client-x"));
        sent += 1;
        if let Some(refusal) = sender.drain().pop() {
            break refusal.data;
        }
    };
    assert_eq!(message["code"], json!(4301));
    assert!(
        message["message"].as_str().unwrap().contains("rate limit") && sent > 10,
        "{message} after {sent}"
    );

    let Some(plain) = Target::shared(Shared::Plain) else { return };
    let mut sender = connect(&plain);
    sender.subscribe_private(&private);
    send(&mut sender, &Binary::picture(&private, "client-x"));
    assert!(sender.expect_some_error(None).contains("must enable this feature"));
}

/// The size of a binary message has a limit of its own: a little over it there is an error, far over it the connection
/// is closed.
///
/// Proves: bad input.
#[test]
fn the_size_has_a_limit_of_its_own() {
    let config = format!(
        "{MAIN_APP}[apps.limits]\nbinary_message_bytes = 5000\nmessage_bytes = 1024\nclient_event_payload_bytes = 100\n"
    );
    let Some(target) = Target::own(&config) else { return };
    let (mut sender, mut modern) = (connect(&target), connect(&target));
    sender.subscribe_private("private-a");
    modern.subscribe_private("private-a");
    let of_bytes = |bytes: usize| {
        let mut message = Binary { content: Vec::new(), ..Binary::picture("private-a", "client-frame") };
        message.content = vec![0xff; bytes - message.bytes().len()];
        assert_eq!(message.bytes().len(), bytes);
        message
    };
    send(&mut sender, &of_bytes(5000));
    assert_eq!(Binary::read(&modern.receive_binary()), of_bytes(5000));
    send(&mut sender, &of_bytes(5001));
    sender.expect_error(Some(4301), "Client event data exceeds the allowed maximum (5000 bytes)");
    send(&mut sender, &of_bytes(20_000));
    sender.expect_close_with(1009);
}

/// Rubbish gets one error that says what is wrong with it, and the connection stays open.
///
/// Proves: bad input.
#[test]
fn rubbish_is_answered_with_what_is_wrong() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    let mut socket = connect(&target);
    let whole = Binary::picture("private-a", "client-frame");
    let with = |change: &dyn Fn(&mut Binary)| {
        let mut message = whole.clone();
        change(&mut message);
        message.bytes()
    };
    let version = |bytes: &[u8]| [&[9], &bytes[1..]].concat();
    let table: [(Vec<u8>, &str); 9] = [
        (Vec::new(), "expected a header of 12 bytes, got 0 bytes altogether"),
        (vec![1; 5], "expected a header of 12 bytes, got 5 bytes altogether"),
        (version(&whole.bytes()), "expected the version 1 in its first byte, got 9"),
        (
            vec![1, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
            "its header announces 65535 bytes before the content, but only 0 came",
        ),
        (with(&|m| m.event.clear()), "its event name is empty"),
        (with(&|m| m.media_type = "jpeg".into()), "its media type must be like"),
        (with(&|m| m.media_type = "image/jpeg\r\n".into()), "its media type must be like"),
        (with(&|m| m.members = "[1]".into()), "its members must be a JSON object, or empty"),
        (with(&|m| m.members = "{\"dataUrl\":1}".into()), "its members may not have the name \"dataUrl\""),
    ];
    for (bytes, fault) in table {
        socket.send_frame(FIN | BINARY, &bytes);
        let message = socket.expect_some_error(None);
        assert!(message.starts_with(&format!("Received an invalid binary message: {fault}")), "{message}");
    }
    socket.assert_silence();
}

/// A connection that did not ask for binary messages is closed when it sends one, as ever.
///
/// Proves: 52.
#[test]
fn others_are_closed_with_1003() {
    let Some(target) = Target::shared(Shared::Main) else { return };
    for query in ["protocol=7", "protocol=7&binary=0"] {
        let mut socket = target.connect_as(query);
        send(&mut socket, &Binary::picture("private-a", "client-frame"));
        socket.expect_close_with(1003);
    }
}

/// Rules forward a binary message in the form it has, also on the public channel where only a rule hears it; one that
/// adds or picks members keeps it binary as long as the content is among them.
///
/// Proves: pipe rules, video.
#[test]
fn rules_forward_them() {
    let Some(target) = Target::shared(Shared::Piped) else { return };
    let tag = unique("");
    let open = |to: &str| {
        let (mut modern, mut ordinary) = (connect(&target), target.connect());
        modern.subscribe(to);
        ordinary.subscribe(to);
        (modern, ordinary)
    };
    let mut sender = connect(&target);
    let (mut modern, mut ordinary) = open(&format!("mirror-{tag}"));
    let mirror = format!("mirror-{tag}");
    let table: [(&str, &str, &str, Value); 4] = [
        ("stream", "frame", r#"{"n":1}"#, json!({ "dataUrl": data_url(), "n": 1 })),
        ("renamed", "picture", r#"{"n":1}"#, json!({ "dataUrl": data_url(), "n": 1 })),
        (
            "adding",
            "frame",
            r#"{"n":1,"depth":3,"message":"Sending frame"}"#,
            json!({ "dataUrl": data_url(), "n": 1, "message": "Sending frame", "depth": 3 }),
        ),
        (
            "shaping",
            "frame",
            r#"{"message":"Sending frame"}"#,
            json!({ "dataUrl": data_url(), "message": "Sending frame" }),
        ),
    ];
    for (word, event, members, text) in table {
        let from = format!("{word}-{tag}");
        sender.subscribe(&from);
        send(&mut sender, &Binary::picture(&from, "frame"));
        let expected = Binary { members: members.to_owned(), ..Binary::picture(&mirror, event) };
        assert_eq!(Binary::read(&modern.receive_binary()), expected, "{word}");
        assert_eq!(ordinary.expect_on(&mirror, event).decoded(), text, "{word}");
    }
}

/// What a cache channel remembers of a binary message is its text, which everybody takes.
///
/// Proves: video.
#[test]
fn a_cache_channel_remembers_them_as_text() {
    let config = format!("{MAIN_APP}[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'cache-mirror'\n");
    let Some(target) = Target::own(&config) else { return };
    let (mut sender, mut early) = (connect(&target), connect(&target));
    sender.subscribe("stream");
    early.subscribe("cache-mirror");
    early.expect_on("cache-mirror", "pusher:cache_miss");
    send(&mut sender, &Binary::picture("stream", "frame"));
    assert_eq!(Binary::read(&early.receive_binary()), Binary::picture("cache-mirror", "frame"));
    let mut late = connect(&target);
    late.subscribe("cache-mirror");
    let remembered = late.expect_on("cache-mirror", "frame");
    assert_eq!(remembered.decoded(), json!({ "dataUrl": data_url(), "n": 1 }));
}
