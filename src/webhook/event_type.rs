//! The types of webhook events, and the sets of them that endpoints choose.

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
    pub fn of_name(name: &str) -> Option<Self> {
        EventType::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The type that takes this one back, where there is one: each suppresses the other.
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
    pub fn all() -> Self {
        EventType::ALL.into_iter().collect()
    }

    /// The types that a name stands for: a type's own or a group's.
    pub fn of_name(name: &str) -> Option<Self> {
        let group = EventTypes::GROUPS.iter().find(|(known, _)| *known == name);
        let group = group.map(|(_, types)| types.iter().copied().collect());
        group.or_else(|| EventType::of_name(name).map(|event_type| [event_type].into_iter().collect()))
    }

    /// Every name that [`EventTypes::of_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EventType::ALL
            .into_iter()
            .map(EventType::name)
            .chain(EventTypes::GROUPS.iter().map(|(name, _)| *name))
    }

    /// Whether it holds this type.
    pub fn contains(self, event_type: EventType) -> bool {
        self.0 & (1 << event_type as u8) != 0
    }

    /// Whether it holds this type, or the one that takes it back.
    pub fn concerns(self, event_type: EventType) -> bool {
        self.contains(event_type) || event_type.counterpart().is_some_and(|other| self.contains(other))
    }

    /// Whether it holds none.
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
        EventType::ALL.into_iter().filter(move |event_type| self.contains(*event_type))
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        EventTypes(types.into_iter().fold(0, |set, event_type| set | (1 << event_type as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
