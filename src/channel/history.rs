//! What a channel keeps of its last events, for those who come back or later.
//!
//! It knows what it has lost: the newest event that was dropped. Whoever has received everything up to that one or further
//! misses nothing that is not here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::app::HistoryBounds;
use crate::protocol::{Broadcast, Frame, Rewind, SocketId};

use super::replay::ReplayTerms;
use super::{ChannelVersion, HistoryPosition, Replay, Wanted};

/// Events that one subscriber is sent at once: they are queued in one turn of its worker, which others wait for.
const MOST_REPLAYED: usize = 10_000;

/// What stands around the parts of a binary message where it is text.
const TEXT_AROUND: usize = 128;

/// An event in a history.
#[derive(Clone, Debug)]
pub(crate) struct KeptEvent {
    pub version: ChannelVersion,
    /// When it was published, by the app's clock.
    pub at: Instant,
    /// The same in milliseconds since 1970, for those who read.
    pub time_ms: u64,
    /// As it was made, as text or as a binary message. It is shared with those who are sent it so.
    pub frame: Frame,
    /// The connection that is not sent it.
    pub except: Option<SocketId>,
}

/// The last events of a channel, within bounds.
#[derive(Clone, Debug)]
pub(crate) struct History {
    events: VecDeque<KeptEvent>,
    bytes: usize,
    lost: LostEvent,
    /// Since when nobody is subscribed. Whoever was subscribed has left before.
    pub vacant_since: Option<Instant>,
    /// Whether it counts as more than its events at present, because nobody is subscribed.
    pub is_charged: bool,
}

/// The newest event that is not there any more, or that may have been there before the history began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostEvent {
    pub version: ChannelVersion,
    /// When it was published.
    pub at: Instant,
}

/// Why events were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossReason {
    /// The channel has more than `events`.
    Events,
    /// It has more than `bytes`.
    Bytes,
    /// They are older than `seconds`.
    Seconds,
    /// The app has more than its `history_bytes`.
    App,
    /// The node has more than its `history_bytes`.
    Node,
    /// The history was switched off, or its app was removed.
    SwitchedOff,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub bytes: usize,
    /// By the reasons, in the order of [`LossReason::ALL`].
    pub events: [usize; LossReason::ALL.len()],
}

/// A part of a history, oldest event first.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryPage {
    pub events: Vec<KeptEvent>,
    /// Whether nothing is missing before the first of them.
    pub complete: bool,
    /// Whether there are further ones behind.
    pub has_more: bool,
}

impl KeptEvent {
    /// Bytes that it counts as.
    pub(crate) fn bytes(&self) -> usize {
        self.frame.websocket().len() + HistoryBounds::EVENT_BYTES
    }

    /// As text, which is made anew where it was made as a binary message.
    pub(crate) fn text(&self) -> Frame {
        Broadcast::new(self.frame.clone(), false).plain().clone()
    }

    /// Bytes that it has at most where it is sent: as text, a binary message has a third more, and names around it.
    fn sent_bytes(&self) -> usize {
        let bytes = self.frame.websocket().len();
        if self.frame.is_binary() { bytes + bytes / 2 + TEXT_AROUND } else { bytes }
    }
}

impl LossReason {
    /// All of them.
    pub(crate) const ALL: [LossReason; 6] = [
        LossReason::Events,
        LossReason::Bytes,
        LossReason::Seconds,
        LossReason::App,
        LossReason::Node,
        LossReason::SwitchedOff,
    ];

    /// As it is called in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            LossReason::Events => "events",
            LossReason::Bytes => "bytes",
            LossReason::Seconds => "seconds",
            LossReason::App => "app",
            LossReason::Node => "node",
            LossReason::SwitchedOff => "switched_off",
        }
    }
}

impl Dropped {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.events.iter().sum()
    }

    fn add(&mut self, bytes: usize, reason: LossReason) {
        self.bytes += bytes;
        self.events[reason as usize] += 1;
    }
}

impl History {
    /// One that begins now. Events up to `lost` may have been published before, and are not there.
    pub(crate) fn beginning(lost: LostEvent) -> Self {
        History { events: VecDeque::new(), bytes: 0, lost, vacant_since: None, is_charged: false }
    }

    /// Keeps an event, whose version is larger than all before; drops what is too much then, which may be the event itself.
    pub(crate) fn push(&mut self, event: KeptEvent, bounds: &HistoryBounds) -> Dropped {
        let now = event.at;
        self.bytes += event.bytes();
        self.events.push_back(event);
        self.keep_within(bounds, now)
    }

    /// Drops what is too old, or too much.
    pub(crate) fn keep_within(&mut self, bounds: &HistoryBounds, now: Instant) -> Dropped {
        let mut dropped = Dropped::default();
        while let Some(oldest) = self.events.front() {
            let reason = if self.events.len() > bounds.events {
                LossReason::Events
            } else if self.bytes > bounds.bytes {
                LossReason::Bytes
            } else if oldest.at + bounds.time <= now {
                LossReason::Seconds
            } else {
                break;
            };
            self.drop_oldest(reason, &mut dropped);
        }
        self.give_memory_back();
        dropped
    }

