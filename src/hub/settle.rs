//! A subscription begins or ends: the one place where a channel changes by it and where that is told, whoever caused it.
//!
//! It knows a connection by its address alone. What the connection that joins must be told is handed back.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;

use crate::channel::{
    Announcement, Channel, ChannelVersion, Fact, JoinRefused, Joined, Member, Replay, ReplayTerms, Wanted,
};
use crate::protocol::{ChannelName, Frame, server_message};
use crate::video::Beginning;

use super::counts::PendingCounts;
use super::film::beginnings_of;
use super::mailbox::WorkerCommand;
use super::users::Address;
use super::{AppState, Hub, Notice};

/// The subscription of one connection to one channel.
pub(super) struct SubscriptionChange<'a> {
    pub(super) hub: &'a Arc<Hub>,
    /// Of the thread on which it begins or ends.
    pub(super) counts: &'a PendingCounts,
    pub(super) app: &'a Arc<AppState>,
    pub(super) channel: &'a ChannelName,
    pub(super) address: Address,
}

/// What joins that ask for nothing of the history are begun with.
#[cfg(test)]
pub(super) const NOTHING: (&Wanted, usize) = (&Wanted::Nothing, usize::MAX);

/// What a connection must be told that has joined.
pub(super) struct Welcome {
    /// The version of the channel that the rest belongs to.
    pub(super) version: ChannelVersion,
    /// The members, if it is one of them.
    pub(super) roster: Option<String>,
    /// On cache channels: the event that the channel remembers, or that it remembers none.
    pub(super) remembered: Option<Frame>,
    /// On channels that keep their last events: what it is sent of these, if it wants anything.
    pub(super) replay: Option<Replay>,
    /// On video channels: what it can begin their tracks with.
    pub(super) beginnings: Vec<Beginning>,
}

