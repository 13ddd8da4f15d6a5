//! Numbers the events of each channel: those that this node says, and by those that others say, what came twice and what
//! is missing.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::channel::NodeId;

use super::adapter::Subject;
use super::recent::RecentMap;

/// Parts of the numbers, each behind a lock of its own.
const SHARDS: usize = 64;

/// The number of an event: in its epoch, the first one is 1, and each further one of its origin and channel is one more. A
/// later epoch has a larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventNumber {
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

impl EventNumber {
    /// Whether it is the next one.
    fn follows(self, before: EventNumber) -> bool {
        self.epoch == before.epoch && Some(self.number) == before.number.checked_add(1)
    }
}

/// The numbers of the events that this node says. Those of channels that have been quiet for longest are forgotten; such a
/// channel begins another epoch.
#[derive(Debug)]
pub(super) struct EventNumbers {
    shards: Vec<Mutex<RecentMap<Subject, EventNumber>>>,
    hasher: std::hash::RandomState,
    epochs: AtomicU64,
}

impl EventNumbers {
    /// Of at most so many channels.
    pub(super) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(RecentMap::new(most / SHARDS))).collect();
        EventNumbers { shards, hasher: std::hash::RandomState::new(), epochs: AtomicU64::new(0) }
    }

    /// Hands out the next number of the subject. `say` is called with it before the one after it is handed out.
    pub(super) fn say<R>(&self, subject: &Subject, say: impl FnOnce(EventNumber) -> R) -> R {
        let shard = self.hasher.hash_one(subject) as usize % SHARDS;
        let begin = || EventNumber { epoch: self.epochs.fetch_add(1, Ordering::Relaxed) + 1, number: 0 };
        self.shards[shard].lock().with(subject, begin, |last| {
            last.number += 1;
            say(*last)
        })
    }
}

impl EventNumbers {
    /// Whether this node may have said an event of this number.
    pub(super) fn has_said(&self, subject: &Subject, number: EventNumber) -> bool {
        let shard = self.hasher.hash_one(subject) as usize % SHARDS;
        // What has been forgotten nobody knows.
        self.shards[shard].lock().get(subject).is_none_or(|last| number <= last)
    }
}

/// The numbers of the events that nodes have said, as far as they were heard here.
#[derive(Debug)]
pub(super) struct HeardNumbers {
    channels: RecentMap<(NodeId, Subject), LastHeard>,
}

#[derive(Debug)]
struct LastHeard {
    number: EventNumber,
    /// The last one before a leap to that, until the next one confirms the leap. A word that was tampered with may have leapt:
    /// what goes on from here is new all the same.
    before_leap: Option<EventNumber>,
    /// The subscription at the engine by which it came.
    subscription: u64,
}

/// What the number of an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It has not been heard, and so many before it have not, either, although they should have been.
    New { missed: u64 },
    /// It has been heard.
    Repeated,
}

impl HeardNumbers {
    /// Of at most so many nodes' channels.
    pub(super) fn new(most: usize) -> Self {
        HeardNumbers { channels: RecentMap::new(most) }
    }

