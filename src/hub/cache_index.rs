//! Which channels of an app remember an event, in the order in which they will forget it; and the bounds of that.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::app::Limits;
use crate::protocol::ChannelName;

use crate::channel::ChannelVersion;

use super::due::Due;

/// The remembered events of one app, oldest first.
#[derive(Debug, Default)]
pub(super) struct CacheIndex {
    by_age: BTreeMap<ChannelVersion, RememberedEvent>,
    by_name: HashMap<ChannelName, ChannelVersion>,
    bytes: usize,
    /// The channels that somebody has missed an event of since they last remembered one, in the order in which it was
    /// missed.
    missed: BTreeMap<ChannelVersion, ChannelName>,
    missed_names: HashMap<ChannelName, ChannelVersion>,
    /// Some have given way to others.
    pub(super) has_given_way: bool,
}

/// Channels of which it is known that their event has been missed. Of one more, the oldest is taken for never missed.
const MISSED_CHANNELS: usize = 10_000;

#[derive(Debug)]
struct RememberedEvent {
    channel: ChannelName,
    bytes: usize,
    expires: Instant,
    /// Stands for that where a test may ask.
    _due: Due,
}

/// An event that is to be forgotten now: the channel, and the version it must still have.
pub(super) type Forgotten = (ChannelName, ChannelVersion);

impl CacheIndex {
    /// Notes that a channel remembers an event of this size, in place of the one it remembered before; returns what
    /// must be forgotten for it. An event that alone is over the bound is forgotten itself.
    pub(super) fn remember(
        &mut self,
        channel: &ChannelName,
        version: ChannelVersion,
        bytes: usize,
        (expires, due): (Instant, Due),
        limits: &Limits,
    ) -> Vec<Forgotten> {
        self.forget_miss(channel);
        if let Some(replaced) = self.by_name.insert(channel.clone(), version) {
            self.bytes -= self.by_age.remove(&replaced).map_or(0, |entry| entry.bytes);
        }
        self.by_age.insert(version, RememberedEvent { channel: channel.clone(), bytes, expires, _due: due });
        self.bytes += bytes;
        let mut forgotten = Vec::new();
        while self.by_age.len() > limits.cached_channels || self.bytes > limits.cached_bytes {
            forgotten.extend(self.pop());
        }
        self.has_given_way |= !forgotten.is_empty();
        forgotten
    }

    /// Somebody has missed an event of the channel, which remembers none. Whether it is the first one since the channel
    /// last remembered something. `version` is larger than any given here before.
    pub(super) fn miss(&mut self, channel: &ChannelName, version: ChannelVersion) -> bool {
        if self.missed_names.contains_key(channel) {
            return false;
        }
        self.missed_names.insert(channel.clone(), version);
        self.missed.insert(version, channel.clone());
        if self.missed.len() > MISSED_CHANNELS
            && let Some((_, oldest)) = self.missed.pop_first()
        {
            self.missed_names.remove(&oldest);
        }
        true
    }

    /// The next one who misses an event of the channel is the first.
    pub(super) fn forget_miss(&mut self, channel: &ChannelName) {
        if let Some(place) = self.missed_names.remove(channel) {
            self.missed.remove(&place);
        }
    }

