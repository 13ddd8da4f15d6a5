//! One channel as a value: its subscribers, its members, and what each call changes.
//!
//! A channel knows no lock, no socket and no clock; the hub keeps it in a map and carries out what it reports. Of other nodes
//! it knows how many subscribers they have and their members: what is true of a channel is the union of all nodes.

mod arrivals;
mod cache;
mod change;
mod count;
mod elsewhere;
mod fact;
mod history;
mod history_position;
mod node_id;
mod presence;
mod present_user;
mod replay;
mod subscribers;
mod version;

pub(crate) use cache::{CachedEvent, EngineEvent, EngineNumber};
pub(crate) use change::{Announcement, ChangedElsewhere, JoinRefused, Joined, Left};
pub(crate) use count::CountChange;
pub(crate) use fact::{Change, Fact};
pub(crate) use history::{
    Dropped, HeldHistory, History, HistoryPage, HistoryStart, KeptEvent, LossReason, LostEvent, LostNumbers,
    PageTerms, PartOfHistory, StreamNumber,
};
pub(crate) use history_position::HistoryPosition;
pub(crate) use node_id::NodeId;
pub(crate) use presence::user_info_text;
pub(crate) use presence::{BadMember, Member, Presence};
pub(crate) use replay::{Replay, ReplayTerms, ReplayedEvent, Wanted};
pub(crate) use subscribers::{Subscribers, WorkerIndex};
pub(crate) use version::{ChangeOrigin, ChannelVersion};

use std::time::Instant;

use crate::protocol::{Frame, SocketId};
use crate::video::ChannelTracks;
use cache::LastEvent;
use count::CountWindow;
use elsewhere::Elsewhere;
use presence::{MemberConnection, OverCapacity};
use present_user::DistantName;
use subscribers::Removed;

/// The state of one channel: its subscribers across all workers of this node, and what other nodes have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channel {
    subscribers: Subscribers,
    /// The members on all nodes.
    presence: Option<Box<Presence>>,
    /// Who else has subscribers; none if nobody has.
    elsewhere: Option<Box<Elsewhere>>,
    last_event: Option<Box<LastEvent>>,
    count_window: CountWindow,
    /// Its last events, where the app wants them kept.
    history: Option<Box<History>>,
    /// Its tracks, where it has some.
    tracks: Option<Box<ChannelTracks>>,
}

impl Channel {
    /// Subscribes a connection; with a member on presence channels. `version` is a number larger than any
    /// given to a channel of this name before: it outlives the channel, which is forgotten when it is empty.
    ///
    /// # Errors
    /// If it is subscribed, or the member would be one too many. Nothing has changed then.
    pub(crate) fn join(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        member: Option<&Member>,
        members_limit: usize,
        version: ChannelVersion,
    ) -> Result<Joined, JoinRefused> {
        let occupied = self.is_vacant();
        let Some(member) = member else {
            let added = self.subscribers.insert(worker, socket);
            return added
                .then_some(Joined { occupied, announcement: None })
                .ok_or(JoinRefused::AlreadyJoined);
        };
        if self.subscribers.contains_on(worker, socket) {
            return Err(JoinRefused::AlreadyJoined);
        }
        let presence = self.presence.get_or_insert_default();
        let joined =
            presence.join(member, members_limit, version).map_err(|OverCapacity| JoinRefused::OverCapacity);
        let (connection, user_changed) = joined?;
        self.subscribers.insert_member(worker, socket, connection);
        let announcement = Announcement { member: member.clone(), user_changed, version, joined: version };
        Ok(Joined { occupied, announcement: Some(announcement) })
    }

    /// Ends a connection's subscription; `None` if it had none. `version` as in [`Channel::join`].
    pub(crate) fn leave(
        &mut self,
        worker: WorkerIndex,
        socket: SocketId,
        version: ChannelVersion,
    ) -> Option<Left> {
        let left = match self.subscribers.remove(worker, socket)? {
            Removed::Plain => None,
            Removed::Member(place) => {
                let left = self.presence.as_mut().and_then(|presence| presence.leave(place));
                left.map(|left| (left, place.joined))
            }
        };
        let announcement = left.map(|((member, user_changed), joined)| Announcement {
            member,
            user_changed,
            version,
            joined,
        });
        Some(Left { vacated: self.is_vacant(), announcement })
    }

    /// Another node has so many subscribers without a member.
    pub(crate) fn count_elsewhere(&mut self, node: NodeId, count: u32) -> ChangedElsewhere {
        self.change_elsewhere(|_, elsewhere| {
            elsewhere.set_plain(node, count);
            None
        })
    }

