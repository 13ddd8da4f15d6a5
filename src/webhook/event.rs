//! What a webhook tells: the seven types of events, and each event as JSON.

use std::sync::Arc;

use crate::hub::{Heard, Notice, Source};
use crate::protocol::json::push_string;
use crate::protocol::{ChannelName, SocketId};

use super::id::{self, Occasion};

/// A type of event. Endpoints choose among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A channel got its first subscriber.
    ChannelOccupied,
    /// A channel lost its last subscriber.
    ChannelVacated,
    /// A user's first connection joined a presence channel.
    MemberAdded,
    /// A user's last connection left a presence channel.
    MemberRemoved,
    /// A client sent an event to other clients.
    ClientEvent,
    /// Somebody subscribed to a cache channel that remembers nothing.
    CacheMiss,
    /// The number of a channel's subscribers has changed.
    SubscriptionCount,
}

impl EventType {
    /// Every type.
    pub const ALL: [EventType; 7] = [
        EventType::ChannelOccupied,
        EventType::ChannelVacated,
        EventType::MemberAdded,
        EventType::MemberRemoved,
        EventType::ClientEvent,
        EventType::CacheMiss,
        EventType::SubscriptionCount,
    ];

    /// Its name on the wire and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventType::ChannelOccupied => "channel_occupied",
            EventType::ChannelVacated => "channel_vacated",
            EventType::MemberAdded => "member_added",
            EventType::MemberRemoved => "member_removed",
            EventType::ClientEvent => "client_event",
            EventType::CacheMiss => "cache_miss",
            EventType::SubscriptionCount => "subscription_count",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        EventType::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The type that takes this one back, where there is one: each suppresses the other.
    #[must_use]
    pub const fn counterpart(self) -> Option<Self> {
        match self {
            EventType::ChannelOccupied => Some(EventType::ChannelVacated),
            EventType::ChannelVacated => Some(EventType::ChannelOccupied),
            EventType::MemberAdded => Some(EventType::MemberRemoved),
            EventType::MemberRemoved => Some(EventType::MemberAdded),
            EventType::ClientEvent | EventType::CacheMiss | EventType::SubscriptionCount => None,
        }
    }
}

/// A set of types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventTypes(u8);

impl EventTypes {
    /// Names that stand for two types each, which are of little use alone.
    pub const GROUPS: [(&'static str, [EventType; 2]); 2] = [
        ("channel_existence", [EventType::ChannelOccupied, EventType::ChannelVacated]),
        ("presence", [EventType::MemberAdded, EventType::MemberRemoved]),
    ];

    /// All seven.
    #[must_use]
    pub fn all() -> Self {
        EventType::ALL.into_iter().collect()
    }

    /// The types that a name stands for: a type's own or a group's.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let group = EventTypes::GROUPS.iter().find(|(known, _)| *known == name);
        let group = group.map(|(_, types)| types.iter().copied().collect());
        group.or_else(|| EventType::of_name(name).map(|one| [one].into_iter().collect()))
    }

    /// Every name that [`EventTypes::of_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EventType::ALL
            .into_iter()
            .map(EventType::name)
            .chain(EventTypes::GROUPS.iter().map(|(name, _)| *name))
    }

    /// Whether it holds this type.
    #[must_use]
    pub fn contains(self, one: EventType) -> bool {
        self.0 & (1 << one as u8) != 0
    }

    /// Whether it holds this type, or the one that takes it back.
    #[must_use]
    pub fn concerns(self, one: EventType) -> bool {
        self.contains(one) || one.counterpart().is_some_and(|other| self.contains(other))
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        EventTypes(self.0 | other.0)
    }

    /// Its types, in the order of [`EventType::ALL`].
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |one| self.contains(*one))
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        EventTypes(types.into_iter().fold(0, |set, one| set | (1 << one as u8)))
    }
}

/// Something that happened, as an app's backend is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// See [`EventType::ChannelOccupied`].
    ChannelOccupied(ChannelName),
    /// See [`EventType::ChannelVacated`].
    ChannelVacated(ChannelName),
    /// See [`EventType::MemberAdded`]; with the user's id.
    MemberAdded(ChannelName, Arc<str>),
    /// See [`EventType::MemberRemoved`]; with the user's id.
    MemberRemoved(ChannelName, Arc<str>),
    /// See [`EventType::ClientEvent`].
    ClientEvent(Box<ClientEvent>),
    /// See [`EventType::CacheMiss`].
    CacheMiss(ChannelName),
    /// See [`EventType::SubscriptionCount`]; with the number of subscriptions.
    SubscriptionCount(ChannelName, usize),
}

