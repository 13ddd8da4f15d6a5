//! The chains of the channels with a history whose events this node wants, and what is to be done with them. Any thread may ask for
//! that; whoever takes what comes does it, in its turn between the words.

use std::collections::{HashMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::adapter::Subject;
use super::chain::{Chain, ChainRoom, ChainStep, ChainTimes, ChainWord};

/// Those of a node.
#[derive(Debug)]
pub(super) struct Chains {
    table: Mutex<ChainTable>,
    /// Something is to be done.
    pub(super) woken: Notify,
}

/// They themselves.
#[derive(Debug)]
pub(super) struct ChainTable {
    /// Each is of a subject that this node is subscribed to.
    of: HashMap<Subject, SubjectChain>,
    pub(super) room: ChainRoom,
    deeds: VecDeque<ChainDeed>,
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
}

/// What is to be done with a chain. Of each subscription each thing is asked for once.
#[derive(Debug)]
pub(super) enum ChainDeed {
    /// Its words come from now on.
    Begin { subject: Subject, subscription: u64, settles: oneshot::Sender<()> },
    /// Whoever has waited for it joins, without knowing what there is.
    BeLate { subject: Subject, subscription: u64 },
    /// Nobody wants it any more. All was handed on up to this number, if that is known.
    End { subject: Subject, reached: Option<u64> },
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
        Chains {
            table: Mutex::new(ChainTable { of: HashMap::new(), room, deeds: VecDeque::new() }),
            woken: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ChainTable> {
        self.table.lock()
    }

    /// A subject is subscribed to whose events are kept.
    pub(super) fn open(&self, subject: &Subject, subscription: u64) {
        self.lock().insert(subject, subscription, Chain::new());
    }

    /// The engine has confirmed it. Resolves when it is known what there is.
    pub(super) fn begin(&self, subject: &Subject, subscription: u64) -> oneshot::Receiver<()> {
        let (settles, settled) = oneshot::channel();
        self.ask(ChainDeed::Begin { subject: subject.clone(), subscription, settles });
        settled
    }

    /// Whoever waits for a subject joins, whatever is known of it.
    pub(super) fn be_late(&self, subject: &Subject, subscription: u64) {
        self.ask(ChainDeed::BeLate { subject: subject.clone(), subscription });
    }

    /// A subject is not subscribed to any more.
    pub(super) fn end(&self, subject: &Subject, subscription: u64) {
        let mut table = self.lock();
        if table.of.get(subject).is_some_and(|of| of.subscription == subscription)
            && let Some(of) = table.of.remove(subject)
        {
            let reached = of.chain.reached();
            of.chain.end(&mut table.room);
            table.deeds.push_back(ChainDeed::End { subject: subject.clone(), reached });
            drop(table);
            self.woken.notify_one();
        }
    }

    /// Has something done.
    pub(super) fn ask(&self, deed: ChainDeed) {
        self.lock().deeds.push_back(deed);
        self.woken.notify_one();
    }

    /// What is to be done next.
    pub(super) fn next_deed(&self) -> Option<ChainDeed> {
        self.lock().deeds.pop_front()
    }

    /// Whether a subject's chain is known up to its last word.
    pub(super) fn is_known(&self, subject: &Subject) -> bool {
        self.lock().of.get(subject).is_some_and(|of| of.chain.reached().is_some())
    }

    /// How much there is.
    pub(super) fn sizes(&self) -> ChainSizes {
        let table = self.lock();
        ChainSizes { chains: table.of.len(), waiting: table.room.words }
    }
}

impl ChainTable {
    fn insert(&mut self, subject: &Subject, subscription: u64, chain: Chain) {
        let of = SubjectChain { chain, subscription, settles: None, fetch: 0 };
        if let Some(before) = self.of.insert(subject.clone(), of) {
            before.chain.end(&mut self.room);
        }
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
    pub(super) fn hear(
        &mut self,
        subject: &Subject,
        subscription: u64,
        word: ChainWord,
        times: &ChainTimes,
    ) -> (Vec<ChainStep>, bool) {
        if self.of(subject, subscription).is_none() {
            self.insert(subject, subscription, Chain::adrift());
        }
        let mut steps = Vec::new();
        let of = self.of.get_mut(subject);
        let was_there = of.is_some_and(|of| of.chain.hear(word, times, &mut self.room, &mut steps));
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
            let mut steps = Vec::new();
            deed(&mut of.chain, &mut self.room, &mut steps);
            if !steps.is_empty() {
                done.push((subject.clone(), steps));
            }
        }
        done
    }
}