impl SubscriptionChange<'_> {
    /// Begins it, with a member on presence channels. The roster is by user or by connection, as
    /// [`Presence::roster`](crate::channel::Presence::roster) has it. Of the channel's history it is sent what it wants, if that
    /// has room in so many bytes.
    ///
    /// # Errors
    /// If the channel refuses. Nothing has changed then.
    pub(super) fn begin(
        &self,
        member: Option<&Member>,
        roster_by_user: bool,
        (wanted, room): (&Wanted, usize),
    ) -> Result<Welcome, JoinRefused> {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        let (worker, socket_id) = self.address;
        let limit = if member.is_some() { app.app().limits.presence_members_per_channel } else { 0 };
        let join = |state: &mut Channel| {
            // Drawn under the entry: later changes of the channel have later versions.
            let version = hub.next_version();
            state.join(worker, socket_id, member, limit, version).map(|joined| (joined, version))
        };
        let (mut entry, (Joined { occupied, announcement }, version)) =
            match app.channels.entry(channel.clone()) {
                Entry::Occupied(mut entry) => {
                    let joined = join(entry.get_mut())?;
                    (entry.into_ref(), joined)
                }
                Entry::Vacant(entry) => {
                    let mut state = Channel::default();
                    let joined = join(&mut state)?;
                    (entry.insert(state), joined)
                }
            };
        if occupied {
            hub.announce(app, &Notice::ChannelOccupied(channel, hub.own_change(version)));
        }
        if let Some(announcement) = &announcement {
            let Member { user_id, user_info } = &announcement.member;
            let frame = server_message::member_added(channel, user_id, user_info.as_deref());
            hub.post_member(app, channel, &entry, announcement, &frame);
            if announcement.user_changed {
                hub.announce(app, &Notice::MemberAdded(channel, user_id, hub.own_change(version)));
            }
        }
        let user_id = member.map(|member| &*member.user_id);
        hub.announce(app, &Notice::Subscribed { channel, socket_id, user_id });
        self.counts.changed(hub, app, channel, &mut entry, hub.own_change(version));
        if let Some(bus) = hub.bus() {
            bus.tell(app, self.begun(&entry, announcement.as_ref(), version));
            if app.app().video(channel).is_some() {
                hub.look_for_tracks(app, &*bus, channel, &mut entry);
            }
        }
        let presence = member.and_then(|_| entry.presence());
        let roster = presence.map(|presence| presence.roster(roster_by_user));
        let replay = if app.keeps_history() { self.replay(&mut entry, version, wanted, room) } else { None };
        let is_remembering = channel.channel_type().is_cache()
            && !replay.as_ref().is_some_and(|replay| has_remembered(replay, wanted, &entry));
        let remembered = is_remembering.then(|| self.remembered(&entry, version));
        let beginnings = beginnings_of(&entry, version, app);
        Ok(Welcome { version, roster, remembered, replay, beginnings })
    }

    /// What the connection is sent of the history, if it wants anything of one.
    #[cold]
    fn replay(
        &self,
        entry: &mut Channel,
        version: ChannelVersion,
        wanted: &Wanted,
        room: usize,
    ) -> Option<Replay> {
        let SubscriptionChange { hub, app, channel, address: (_, socket), .. } = *self;
        let now = app.clock().now();
        let history = app.occupy_history(channel, entry, now)?;
        let (epoch, engine) = (hub.history_epoch(), hub.shared_engine());
        let replay = history.replay(wanted, &ReplayTerms { epoch, engine, version, socket, now, room })?;
        hub.histories().count_replay(&replay);
        Some(replay)
    }

    /// Ends it, and returns whether there was one. Nothing happens if there was none.
    pub(super) fn end(&self) -> bool {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        let (worker, socket_id) = self.address;
        let Entry::Occupied(mut entry) = app.channels.entry(channel.clone()) else { return false };
        let version = hub.next_version();
        let Some(left) = entry.get_mut().leave(worker, socket_id, version) else { return false };
        if let Some(tracks) = entry.get_mut().tracks_mut() {
            tracks.left(channel, socket_id, app.clock().now());
        }
        let (bus, own) = (hub.bus(), hub.own_change(version));
        if let Some(announcement) = &left.announcement {
            let user_id = &announcement.member.user_id;
            let is_last = announcement.user_changed;
            let named = bus.as_ref().map(|_| hub.name_end(app, channel, Some(user_id), own, is_last));
            let frame = server_message::member_removed(channel, user_id);
            hub.post_member(app, channel, entry.get(), announcement, &frame);
            if announcement.user_changed {
                hub.announce(app, &Notice::MemberRemoved(channel, user_id, named.unwrap_or(own)));
            }
        }
        let user_id = left.announcement.as_ref().map(|announcement| &*announcement.member.user_id);
        hub.announce(app, &Notice::Unsubscribed { channel, socket_id, user_id });
        self.counts.changed(hub, app, channel, entry.get_mut(), own);
        let mut named = own;
        if let Some(bus) = bus {
            bus.tell(app, self.ended(entry.get(), left.announcement.as_ref(), version));
            if entry.get().subscribers().is_nobody_here() {
                named = hub.name_end(app, channel, None, own, left.vacated);
            }
        }
        if left.vacated {
            hub.announce(app, &Notice::ChannelVacated(channel, named));
        }
        if entry.get().history().is_some() && entry.get().subscribers().is_nobody_here() {
            app.vacate_history(channel, entry.get_mut(), version, hub.recovery().retention);
            drop(entry);
            app.fold_vacant_channels();
        } else if entry.get().is_forgettable() {
            entry.remove();
        }
        true
    }

    /// The event that a cache channel remembers, or that it remembers none.
    fn remembered(&self, entry: &Channel, version: ChannelVersion) -> Frame {
        let SubscriptionChange { hub, app, channel, .. } = *self;
        if let Some(event) = entry.recall(app.clock().now()) {
            return event.frame.clone();
        }
        // Those who listen on other nodes may want to know of it.
        if (app.has_listeners() || hub.bus().is_some())
            && app.cache.lock().miss(channel, version)
            && hub.bus().is_none_or(|bus| bus.miss(app, channel).is_err())
        {
            hub.tell_cache_miss(app, channel, version);
        }
        server_message::cache_miss(channel)
    }

    /// What the other nodes are told of its begin.
    #[cold]
    fn begun(&self, entry: &Channel, announcement: Option<&Announcement>, version: ChannelVersion) -> Fact {
        let channel = self.channel.clone();
        match announcement {
            Some(Announcement { member, .. }) => Fact::Joined { channel, version, member: member.clone() },
            None => Fact::Subscribers { channel, count: plain_here(entry), version },
        }
    }

    /// What they are told of its end.
    #[cold]
    fn ended(&self, entry: &Channel, announcement: Option<&Announcement>, version: ChannelVersion) -> Fact {
        let channel = self.channel.clone();
        match announcement {
            Some(Announcement { joined, .. }) => Fact::Left { channel, joined: *joined, version },
            None => Fact::Subscribers { channel, count: plain_here(entry), version },
        }
    }
}

