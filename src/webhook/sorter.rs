//! Sorts the events of one app: what is told now, what is held back, and what is left to another node.
//!
//! Every node of a cluster holds the removals back that it has heard of. Which of them tells one is decided when it has waited
//! long enough: of those that decided when it was put by, one that is still there, so that it is neither lost with a node that
//! has gone by then, nor left to one that has come since. In the same way what takes a removal back is left to those who know of
//! it, or know that there is none. What is left to another node is kept for a while: that a node has died is known only some
//! seconds later.

use std::time::{Duration, Instant};

use super::decision::Decision;
use super::event_id::IdentifiedEvent;
use super::left_events::LeftEvents;
use super::suppress::Suppressor;
use crate::hub::HeldRemoval;

/// The events of one app on their way to its endpoints.
#[derive(Debug)]
pub(super) struct Sorter {
    suppressor: Suppressor,
    /// The broker ends its connections.
    is_stopping: bool,
    judge: Judge,
}

/// Who tells what.
#[derive(Debug)]
struct Judge {
    app_id: String,
    decision: Decision,
    left: LeftEvents,
    /// How many nodes had gone when it was last looked at.
    departures: u64,
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
    /// For an app, with what holds its removals back. So much is kept of what is left to other nodes.
    pub(super) fn new(app_id: String, suppressor: Suppressor, decision: Decision, most_left: usize) -> Self {
        let judge = Judge { app_id, decision, left: LeftEvents::new(most_left), departures: 0 };
        Sorter { suppressor, is_stopping: false, judge }
    }

    /// How many removals are held back.
    pub(super) fn held(&self) -> usize {
        self.suppressor.len()
    }

    /// The removals that are held back.
    pub(super) fn removals(&self, now: Instant) -> Vec<HeldRemoval> {
        self.suppressor.removals(now)
    }

    /// When the next of them will have waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.suppressor.deadline()
    }

    /// Whether something was left to another node so lately that this one may have to tell it. It is to be looked at from time
    /// to time then, by [`Sorter::due`].
    pub(super) fn has_left(&self) -> bool {
        !self.judge.left.is_empty()
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
        let Sorter { suppressor, judge, .. } = self;
        suppressor.add(identified, is_ours, now, |identified, was_ours, held_for| {
            let is_ours = if identified.event.is_removal() {
                judge.is_still_ours(&identified, was_ours, held_for)
            } else {
                was_ours
            };
            each(judge.sort(identified, is_ours, held_for, now));
        });
    }

    /// Hands out the removals that have waited long enough, behind what is to be told in the place of a node that has gone.
    pub(super) fn due(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { suppressor, judge, .. } = self;
        judge.take_inherited(now).into_iter().for_each(|identified| each(Sorted::Told(identified)));
        suppressor.due(now, |identified, was_ours, held_for| {
            let is_ours = judge.is_still_ours(&identified, was_ours, held_for);
            each(judge.sort(identified, is_ours, held_for, now));
        });
    }

    /// The broker ends its connections. None can return to this node, so nothing is held back any more; but to another one
    /// they can, if there is one, and it holds back what this one does.
    pub(super) fn stop(&mut self, now: Instant, each: impl FnMut(Sorted)) {
        self.is_stopping = true;
        if !self.judge.decision.has_peers(Duration::ZERO) {
            self.flush(now, each);
        }
    }

    /// Nothing follows: hands out all that is held back. What other nodes hold back, too, is left to them, for whoever it is of
    /// may return there in time.
    pub(super) fn flush(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { suppressor, is_stopping, judge } = self;
        judge.take_inherited(now).into_iter().for_each(|identified| each(Sorted::Told(identified)));
        let is_handed_over = judge.decision.has_handed_over();
        suppressor.flush(now, |identified, was_ours, held_for| {
            let is_told_elsewhere = is_handed_over || *is_stopping && judge.decision.has_peers(held_for);
            let is_ours = !is_told_elsewhere && judge.is_still_ours(&identified, was_ours, held_for);
            each(judge.sort(identified, is_ours, held_for, now));
        });
    }
}

impl Judge {
    fn is_ours(&self, identified: &IdentifiedEvent, held_for: Duration) -> bool {
        self.decision.is_ours(&self.app_id, identified, held_for)
    }

    /// Whether a removal that has been held back for so long is this node's to tell: it was when it was put by, and no other
    /// process has taken that over; or it is by now.
    fn is_still_ours(&self, identified: &IdentifiedEvent, was_ours: bool, held_for: Duration) -> bool {
        was_ours && !self.decision.has_handed_over() || self.is_ours(identified, held_for)
    }

    /// Has an event told here, or leaves it to another node, which is there: and keeps it, as that may have gone already.
    fn sort(
        &mut self,
        identified: IdentifiedEvent,
        is_ours: bool,
        held_for: Duration,
        now: Instant,
    ) -> Sorted {
        if is_ours || self.decision.is_inherited(&self.app_id, &identified, held_for, now) {
            return Sorted::Told(identified);
        }
        self.left.keep(identified.clone(), held_for, now);
        Sorted::Left(identified)
    }

    /// What was left to a node that has gone since, if it is this node's to tell by now.
    fn take_inherited(&mut self, now: Instant) -> Vec<IdentifiedEvent> {
        self.left.forget(now);
        let departures = self.decision.departures();
        if std::mem::replace(&mut self.departures, departures) == departures || self.left.is_empty() {
            return Vec::new();
        }
        let Judge { app_id, decision, left, .. } = self;
        left.take(|identified, held_for, then| decision.is_inherited(app_id, identified, held_for, then))
    }
}

#[cfg(test)]
mod tests;
