//! Writes the messages to pipe clients. Every message has all three of `id`, `error` and `result`: the original client
//! ends its process over a missing one. Pure.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::event::AcceptedEvent;
use crate::hub::Notice;
use crate::protocol::json::push_string;
use crate::protocol::{ChannelName, SocketId};

use super::{Dialect, PipeRequestError};

/// The answer to a request that was done. `result` is JSON text.
pub(crate) fn answer(id: Option<&RawValue>, result: &str) -> Bytes {
    let id = id.map_or("null", RawValue::get);
    format!("{{\"id\":{id},\"error\":null,\"result\":{result}}}").into()
}

/// The answer to a request that was not done, or an error that answers none.
pub(crate) fn error(id: Option<&RawValue>, code: u16, message: &str) -> Bytes {
    let id = id.map_or("null", RawValue::get);
    let mut text = format!("{{\"id\":{id},\"error\":{{\"code\":{code},\"message\":");
    push_string(message, &mut text);
    text.push_str("},\"result\":null}");
    text.into()
}

/// The answer to a request that was not done.
pub(crate) fn request_error(id: Option<&RawValue>, reason: &PipeRequestError) -> Bytes {
    error(id, reason.code(), &reason.to_string())
}

/// A notification; `data` is JSON text.
pub(crate) fn notification(event: &str, data: &str) -> Bytes {
    let mut text = String::with_capacity(event.len() + data.len() + 64);
    text.push_str("{\"id\":null,\"error\":null,\"result\":{\"event\":\"");
    text.push_str(event);
    text.push_str("\",\"data\":");
    text.push_str(data);
    text.push_str("}}");
    text.into()
}

/// The first message to a client.
pub(crate) fn connection_established(dialect: Dialect, socket_id: SocketId, app_id: &str) -> Bytes {
    let mut data = format!("{{\"socket_id\":\"{socket_id}\"");
    if dialect.is_modern() {
        push_member("app_id", app_id, &mut data);
        push_member("protocol_version", &dialect.to_string(), &mut data);
    }
    data.push('}');
    notification("connection_established", &data)
}

/// So many notifications were lost here. The original client prints it.
pub(crate) fn missed(dialect: Dialect, count: u64) -> Bytes {
    if dialect.is_modern() {
        return notification("missed", &format!("{{\"count\":{count}}}"));
    }
    let reason = "more was waiting for this connection than is kept for one";
    notification("warning", &format!("\"{count} notifications were missed: {reason}\""))
}

/// A notice as a notification of the original protocol or of this broker's own.
pub(crate) fn of_notice(notice: &Notice<'_>, modern: bool, app_id: &str) -> Bytes {
    let mut data = String::from("{");
    let name = match notice {
        Notice::Event(event) => return socket_message(event, modern),
        Notice::SocketOpened(socket_id) => {
            push_socket(*socket_id, &mut data);
            push_app(modern, app_id, &mut data);
            "socket_opened"
        }
        Notice::SocketClosed { socket_id, user_id, .. } => {
            push_socket(*socket_id, &mut data);
            push_app(modern, app_id, &mut data);
            push_user(user_id.filter(|_| modern), &mut data);
            "socket_closed"
        }
        Notice::SignedIn { socket_id, user_id } => {
            push_socket(*socket_id, &mut data);
            push_user(Some(user_id), &mut data);
            "socket_signed_in"
        }
        Notice::ChannelOccupied(channel, _) => {
            push_channel(channel, &mut data);
            "channel_occupied"
        }
        Notice::ChannelVacated(channel, _) => {
            push_channel(channel, &mut data);
            "channel_vacated"
        }
        Notice::CacheMiss(channel, _) => {
            push_channel(channel, &mut data);
            "cache_miss"
        }
        Notice::SubscriptionCount(channel, count, _) => {
            push_channel(channel, &mut data);
            data.push_str(&format!(",\"subscription_count\":{count}"));
            "subscription_count"
        }
        Notice::Subscribed { channel, socket_id, user_id } => {
            push_subscription(*socket_id, channel, *user_id, &mut data);
            "subscribed"
        }
        Notice::Unsubscribed { channel, socket_id, user_id } => {
            push_subscription(*socket_id, channel, *user_id, &mut data);
            "unsubscribed"
        }
        Notice::MemberAdded(channel, user_id, _) => {
            push_channel(channel, &mut data);
            push_user(Some(user_id), &mut data);
            "member_added"
        }
        Notice::MemberRemoved(channel, user_id, _) => {
            push_channel(channel, &mut data);
            push_user(Some(user_id), &mut data);
            "member_removed"
        }
    };
    data.push('}');
    notification(name, &data)
}

