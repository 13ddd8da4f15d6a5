//! The events of one channel with a history, in the order of the engine's stream: each says which one was before it. What comes
//! live is handed on while it joins; what is missing is fetched from the stream, and what comes meanwhile waits. Where the stream
//! does not join what is known here, there is a hole, which is told. Pure.

use std::collections::VecDeque;

use crate::channel::NodeId;

use super::envelope::EventMessage;

/// Pages that are fetched in vain, one after the other, before what is missing counts as lost.
const MOST_VAIN_PAGES: u32 = 3;

/// What the engine says of its clock may be so much less than it is, in the unit of numbers.
const LATE_CLOCK: u64 = 60_000_000;

/// The same of answers that did not come, although the engine counts as there.
const MOST_UNANSWERED: u32 = 20;

/// A word of the stream.
#[derive(Clone, Debug)]
pub(super) struct ChainWord {
    pub(super) number: u64,
    /// The number of the one before it; 0 if the engine knew of none.
    pub(super) previous: u64,
    pub(super) said: ChainedWord,
}

/// What is said by it.
#[derive(Clone, Debug)]
pub(super) enum ChainedWord {
    /// An event of this node.
    Event { from: NodeId, event: EventMessage },
    /// Its node has accepted events before it that it could not keep until the engine was there again. `is_own`: that is this
    /// node, whose own subscribers have been sent them.
    Lost { is_own: bool },
    /// Nothing that this release can read.
    Unreadable,
    /// Nothing that anybody has to hear.
    Nothing,
}

/// A part of the stream, as it was fetched.
#[derive(Debug)]
pub(super) struct ChainPage {
    pub(super) words: Vec<ChainWord>,
    /// The number of the last word that the stream was given; none if the engine knows of none.
    pub(super) last: Option<u64>,
    /// The engine's clock, as numbers have it.
    pub(super) now: u64,
    pub(super) has_more: bool,
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoleReason {
    /// The stream does not reach back far enough.
    Trimmed,
    /// It could not be fetched in time.
    Unfetched,
    /// The engine is another one.
    Engine,
    /// A node could not keep what it had accepted while the engine was away, or has said what this release cannot read.
    Lost,
}

/// Why nothing was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchFailure {
    /// The engine is away: what is missing is fetched when it is there again.
    Away,
    /// It has not answered, although it counts as there.
    Unanswered,
    /// It does not want to.
    Refused,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(super) enum ChainStep {
    /// It comes next.
    Deliver(ChainWord),
    /// It is known of the channel, and nobody is sent it: nobody is here yet. What is there is known up to a number.
    Fill { words: Vec<ChainWord>, reached: u64, now: u64 },
    /// Something may be missing before what comes next.
    Hole(HoleReason),
    /// What the stream has behind a number is wanted.
    Fetch { behind: u64 },
    /// Whoever waits to join need wait no longer.
    Settle,
}

/// How much waits in all chains, and may.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainRoom {
    pub(super) words: usize,
    pub(super) bytes: usize,
    pub(super) most_words: usize,
    pub(super) most_bytes: usize,
}

/// What is known besides what the chain knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainTimes {
    /// How long the engine knows the number of a channel's last word, in the unit of numbers.
    pub(super) last_known_for: u64,
    /// All that the engine had taken by then has come here, and been read; 0 if that is not known.
    pub(super) heard_until: u64,
    /// What has a later number was not said by now, unless the engine's clock has been set.
    pub(super) latest: u64,
}

