//! The events that webhooks tell: made of the hub's notices, and written as JSON.

use std::sync::Arc;

use crate::event::Source;
use crate::hub::Notice;
use crate::protocol::json::push_string;
use crate::protocol::{ChannelName, SocketId};

use super::event_type::EventType;

/// Something that happened, as an app's backend is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// See [`EventType::ChannelOccupied`].
    ChannelOccupied(ChannelName),
    /// See [`EventType::ChannelVacated`].
    ChannelVacated(ChannelName),
    /// See [`EventType::MemberAdded`]; with the user's id.
    MemberAdded(ChannelName, Arc<str>),
    /// See [`EventType::MemberRemoved`]; with the user's id.
    MemberRemoved(ChannelName, Arc<str>),
    /// See [`EventType::ClientEvent`].
    ClientEvent(Box<WebhookClientEvent>),
    /// See [`EventType::CacheMiss`].
    CacheMiss(ChannelName),
    /// See [`EventType::SubscriptionCount`]; with the number of subscriptions.
    SubscriptionCount(ChannelName, usize),
}

/// An event that a client sent and that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookClientEvent {
    /// Where it was sent.
    pub channel: ChannelName,
    /// Its name.
    pub event: Box<str>,
    /// Its payload as a JSON string, quotes included.
    pub data: Box<str>,
    /// The sender.
    pub socket_id: SocketId,
    /// Who the sender is, on presence channels.
    pub user_id: Option<Arc<str>>,
}

impl WebhookEvent {
    /// The event that a notice is of, if it is of any. `wants` is asked first, so that an event without endpoints costs
    /// nothing.
    pub fn of_notice(
        notice: &Notice<'_>,
        wants: impl FnOnce(EventType, &ChannelName) -> bool,
    ) -> Option<Self> {
        let (event_type, channel) = kind(notice)?;
        if !channel.channel_type().is_listed() || !wants(event_type, channel) {
            return None;
        }
        let channel = channel.clone();
        Some(match notice {
            Notice::ChannelOccupied(..) => WebhookEvent::ChannelOccupied(channel),
            Notice::ChannelVacated(..) => WebhookEvent::ChannelVacated(channel),
            Notice::MemberAdded(_, user_id, _) => WebhookEvent::MemberAdded(channel, Arc::from(*user_id)),
            Notice::MemberRemoved(_, user_id, _) => WebhookEvent::MemberRemoved(channel, Arc::from(*user_id)),
            Notice::CacheMiss(..) => WebhookEvent::CacheMiss(channel),
            Notice::SubscriptionCount(_, count, _) => WebhookEvent::SubscriptionCount(channel, *count),
            Notice::Event(event) => {
                let Source::Client { socket_id, user_id } = event.source.clone() else { return None };
                let data = Box::from(event.data.literal());
                let event = Box::from(&*event.name);
                WebhookEvent::ClientEvent(Box::new(WebhookClientEvent {
                    channel,
                    event,
                    data,
                    socket_id,
                    user_id,
                }))
            }
            // No webhook tells of anything else.
            _ => return None,
        })
    }

    /// What happened, as endpoints choose it in `events`.
    pub fn event_type(&self) -> EventType {
        match self {
            WebhookEvent::ChannelOccupied(_) => EventType::ChannelOccupied,
            WebhookEvent::ChannelVacated(_) => EventType::ChannelVacated,
            WebhookEvent::MemberAdded(..) => EventType::MemberAdded,
            WebhookEvent::MemberRemoved(..) => EventType::MemberRemoved,
            WebhookEvent::ClientEvent(_) => EventType::ClientEvent,
            WebhookEvent::CacheMiss(_) => EventType::CacheMiss,
            WebhookEvent::SubscriptionCount(..) => EventType::SubscriptionCount,
        }
    }

    /// Whether it is held back for a while, for the case that it is taken back.
    pub fn is_removal(&self) -> bool {
        matches!(self, WebhookEvent::ChannelVacated(_) | WebhookEvent::MemberRemoved(..))
    }

