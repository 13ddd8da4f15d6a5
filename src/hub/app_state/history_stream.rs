//! What an app's channels keep, as the engine's streams have it: filled from there, broken off where something of it may be missing,
//! and named by its numbers.

use std::mem::replace;
use std::time::Instant;

use crate::app::HistoryBounds;
use crate::channel::{
    Channel, ChannelVersion, History, HistoryPage, HistoryPosition, HistoryStart, KeptEvent, LostEvent,
    LostNumbers, PageTerms, StreamNumber,
};
use crate::hub::histories_elsewhere::time_of;
use crate::hub::{Hub, KeptAs, StreamEvent, StreamPart};
use crate::protocol::{ChannelName, Frame};

use super::AppState;

impl AppState {
    /// How much a channel keeps at present, if it does.
    fn history_bounds(&self, channel: &ChannelName) -> Option<HistoryBounds> {
        self.app().history(channel).filter(|_| self.keeps_history())
    }

    /// Up to which number of the engine everything of a channel has come here.
    pub(in crate::hub) fn history_reached(&self, channel: &ChannelName, epoch: u64) -> Option<u64> {
        self.channels.get(channel)?.history()?.reached(epoch)
    }

    /// Puts a part of a channel's stream behind what the channel keeps. Nobody is sent it: those who are there already, because
    /// they have waited for it for too long, are told so. Where it does not follow what has come before, that is dropped, and
    /// they are told, too.
    pub(in crate::hub) fn fill_history(
        &self,
        hub: &Hub,
        channel: &ChannelName,
        epoch: u64,
        part: StreamPart,
    ) {
        let Some(bounds) = self.history_bounds(channel) else { return };
        let now = self.clock().now();
        let mut entry = self.channels.entry(channel.clone()).or_default();
        let reached = self.known_history(&mut entry, now).reached(epoch);
        let StreamPart { events, reached: until, now: engine_now } = part;
        let is_new = |event: &StreamEvent| reached.is_none_or(|reached| event.kept.number > reached);
        let mut events = events.into_iter().filter(is_new).peekable();
        let before = events.peek().map(|event| event.previous);
        let follows = reached.is_some_and(|reached| before.is_none_or(|before| before <= reached));
        if !follows {
            let floor = before.unwrap_or(until);
            let lost = LostEvent { version: hub.next_version(), at: time_of(floor, engine_now, now) };
            if before.is_some() && (reached.is_some() || !entry.subscribers().is_nobody_here()) {
                hub.post_gap(self, channel, &entry, lost.version);
            }
            self.break_off((channel, &mut entry), lost);
            self.known_history(&mut entry, now).reach(StreamNumber { epoch, number: floor });
        }
        let mut is_told = !follows || entry.subscribers().is_nobody_here();
        for event in events {
            let (at, time_ms) = event.published_at(engine_now, now);
            let StreamEvent { kept: KeptAs { number, is_delivered }, frame, except, .. } = event;
            let numbered = StreamNumber { epoch, number };
            if is_delivered && self.known_history(&mut entry, now).number(&frame, numbered) {
                continue;
            }
            if !replace(&mut is_told, true) {
                hub.post_gap(self, channel, &entry, hub.next_version());
            }
            let version = hub.next_version();
            let event = KeptEvent { version, number: Some(number), at, time_ms, frame, except };
            self.put_event((channel, &mut entry), &bounds, event, Some(numbered));
        }
        let history = self.known_history(&mut entry, now);
        history.reach(StreamNumber { epoch, number: until });
        self.look_after((channel, &mut entry), hub.next_version(), now + bounds.time);
    }

    /// What follows in a channel's stream is not known: what the channel keeps is dropped, and those who are there are told.
    pub(in crate::hub) fn history_hole(&self, hub: &Hub, channel: &ChannelName) {
        let Some(bounds) = self.history_bounds(channel) else { return };
        let now = self.clock().now();
        let mut entry = self.channels.entry(channel.clone()).or_default();
        self.known_history(&mut entry, now);
        self.break_off_and_tell(hub, (channel, &mut entry), &bounds);
    }

    fn break_off_and_tell(
        &self,
        hub: &Hub,
        (channel, entry): (&ChannelName, &mut Channel),
        bounds: &HistoryBounds,
    ) {
        let lost = LostEvent { version: hub.next_version(), at: self.clock().now() };
        hub.post_gap(self, channel, entry, lost.version);
        self.break_off((channel, entry), lost);
        self.look_after((channel, entry), lost.version, lost.at + bounds.time);
    }

