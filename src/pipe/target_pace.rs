//! Paces the events of a rule: for each channel it sends to, a pace and perhaps an event that waits. Pure: the time
//! comes in, and the caller keeps the timers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::ChannelName;

use super::pace::{Pace, Rate};

/// Channels that one rule keeps a pace for at once. A rule with a star sends to as many as its sources are; when so many
/// are busy, events to yet others are dropped.
pub(super) const MAX_TARGETS: usize = 1024;

/// The paces of one rule, one for each channel that it sends to.
#[derive(Debug)]
pub(super) struct TargetPaces<E> {
    rate: Option<Rate>,
    min_interval: Option<Duration>,
    keep_latest: bool,
    paces: HashMap<ChannelName, TargetPace<E>>,
}

/// The pace of one channel, and the event that waits for its time.
#[derive(Debug)]
struct TargetPace<E> {
    pace: Pace,
    waiting: Option<E>,
}

/// What is done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PaceDecision {
    /// It goes now.
    Go,
    /// It waits, the first to do so. At this time [`TargetPaces::release`] is to be called.
    Wait(Instant),
    /// It waits in place of an older one.
    Replaced,
    /// It comes before its time.
    Dropped,
    /// There is no room for the pace of another channel.
    Full,
}

/// What is done with an event that has waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Release<E> {
    /// This event.
    Now(E),
    /// Nothing yet: ask again then.
    At(Instant),
    /// Nothing waits.
    Nothing,
}

impl<E> TargetPaces<E> {
    pub(super) fn new(rate: Option<Rate>, min_interval: Option<Duration>, keep_latest: bool) -> Self {
        TargetPaces { rate, min_interval, keep_latest, paces: HashMap::new() }
    }

    /// An event for a channel has come. If it is to wait, `event` makes what waits.
    pub(super) fn offer(
        &mut self,
        channel: &ChannelName,
        now: Instant,
        event: impl FnOnce() -> E,
    ) -> PaceDecision {
        if !self.paces.contains_key(channel) && !self.has_room(now) {
            return PaceDecision::Full;
        }
        let rate = self.rate;
        let min_interval = self.min_interval;
        let new = || TargetPace { pace: Pace::new(rate, min_interval, now), waiting: None };
        let target = self.paces.entry(channel.clone()).or_insert_with(new);
        if target.pace.is_ready(now) {
            target.pace.take(now);
            // Its timer is late, and it has become the older one.
            target.waiting = None;
            return PaceDecision::Go;
        }
        match (self.keep_latest, target.pace.ready_at()) {
            (true, Some(ready_at)) => match target.waiting.replace(event()) {
                None => PaceDecision::Wait(ready_at),
                Some(_) => PaceDecision::Replaced,
            },
            _ => PaceDecision::Dropped,
        }
    }

    /// The time that was named has come.
    pub(super) fn release(&mut self, channel: &ChannelName, now: Instant) -> Release<E> {
        let Some(target) = self.paces.get_mut(channel) else { return Release::Nothing };
        match (target.pace.ready_at(), target.waiting.is_some()) {
            (_, false) => Release::Nothing,
            (Some(time), true) if time > now => Release::At(time),
            _ => {
                target.pace.take(now);
                target.waiting.take().map_or(Release::Nothing, Release::Now)
            }
        }
    }

    /// Whether one more channel may have a pace. Paces that are as if nothing had been sent are forgotten for it.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.paces.len() >= MAX_TARGETS {
            self.paces.retain(|_, target| target.waiting.is_some() || !target.pace.is_rested(now));
        }
        self.paces.len() < MAX_TARGETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(n: usize) -> ChannelName {
        ChannelName::parse(&format!("mirror-{n}"), 164).unwrap()
    }

    fn paces(keep_latest: bool) -> (TargetPaces<u32>, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let paces = TargetPaces::new(None, Some(Duration::from_millis(100)), keep_latest);
        (paces, move |millis| start + Duration::from_millis(millis))
    }

    #[test]
    fn what_comes_too_soon_is_dropped() {
        let (mut paces, at) = paces(false);
        let mut offer = |n, millis| paces.offer(&channel(n), at(millis), || unreachable!());
        assert_eq!(offer(0, 0), PaceDecision::Go);
        assert_eq!(offer(0, 99), PaceDecision::Dropped);
        assert_eq!(offer(1, 99), PaceDecision::Go, "each channel has its own pace");
        assert_eq!(offer(0, 100), PaceDecision::Go);
    }

    #[test]
    fn the_newest_waits_and_replaces_the_older() {
        let (mut paces, at) = paces(true);
        let to = channel(0);
        assert_eq!(paces.offer(&to, at(0), || 1), PaceDecision::Go);
        assert_eq!(paces.offer(&to, at(10), || 2), PaceDecision::Wait(at(100)));
        assert_eq!(paces.offer(&to, at(20), || 3), PaceDecision::Replaced);
        assert_eq!(paces.release(&to, at(99)), Release::At(at(100)));
        assert_eq!(paces.release(&to, at(100)), Release::Now(3));
        assert_eq!(paces.release(&to, at(100)), Release::Nothing);
        assert_eq!(paces.offer(&to, at(150), || 4), PaceDecision::Wait(at(200)), "what waited took its turn");
        assert_eq!(paces.offer(&to, at(201), || 5), PaceDecision::Go, "before a timer that is late");
        assert_eq!(paces.release(&to, at(202)), Release::Nothing);
    }

    #[test]
    fn there_are_never_more_paces_than_the_bound() {
        let (mut paces, at) = paces(true);
        for n in 0..MAX_TARGETS {
            assert_eq!(paces.offer(&channel(n), at(0), || 0), PaceDecision::Go);
        }
        paces.offer(&channel(0), at(50), || 1);
        assert_eq!(paces.offer(&channel(MAX_TARGETS), at(50), || 0), PaceDecision::Full);
        assert_eq!(
            paces.offer(&channel(MAX_TARGETS), at(100), || 0),
            PaceDecision::Go,
            "the others have rested"
        );
        assert_eq!(paces.paces.len(), 2, "the one with a waiting event, and the new one");
        assert_eq!(paces.release(&channel(0), at(100)), Release::Now(1));
    }
}
