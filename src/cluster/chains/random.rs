//! Whole histories of a channel on several nodes, drawn at random and shrunk when they fail: whatever is said, lost, doubled, cut off,
//! forgotten and given up, what a node's subscribers were sent, and the holes that they were told of, are in no contradiction
//! with what was said.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included};

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::super::chain::tests::word;
use super::super::chain::{ChainPage, FetchFailure};
use super::*;

const NODES: usize = 3;
/// Words that the stream keeps.
const KEPT: usize = 6;
const LAST_KNOWN_FOR: u64 = 1000;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum StreamDeed {
    Say,
    /// The next word arrives; or it arrives twice; or it is lost, and the node knows that something is.
    Arrive(usize),
    Double(usize),
    Lose(usize),
    Cut(usize),
    Heal(usize),
    /// The page that is awaited comes, with so many words at most.
    Page(usize, usize),
    Fail(usize, FetchFailure),
    Resume(usize),
    /// Nothing is said for so long that the engine forgets the last word.
    BeQuiet,
    /// The engine is an empty one.
    Change,
    Claim(usize),
    BeLate(usize),
    Release(usize),
}

fn deed() -> impl Strategy<Value = StreamDeed> {
    let node = || 0..NODES;
    let failure =
        prop_oneof![Just(FetchFailure::Away), Just(FetchFailure::Unanswered), Just(FetchFailure::Refused)];
    prop_oneof![
        20 => Just(StreamDeed::Say),
        20 => node().prop_map(StreamDeed::Arrive),
        2 => node().prop_map(StreamDeed::Double),
        3 => node().prop_map(StreamDeed::Lose),
        2 => node().prop_map(StreamDeed::Cut),
        4 => node().prop_map(StreamDeed::Heal),
        20 => (node(), 1..4usize).prop_map(|(node, most)| StreamDeed::Page(node, most)),
        2 => (node(), failure).prop_map(|(node, failure)| StreamDeed::Fail(node, failure)),
        3 => node().prop_map(StreamDeed::Resume),
        1 => Just(StreamDeed::BeQuiet),
        1 => Just(StreamDeed::Change),
        6 => node().prop_map(StreamDeed::Claim),
        1 => node().prop_map(StreamDeed::BeLate),
        2 => node().prop_map(StreamDeed::Release),
    ]
}

/// The engine's stream, and all that it was ever given.
#[derive(Default)]
struct ModelStream {
    now: u64,
    last: u64,
    kept: VecDeque<(u64, u64)>,
    said: BTreeSet<u64>,
}

/// What a node knows of it, and what its subscribers do.
struct ModelNode {
    chain: Option<SubjectChain>,
    room: ChainRoom,
    coming: VecDeque<ChainWord>,
    is_cut: bool,
    /// Behind which number a page is awaited.
    fetch: Option<u64>,
    heard_until: u64,
    /// Up to where it knows all since the last hole; none right behind a hole.
    known: Option<u64>,
    sent: BTreeSet<u64>,
}

impl ModelNode {
    fn new() -> Self {
        ModelNode {
            chain: None,
            room: ChainRoom::new(4, usize::MAX),
            coming: VecDeque::new(),
            is_cut: false,
            fetch: None,
            heard_until: 0,
            known: None,
            sent: BTreeSet::new(),
        }
    }

    fn times(&self) -> ChainTimes {
        ChainTimes { last_known_for: LAST_KNOWN_FOR, heard_until: self.heard_until, latest: u64::MAX }
    }

    /// Has the chain do something, and checks what comes of it.
    fn with(
        &mut self,
        stream: &ModelStream,
        deed: impl FnOnce(&mut Chain, &ChainTimes, &mut ChainRoom, &mut Vec<ChainStep>),
    ) {
        let times = self.times();
        let Some(of) = &mut self.chain else { return };
        let steps = of.does(|chain, steps| deed(chain, &times, &mut self.room, steps));
        let has_steps = !steps.is_empty();
        for step in steps {
            let known = self.chain.as_ref().and_then(SubjectChain::known_until);
            assert_eq!(known, None, "something is still to be done: {step:?}");
            match step {
                ChainStep::Deliver(word) => {
                    assert!(self.sent.insert(word.number), "{} is sent twice", word.number);
                    self.reach(stream, word.number, true);
                }
                ChainStep::Fill { words, reached, .. } => {
                    words.iter().for_each(|word| self.reach(stream, word.number, true));
                    self.reach(stream, reached, false);
                }
                ChainStep::Hole(_) => self.known = None,
                ChainStep::Fetch { behind } => self.fetch = Some(behind),
                ChainStep::Settle => {}
            }
        }
        let Some(of) = &mut self.chain else { return };
        of.is_handing_on &= !has_steps;
        if let (Some(reached), Some(known)) = (of.known_until(), self.known) {
            let missed: Vec<_> = stream.said.range((Excluded(known), Included(reached.max(known)))).collect();
            assert!(missed.is_empty(), "{missed:?} count as handed on");
        }
    }

    /// Everything up to a number is known, it says: with it, or nothing is there.
    fn reach(&mut self, stream: &ModelStream, number: u64, is_it_known: bool) {
        if let Some(known) = self.known {
            assert!(number >= known, "{number} comes behind {known}");
            let missed: Vec<_> = stream.said.range(known + 1..number + u64::from(!is_it_known)).collect();
            assert!(number == known || missed.is_empty(), "{missed:?} are missing before {number}");
        }
        self.known = Some(number);
    }
}

struct StreamWorld {
    stream: ModelStream,
    nodes: Vec<ModelNode>,
}