    fn break_off(&self, (channel, entry): (&ChannelName, &mut Channel), lost: LostEvent) {
        let Some(history) = entry.history_mut() else { return };
        let dropped = history.break_off(lost);
        self.histories.count_dropped(&dropped);
        self.charge_vacancy(history);
        self.histories.index.lock().remove(channel);
    }

    /// A channel that nobody is subscribed to, and that keeps nothing, is there for a while for the sake of what it has lost.
    fn look_after(&self, (channel, entry): (&ChannelName, &mut Channel), age: ChannelVersion, then: Instant) {
        if entry.history().is_some_and(|history| history.is_empty() && history.vacant_since.is_some()) {
            self.histories.index.lock().put_vacant(channel, age, then);
        }
    }

    /// An event that this node's subscribers were sent has got its number. Nobody is sent it again. Where the channel does not
    /// know it, nor that it had to go, something may be missing, which is told.
    pub(in crate::hub) fn number_event(
        &self,
        hub: &Hub,
        channel: &ChannelName,
        frame: &Frame,
        numbered: StreamNumber,
    ) {
        let Some(bounds) = self.history_bounds(channel) else { return };
        let Some(mut entry) = self.channels.get_mut(channel) else { return };
        if entry.history_mut().is_none_or(|history| history.number(frame, numbered)) {
            return;
        }
        self.break_off_and_tell(hub, (channel, &mut entry), &bounds);
        if let Some(history) = entry.history_mut() {
            history.reach(numbered);
        }
        drop(entry);
        self.fold_vacant_channels();
    }

    /// Some events of a channel get no number, which its stream says by this one.
    pub(in crate::hub) fn lose_unnumbered(
        &self,
        channel: &ChannelName,
        numbered: StreamNumber,
        (lost, is_lost): (LostNumbers, impl FnMut(&Frame) -> bool),
    ) {
        if let Some(mut entry) = self.channels.get_mut(channel)
            && let Some(history) = entry.history_mut()
        {
            history.lose_unnumbered(numbered, lost, is_lost);
        }
    }

    /// Up to which number of the engine somebody has received everything of a channel who has received what has come here up
    /// to this version; and whether that is all that has come.
    pub(in crate::hub) fn number_of(
        &self,
        channel: &ChannelName,
        version: ChannelVersion,
    ) -> Option<(StreamNumber, bool)> {
        self.channels.get(channel)?.history()?.number_of(version)
    }

    /// Up to which version somebody has received everything of a channel who has received everything up to a place of the process
    /// before; none if it is not known, or something is lost.
    pub(in crate::hub) fn version_of(
        &self,
        channel: &ChannelName,
        place: HistoryPosition,
    ) -> Option<ChannelVersion> {
        self.channels.get(channel)?.history()?.version_of(place)
    }

    /// A page of a part of a channel's stream, of which this node keeps nothing.
    pub(in crate::hub) fn page_of_stream(
        &self,
        channel: &ChannelName,
        (part, epoch): (StreamPart, u64),
        start: HistoryStart,
        most: (usize, usize),
    ) -> Option<HistoryPage> {
        let bounds = self.app().history(channel)?;
        let now = self.clock().now();
        let StreamPart { events, reached, now: engine_now } = part;
        let floor = events.first().map_or(reached, |event| event.previous);
        let none = ChannelVersion::new(0);
        let lost = LostEvent { version: none, at: time_of(floor, engine_now, now) };
        let mut history = History::beginning(lost);
        history.reach(StreamNumber { epoch, number: floor });
        for (n, event) in (1..).zip(events) {
            let (at, time_ms) = event.published_at(engine_now, now);
            let StreamEvent { kept: KeptAs { number, .. }, frame, except, .. } = event;
            let version = ChannelVersion::new(n);
            let event = KeptEvent { version, number: Some(number), at, time_ms, frame, except };
            history.push_numbered(event, StreamNumber { epoch, number }, &bounds);
        }
        // Each of its places is one of the engine.
        let engine = Some(epoch);
        let terms = PageTerms { epoch: 0, engine, newest: none, start: none, now, time: bounds.time, most };
        Some(history.page(start, &terms))
    }
}