/// An event that a client sent and that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEvent {
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

/// An event, and which of those that look the same it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// Which one it was.
    pub occasion: Occasion,
}

impl Told {
    /// Bytes that it occupies while it waits, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.event.bytes() + size_of::<Occasion>()
    }

    /// It as an app's backend is told it, a JSON object.
    #[must_use]
    pub fn to_json(&self, app_id: &str) -> String {
        self.event.to_json(&id::id(app_id, &self.event, self.occasion))
    }
}

impl Event {
    /// The event that a notice is of, if it is of any. `wants` is asked first, so that what nobody wants costs nothing.
    #[must_use]
    pub fn of_notice(
        notice: &Notice<'_>,
        wants: impl FnOnce(EventType, &ChannelName) -> bool,
    ) -> Option<Self> {
        let (one, channel) = kind(notice)?;
        if !channel.channel_type().is_listed() || !wants(one, channel) {
            return None;
        }
        let channel = channel.clone();
        Some(match notice {
            Notice::ChannelOccupied(..) => Event::ChannelOccupied(channel),
            Notice::ChannelVacated(..) => Event::ChannelVacated(channel),
            Notice::MemberAdded(_, user_id, _) => Event::MemberAdded(channel, Arc::from(*user_id)),
            Notice::MemberRemoved(_, user_id, _) => Event::MemberRemoved(channel, Arc::from(*user_id)),
            Notice::CacheMiss(..) => Event::CacheMiss(channel),
            Notice::SubscriptionCount(_, count, _) => Event::SubscriptionCount(channel, *count),
            Notice::Event(Heard { source: Source::Client { socket_id, user_id }, event, data, .. }) => {
                let (event, data) = (Box::from(*event), Box::from(data.literal()));
                let user_id = user_id.clone();
                Event::ClientEvent(Box::new(ClientEvent {
                    channel,
                    event,
                    data,
                    socket_id: *socket_id,
                    user_id,
                }))
            }
            // Nobody is told of anything else.
            _ => return None,
        })
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self {
            Event::ChannelOccupied(_) => EventType::ChannelOccupied,
            Event::ChannelVacated(_) => EventType::ChannelVacated,
            Event::MemberAdded(..) => EventType::MemberAdded,
            Event::MemberRemoved(..) => EventType::MemberRemoved,
            Event::ClientEvent(_) => EventType::ClientEvent,
            Event::CacheMiss(_) => EventType::CacheMiss,
            Event::SubscriptionCount(..) => EventType::SubscriptionCount,
        }
    }

    /// Where it happened.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        match self {
            Event::ChannelOccupied(channel)
            | Event::ChannelVacated(channel)
            | Event::MemberAdded(channel, _)
            | Event::MemberRemoved(channel, _)
            | Event::CacheMiss(channel)
            | Event::SubscriptionCount(channel, _) => channel,
            Event::ClientEvent(event) => &event.channel,
        }
    }

    /// Bytes that it occupies while it waits, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let own = match self {
            Event::MemberAdded(_, user_id) | Event::MemberRemoved(_, user_id) => user_id.len(),
            Event::ClientEvent(event) => size_of::<ClientEvent>() + event.event.len() + event.data.len(),
            Event::ChannelOccupied(_)
            | Event::ChannelVacated(_)
            | Event::CacheMiss(_)
            | Event::SubscriptionCount(..) => 0,
        };
        size_of::<Event>() + self.channel().as_str().len() + own
    }

    /// Whom it is about, where it is about a user.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        match self {
            Event::MemberAdded(_, user_id) | Event::MemberRemoved(_, user_id) => Some(user_id),
            Event::ClientEvent(event) => event.user_id.as_deref(),
            Event::ChannelOccupied(_)
            | Event::ChannelVacated(_)
            | Event::CacheMiss(_)
            | Event::SubscriptionCount(..) => None,
        }
    }

    /// It as a JSON object, under its `id`. Every id and payload is a string: some libraries decode into nothing else.
    #[must_use]
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
            Event::ChannelOccupied(_) | Event::ChannelVacated(_) | Event::CacheMiss(_) => {}
            Event::MemberAdded(_, user_id) | Event::MemberRemoved(_, user_id) => {
                member(r#","user_id":"#, user_id);
            }
            Event::ClientEvent(event) => {
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
            Event::SubscriptionCount(_, count) => {
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
        Notice::Event(Heard { source: Source::Client { .. }, channel: Some(channel), event, .. })
            if event.starts_with("client-") =>
        {
            (EventType::ClientEvent, channel)
        }
        _ => return None,
    })
}

