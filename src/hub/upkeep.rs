//! What a node has to look after from time to time, whoever is connected: one worker does it at its ticks.

use tracing::info;

use super::Hub;

/// Remembered events, and as many ids of what was published, that are forgotten per turn because they have expired: about
/// half a millisecond's worth each.
const EXPIRED_PER_TURN: usize = 1024;

/// Channels whose histories are looked at per turn: a look may drop many events.
const HISTORIES_PER_TURN: usize = 256;

impl Hub {
    /// Forgets what has expired, as far as one turn allows. Returns whether that was all.
    pub(super) fn expire_caches(&self) -> bool {
        let mut room = EXPIRED_PER_TURN;
        let apps = self.apps();
        apps.iter().for_each(|app| room -= app.expire_cache(room));
        let clocks = apps.iter().map(|app| (app.index(), app.clock().now()));
        let publishes = self.recent_publishes.expire(clocks, EXPIRED_PER_TURN);
        room > 0 && publishes < EXPIRED_PER_TURN
    }

    /// Drops what histories have for too long, or too much of, as far as one turn allows. Returns whether that was all.
    pub(super) fn expire_histories(&self) -> bool {
        let mut room = HISTORIES_PER_TURN;
        for app in self.apps().iter().filter(|app| app.keeps_history()) {
            room -= app.expire_histories(room, self.recovery().retention);
            app.fold_vacant_channels();
            self.keep_histories_within(app);
        }
        room > 0
    }

    /// Logs how many events slow subscribers were not sent of late. Called at each tick of one worker, which is once a
    /// second unless pings are more frequent than every eight.
    pub(super) fn tell_conflated(&self) {
        for app in self.apps().iter() {
            let events = app.conflated.untold();
            if events > 0 {
                info!(
                    app = app.id(),
                    events, "newer events of latest-only channels replaced older ones for slow readers"
                );
            }
        }
    }
}
