//! What a paced rule remembers: for each channel it sends to, its pace and perhaps an event that waits. Pure: the time
//! comes in, and whoever asks keeps the timers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::protocol::ChannelName;

use super::pace::{Pace, Rate};

/// Channels that one rule keeps a pace for at once. A rule with a star sends to as many as its sources are; when so many
/// are busy, events to yet others are dropped.
pub(super) const MOST_LANES: usize = 1024;

/// The lanes of one rule.
#[derive(Debug)]
pub(super) struct Lanes<E> {
    rate: Option<Rate>,
    min_interval: Option<Duration>,
    keep_latest: bool,
    lanes: HashMap<ChannelName, Lane<E>>,
}

#[derive(Debug)]
struct Lane<E> {
    pace: Pace,
    waiting: Option<E>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes now.
    Go,
    /// It waits, the first to do so. At this time [`Lanes::release`] is to be called.
    Wait(Instant),
    /// It waits in place of an older one.
    Replaced,
    /// It is dropped.
    Dropped,
}

/// What may go at last.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Release<E> {
    /// This event.
    Now(E),
    /// Nothing yet: ask again then.
    At(Instant),
    /// Nothing waits.
    Nothing,
}

impl<E> Lanes<E> {
    pub(super) fn new(rate: Option<Rate>, min_interval: Option<Duration>, keep_latest: bool) -> Self {
        Lanes { rate, min_interval, keep_latest, lanes: HashMap::new() }
    }

    /// An event for a channel has come. If it is to wait, `event` makes what waits.
    pub(super) fn offer(
        &mut self,
        channel: &ChannelName,
        now: Instant,
        event: impl FnOnce() -> E,
    ) -> Verdict {
        if !self.lanes.contains_key(channel) && !self.has_room(now) {
            return Verdict::Dropped;
        }
        let (rate, min_interval) = (self.rate, self.min_interval);
        let new = || Lane { pace: Pace::new(rate, min_interval, now), waiting: None };
        let lane = self.lanes.entry(channel.clone()).or_insert_with(new);
        if lane.pace.is_ready(now) {
            lane.pace.take(now);
            // Its timer is late, and it has become the older one.
            lane.waiting = None;
            return Verdict::Go;
        }
        match (self.keep_latest, lane.pace.ready_at()) {
            (true, Some(ready_at)) => match lane.waiting.replace(event()) {
                None => Verdict::Wait(ready_at),
                Some(_) => Verdict::Replaced,
            },
            _ => Verdict::Dropped,
        }
    }

    /// The time that was named has come.
    pub(super) fn release(&mut self, channel: &ChannelName, now: Instant) -> Release<E> {
        let Some(lane) = self.lanes.get_mut(channel) else { return Release::Nothing };
        match (lane.pace.ready_at(), lane.waiting.is_some()) {
            (_, false) => Release::Nothing,
            (Some(time), true) if time > now => Release::At(time),
            _ => {
                lane.pace.take(now);
                lane.waiting.take().map_or(Release::Nothing, Release::Now)
            }
        }
    }

    /// Whether one more lane may be begun. Those that are as if they had never been are forgotten for it.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.lanes.len() >= MOST_LANES {
            self.lanes.retain(|_, lane| lane.waiting.is_some() || !lane.pace.is_rested(now));
        }
        self.lanes.len() < MOST_LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(n: usize) -> ChannelName {
        ChannelName::parse(&format!("mirror-{n}"), 164).unwrap()
    }

    fn lanes(keep_latest: bool) -> (Lanes<u32>, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let lanes = Lanes::new(None, Some(Duration::from_millis(100)), keep_latest);
        (lanes, move |millis| start + Duration::from_millis(millis))
    }

    #[test]
    fn what_comes_too_soon_is_dropped() {
        let (mut lanes, at) = lanes(false);
        let mut offer = |n, millis| lanes.offer(&channel(n), at(millis), || unreachable!());
        assert_eq!(offer(0, 0), Verdict::Go);
        assert_eq!(offer(0, 99), Verdict::Dropped);
        assert_eq!(offer(1, 99), Verdict::Go, "each channel has its own pace");
        assert_eq!(offer(0, 100), Verdict::Go);
    }

    #[test]
    fn the_newest_waits_and_replaces_the_older() {
        let (mut lanes, at) = lanes(true);
        let to = channel(0);
        assert_eq!(lanes.offer(&to, at(0), || 1), Verdict::Go);
        assert_eq!(lanes.offer(&to, at(10), || 2), Verdict::Wait(at(100)));
        assert_eq!(lanes.offer(&to, at(20), || 3), Verdict::Replaced);
        assert_eq!(lanes.release(&to, at(99)), Release::At(at(100)));
        assert_eq!(lanes.release(&to, at(100)), Release::Now(3));
        assert_eq!(lanes.release(&to, at(100)), Release::Nothing);
        assert_eq!(lanes.offer(&to, at(150), || 4), Verdict::Wait(at(200)), "what waited took its turn");
        assert_eq!(lanes.offer(&to, at(201), || 5), Verdict::Go, "before a timer that is late");
        assert_eq!(lanes.release(&to, at(202)), Release::Nothing);
    }

    #[test]
    fn there_are_never_more_lanes_than_the_bound() {
        let (mut lanes, at) = lanes(true);
        for n in 0..MOST_LANES {
            assert_eq!(lanes.offer(&channel(n), at(0), || 0), Verdict::Go);
        }
        lanes.offer(&channel(0), at(50), || 1);
        assert_eq!(lanes.offer(&channel(MOST_LANES), at(50), || 0), Verdict::Dropped);
        assert_eq!(lanes.offer(&channel(MOST_LANES), at(100), || 0), Verdict::Go, "the others have rested");
        assert_eq!(lanes.lanes.len(), 2, "the one with a waiting event, and the new one");
        assert_eq!(lanes.release(&channel(0), at(100)), Release::Now(1));
    }
}