/// The chain of a channel.
#[derive(Debug)]
pub(super) struct Chain {
    /// Everything up to this number has been handed on, or is known to be missing; none if that is not known: then whatever
    /// comes next joins.
    reached: Option<u64>,
    /// The number of the last word that was handed on, whatever is known besides: none comes twice.
    handed: u64,
    /// The engine's clock when nothing was missing since this node has followed it; 0 if that was never so.
    checked: u64,
    state: ChainState,
    waiting: VecDeque<ChainWord>,
    /// There was no room for all that waits: the stream has it.
    has_left_out: bool,
    /// The stream is to be looked at once more behind this fetch.
    again: bool,
    /// Pages without anything new.
    vain: u32,
    /// Nothing is known, and nothing has come, since then or before, by the engine's clock.
    adrift_since: Option<u64>,
    /// The engine has confirmed that its words come.
    is_confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainState {
    /// The engine has not confirmed yet that its words come. Whoever joins waits.
    New,
    /// A page is awaited. `fills`: whoever joins waits for it.
    Fetching { fills: bool },
    /// The same, but the engine is away: it is asked when it is there again.
    Stopped { fills: bool },
    /// What comes is handed on.
    Live,
}

impl HoleReason {
    pub(crate) const COUNT: usize = 4;
    /// All of them.
    pub(crate) const ALL: [HoleReason; Self::COUNT] =
        [HoleReason::Trimmed, HoleReason::Unfetched, HoleReason::Engine, HoleReason::Lost];

    /// What the metrics call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            HoleReason::Trimmed => "trimmed",
            HoleReason::Unfetched => "unfetched",
            HoleReason::Engine => "engine",
            HoleReason::Lost => "lost",
        }
    }
}

impl ChainWord {
    fn bytes(&self) -> usize {
        let frame = match &self.said {
            ChainedWord::Event { event, .. } => event.frame.websocket().len(),
            ChainedWord::Lost { .. } | ChainedWord::Unreadable | ChainedWord::Nothing => 0,
        };
        size_of::<Self>() + frame
    }

    /// There is none between this number and its own. What the engine knows of no word before it of, it has not been given one
    /// for so long.
    pub(super) fn behind(&self, times: &ChainTimes) -> u64 {
        if self.previous > 0 { self.previous } else { self.number.saturating_sub(times.last_known_for) }
    }
}

impl ChainRoom {
    /// Nothing waits, and so much may.
    pub(super) fn new(most_words: usize, most_bytes: usize) -> Self {
        ChainRoom { words: 0, bytes: 0, most_words, most_bytes }
    }

    fn take(&mut self, word: &ChainWord) -> bool {
        let bytes = self.bytes + word.bytes();
        let has_room = self.words < self.most_words && bytes <= self.most_bytes;
        if has_room {
            (self.words, self.bytes) = (self.words + 1, bytes);
        }
        has_room
    }

    fn give_back(&mut self, word: &ChainWord) {
        self.words -= 1;
        self.bytes -= word.bytes();
    }
}

impl Chain {
    /// One of a channel whose words will come.
    pub(super) fn new() -> Self {
        Chain {
            reached: None,
            handed: 0,
            checked: 0,
            state: ChainState::New,
            waiting: VecDeque::new(),
            has_left_out: false,
            again: false,
            vain: 0,
            adrift_since: None,
            is_confirmed: false,
        }
    }

    /// One of a channel of which nothing is known, and words come already, or may.
    pub(super) fn adrift(is_confirmed: bool) -> Self {
        Chain { state: ChainState::Live, is_confirmed, ..Chain::new() }
    }

    /// The engine has confirmed that its words come.
    pub(super) fn confirm(&mut self) {
        self.is_confirmed = true;
    }

    /// Everything up to which number has been handed on, if all that has come so far has, and none is missing.
    pub(super) fn reached(&self) -> Option<u64> {
        self.reached.filter(|_| self.state == ChainState::Live)
    }

    /// Whether it does nothing, and something is not known.
    pub(super) fn is_idle(&self) -> bool {
        self.is_stopped() || self.state == ChainState::Live && self.reached.is_none()
    }

