//! Which channels of an app keep their last events, in the orders in which they are to be looked at.
//!
//! The places are those of the last look: a channel may have lost the event since that it has its place for. Whoever looks at
//! it gives it another one then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use crate::channel::{ChannelVersion, LostEvent};
use crate::protocol::ChannelName;

/// The channels that keep something, or of which it is known what they have lost.
#[derive(Debug)]
pub(super) struct HistoryIndex {
    by_name: HashMap<ChannelName, HistoryPlace>,
    /// Those with events, by the oldest one.
    by_age: BTreeMap<ChannelVersion, ChannelName>,
    /// Those that are vacant and empty, by the change by which they became so.
    vacant: BTreeMap<ChannelVersion, ChannelName>,
    /// By the time at which something of them will be too old.
    by_time: BTreeSet<(Instant, ChannelName)>,
    /// Channels that are not known may have lost events up to this one.
    pub(super) floor: LostEvent,
}

#[derive(Clone, Copy, Debug)]
struct HistoryPlace {
    age: ChannelVersion,
    time: Instant,
}

impl HistoryIndex {
    pub(super) fn new(floor: LostEvent) -> Self {
        HistoryIndex {
            by_name: HashMap::new(),
            by_age: BTreeMap::new(),
            vacant: BTreeMap::new(),
            by_time: BTreeSet::new(),
            floor,
        }
    }

    /// Gives a channel with events this place, in place of the one it had. No other channel has been given one of that age.
    pub(super) fn put(&mut self, channel: &ChannelName, age: ChannelVersion, time: Instant) {
        self.remove(channel);
        self.by_age.insert(age, channel.clone());
        self.put_at(channel, age, time);
    }

    /// The same of a channel that is vacant and empty.
    pub(super) fn put_vacant(&mut self, channel: &ChannelName, age: ChannelVersion, time: Instant) {
        self.remove(channel);
        self.vacant.insert(age, channel.clone());
        self.put_at(channel, age, time);
    }

    fn put_at(&mut self, channel: &ChannelName, age: ChannelVersion, time: Instant) {
        self.by_name.insert(channel.clone(), HistoryPlace { age, time });
        self.by_time.insert((time, channel.clone()));
    }

    /// It is vacant and empty now, and to be looked at at this time.
    pub(super) fn put_off(&mut self, channel: &ChannelName, time: Instant) {
        if let Some(HistoryPlace { age, .. }) = self.by_name.get(channel).copied() {
            self.put_vacant(channel, age, time);
        }
    }

    /// It need not be looked at any more.
    pub(super) fn remove(&mut self, channel: &ChannelName) {
        if let Some(HistoryPlace { age, time }) = self.by_name.remove(channel) {
            self.by_age.remove(&age);
            self.vacant.remove(&age);
            self.by_time.remove(&(time, channel.clone()));
        }
    }

    /// All of them are to be looked at now.
    pub(super) fn look_at_all(&mut self, now: Instant) {
        self.by_time = self.by_name.keys().map(|channel| (now, channel.clone())).collect();
        self.by_name.values_mut().for_each(|place| place.time = now);
    }

    /// Channels that are not known may have lost this event, too.
    pub(super) fn raise_floor(&mut self, lost: LostEvent) {
        if lost.version > self.floor.version {
            self.floor = lost;
        }
    }

    /// The channel of the oldest event, how old that is, and how old the oldest one of others.
    pub(super) fn oldest(&self) -> Option<(ChannelVersion, ChannelName, Option<ChannelVersion>)> {
        let mut by_age = self.by_age.iter();
        let (age, channel) = by_age.next()?;
        Some((*age, channel.clone(), by_age.next().map(|(next, _)| *next)))
    }

    /// The channel that has been vacant and empty for the longest time, if there are more than so many.
    pub(super) fn vacant_beyond(&self, most: usize) -> Option<ChannelName> {
        self.vacant.first_key_value().filter(|_| self.vacant.len() > most).map(|(_, channel)| channel.clone())
    }

    /// A channel that is to be looked at now.
    pub(super) fn due(&self, now: Instant) -> Option<ChannelName> {
        self.by_time.first().filter(|(time, _)| *time <= now).map(|(_, channel)| channel.clone())
    }

    /// All of them.
    pub(super) fn names(&self) -> Vec<ChannelName> {
        self.by_name.keys().cloned().collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_channel_has_one_place_in_each_order() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let name = |text: &str| ChannelName::parse(text, 164).unwrap();
        let version = ChannelVersion::new;
        let mut index = HistoryIndex::new(LostEvent { version: version(1), at: start });
        index.put(&name("a"), version(5), at(9));
        index.put(&name("b"), version(3), at(10));
        assert_eq!(index.oldest(), Some((version(3), name("b"), Some(version(5)))));
        assert_eq!((index.due(at(8)), index.due(at(9))), (None, Some(name("a"))));
        index.put(&name("b"), version(7), at(8));
        assert_eq!(index.oldest(), Some((version(5), name("a"), Some(version(7)))));
        assert_eq!(index.due(at(9)), Some(name("b")));
        index.put_off(&name("b"), at(20));
        index.put_off(&name("c"), at(1));
        assert_eq!(index.oldest(), Some((version(5), name("a"), None)), "b is vacant and empty");
        assert_eq!((index.vacant_beyond(0), index.vacant_beyond(1)), (Some(name("b")), None));
        assert_eq!((index.due(at(8)), index.due(at(9)), index.len()), (None, Some(name("a")), 2));
        index.look_at_all(start);
        assert!(index.due(start).is_some());
        index.remove(&name("a"));
        index.remove(&name("b"));
        assert_eq!((index.oldest(), index.due(at(99)), index.len()), (None, None, 0));
        index.raise_floor(LostEvent { version: version(4), at: at(4) });
        index.raise_floor(LostEvent { version: version(2), at: at(5) });
        assert_eq!(index.floor.version, version(4));
    }
}
