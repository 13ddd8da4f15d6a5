//! Channels of which the process before keeps the last events, as it has told.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::hub::KeptChannels;
use crate::protocol::ChannelName;

/// Those channels, by the app.
#[derive(Debug, Default)]
pub(super) struct KeptBefore(ArcSwap<HashMap<Arc<str>, KeptChannels>>);

impl KeptBefore {
    /// Those of an app are these.
    pub(super) fn put(&self, app: &Arc<str>, kept: KeptChannels) {
        let mut all = HashMap::clone(&self.0.load());
        all.insert(Arc::clone(app), kept);
        self.0.store(Arc::new(all));
    }

    /// Whether it has told of an app.
    pub(super) fn has_app(&self, app: &str) -> bool {
        self.0.load().contains_key(app)
    }

    /// Whether a channel is one of them.
    pub(super) fn has(&self, app: &str, channel: &ChannelName) -> bool {
        self.0.load().get(app).is_some_and(|kept| kept.has(channel))
    }
}
