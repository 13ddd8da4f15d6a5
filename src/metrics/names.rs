//! The names of clients that come back.

use crate::hub::{Hub, NameFigures};
use crate::recovery::NameCounts;

use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of the names, and of what is kept for them.
pub(super) fn collect(hub: &Hub, snapshot: &mut Snapshot) {
    let NameFigures { names, cursors, cursor_bytes, pings } = hub.name_figures();
    let NameCounts { held, left, shared, taken_over, crowded_out, not_held_shared, not_held_full } = names;
    for (state, count) in [("held", held), ("left", left), ("shared", shared)] {
        snapshot.tell_of(is::NAMES, [state.into()], count);
    }
    snapshot.tell(is::CURSORS, cursors);
    snapshot.tell(is::CURSOR_BYTES, cursor_bytes);
    snapshot.tell(is::NAMES_TAKEN_OVER, taken_over);
    snapshot.tell(is::NAMES_FORGOTTEN, crowded_out);
    for (reason, count) in [("shared", not_held_shared), ("full", not_held_full)] {
        snapshot.tell_of(is::NOT_HELD, [reason.into()], count);
    }
    snapshot.tell(is::PINGS, pings);
}