/// The body of a webhook: these events, each as JSON, created at `time_ms` (milliseconds since 1970).
#[must_use]
pub fn body<'e>(time_ms: u128, events: impl IntoIterator<Item = &'e str>) -> String {
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
    use crate::protocol::json::Data;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    #[test]
    fn every_type_has_its_json() {
        let event = ClientEvent {
            channel: name("private-a"),
            event: "client-\"x\"".into(),
            data: Data::of_text(r#"{"on":true}"#).literal().into(),
            socket_id: SocketId::new(1, 2),
            user_id: None,
        };
        let member = ClientEvent { user_id: Some("7".into()), channel: name("presence-a"), ..event.clone() };
        let table = [
            (Event::ChannelOccupied(name("a")), r#"{"name":"channel_occupied","channel":"a"}"#),
            (Event::ChannelVacated(name("a")), r#"{"name":"channel_vacated","channel":"a"}"#),
            (
                Event::MemberAdded(name("presence-a"), "7".into()),
                r#"{"name":"member_added","channel":"presence-a","user_id":"7"}"#,
            ),
            (
                Event::MemberRemoved(name("presence-a"), "ü\"\n".into()),
                r#"{"name":"member_removed","channel":"presence-a","user_id":"ü\"\n"}"#,
            ),
            (
                Event::ClientEvent(Box::new(event)),
                r#"{"name":"client_event","channel":"private-a","event":"client-\"x\"","data":"{\"on\":true}","socket_id":"1.2"}"#,
            ),
            (
                Event::ClientEvent(Box::new(member)),
                r#"{"name":"client_event","channel":"presence-a","event":"client-\"x\"","data":"{\"on\":true}","socket_id":"1.2","user_id":"7"}"#,
            ),
            (Event::CacheMiss(name("cache-a")), r#"{"name":"cache_miss","channel":"cache-a"}"#),
            (
                Event::SubscriptionCount(name("a"), 12),
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
    fn names_and_groups_make_sets() {
        let existence = EventTypes::of_name("channel_existence").unwrap();
        assert!(existence.iter().eq([EventType::ChannelOccupied, EventType::ChannelVacated]));
        let vacated = EventTypes::of_name("channel_vacated").unwrap();
        assert!(
            !vacated.contains(EventType::ChannelOccupied) && vacated.concerns(EventType::ChannelOccupied)
        );
        assert!(!vacated.concerns(EventType::MemberAdded));
        assert_eq!(EventTypes::of_name("chanel_vacated"), None);
        assert_eq!(EventTypes::all().iter().count(), 7);
        assert_eq!(EventTypes::names().count(), 9);
        assert!(EventTypes::names().all(|name| EventTypes::of_name(name).is_some()));
        assert!(EventTypes::default().is_empty() && !existence.with(vacated).is_empty());
    }

    #[test]
    fn only_what_is_wanted_becomes_an_event() {
        let (room, hidden) = (name("room"), name("#server-to-user-7"));
        let occupied = Notice::ChannelOccupied(&room, 1);
        assert_eq!(Event::of_notice(&occupied, |_, _| true), Some(Event::ChannelOccupied(room.clone())));
        assert_eq!(Event::of_notice(&occupied, |one, _| one != EventType::ChannelOccupied), None);
        assert_eq!(Event::of_notice(&Notice::ChannelOccupied(&hidden, 1), |_, _| true), None);
        let data = Data::of_text("x");
        let heard = |source, event| {
            Notice::Event(Heard { source, channel: Some(&room), event, raw: None, data: &data })
        };
        let client = Source::Client { socket_id: SocketId::new(1, 1), user_id: None };
        assert!(Event::of_notice(&heard(client.clone(), "client-x"), |_, _| true).is_some());
        assert!(Event::of_notice(&heard(client, "frame"), |_, _| true).is_none(), "the pipe's");
        assert!(Event::of_notice(&heard(Source::Http, "client-x"), |_, _| true).is_none());
    }
}