    /// Whether what it has asked for could not be fetched.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, ChainState::Stopped { .. })
    }

    /// Its words come from now on. `reached`: what is known of it up to this number.
    pub(super) fn begin(&mut self, reached: Option<u64>, steps: &mut Vec<ChainStep>) {
        self.is_confirmed = true;
        if self.state == ChainState::New {
            self.reached = reached;
            return self.fetch(true, steps);
        }
        // Whoever waited has joined, and words may have been said since that did not come.
        steps.push(ChainStep::Hole(HoleReason::Unfetched));
        steps.push(ChainStep::Settle);
        self.drift();
    }

    /// Whoever waits to join waits no longer.
    pub(super) fn be_late(&mut self, room: &mut ChainRoom, steps: &mut Vec<ChainStep>) {
        if matches!(
            self.state,
            ChainState::New | ChainState::Fetching { fills: true } | ChainState::Stopped { fills: true }
        ) {
            self.break_off(HoleReason::Unfetched, room, steps);
        }
    }

    /// A word comes. Whether it had come before.
    pub(super) fn hear(
        &mut self,
        word: ChainWord,
        times: &ChainTimes,
        room: &mut ChainRoom,
        steps: &mut Vec<ChainStep>,
    ) -> bool {
        if word.number <= self.reached.unwrap_or(0).max(self.handed) {
            return true;
        }
        if word.number > times.latest && (self.reached.is_some() || self.state != ChainState::Live) {
            // The engine's clock has been set, or it is none of its words: the stream has it, or not.
            match self.state {
                ChainState::Live => self.fetch(false, steps),
                ChainState::Fetching { .. } => self.again = true,
                ChainState::New | ChainState::Stopped { .. } => {}
            }
            return false;
        }
        if self.state == ChainState::Live {
            match self.reached {
                Some(reached) if !self.joins(&word, reached, times) => self.fetch(false, steps),
                _ => {
                    self.deliver(word, steps);
                    return false;
                }
            }
        }
        if self.has_left_out {
            return false;
        }
        if room.take(&word) {
            self.waiting.push_back(word);
        } else {
            self.has_left_out = true;
        }
        false
    }

    /// A page has come that was awaited.
    pub(super) fn take_page(
        &mut self,
        page: ChainPage,
        times: &ChainTimes,
        room: &mut ChainRoom,
        steps: &mut Vec<ChainStep>,
    ) {
        let ChainState::Fetching { fills } = self.state else { return };
        let before = self.reached;
        let ChainPage { words, last, now, has_more } = page;
        if before.is_some_and(|before| before > last.unwrap_or(0).max(now.saturating_add(LATE_CLOCK))) {
            // The engine's clock was set back: what it has said since has smaller numbers, and was taken for known.
            steps.push(ChainStep::Hole(HoleReason::Trimmed));
            self.drift();
            self.handed = 0;
            if fills {
                return self.fetch_more(steps);
            }
        }
        let mut filling = Vec::new();
        for word in words {
            if self.reached.is_some_and(|reached| word.number <= reached) {
                continue;
            }
            if self.reached.is_some_and(|reached| !self.joins(&word, reached, times)) {
                self.fill(fills, &mut filling, now, steps);
                steps.push(ChainStep::Hole(HoleReason::Trimmed));
            }
            if !fills {
                self.deliver(word, steps);
                continue;
            }
            if matches!(word.said, ChainedWord::Lost { .. } | ChainedWord::Unreadable) {
                self.fill(fills, &mut filling, now, steps);
                steps.push(ChainStep::Hole(HoleReason::Lost));
            }
            self.reached = Some(word.number);
            self.handed = word.number;
            filling.push(word);
        }
        self.vain = if self.reached > before { 0 } else { self.vain + 1 };
        self.fill(fills, &mut filling, now, steps);
        if has_more && self.vain <= MOST_VAIN_PAGES {
            return self.fetch_more(steps);
        }
        self.take_waiting_until(last, times, room, steps);
        self.see_end(last, now, times, fills, steps);
        if std::mem::take(&mut self.again) {
            return self.fetch_more(steps);
        }
        self.catch_up(times, room, steps);
        if self.state == ChainState::Live && fills {
            steps.push(ChainStep::Settle);
        }
    }

    /// It could not be fetched.
    pub(super) fn fail(&mut self, failure: FetchFailure, room: &mut ChainRoom, steps: &mut Vec<ChainStep>) {
        let ChainState::Fetching { fills } = self.state else { return };
        self.vain += u32::from(failure == FetchFailure::Unanswered);
        if failure == FetchFailure::Refused || self.vain > MOST_UNANSWERED {
            return self.break_off(HoleReason::Unfetched, room, steps);
        }
        self.state = ChainState::Stopped { fills };
    }

    /// Asks again for what could not be fetched.
    pub(super) fn resume(&mut self, steps: &mut Vec<ChainStep>) {
        if let ChainState::Stopped { fills } = self.state {
            self.state = ChainState::Fetching { fills };
            self.fetch_more(steps);
        }
    }

    /// Words may have been lost on their way: the engine was away, or there was no room for them.
    pub(super) fn look_again(&mut self, steps: &mut Vec<ChainStep>) {
        match (self.state, self.reached) {
            (ChainState::New, _) => {}
            (ChainState::Live, None) => {
                self.drift();
                steps.push(ChainStep::Hole(HoleReason::Unfetched));
            }
            (ChainState::Live, Some(_)) => self.fetch(false, steps),
            (ChainState::Stopped { .. }, _) => self.resume(steps),
            // What is on its way may have been read before.
            (ChainState::Fetching { .. }, _) => self.again = true,
        }
    }

    /// Some time has passed. Where nothing is known, and nothing has come for as long as it takes to be sure of that, it is known
    /// again: nothing was said. `now`: the engine's clock, or a little less.
    pub(super) fn pass(&mut self, now: u64, times: &ChainTimes, steps: &mut Vec<ChainStep>) {
        if self.state != ChainState::Live || self.reached.is_some() || !self.is_confirmed {
            return;
        }
        let since = *self.adrift_since.get_or_insert(now);
        if times.heard_until > since.saturating_add(LATE_CLOCK) {
            let reached = times.heard_until;
            (self.reached, self.checked) = (Some(reached), reached);
            steps.push(ChainStep::Fill { words: Vec::new(), reached, now });
        }
    }

    /// The engine is another one. What it has is nothing that could be joined.
    pub(super) fn change_engine(&mut self, room: &mut ChainRoom, steps: &mut Vec<ChainStep>) {
        match self.state {
            ChainState::New => {}
            ChainState::Fetching { fills: true } | ChainState::Stopped { fills: true } => {
                steps.push(ChainStep::Hole(HoleReason::Engine));
                self.forget_waiting(room);
                self.drift();
                self.fetch(true, steps);
            }
            _ => self.break_off(HoleReason::Engine, room, steps),
        }
        // Its numbers may be smaller.
        self.handed = 0;
    }

    /// Nobody wants it any more.
    pub(super) fn end(mut self, room: &mut ChainRoom) {
        self.forget_waiting(room);
    }

    /// Whether nothing is missing between what was handed on and a word.
    fn joins(&self, word: &ChainWord, reached: u64, times: &ChainTimes) -> bool {
        if word.previous > 0 {
            return word.previous <= reached;
        }
        word.behind(times) <= self.quiet_until(reached, times)
    }

    /// If nothing has come since what was handed on last, nothing was said until then.
    fn quiet_until(&self, reached: u64, times: &ChainTimes) -> u64 {
        // What came while it was not followed, did not come here.
        let heard_until = if self.checked > 0 { times.heard_until } else { 0 };
        reached.max(self.checked).max(heard_until)
    }

    fn deliver(&mut self, word: ChainWord, steps: &mut Vec<ChainStep>) {
        self.reached = Some(word.number);
        self.handed = word.number;
        self.checked = self.checked.max(word.number);
        if matches!(word.said, ChainedWord::Lost { is_own: false } | ChainedWord::Unreadable) {
            steps.push(ChainStep::Hole(HoleReason::Lost));
        }
        steps.push(ChainStep::Deliver(word));
    }

    fn fill(&self, fills: bool, words: &mut Vec<ChainWord>, now: u64, steps: &mut Vec<ChainStep>) {
        if let Some(reached) = self.reached.filter(|_| fills) {
            steps.push(ChainStep::Fill { words: std::mem::take(words), reached, now });
        }
    }

    /// What waits and is kept no more in the stream, which has no more.
    fn take_waiting_until(
        &mut self,
        last: Option<u64>,
        times: &ChainTimes,
        room: &mut ChainRoom,
        steps: &mut Vec<ChainStep>,
    ) {
        let is_kept_no_more = |word: &ChainWord| last.is_some_and(|last| word.number <= last);
        while self.waiting.front().is_some_and(is_kept_no_more)
            && let Some(word) = self.waiting.pop_front()
        {
            room.give_back(&word);
            match self.reached {
                Some(reached) if word.number <= reached => continue,
                Some(reached) if !self.joins(&word, reached, times) => {
                    steps.push(ChainStep::Hole(HoleReason::Trimmed));
                }
                _ => {}
            }
            self.deliver(word, steps);
        }
    }

    /// The stream has no more.
    fn see_end(
        &mut self,
        last: Option<u64>,
        now: u64,
        times: &ChainTimes,
        fills: bool,
        steps: &mut Vec<ChainStep>,
    ) {
        let known = last.unwrap_or(now.saturating_sub(times.last_known_for));
        let is_missing = match (self.reached, last) {
            (Some(reached), Some(last)) => last > reached,
            (Some(reached), None) => known > self.quiet_until(reached, times),
            (None, _) => false,
        };
        if is_missing {
            steps.push(ChainStep::Hole(HoleReason::Trimmed));
        }
        self.checked = self.checked.max(now);
        if self.reached.is_none_or(|reached| reached < known) {
            self.reached = Some(known);
            self.fill(fills, &mut Vec::new(), now, steps);
        }
    }

    fn fetch(&mut self, fills: bool, steps: &mut Vec<ChainStep>) {
        self.state = ChainState::Fetching { fills };
        self.vain = 0;
        self.again = false;
        self.fetch_more(steps);
    }

    fn fetch_more(&self, steps: &mut Vec<ChainStep>) {
        steps.push(ChainStep::Fetch { behind: self.reached.unwrap_or(0) });
    }

    /// What has waited, in its turn: as far as it joins.
    fn catch_up(&mut self, times: &ChainTimes, room: &mut ChainRoom, steps: &mut Vec<ChainStep>) {
        while let Some(word) = self.waiting.pop_front() {
            let is_known = self.reached.is_some_and(|reached| word.number <= reached);
            let joins = self.reached.is_none_or(|reached| self.joins(&word, reached, times));
            if !is_known && !joins && self.vain <= MOST_VAIN_PAGES {
                self.waiting.push_front(word);
                return self.fetch_more(steps);
            }
            room.give_back(&word);
            if is_known {
                continue;
            }
            if !joins {
                steps.push(ChainStep::Hole(HoleReason::Unfetched));
            }
            self.vain = 0;
            self.deliver(word, steps);
        }
        if std::mem::take(&mut self.has_left_out) {
            return self.fetch_more(steps);
        }
        self.state = ChainState::Live;
    }

    /// What is missing stays so. What has waited is handed on.
    fn break_off(&mut self, reason: HoleReason, room: &mut ChainRoom, steps: &mut Vec<ChainStep>) {
        steps.push(ChainStep::Hole(reason));
        self.state = ChainState::Live;
        self.drift();
        while let Some(word) = self.waiting.pop_front() {
            room.give_back(&word);
            let last = self.reached.unwrap_or(0);
            if word.number > last.max(self.handed) {
                if last > 0 && word.previous != last {
                    steps.push(ChainStep::Hole(reason));
                }
                self.deliver(word, steps);
            }
        }
        if std::mem::take(&mut self.has_left_out) {
            // What was left out is missing, too.
            steps.push(ChainStep::Hole(reason));
            self.drift();
        }
        steps.push(ChainStep::Settle);
    }

    /// Nothing is known.
    fn drift(&mut self) {
        (self.reached, self.checked, self.adrift_since) = (None, 0, None);
    }

    fn forget_waiting(&mut self, room: &mut ChainRoom) {
        self.waiting.drain(..).for_each(|word| room.give_back(&word));
        self.has_left_out = false;
    }
}

#[cfg(test)]
pub(super) mod tests;
