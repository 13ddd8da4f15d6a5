//! Events of channels with a history that were accepted while the engine could not take them: they are owed to it, in their order,
//! within bounds. What is beyond these is lost to the other nodes, which are told so. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::adapter::{Keeping, Subject};
use super::envelope::{Content, Envelope};
use super::event_numbers::EventNumber;
use super::lost_here::{LostFrames, LostHere};
use super::recent::RecentMap;
use crate::protocol::Frame;

/// An event that is owed, as it will be said.
#[derive(Clone, Debug)]
pub(super) struct OwedEvent {
    pub(super) number: EventNumber,
    pub(super) bytes: Bytes,
    pub(super) keeping: Keeping,
    /// When it was accepted.
    pub(super) since: Instant,
    /// It was said, and no answer has come: if the engine has it, then by a number behind this one.
    pub(super) said_behind: Option<u64>,
    /// This node's subscribers are sent it, or were, and it is kept here.
    pub(super) is_sent_here: bool,
}

/// What is to be said next of a subject.
#[derive(Clone, Debug)]
pub(super) enum OwedNext {
    /// That events before are lost; and when the last ones were, as a number that grows.
    Lost(Keeping, u64),
    Event(OwedEvent),
}

/// How much is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwedSizes {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// What a node owes. Any thread may add to it.
#[derive(Debug)]
pub(super) struct OwedEvents {
    table: Mutex<OwedTable>,
    /// Subjects of which something is owed.
    count: AtomicUsize,
    /// An event has been lost.
    has_lost: AtomicBool,
    /// Something is.
    pub(super) woken: Notify,
}

#[derive(Debug)]
struct OwedTable {
    of: HashMap<Subject, OwedOfSubject>,
    sizes: OwedSizes,
    most_bytes: usize,
    most_subjects: usize,
    /// What was lost of which subjects is not known any more: of all that are said until then it is said that some was.
    all_lost_until: Option<Instant>,
    /// Of these it has been since.
    said_lost: RecentMap<Subject, ()>,
    /// Which events are.
    lost_here: LostHere,
    /// How often some were.
    losses: u64,
}

#[derive(Debug)]
struct OwedOfSubject {
    events: VecDeque<OwedEvent>,
    bytes: usize,
    /// Others before them are lost, and the last ones were when so many had been; 0 if that is said.
    lost_at: u64,
    /// That was said, and not answered.
    is_said_lost: bool,
    /// As it was last said to be kept.
    keeping: Keeping,
}

impl OwedEvent {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    fn be_lost(&self, subject: &Subject, lost: &mut LostHere) {
        if let Ok(Envelope { content: Content::Event(event), .. }) = Envelope::decode(&self.bytes) {
            lost.lose(subject, &event.frame, self.is_sent_here);
        }
    }
}

impl OwedOfSubject {
    fn new(keeping: Keeping) -> Self {
        OwedOfSubject { events: VecDeque::new(), bytes: 0, lost_at: 0, is_said_lost: false, keeping }
    }

    /// Takes an event out, by its place.
    fn take(&mut self, at: usize, sizes: &mut OwedSizes) -> Option<OwedEvent> {
        let event = self.events.remove(at)?;
        self.bytes -= event.bytes();
        *sizes = OwedSizes { events: sizes.events - 1, bytes: sizes.bytes - event.bytes() };
        Some(event)
    }

    /// The first event is lost, if there is one.
    fn lose_first(
        &mut self,
        subject: &Subject,
        sizes: &mut OwedSizes,
        lost_here: &mut LostHere,
        losses: &mut u64,
    ) -> bool {
        let Some(event) = self.take(0, sizes) else { return false };
        event.be_lost(subject, lost_here);
        *losses += 1;
        self.lost_at = *losses;
        true
    }

    fn is_settled(&self) -> bool {
        self.events.is_empty() && self.lost_at == 0
    }
}

impl OwedEvents {
    /// Nothing is owed. At most so many bytes are, of so many subjects.
    pub(super) fn new(most_bytes: usize, most_subjects: usize) -> Self {
        let table = OwedTable {
            of: HashMap::new(),
            sizes: OwedSizes::default(),
            most_bytes,
            most_subjects,
            all_lost_until: None,
            said_lost: RecentMap::new(most_subjects),
            lost_here: LostHere::new(),
            losses: 0,
        };
        let (table, count) = (Mutex::new(table), AtomicUsize::new(0));
        OwedEvents { table, count, has_lost: AtomicBool::new(false), woken: Notify::new() }
    }