    /// What has expired, at most so many events.
    pub(super) fn expire(&mut self, now: Instant, most: usize) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        while forgotten.len() < most
            && self.by_age.first_key_value().is_some_and(|(_, entry)| entry.expires <= now)
        {
            forgotten.extend(self.pop());
        }
        forgotten
    }

    /// What has expired, also behind what is to be remembered for longer: that may have been changed meanwhile.
    pub(super) fn expire_everywhere(&mut self, now: Instant) -> Vec<Forgotten> {
        let expired = self.by_age.extract_if(.., |_, entry| entry.expires <= now);
        let expired: Vec<(ChannelVersion, RememberedEvent)> = expired.collect();
        let forgotten = expired.into_iter().map(|(version, entry)| {
            self.by_name.remove(&entry.channel);
            self.bytes -= entry.bytes;
            (entry.channel, version)
        });
        forgotten.collect()
    }

    /// The channels that remember an event.
    pub(super) fn channels(&self) -> impl Iterator<Item = &ChannelName> {
        self.by_name.keys()
    }

    /// How many events are remembered, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.by_age.len(), self.bytes)
    }

    /// The same, and how many channels are known to have been missed.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.by_age.len(), self.bytes, self.missed.len())
    }

    /// The channels that remember something, the one first that will forget it first.
    pub(super) fn remembering(&self) -> Vec<ChannelName> {
        self.by_age.values().map(|event| event.channel.clone()).collect()
    }

    /// The channels that are known to have been missed, in the order in which they were.
    pub(super) fn missed(&self) -> Vec<ChannelName> {
        self.missed.values().cloned().collect()
    }

    /// Everything.
    pub(super) fn clear(&mut self) -> Vec<Forgotten> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    fn pop(&mut self) -> Option<Forgotten> {
        let (version, entry) = self.by_age.pop_first()?;
        self.by_name.remove(&entry.channel);
        self.bytes -= entry.bytes;
        Some((entry.channel, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn until(time: Instant) -> (Instant, Due) {
        (time, Due::default())
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 164).unwrap()
    }

    fn version(number: u64) -> ChannelVersion {
        ChannelVersion::new(number)
    }

    #[test]
    fn the_oldest_is_forgotten_where_a_bound_is_passed() {
        let limits = Limits { cached_channels: 2, cached_bytes: 100, ..Limits::default() };
        let mut index = CacheIndex::default();
        let later = Instant::now() + Duration::from_secs(60);
        let mut remember = |channel: &str, number, bytes| {
            index.remember(&name(channel), version(number), bytes, until(later), &limits)
        };
        assert!(remember("a", 1, 40).is_empty());
        assert!(remember("b", 2, 40).is_empty());
        assert!(remember("a", 3, 50).is_empty(), "in place of what it remembered");
        assert_eq!(remember("c", 4, 10), [(name("b"), version(2))], "too many channels");
        assert_eq!(remember("c", 5, 60), [(name("a"), version(3))], "too many bytes");
        assert_eq!(
            remember("d", 6, 101),
            [(name("c"), version(5)), (name("d"), version(6))],
            "too large by itself"
        );
        assert!(index.by_age.is_empty() && index.by_name.is_empty() && index.bytes == 0);
    }

    #[test]
    fn the_first_miss_is_told_from_the_others() {
        let now = Instant::now();
        let mut index = CacheIndex::default();
        assert!(
            index.miss(&name("a"), version(1))
                && !index.miss(&name("a"), version(2))
                && index.miss(&name("b"), version(3))
        );
        index.remember(&name("a"), version(4), 10, until(now), &Limits::default());
        assert_eq!(index.expire(now, usize::MAX), [(name("a"), version(4))]);
        assert!(index.miss(&name("a"), version(5)) && !index.miss(&name("b"), version(6)));
        index.forget_miss(&name("b"));
        assert!(index.miss(&name("b"), version(6)), "it is not known to have been missed");
        for n in 0..MISSED_CHANNELS {
            index.miss(&name(&format!("many-{n}")), version(7 + n as u64));
        }
        assert_eq!((index.missed.len(), index.missed_names.len()), (MISSED_CHANNELS, MISSED_CHANNELS));
        assert!(index.miss(&name("b"), version(1_000_000)), "too long ago to be known");
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut index = CacheIndex::default();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        index.remember(&name("a"), version(1), 10, until(at(10)), &Limits::default());
        index.remember(&name("b"), version(2), 10, until(at(20)), &Limits::default());
        assert!(index.expire(at(9), usize::MAX).is_empty());
        assert_eq!(index.expire(at(10), usize::MAX), [(name("a"), version(1))]);
        index.remember(&name("c"), version(3), 10, until(at(15)), &Limits::default());
        assert!(index.expire(at(16), usize::MAX).is_empty(), "behind the other one");
        assert_eq!(index.expire_everywhere(at(16)), [(name("c"), version(3))]);
        assert_eq!(index.expire(at(99), usize::MAX), [(name("b"), version(2))]);
        assert!(index.expire(at(99), usize::MAX).is_empty());
    }
}