    /// An event of this number has come by this subscription of the channel. What came while there was none is not missed.
    pub(super) fn hear(
        &mut self,
        from: NodeId,
        subject: &Subject,
        number: EventNumber,
        subscription: u64,
    ) -> Hearing {
        let mut is_first = false;
        let make = || {
            is_first = true;
            LastHeard { number, before_leap: None, subscription }
        };
        let hearing = self.channels.with(&(from, subject.clone()), make, |last| {
            let is_same = std::mem::replace(&mut last.subscription, subscription) == subscription;
            if last.number >= number {
                let goes_on = last.before_leap.filter(|before| number.follows(*before));
                let hearing = goes_on.map(|_| Hearing::New { missed: 0 });
                last.before_leap = if goes_on.is_some() { Some(number) } else { last.before_leap };
                return hearing.unwrap_or(Hearing::Repeated);
            }
            let before = std::mem::replace(&mut last.number, number);
            if number.follows(before) {
                last.before_leap = None;
                return Hearing::New { missed: 0 };
            }
            last.before_leap.get_or_insert(before);
            let missed = if before.epoch == number.epoch {
                number.number - before.number - 1
            } else {
                // How many there were in the old epoch after the last one heard, nobody knows.
                number.number - number.number.min(1)
            };
            Hearing::New { missed: if is_same { missed } else { 0 } }
        });
        if is_first { Hearing::New { missed: 0 } } else { hearing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    fn channel(name: &str) -> Subject {
        Subject::Channel { app: "1".into(), channel: ChannelName::parse(name, 164).unwrap() }
    }

    fn at(epoch: u64, number: u64) -> EventNumber {
        EventNumber { epoch, number }
    }

    #[test]
    fn each_channel_counts_by_itself_and_begins_again_when_it_was_forgotten() {
        let numbers = EventNumbers::new(2 * SHARDS);
        let first = numbers.say(&channel("a"), |number| number);
        assert_eq!((first.number, numbers.say(&channel("a"), |number| number)), (1, at(first.epoch, 2)));
        for n in 0..10_000 {
            assert_eq!(numbers.say(&channel(&format!("c{n}")), |number| number.number), 1);
        }
        let again = numbers.say(&channel("a"), |number| number);
        assert!(again > at(first.epoch, 2) && again.number == 1, "{again:?}");
    }

    #[test]
    fn what_came_twice_and_what_is_missing_is_told_by_the_numbers() {
        let mut heard = HeardNumbers::new(100);
        let a = channel("a");
        let cases = [
            (at(3, 7), 1, Hearing::New { missed: 0 }),
            (at(3, 7), 1, Hearing::Repeated),
            (at(3, 8), 1, Hearing::New { missed: 0 }),
            (at(3, 11), 1, Hearing::New { missed: 2 }),
            // Late, but not heard; of those that were missing only the next one may be.
            (at(3, 10), 1, Hearing::Repeated),
            (at(3, 9), 1, Hearing::New { missed: 0 }),
            (at(3, 9), 1, Hearing::Repeated),
            (at(3, 12), 1, Hearing::New { missed: 0 }),
            // Another subscription: what came between is not missed; what was heard is not heard again.
            (at(3, 20), 2, Hearing::New { missed: 0 }),
            (at(3, 20), 3, Hearing::Repeated),
            (at(3, 22), 3, Hearing::New { missed: 1 }),
            // Another epoch.
            (at(5, 1), 3, Hearing::New { missed: 0 }),
            (at(6, 3), 3, Hearing::New { missed: 2 }),
            (at(5, 2), 3, Hearing::Repeated),
            (at(6, u64::MAX), 3, Hearing::New { missed: u64::MAX - 4 }),
        ];
        for (number, subscription, expected) in cases {
            assert_eq!(heard.hear(NodeId::new(1), &a, number, subscription), expected, "{number:?}");
        }
        let c = channel("c");
        let mut of_c = |number| heard.hear(NodeId::new(1), &c, number, 1);
        for number in [at(1, 1), at(1, 2)] {
            of_c(number);
        }
        // Others may have said these.
        for forged in [at(1, u64::MAX), at(1, 70), at(900, 1), at(300, 1), at(900, 70), at(u64::MAX, 3)] {
            of_c(forged);
        }
        for number in [at(1, 3), at(1, 4), at(1, 5)] {
            assert_eq!(of_c(number), Hearing::New { missed: 0 }, "{number:?}");
            assert_eq!(of_c(number), Hearing::Repeated, "{number:?}");
        }
        let mut others = |node, channel: &Subject| heard.hear(NodeId::new(node), channel, at(1, 5), 1);
        let b = channel("b");
        assert_eq!(others(1, &b), Hearing::New { missed: 0 });
        assert_eq!(others(2, &a), Hearing::New { missed: 0 }, "each node has numbers of its own");
    }
}
