//! Up to where the client of one name has received each of its channels.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::{ChannelVersion, HistoryPosition, NodeId};
use crate::protocol::{ChannelName, SocketId};

use super::held_note::{HeldNote, NoteUrgency};
use super::note::{MOST_CURSORS, MOST_SOCKETS, NameNote, NoteNumber, NotedCursor};

/// Bytes that a cursor takes besides its texts: what is kept of it, and its share of the table.
const CURSOR_BYTES: usize = 2 * (size_of::<ChannelCursor>() + size_of::<ChannelName>());

/// The bytes of all cursors of a node.
#[derive(Debug, Default)]
pub(crate) struct CursorBytes {
    bytes: AtomicUsize,
    cursors: AtomicUsize,
}

/// Up to where a client has received a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceivedPlace {
    /// Up to a version of this node.
    Here(ChannelVersion),
    /// Up to a place that another node has told of. It has received nothing of the channel here.
    Elsewhere(HistoryPosition),
}

/// A moment: by the clock of the node, by that of the app, which cursors have, and in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameTimes {
    pub(crate) node: Instant,
    pub(crate) app: Instant,
    pub(crate) ms: u64,
}

/// Tells one subscription from every other one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinedAs(u64);

/// What is kept of one name: it belongs to the connection that came last, its holder.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// The number of the connection that holds the name; those before it are not listened to.
    holder: u64,
    /// What the holder subscribes to is not kept any more.
    is_barred: bool,
    last_join: u64,
    channels: HashMap<ChannelName, ChannelCursor>,
    sockets: VecDeque<SocketId>,
    /// Whom the client was signed in as last.
    user: Option<Arc<str>>,
    /// How long a cursor is good after the client has left.
    retention: Duration,
    /// Those of the node, and those of the client's address.
    counted: [Arc<CursorBytes>; 2],
    /// What other nodes are told of it, where there are some.
    note: Option<HeldNote>,
    /// Another node has taken the name.
    taken_by_node: Option<(NoteNumber, NodeId)>,
}

#[derive(Debug)]
struct ChannelCursor {
    joined: JoinedAs,
    /// It has received everything up to here, and been told so; nothing is known yet while there is none.
    received: Option<ReceivedPlace>,
    /// What other nodes were told of that last.
    noted: Option<HistoryPosition>,
    /// As whom it was a member of the channel.
    member: Option<Arc<str>>,
    /// When the connection ended, or lost its name, that was subscribed.
    left: Option<Instant>,
}

impl Cursors {
    /// None yet, of a name that nobody holds, and whose address is not counted.
    #[cfg(test)]
    pub(crate) fn new(retention: Duration, of_all: &Arc<CursorBytes>) -> Self {
        Cursors::of_address(retention, of_all, Arc::default())
    }

    /// None yet, of a name that nobody holds. Those of the client's address are counted there.
    pub(super) fn of_address(
        retention: Duration,
        of_all: &Arc<CursorBytes>,
        of_address: Arc<CursorBytes>,
    ) -> Self {
        Cursors {
            holder: 0,
            is_barred: false,
            last_join: 0,
            channels: HashMap::new(),
            sockets: VecDeque::new(),
            user: None,
            retention,
            counted: [Arc::clone(of_all), of_address],
            note: None,
            taken_by_node: None,
        }
    }

    /// The client is at another address from now on.
    pub(super) fn move_to(&mut self, of_address: Arc<CursorBytes>) {
        for (channel, cursor) in &self.channels {
            self.counted[1].add_less(channel, cursor);
            of_address.add(channel, cursor);
        }
        let of_note = self.note_bytes();
        self.counted[1].bytes.fetch_sub(of_note, Ordering::Relaxed);
        of_address.bytes.fetch_add(of_note, Ordering::Relaxed);
        self.counted[1] = of_address;
    }

    /// The bytes of all cursors of the client's address.
    pub(crate) fn bytes_of_address(&self) -> usize {
        self.counted[1].bytes()
    }

    /// A connection comes with the name and holds it from now on. Returns its number.
    pub(crate) fn taken_by(&mut self, socket: SocketId, now: Instant) -> u64 {
        self.let_go(now);
        self.is_barred = false;
        if self.sockets.len() == MOST_SOCKETS {
            self.sockets.pop_front();
        }
        self.sockets.push_back(socket);
        self.changed(NoteUrgency::Soon);
        self.holder
    }