    /// A connection of a member has joined on another node. `version` as in [`Channel::join`]; `here` is this node. If the
    /// connection is known, there is no announcement.
    pub(crate) fn join_elsewhere(
        &mut self,
        (node, joined): DistantName,
        member: &Member,
        version: ChannelVersion,
        here: NodeId,
    ) -> ChangedElsewhere {
        self.change_elsewhere(|channel, elsewhere| {
            let presence = channel.presence.get_or_insert_default();
            let user_changed = presence.join_elsewhere(member, (node, joined), version, here)?;
            elsewhere.member_came(node);
            Some(Announcement { member: member.clone(), user_changed, version, joined })
        })
    }

    /// The connection that has joined as this user on another node has left, or its node is gone. `version` as in
    /// [`Channel::join`].
    pub(crate) fn leave_elsewhere(
        &mut self,
        (node, joined): DistantName,
        user_id: &str,
        version: ChannelVersion,
    ) -> ChangedElsewhere {
        self.change_elsewhere(|channel, elsewhere| {
            let left = channel.presence.as_mut()?.leave_elsewhere(user_id, (node, joined));
            let (member, user_changed) = left?;
            elsewhere.member_left(node);
            Some(Announcement { member, user_changed, version, joined })
        })
    }

    fn change_elsewhere(
        &mut self,
        change: impl FnOnce(&mut Self, &mut Elsewhere) -> Option<Announcement>,
    ) -> ChangedElsewhere {
        let (was_vacant, before) = (self.is_vacant(), self.subscription_count());
        let mut elsewhere = self.elsewhere.take().unwrap_or_default();
        let announcement = change(self, &mut elsewhere);
        self.elsewhere = (!elsewhere.is_nobody()).then_some(elsewhere);
        ChangedElsewhere {
            occupied: was_vacant && !self.is_vacant(),
            vacated: !was_vacant && self.is_vacant(),
            count_changed: self.subscription_count() != before,
            announcement,
        }
    }

    /// The subscribed connections of this node.
    pub(crate) fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The number of subscribers has changed, on a channel whose subscribers are told it: when to tell them.
    pub(crate) fn count_changed(&mut self, now: Instant) -> CountChange {
        self.count_window.changed(self.subscription_count(), now)
    }

    /// Whether a window in which the count changed has ended now, so that the count is to be told. Otherwise, when to
    /// look again, if a window is open.
    pub(crate) fn take_count_window(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        if self.count_window.take_end(now) { Ok(()) } else { Err(self.count_window.ends()) }
    }

    /// Remembers an event in place of the last one. One without a number is behind that: it has the last one's.
    pub(crate) fn remember(&mut self, event: CachedEvent) {
        let of_another = |last| EngineNumber { is_of_another: true, ..last };
        let number = event.number.or_else(|| self.last_number().map(of_another));
        self.last_event = Some(Box::new(LastEvent::Remembered(CachedEvent { number, ..event })));
    }

    /// Gives the remembered event the number that the engine remembers it by, if this is it.
    pub(crate) fn renumber(&mut self, frame: &Frame, number: u64) -> bool {
        match self.last_event.as_deref_mut() {
            Some(LastEvent::Remembered(event)) if event.frame.json() == frame.json() => {
                event.number = Some(EngineNumber::new(number));
                true
            }
            _ => false,
        }
    }

    /// The event that is remembered, if any is.
    pub(crate) fn recall(&self, now: Instant) -> Option<&CachedEvent> {
        self.last_event.as_deref().and_then(LastEvent::event).filter(|event| event.is_alive(now))
    }

    /// Whether the event of this number has been remembered, or a later one. `is_recalled`: the engine was asked for it.
    pub(crate) fn has_remembered(&self, number: u64, is_recalled: bool) -> bool {
        self.last_number().is_some_and(|last| last.covers(number, is_recalled))
    }

    /// Whether the last event is that of this number, and is not remembered any more, because it gave way to others.
    pub(crate) fn gave_way(&self, number: u64) -> bool {
        matches!(self.last_event.as_deref(), Some(LastEvent::GaveWay(last)) if last.number == number)
    }

    fn last_number(&self) -> Option<EngineNumber> {
        self.last_event.as_deref().and_then(LastEvent::number)
    }

    /// The number of the last event is from now on that of a former engine.
    pub(crate) fn engine_changed(&mut self) {
        if let Some(number) = self.last_event.as_deref_mut().and_then(LastEvent::number_mut) {
            number.is_former = true;
        }
    }

