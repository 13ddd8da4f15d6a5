//! Sorts the events of one app: what is told now, what is held back, and what is left to another node.
//!
//! Every node of a cluster holds the same removals back. Which of them tells one is decided when it has waited long enough,
//! so that it is not lost when the node that would have told it is gone by then; and whoever was to tell it when it was put by
//! does so in any case, as whoever decides by then may not have been there. What is left to another node is kept for a while:
//! a node is known to be dead only some seconds after it has died.

use std::time::{Duration, Instant};

use super::decision::Decision;
use super::event_id::IdentifiedEvent;
use super::left_events::LeftEvents;
use super::suppress::Suppressor;
use crate::hub::HeldRemoval;

/// How far apart the clocks of two nodes are at most that time the same removal.
const NEARLY: Duration = Duration::from_secs(1);

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
    /// How many nodes had died when it was last looked at.
    deaths: u64,
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
        let judge = Judge { app_id, decision, left: LeftEvents::new(most_left), deaths: 0 };
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
        suppressor.add(identified, is_ours, now, |identified, was_ours| {
            let is_ours = if identified.event.is_removal() {
                judge.is_still_ours(&identified, was_ours)
            } else {
                was_ours
            };
            each(judge.sort(identified, is_ours, now));
        });
    }

    /// Hands out the removals that have waited long enough, behind what is to be told in the place of a node that has died.
    pub(super) fn due(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { suppressor, judge, .. } = self;
        judge.take_inherited(now).into_iter().for_each(|identified| each(Sorted::Told(identified)));
        suppressor.due(now, |identified, was_ours| {
            let is_ours = judge.is_still_ours(&identified, was_ours);
            each(judge.sort(identified, is_ours, now));
        });
    }

    /// The broker ends its connections. None can return to this node, so nothing is held back any more; but to another one
    /// they can, if there is one, and it holds back what this one does.
    pub(super) fn stop(&mut self, now: Instant, each: impl FnMut(Sorted)) {
        self.is_stopping = true;
        if !self.judge.decision.has_peers() {
            self.flush(now, each);
        }
    }

    /// Nothing follows: hands out all that is held back. What is nearly due is told here, too: another node whose clock is
    /// ahead may have left it to this one already.
    pub(super) fn flush(&mut self, now: Instant, mut each: impl FnMut(Sorted)) {
        let Sorter { suppressor, is_stopping, judge } = self;
        judge.take_inherited(now).into_iter().for_each(|identified| each(Sorted::Told(identified)));
        let is_held_elsewhere = *is_stopping && judge.decision.has_peers();
        let is_handed_over = judge.decision.has_handed_over();
        suppressor.flush(|identified, was_ours, until| {
            let is_told_elsewhere = is_handed_over || is_held_elsewhere && until > now + NEARLY;
            let is_ours = !is_told_elsewhere && judge.is_still_ours(&identified, was_ours);
            each(judge.sort(identified, is_ours, now));
        });
    }
}

impl Judge {
    fn is_ours(&self, identified: &IdentifiedEvent) -> bool {
        self.decision.is_ours(&self.app_id, identified)
    }

    /// Whether a removal that has been held back is this node's to tell: it was when it was put by, and no other process has
    /// taken that over; or it is by now.
    fn is_still_ours(&self, identified: &IdentifiedEvent, was_ours: bool) -> bool {
        was_ours && !self.decision.has_handed_over() || self.is_ours(identified)
    }

    /// Has an event told here, or leaves it to another node, which is there: and keeps it, as that may have died already.
    fn sort(&mut self, identified: IdentifiedEvent, is_ours: bool, now: Instant) -> Sorted {
        if is_ours || self.decision.is_inherited(&self.app_id, &identified, now) {
            return Sorted::Told(identified);
        }
        self.left.keep(identified.clone(), now);
        Sorted::Left(identified)
    }

    /// What was left to a node that has died since, if it is this node's to tell by now.
    fn take_inherited(&mut self, now: Instant) -> Vec<IdentifiedEvent> {
        self.left.forget(now);
        let deaths = self.decision.deaths();
        if std::mem::replace(&mut self.deaths, deaths) == deaths || self.left.is_empty() {
            return Vec::new();
        }
        let Judge { app_id, decision, left, .. } = self;
        left.take(|identified, then| decision.is_inherited(app_id, identified, then))
    }
}

#[cfg(test)]
mod tests;