/// Whether who is sent this of the history needs no word of what the channel remembers: that is among it, or the client has it
/// already, because it has missed nothing else.
fn has_remembered(replay: &Replay, wanted: &Wanted, entry: &Channel) -> bool {
    let is_last = matches!(wanted, Wanted::Last(_)) || !replay.complete;
    let remembered = entry.remembered_version();
    !is_last
        || remembered.is_some_and(|remembered| replay.events.iter().any(|event| event.version == remembered))
}

/// How many subscribers without a member this node has.
fn plain_here(entry: &Channel) -> u32 {
    u32::try_from(entry.subscribers().plain_count()).unwrap_or(u32::MAX)
}

impl Hub {
    /// Tells this node's subscribers of a member who came or left, wherever that was. It goes through every mailbox, also
    /// this worker's, and is posted under the channel's entry: so each subscriber hears of members in the order of the
    /// roster's versions.
    pub(super) fn post_member(
        &self,
        app: &AppState,
        channel: &ChannelName,
        entry: &Channel,
        announcement: &Announcement,
        frame: &Frame,
    ) {
        for worker in entry.subscribers().workers() {
            self.mailbox(worker).post(WorkerCommand::Member {
                app: app.index(),
                channel: channel.clone(),
                frame: frame.clone(),
                version: announcement.version,
                user_changed: announcement.user_changed,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::app::{App, ChannelSettings, Delivery, HistoryBounds};
    use crate::channel::{HistoryPosition, ReplayedEvent};
    use crate::connection::ConnectionConfig;
    use crate::event::{AcceptedEvent, Destination};
    use crate::hub::app_state::payload_of;
    use crate::protocol::json::Data;
    use crate::protocol::pattern::Pattern;
    use crate::protocol::{Rewind, SocketId};

    /// A hub of two workers, neither of which runs, and one app.
    struct Subject {
        hub: Arc<Hub>,
        app: Arc<AppState>,
        counts: PendingCounts,
        channel: ChannelName,
    }

    impl Subject {
        fn new(channel: &str, change: impl FnOnce(&mut App)) -> Self {
            let mut app = App::new("1", "k", "s");
            change(&mut app);
            let hub = Hub::new(vec![(app, Vec::new())], ConnectionConfig::default(), 2, 0).unwrap();
            let app = hub.state_by_key("k").unwrap();
            let channel = ChannelName::parse(channel, 164).unwrap();
            Subject { hub, app, counts: PendingCounts::new(Duration::from_secs(1)), channel }
        }

        /// The subscription of a connection that no worker has.
        fn of(&self, address: Address) -> SubscriptionChange<'_> {
            SubscriptionChange {
                hub: &self.hub,
                counts: &self.counts,
                app: &self.app,
                channel: &self.channel,
                address,
            }
        }

        /// The member events that each worker is to deliver: version and text.
        fn posted(&self) -> Vec<Vec<(ChannelVersion, String)>> {
            let mut context = Context::from_waker(Waker::noop());
            let mut of_all = Vec::new();
            while let Some((_, mut reader)) = self.hub.mailboxes.take_reader() {
                let mut posted = Vec::new();
                while let Poll::Ready(Some(WorkerCommand::Member { frame, version, .. })) =
                    reader.poll(&mut context)
                {
                    posted.push((version, String::from_utf8(frame.json().to_vec()).unwrap()));
                }
                of_all.push(posted);
            }
            of_all
        }
    }

    fn member(user_id: &str) -> Member {
        Member { user_id: user_id.into(), user_info: None }
    }

    fn socket(n: u32) -> SocketId {
        SocketId::new(n, 1)
    }

    #[test]
    fn a_subscription_settles_whoever_caused_it_and_is_told_where_there_are_subscribers() {
        let subject = Subject::new("presence-a", |_| {});
        let (here, there) = (subject.of((0, socket(1))), subject.of((1, socket(2))));
        let first = here.begin(Some(&member("zoe")), true, NOTHING).unwrap();
        assert!(first.roster.unwrap().contains(r#""ids":["zoe"]"#));
        let second = there.begin(Some(&member("bob")), true, NOTHING).unwrap();
        assert!(second.roster.unwrap().contains(r#""ids":["zoe","bob"]"#));
        assert!(second.version > first.version);
        assert_eq!(there.begin(Some(&member("bob")), true, NOTHING).err(), Some(JoinRefused::AlreadyJoined));
        assert!(here.end() && there.end());
        assert!(!there.end(), "it has ended");
        assert!(subject.app.channels.is_empty(), "nothing is left of the channel");
        let [of_first, of_second] = <[_; 2]>::try_from(subject.posted()).unwrap();
        let events = |posted: &[(ChannelVersion, String)]| {
            let names = ["member_added", "member_removed"];
            let name = |text: &String| names.into_iter().find(|name| text.contains(name)).unwrap();
            let user = |text: &String| if text.contains("zoe") { "zoe" } else { "bob" };
            posted.iter().map(|(_, text)| format!("{} {}", name(text), user(text))).collect::<Vec<_>>()
        };
        assert_eq!(events(&of_first), ["member_added zoe", "member_added bob"], "it is left by then");
        assert_eq!(events(&of_second), ["member_added bob", "member_removed zoe"]);
        assert!(of_first.is_sorted() && of_second.is_sorted(), "in the order of the versions");
        assert_eq!((of_first[0].0, of_second[0].0), (first.version, second.version));
    }

    #[test]
    fn a_refused_subscription_makes_no_channel() {
        let subject = Subject::new("presence-a", |app| app.limits.presence_members_per_channel = 0);
        let refused = subject.of((0, socket(1))).begin(Some(&member("zoe")), true, NOTHING);
        assert_eq!(refused.err(), Some(JoinRefused::OverCapacity));
        assert!(subject.app.channels.is_empty());
    }

    #[test]
    fn whoever_joins_a_cache_channel_is_handed_what_it_remembers() {
        let subject = Subject::new("cache-a", |_| {});
        let missed = subject.of((0, socket(1))).begin(None, true, NOTHING).unwrap();
        assert!(missed.roster.is_none(), "there are no members");
        let frame = missed.remembered.unwrap();
        assert!(String::from_utf8_lossy(frame.json()).contains("cache_miss"));
        let subject = Subject::new("news", |_| {});
        assert!(subject.of((0, socket(1))).begin(None, true, NOTHING).unwrap().remembered.is_none());
    }

    /// The events that are published on a channel while nobody is told of them.
    fn publish(subject: &Subject, texts: &[&str]) {
        for text in texts {
            let to = Destination::Subscribers { channel: subject.channel.clone(), except: None };
            let event = AcceptedEvent::of_pipe(to, "e", Data::of_text(text));
            subject.hub.accept(&subject.app, &event);
        }
    }

    fn keeps(app: &mut App) {
        let pattern = Pattern::parse("*").unwrap();
        let history = Some(HistoryBounds { events: 3, ..HistoryBounds::default() });
        app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
    }

    /// What the frames of a replay say.
    fn told(replay: &Replay) -> (bool, Vec<String>) {
        let text = |event: &ReplayedEvent| payload_of(&event.frame).unwrap();
        (replay.complete, replay.events.iter().map(text).collect())
    }

    #[test]
    fn whoever_comes_back_is_handed_what_it_has_missed_or_nothing() {
        let subject = Subject::new("news", keeps);
        let epoch = subject.hub.history_epoch();
        let since = |version: ChannelVersion, own: &[SocketId]| Wanted::Since {
            position: HistoryPosition { epoch, number: version.number() },
            own: own.to_vec(),
        };
        let join = |n, wanted: &Wanted, room| {
            let subscription = subject.of((0, socket(n)));
            let welcome = subscription.begin(None, true, (wanted, room)).unwrap();
            assert!(subscription.end());
            welcome
        };
        let first = join(1, &Wanted::Unknown, usize::MAX);
        assert_eq!(told(&first.replay.unwrap()), (false, vec![]), "it was not here");
        assert!(join(2, &Wanted::Nothing, usize::MAX).replay.is_none(), "it has not asked");
        publish(&subject, &["1", "2", "3"]);
        let wanted = since(first.version, &[]);
        let second = join(3, &wanted, usize::MAX);
        let expected = vec!["1".to_owned(), "2".to_owned(), "3".to_owned()];
        assert_eq!(told(&second.replay.unwrap()), (true, expected));
        let too_large = join(4, &wanted, 10).replay.unwrap();
        assert_eq!(told(&too_large), (false, vec![]));
        assert_eq!(subject.hub.histories().too_large(), 1);
        let third = join(5, &since(second.version, &[]), usize::MAX);
        assert_eq!(told(&third.replay.unwrap()), (true, vec![]), "it has everything");
        publish(&subject, &["4"]);
        assert_eq!(told(&join(6, &wanted, usize::MAX).replay.unwrap()), (false, vec![]), "1 is gone");
        let rewound = join(7, &Wanted::Last(Rewind::Events(2)), usize::MAX).replay.unwrap();
        assert_eq!(told(&rewound), (true, vec!["3".to_owned(), "4".to_owned()]));
        let later = subject.hub.next_version();
        publish(&subject, &["5"]);
        let unheard_of = since(ChannelVersion::new(later.number() + 100), &[]);
        assert_eq!(told(&join(8, &unheard_of, usize::MAX).replay.unwrap()), (false, vec![]));
        assert_eq!(
            told(&join(9, &since(later, &[]), usize::MAX).replay.unwrap()),
            (true, vec!["5".to_owned()])
        );
        let off = Subject::new("news", |_| {});
        assert!(off.of((0, socket(1))).begin(None, true, (&Wanted::Unknown, 1)).unwrap().replay.is_none());
    }

    #[test]
    fn on_a_cache_channel_a_complete_replay_takes_the_place_of_what_is_remembered() {
        let subject = Subject::new("cache-a", keeps);
        let epoch = subject.hub.history_epoch();
        let number = subject.hub.next_version().number();
        let wanted = Wanted::Since { position: HistoryPosition { epoch, number }, own: Vec::new() };
        let empty = subject.of((0, socket(1))).begin(None, true, (&wanted, 1000)).unwrap();
        assert!(empty.remembered.is_none(), "it has missed nothing: it is told of no cache_miss");
        publish(&subject, &["1", "2"]);
        let complete = subject.of((0, socket(2))).begin(None, true, (&wanted, 1000)).unwrap();
        assert_eq!(told(&complete.replay.unwrap()), (true, vec!["1".to_owned(), "2".to_owned()]));
        assert!(complete.remembered.is_none());
        let incomplete = subject.of((0, socket(3))).begin(None, true, (&Wanted::Unknown, 1000)).unwrap();
        assert_eq!(told(&incomplete.replay.unwrap()), (false, vec![]));
        assert_eq!(payload_of(&incomplete.remembered.unwrap()).as_deref(), Some("2"));
        // Who asks for the last events may have none of those before.
        let last = Wanted::Last(Rewind::Events(1));
        let sent = subject.of((0, socket(4))).begin(None, true, (&last, 1000)).unwrap();
        assert_eq!(told(&sent.replay.unwrap()), (true, vec!["2".to_owned()]));
        assert!(sent.remembered.is_none(), "it is the one that is sent");
        let nothing = subject.of((0, socket(5))).begin(None, true, (&last, 1)).unwrap();
        assert_eq!(told(&nothing.replay.unwrap()), (false, vec![]), "it is too large");
        assert_eq!(payload_of(&nothing.remembered.unwrap()).as_deref(), Some("2"));
    }

    #[test]
    fn events_of_a_channel_with_a_history_carry_the_version_that_joins_are_compared_with() {
        let subject = Subject::new("news", keeps);
        subject.of((0, socket(1))).begin(None, true, NOTHING).unwrap();
        publish(&subject, &["1"]);
        let joined = subject.of((0, socket(2))).begin(None, true, NOTHING).unwrap();
        publish(&subject, &["2"]);
        let (_, mut reader) = subject.hub.mailboxes.take_reader().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut versions = Vec::new();
        while let Poll::Ready(Some(WorkerCommand::Broadcast { version, .. })) = reader.poll(&mut context) {
            versions.push(version.unwrap());
        }
        assert!(versions[0] < joined.version && joined.version < versions[1], "{versions:?}");
    }
}
