//! What a channel keeps of its last events, for those who come back or later.
//!
//! It knows what it has lost: the newest event that was dropped. Whoever has received everything up to that one or further
//! misses nothing that is not here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::app::HistoryBounds;
use crate::protocol::{Broadcast, Frame, SocketId};

use super::ChannelVersion;

mod handing;
mod reading;
mod stream;

pub(crate) use handing::PartOfHistory;
pub(crate) use reading::{HeldHistory, HistoryPage, HistoryStart, PageTerms};
pub(crate) use stream::{LostNumbers, StreamNumber, StreamPlace};

/// What stands around the parts of a binary message where it is text.
const TEXT_AROUND: usize = 128;

/// An event in a history.
#[derive(Clone, Debug)]
pub(crate) struct KeptEvent {
    pub version: ChannelVersion,
    /// What the engine between several nodes has numbered it, if it has, and this is known.
    pub number: Option<u64>,
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
    /// Where it is in the stream that the engine has of the channel, where several nodes are one broker.
    stream: Option<StreamPlace>,
    /// What has gone of that before it had a number there.
    unnumbered: LostUnnumbered,
    /// Since when nobody is subscribed. Whoever was subscribed has left before.
    pub vacant_since: Option<Instant>,
    /// Whether it counts as more than its events at present, because nobody is subscribed.
    pub is_charged: bool,
    /// Another process is told what is kept here.
    pub is_followed: bool,
}

/// The newest event that is not there any more, or that may have been there before the history began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostEvent {
    pub version: ChannelVersion,
    /// When it was published.
    pub at: Instant,
}

/// Events that had to go before the engine between several nodes had numbered them. This node's subscribers were sent them. As
/// long as there are any, nobody who comes with a number is known to have missed nothing: the engine gets them later, or its stream
/// says that it does not.
#[derive(Clone, Copy, Debug, Default)]
struct LostUnnumbered {
    count: usize,
    /// When the newest of them was published.
    newest: Option<Instant>,
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
    /// What came behind them on other nodes did not come here.
    Gap,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub bytes: usize,
    /// By the reasons, in the order of [`LossReason::ALL`].
    pub events: [usize; LossReason::ALL.len()],
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
    pub(crate) const ALL: [LossReason; 7] = [
        LossReason::Events,
        LossReason::Bytes,
        LossReason::Seconds,
        LossReason::App,
        LossReason::Node,
        LossReason::SwitchedOff,
        LossReason::Gap,
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
            LossReason::Gap => "gap",
        }
    }
}

impl LostUnnumbered {
    /// Further ones, of which the newest was published then.
    fn add(&mut self, count: usize, newest: Instant) {
        self.count += count;
        self.newest = self.newest.max(Some(newest));
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
        History {
            events: VecDeque::new(),
            bytes: 0,
            lost,
            stream: None,
            unnumbered: LostUnnumbered::default(),
            vacant_since: None,
            is_charged: false,
            is_followed: false,
        }
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
        if let Some(stream) = &mut self.stream {
            match event.number {
                Some(number) => stream.floor = stream.floor.max(number),
                None => self.unnumbered.add(1, event.at),
            }
        }
    }

    fn give_memory_back(&mut self) {
        if let (Some(stream), true) = (&mut self.stream, self.events.is_empty()) {
            stream.is_mixed = false;
        }
        if self.events.capacity() > 64 && self.events.len() * 4 < self.events.capacity() {
            self.events.shrink_to(self.events.len() * 2);
        }
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
