//! What one other node says it has. It is advanced by that node's numbers alone, and each call tells what has changed by
//! it, for the hub. A node keeps the same of itself, and makes snapshots of it.
//!
//! A replica is in step, or behind: then it wants a snapshot, and what comes meanwhile waits for it, within bounds. It knows
//! no time: whoever asks for the snapshot asks again when it has not come.

mod difference;
mod marks;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::channel::{Change, Fact};

use super::envelope::{AppFact, FactBatch, SnapshotPart};
use super::status::ReplicaSize;

use difference::Difference;
use marks::Life;
pub(crate) use snapshot::NodeSnapshot;
pub(crate) use state::ReplicaBounds;
use state::{FactOutcome, ReplicaState};

/// What is known of one node.
#[derive(Debug)]
pub(crate) struct Replica {
    life: Life,
    bounds: ReplicaBounds,
    state: ReplicaState,
    phase: ReplicaPhase,
    /// Where it was when the node was heard last.
    before: u64,
    counts: ReplicaCounts,
}

/// A change of what a node has, and the app that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaChange {
    pub(crate) app: Arc<str>,
    pub(crate) change: Change,
}

/// What has happened to a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaCounts {
    /// Facts were missing.
    pub(crate) gaps: u64,
    /// Snapshots that have come whole.
    pub(crate) snapshots: u64,
    /// Facts for which there was no room.
    pub(crate) refused: u64,
    /// Facts that this release does not know, or that cannot be true.
    pub(crate) unknown: u64,
    /// Batches that could not wait for a snapshot, because too many did.
    pub(crate) not_held: u64,
}

#[derive(Debug)]
enum ReplicaPhase {
    /// All facts up to this number are in the state.
    InStep { number: u64 },
    /// Some are missing.
    Behind(Box<Behind>),
}

/// A snapshot is wanted or on its way.
#[derive(Debug, Default)]
struct Behind {
    /// The last fact before those that are missing.
    number: u64,
    /// The first and the last snapshot that was asked for, if one was: the answer to any of them will do.
    asked: Option<(u64, u64)>,
    /// Another one is to be asked for, as what came was of no use.
    is_in_vain: bool,
    /// The one that comes.
    request: Option<u64>,
    /// Which number it has: all its parts the same.
    of_number: Option<u64>,
    next_part: u32,
    collected: ReplicaState,
    /// What came meanwhile.
    held: VecDeque<FactBatch>,
    held_bytes: usize,
    held_facts: u32,
    /// So many of these had come when a snapshot was first asked for: it has what they say.
    held_before: usize,
}

impl Replica {
    /// That of a node that is heard for the first time. It is behind until it has a snapshot, or the node is heard to have
    /// nothing. `returned` is not 0 where the node had been taken for dead: the number of the heartbeat by which it came
    /// back, the same for all who hear that.
    pub(crate) fn new(bounds: ReplicaBounds, returned: u64) -> Self {
        Replica {
            life: Life::new(returned),
            bounds,
            state: ReplicaState::default(),
            phase: ReplicaPhase::Behind(Box::default()),
            before: 0,
            counts: ReplicaCounts::default(),
        }
    }

    /// That of this node itself, which has said nothing yet.
    pub(crate) fn of_this_node() -> Self {
        let bounds = ReplicaBounds { entries: usize::MAX, bytes: usize::MAX };
        Replica { phase: ReplicaPhase::InStep { number: 0 }, ..Replica::new(bounds, 0) }
    }

    /// This node itself says a fact. Returns the number that it has.
    pub(crate) fn say(&mut self, app: &Arc<str>, fact: Fact) -> u64 {
        self.state.apply(app, fact, &self.bounds);
        let ReplicaPhase::InStep { number } = &mut self.phase else { return 0 };
        *number += 1;
        *number
    }

    /// The node has said facts. `each` is told what they change.
    pub(crate) fn apply(&mut self, batch: FactBatch, each: &mut dyn FnMut(ReplicaChange)) {
        match &mut self.phase {
            ReplicaPhase::InStep { number } => {
                let next = number.saturating_add(1);
                if batch.first > next {
                    self.fall_behind();
                    self.hold(batch);
                } else {
                    self.advance(&batch, each);
                }
            }
            ReplicaPhase::Behind(_) => self.hold(batch),
        }
    }

