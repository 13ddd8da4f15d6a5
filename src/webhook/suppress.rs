//! Holding removals back: a channel or member that returns in time has never been away.
//!
//! `channel_vacated` and `member_removed` wait for a while. If the counterpart comes meanwhile, neither is told. So
//! what is told of one channel or member alternates strictly, as what is heard does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::ChannelName;

use super::event::{Event, Told};

/// The removals of one app that are held back.
#[derive(Debug)]
pub struct Suppressor {
    delay: Duration,
    most: usize,
    /// In the order in which they came, which is that of their deadlines.
    held: BTreeMap<u64, Held>,
    by_subject: HashMap<Subject, u64>,
    next: u64,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    told: Told,
}

/// What came or went: a channel, or a member of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject(ChannelName, Option<Arc<str>>);

impl Suppressor {
    /// Holds removals back for `delay`, and at most `most` at once: one more lets the one that has waited longest go
    /// early.
    #[must_use]
    pub fn new(delay: Duration, most: usize) -> Self {
        Suppressor { delay, most, held: BTreeMap::new(), by_subject: HashMap::new(), next: 0 }
    }

    /// Hears of an event; `tell` is given what is to be told now. What is due must have been taken before.
    pub fn hear(&mut self, told: Told, now: Instant, mut tell: impl FnMut(Told)) {
        match &told.event {
            Event::ChannelOccupied(channel) => {
                if !self.release(&Subject(channel.clone(), None)) {
                    tell(told);
                }
            }
            Event::MemberAdded(channel, user_id) => {
                if !self.release(&Subject(channel.clone(), Some(Arc::clone(user_id)))) {
                    tell(told);
                }
            }
            Event::ChannelVacated(channel) => self.hold(Subject(channel.clone(), None), told, now),
            Event::MemberRemoved(channel, user_id) => {
                self.hold(Subject(channel.clone(), Some(Arc::clone(user_id))), told, now);
            }
            Event::ClientEvent(_) | Event::CacheMiss(_) | Event::SubscriptionCount(..) => tell(told),
        }
        while self.held.len() > self.most {
            self.tell_first(&mut tell);
        }
    }

    /// Gives `tell` what has waited long enough, in the order in which it happened.
    pub fn due(&mut self, now: Instant, mut tell: impl FnMut(Told)) {
        while self.deadline().is_some_and(|until| until <= now) {
            self.tell_first(&mut tell);
        }
    }

    /// Gives `tell` everything that waits, and holds nothing back any more.
    pub fn flush(&mut self, mut tell: impl FnMut(Told)) {
        self.most = 0;
        while !self.held.is_empty() {
            self.tell_first(&mut tell);
        }
    }

