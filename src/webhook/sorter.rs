//! Sorts the events of one app: what is told now, what is held back, and what is left to another node.
//!
//! Every node of a cluster holds the same removals back. Which of them tells one is decided when it has waited long enough,
//! so that it is not lost when the node that would have told it is gone by then; and whoever was to tell it when it was put by
//! does so in any case, as whoever decides by then may not have been there.

use std::time::{Duration, Instant};

use super::decision::Decision;
use super::event_id::IdentifiedEvent;
use super::suppress::Suppressor;

/// How far apart the clocks of two nodes are at most that time the same removal.
const NEARLY: Duration = Duration::from_secs(1);

/// The events of one app on their way to its endpoints.
#[derive(Debug)]
pub(super) struct Sorter {
    app_id: String,
    suppressor: Suppressor,
    decision: Decision,
    /// The broker ends its connections.
    is_stopping: bool,
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// This node tells it now.
    Told(IdentifiedEvent),
    /// Another node tells it.
    Left(IdentifiedEvent),
}

impl Sorter {
    /// For an app, with what holds its removals back.
    pub(super) fn new(app_id: String, suppressor: Suppressor, decision: Decision) -> Self {
        Sorter { app_id, suppressor, decision, is_stopping: false }
    }

    /// How many removals are held back.
    pub(super) fn held(&self) -> usize {
        self.suppressor.len()
    }

    /// When the next of them will have waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.suppressor.deadline()
    }

    /// Adds an event. `is_ours` is what was decided when it happened; it counts for all but removals.
    pub(super) fn add(
        &mut self,
        identified: IdentifiedEvent,
        is_ours: bool,
        now: Instant,
        mut each: impl FnMut(Sorted),
    ) {
        self.due(now, &mut each);
        let Sorter { app_id, suppressor, decision, .. } = self;
        suppressor.add(identified, is_ours, now, |identified, was_ours| {
            let is_ours = was_ours || identified.event.is_removal() && decision.is_ours(app_id, &identified);
            each(Sorted::of(identified, is_ours));
        });
    }

    /// Hands out the removals that have waited long enough.
    pub(super) fn due(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { app_id, suppressor, decision, .. } = self;
        suppressor.due(now, |identified, was_ours| {
            let is_ours = was_ours || decision.is_ours(app_id, &identified);
            each(Sorted::of(identified, is_ours));
        });
    }

    /// The broker ends its connections. None can return to this node, so nothing is held back any more; but to another one
    /// they can, if there is one, and it holds back what this one does.
    pub(super) fn stop(&mut self, now: Instant, each: impl FnMut(Sorted)) {
        self.is_stopping = true;
        if !self.decision.has_peers() {
            self.flush(now, each);
        }
    }

    /// Nothing follows: hands out all that is held back. What is nearly due is told here, too: another node whose clock is
    /// ahead may have left it to this one already.
    pub(super) fn flush(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { app_id, suppressor, decision, is_stopping } = self;
        let is_held_elsewhere = *is_stopping && decision.has_peers();
        suppressor.flush(|identified, was_ours, until| {
            let is_told_elsewhere = is_held_elsewhere && until > now + NEARLY;
            let is_ours = !is_told_elsewhere && (was_ours || decision.is_ours(app_id, &identified));
            each(Sorted::of(identified, is_ours));
        });
    }
}

impl Sorted {
    fn of(identified: IdentifiedEvent, is_ours: bool) -> Self {
        if is_ours { Sorted::Told(identified) } else { Sorted::Left(identified) }
    }
}

#[cfg(test)]
mod tests;