    /// The node says, with a heartbeat that is newer than those before, that its last fact has this number or a larger one.
    /// Whatever it said before has been heard before.
    pub(crate) fn heard_of(&mut self, last: u64) {
        let number = self.number();
        let before = std::mem::replace(&mut self.before, number);
        if last < before {
            // Somebody else has said something in its name, so nothing of it is sure.
            self.fall_behind();
            if let ReplicaPhase::Behind(behind) = &mut self.phase {
                behind.number = 0;
            }
            self.before = 0;
            return;
        }
        match &self.phase {
            ReplicaPhase::InStep { number } if last > *number => self.fall_behind(),
            // It has said nothing ever: there is nothing to ask for.
            ReplicaPhase::Behind(behind) if last == 0 && behind.number == 0 && behind.held.is_empty() => {
                self.phase = ReplicaPhase::InStep { number: 0 };
            }
            ReplicaPhase::InStep { .. } | ReplicaPhase::Behind(_) => {}
        }
    }

    /// Whether it is behind, and no snapshot has been asked for, or what came of it was of no use.
    pub(crate) fn wants_snapshot(&self) -> bool {
        matches!(&self.phase, ReplicaPhase::Behind(behind) if behind.asked.is_none() || behind.is_in_vain)
    }

    /// A snapshot has been asked for, by a number that is larger than those of the requests before. Where the answer to one of
    /// these comes after all, it is taken.
    pub(crate) fn ask(&mut self, request: u64) {
        if let ReplicaPhase::Behind(behind) = &mut self.phase {
            if behind.asked.is_none() {
                behind.held_before = behind.held.len();
            }
            let first = behind.asked.map_or(request, |(first, _)| first);
            (behind.asked, behind.is_in_vain) = (Some((first, request)), false);
        }
    }

