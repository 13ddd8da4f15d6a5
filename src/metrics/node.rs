//! What concerns the whole node: its workers, and what it has refused.

use std::time::Instant;

use crate::hub::Hub;

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of the workers, and of what was refused.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    snapshot.tell(is::REMOVED_APPS, hub.removed_apps());
    snapshot.tell(is::SLOW_READERS, hub.slow_readers());
    snapshot.tell(is::REFUSED_ADDRESSES, hub.refused_addresses().len(Instant::now()));
    snapshot.tell(is::UNSEEN, hub.refused_addresses().unseen());
    let publishes = hub.recent_publishes().figures();
    snapshot.tell(is::PUBLISH_IDS, publishes.ids);
    snapshot.tell(is::PUBLISH_ID_BYTES, publishes.bytes);
    snapshot.tell(is::PUBLISH_IDS_FORGOTTEN, publishes.forgotten);
    snapshot.tell(is::REPEATED_PUBLISHES, publishes.repeated);
    let histories = hub.histories();
    snapshot.tell(is::HISTORY_GAPS, histories.gaps());
    snapshot.tell(is::REPLAYED, histories.replayed());
    snapshot.tell(is::REPLAYS_TOO_LARGE, histories.too_large());
    for (reason, events) in histories.lost() {
        snapshot.tell_of(is::HISTORY_LOST, [reason.name().into()], events);
    }
    for (complete, count) in histories.resumed() {
        snapshot.tell_of(is::RESUMED, [complete.to_string().into()], count);
    }
    let video = hub.video();
    snapshot.tell(is::VIDEO_TRACKS, video.tracks());
    snapshot.tell(is::VIDEO_CACHE_BYTES, video.bytes());
    snapshot.tell(is::VIDEO_REQUESTS, video.requests());
    snapshot.tell(is::VIDEO_REFUSED, video.refused());
    for (result, count) in video.frames() {
        snapshot.tell_of(is::VIDEO_FRAMES, [result.into()], count);
    }
    for (direction, count) in video.moves() {
        snapshot.tell_of(is::VIDEO_MOVES, [direction.into()], count);
    }
    for ((kind, code), count) in hub.refusals() {
        snapshot.tell_of(is::REFUSALS, [kind.into(), code.to_string().into()], count);
    }
    for (number, (worker, unread_bytes)) in hub.workers().enumerate() {
        let label = || [number.to_string().into()];
        let survey = worker.last_survey();
        snapshot.tell_of(is::TURNS, label(), worker.turns.read());
        let gauges = [
            (is::MAILBOX_BYTES, unread_bytes),
            (is::OUTBOX_BYTES, survey.outbox_bytes),
            (is::OUTBOX_FRAMES, survey.outbox_frames),
            (is::WORKER_CONNECTIONS, survey.clients),
            (is::BLOCKED, survey.blocked),
            (is::QUEUED_TURNS, survey.queued_turns),
            (is::TIMERS, survey.timers),
        ];
        for (metric, value) in gauges {
            snapshot.tell_of(metric, label(), value);
        }
    }
}
