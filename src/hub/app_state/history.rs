//! What an app's channels keep of their last events: kept, dropped when there is too much or it is too old, and read.

use std::mem::replace;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dashmap::mapref::entry::Entry;

use crate::app::HistoryBounds;
use crate::channel::{
    Channel, ChannelVersion, HeldHistory, History, HistoryPage, HistoryStart, KeptEvent, LossReason,
    LostEvent, PageTerms, StreamNumber,
};
use crate::hub::histories_elsewhere::time_ms_of;
use crate::protocol::{Broadcast, ChannelName, SocketId};

use super::AppState;

/// What a channel counts as that nobody is subscribed to and that is there for the sake of its events, besides these.
const VACANT_BYTES: usize = 512;

/// Channels without subscribers and without events of which an app knows what they have lost. Whoever may subscribe makes
/// such ones: they are counted apart, so that nobody's events have to go for them.
const MOST_VACANT: usize = 10_000;

/// The bounds of a channel's history, and the settings that they are of.
#[derive(Clone, Copy)]
pub(in crate::hub) struct HistoryTerms {
    bounds: HistoryBounds,
    generation: u32,
}

impl AppState {
    /// Whether some of its channels keep their last events.
    #[inline]
    pub(in crate::hub) fn keeps_history(&self) -> bool {
        self.histories.are_wanted()
    }

    /// How much a channel keeps, if it does.
    pub(in crate::hub) fn history_terms(&self, channel: &ChannelName) -> Option<HistoryTerms> {
        if !self.keeps_history() {
            return None;
        }
        let generation = self.generation();
        self.app().history(channel).map(|bounds| HistoryTerms { bounds, generation })
    }

    /// Keeps an event of a channel. It is called under the channel's entry, where the version was drawn. The settings may have
    /// changed since the terms were asked for: what counts is what they are under the entry. `numbered`: what the engine has
    /// numbered it.
    pub(in crate::hub) fn keep(
        &self,
        (channel, entry): (&ChannelName, &mut Channel),
        terms: HistoryTerms,
        message: &Broadcast,
        except: Option<SocketId>,
        (version, numbered): (ChannelVersion, Option<StreamNumber>),
    ) {
        let is_current = self.generation() == terms.generation;
        let bounds = if is_current { Some(terms.bounds) } else { self.app().history(channel) };
        let Some(bounds) = bounds.filter(|_| self.keeps_history()) else { return };
        let at = self.clock().now();
        let number = numbered.map(|numbered| numbered.number);
        let time_ms = number.and_then(time_ms_of).unwrap_or_else(|| self.time_ms());
        let frame = message.first_form().clone();
        let event = KeptEvent { version, number, at, time_ms, frame, except };
        self.put_event((channel, entry), &bounds, event, numbered);
    }

    /// Puts an event behind all that a channel keeps. It is called under the entry.
    pub(super) fn put_event(
        &self,
        (channel, entry): (&ChannelName, &mut Channel),
        bounds: &HistoryBounds,
        event: KeptEvent,
        numbered: Option<StreamNumber>,
    ) {
        let (version, at) = (event.version, event.at);
        let history = self.known_history(entry, at);
        self.tell_begun(channel, history);
        if history.is_followed {
            self.tell_one_kept((channel, entry), &event);
        }
        let history = self.known_history(entry, at);
        let was_empty = history.is_empty();
        let bytes = event.bytes();
        let dropped = match numbered {
            None => history.push(event, bounds),
            Some(numbered) => history.push_numbered(event, numbered, bounds),
        };
        self.histories.count_kept(bytes, &dropped);
        self.charge_vacancy(history);
        match history.oldest(bounds) {
            Some((age, too_old)) if was_empty => self.histories.index.lock().put(channel, age, too_old),
            // The event is too large and is not there, and somebody has to look after the channel.
            None if history.vacant_since.is_some() => {
                self.histories.index.lock().put_vacant(channel, version, at + bounds.time);
            }
            _ => {}
        }
    }

