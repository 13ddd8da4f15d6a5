//! What the backends on the pipe that are connected to one node want to hear of an app: what other nodes are told of it.

use std::sync::Arc;

use crate::protocol::SocketId;

use super::{ConsumerGroup, NotificationFilter, NotificationKind};

/// What is wanted of the backends of a node, altogether.
///
/// It is bounded. Backends that want more different things than it holds are told as wanting everything: what they do not
/// want is told their node in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackendDemand {
    wishes: Vec<BackendWish>,
}

/// What some backends want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendWish {
    /// Of these kinds, as bits.
    pub(crate) kinds: u8,
    pub(crate) filter: Arc<NotificationFilter>,
    /// The backends, if they share the work: each is known by its connection. If they do not, it does not matter how many
    /// there are.
    pub(crate) members: Vec<SocketId>,
}

impl BackendDemand {
    /// Different wishes, and the bytes of their texts.
    pub(crate) const MOST_WISHES: usize = 64;
    pub(crate) const MOST_BYTES: usize = 32 * 1024;
    /// Members of groups. Those beyond are given no share of what other nodes accept.
    pub(crate) const MOST_MEMBERS: usize = 1000;

    /// What backends want: each is named by its connection, with a filter for each kind that it has subscribed to.
    pub(crate) fn of<'b>(
        backends: impl Iterator<Item = (SocketId, NotificationKind, &'b Arc<NotificationFilter>)> + Clone,
    ) -> Self {
        let mut demand = BackendDemand::default();
        let is_told = backends.clone().all(|(socket, kind, filter)| demand.add(socket, kind, filter));
        if !is_told {
            demand = BackendDemand::default();
            // Of groups beyond the bound nobody else knows.
            let alone = backends.clone().filter(|(.., filter)| filter.group.is_none());
            let grouped = backends.filter(|(.., filter)| filter.group.is_some());
            for (socket, kind, filter) in alone.chain(grouped) {
                let everything = NotificationFilter {
                    http: true,
                    group: filter.group.clone(),
                    ..NotificationFilter::EVERYTHING
                };
                demand.add(socket, kind, &Arc::new(everything));
            }
        }
        demand.put_together();
        demand
    }

    /// What a node says that its backends want; none if no node can say that.
    pub(crate) fn from_wishes(wishes: Vec<BackendWish>) -> Option<Self> {
        let demand = BackendDemand { wishes };
        demand.is_bounded().then_some(demand)
    }

    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// All that is wanted.
    pub(crate) fn wishes(&self) -> &[BackendWish] {
        &self.wishes
    }

    /// What is wanted of one kind.
    pub(crate) fn of_kind(&self, kind: NotificationKind) -> impl Iterator<Item = &BackendWish> {
        self.wishes.iter().filter(move |wish| wish.kinds & kind.bit() != 0)
    }

    /// The kinds of which something is wanted, as bits.
    pub(crate) fn kinds(&self) -> u8 {
        self.wishes.iter().fold(0, |bits, wish| bits | wish.kinds)
    }

    /// Whether an event that a client says on this channel, or on none, is wanted.
    pub(crate) fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.of_kind(NotificationKind::SocketMessage)
            .any(|wish| wish.filter.wants_message(true, channel, event))
    }

    /// Bytes that it occupies, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.wishes.iter().map(BackendWish::bytes).sum()
    }

    fn is_bounded(&self) -> bool {
        let text_bytes: usize = self.wishes.iter().map(|wish| wish.filter.bytes()).sum();
        self.wishes.len() <= Self::MOST_WISHES
            && text_bytes <= Self::MOST_BYTES
            && self.members() <= Self::MOST_MEMBERS
    }

    fn members(&self) -> usize {
        self.wishes.iter().map(|wish| wish.members.len()).sum()
    }

    /// Adds what one backend wants of a kind. Whether there was room for it; for one more member there need not be.
    fn add(&mut self, socket: SocketId, kind: NotificationKind, filter: &Arc<NotificationFilter>) -> bool {
        let has_room = self.members() < Self::MOST_MEMBERS;
        let of_kind = |wish: &&mut BackendWish| wish.kinds == kind.bit() && wish.filter == *filter;
        if let Some(wish) = self.wishes.iter_mut().find(of_kind) {
            let is_new = filter.group.is_some() && !wish.members.contains(&socket);
            if is_new && has_room {
                wish.members.push(socket);
            }
            return true;
        }
        let members = filter.group.iter().filter(|_| has_room).map(|_| socket).collect();
        self.wishes.push(BackendWish { kinds: kind.bit(), filter: Arc::clone(filter), members });
        let is_bounded = self.is_bounded();
        if !is_bounded {
            self.wishes.pop();
        }
        is_bounded
    }

    /// Makes one wish of those that differ in their kinds alone.
    fn put_together(&mut self) {
        let mut wishes: Vec<BackendWish> = Vec::with_capacity(self.wishes.len());
        for wish in self.wishes.drain(..) {
            let is_same =
                |other: &&mut BackendWish| other.filter == wish.filter && other.members == wish.members;
            match wishes.iter_mut().find(is_same) {
                Some(other) => other.kinds |= wish.kinds,
                None => wishes.push(wish),
            }
        }
        self.wishes = wishes;
    }
}

