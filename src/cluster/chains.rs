//! The chains of the channels with a history whose events this node wants, and what is to be done with them. Any thread may ask for
//! that; whoever takes what comes does it, in its turn between the words.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::adapter::Subject;
use super::chain::{Chain, ChainRoom, ChainStep, ChainTimes, ChainWord};

/// Those of a node.
#[derive(Debug)]
pub(super) struct Chains {
    table: Mutex<ChainTable>,
    /// There has been one: no channel had a history before.
    are_there: AtomicBool,
    /// Something is to be done.
    pub(super) woken: Notify,
}

/// Ends of chains of which it is told up to where they were known. Of further ones it is known up to their last event.
const MOST_ENDED: usize = 10_000;

/// Entries of what is to be done that are looked through at the latest for those of chains that have ended.
const LOOKED_THROUGH_AT: usize = 1024;

/// They themselves.
#[derive(Debug)]
pub(super) struct ChainTable {
    /// Each is of a subject that this node is subscribed to.
    of: HashMap<Subject, SubjectChain>,
    pub(super) room: ChainRoom,
    /// What is to be done with all of them.
    engine: Option<u64>,
    looks_again: bool,
    ended: VecDeque<(Subject, u64)>,
    /// Those of which something is asked, each once, by their subscriptions; some may have ended.
    asked: VecDeque<(Subject, u64)>,
    /// How many of their events wait for changes of members.
    parked: HashMap<Subject, usize>,
}

/// The chain of a subject that this node is subscribed to.
#[derive(Debug)]
pub(super) struct SubjectChain {
    pub(super) chain: Chain,
    /// The subscription by which its words come.
    subscription: u64,
    /// Whoever waits until it is known what there is.
    pub(super) settles: Option<oneshot::Sender<()>>,
    /// The number of the fetch that is awaited.
    pub(super) fetch: u64,
    /// What is asked of it, in this order, each once.
    asked: VecDeque<ChainAsk>,
    /// It wants something done that is not done yet: what it has reached, the hub has not.
    is_handing_on: bool,
}

/// What is asked of one chain.
#[derive(Debug)]
enum ChainAsk {
    Begin(oneshot::Sender<()>),
    BeLate,
}

/// What is to be done with chains.
#[derive(Debug)]
pub(super) enum ChainDeed {
    /// Its words come from now on.
    Begin { subject: Subject, subscription: u64, settles: oneshot::Sender<()> },
    /// Whoever has waited for it joins, without knowing what there is.
    BeLate { subject: Subject, subscription: u64 },
    /// Nobody wants it any more. All was handed on up to this number.
    End { subject: Subject, reached: u64 },
    /// The engine has been away, or words were lost on their way: all of them are to look for what is missing.
    LookAgain,
    /// The engine is this one now, by a number that stands for it.
    ChangeEngine { epoch: u64 },
}

/// How much there is of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ChainSizes {
    pub(super) chains: usize,
    /// Events that wait for those before them.
    pub(super) waiting: usize,
}

