//! A history on its way to the process that succeeds this one: in parts, and what is kept from then on one by one.

use crate::app::HistoryBounds;
use crate::channel::ChannelVersion;

use super::{History, KeptEvent, LostEvent};

/// Some events of a history, in its order.
#[derive(Clone, Debug)]
pub(crate) struct PartOfHistory {
    /// What there is in front of the first of them; or that is lost.
    pub behind: LostEvent,
    pub events: Vec<KeptEvent>,
    /// Whether there are further ones behind.
    pub has_more: bool,
}

impl History {
    /// The newest event, whether it is there or lost.
    pub(crate) fn newest(&self) -> LostEvent {
        self.events.back().map_or(self.lost, |event| LostEvent { version: event.version, at: event.at })
    }

    /// The events behind a version: at most so many, and so many bytes of them, but one at least, if there are some.
    pub(crate) fn part_behind(
        &self,
        version: ChannelVersion,
        most: usize,
        most_bytes: usize,
    ) -> PartOfHistory {
        let from = self.events.partition_point(|event| event.version <= version);
        let before = from.checked_sub(1).map(|before| &self.events[before]);
        let behind = before.map_or(self.lost, |event| LostEvent { version: event.version, at: event.at });
        let mut bytes = 0;
        let fits = |event: &&KeptEvent| {
            let is_first = bytes == 0;
            bytes += event.frame.websocket().len() + HistoryBounds::EVENT_BYTES;
            is_first || bytes <= most_bytes
        };
        let events: Vec<KeptEvent> = self.events.range(from..).take(most).take_while(fits).cloned().collect();
        let has_more = from + events.len() < self.events.len();
        PartOfHistory { behind, events, has_more }
    }
}
