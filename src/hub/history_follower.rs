//! Who hears what an app's channels keep, to keep the same: the process that succeeds this one, by whoever tells it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::protocol::ChannelName;

use super::{HandedEvents, LiveEvent};

/// Hears what channels keep, each channel's in its order.
pub(crate) trait HistoryFollower: Send + Sync {
    /// A channel of the app of this id keeps this behind what was told of it before. It is told under the channel's entry, and must not wait nor call
    /// back into the hub. `live`: it is one event, which is kept just now, and is sent to subscribers.
    fn kept(&self, app: &Arc<str>, channel: &ChannelName, events: HandedEvents, live: Option<LiveEvent>);
}

/// Who hears what the channels of one app keep, if anybody does.
#[derive(Default)]
pub(super) struct CurrentFollower {
    is_there: AtomicBool,
    follower: RwLock<Option<Arc<dyn HistoryFollower>>>,
}

impl CurrentFollower {
    pub(super) fn set(&self, follower: Option<Arc<dyn HistoryFollower>>) {
        let is_there = follower.is_some();
        *self.follower.write() = follower;
        self.is_there.store(is_there, Ordering::Release);
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    pub(super) fn tell(
        &self,
        app: &Arc<str>,
        channel: &ChannelName,
        events: HandedEvents,
        live: Option<LiveEvent>,
    ) {
        if let Some(follower) = &*self.follower.read() {
            follower.kept(app, channel, events, live);
        }
    }
}

impl fmt::Debug for CurrentFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurrentFollower").field("is_there", &self.is_there()).finish_non_exhaustive()
    }
}
