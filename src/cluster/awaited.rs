//! Events of this node that its own subscribers are sent when the engine gives them back: each channel's, in their order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::hub::KeptAs;
use crate::protocol::{Frame, SocketId};

use super::adapter::Subject;
use super::event_numbers::EventNumber;
use super::recent::RecentMap;

/// What is awaited. Any thread may add to it; what comes back is taken out on the thread of the cluster alone.
#[derive(Debug)]
pub(super) struct AwaitedEvents {
    subjects: Mutex<HashMap<Subject, VecDeque<AwaitedEvent>>>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    most: usize,
    most_bytes: usize,
    /// The last events that this node's subscribers were sent of channels that remember or keep them: what comes back of these and
    /// those before is not sent again.
    delivered: Mutex<RecentMap<Subject, EventNumber>>,
    /// Some did not come back in time, and nothing has come back since: nothing more is awaited until something does.
    pub(super) is_overdue: AtomicBool,
}

/// An event that is awaited, as it will be delivered.
#[derive(Clone, Debug)]
pub(super) struct AwaitedEvent {
    pub(super) number: EventNumber,
    pub(super) since: Instant,
    pub(super) frame: Frame,
    pub(super) latest: Option<Arc<str>>,
    pub(super) except: Option<SocketId>,
    /// How long the channel remembers it, if it does.
    pub(super) expiry: Option<Duration>,
    /// The channel keeps it in a history.
    pub(super) is_kept: bool,
}

/// The number that the engine has given an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumberedAs {
    pub(super) number: u64,
    /// By it the channel keeps the event in its history; and remembers it as its last one.
    pub(super) is_kept: bool,
    pub(super) is_remembered: bool,
}

impl NumberedAs {
    /// How the channel keeps the event by it, if it does.
    pub(super) fn kept(self, is_delivered: bool) -> Option<KeptAs> {
        self.is_kept.then_some(KeptAs { number: self.number, is_delivered })
    }
}

/// What becomes of an event on the node that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayHere {
    /// It is delivered when it comes back.
    Awaited,
    /// It is delivered now.
    AtOnce,
    /// Nobody is here.
    Nobody,
}

impl AwaitedEvent {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.frame.websocket().len()
    }
}

impl AwaitedEvents {
    /// Nothing yet. So many events are awaited at most, of so many bytes; and of so many channels that remember events it is
    /// known which were delivered.
    pub(super) fn new(most: usize, most_bytes: usize, channels: usize) -> Self {
        AwaitedEvents {
            subjects: Mutex::default(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most,
            most_bytes,
            delivered: Mutex::new(RecentMap::new(channels)),
            is_overdue: AtomicBool::new(false),
        }
    }

    /// Whether an event of the subject is awaited. Whatever is accepted now is delivered behind it.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.subjects.lock().contains_key(subject)
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.count.load(Ordering::Relaxed) < self.most && self.bytes.load(Ordering::Relaxed) < self.most_bytes
    }

    /// Awaits an event, behind those of its subject that are awaited.
    pub(super) fn put(&self, subject: &Subject, event: AwaitedEvent) {
        let mut subjects = self.subjects.lock();
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(event.bytes(), Ordering::Relaxed);
        subjects.entry(subject.clone()).or_default().push_back(event);
    }

    /// An event of a channel that remembers or keeps it is delivered, also while it is on its way to the engine.
    pub(super) fn note_delivered(&self, subject: &Subject, number: EventNumber) {
        self.delivered.lock().with(subject, || number, |last| *last = number.max(*last));
    }

    /// The last one of them, if any is known.
    pub(super) fn last_delivered(&self, subject: &Subject) -> Option<EventNumber> {
        self.delivered.lock().get(subject)
    }