impl BackendWish {
    /// The group of those who share the work.
    pub(crate) fn group(&self) -> Option<&ConsumerGroup> {
        self.filter.group.as_ref()
    }

    fn bytes(&self) -> usize {
        let globs = self.filter.channels.iter().chain(&self.filter.names).map(Vec::len).sum::<usize>();
        size_of::<Self>()
            + size_of::<NotificationFilter>()
            + globs * size_of::<super::Glob>()
            + self.filter.bytes()
            + size_of_val(&self.members[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Glob, GroupBy};

    fn socket(n: usize) -> SocketId {
        SocketId::new(u32::try_from(n).unwrap(), 1)
    }

    fn on(channel: &str, group: Option<&str>) -> Arc<NotificationFilter> {
        let group = group.map(|name| ConsumerGroup { name: name.into(), by: GroupBy::Socket });
        let channels = Some(vec![Glob::parse(channel).unwrap()]);
        Arc::new(NotificationFilter { channels, group, ..NotificationFilter::EVERYTHING })
    }

    type Backend = (SocketId, NotificationKind, Arc<NotificationFilter>);

    fn demand(backends: &[Backend]) -> BackendDemand {
        BackendDemand::of(backends.iter().map(|(socket, kind, filter)| (*socket, *kind, filter)))
    }

    #[test]
    fn backends_that_want_the_same_are_one_and_only_members_of_groups_are_told_apart() {
        use NotificationKind::{Presence, SocketMessage};
        let (all, shared) = (on("stream", None), on("stream", Some("workers")));
        let backends: Vec<Backend> = (0..3)
            .flat_map(|n| [(socket(n), SocketMessage, all.clone()), (socket(n), Presence, all.clone())])
            .chain((3..5).map(|n| (socket(n), SocketMessage, shared.clone())))
            .collect();
        let demand = demand(&backends);
        let both = SocketMessage.bit() | Presence.bit();
        assert_eq!(
            demand.wishes(),
            [
                BackendWish { kinds: both, filter: all, members: Vec::new() },
                BackendWish {
                    kinds: SocketMessage.bit(),
                    filter: shared,
                    members: vec![socket(3), socket(4)]
                },
            ]
        );
        assert!(demand.listens(Some("stream"), "frame") && !demand.listens(Some("door"), "frame"));
        assert_eq!((demand.kinds(), demand.of_kind(Presence).count()), (both, 1));
        assert!(BackendDemand::of(std::iter::empty()).is_empty());
    }

    #[test]
    fn those_that_want_too_much_are_told_as_wanting_everything() {
        let kind = NotificationKind::SocketMessage;
        let many: Vec<Backend> =
            (0..200).map(|n| (socket(n), kind, on(&format!("room-{n}"), None))).collect();
        let few = demand(&many[..BackendDemand::MOST_WISHES]);
        assert!(few.listens(Some("room-3"), "e") && !few.listens(Some("door"), "e"));
        let all = demand(&many);
        assert!(all.listens(Some("door"), "e") && all.wishes().len() == 1);
        let long = "x".repeat(BackendDemand::MOST_BYTES / 2 + 1);
        let texts = [(socket(1), kind, on(&long, None)), (socket(2), kind, on(&format!("{long}y"), None))];
        assert!(!demand(&texts[..1]).listens(Some("door"), "e"));
        assert!(demand(&texts).listens(Some("door"), "e"));
        let grouped: Vec<Backend> =
            (0..200).map(|n| (socket(n), kind, on(&format!("room-{n}"), Some(["a", "b"][n % 2])))).collect();
        let groups: Vec<_> = demand(&grouped).wishes().iter().map(|wish| wish.members.len()).collect();
        assert_eq!(groups, [100, 100], "a group is still one");
    }

    #[test]
    fn members_and_what_others_say_are_bounded() {
        let (kind, filter) = (NotificationKind::SocketMessage, on("a", Some("workers")));
        let many: Vec<Backend> =
            (0..=BackendDemand::MOST_MEMBERS).map(|n| (socket(n), kind, filter.clone())).collect();
        let demand = demand(&many);
        assert_eq!(demand.wishes()[0].members.len(), BackendDemand::MOST_MEMBERS);
        let mut wishes = demand.wishes().to_vec();
        assert_eq!(BackendDemand::from_wishes(wishes.clone()), Some(demand));
        wishes[0].members.push(socket(0));
        assert_eq!(BackendDemand::from_wishes(wishes), None);
        let wish = BackendWish { kinds: 1, filter: on("a", None), members: Vec::new() };
        assert_eq!(BackendDemand::from_wishes(vec![wish; BackendDemand::MOST_WISHES + 1]), None);
    }
}