    /// Nobody holds it any more, whoever did. What was received of the channels that it was subscribed to is kept.
    fn let_go(&mut self, now: Instant) {
        self.holder += 1;
        let retention = self.retention;
        let is_late = |left: Instant| now.saturating_duration_since(left) >= retention;
        self.forget_if(|cursor| cursor.received.is_none() || cursor.left.is_some_and(is_late));
        for cursor in self.channels.values_mut() {
            cursor.left.get_or_insert(now);
        }
        self.changed(NoteUrgency::Now);
    }

    /// The holder ends. Returns whether anything is kept for its return; `None` if another one has the name.
    pub(crate) fn left_by(&mut self, holder: u64, now: Instant) -> Option<bool> {
        if holder != self.holder {
            return None;
        }
        self.let_go(now);
        Some(!self.channels.is_empty())
    }

    /// Nothing is kept any more, and nobody holds the name.
    pub(crate) fn drop_all(&mut self) {
        self.holder += 1;
        self.forget_if(|_| true);
        self.changed(NoteUrgency::Now);
    }

    /// Up to where the client has received the channel, if it was subscribed to it when it was here last, not longer ago
    /// than that, and as the same member.
    pub(crate) fn wanted_by(
        &self,
        holder: u64,
        channel: &ChannelName,
        member: Option<&str>,
        now: Instant,
    ) -> Option<ReceivedPlace> {
        let cursor = self.channels.get(channel).filter(|_| holder == self.holder)?;
        let has_left = cursor.left.is_some_and(|left| now.saturating_duration_since(left) < self.retention);
        if has_left && cursor.member.as_deref() == member { cursor.received } else { None }
    }

    /// The client's connections of late, its present one among them.
    pub(crate) fn sockets(&self) -> Vec<SocketId> {
        self.sockets.iter().copied().collect()
    }

    /// The holder is subscribed to the channel. `is_complete`: it is sent everything that its cursor wants; else it has to
    /// learn that it is not. Returns how the subscription is called from now on, if there is room for its cursor.
    pub(crate) fn joined(
        &mut self,
        holder: u64,
        channel: &ChannelName,
        member: Option<&Arc<str>>,
        is_complete: bool,
    ) -> Option<JoinedAs> {
        if holder != self.holder {
            return None;
        }
        let before = self.channels.remove(channel);
        if let Some(before) = &before {
            self.counted.iter().for_each(|counted| counted.add_less(channel, before));
        }
        if self.is_barred || self.channels.len() >= MOST_CURSORS {
            return None;
        }
        self.last_join += 1;
        let joined = JoinedAs(self.last_join);
        // Until the client says that it knows of the gap, nothing is known.
        let before = before.filter(|_| is_complete).map(|cursor| (cursor.received, cursor.noted));
        let (received, noted) = before.unwrap_or_default();
        let cursor = ChannelCursor { joined, received, noted, member: member.cloned(), left: None };
        self.counted.iter().for_each(|counted| counted.add(channel, &cursor));
        self.channels.insert(channel.clone(), cursor);
        self.changed(NoteUrgency::Soon);
        Some(joined)
    }

    /// The client has received everything up to this version, on that subscription.
    pub(crate) fn received(&mut self, channel: &ChannelName, joined: JoinedAs, version: ChannelVersion) {
        if let Some(cursor) = self.channels.get_mut(channel)
            && cursor.joined == joined
            && cursor.left.is_none()
        {
            let is_newer = match cursor.received {
                Some(ReceivedPlace::Here(before)) => version > before,
                Some(ReceivedPlace::Elsewhere(_)) | None => true,
            };
            if is_newer {
                cursor.received = Some(ReceivedPlace::Here(version));
                self.changed(NoteUrgency::Soon);
            }
        }
    }

    /// The holder has unsubscribed.
    pub(crate) fn unsubscribed(&mut self, holder: u64, channel: &ChannelName) {
        if holder == self.holder
            && let Some(cursor) = self.channels.remove(channel)
        {
            self.counted.iter().for_each(|counted| counted.add_less(channel, &cursor));
            self.changed(NoteUrgency::Soon);
        }
    }