    /// A part of a snapshot has come. With the last one `each` is told how the node differs from what was known of it.
    pub(crate) fn part(&mut self, part: &SnapshotPart, each: &mut dyn FnMut(ReplicaChange)) {
        let ReplicaPhase::Behind(behind) = &mut self.phase else { return };
        let Some((first, last)) = behind.asked.filter(|_| !behind.is_in_vain) else { return };
        if !(first..=last).contains(&part.request) {
            return;
        }
        if behind.request != Some(part.request) {
            if part.part > 0 {
                // Its beginning is missing; an older one's may be meant to be.
                behind.is_in_vain = part.request == last;
                return;
            }
            behind.begin_anew();
            (behind.request, behind.is_in_vain) = (Some(part.request), false);
        }
        let number = *behind.of_number.get_or_insert(part.number);
        if part.part != behind.next_part || part.number != number || number < behind.number {
            // One is missing.
            behind.begin_anew();
            return;
        }
        behind.next_part += 1;
        for fact in part.facts.iter() {
            match fact {
                Some(AppFact { app, fact }) => {
                    let outcome = behind.collected.apply(&app, fact, &self.bounds);
                    self.counts.refused += u64::from(matches!(outcome, FactOutcome::Refused));
                }
                None => self.counts.unknown += 1,
            }
        }
        if part.is_last {
            let Behind { collected, mut held, number: known, held_before, .. } =
                std::mem::take(&mut **behind);
            let mut place = 0;
            // What is far ahead of it the node has not said. If it has, the next heartbeat tells.
            held.retain(|batch| {
                place += 1;
                place > held_before || batch.first <= number
            });
            self.replace(collected, known..number, held, each);
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_in_step(&self) -> bool {
        matches!(self.phase, ReplicaPhase::InStep { .. })
    }

    /// The number of the last fact that is known.
    pub(crate) fn number(&self) -> u64 {
        match &self.phase {
            ReplicaPhase::InStep { number } => *number,
            ReplicaPhase::Behind(behind) => behind.number,
        }
    }

    /// All that is known of the node in one app, as if it had just happened.
    pub(crate) fn tell(&self, app: &str, each: &mut dyn FnMut(ReplicaChange)) {
        self.state.tell(app, self.life, each);
    }

    /// The node is no more: `each` is told that nothing of it is left.
    pub(crate) fn remove(self, each: &mut dyn FnMut(ReplicaChange)) {
        Difference { life: self.life, is_return: false }.tell(self.state, &ReplicaState::default(), each);
    }

    /// All that is true, as facts in parts of about so many bytes.
    pub(crate) fn snapshot(&self, part_bytes: usize) -> NodeSnapshot {
        NodeSnapshot::of(&self.state, self.number(), part_bytes)
    }

    /// How much it holds, with what waits for a snapshot.
    pub(crate) fn size(&self) -> ReplicaSize {
        let size = self.state.size();
        ReplicaSize { bytes: size.bytes + self.held_bytes(), ..size }
    }

    /// Bytes of facts that wait for a snapshot.
    fn held_bytes(&self) -> usize {
        match &self.phase {
            ReplicaPhase::InStep { .. } => 0,
            ReplicaPhase::Behind(behind) => behind.held_bytes,
        }
    }

    /// What has happened to it.
    pub(crate) fn counts(&self) -> ReplicaCounts {
        self.counts
    }

    fn fall_behind(&mut self) {
        self.counts.gaps += 1;
        self.phase = ReplicaPhase::Behind(Box::new(Behind { number: self.number(), ..Behind::default() }));
    }

    fn hold(&mut self, batch: FactBatch) {
        let ReplicaPhase::Behind(behind) = &mut self.phase else { return };
        // What is dropped is a gap behind the snapshot, which is noticed then.
        if !behind.hold(batch) {
            self.counts.not_held += 1;
        }
    }

    /// Takes the facts of a batch that are new. None is missing before it.
    fn advance(&mut self, batch: &FactBatch, each: &mut dyn FnMut(ReplicaChange)) {
        let ReplicaPhase::InStep { number } = &mut self.phase else { return };
        let Some(last) = batch.first.checked_add(batch.facts.len().into()).map(|end| end.saturating_sub(1))
        else {
            self.counts.unknown += 1;
            return;
        };
        if last <= *number {
            return;
        }
        // Facts that were heard before, if there are any.
        let known = usize::try_from((*number + 1).saturating_sub(batch.first)).unwrap_or(usize::MAX);
        *number = last;
        for fact in batch.facts.iter().skip(known) {
            let Some(AppFact { app, fact }) = fact else {
                self.counts.unknown += 1;
                continue;
            };
            match self.state.apply(&app, fact, &self.bounds) {
                FactOutcome::Changed(change) => each(change),
                FactOutcome::Unchanged => {}
                FactOutcome::Renewed(ended) => {
                    let difference = Difference { life: self.life, is_return: false };
                    difference.tell_ended(&app, ended, &self.state, each);
                }
                FactOutcome::Refused => self.counts.refused += 1,
            }
        }
    }

    /// A snapshot has come whole: from one number on, up to another. What waited for it follows it.
    fn replace(
        &mut self,
        state: ReplicaState,
        made_up_for: Range<u64>,
        held: VecDeque<FactBatch>,
        each: &mut dyn FnMut(ReplicaChange),
    ) {
        let is_return = self.counts.snapshots == 0;
        self.counts.snapshots += 1;
        let old = std::mem::replace(&mut self.state, state);
        Difference { life: self.life, is_return }.tell(old, &self.state, each);
        let Range { start: known, end: number } = made_up_for;
        self.phase = ReplicaPhase::InStep { number };
        // What is in the snapshot is not told again. That a channel remembered nothing is in none.
        let is_made_up_for = |of: u64| of > known && of <= number;
        for (AppFact { app, fact }, _) in held.iter().flat_map(numbered).filter(|(_, of)| is_made_up_for(*of))
        {
            if let Fact::CacheMissed { .. } = &fact
                && let FactOutcome::Changed(change) = self.state.apply(&app, fact, &self.bounds)
            {
                each(change);
            }
        }
        held.into_iter().for_each(|batch| self.apply(batch, each));
    }
}

/// The facts of a batch that this release knows, with their numbers.
fn numbered(batch: &FactBatch) -> impl Iterator<Item = (AppFact, u64)> + '_ {
    let numbers = (0..).map(|n| batch.first.saturating_add(n));
    batch.facts.iter().zip(numbers).filter_map(|(fact, number)| Some((fact?, number)))
}

impl Behind {
    /// Batches that may wait for a snapshot, and their bytes.
    const MOST_HELD: usize = 10_000;
    const MOST_HELD_BYTES: usize = 8 * 1024 * 1024;
    const MOST_HELD_FACTS: u32 = 262_144;

    /// Whether there was room for it.
    fn hold(&mut self, batch: FactBatch) -> bool {
        let bytes = self.held_bytes + batch.facts.bytes();
        let facts = self.held_facts.saturating_add(batch.facts.len());
        let is_full = self.held.len() >= Self::MOST_HELD || bytes > Self::MOST_HELD_BYTES;
        if is_full || facts > Self::MOST_HELD_FACTS {
            return false;
        }
        (self.held_bytes, self.held_facts) = (bytes, facts);
        self.held.push_back(batch);
        true
    }

    /// Forgets what came of a snapshot: it was of no use.
    fn begin_anew(&mut self) {
        self.is_in_vain = true;
        self.request = None;
        self.of_number = None;
        self.next_part = 0;
        self.collected = ReplicaState::default();
    }
}
