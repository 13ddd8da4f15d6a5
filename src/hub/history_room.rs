//! The bounds of what an app and a node keep of their channels' last events: where one is passed, the oldest go.

use std::collections::BTreeSet;

use crate::channel::{ChannelVersion, LossReason};

use super::{AppState, Hub};

/// Channels that one thread looks at in a row. Who passes a bound by one event need not look at many.
const LOOKS: usize = 4096;

/// The part of the node's bound that is made free at once: to find the oldest event of all apps takes a look at each.
const NODE_SHARE: usize = 256;

impl Hub {
    /// Drops the oldest events of the app, and of the node, where there are too many bytes. No entry may be held.
    pub(super) fn keep_histories_within(&self, app: &AppState) {
        let most = app.app().limits.history_bytes;
        if app.histories.bytes() > most {
            make_room_in_app(app, most);
        }
        if self.histories.bytes() > self.recovery().history_bytes {
            self.make_room_on_node();
        }
    }

    #[cold]
    fn make_room_on_node(&self) {
        // While one thread does it, it is not for others.
        let Some(_alone) = self.histories.making_room.try_lock() else { return };
        let most = self.recovery().history_bytes;
        let enough = most - most / NODE_SHARE;
        let apps = self.apps();
        let apps: Vec<_> = apps.iter().filter(|app| app.histories.bytes() > 0).collect();
        let place = |at: usize| apps[at].oldest_event().map(|age| (age, at));
        let mut by_age: BTreeSet<(ChannelVersion, usize)> = (0..apps.len()).filter_map(place).collect();
        for _ in 0..LOOKS {
            let bytes = self.histories.bytes();
            let Some((_, at)) = by_age.pop_first().filter(|_| bytes > enough) else { return };
            let until = by_age.first().map(|(age, _)| *age);
            apps[at].drop_oldest_events(bytes - enough, until, LossReason::Node);
            by_age.extend(place(at));
        }
    }
}

#[cold]
fn make_room_in_app(app: &AppState, most: usize) {
    for _ in 0..LOOKS {
        let bytes = app.histories.bytes();
        if bytes <= most || !app.drop_oldest_events(bytes - most, None, LossReason::App) {
            return;
        }
    }
}