    /// When the next one will have waited long enough.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.held.first_key_value().map(|(_, held)| held.until)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn hold(&mut self, subject: Subject, told: Told, now: Instant) {
        // A notice was lost if it is held already; the later one counts.
        self.release(&subject);
        let held = Held { until: now + self.delay, told };
        self.held.insert(self.next, held);
        self.by_subject.insert(subject, self.next);
        self.next += 1;
    }

    /// Forgets the removal of something that is back. Whether there was one.
    fn release(&mut self, subject: &Subject) -> bool {
        self.by_subject.remove(subject).is_some_and(|place| self.held.remove(&place).is_some())
    }

    fn tell_first(&mut self, tell: &mut impl FnMut(Told)) {
        let Some((_, Held { told, .. })) = self.held.pop_first() else { return };
        match &told.event {
            Event::MemberRemoved(channel, user_id) => {
                self.by_subject.remove(&Subject(channel.clone(), Some(Arc::clone(user_id))));
            }
            _ => {
                self.by_subject.remove(&Subject(told.event.channel().clone(), None));
            }
        }
        tell(told);
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
    use crate::webhook::Occasion;

    const DELAY: Duration = Duration::from_secs(3);

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    fn told(event: Event, version: u64) -> Told {
        Told { event, occasion: Occasion { incarnation: 1, version } }
    }

    fn hear(suppressor: &mut Suppressor, event: Event, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        suppressor.due(now, |told| events.push(told.event));
        suppressor.hear(told(event, 1), now, |told| events.push(told.event));
        events
    }

    #[test]
    fn who_returns_in_time_has_never_been_away() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut suppressor = Suppressor::new(DELAY, 100);
        let (occupied, vacated) = (|| Event::ChannelOccupied(name("a")), || Event::ChannelVacated(name("a")));
        assert_eq!(hear(&mut suppressor, occupied(), at(0)), [occupied()]);
        assert_eq!(hear(&mut suppressor, vacated(), at(1)), []);
        assert_eq!(hear(&mut suppressor, occupied(), at(3)), [], "in time");
        assert_eq!(hear(&mut suppressor, vacated(), at(3)), []);
        assert_eq!(suppressor.deadline(), Some(at(6)), "the time begins anew");
        assert_eq!(hear(&mut suppressor, occupied(), at(6)), [vacated(), occupied()], "too late");
        assert!(suppressor.is_empty());
    }

    #[test]
    fn a_removal_that_is_told_is_the_last_one() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 100);
        let (occupied, vacated) = (Event::ChannelOccupied(name("a")), Event::ChannelVacated(name("a")));
        let history = [(&vacated, 5), (&occupied, 6), (&vacated, 7)];
        for (event, version) in history {
            suppressor.hear(told(event.clone(), version), now, |told| panic!("{told:?}"));
        }
        let mut last = Vec::new();
        suppressor.flush(|told| last.push(told));
        assert_eq!(last, [told(vacated.clone(), 7)]);
    }

    #[test]
    fn members_are_told_apart_by_channel_and_user() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 100);
        let removed = |channel: &str, user: &str| Event::MemberRemoved(name(channel), user.into());
        let added = |channel: &str, user: &str| Event::MemberAdded(name(channel), user.into());
        hear(&mut suppressor, removed("presence-a", "u1"), now);
        hear(&mut suppressor, removed("presence-a", "u2"), now);
        hear(&mut suppressor, removed("presence-b", "u1"), now);
        hear(&mut suppressor, Event::ChannelVacated(name("presence-b")), now);
        assert_eq!(hear(&mut suppressor, added("presence-a", "u1"), now), []);
        assert_eq!(hear(&mut suppressor, added("presence-a", "u3"), now), [added("presence-a", "u3")]);
        let mut told = Vec::new();
        suppressor.due(now + DELAY, |one| told.push(one.event));
        let left = [
            removed("presence-a", "u2"),
            removed("presence-b", "u1"),
            Event::ChannelVacated(name("presence-b")),
        ];
        assert_eq!(told, left, "in the order in which they left");
    }

    #[test]
    fn too_many_go_early_and_at_the_end_all_do() {
        let now = Instant::now();
        let mut suppressor = Suppressor::new(DELAY, 2);
        let vacated = |n: u32| Event::ChannelVacated(name(&format!("room-{n}")));
        assert_eq!(hear(&mut suppressor, vacated(1), now), []);
        assert_eq!(hear(&mut suppressor, vacated(2), now), []);
        assert_eq!(hear(&mut suppressor, vacated(3), now), [vacated(1)]);
        let mut told = Vec::new();
        suppressor.flush(|one| told.push(one.event));
        assert_eq!(told, [vacated(2), vacated(3)]);
        assert_eq!(hear(&mut suppressor, vacated(4), now), [vacated(4)], "nothing is held back any more");
        assert!(suppressor.is_empty() && suppressor.by_subject.is_empty());
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
            told_truly(&history, most);
        }
    }

    fn told_truly(history: &[Change], most: usize) {
        let mut suppressor = Suppressor::new(DELAY, most);
        let mut now = Instant::now();
        let mut present: HashSet<(ChannelName, Option<Arc<str>>)> = HashSet::new();
        let mut told_present = HashSet::new();
        let mut removed_at = HashMap::new();
        let mut check = |event: &Event, now: Instant, removed_at: &HashMap<_, Instant>| {
            let (subject, came) = subject_of(event);
            if came {
                assert!(told_present.insert(subject), "twice there: {event:?}");
            } else {
                assert!(told_present.remove(&subject), "twice gone: {event:?}");
                let since: Instant = removed_at[&subject];
                assert!(now <= since + DELAY || now == since, "late: {event:?}");
            }
        };
        for (after, channel, user) in history {
            // A driver wakes at each deadline.
            let target = now + Duration::from_millis(*after);
            while let Some(until) = suppressor.deadline().filter(|until| *until <= target) {
                suppressor.due(until, |told| check(&told.event, until, &removed_at));
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
                (true, None) => Event::ChannelOccupied(channel),
                (false, None) => Event::ChannelVacated(channel),
                (true, Some(user)) => Event::MemberAdded(channel, user),
                (false, Some(user)) => Event::MemberRemoved(channel, user),
            };
            suppressor.hear(told(event, 1), now, |told| check(&told.event, now, &removed_at));
            assert!(suppressor.len() <= most && suppressor.by_subject.len() == suppressor.len());
        }
        suppressor.flush(|told| check(&told.event, now, &removed_at));
        assert_eq!(told_present, present);
    }

    fn subject_of(event: &Event) -> ((ChannelName, Option<Arc<str>>), bool) {
        match event {
            Event::ChannelOccupied(channel) => ((channel.clone(), None), true),
            Event::ChannelVacated(channel) => ((channel.clone(), None), false),
            Event::MemberAdded(channel, user) => ((channel.clone(), Some(user.clone())), true),
            Event::MemberRemoved(channel, user) => ((channel.clone(), Some(user.clone())), false),
            other => panic!("nobody heard {other:?}"),
        }
    }
}