    /// Where it happened.
    pub fn channel(&self) -> &ChannelName {
        match self {
            WebhookEvent::ChannelOccupied(channel)
            | WebhookEvent::ChannelVacated(channel)
            | WebhookEvent::MemberAdded(channel, _)
            | WebhookEvent::MemberRemoved(channel, _)
            | WebhookEvent::CacheMiss(channel)
            | WebhookEvent::SubscriptionCount(channel, _) => channel,
            WebhookEvent::ClientEvent(event) => &event.channel,
        }
    }

    /// Bytes that it occupies while it waits, roughly.
    pub fn bytes(&self) -> usize {
        let own = match self {
            WebhookEvent::MemberAdded(_, user_id) | WebhookEvent::MemberRemoved(_, user_id) => user_id.len(),
            WebhookEvent::ClientEvent(event) => {
                size_of::<WebhookClientEvent>() + event.event.len() + event.data.len()
            }
            WebhookEvent::ChannelOccupied(_)
            | WebhookEvent::ChannelVacated(_)
            | WebhookEvent::CacheMiss(_)
            | WebhookEvent::SubscriptionCount(..) => 0,
        };
        size_of::<WebhookEvent>() + self.channel().as_str().len() + own
    }

    /// Whom it is about, where it is about a user.
    pub fn user_id(&self) -> Option<&str> {
        match self {
            WebhookEvent::MemberAdded(_, user_id) | WebhookEvent::MemberRemoved(_, user_id) => Some(user_id),
            WebhookEvent::ClientEvent(event) => event.user_id.as_deref(),
            WebhookEvent::ChannelOccupied(_)
            | WebhookEvent::ChannelVacated(_)
            | WebhookEvent::CacheMiss(_)
            | WebhookEvent::SubscriptionCount(..) => None,
        }
    }