    /// The holder is signed in. Another user gets nothing of what was the last one's. Returns the user before.
    pub(crate) fn signed_in(&mut self, holder: u64, user: &Arc<str>) -> Option<Option<Arc<str>>> {
        if holder != self.holder {
            return None;
        }
        let before = self.user.replace(Arc::clone(user));
        if before.as_ref().is_some_and(|before| before != user) {
            self.forget_if(|cursor| cursor.left.is_some());
            self.changed(NoteUrgency::Now);
        }
        self.changed(NoteUrgency::Soon);
        Some(before)
    }

    /// Nothing is kept, nor from now on for the one that holds the name: its user was terminated, or another client has the
    /// name, too.
    pub(crate) fn bar(&mut self) {
        self.is_barred = true;
        self.forget_if(|_| true);
        self.changed(NoteUrgency::Now);
    }

    /// Whom the client was signed in as last.
    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Something has changed that other nodes are to know.
    fn changed(&mut self, urgency: NoteUrgency) {
        if let Some(note) = &mut self.note {
            note.changed(urgency);
        }
    }

    fn forget_if(&mut self, is_over: impl Fn(&ChannelCursor) -> bool) {
        let counted = &self.counted;
        self.channels.retain(|channel, cursor| {
            let goes = is_over(cursor);
            if goes {
                counted.iter().for_each(|counted| counted.add_less(channel, cursor));
            }
            !goes
        });
        if self.channels.is_empty() {
            self.channels.shrink_to_fit();
        }
    }
}

/// What other nodes tell, and are told.
impl Cursors {
    /// The note of the name, where there is one.
    pub(super) fn note(&mut self) -> Option<&mut HeldNote> {
        self.note.as_mut()
    }

    /// Another node has taken the name, and nothing is kept here any more.
    pub(super) fn taken_by_node(&mut self, number: NoteNumber, node: NodeId) {
        self.taken_by_node = Some((number, node));
    }

    /// The node that has taken the name, if one has, and the number of the name's note.
    pub(crate) fn is_at_node(&self) -> Option<(NoteNumber, NodeId)> {
        self.taken_by_node
    }

    /// From now on other nodes are told by this note.
    pub(super) fn set_note(&mut self, note: Option<HeldNote>) -> Option<HeldNote> {
        let before = self.note_bytes();
        let replaced = std::mem::replace(&mut self.note, note);
        self.count_note(before);
        replaced
    }

    /// The engine has this of it.
    pub(super) fn noted(&mut self, at_engine: Option<Bytes>) {
        let before = self.note_bytes();
        if let Some(note) = &mut self.note {
            note.at_engine = at_engine;
        }
        self.count_note(before);
    }

    fn note_bytes(&self) -> usize {
        self.note.as_ref().and_then(|note| note.at_engine.as_ref()).map_or(0, Bytes::len)
    }