/// An event that a client sent, or that was published over HTTP. The key `channel` is absent where there is none: its
/// mere presence tells the original client that there is one.
fn socket_message(event: &AcceptedEvent<'_>, modern: bool) -> Bytes {
    let payload = event.raw.map_or(event.data.literal(), RawValue::get);
    let mut data = String::with_capacity(payload.len() + event.name.len() + 160);
    data.push('{');
    if let Some(socket_id) = event.source.socket_id() {
        push_socket(socket_id, &mut data);
        data.push(',');
    }
    data.push_str("\"event\":");
    push_string(&event.name, &mut data);
    data.push_str(",\"data\":");
    data.push_str(payload);
    if let Some(channel) = event.channel() {
        data.push(',');
        push_channel(channel, &mut data);
    }
    if modern {
        push_user(event.source.user_id().map(|user_id| &**user_id), &mut data);
        push_member("source", event.source.name(), &mut data);
    }
    data.push('}');
    notification("socket_message", &data)
}

fn push_socket(socket_id: SocketId, data: &mut String) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(data, "\"socket_id\":\"{socket_id}\"");
}

fn push_channel(channel: &ChannelName, data: &mut String) {
    data.push_str("\"channel\":\"");
    data.push_str(channel.as_str());
    data.push('"');
}

fn push_subscription(socket_id: SocketId, channel: &ChannelName, user_id: Option<&str>, data: &mut String) {
    push_socket(socket_id, data);
    data.push(',');
    push_channel(channel, data);
    push_user(user_id, data);
}

fn push_user(user_id: Option<&str>, data: &mut String) {
    if let Some(user_id) = user_id {
        push_member("user_id", user_id, data);
    }
}

fn push_app(modern: bool, app_id: &str, data: &mut String) {
    if modern {
        push_member("app_id", app_id, data);
    }
}

/// Appends a member behind others.
fn push_member(name: &str, value: &str, data: &mut String) {
    data.push_str(",\"");
    data.push_str(name);
    data.push_str("\":");
    push_string(value, data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Ending;
    use crate::event::{Destination, Source};
    use crate::protocol::json::Data;

    fn told(notice: &Notice<'_>, modern: bool) -> String {
        let text = of_notice(notice, modern, "1001");
        let text = String::from_utf8(text.to_vec()).unwrap();
        let inner = text.strip_prefix(r#"{"id":null,"error":null,"result":"#).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        inner.strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn a_client_event_is_told_with_its_value_and_only_with_what_it_has() {
        let raw = RawValue::from_string(r#"{"dataUrl":"data:,"}"#.to_owned()).unwrap();
        let data = Data::relay(&raw).unwrap();
        let channel = ChannelName::parse("stream", 164).unwrap();
        let source = Source::Client { socket_id: SocketId::new(7, 8), user_id: Some("ann".into()) };
        let to = Destination::Listeners { channel: Some(channel.clone()) };
        let mut event = AcceptedEvent { source, to, name: "frame".into(), raw: Some(&raw), data };
        assert_eq!(
            told(&Notice::Event(&event), false),
            r#"{"event":"socket_message","data":{"socket_id":"7.8","event":"frame","data":{"dataUrl":"data:,"},"channel":"stream"}}"#
        );
        assert!(told(&Notice::Event(&event), true).ends_with(r#""user_id":"ann","source":"client"}}"#));
        event.to = Destination::Listeners { channel: None };
        assert!(!told(&Notice::Event(&event), false).contains("channel"));
        event.to = Destination::Subscribers { channel, except: None };
        (event.source, event.raw) = (Source::Http, None);
        assert_eq!(
            told(&Notice::Event(&event), true),
            r#"{"event":"socket_message","data":{"event":"frame","data":"{\"dataUrl\":\"data:,\"}","channel":"stream","source":"http"}}"#
        );
    }

    #[test]
    fn a_closed_socket_says_more_to_those_who_understand() {
        let closed = Notice::SocketClosed {
            socket_id: SocketId::new(7, 8),
            user_id: Some("ann"),
            ending: &Ending::Lost,
        };
        assert_eq!(told(&closed, false), r#"{"event":"socket_closed","data":{"socket_id":"7.8"}}"#);
        assert_eq!(
            told(&closed, true),
            r#"{"event":"socket_closed","data":{"socket_id":"7.8","app_id":"1001","user_id":"ann"}}"#
        );
    }

    #[test]
    fn every_message_has_its_three_keys() {
        let id = RawValue::from_string("\"x\"".to_owned()).unwrap();
        let messages = [
            answer(Some(&id), "{}"),
            error(None, 4001, "a \"quoted\" reason"),
            missed(Dialect::V0_2, 3),
            missed(Dialect::V1_0, 3),
            connection_established(Dialect::V1_0, SocketId::new(1, 2), "1"),
        ];
        for message in messages {
            let value: serde_json::Value = serde_json::from_slice(&message).unwrap();
            let object = value.as_object().unwrap();
            assert_eq!(object.len(), 3, "{value}");
            assert!(["id", "error", "result"].iter().all(|key| object.contains_key(*key)), "{value}");
        }
    }
}