impl StreamWorld {
    fn happen(&mut self, deed: StreamDeed) {
        let StreamWorld { stream, nodes } = self;
        stream.now += 10;
        match deed {
            StreamDeed::Say => {
                let (number, previous) = (stream.now, stream.last);
                stream.last = number;
                stream.said.insert(number);
                stream.kept.push_back((number, previous));
                if stream.kept.len() > KEPT {
                    stream.kept.pop_front();
                }
                for node in nodes.iter_mut().filter(|node| !node.is_cut && node.chain.is_some()) {
                    node.coming.push_back(word(number, previous));
                }
            }
            StreamDeed::Arrive(at) => {
                if let Some(word) = nodes[at].coming.pop_front() {
                    nodes[at]
                        .with(stream, |chain, times, room, steps| _ = chain.hear(word, times, room, steps));
                }
            }
            StreamDeed::Double(at) => {
                if let Some(word) = nodes[at].coming.front().cloned() {
                    nodes[at].coming.push_front(word);
                }
            }
            StreamDeed::Lose(at) => {
                if nodes[at].coming.pop_front().is_some() {
                    nodes[at].with(stream, |chain, _, _, steps| chain.look_again(steps));
                }
            }
            StreamDeed::Cut(at) => {
                nodes[at].is_cut = true;
                nodes[at].coming.clear();
            }
            StreamDeed::Heal(at) => {
                if std::mem::take(&mut nodes[at].is_cut) {
                    nodes[at].with(stream, |chain, _, _, steps| chain.look_again(steps));
                }
            }
            StreamDeed::Page(at, most) => self.page(at, most),
            StreamDeed::Fail(at, failure) => {
                if nodes[at].fetch.take().is_some() {
                    nodes[at].with(stream, |chain, _, room, steps| chain.fail(failure, room, steps));
                }
            }
            StreamDeed::Resume(at) => {
                nodes[at].with(stream, |chain, _, _, steps| chain.resume(steps));
            }
            StreamDeed::BeQuiet => {
                stream.now += LAST_KNOWN_FOR + 10;
                (stream.last, stream.kept) = (0, VecDeque::new());
                let has_heard_all = |node: &&mut ModelNode| {
                    let is_stopped = node.chain.as_ref().is_some_and(|of| of.chain.is_stopped());
                    !node.is_cut && node.coming.is_empty() && node.fetch.is_none() && !is_stopped
                };
                for node in nodes.iter_mut().filter(has_heard_all) {
                    node.heard_until = stream.now - 5;
                }
            }
            StreamDeed::Change => {
                (stream.last, stream.kept) = (0, VecDeque::new());
                // Places in the one before say nothing of this one.
                stream.said.clear();
                for node in nodes.iter_mut() {
                    node.coming.clear();
                    // What is on its way was asked of the one before.
                    node.fetch = None;
                    node.heard_until = 0;
                    node.known = None;
                    node.with(stream, |chain, _, room, steps| chain.change_engine(room, steps));
                }
            }
            StreamDeed::Claim(at) => {
                let node = &mut nodes[at];
                if node.chain.is_none() && !node.is_cut {
                    node.chain = Some(SubjectChain::new(Chain::new(), 1));
                    let reached = node.known;
                    node.with(stream, |chain, _, _, steps| chain.begin(reached, steps));
                }
            }
            StreamDeed::BeLate(at) => {
                nodes[at].with(stream, |chain, _, room, steps| chain.be_late(room, steps));
            }
            StreamDeed::Release(at) => {
                let node = &mut nodes[at];
                if let Some(of) = node.chain.take() {
                    of.chain.end(&mut node.room);
                    node.coming.clear();
                    node.fetch = None;
                    assert_eq!((node.room.words, node.room.bytes), (0, 0));
                }
            }
        }
    }

    fn page(&mut self, at: usize, most: usize) {
        let StreamWorld { stream, nodes } = self;
        let Some(behind) = nodes[at].fetch.filter(|_| !nodes[at].is_cut) else { return };
        nodes[at].fetch = None;
        let kept: Vec<_> = stream.kept.iter().filter(|(number, _)| *number > behind).collect();
        let has_more = kept.len() > most;
        let words = kept.into_iter().take(most).map(|(number, previous)| word(*number, *previous)).collect();
        let last = Some(stream.last).filter(|last| *last > 0);
        let page = ChainPage { words, last, now: stream.now, has_more };
        nodes[at].with(stream, |chain, times, room, steps| chain.take_page(page, times, room, steps));
    }

    /// Everything is there again, and all that is under way comes to its end.
    fn settle(&mut self) {
        for at in 0..NODES {
            self.happen(StreamDeed::Heal(at));
            for _ in 0..200 {
                for deed in [StreamDeed::Resume(at), StreamDeed::Page(at, 3), StreamDeed::Arrive(at)] {
                    self.happen(deed);
                }
            }
            let node = &self.nodes[at];
            assert!(node.fetch.is_none() && node.coming.is_empty(), "it comes to an end");
            assert_eq!((node.room.words, node.room.bytes), (0, 0));
            let Some(known) = node.chain.as_ref().and(node.known) else { continue };
            let missed: Vec<_> = self.stream.said.range(known + 1..).collect();
            assert!(missed.is_empty(), "{missed:?} never came");
        }
    }
}

proptest! {
    // A failure prints the shortest history that fails; nothing is written beside the sources.
    #![proptest_config(Config { cases: 500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_was_sent_and_the_holes_that_were_told_contradict_nothing(deeds in prop::collection::vec(deed(), 1..200)) {
        let nodes = (0..NODES).map(|_| ModelNode::new()).collect();
        let mut world = StreamWorld { stream: ModelStream { now: 100_000, ..ModelStream::default() }, nodes };
        for deed in deeds {
            world.happen(deed);
        }
        world.settle();
    }
}