    fn count_note(&self, before: usize) {
        let now = self.note_bytes();
        for counted in &self.counted {
            counted.bytes.fetch_add(now, Ordering::Relaxed);
            counted.bytes.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// What another node has told of the name counts, for who has just taken it, and nothing of what was known here.
    pub(super) fn take_from(&mut self, note: &NameNote, now: &NameTimes) {
        self.forget_if(|_| true);
        self.user.clone_from(&note.user);
        let own = self.sockets.pop_back();
        self.sockets = note.sockets.iter().copied().chain(own).collect();
        while self.sockets.len() > MOST_SOCKETS {
            self.sockets.pop_front();
        }
        for cursor in note.cursors.iter().take(MOST_CURSORS) {
            let away = cursor
                .left_ms
                .map_or(Duration::ZERO, |left| Duration::from_millis(now.ms.saturating_sub(left)));
            let Some(left) = now.app.checked_sub(away).filter(|_| away < self.retention) else { continue };
            let place = note.place(cursor);
            let taken = ChannelCursor {
                joined: JoinedAs(0),
                received: Some(ReceivedPlace::Elsewhere(place)),
                noted: Some(place),
                member: cursor.member.clone(),
                left: Some(left),
            };
            if let Some(before) = self.channels.insert(cursor.channel.clone(), taken) {
                self.counted.iter().for_each(|counted| counted.add_less(&cursor.channel, &before));
            }
            let taken = &self.channels[&cursor.channel];
            self.counted.iter().for_each(|counted| counted.add(&cursor.channel, taken));
        }
    }

    /// Fills in what other nodes are told. `place_of` gives the place of a version of this node as others understand it.
    pub(super) fn fill(
        &mut self,
        note: &mut NameNote,
        mut place_of: impl FnMut(&ChannelName, ChannelVersion) -> Option<HistoryPosition>,
        now: &NameTimes,
    ) {
        note.user.clone_from(&self.user);
        note.sockets = self.sockets();
        let mut epoch = None;
        let mut places = Vec::with_capacity(self.channels.len());
        for (channel, cursor) in &mut self.channels {
            let place = match cursor.received {
                None => continue,
                Some(ReceivedPlace::Elsewhere(place)) => Some(place),
                Some(ReceivedPlace::Here(version)) => {
                    let place = place_of(channel, version);
                    epoch = place.map(|place| place.epoch).or(epoch);
                    place.or(cursor.noted)
                }
            };
            cursor.noted = place;
            let away = |left| now.app.saturating_duration_since(left).as_millis() as u64;
            let left_ms = cursor.left.map(|left| now.ms.saturating_sub(away(left)).max(1));
            places.extend(place.map(|place| (place, channel, cursor.member.clone(), left_ms)));
        }
        // Numbers of an engine that is gone say nothing any more.
        note.epoch = epoch.or(places.first().map(|(place, ..)| place.epoch)).unwrap_or_default();
        let is_known = |(place, ..): &(HistoryPosition, _, _, _)| place.epoch == note.epoch;
        let noted = places.into_iter().filter(is_known).map(|(place, channel, member, left_ms)| {
            NotedCursor { channel: channel.clone(), number: place.number, member, left_ms }
        });
        note.cursors = noted.collect();
    }

    /// What the process that succeeds this one is told, as places of this run: it knows no others. `version_of` gives the version
    /// of this process that a place of the one before stands for; what it does not know is not told.
    pub(super) fn handed_over(
        &mut self,
        (me, run): (NodeId, u64),
        mut version_of: impl FnMut(&ChannelName, HistoryPosition) -> Option<ChannelVersion>,
        now: &NameTimes,
    ) -> NameNote {
        for (channel, cursor) in &mut self.channels {
            if let Some(ReceivedPlace::Elsewhere(place)) = cursor.received {
                cursor.received = version_of(channel, place).map(ReceivedPlace::Here);
            }
        }
        let place_of = |_: &ChannelName, version: ChannelVersion| {
            Some(HistoryPosition { epoch: run, number: version.number() })
        };
        let mut note = NameNote { taken_ms: now.ms, written_ms: now.ms, ..NameNote::nothing(me) };
        self.fill(&mut note, place_of, now);
        note
    }
}

impl Drop for Cursors {
    fn drop(&mut self) {
        self.forget_if(|_| true);
        self.set_note(None);
    }
}

impl CursorBytes {
    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(crate) fn cursors(&self) -> usize {
        self.cursors.load(Ordering::Relaxed)
    }

    fn add(&self, channel: &ChannelName, cursor: &ChannelCursor) {
        self.bytes.fetch_add(bytes_of(channel, cursor), Ordering::Relaxed);
        self.cursors.fetch_add(1, Ordering::Relaxed);
    }

    fn add_less(&self, channel: &ChannelName, cursor: &ChannelCursor) {
        self.bytes.fetch_sub(bytes_of(channel, cursor), Ordering::Relaxed);
        self.cursors.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bytes_of(channel: &ChannelName, cursor: &ChannelCursor) -> usize {
    CURSOR_BYTES + channel.as_str().len() + cursor.member.as_ref().map_or(0, |member| member.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Duration = Duration::from_secs(300);

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name, 164).unwrap()
    }

    fn version(number: u64) -> Option<ReceivedPlace> {
        Some(ReceivedPlace::Here(ChannelVersion::new(number)))
    }

    struct Subject {
        cursors: Cursors,
        of_all: Arc<CursorBytes>,
        start: Instant,
    }

    impl Subject {
        fn new() -> Self {
            let of_all = Arc::default();
            Subject { cursors: Cursors::new(RETENTION, &of_all), of_all, start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn take(&mut self, socket: u32, seconds: u64) -> u64 {
            let now = self.at(seconds);
            self.cursors.taken_by(SocketId::new(socket, 1), now)
        }

        fn wanted(&self, holder: u64, name: &str, seconds: u64) -> Option<ReceivedPlace> {
            self.cursors.wanted_by(holder, &channel(name), None, self.at(seconds))
        }

        /// Joins, and has it received everything up to a version.
        fn receive(&mut self, holder: u64, name: &str, number: u64) {
            let joined = self.cursors.joined(holder, &channel(name), None, false).unwrap();
            self.cursors.received(&channel(name), joined, ChannelVersion::new(number));
        }
    }

    #[test]
    fn who_comes_back_wants_what_follows_what_it_has_received_and_nobody_else_does() {
        let mut subject = Subject::new();
        let first = subject.take(1, 0);
        assert_eq!(subject.wanted(first, "a", 0), None, "it was not here");
        subject.receive(first, "a", 5);
        assert_eq!(subject.wanted(first, "a", 0), None, "it has not been away");
        assert_eq!(subject.cursors.left_by(first, subject.at(10)), Some(true));
        let second = subject.take(2, 20);
        assert_eq!(subject.wanted(second, "a", 20), version(5));
        assert_eq!(subject.wanted(first, "a", 20), None);
        assert_eq!(subject.wanted(second, "b", 20), None);
        assert_eq!(subject.wanted(second, "a", 309), version(5));
        assert_eq!(subject.wanted(second, "a", 310), None, "it was away for too long");
        assert_eq!(subject.cursors.sockets(), [SocketId::new(1, 1), SocketId::new(2, 1)]);
    }

    #[test]
    fn who_leaves_before_it_has_subscribed_again_still_wants_what_it_did() {
        let mut subject = Subject::new();
        let first = subject.take(1, 0);
        subject.receive(first, "a", 5);
        subject.cursors.left_by(first, subject.at(10));
        let second = subject.take(2, 20);
        assert_eq!(subject.cursors.left_by(second, subject.at(21)), Some(true));
        let third = subject.take(3, 22);
        assert_eq!(subject.wanted(third, "a", 309), version(5));
        assert_eq!(subject.wanted(third, "a", 310), None, "counted from when it left");
    }

    #[test]
    fn what_was_not_told_as_received_is_wanted_again() {
        let mut subject = Subject::new();
        let first = subject.take(1, 0);
        subject.receive(first, "a", 5);
        subject.cursors.left_by(first, subject.at(1));
        let second = subject.take(2, 2);
        let joined = subject.cursors.joined(second, &channel("a"), None, true).unwrap();
        subject.cursors.left_by(second, subject.at(3));
        let third = subject.take(3, 4);
        assert_eq!(subject.wanted(third, "a", 4), version(5), "the replay was not echoed");
        subject.cursors.received(&channel("a"), joined, ChannelVersion::new(9));
        assert_eq!(subject.wanted(third, "a", 4), version(5), "too late");
        subject.cursors.joined(third, &channel("a"), None, false).unwrap();
        subject.cursors.left_by(third, subject.at(5));
        let fourth = subject.take(4, 6);
        assert_eq!(subject.wanted(fourth, "a", 6), None, "it does not know of the gap yet");
    }

    #[test]
    fn an_echo_of_a_subscription_before_moves_nothing() {
        let mut subject = Subject::new();
        let holder = subject.take(1, 0);
        let before = subject.cursors.joined(holder, &channel("a"), None, false).unwrap();
        subject.cursors.unsubscribed(holder, &channel("a"));
        let now = subject.cursors.joined(holder, &channel("a"), None, false).unwrap();
        subject.cursors.received(&channel("a"), before, ChannelVersion::new(5));
        assert_eq!(subject.cursors.channels[&channel("a")].received, None);
        subject.cursors.received(&channel("a"), now, ChannelVersion::new(7));
        subject.cursors.received(&channel("a"), now, ChannelVersion::new(6));
        assert_eq!(subject.cursors.channels[&channel("a")].received, version(7), "never back");
    }

    #[test]
    fn unsubscribing_termination_another_user_and_another_member_end_what_is_wanted() {
        let users: [Arc<str>; 2] = ["ann".into(), "bob".into()];
        type Change = fn(&mut Cursors, u64, &[Arc<str>; 2]);
        let changes: [(&str, Change); 4] = [
            ("unsubscribed", |cursors, holder, _| cursors.unsubscribed(holder, &channel("a"))),
            ("terminated", |cursors, _, _| cursors.bar()),
            ("all", |cursors, _, _| cursors.drop_all()),
            ("terminated, and subscribed again", |cursors, holder, _| {
                cursors.bar();
                assert_eq!(cursors.joined(holder, &channel("a"), None, false), None);
            }),
        ];
        for (what, change) in changes {
            let mut subject = Subject::new();
            let first = subject.take(1, 0);
            subject.cursors.signed_in(first, &users[0]);
            subject.receive(first, "a", 5);
            change(&mut subject.cursors, first, &users);
            assert_ne!(subject.cursors.left_by(first, subject.at(1)), Some(true), "{what}");
            let second = subject.take(2, 2);
            assert_eq!(subject.wanted(second, "a", 2), None, "{what}");
            assert_eq!((subject.of_all.bytes(), subject.of_all.cursors()), (0, 0), "{what}");
        }
        let mut subject = Subject::new();
        let first = subject.take(1, 0);
        subject.cursors.signed_in(first, &users[0]);
        let joined = subject.cursors.joined(first, &channel("presence-a"), Some(&users[0]), false).unwrap();
        subject.cursors.received(&channel("presence-a"), joined, ChannelVersion::new(5));
        let second = subject.take(2, 2);
        let wanted = |subject: &Subject, member| {
            let now = subject.at(2);
            subject.cursors.wanted_by(second, &channel("presence-a"), Some(member), now)
        };
        assert_eq!((wanted(&subject, "ann"), wanted(&subject, "bob")), (version(5), None));
        assert_eq!(subject.cursors.signed_in(first, &users[1]), None, "it has no name any more");
        subject.cursors.signed_in(second, &users[0]);
        assert_eq!(wanted(&subject, "ann"), version(5));
        subject.cursors.signed_in(second, &users[1]);
        assert_eq!(wanted(&subject, "ann"), None);
    }

    #[test]
    fn a_name_has_so_many_cursors_and_takes_as_many_bytes_as_it_gives_back() {
        let mut subject = Subject::new();
        let holder = subject.take(1, 0);
        for n in 0..MOST_CURSORS {
            assert!(subject.cursors.joined(holder, &channel(&format!("c{n}")), None, false).is_some());
        }
        assert_eq!(subject.cursors.joined(holder, &channel("one-more"), None, false), None);
        assert!(subject.cursors.joined(holder, &channel("c7"), None, false).is_some(), "it has one");
        assert_eq!(subject.of_all.cursors(), MOST_CURSORS);
        assert!(subject.of_all.bytes() > MOST_CURSORS * CURSOR_BYTES);
        drop(subject.cursors);
        assert_eq!((subject.of_all.bytes(), subject.of_all.cursors()), (0, 0));
    }

    #[test]
    fn cursors_of_channels_that_are_never_subscribed_again_leave_room_for_others() {
        let mut subject = Subject::new();
        for round in 0..3 {
            let holder = subject.take(1, round * 400);
            for n in 0..MOST_CURSORS {
                subject.receive(holder, &format!("c{round}-{n}"), 5);
            }
            subject.cursors.left_by(holder, subject.at(round * 400 + 1));
        }
        assert_eq!(subject.of_all.cursors(), MOST_CURSORS);
    }

    #[test]
    fn the_last_connections_are_remembered_and_no_more() {
        let mut subject = Subject::new();
        (0..40).for_each(|n| {
            subject.take(n, 0);
        });
        assert_eq!(subject.cursors.sockets().len(), MOST_SOCKETS);
        assert_eq!(subject.cursors.sockets().last(), Some(&SocketId::new(39, 1)));
    }
}
