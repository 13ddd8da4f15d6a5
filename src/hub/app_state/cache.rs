//! What an app's cache channels remember: read, and forgotten when its time has come.

use std::time::Duration;

use dashmap::mapref::entry::Entry;

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

    /// Forgets remembered events, and the channels that nothing is left of.
    pub(in crate::hub) fn forget(&self, forgotten: Vec<Forgotten>) {
        for (channel, version) in forgotten {
            if let Entry::Occupied(mut entry) = self.channels.entry(channel) {
                entry.get_mut().forget(version);
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
