//! The names of clients that come back.

use crate::hub::{Hub, NameFigures, NoteFigures};
use crate::recovery::NameCounts;

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of the names, and of what is kept for them.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    let NameFigures { names, cursors, cursor_bytes, pings, notes } = hub.name_figures();
    let NameCounts { held, left, shared, taken_over, crowded_out, .. } = names;
    let NameCounts { not_held_shared, not_held_full, not_held_foreign, .. } = names;
    for (state, count) in [("held", held), ("left", left), ("shared", shared)] {
        snapshot.tell_of(is::NAMES, [state.into()], count);
    }
    snapshot.tell(is::CURSORS, cursors);
    snapshot.tell(is::CURSOR_BYTES, cursor_bytes);
    snapshot.tell(is::NAMES_TAKEN_OVER, taken_over);
    snapshot.tell(is::NAMES_FORGOTTEN, crowded_out);
    for (reason, count) in
        [("shared", not_held_shared), ("full", not_held_full), ("foreign", not_held_foreign)]
    {
        snapshot.tell_of(is::NOT_HELD, [reason.into()], count);
    }
    snapshot.tell(is::PINGS, pings);
    for (direction, count) in [("in", names.taken_from_elsewhere), ("out", names.taken_elsewhere)] {
        snapshot.tell_of(is::NAMES_MOVED, [direction.into()], count);
    }
    let NoteFigures { waiting, written, refused, failed, late } = notes;
    snapshot.tell(is::NAME_NOTES_WAITING, waiting);
    for (result, count) in [("written", written), ("refused", refused), ("failed", failed)] {
        snapshot.tell_of(is::NAME_NOTES, [result.into()], count);
    }
    snapshot.tell(is::NAMES_LATE, late);
}