    /// Drops the oldest events of those before `until`, at least one, until so many bytes are free.
    pub(crate) fn make_room(
        &mut self,
        bytes: usize,
        until: Option<ChannelVersion>,
        reason: LossReason,
    ) -> Dropped {
        let mut dropped = Dropped::default();
        while let Some(oldest) = self.events.front() {
            let is_later = until.is_some_and(|until| oldest.version >= until);
            if dropped.count() > 0 && (dropped.bytes >= bytes || is_later) {
                break;
            }
            self.drop_oldest(reason, &mut dropped);
        }
        self.give_memory_back();
        dropped
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, reason: LossReason) -> Dropped {
        self.make_room(usize::MAX, None, reason)
    }

    fn drop_oldest(&mut self, reason: LossReason, dropped: &mut Dropped) {
        let Some(event) = self.events.pop_front() else { return };
        self.bytes -= event.bytes();
        dropped.add(event.bytes(), reason);
        self.lost = LostEvent { version: event.version, at: event.at };
    }

    fn give_memory_back(&mut self) {
        if self.events.capacity() > 64 && self.events.len() * 4 < self.events.capacity() {
            self.events.shrink_to(self.events.len() * 2);
        }
    }

    /// What somebody who joins is sent, if it wants anything.
    pub(crate) fn replay(&self, wanted: &Wanted, terms: &ReplayTerms) -> Option<Replay> {
        let (from, complete, own): (_, _, &[SocketId]) = match wanted {
            Wanted::Nothing => return None,
            Wanted::Unknown => return Some(Replay::default()),
            Wanted::Since { position, own } => match self.behind(*position, terms) {
                None => return Some(Replay::default()),
                Some(from) => (from, true, own),
            },
            Wanted::Last(rewind) => {
                let (from, complete) = self.last(*rewind, terms.now);
                (from, complete, &[])
            }
            Wanted::OrLast { missed, rewind } => {
                let missed = self.replay(missed, terms)?;
                if missed.complete {
                    return Some(missed);
                }
                let last = self.replay(&Wanted::Last(*rewind), terms)?;
                return Some(Replay { complete: false, ..last });
            }
        };
        let is_for = |event: &&KeptEvent| {
            event.except.is_none_or(|except| except != terms.socket && !own.contains(&except))
        };
        let events = || self.events.range(from..).filter(is_for);
        let bytes = events().take(MOST_REPLAYED + 1).map(KeptEvent::sent_bytes);
        let (count, bytes) = bytes.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        if count > MOST_REPLAYED || bytes > terms.room {
            return Some(Replay { is_too_large: true, ..Replay::default() });
        }
        let frames = events().map(|event| (event.version, event.frame.clone())).collect();
        Some(Replay { complete, frames, is_too_large: false })
    }

    /// Which events come behind a place; `None` if that is not known, or some of them are lost.
    fn behind(&self, position: HistoryPosition, terms: &ReplayTerms) -> Option<usize> {
        let version = ChannelVersion::new(position.number);
        let is_known = position.epoch == terms.epoch && version < terms.version;
        (is_known && version >= self.lost.version).then(|| self.first_behind(version))
    }

    /// Where the last events begin, and whether all of them are there.
    fn last(&self, rewind: Rewind, now: Instant) -> (usize, bool) {
        match rewind {
            Rewind::Events(count) => {
                let from = self.events.len().saturating_sub(count as usize);
                (from, self.events.len() >= count as usize)
            }
            Rewind::Seconds(seconds) => {
                let since = now.checked_sub(Duration::from_secs(seconds.into()));
                let from = self.events.partition_point(|event| since.is_some_and(|since| event.at < since));
                (from, since.is_some_and(|since| self.lost.at < since))
            }
        }
    }

    fn first_behind(&self, version: ChannelVersion) -> usize {
        self.events.partition_point(|event| event.version <= version)
    }

    /// The events behind a place in the node's run: at most so many, and so many bytes of them, but one at least.
    pub(crate) fn page(&self, behind: ChannelVersion, most: usize, most_bytes: usize) -> HistoryPage {
        self.page_from(self.first_behind(behind), self.lost.version <= behind, (most, most_bytes))
    }

    /// The same of the last events.
    pub(crate) fn tail(&self, rewind: Rewind, now: Instant, most: (usize, usize)) -> HistoryPage {
        let (from, complete) = self.last(rewind, now);
        self.page_from(from, complete, most)
    }

    fn page_from(&self, from: usize, complete: bool, (most, most_bytes): (usize, usize)) -> HistoryPage {
        let mut bytes = 0;
        let fits = |event: &&KeptEvent| {
            let is_first = bytes == 0;
            bytes += event.sent_bytes() + HistoryBounds::EVENT_BYTES;
            is_first || bytes <= most_bytes
        };
        let events: Vec<KeptEvent> = self.events.range(from..).take(most).take_while(fits).cloned().collect();
        let has_more = from + events.len() < self.events.len();
        HistoryPage { events, complete, has_more }
    }

    /// How many events there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that they count as.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The version of the oldest of them, and when it is too old.
    pub(crate) fn oldest(&self, bounds: &HistoryBounds) -> Option<(ChannelVersion, Instant)> {
        self.events.front().map(|event| (event.version, event.at + bounds.time))
    }

    /// The newest event that is not there any more.
    pub(crate) fn lost(&self) -> LostEvent {
        self.lost
    }

    /// When the channel may be forgotten, with everything that is known of it: nobody is subscribed, there are no events, and
    /// who was subscribed has been away for so long. `None` if it cannot be known now.
    pub(crate) fn forgettable_at(&self, retention: Duration) -> Option<Instant> {
        self.vacant_since.filter(|_| self.is_empty()).map(|since| since + retention)
    }
}

#[cfg(test)]
mod tests;