    /// It as a JSON object, under its `id`. Every id and payload is a string: some libraries decode into nothing else.
    pub fn to_json(&self, id: &str) -> String {
        let mut text = String::with_capacity(self.bytes() + 64);
        text.push_str(r#"{"name":""#);
        text.push_str(self.event_type().name());
        text.push_str(r#"","channel":"#);
        push_string(self.channel().as_str(), &mut text);
        let mut member = |name: &str, value: &str| {
            text.push_str(name);
            push_string(value, &mut text);
        };
        match self {
            WebhookEvent::ChannelOccupied(_)
            | WebhookEvent::ChannelVacated(_)
            | WebhookEvent::CacheMiss(_) => {}
            WebhookEvent::MemberAdded(_, user_id) | WebhookEvent::MemberRemoved(_, user_id) => {
                member(r#","user_id":"#, user_id);
            }
            WebhookEvent::ClientEvent(event) => {
                member(r#","event":"#, &event.event);
                text.push_str(r#","data":"#);
                text.push_str(&event.data);
                text.push_str(r#","socket_id":"#);
                push_string(&event.socket_id.to_string(), &mut text);
                if let Some(user_id) = &event.user_id {
                    text.push_str(r#","user_id":"#);
                    push_string(user_id, &mut text);
                }
            }
            WebhookEvent::SubscriptionCount(_, count) => {
                text.push_str(r#","subscription_count":"#);
                text.push_str(&count.to_string());
            }
        }
        text.push_str(r#","id":"#);
        push_string(id, &mut text);
        text.push('}');
        text
    }
}

/// The type of event that a notice would be, and where. Events without the `client-` prefix are the pipes' alone.
fn kind<'n>(notice: &'n Notice<'_>) -> Option<(EventType, &'n ChannelName)> {
    Some(match notice {
        Notice::ChannelOccupied(channel, _) => (EventType::ChannelOccupied, channel),
        Notice::ChannelVacated(channel, _) => (EventType::ChannelVacated, channel),
        Notice::MemberAdded(channel, ..) => (EventType::MemberAdded, channel),
        Notice::MemberRemoved(channel, ..) => (EventType::MemberRemoved, channel),
        Notice::CacheMiss(channel, _) => (EventType::CacheMiss, channel),
        Notice::SubscriptionCount(channel, ..) => (EventType::SubscriptionCount, channel),
        Notice::Event(event)
            if matches!(event.source, Source::Client { .. }) && event.name.starts_with("client-") =>
        {
            (EventType::ClientEvent, event.channel()?)
        }
        _ => return None,
    })
}

/// The body of a webhook: these events, each as JSON, created at `time_ms` (milliseconds since 1970).
pub(crate) fn body<'e>(time_ms: u128, events: impl IntoIterator<Item = &'e str>) -> String {
    let mut text = format!(r#"{{"time_ms":{time_ms},"events":["#);
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(event);
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
    use crate::event::{AcceptedEvent, Destination};
    use crate::protocol::json::Data;

    fn origin() -> ChangeOrigin {
        ChangeOrigin { node: NodeId::new(1), version: ChannelVersion::new(1) }
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    #[test]
    fn every_type_has_its_json() {
        let event = WebhookClientEvent {
            channel: name("private-a"),
            event: "client-\"x\"".into(),
            data: Data::of_text(r#"{"on":true}"#).literal().into(),
            socket_id: SocketId::new(1, 2),
            user_id: None,
        };
        let member =
            WebhookClientEvent { user_id: Some("7".into()), channel: name("presence-a"), ..event.clone() };
        let table = [
            (WebhookEvent::ChannelOccupied(name("a")), r#"{"name":"channel_occupied","channel":"a"}"#),
            (WebhookEvent::ChannelVacated(name("a")), r#"{"name":"channel_vacated","channel":"a"}"#),
            (
                WebhookEvent::MemberAdded(name("presence-a"), "7".into()),
                r#"{"name":"member_added","channel":"presence-a","user_id":"7"}"#,
            ),
            (
                WebhookEvent::MemberRemoved(name("presence-a"), "ü\"\n".into()),
                r#"{"name":"member_removed","channel":"presence-a","user_id":"ü\"\n"}"#,
            ),
            (
                WebhookEvent::ClientEvent(Box::new(event)),
                r#"{"name":"client_event","channel":"private-a","event":"client-\"x\"","data":"{\"on\":true}","socket_id":"1.2"}"#,
            ),
            (
                WebhookEvent::ClientEvent(Box::new(member)),
                r#"{"name":"client_event","channel":"presence-a","event":"client-\"x\"","data":"{\"on\":true}","socket_id":"1.2","user_id":"7"}"#,
            ),
            (WebhookEvent::CacheMiss(name("cache-a")), r#"{"name":"cache_miss","channel":"cache-a"}"#),
            (
                WebhookEvent::SubscriptionCount(name("a"), 12),
                r#"{"name":"subscription_count","channel":"a","subscription_count":12}"#,
            ),
        ];
        for (event, json) in table {
            let whole = json.replace('}', r#","id":"a1"}"#);
            let whole = whole.replace(r#"true,"id":"a1"}"#, "true}");
            assert_eq!(event.to_json("a1"), whole);
            assert!(serde_json::from_str::<serde_json::Value>(&whole).is_ok());
            assert!(event.bytes() >= event.channel().as_str().len());
        }
    }

    #[test]
    fn a_body_holds_its_events_in_order() {
        assert_eq!(body(17, ["{}", r#"{"a":1}"#]), r#"{"time_ms":17,"events":[{},{"a":1}]}"#);
    }

    #[test]
    fn only_what_is_wanted_becomes_an_event() {
        let room = name("room");
        let hidden = name("#server-to-user-7");
        let occupied = Notice::ChannelOccupied(&room, origin());
        assert_eq!(
            WebhookEvent::of_notice(&occupied, |_, _| true),
            Some(WebhookEvent::ChannelOccupied(room.clone()))
        );
        assert_eq!(
            WebhookEvent::of_notice(&occupied, |event_type, _| event_type != EventType::ChannelOccupied),
            None
        );
        assert_eq!(WebhookEvent::of_notice(&Notice::ChannelOccupied(&hidden, origin()), |_, _| true), None);
        let is_told = |source, name: &str| {
            let to = Destination::Subscribers { channel: room.clone(), except: None };
            let event = AcceptedEvent { source, to, name: name.into(), raw: None, data: Data::of_text("x") };
            WebhookEvent::of_notice(&Notice::Event(&event), |_, _| true).is_some()
        };
        let client = Source::Client { socket_id: SocketId::new(1, 1), user_id: None };
        assert!(is_told(client.clone(), "client-x"));
        assert!(!is_told(client, "frame"), "the pipe's");
        assert!(!is_told(Source::Http, "client-x"));
    }
}