    /// Whether anything is.
    pub(super) fn are_there(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Whether events of a subject are owed: what is accepted now is said behind them.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.are_there() && self.table.lock().of.get(subject).is_some_and(|of| !of.events.is_empty())
    }

    /// An event is owed, in the order of its number. Returns how many are lost by that: the newest stay.
    pub(super) fn put(&self, subject: &Subject, event: OwedEvent) -> u64 {
        let mut table = self.table.lock();
        let keeping = event.keeping;
        table.begin(subject, &keeping);
        let OwedTable { of, sizes, most_bytes, lost_here, losses, .. } = &mut *table;
        let Some(of_subject) = of.get_mut(subject) else { return 0 };
        of_subject.keeping = keeping;
        let mut lost = 0;
        let bytes = event.bytes();
        of_subject.bytes += bytes;
        *sizes = OwedSizes { events: sizes.events + 1, bytes: sizes.bytes + bytes };
        let at = of_subject.events.partition_point(|other| other.number < event.number);
        of_subject.events.insert(at, event);
        let is_too_much = |of: &OwedOfSubject, sizes: &OwedSizes| {
            of.events.len() as u64 > keeping.events
                || of.bytes as u64 > keeping.bytes.max(bytes as u64)
                || sizes.bytes > *most_bytes
        };
        while is_too_much(of_subject, sizes) && of_subject.lose_first(subject, sizes, lost_here, losses) {
            lost += 1;
        }
        lost += table.bound_subjects();
        self.note(&table);
        lost
    }

    /// Events of a subject are lost, before whatever is said of it next. Returns how many others are by that.
    pub(super) fn lose(&self, subject: &Subject, keeping: &Keeping) -> u64 {
        self.lose_as(subject, keeping, false)
    }

    /// The same where that was said, and not answered.
    pub(super) fn lose_again(&self, subject: &Subject, keeping: &Keeping) -> u64 {
        self.lose_as(subject, keeping, true)
    }

    fn lose_as(&self, subject: &Subject, keeping: &Keeping, is_said_lost: bool) -> u64 {
        let mut table = self.table.lock();
        table.begin(subject, keeping);
        table.losses += 1;
        let lost_at = table.losses;
        table.change(subject, |of, _| {
            of.lost_at = lost_at;
            of.is_said_lost |= is_said_lost;
        });
        let lost = table.bound_subjects();
        self.note(&table);
        lost
    }

    /// The same of an event, of which nothing else is owed.
    pub(super) fn lose_event(&self, subject: &Subject, event: &OwedEvent) -> u64 {
        event.be_lost(subject, &mut self.table.lock().lost_here);
        self.lose(subject, &event.keeping)
    }

    /// An event of another node is in no stream.
    pub(super) fn hear_lost(&self, subject: &Subject, frame: &Frame) {
        self.has_lost.store(true, Ordering::Release);
        self.table.lock().lost_here.hear(subject, frame);
    }

    /// It has come that events of a subject are lost: which ones, as far as that is known.
    pub(super) fn lost_came(&self, subject: &Subject, is_own: bool) -> LostFrames {
        self.table.lock().lost_here.came(subject, is_own)
    }

    /// That events of a subject are lost may not come, although it was said.
    pub(super) fn forget_told(&self, subject: &Subject) {
        if self.has_lost.load(Ordering::Acquire) {
            self.table.lock().lost_here.forget_told(subject);
        }
    }

    /// Whether events of a subject are lost, of which nothing else is owed. Whoever asks says so.
    pub(super) fn take_lost(&self, subject: &Subject, now: Instant) -> bool {
        let mut table = self.table.lock();
        if table.take_any_lost(subject, now) {
            // Words that were said of it before may be on their way: whichever comes may be the last of them.
            table.lost_here.tell(subject, true);
            table.change(subject, |of, _| of.lost_at = 0);
            self.note(&table);
            return true;
        }
        let is_lost = table.of.get(subject).is_some_and(|of| of.events.is_empty() && of.lost_at > 0);
        if is_lost {
            let again = table.of.remove(subject).is_some_and(|of| of.is_said_lost);
            table.lost_here.tell(subject, again);
            self.note(&table);
        }
        is_lost
    }

