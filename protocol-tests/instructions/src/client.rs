//! One client: the bytes it sends, and the state of its connection.

use std::sync::Arc;
use std::time::Instant;

use heliostat::app::{App, ChannelSettings, Delivery, HistoryBounds, Secret};
use heliostat::config::ConnectionConfig;
use heliostat::tools::auth::channel::string_to_sign;
use heliostat::tools::auth::sign;
use heliostat::tools::connection::{Action, Connection, Probe};
use heliostat::tools::protocol::pattern::Pattern;
use heliostat::tools::protocol::{ChannelName, ProtocolVersion, SocketId};

/// A chat message of 115 bytes, as pusher-js writes it.
pub const CLIENT_EVENT: &str = concat!(
    r#"{"event":"client-message","channel":"private-chat-17","#,
    r#""data":{"from":"u42","text":"See you at the station, at 9."}}"#
);

/// The channel of [`CLIENT_EVENT`].
pub const CHANNEL: &str = "private-chat-17";

/// What begins a connection of the client.
pub const SOCKET_ID: SocketId = SocketId::new(731_408, 20_598_114);

const KEY: &str = "app-key";
const SECRET: &str = "app-secret";

/// The app that every path belongs to: client events are on, at a rate that no count reaches.
#[must_use]
pub fn app() -> App {
    let mut app = App::new("1001", KEY, SECRET);
    app.client_events = true;
    app.limits.client_events_per_second = 1_000_000;
    app
}

/// The same app, whose channels keep their last events: so few that each new one takes the place of another.
#[must_use]
pub fn keeping_app() -> App {
    let history = Some(HistoryBounds { events: 10, ..HistoryBounds::default() });
    let mut app = app();
    let pattern = Pattern::parse("*").expect("a pattern");
    app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
    app
}

/// Any name of a channel.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, app().limits.channel_name_chars).expect("the name of a channel")
}

/// The `auth` of a subscription of [`SOCKET_ID`].
#[must_use]
pub fn auth(channel: &ChannelName) -> String {
    format!("{KEY}:{}", signature(&string_to_sign(SOCKET_ID, channel, None)))
}

/// What the app's backend signs with.
#[must_use]
pub fn signature(text: &str) -> String {
    sign(&Secret::new(SECRET.to_owned()), text)
}

/// The message that subscribes to a private channel.
#[must_use]
pub fn subscribe(channel: &ChannelName) -> String {
    let data = serde_json::json!({ "channel": channel.as_str(), "auth": auth(channel) });
    serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string()
}

/// The message that ends a subscription.
#[must_use]
pub fn unsubscribe(channel: &ChannelName) -> String {
    let data = serde_json::json!({ "channel": channel.as_str() });
    serde_json::json!({ "event": "pusher:unsubscribe", "data": data }).to_string()
}

/// A connection that has just been accepted.
#[must_use]
pub fn connection(now: Instant) -> Connection {
    let config = Arc::new(ConnectionConfig::default());
    Connection::new(Arc::new(app()), config, SOCKET_ID, ProtocolVersion::NEWEST, Probe::ControlFrame, now)
}

/// The same, subscribed to [`CHANNEL`].
///
/// # Panics
/// If the subscription is refused.
#[must_use]
pub fn subscribed_connection(now: Instant) -> Connection {
    let mut connection = connection(now);
    let asked = subscribe(&channel(CHANNEL));
    let action = connection.receive(&asked, now, &|_, _| false);
    let Some(Action::Join(join)) = action else { panic!("refused: {action:?}") };
    let answered = connection.joined(&join.channel, join.number, Ok(()));
    assert!(answered.action.is_none(), "refused: {answered:?}");
    connection
}

/// A text message as it comes from a client: one masked frame.
///
/// # Panics
/// If it is longer than 65,535 bytes.
#[must_use]
pub fn masked(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ 0..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).expect("a short message").to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