impl Chains {
    /// None yet. So many words wait at most in all of them, of so many bytes.
    pub(super) fn new(most_words: usize, most_bytes: usize) -> Self {
        let room = ChainRoom::new(most_words, most_bytes);
        let table = ChainTable {
            of: HashMap::new(),
            room,
            engine: None,
            looks_again: false,
            ended: VecDeque::new(),
            asked: VecDeque::new(),
            parked: HashMap::new(),
        };
        Chains { table: Mutex::new(table), are_there: AtomicBool::new(false), woken: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ChainTable> {
        self.table.lock()
    }

    /// A subject is subscribed to whose events are kept.
    pub(super) fn open(&self, subject: &Subject, subscription: u64) {
        self.are_there.store(true, Ordering::Relaxed);
        self.lock().insert(subject, subscription, Chain::new());
    }

    /// A subject that is subscribed to has its events kept from now on, and nothing is known of it, if it has no chain yet.
    pub(super) fn open_adrift(&self, subject: &Subject, subscription: u64, is_confirmed: bool) {
        self.are_there.store(true, Ordering::Relaxed);
        let mut table = self.lock();
        if !table.of.contains_key(subject) {
            table.insert(subject, subscription, Chain::adrift(is_confirmed));
        }
    }

    /// The engine has confirmed a subscription of which no chain waits; one may have been opened meanwhile.
    pub(super) fn confirm(&self, subject: &Subject, subscription: u64) {
        if self.are_there.load(Ordering::Relaxed)
            && let Some((of, _)) = self.lock().of(subject, subscription)
        {
            of.chain.confirm();
        }
    }

    /// The engine has confirmed it. Resolves when it is known what there is.
    pub(super) fn begin(&self, subject: &Subject, subscription: u64) -> oneshot::Receiver<()> {
        let (settles, settled) = oneshot::channel();
        self.ask_one(subject, subscription, ChainAsk::Begin(settles));
        settled
    }

    /// Whoever waits for a subject joins, whatever is known of it.
    pub(super) fn be_late(&self, subject: &Subject, subscription: u64) {
        self.ask_one(subject, subscription, ChainAsk::BeLate);
    }

    /// A subject is not subscribed to any more.
    pub(super) fn end(&self, subject: &Subject, subscription: u64) {
        let mut table = self.lock();
        if table.of.get(subject).is_some_and(|of| of.subscription == subscription)
            && let Some(of) = table.of.remove(subject)
        {
            let reached = of.known_until().filter(|_| !table.parked.contains_key(subject));
            of.chain.end(&mut table.room);
            if let Some(reached) = reached.filter(|_| table.ended.len() < MOST_ENDED) {
                table.ended.push_back((subject.clone(), reached));
                drop(table);
                self.woken.notify_one();
            }
        }
    }

    /// The engine is this one now, by a number that stands for it.
    pub(super) fn change_engine(&self, epoch: u64) {
        self.lock().engine = Some(epoch);
        self.woken.notify_one();
    }

    /// The engine has been away: all are to look for what is missing.
    pub(super) fn look_again(&self) {
        self.lock().looks_again = true;
        self.woken.notify_one();
    }

    fn ask_one(&self, subject: &Subject, subscription: u64, ask: ChainAsk) {
        self.lock().ask(subject, subscription, ask);
        self.woken.notify_one();
    }

    /// What is to be done next.
    pub(super) fn next_deed(&self) -> Option<ChainDeed> {
        self.lock().next_deed()
    }

    /// Whether a subject's chain is known up to its last word, and the hub has all of it.
    pub(super) fn is_known(&self, subject: &Subject) -> bool {
        let table = self.lock();
        !table.parked.contains_key(subject)
            && table.of.get(subject).is_some_and(|of| of.known_until().is_some())
    }

    /// As [`ChainTable::hear`].
    pub(super) fn hear(
        &self,
        subject: &Subject,
        subscription: u64,
        word: ChainWord,
        times: &ChainTimes,
    ) -> (Vec<ChainStep>, bool) {
        self.are_there.store(true, Ordering::Relaxed);
        self.lock().hear(subject, subscription, word, times)
    }

    /// Whether a subject has one.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.are_there.load(Ordering::Relaxed) && self.lock().of.contains_key(subject)
    }

    /// What a subject's chain wanted done is done.
    pub(super) fn has_handed_on(&self, subject: &Subject) {
        if let Some(of) = self.lock().of.get_mut(subject) {
            of.is_handing_on = false;
        }
    }

    /// An event of a subject's stream waits for changes of members, or does so no longer. Its chain may end meanwhile.
    pub(super) fn park(&self, subject: &Subject, waits: bool) {
        let mut table = self.lock();
        if waits {
            *table.parked.entry(subject.clone()).or_insert(0) += 1;
        } else if let Some(parked) = table.parked.get_mut(subject) {
            *parked -= 1;
            if *parked == 0 {
                table.parked.remove(subject);
            }
        }
    }

    /// The subjects that have one.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.lock().of.keys().cloned().collect()
    }

    /// How much there is.
    pub(super) fn sizes(&self) -> ChainSizes {
        let table = self.lock();
        ChainSizes { chains: table.of.len(), waiting: table.room.words }
    }
}

impl SubjectChain {
    fn new(chain: Chain, subscription: u64) -> Self {
        SubjectChain {
            chain,
            subscription,
            settles: None,
            fetch: 0,
            asked: VecDeque::new(),
            is_handing_on: false,
        }
    }

    /// Everything up to which number the hub has, if that is all that has come, and nothing is missing; but for what waits for
    /// changes of members.
    fn known_until(&self) -> Option<u64> {
        self.chain.reached().filter(|_| !self.is_handing_on)
    }

    /// Has the chain do something. What it wants done by that is to be done, and then told.
    pub(super) fn does(&mut self, deed: impl FnOnce(&mut Chain, &mut Vec<ChainStep>)) -> Vec<ChainStep> {
        let mut steps = Vec::new();
        deed(&mut self.chain, &mut steps);
        self.is_handing_on |= !steps.is_empty();
        steps
    }
}