    /// The subjects of which something is owed.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.table.lock().of.keys().cloned().collect()
    }

    /// What is to be said next of a subject. What is kept nowhere any more is lost.
    pub(super) fn next(&self, subject: &Subject, now: Instant) -> (Option<OwedNext>, u64) {
        let mut table = self.table.lock();
        let OwedTable { of, sizes, lost_here, losses, .. } = &mut *table;
        let Some(of_subject) = of.get_mut(subject) else { return (None, 0) };
        let mut lost = 0;
        let is_old = |event: &OwedEvent| event.since + event.keeping.time <= now;
        while of_subject.events.front().is_some_and(is_old)
            && of_subject.lose_first(subject, sizes, lost_here, losses)
        {
            lost += 1;
        }
        if lost > 0 {
            self.has_lost.store(true, Ordering::Release);
        }
        let next = if of_subject.lost_at > 0 {
            lost_here.tell(subject, std::mem::replace(&mut of_subject.is_said_lost, true));
            Some(OwedNext::Lost(of_subject.keeping, of_subject.lost_at))
        } else {
            of_subject.events.front().cloned().map(OwedNext::Event)
        };
        (next, lost)
    }

    /// It is said that events of a subject are lost, up to then. What was lost since is still to be.
    pub(super) fn told_lost(&self, subject: &Subject, lost_at: u64) {
        self.change(subject, |of, _| {
            of.is_said_lost = false;
            if of.lost_at <= lost_at {
                of.lost_at = 0;
            }
        });
    }

    /// An event of this node has come by a number of the engine.
    pub(super) fn has_come(&self, subject: &Subject, number: EventNumber, frame: &Frame) {
        if self.has_lost.load(Ordering::Acquire) {
            self.table.lock().lost_here.find(subject, frame);
        }
        self.came(subject, number);
    }

    /// The engine has an event of this number.
    pub(super) fn came(&self, subject: &Subject, number: EventNumber) {
        if !self.are_there() {
            return;
        }
        self.change(subject, |of, sizes| {
            let of_number = |event: &OwedEvent| event.number == number;
            if let Some(at) = of.events.iter().position(of_number) {
                of.take(at, sizes);
            }
        });
    }

    /// An event was said, and no answer has come.
    pub(super) fn said(&self, subject: &Subject, number: EventNumber, behind: u64) {
        self.change(subject, |of, _| {
            if let Some(event) = of.events.iter_mut().find(|event| event.number == number) {
                event.said_behind.get_or_insert(behind);
            }
        });
    }

    /// An event that is owed cannot be at the engine.
    pub(super) fn was_not_said(&self, subject: &Subject, number: EventNumber) {
        self.change(subject, |of, _| {
            if let Some(event) = of.events.iter_mut().find(|event| event.number == number) {
                event.said_behind = None;
            }
        });
    }

    /// Behind which number the engine may have events that are owed, if any were said.
    pub(super) fn said_behind(&self, subject: &Subject) -> Option<u64> {
        let table = self.table.lock();
        table.of.get(subject)?.events.iter().filter_map(|event| event.said_behind).min()
    }

    /// None of them is there.
    pub(super) fn is_none_there(&self, subject: &Subject) {
        self.change(subject, |of, _| of.events.iter_mut().for_each(|event| event.said_behind = None));
    }

    /// How much is owed.
    pub(super) fn sizes(&self) -> OwedSizes {
        self.table.lock().sizes
    }

    fn change(&self, subject: &Subject, change: impl FnOnce(&mut OwedOfSubject, &mut OwedSizes)) {
        let mut table = self.table.lock();
        table.change(subject, change);
        self.note(&table);
    }

    fn note(&self, table: &OwedTable) {
        if table.losses > 0 {
            self.has_lost.store(true, Ordering::Release);
        }
        self.count.store(table.of.len(), Ordering::Release);
        if !table.of.is_empty() {
            self.woken.notify_one();
        }
    }
}

impl OwedTable {
    /// Something is owed of a subject. Where what was is not known any more, that is said before it.
    fn begin(&mut self, subject: &Subject, keeping: &Keeping) {
        if self.of.contains_key(subject) {
            return;
        }
        let mut of_subject = OwedOfSubject::new(*keeping);
        if self.take_any_lost(subject, Instant::now()) {
            self.losses += 1;
            of_subject.lost_at = self.losses;
            of_subject.is_said_lost = true;
        }
        self.of.insert(subject.clone(), of_subject);
    }

    /// Whether any event of a subject may be lost, of which that has not been said. Whoever asks says so.
    fn take_any_lost(&mut self, subject: &Subject, now: Instant) -> bool {
        let is_lost =
            self.all_lost_until.is_some_and(|until| now < until) && self.said_lost.get(subject).is_none();
        if is_lost {
            self.said_lost.with(subject, || (), |()| ());
            self.lost_here.lose_any(subject);
        }
        is_lost
    }

    fn change(&mut self, subject: &Subject, change: impl FnOnce(&mut OwedOfSubject, &mut OwedSizes)) {
        let OwedTable { of, sizes, .. } = self;
        let Some(of_subject) = of.get_mut(subject) else { return };
        change(of_subject, sizes);
        if of_subject.is_settled() {
            of.remove(subject);
        }
    }