    /// A channel's history, which begins if it has none. It is called under the entry.
    pub(super) fn known_history<'e>(&self, entry: &'e mut Channel, now: Instant) -> &'e mut History {
        let begins_vacant = entry.history().is_none() && entry.subscribers().is_nobody_here();
        let history = entry.history_or_begin(|| self.histories.index.lock().floor);
        if begins_vacant {
            history.vacant_since = Some(now);
        }
        history
    }

    /// Whether nobody is subscribed to a channel, or whether it has events, may have changed: what it counts as besides these.
    pub(super) fn charge_vacancy(&self, history: &mut History) {
        let is_due = history.vacant_since.is_some() && !history.is_empty();
        match (replace(&mut history.is_charged, is_due), is_due) {
            (false, true) => self.histories.charge(VACANT_BYTES),
            (true, false) => self.histories.discharge(VACANT_BYTES),
            _ => {}
        }
    }

    /// Drops of a channel's events what is too old, or too much.
    fn keep_history_within(&self, history: &mut History, bounds: &HistoryBounds, now: Instant) {
        let dropped = history.keep_within(bounds, now);
        self.histories.count_dropped(&dropped);
        self.charge_vacancy(history);
    }

    /// Somebody has joined a channel: what is kept of it from now on, and until now, is known to be of use. Nothing that is
    /// too old is left. `None` if the channel keeps nothing. It is called under the entry.
    pub(in crate::hub) fn occupy_history<'e>(
        &self,
        channel: &ChannelName,
        entry: &'e mut Channel,
        now: Instant,
    ) -> Option<&'e History> {
        let bounds = self.app().history(channel)?;
        let history = entry.history_or_begin(|| self.histories.index.lock().floor);
        self.tell_begun(channel, history);
        history.vacant_since = None;
        self.keep_history_within(history, &bounds, now);
        Some(history)
    }

    /// The last subscriber of this node has left a channel: what is known of its history is of use for a while. `version` is
    /// that of the change. It is called under the entry.
    #[cold]
    pub(in crate::hub) fn vacate_history(
        &self,
        channel: &ChannelName,
        entry: &mut Channel,
        version: ChannelVersion,
        retention: Duration,
    ) {
        let Some(history) = entry.history_mut() else { return };
        let now = self.clock().now();
        history.vacant_since = Some(now);
        self.charge_vacancy(history);
        if history.is_empty() {
            self.histories.index.lock().put_vacant(channel, version, now + retention);
        }
    }

    /// Where too many channels are vacant and empty, forgets those that have been so for the longest time: what they have lost
    /// is lost from now on of all channels that are not known. No entry may be held.
    pub(in crate::hub) fn fold_vacant_channels(&self) {
        loop {
            let Some(channel) = self.histories.index.lock().vacant_beyond(MOST_VACANT) else { return };
            let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
                self.histories.index.lock().remove(&channel);
                continue;
            };
            let bounds = self.app().history(&channel).unwrap_or_default();
            match entry.get().history().map(|history| (history.oldest(&bounds), history.vacant_since)) {
                Some((Some((age, too_old)), _)) => self.histories.index.lock().put(&channel, age, too_old),
                Some((None, Some(_))) => self.end_history(&channel, entry.get_mut(), LossReason::Seconds),
                _ => self.histories.index.lock().remove(&channel),
            }
            if entry.get().is_forgettable() {
                entry.remove();
            }
        }
    }

    /// Drops what is too old, and what is not to be kept any more; looks at so many channels at most. Returns at how many.
    pub(in crate::hub) fn expire_histories(&self, most: usize, retention: Duration) -> usize {
        let mut looked_at = 0;
        let now = self.clock().now();
        while looked_at < most {
            let Some(channel) = self.histories.index.lock().due(now) else { break };
            self.look_at_history(channel, now, retention);
            looked_at += 1;
        }
        looked_at
    }

    fn look_at_history(&self, channel: ChannelName, now: Instant, retention: Duration) {
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
            return self.histories.index.lock().remove(&channel);
        };
        let bounds = self.app().history(&channel).filter(|_| self.keeps_history());
        let Some(history) = entry.get_mut().history_mut() else {
            return self.histories.index.lock().remove(&channel);
        };
        let Some(bounds) = bounds else {
            self.end_history(&channel, entry.get_mut(), LossReason::SwitchedOff);
            if entry.get().is_forgettable() {
                entry.remove();
            }
            return;
        };
        self.keep_history_within(history, &bounds, now);
        match (history.oldest(&bounds), history.forgettable_at(retention)) {
            (Some((age, too_old)), _) => self.histories.index.lock().put(&channel, age, too_old),
            (None, Some(time)) if time > now => self.histories.index.lock().put_off(&channel, time),
            (None, None) => self.histories.index.lock().remove(&channel),
            (None, Some(_)) => {
                self.end_history(&channel, entry.get_mut(), LossReason::Seconds);
                if entry.get().is_forgettable() {
                    entry.remove();
                }
            }
        }
    }

    /// Forgets a channel's history, under its entry. That it may have lost events is known of all channels that are not known.
    fn end_history(&self, channel: &ChannelName, entry: &mut Channel, reason: LossReason) {
        let Some(mut history) = entry.end_history() else { return };
        let dropped = history.clear(reason);
        self.histories.count_dropped(&dropped);
        self.charge_vacancy(&mut history);
        let mut index = self.histories.index.lock();
        index.remove(channel);
        index.raise_floor(history.lost());
    }

    /// How old its oldest event is, or another channel that may be forgotten.
    pub(in crate::hub) fn oldest_event(&self) -> Option<ChannelVersion> {
        self.histories.index.lock().oldest().map(|(age, ..)| age)
    }

    /// Looks at the channel of the oldest event, and drops the oldest of those that are older than any of other channels, and
    /// than `until`, until so many bytes are free. `false` if there is no such channel.
    pub(in crate::hub) fn drop_oldest_events(
        &self,
        bytes: usize,
        until: Option<ChannelVersion>,
        reason: LossReason,
    ) -> bool {
        let Some((age, channel, next)) = self.histories.index.lock().oldest() else { return false };
        let until = next.into_iter().chain(until).min();
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else {
            self.histories.index.lock().remove(&channel);
            return true;
        };
        let bounds = self.app().history(&channel).unwrap_or_default();
        let oldest = entry.get().history().map(|history| history.oldest(&bounds));
        match (oldest, entry.get_mut().history_mut()) {
            (Some(Some((oldest, too_old))), Some(_)) if oldest > age => {
                self.histories.index.lock().put(&channel, oldest, too_old);
            }
            (Some(Some(_)), Some(history)) => {
                let dropped = history.make_room(bytes, until, reason);
                self.histories.count_dropped(&dropped);
                self.charge_vacancy(history);
                match history.oldest(&bounds) {
                    Some((oldest, too_old)) => self.histories.index.lock().put(&channel, oldest, too_old),
                    None if history.vacant_since.is_some() => {
                        self.end_history(&channel, entry.get_mut(), reason);
                    }
                    None => self.histories.index.lock().remove(&channel),
                }
            }
            // Its events are gone by other ways: it holds none of the bytes.
            (Some(None), Some(history)) => match history.vacant_since {
                Some(_) => self.histories.index.lock().put_off(&channel, self.clock().now()),
                None => self.histories.index.lock().remove(&channel),
            },
            _ => self.end_history(&channel, entry.get_mut(), reason),
        }
        if entry.get().is_forgettable() {
            entry.remove();
        }
        true
    }

    /// The settings are about to be replaced: histories that begin from now on have lost what was published until `version`,
    /// which has just been drawn.
    #[cold]
    pub(in crate::hub) fn raise_history_floor(&self, version: ChannelVersion) {
        let at = self.clock().now();
        self.histories.index.lock().raise_floor(LostEvent { version, at });
    }

    /// The settings were replaced. Channels that are not to keep anything any more forget what they have at once, so that
    /// nothing that is published meanwhile is missing where they are to keep events again; the others are looked at soon.
    #[cold]
    pub(in crate::hub) fn history_changed(&self) {
        let (app, now) = (self.app().share(), self.clock().now());
        let names = {
            let mut index = self.histories.index.lock();
            index.look_at_all(now);
            index.names()
        };
        for channel in names.into_iter().filter(|channel| app.history(channel).is_none()) {
            self.look_at_history(channel, now, Duration::ZERO);
        }
        self.end_histories(|channel| app.history(channel).is_none());
    }

    /// Forgets the histories of channels that have subscribers and no events: nobody looks after those.
    fn end_histories(&self, is_over: impl Fn(&ChannelName) -> bool) {
        let has_history = |entry: &Channel| entry.history().is_some();
        for mut entry in self.channels.iter_mut().filter(|entry| has_history(entry) && is_over(entry.key())) {
            let (channel, state) = entry.pair_mut();
            self.end_history(channel, state, LossReason::SwitchedOff);
        }
    }

    /// Forgets all histories: the app was removed.
    pub(in crate::hub) fn forget_histories(&self) {
        self.histories.want(false);
        let names = self.histories.index.lock().names();
        let now = self.clock().now();
        names.into_iter().for_each(|channel| self.look_at_history(channel, now, Duration::ZERO));
        self.end_histories(|_| true);
    }

    /// Forgets what the channels keep; they go on with what comes next. Whoever asks for what came before is told that it is
    /// lost.
    pub fn forget_events(&self) {
        let names = self.histories.index.lock().names();
        for channel in names {
            let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else { continue };
            self.end_history(&channel, entry.get_mut(), LossReason::SwitchedOff);
            if entry.get().is_forgettable() {
                entry.remove();
            }
        }
    }

    /// A page of what a channel keeps here: at most so many events, and so many bytes of them. `None` if it keeps nothing.
    /// The last are this run, the engine between
    /// several nodes, and the last version that this node has given.
    pub(in crate::hub) fn history_page(
        &self,
        channel: &ChannelName,
        start: HistoryStart,
        most: (usize, usize),
        (epoch, engine, newest): (u64, Option<u64>, ChannelVersion),
    ) -> Option<HistoryPage> {
        let bounds = self.app().history(channel)?;
        let terms = PageTerms {
            epoch,
            engine,
            newest,
            start: self.histories.start,
            now: self.clock().now(),
            time: bounds.time,
            most,
        };
        if let Some(mut entry) = self.channels.get_mut(channel)
            && let Some(history) = entry.history_mut()
        {
            self.keep_history_within(history, &bounds, terms.now);
            return Some(history.page(start, &terms));
        }
        let unknown = History::beginning(self.histories.index.lock().floor);
        Some(unknown.page(start, &terms))
    }

    /// What this node holds of a channel's history.
    pub(crate) fn held_history(&self, channel: &ChannelName) -> HeldHistory {
        let held = self.channels.get(channel).and_then(|entry| entry.history().map(History::held));
        held.unwrap_or_default()
    }

    /// Milliseconds since 1970, as the app sees it.
    fn time_ms(&self) -> u64 {
        let since =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.clock().advanced();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