    /// Delivers what is awaited of a subject up to a number, in its order. Each event stays among them until it has been
    /// delivered, so that none that is accepted meanwhile overtakes it. Returns how many there were.
    pub(super) fn take_until(
        &self,
        subject: &Subject,
        number: EventNumber,
        mut deliver: impl FnMut(AwaitedEvent),
    ) -> u64 {
        let mut taken = 0;
        loop {
            let first =
                || self.subjects.lock().get(subject)?.front().filter(|first| first.number <= number).cloned();
            if self.count.load(Ordering::Acquire) == 0 {
                return taken;
            }
            let Some(first) = first() else { return taken };
            self.bytes.fetch_sub(first.bytes(), Ordering::Relaxed);
            if first.expiry.is_some() || first.is_kept {
                self.note_delivered(subject, first.number);
            }
            deliver(first);
            taken += 1;
            let mut subjects = self.subjects.lock();
            if let Some(events) = subjects.get_mut(subject) {
                events.pop_front();
                if events.is_empty() {
                    subjects.remove(subject);
                }
            }
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// Whether the first event that is awaited of a subject has been since then or longer.
    pub(super) fn is_late(&self, subject: &Subject, then: Instant) -> bool {
        let subjects = self.subjects.lock();
        subjects.get(subject).and_then(VecDeque::front).is_some_and(|first| first.since <= then)
    }

    /// The last event that is awaited of each subject of which the first one has been awaited since then or longer.
    pub(super) fn since(&self, then: Option<Instant>) -> Vec<(Subject, EventNumber)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let subjects = self.subjects.lock();
        let is_late = |events: &VecDeque<AwaitedEvent>| {
            events.front().is_some_and(|first| then.is_none_or(|then| first.since <= then))
        };
        let late = subjects.iter().filter(|(_, events)| is_late(events));
        late.filter_map(|(subject, events)| Some((subject.clone(), events.back()?.number))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::ChannelName;

    fn subject(name: &str) -> Subject {
        Subject::Channel { app: "1".into(), channel: ChannelName::parse(name, 164).unwrap() }
    }

    fn event(number: u64, since: Instant) -> AwaitedEvent {
        let frame = Frame::ping();
        AwaitedEvent {
            number: EventNumber { epoch: 1, number },
            since,
            frame,
            latest: None,
            except: None,
            expiry: None,
            is_kept: false,
        }
    }

    fn taken(awaited: &AwaitedEvents, name: &str, number: u64) -> Vec<u64> {
        let mut taken = Vec::new();
        let until = EventNumber { epoch: 1, number };
        let count = awaited.take_until(&subject(name), until, |event| taken.push(event.number.number));
        assert_eq!(count, taken.len() as u64);
        taken
    }

    #[test]
    fn what_comes_back_takes_those_before_it_along_and_nothing_comes_twice() {
        let now = Instant::now();
        let awaited = AwaitedEvents::new(4, usize::MAX, 10);
        for number in [2, 3, 5] {
            awaited.put(&subject("a"), event(number, now));
        }
        assert!(awaited.has_room());
        awaited.put(&subject("b"), event(1, now));
        assert!(!awaited.has_room() && awaited.has(&subject("a")) && !awaited.has(&subject("c")));
        assert_eq!(taken(&awaited, "a", 1), [0; 0]);
        assert_eq!(taken(&awaited, "a", 3), [2, 3]);
        assert_eq!(taken(&awaited, "a", 3), [0; 0]);
        assert_eq!(taken(&awaited, "a", 9), [5]);
        assert!(!awaited.has(&subject("a")) && awaited.has(&subject("b")));
        assert_eq!(taken(&awaited, "b", 1), [1]);
        assert_eq!((awaited.count.into_inner(), awaited.bytes.into_inner()), (0, 0));
    }

    #[test]
    fn an_event_stays_until_it_has_been_delivered() {
        let awaited = AwaitedEvents::new(4, usize::MAX, 10);
        awaited.put(&subject("a"), event(1, Instant::now()));
        let number = EventNumber { epoch: 1, number: 1 };
        awaited.take_until(&subject("a"), number, |_| assert!(awaited.has(&subject("a"))));
        assert!(!awaited.has(&subject("a")));
    }

    #[test]
    fn what_is_late_is_late_with_all_behind_it() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let awaited = AwaitedEvents::new(4, usize::MAX, 10);
        awaited.put(&subject("a"), event(1, now));
        awaited.put(&subject("a"), event(2, later));
        awaited.put(&subject("b"), event(7, later));
        let last = EventNumber { epoch: 1, number: 2 };
        assert_eq!(awaited.since(Some(now)), [(subject("a"), last)]);
        assert_eq!((awaited.since(Some(later)).len(), awaited.since(None).len()), (2, 2));
    }

    #[test]
    fn what_channels_remember_is_known_once_it_is_delivered() {
        let awaited = AwaitedEvents::new(4, usize::MAX, 10);
        let remembered = AwaitedEvent { expiry: Some(Duration::from_secs(1)), ..event(2, Instant::now()) };
        awaited.put(&subject("cache-a"), remembered);
        awaited.put(&subject("b"), event(2, Instant::now()));
        assert_eq!(awaited.last_delivered(&subject("cache-a")), None);
        for channel in ["cache-a", "b"] {
            awaited.take_until(&subject(channel), EventNumber { epoch: 1, number: 2 }, |_| {});
        }
        let last = |channel| awaited.last_delivered(&subject(channel)).map(|last| last.number);
        assert_eq!((last("cache-a"), last("b")), (Some(2), None));
        awaited.note_delivered(&subject("cache-a"), EventNumber { epoch: 1, number: 1 });
        assert_eq!(last("cache-a"), Some(2));
    }
}
