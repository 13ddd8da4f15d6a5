//! What an app's cache channels remember: read, and forgotten when its time has come.

use std::time::Duration;

use dashmap::mapref::entry::Entry;

use crate::channel::{Channel, ChannelVersion};
use crate::hub::cache_index::Forgotten;
use crate::protocol::{ChannelName, Frame, json};

use super::AppState;

impl AppState {
    /// The payload that a cache channel remembers, and for how much longer.
    pub fn cached(&self, name: &ChannelName) -> Option<(String, Duration)> {
        let now = self.clock.now();
        let entry = self.channels.get(name)?;
        let cached = entry.recall(now)?;
        Some((payload_of(&cached.frame)?, cached.expires - now))
    }

    /// Forgets what has expired, at most so many events. Returns how many there were.
    pub(in crate::hub) fn expire_cache(&self, most: usize) -> usize {
        let forgotten = self.cache.lock().expire(self.clock.now(), most);
        let count = forgotten.len();
        self.forget(forgotten);
        count
    }

    /// Forgets what has expired, wherever it is. The clock has been advanced.
    pub(in crate::hub) fn expire_whole_cache(&self) {
        let forgotten = self.cache.lock().expire_everywhere(self.clock.now());
        self.forget(forgotten);
    }

    /// Forgets every remembered event.
    pub fn forget_cache(&self) {
        let forgotten = self.cache.lock().clear();
        self.forget(forgotten);
    }

    /// Whether the engine may remember an event of a channel that this node had to forget, because its bound was reached.
    pub(crate) fn may_have_forgotten(&self, name: &ChannelName) -> bool {
        let is_remembered =
            || self.channels.get(name).is_some_and(|entry| entry.recall(self.clock.now()).is_some());
        !is_remembered() && self.cache.lock().has_given_way
    }

    /// Forgets remembered events, and the channels that nothing is left of.
    fn forget(&self, forgotten: Vec<Forgotten>) {
        self.forget_by(forgotten, Channel::forget);
    }

    /// The same of those that give way to others.
    pub(in crate::hub) fn make_room(&self, forgotten: Vec<Forgotten>) {
        self.forget_by(forgotten, Channel::give_way);
    }

    fn forget_by(&self, forgotten: Vec<Forgotten>, forget: impl Fn(&mut Channel, ChannelVersion)) {
        for (channel, version) in forgotten {
            if let Entry::Occupied(mut entry) = self.channels.entry(channel) {
                forget(entry.get_mut(), version);
                if entry.get().is_forgettable() {
                    entry.remove();
                }
            }
        }
    }
}

/// The payload of an event, of which this is the text.
pub(in crate::hub) fn payload_of(text: &Frame) -> Option<String> {
    let [data] = json::members(std::str::from_utf8(text.json()).ok()?, ["data"]).ok()?;
    Some(json::as_string(data?)?.into_owned())
}
