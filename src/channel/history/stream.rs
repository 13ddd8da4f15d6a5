//! A history that follows the stream which the engine between several nodes has of the channel: up to which of its numbers
//! everything has come here, and from which one on nothing is missing.

use std::time::Instant;

use crate::app::HistoryBounds;
use crate::channel::{ChannelVersion, HistoryPosition};
use crate::protocol::Frame;

use super::{Dropped, History, KeptEvent, LossReason, LostEvent, LostUnnumbered};

/// Where a history is in the stream of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamPlace {
    /// The engine: its numbers mean nothing to another one.
    pub epoch: u64,
    /// Everything up to this number has come here, but for what is lost.
    pub reached: u64,
    /// Who has received everything up to this number has missed nothing that is not here.
    pub floor: u64,
    /// Some events are in another order here than there, because they were there later.
    pub is_mixed: bool,
}

/// What is known of the events that get no number, as a word of the stream says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LostNumbers {
    /// So many of those that were delivered here.
    pub count: usize,
    /// There may be others, of which nothing is known.
    pub may_be_more: bool,
    /// What was published until then has its number by now, or gets none.
    pub settled_until: Option<Instant>,
}

/// The number of an event, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamNumber {
    pub epoch: u64,
    pub number: u64,
}

impl History {
    /// Up to which number of this engine everything has come here; `None` if nothing is known.
    pub(crate) fn reached(&self, epoch: u64) -> Option<u64> {
        self.stream.filter(|stream| stream.epoch == epoch).map(|stream| stream.reached)
    }

    /// Keeps an event of the stream, which follows everything that has come of it. If nothing has, all before it is lost.
    pub(crate) fn push_numbered(
        &mut self,
        event: KeptEvent,
        StreamNumber { epoch, number }: StreamNumber,
        bounds: &HistoryBounds,
    ) -> Dropped {
        self.reach(StreamNumber { epoch, number: number.saturating_sub(1) });
        let is_behind_others =
            self.events.back().is_some_and(|last| last.number.is_none_or(|last| last > number));
        if let Some(stream) = &mut self.stream {
            stream.reached = stream.reached.max(number);
            stream.is_mixed |= is_behind_others;
        }
        self.push(KeptEvent { number: Some(number), ..event }, bounds)
    }

    /// Everything up to this number has come here, or is lost.
    pub(crate) fn reach(&mut self, StreamNumber { epoch, number }: StreamNumber) {
        match &mut self.stream {
            Some(stream) if stream.epoch == epoch => stream.reached = stream.reached.max(number),
            _ => {
                // What another one has numbered has no number any more.
                self.events.iter_mut().for_each(|event| event.number = None);
                self.stream = Some(StreamPlace { epoch, reached: number, floor: number, is_mixed: false });
            }
        }
    }

    /// Gives an event that has no number this one: the engine has it by now. It may have had to go. `false` if there was no
    /// such event.
    pub(crate) fn number(&mut self, frame: &Frame, StreamNumber { epoch, number }: StreamNumber) -> bool {
        let is_it =
            |event: &KeptEvent| event.number.is_none() && event.frame.websocket() == frame.websocket();
        let Some(at) = self.events.iter().position(is_it) else {
            return self.number_lost(StreamNumber { epoch, number });
        };
        self.reach(StreamNumber { epoch, number: number.saturating_sub(1) });
        let is_last = at + 1 == self.events.len();
        let follows = at == 0 || self.events[at - 1].number.is_some_and(|before| before < number);
        self.events[at].number = Some(number);
        if let Some(stream) = &mut self.stream {
            stream.reached = stream.reached.max(number);
            stream.is_mixed |= !(is_last && follows);
        }
        true
    }