    /// Where too many subjects have lost events, it is said once of each for as long as anybody may come back for these. Returns
    /// how many are lost by that.
    fn bound_subjects(&mut self) -> u64 {
        if self.of.len() <= self.most_subjects {
            return 0;
        }
        let longest = self.of.values().map(|of| of.keeping.last_known_for).max().unwrap_or_default();
        self.all_lost_until = Some(Instant::now() + longest);
        self.said_lost = RecentMap::new(self.most_subjects);
        for (subject, of) in self.of.drain() {
            self.losses += 1;
            of.events.iter().for_each(|event| event.be_lost(&subject, &mut self.lost_here));
        }
        std::mem::take(&mut self.sizes).events as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::NodeId;
    use crate::cluster::envelope::EventMessage;
    use crate::protocol::json::Data;
    use crate::protocol::{ChannelName, server_message};

    fn subject(name: &str) -> Subject {
        Subject::Channel { app: "1".into(), channel: ChannelName::parse(name, 164).unwrap() }
    }

    fn keeping() -> Keeping {
        let time = Duration::from_secs(60);
        Keeping { events: 3, bytes: 10_000, time, last_known_for: 2 * time, remembered_for: None }
    }

    fn event(number: u64, since: Instant) -> OwedEvent {
        let number = EventNumber { epoch: 1, number };
        let bytes = Bytes::from_static(&[0; 100]);
        OwedEvent { number, bytes, keeping: keeping(), since, said_behind: None, is_sent_here: true }
    }

    /// The same, which has this frame.
    fn event_of(frame: &Frame, number: u64, since: Instant) -> OwedEvent {
        let owed = event(number, since);
        let EventNumber { epoch, number } = owed.number;
        let event = EventMessage {
            epoch,
            number,
            state: 0,
            except: None,
            latest: None,
            frame: frame.clone(),
            restored: None,
            is_remembered: false,
            is_of_track: false,
        };
        let bytes = Envelope { from: NodeId::new(1), content: Content::Event(event) }.encode();
        OwedEvent { bytes, ..owed }
    }

    /// Says what is owed of a subject.
    fn said(owed: &OwedEvents, name: &str, now: Instant) -> Vec<String> {
        let (mut said, subject) = (Vec::new(), subject(name));
        while let (Some(next), _) = owed.next(&subject, now) {
            said.push(match next {
                OwedNext::Lost(_, losses) => {
                    owed.told_lost(&subject, losses);
                    "lost".to_owned()
                }
                OwedNext::Event(event) => {
                    owed.came(&subject, event.number);
                    event.number.number.to_string()
                }
            });
        }
        said
    }

    #[test]
    fn what_is_owed_is_said_in_its_order() {
        let now = Instant::now();
        let owed = OwedEvents::new(100_000, 10);
        for number in [1, 3, 2] {
            assert_eq!(owed.put(&subject("a"), event(number, now)), 0);
        }
        assert!(owed.has(&subject("a")) && !owed.has(&subject("b")) && owed.are_there());
        assert_eq!(said(&owed, "a", now), ["1", "2", "3"]);
        assert_eq!((owed.are_there(), owed.sizes()), (false, OwedSizes::default()));
    }

    #[test]
    fn of_too_much_the_newest_stay_and_it_is_said_that_some_is_lost() {
        let now = Instant::now();
        let owed = OwedEvents::new(100_000, 10);
        let lost = (1..=5).map(|number| owed.put(&subject("a"), event(number, now))).sum::<u64>();
        assert_eq!(lost, 2);
        assert_eq!(said(&owed, "a", now), ["lost", "3", "4", "5"]);
        // Of all of them.
        let owed = OwedEvents::new(2 * event(1, now).bytes(), 10);
        owed.put(&subject("a"), event(1, now));
        owed.put(&subject("b"), event(1, now));
        assert_eq!(owed.put(&subject("b"), event(2, now)), 1);
        assert_eq!(owed.put(&subject("c"), event(1, now)), 1, "there is no room for it");
        assert!(!owed.has(&subject("c")));
        assert_eq!(
            (said(&owed, "a", now), said(&owed, "b", now)),
            (vec!["1".into()], vec!["lost".into(), "2".into()])
        );
        assert!(owed.take_lost(&subject("c"), now) && !owed.take_lost(&subject("c"), now));
        // What is too old for everybody.
        owed.put(&subject("a"), event(1, now));
        owed.put(&subject("a"), event(2, now + Duration::from_secs(30)));
        assert_eq!(said(&owed, "a", now + Duration::from_secs(60)), ["lost", "2"]);
        assert_eq!(owed.sizes(), OwedSizes::default());
    }

    #[test]
    fn what_is_lost_by_its_age_and_comes_all_the_same_is_found() {
        let channel = ChannelName::parse("a", 164).unwrap();
        let frame = server_message::channel_event("e", &Data::of_text("text"), &channel, None);
        let (now, owed) = (Instant::now(), OwedEvents::new(100_000, 10));
        owed.put(&subject("a"), event_of(&frame, 1, now));
        let next = owed.next(&subject("a"), now + Duration::from_secs(60));
        assert!(matches!(next, (Some(OwedNext::Lost(..)), 1)), "{next:?}");
        owed.has_come(&subject("a"), event(1, now).number, &frame);
        let lost = owed.lost_came(&subject("a"), true);
        assert_eq!((lost.count, lost.is_missing_here), (0, false), "it has its place");
    }

    #[test]
    fn what_is_lost_while_it_is_said_that_some_is_is_said_once_more() {
        let now = Instant::now();
        let owed = OwedEvents::new(100_000, 10);
        (1..=4).for_each(|number| _ = owed.put(&subject("a"), event(number, now)));
        let (Some(OwedNext::Lost(_, losses)), 0) = owed.next(&subject("a"), now) else { panic!() };
        owed.put(&subject("a"), event(5, now));
        owed.told_lost(&subject("a"), losses);
        assert_eq!(said(&owed, "a", now), ["lost", "3", "4", "5"]);
        // Also where it was said by somebody else meanwhile.
        owed.lose(&subject("a"), &keeping());
        let (Some(OwedNext::Lost(_, losses)), 0) = owed.next(&subject("a"), now) else { panic!() };
        assert!(owed.take_lost(&subject("a"), now));
        owed.lose(&subject("a"), &keeping());
        owed.told_lost(&subject("a"), losses);
        assert_eq!(said(&owed, "a", now), ["lost"]);
    }

    #[test]
    fn what_the_engine_has_already_is_not_said_again() {
        let now = Instant::now();
        let owed = OwedEvents::new(100_000, 10);
        let said_before = OwedEvent { said_behind: Some(70), ..event(1, now) };
        owed.put(&subject("a"), said_before);
        owed.put(&subject("a"), event(2, now));
        owed.said(&subject("a"), event(2, now).number, 90);
        assert_eq!(owed.said_behind(&subject("a")), Some(70));
        owed.came(&subject("a"), event(1, now).number);
        assert_eq!(owed.said_behind(&subject("a")), Some(90));
        owed.is_none_there(&subject("a"));
        assert_eq!(owed.said_behind(&subject("a")), None);
        // There was no room for it.
        owed.said(&subject("a"), event(2, now).number, 95);
        owed.was_not_said(&subject("a"), event(2, now).number);
        assert_eq!((owed.said_behind(&subject("a")), said(&owed, "a", now)), (None, vec!["2".to_owned()]));
    }

    #[test]
    fn where_it_is_not_known_what_is_lost_all_is_said_to_be() {
        let now = Instant::now();
        let owed = OwedEvents::new(100_000, 2);
        for name in ["a", "b", "c"] {
            owed.lose(&subject(name), &keeping());
        }
        assert!(!owed.are_there());
        assert!(owed.take_lost(&subject("x"), now) && !owed.take_lost(&subject("x"), now), "once of each");
        assert!(owed.take_lost(&subject("a"), now) && !owed.take_lost(&subject("a"), now));
        owed.lose(&subject("a"), &keeping());
        assert!(owed.take_lost(&subject("a"), now), "what is lost later is told again");
        assert!(!owed.take_lost(&subject("y"), now + Duration::from_secs(200)));
        // And so it is where it is not known once more; what was owed is lost as well.
        assert_eq!(owed.put(&subject("a"), event(1, now)) + owed.put(&subject("b"), event(1, now)), 0);
        assert_eq!(owed.put(&subject("c"), event(1, now)), 3);
        assert_eq!((owed.sizes(), owed.take_lost(&subject("x"), now)), (OwedSizes::default(), true));
        // What is owed then is said behind that.
        owed.put(&subject("b"), event(2, now));
        assert_eq!(said(&owed, "b", now), ["lost", "2"]);
        assert!(owed.lost_came(&subject("b"), true).is_missing_here, "nobody knows which ones they are");
        owed.put(&subject("b"), event(3, now));
        assert_eq!(said(&owed, "b", now), ["3"]);
    }
}