    /// There is no engine any more.
    pub(crate) fn forget_engine(&mut self) {
        self.last_event = match self.last_event.take().map(|last| *last) {
            Some(LastEvent::Remembered(event)) => {
                Some(Box::new(LastEvent::Remembered(CachedEvent { number: None, ..event })))
            }
            Some(LastEvent::GaveWay(_)) | None => None,
        };
    }

    /// The connections of members on this node, in the order in which they came: the change by which each has joined, and what it
    /// says of its user.
    pub(crate) fn members_here(&self) -> Vec<(ChannelVersion, Member)> {
        let member = |place: MemberConnection| Some((place.joined, self.presence.as_deref()?.member(place)?));
        let mut members: Vec<_> = self.subscribers.members().filter_map(member).collect();
        members.sort_unstable_by_key(|(joined, _)| *joined);
        members
    }

    /// Forgets the event of this version, if it is still the one that is remembered.
    pub(crate) fn forget(&mut self, version: ChannelVersion) {
        self.last_event.take_if(|last| last.event().is_some_and(|event| event.version == version));
    }

    /// The same, where it has to give way to others: while somebody is here it is known which one it was, as the engine may have
    /// it.
    pub(crate) fn give_way(&mut self, version: ChannelVersion) {
        let number = self.last_number().filter(|_| !self.subscribers.is_nobody_here());
        if self.remembered_version() == Some(version) {
            self.last_event = number.map(|number| Box::new(LastEvent::GaveWay(number)));
        }
    }

    /// The version of the event that it remembers.
    pub(crate) fn remembered_version(&self) -> Option<ChannelVersion> {
        self.last_event.as_deref().and_then(LastEvent::event).map(|event| event.version)
    }

    /// Its last events, where they are kept.
    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn history_mut(&mut self) -> Option<&mut History> {
        self.history.as_deref_mut()
    }

    /// The same. If it has none, one begins, and events up to `lost` are not there.
    pub(crate) fn history_or_begin(&mut self, lost: impl FnOnce() -> LostEvent) -> &mut History {
        self.history.get_or_insert_with(|| Box::new(History::beginning(lost())))
    }

    /// From now on its events are not kept any more. Returns those that were.
    pub(crate) fn end_history(&mut self) -> Option<Box<History>> {
        self.history.take()
    }

    /// How many connections are subscribed, on all nodes.
    pub(crate) fn subscription_count(&self) -> usize {
        self.subscribers.count() + self.subscribed_elsewhere()
    }

    /// How many of them are on other nodes.
    pub(crate) fn subscribed_elsewhere(&self) -> usize {
        self.elsewhere.as_ref().map_or(0, |elsewhere| elsewhere.count())
    }

    /// Whether nobody at all is subscribed, on any node, so that the next subscription occupies the channel and the end of
    /// the last one has vacated it.
    pub(crate) fn is_vacant(&self) -> bool {
        self.subscribers.is_nobody_here() && self.elsewhere.is_none()
    }

    /// Whether another node has subscribers.
    pub(crate) fn is_on(&self, node: NodeId) -> bool {
        self.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.is_on(node))
    }

    /// Whether nothing would be lost if the channel were forgotten: nobody is subscribed, nothing is remembered or kept.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.is_vacant()
            && self.remembered_version().is_none()
            && self.history.is_none()
            && self.tracks.is_none()
    }

    /// Its tracks, where it has some.
    pub(crate) fn tracks(&self) -> Option<&ChannelTracks> {
        self.tracks.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn tracks_mut(&mut self) -> Option<&mut ChannelTracks> {
        self.tracks.as_deref_mut()
    }

    /// The same; there may be none yet.
    pub(crate) fn tracks_or_new(&mut self) -> &mut ChannelTracks {
        self.tracks.get_or_insert_default()
    }

    /// Forgets what it knows of tracks, if it has none any more.
    pub(crate) fn drop_empty_tracks(&mut self) {
        self.tracks.take_if(|tracks| tracks.is_empty());
    }

    /// Tells of each subscribed connection of this node, and of its member if that is asked for.
    pub(crate) fn visit_subscribers(
        &self,
        mut tell: impl FnMut(SocketId, &dyn Fn() -> Option<std::sync::Arc<str>>),
    ) {
        for (socket, place) in self.subscribers.all() {
            tell(socket, &|| Some(self.presence()?.member(place?)?.user_id));
        }
    }

    /// The members on all nodes, on presence channels that have had one.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_deref()
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
