//! Suppresses removals: a channel or member that returns in time has never been away.
//!
//! `channel_vacated` and `member_removed` wait for a while. If the counterpart comes meanwhile, neither is told. So
//! what is told of one channel or member alternates strictly, as what is heard does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::hub::HeldRemoval;
use crate::protocol::ChannelName;

use super::event::WebhookEvent;
use super::event_id::IdentifiedEvent;

/// The removals of one app that are held back.
#[derive(Debug)]
pub(crate) struct Suppressor {
    delay: Duration,
    most: usize,
    /// Those that were this node's to tell, in the order in which they came, which is that of their deadlines.
    own: BTreeMap<u64, HeldBack>,
    /// Those that were another's.
    others: BTreeMap<u64, HeldBack>,
    /// Where each is, and whether it is among the own ones.
    by_subject: HashMap<HeldSubject, (bool, u64)>,
    next: u64,
}

/// A removal that is held back.
#[derive(Debug)]
struct HeldBack {
    until: Instant,
    identified: IdentifiedEvent,
}

/// What came or went: a channel, or a member of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HeldSubject(ChannelName, Option<Arc<str>>);

impl Suppressor {
    /// Holds removals back for `delay`, and at most `most` at once that are this node's to tell, and as many that are not:
    /// one more lets the one of them that has waited longest go early.
    pub(crate) fn new(delay: Duration, most: usize) -> Self {
        let (own, others) = (BTreeMap::new(), BTreeMap::new());
        Suppressor { delay, most, own, others, by_subject: HashMap::new(), next: 0 }
    }

