//! Sorts the events of one app: what is told now, what is held back, and what is left to another node.
//!
//! Every node of a cluster holds the same removals back. Which of them tells one is decided when it has waited long enough,
//! so that it is not lost when the node that would have told it is gone by then.

use std::time::Instant;

use super::decision::Decision;
use super::event_id::IdentifiedEvent;
use super::suppress::Suppressor;

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
        let (removals, suppressor) =
            (Removals::of(&self.app_id, &self.decision, self.is_stopping), &mut self.suppressor);
        suppressor.add(identified, now, |identified| match identified.event.is_removal() {
            true => each(removals.sort(identified)),
            false if is_ours => each(Sorted::Told(identified)),
            false => each(Sorted::Left(identified)),
        });
    }

    /// Hands out the removals that have waited long enough.
    pub(super) fn due(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let removals = Removals::of(&self.app_id, &self.decision, self.is_stopping);
        self.suppressor.due(now, |identified| each(removals.sort(identified)));
    }

    /// Hands out all that is held back, and holds nothing back any more.
    pub(super) fn flush(&mut self, mut each: impl FnMut(Sorted)) {
        let removals = Removals::of(&self.app_id, &self.decision, self.is_stopping);
        self.suppressor.flush(|identified| each(removals.sort(identified)));
    }

    /// The broker ends its connections. None can return to this node, but to another they can: if there is one, that holds
    /// back what this one does.
    pub(super) fn stop(&mut self, each: impl FnMut(Sorted)) {
        self.is_stopping = true;
        self.flush(each);
    }
}

/// Decides on removals that are no longer held back.
struct Removals<'s> {
    app_id: &'s str,
    decision: &'s Decision,
    is_stopping: bool,
}

impl<'s> Removals<'s> {
    fn of(app_id: &'s str, decision: &'s Decision, is_stopping: bool) -> Self {
        Removals { app_id, decision, is_stopping }
    }

    fn sort(&self, identified: IdentifiedEvent) -> Sorted {
        let is_held_elsewhere = self.is_stopping && self.decision.has_peers();
        if !is_held_elsewhere && self.decision.is_ours(self.app_id, &identified.event) {
            Sorted::Told(identified)
        } else {
            Sorted::Left(identified)
        }
    }
}

#[cfg(test)]
mod tests;