    /// Until it is known which numbers those events have that had to go without one, nobody who has a number is known to have
    /// missed nothing.
    fn number_lost(&mut self, numbered: StreamNumber) -> bool {
        if self.unnumbered.count == 0 {
            return false;
        }
        self.unnumbered.count -= 1;
        self.reach(numbered);
        if let Some(stream) = &mut self.stream {
            stream.floor = stream.floor.max(numbered.number);
        }
        true
    }

    /// Some of the events that have no number get none: the stream says so by this number. Those of them that are here stand before
    /// it and behind all that has come, as far as there are numbers between; those that are not here are missing before it.
    pub(crate) fn lose_unnumbered(
        &mut self,
        StreamNumber { epoch, number }: StreamNumber,
        LostNumbers { count, may_be_more, settled_until }: LostNumbers,
        mut is_lost: impl FnMut(&Frame) -> bool,
    ) {
        let reached = self.reached(epoch).unwrap_or(0);
        self.reach(StreamNumber { epoch, number });
        let unnumbered = self.events.iter_mut().filter(|event| event.number.is_none());
        let mut found: Vec<_> = unnumbered.filter(|event| is_lost(&event.frame)).collect();
        let mut gone = count.saturating_sub(found.len());
        for (event, given) in found.iter_mut().rev().zip((reached.saturating_add(1)..number).rev()) {
            event.number = Some(given);
        }
        let LostUnnumbered { count: unnumbered, newest } = self.unnumbered;
        if newest.zip(settled_until).is_some_and(|(newest, until)| newest <= until) {
            gone = gone.max(unnumbered);
        }
        self.unnumbered.count -= gone.min(unnumbered);
        let is_in_order = self.events.iter().map(|event| event.number.unwrap_or(u64::MAX)).is_sorted();
        if let Some(stream) = &mut self.stream {
            stream.is_mixed |= !is_in_order;
            if gone > 0 || may_be_more {
                stream.floor = stream.floor.max(number);
            }
        }
    }

    /// Drops everything: nobody knows what has come until `lost`, and what follows it in the stream is not known either. What
    /// this node's subscribers were sent without a number may still get one.
    pub(crate) fn break_off(&mut self, lost: LostEvent) -> Dropped {
        self.stream = None;
        let unnumbered = self.events.iter().filter(|event| event.number.is_none());
        if let Some((at, newest)) = unnumbered.map(|event| event.at).enumerate().last() {
            self.unnumbered.add(at + 1, newest);
        }
        let dropped = self.clear(LossReason::Gap);
        self.lost = lost;
        dropped
    }

    /// Who has received what has come here up to a version has received everything of the stream up to this number; and
    /// whether that is all there is. `None` if it is not known.
    pub(crate) fn number_of(&self, version: ChannelVersion) -> Option<(StreamNumber, bool)> {
        let stream = self.stream.filter(|_| version >= self.lost.version)?;
        let behind = self.events.range(self.events.partition_point(|event| event.version <= version)..);
        let is_all = behind.len() == 0;
        let next = behind.filter_map(|event| event.number).min();
        let number = next.map_or(stream.reached, |next| stream.reached.min(next.saturating_sub(1)));
        Some((StreamNumber { epoch: stream.epoch, number }, is_all))
    }

    /// Up to which version somebody has received everything here who has received everything of the stream up to a place. What it has
    /// received behind that, because the order here is another one, it does not know of. `None` if it has missed something that is
    /// not here, or that is not known.
    pub(crate) fn version_of(
        &self,
        HistoryPosition { epoch, number }: HistoryPosition,
    ) -> Option<ChannelVersion> {
        let stream = self.stream.filter(|stream| stream.epoch == epoch)?;
        if number < stream.floor || self.unnumbered.count > 0 {
            return None;
        }
        let is_missed = |event: &KeptEvent| event.number.is_none_or(|of_event| of_event > number);
        Some(match self.events.iter().position(is_missed) {
            Some(first) => first.checked_sub(1).map_or(self.lost.version, |last| self.events[last].version),
            None => self.newest().version,
        })
    }
}

#[cfg(test)]
mod tests;