    /// How many removals are held back.
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.others.len()
    }

    /// Adds an event, which is this node's to tell or not; `send` is given what is to be sent now, whether that was so of it, and
    /// for how long it was held back. What is due must have been taken before.
    pub(crate) fn add(
        &mut self,
        identified: IdentifiedEvent,
        is_own: bool,
        now: Instant,
        mut send: impl FnMut(IdentifiedEvent, bool, Duration),
    ) {
        match &identified.event {
            WebhookEvent::ChannelOccupied(channel) => {
                if !self.release(&HeldSubject(channel.clone(), None)) {
                    send(identified, is_own, Duration::ZERO);
                }
            }
            WebhookEvent::MemberAdded(channel, user_id) => {
                if !self.release(&HeldSubject(channel.clone(), Some(Arc::clone(user_id)))) {
                    send(identified, is_own, Duration::ZERO);
                }
            }
            WebhookEvent::ChannelVacated(channel) => {
                self.hold(HeldSubject(channel.clone(), None), identified, is_own, now);
            }
            WebhookEvent::MemberRemoved(channel, user_id) => {
                let subject = HeldSubject(channel.clone(), Some(Arc::clone(user_id)));
                self.hold(subject, identified, is_own, now);
            }
            WebhookEvent::ClientEvent(_)
            | WebhookEvent::CacheMiss(_)
            | WebhookEvent::SubscriptionCount(..) => send(identified, is_own, Duration::ZERO),
        }
        for is_own in [true, false] {
            while self.held(is_own).len() > self.most {
                self.send_first(is_own, now, &mut send);
            }
        }
    }

    /// Gives `send` what has waited long enough, in the order in which it happened.
    pub(crate) fn due(&mut self, now: Instant, mut send: impl FnMut(IdentifiedEvent, bool, Duration)) {
        while let Some((is_own, until)) = self.first()
            && until <= now
        {
            self.send_first(is_own, now, &mut send);
        }
    }

    /// Gives `send` everything that waits, and holds nothing back any more.
    pub(crate) fn flush(&mut self, now: Instant, mut send: impl FnMut(IdentifiedEvent, bool, Duration)) {
        self.most = 0;
        while let Some((is_own, _)) = self.first() {
            self.send_first(is_own, now, &mut send);
        }
    }

    /// What waits, in the order in which it happened.
    pub(crate) fn removals(&self, now: Instant) -> Vec<HeldRemoval> {
        let mut held: Vec<_> = self.own.iter().chain(&self.others).collect();
        held.sort_unstable_by_key(|(place, _)| **place);
        let removal = |HeldBack { until, identified }: &HeldBack| HeldRemoval {
            channel: identified.event.channel().clone(),
            user_id: identified.event.user_id().map(Arc::from),
            origin: identified.origin,
            ago: self.delay.saturating_sub(until.saturating_duration_since(now)),
        };
        held.into_iter().map(|(_, held)| removal(held)).collect()
    }

    /// When the next one will have waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.first().map(|(_, until)| until)
    }

    /// Among which the next one is, and when it will have waited long enough.
    fn first(&self) -> Option<(bool, Instant)> {
        let first = |is_own: bool, held: &BTreeMap<u64, HeldBack>| {
            held.first_key_value().map(|(place, held)| (*place, is_own, held.until))
        };
        let firsts = [first(true, &self.own), first(false, &self.others)];
        firsts.into_iter().flatten().min().map(|(_, is_own, until)| (is_own, until))
    }

    fn held(&mut self, is_own: bool) -> &mut BTreeMap<u64, HeldBack> {
        if is_own { &mut self.own } else { &mut self.others }
    }

    fn hold(&mut self, subject: HeldSubject, identified: IdentifiedEvent, is_own: bool, now: Instant) {
        // A notice was lost if it is held already; the later one counts.
        self.release(&subject);
        let held = HeldBack { until: now + self.delay, identified };
        let place = self.next;
        self.held(is_own).insert(place, held);
        self.by_subject.insert(subject, (is_own, place));
        self.next += 1;
    }

    /// Forgets the removal of something that is back. Whether there was one.
    fn release(&mut self, subject: &HeldSubject) -> bool {
        let found = self.by_subject.remove(subject);
        found.is_some_and(|(is_own, place)| self.held(is_own).remove(&place).is_some())
    }

    fn send_first(
        &mut self,
        is_own: bool,
        now: Instant,
        send: &mut impl FnMut(IdentifiedEvent, bool, Duration),
    ) {
        let Some((_, HeldBack { identified, until })) = self.held(is_own).pop_first() else { return };
        match &identified.event {
            WebhookEvent::MemberRemoved(channel, user_id) => {
                self.by_subject.remove(&HeldSubject(channel.clone(), Some(Arc::clone(user_id))));
            }
            _ => {
                self.by_subject.remove(&HeldSubject(identified.event.channel().clone(), None));
            }
        }
        send(identified, is_own, (now + self.delay).saturating_duration_since(until));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};

    const DELAY: Duration = Duration::from_secs(3);

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    fn identified(event: WebhookEvent, version: u64) -> IdentifiedEvent {
        IdentifiedEvent {
            event,
            origin: ChangeOrigin { node: NodeId::new(1), version: ChannelVersion::new(version) },
        }
    }

    fn add(suppressor: &mut Suppressor, event: WebhookEvent, now: Instant) -> Vec<WebhookEvent> {
        let mut events = Vec::new();
        suppressor.due(now, |identified, _, _| events.push(identified.event));
        suppressor.add(identified(event, 1), true, now, |identified, _, _| events.push(identified.event));
        events
    }

    #[test]
    fn who_returns_in_time_has_never_been_away() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut suppressor = Suppressor::new(DELAY, 100);
        let (occupied, vacated) =
            (|| WebhookEvent::ChannelOccupied(name("a")), || WebhookEvent::ChannelVacated(name("a")));
        assert_eq!(add(&mut suppressor, occupied(), at(0)), [occupied()]);
        assert_eq!(add(&mut suppressor, vacated(), at(1)), []);
        assert_eq!(add(&mut suppressor, occupied(), at(3)), [], "in time");
        assert_eq!(add(&mut suppressor, vacated(), at(3)), []);
        assert_eq!(suppressor.deadline(), Some(at(6)), "the time begins anew");
        assert_eq!(add(&mut suppressor, occupied(), at(6)), [vacated(), occupied()], "too late");
        assert_eq!(suppressor.len(), 0);
    }

    #[test]
    fn a_removal_that_is_told_is_the_last_one() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 100);
        let (occupied, vacated) =
            (WebhookEvent::ChannelOccupied(name("a")), WebhookEvent::ChannelVacated(name("a")));
        let history = [(&vacated, 5), (&occupied, 6), (&vacated, 7)];
        for (event, version) in history {
            suppressor.add(identified(event.clone(), version), true, now, |one, _, _| panic!("{one:?}"));
        }
        let mut last = Vec::new();
        suppressor.flush(now, |identified, _, _| last.push(identified));
        assert_eq!(last, [identified(vacated.clone(), 7)]);
    }

    #[test]
    fn members_are_told_apart_by_channel_and_user() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 100);
        let removed = |channel: &str, user: &str| WebhookEvent::MemberRemoved(name(channel), user.into());
        let added = |channel: &str, user: &str| WebhookEvent::MemberAdded(name(channel), user.into());
        add(&mut suppressor, removed("presence-a", "u1"), now);
        add(&mut suppressor, removed("presence-a", "u2"), now);
        add(&mut suppressor, removed("presence-b", "u1"), now);
        add(&mut suppressor, WebhookEvent::ChannelVacated(name("presence-b")), now);
        assert_eq!(add(&mut suppressor, added("presence-a", "u1"), now), []);
        assert_eq!(add(&mut suppressor, added("presence-a", "u3"), now), [added("presence-a", "u3")]);
        let mut identified = Vec::new();
        suppressor.due(now + DELAY, |one, _, _| identified.push(one.event));
        let left = [
            removed("presence-a", "u2"),
            removed("presence-b", "u1"),
            WebhookEvent::ChannelVacated(name("presence-b")),
        ];
        assert_eq!(identified, left, "in the order in which they left");
    }

    #[test]
    fn too_many_go_early_and_at_the_end_all_do() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 2);
        let vacated = |n: u32| WebhookEvent::ChannelVacated(name(&format!("room-{n}")));
        assert_eq!(add(&mut suppressor, vacated(1), now), []);
        assert_eq!(add(&mut suppressor, vacated(2), now), []);
        assert_eq!(add(&mut suppressor, vacated(3), now), [vacated(1)]);
        let mut identified = Vec::new();
        suppressor.flush(now, |one, _, _| identified.push(one.event));
        assert_eq!(identified, [vacated(2), vacated(3)]);
        assert_eq!(add(&mut suppressor, vacated(4), now), [vacated(4)], "nothing is held back any more");
        assert!(suppressor.len() == 0 && suppressor.by_subject.is_empty());
    }

    #[test]
    fn what_another_node_tells_has_none_of_the_room_of_what_this_one_does() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 2);
        let vacated = |n: u32| WebhookEvent::ChannelVacated(name(&format!("room-{n}")));
        let mut sent = Vec::new();
        for (n, is_own) in [(1, true), (2, false), (3, false), (4, false), (5, true), (6, true)] {
            suppressor.add(identified(vacated(n), 1), is_own, now, |one, own, _| sent.push((one.event, own)));
        }
        assert_eq!(sent, [(vacated(2), false), (vacated(1), true)]);
        suppressor.due(now + DELAY, |one, own, _| sent.push((one.event, own)));
        let rest = [(vacated(3), false), (vacated(4), false), (vacated(5), true), (vacated(6), true)];
        assert_eq!(sent[2..], rest, "in the order in which they came");
        assert!(suppressor.by_subject.is_empty());
    }

    /// A change of who is there: after so many milliseconds, in which channel, of which user if of one.
    type Change = (u64, u8, Option<u8>);

    proptest! {
        /// Over any history, and with a bound that is reached often: what is told of each subject alternates, begins
        /// with a coming, agrees in the end with what is the case, and no removal is later than the delay.
        #[test]
        fn what_is_told_alternates_and_ends_with_the_truth(
            history in vec((0_u64..1500, 0_u8..3, option::of(0_u8..3)), 0..300),
            most in select(&[1, 3, 1000][..]),
        ) {
            sent_truly(&history, most);
        }
    }

    fn sent_truly(history: &[Change], most: usize) {
        let mut suppressor = Suppressor::new(DELAY, most);
        let mut now = Instant::now();
        let mut present: HashSet<(ChannelName, Option<Arc<str>>)> = HashSet::new();
        let mut sent_present = HashSet::new();
        let mut removed_at = HashMap::new();
        let mut check = |event: &WebhookEvent, now: Instant, removed_at: &HashMap<_, Instant>| {
            let (subject, came) = subject_of(event);
            if came {
                assert!(sent_present.insert(subject), "twice there: {event:?}");
            } else {
                assert!(sent_present.remove(&subject), "twice gone: {event:?}");
                let since: Instant = removed_at[&subject];
                assert!(now <= since + DELAY || now == since, "late: {event:?}");
            }
        };
        for (after, channel, user) in history {
            // A driver wakes at each deadline.
            let target = now + Duration::from_millis(*after);
            while let Some(until) = suppressor.deadline().filter(|until| *until <= target) {
                suppressor.due(until, |identified, _, _| check(&identified.event, until, &removed_at));
            }
            now = target;
            let channel = name(&format!("presence-{channel}"));
            let user = user.map(|user| Arc::from(format!("u{user}")));
            let subject = (channel.clone(), user.clone());
            let came = present.insert(subject.clone());
            if !came {
                present.remove(&subject);
                removed_at.insert(subject, now);
            }
            let event = match (came, user) {
                (true, None) => WebhookEvent::ChannelOccupied(channel),
                (false, None) => WebhookEvent::ChannelVacated(channel),
                (true, Some(user)) => WebhookEvent::MemberAdded(channel, user),
                (false, Some(user)) => WebhookEvent::MemberRemoved(channel, user),
            };
            suppressor.add(identified(event, 1), true, now, |identified, _, _| {
                check(&identified.event, now, &removed_at)
            });
            assert!(suppressor.len() <= most && suppressor.by_subject.len() == suppressor.len());
        }
        suppressor.flush(now, |identified, _, _| check(&identified.event, now, &removed_at));
        assert_eq!(sent_present, present);
    }

    fn subject_of(event: &WebhookEvent) -> ((ChannelName, Option<Arc<str>>), bool) {
        match event {
            WebhookEvent::ChannelOccupied(channel) => ((channel.clone(), None), true),
            WebhookEvent::ChannelVacated(channel) => ((channel.clone(), None), false),
            WebhookEvent::MemberAdded(channel, user) => ((channel.clone(), Some(user.clone())), true),
            WebhookEvent::MemberRemoved(channel, user) => ((channel.clone(), Some(user.clone())), false),
            other => panic!("nobody heard {other:?}"),
        }
    }
}