impl ChainAsk {
    fn is_like(&self, other: &ChainAsk) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl ChainTable {
    fn insert(&mut self, subject: &Subject, subscription: u64, chain: Chain) {
        let of = SubjectChain::new(chain, subscription);
        if let Some(before) = self.of.insert(subject.clone(), of) {
            before.chain.end(&mut self.room);
        }
    }

    /// Something is asked of the chain of this subscription, if there is one.
    fn ask(&mut self, subject: &Subject, subscription: u64, ask: ChainAsk) {
        let of = self.of.get_mut(subject).filter(|of| of.subscription == subscription);
        let Some(of) = of.filter(|of| !of.asked.iter().any(|other| other.is_like(&ask))) else { return };
        of.asked.push_back(ask);
        if of.asked.len() > 1 {
            return;
        }
        self.asked.push_back((subject.clone(), subscription));
        if self.asked.len() > 2 * self.of.len() + LOOKED_THROUGH_AT {
            let is_there = |(subject, subscription): &(Subject, u64)| {
                self.of.get(subject).is_some_and(|of| of.subscription == *subscription)
            };
            self.asked.retain(is_there);
        }
    }

    fn next_deed(&mut self) -> Option<ChainDeed> {
        if let Some(epoch) = self.engine.take() {
            return Some(ChainDeed::ChangeEngine { epoch });
        }
        if std::mem::take(&mut self.looks_again) {
            return Some(ChainDeed::LookAgain);
        }
        // Before another one of their subjects begins.
        if let Some((subject, reached)) = self.ended.pop_front() {
            return Some(ChainDeed::End { subject, reached });
        }
        while let Some((subject, subscription)) = self.asked.pop_front() {
            let of = self.of.get_mut(&subject).filter(|of| of.subscription == subscription);
            let Some((of, ask)) = of.and_then(|of| of.asked.pop_front().map(|ask| (of, ask))) else {
                continue;
            };
            if !of.asked.is_empty() {
                self.asked.push_front((subject.clone(), subscription));
            }
            return Some(match ask {
                ChainAsk::Begin(settles) => ChainDeed::Begin { subject, subscription, settles },
                ChainAsk::BeLate => ChainDeed::BeLate { subject, subscription },
            });
        }
        None
    }

    /// The chain of this subscription of a subject, and the room that all of them have.
    pub(super) fn of(
        &mut self,
        subject: &Subject,
        subscription: u64,
    ) -> Option<(&mut SubjectChain, &mut ChainRoom)> {
        let of = self.of.get_mut(subject).filter(|of| of.subscription == subscription)?;
        Some((of, &mut self.room))
    }

    /// A page of a subject is asked for by this number. Whether anybody is here for it.
    pub(super) fn begin_fetch(&mut self, subject: &Subject, fetch: u64) -> bool {
        self.of.get_mut(subject).map(|of| of.fetch = fetch).is_some()
    }

    /// Whoever waits for a subject.
    pub(super) fn settles(&mut self, subject: &Subject) -> Option<oneshot::Sender<()>> {
        self.of.get_mut(subject)?.settles.take()
    }

    /// The chain that has asked for this fetch.
    pub(super) fn awaiting(
        &mut self,
        subject: &Subject,
        fetch: u64,
    ) -> Option<(&mut SubjectChain, &mut ChainRoom)> {
        let of = self.of.get_mut(subject).filter(|of| of.fetch == fetch)?;
        Some((of, &mut self.room))
    }

    /// A word of a subject comes by this subscription; what is to be done, and whether it had come before. If it has no chain, its
    /// events are kept from now on.
    fn hear(
        &mut self,
        subject: &Subject,
        subscription: u64,
        word: ChainWord,
        times: &ChainTimes,
    ) -> (Vec<ChainStep>, bool) {
        if self.of(subject, subscription).is_none() {
            self.insert(subject, subscription, Chain::adrift(true));
        }
        let Some(of) = self.of.get_mut(subject) else { return (Vec::new(), false) };
        let mut was_there = false;
        let steps = of.does(|chain, steps| was_there = chain.hear(word, times, &mut self.room, steps));
        (steps, was_there)
    }

    /// Has something done with each of some of them.
    pub(super) fn each(
        &mut self,
        which: impl Fn(&Chain) -> bool,
        mut deed: impl FnMut(&mut Chain, &mut ChainRoom, &mut Vec<ChainStep>),
    ) -> Vec<(Subject, Vec<ChainStep>)> {
        let mut done = Vec::new();
        for (subject, of) in self.of.iter_mut().filter(|(_, of)| which(&of.chain)) {
            let steps = of.does(|chain, steps| deed(chain, &mut self.room, steps));
            if !steps.is_empty() {
                done.push((subject.clone(), steps));
            }
        }
        done
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
