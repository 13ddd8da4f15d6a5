//! Events of this node that the other nodes do not get: what this node keeps of them gets its place when the word comes back that says
//! so. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::protocol::Frame;

use super::adapter::Subject;
use super::recent::RecentMap;

/// Channels of which it is known which events are lost; events of each of which it is; and words that are on their way at once. Of
/// others it is not known: they count as on their way for as long as they are kept.
const MOST_SUBJECTS: usize = 1024;
const MOST_LOST: usize = 1000;
const MOST_ON_THEIR_WAY: usize = 8;

/// Those of all channels.
#[derive(Debug)]
pub(super) struct LostHere {
    of: RecentMap<Subject, LostOfSubject>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct LostOfSubject {
    /// Of which it is not yet said that they are lost.
    untold: LostHashes,
    /// Of which it is, by the words that do.
    told: VecDeque<LostHashes>,
    /// Those of other nodes, which the next word of any node is about.
    heard: LostHashes,
}

/// Some of those of a channel.
#[derive(Debug, Default)]
struct LostHashes {
    hashes: Vec<u64>,
    /// There was no room for all that this node's subscribers were sent, or it is not known which ones they are.
    may_be_more: bool,
    /// There may be some that this node's subscribers were not sent: nobody was here.
    is_missing_here: bool,
}

/// Those of one channel that one word is about.
#[derive(Debug)]
pub(super) struct LostFrames {
    frames: HashMap<u64, usize>,
    pub(super) count: usize,
    pub(super) may_be_more: bool,
    pub(super) is_missing_here: bool,
    hasher: RandomState,
}

impl LostHashes {
    fn unknown() -> Self {
        LostHashes { hashes: Vec::new(), may_be_more: true, is_missing_here: true }
    }

    fn add(&mut self, hash: u64) {
        if self.hashes.len() < MOST_LOST {
            self.hashes.push(hash);
        } else {
            self.may_be_more = true;
        }
    }

    fn append(&mut self, others: LostHashes) {
        self.may_be_more |= others.may_be_more;
        self.is_missing_here |= others.is_missing_here;
        others.hashes.into_iter().for_each(|hash| self.add(hash));
    }

    fn remove(&mut self, hash: u64) -> bool {
        let at = self.hashes.iter().position(|other| *other == hash);
        at.map(|at| self.hashes.swap_remove(at)).is_some()
    }
}

impl LostOfSubject {
    /// Nothing is known of what was lost.
    fn unknown() -> Self {
        LostOfSubject { untold: LostHashes::unknown(), ..LostOfSubject::default() }
    }
}

impl LostHere {
    /// None.
    pub(super) fn new() -> Self {
        LostHere { of: RecentMap::new(MOST_SUBJECTS), hasher: RandomState::new() }
    }

    /// An event of this node is lost, which this node's subscribers were sent, or were not.
    pub(super) fn lose(&mut self, subject: &Subject, frame: &Frame, is_sent_here: bool) {
        let hash = self.hasher.hash_one(frame.websocket());
        self.of.with(subject, LostOfSubject::default, |of| {
            if is_sent_here {
                of.untold.add(hash);
            } else {
                of.untold.is_missing_here = true;
            }
        });
    }

    /// An event of another node has come that no stream has.
    pub(super) fn hear(&mut self, subject: &Subject, frame: &Frame) {
        let hash = self.hasher.hash_one(frame.websocket());
        self.of.with(subject, LostOfSubject::default, |of| of.heard.add(hash));
    }

    /// Any event of a subject may be lost.
    pub(super) fn lose_any(&mut self, subject: &Subject) {
        self.of.with(subject, LostOfSubject::default, |of| of.untold.append(LostHashes::unknown()));
    }

    /// That those of a subject are lost is said now. `is_again`: it was before, and no answer has come.
    pub(super) fn tell(&mut self, subject: &Subject, is_again: bool) {
        self.of.with(subject, LostOfSubject::unknown, |of| {
            let untold = std::mem::take(&mut of.untold);
            let is_full = of.told.len() >= MOST_ON_THEIR_WAY;
            match of.told.back_mut().filter(|_| is_again || is_full) {
                Some(last) => last.append(untold),
                None => of.told.push_back(untold),
            }
        });
    }

    /// An event of this node has come by a number after all.
    pub(super) fn find(&mut self, subject: &Subject, frame: &Frame) {
        let LostHere { of, hasher } = self;
        of.with_known(subject, |of| {
            let hash = hasher.hash_one(frame.websocket());
            let _ = of.told.iter_mut().any(|told| told.remove(hash)) || of.untold.remove(hash);
        });
    }

    /// Words of a subject that were said may not come: whichever does is one of which nothing is known.
    pub(super) fn forget_told(&mut self, subject: &Subject) {
        self.of.with_known(subject, |of| of.told.clear());
    }

    /// The word has come that some of a subject are lost, of this node or of another one: which ones of those that came here.
    pub(super) fn came(&mut self, subject: &Subject, is_own: bool) -> LostFrames {
        let lost = self.of.with_known(subject, |of| {
            let mut lost = std::mem::take(&mut of.heard);
            if is_own {
                lost.append(of.told.pop_front().unwrap_or_else(LostHashes::unknown));
            }
            lost
        });
        let unknown = || if is_own { LostHashes::unknown() } else { LostHashes::default() };
        let LostHashes { hashes, may_be_more, is_missing_here } = lost.unwrap_or_else(unknown);
        let mut frames = HashMap::new();
        hashes.iter().for_each(|hash| *frames.entry(*hash).or_insert(0) += 1);
        let hasher = self.hasher.clone();
        LostFrames { frames, count: hashes.len(), may_be_more, is_missing_here, hasher }
    }
}

impl LostFrames {
    /// Whether this is one of them, which is found by that.
    pub(super) fn find(&mut self, frame: &Frame) -> bool {
        let left = self.frames.get_mut(&self.hasher.hash_one(frame.websocket())).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::{ChannelName, server_message};

    const OF: Subject = Subject::State;

    fn frame(text: &str) -> Frame {
        let channel = ChannelName::parse("c", 164).unwrap();
        server_message::channel_event("e", &Data::of_text(text), &channel, None)
    }

    /// How many there are, whether there may be more, and whether some may be missing here.
    fn figures(lost: &LostFrames) -> (usize, bool, bool) {
        (lost.count, lost.may_be_more, lost.is_missing_here)
    }

    #[test]
    fn a_word_is_about_what_was_lost_before_it_was_said() {
        let mut lost = LostHere::new();
        ["a", "b", "a"].iter().for_each(|text| lost.lose(&OF, &frame(text), true));
        lost.tell(&OF, false);
        lost.lose(&OF, &frame("c"), true);
        lost.lose(&OF, &frame("d"), false);
        let mut first = lost.came(&OF, true);
        assert_eq!(figures(&first), (3, false, false));
        let found = ["c", "a", "a", "a", "b"].map(|text| first.find(&frame(text)));
        assert_eq!(found, [false, true, true, false, true]);
        lost.tell(&OF, false);
        lost.tell(&OF, false);
        assert_eq!(figures(&lost.came(&OF, true)), (1, false, true));
        assert_eq!(figures(&lost.came(&OF, true)), (0, false, false), "nothing was lost between the two");
        // It is said until it is answered.
        lost.lose(&OF, &frame("e"), true);
        lost.tell(&OF, false);
        lost.lose(&OF, &frame("f"), true);
        lost.tell(&OF, true);
        assert_eq!(figures(&lost.came(&OF, true)), (2, false, false));
        // One of them is not.
        lost.lose(&OF, &frame("g"), true);
        lost.tell(&OF, false);
        lost.lose(&OF, &frame("h"), true);
        ["g", "h", "h"].iter().for_each(|text| lost.find(&OF, &frame(text)));
        assert_eq!(figures(&lost.came(&OF, true)), (0, false, false));
    }

    #[test]
    fn of_a_word_that_is_not_known_anything_may_be_lost() {
        let mut lost = LostHere::new();
        assert_eq!(figures(&lost.came(&OF, true)), (0, true, true));
        assert_eq!(figures(&lost.came(&OF, false)), (0, false, false));
        lost.tell(&OF, false);
        assert_eq!(figures(&lost.came(&OF, true)), (0, true, true), "it was forgotten");
        lost.lose(&OF, &frame("a"), true);
        lost.tell(&OF, false);
        lost.forget_told(&OF);
        assert_eq!(figures(&lost.came(&OF, true)), (0, true, true));
        lost.lose_any(&OF);
        lost.tell(&OF, false);
        assert_eq!(figures(&lost.came(&OF, true)), (0, true, true));
    }

    #[test]
    fn what_comes_of_others_without_a_place_is_before_the_next_word_of_anybody() {
        let mut lost = LostHere::new();
        lost.hear(&OF, &frame("a"));
        lost.lose(&OF, &frame("b"), true);
        let mut others = lost.came(&OF, false);
        assert!(others.find(&frame("a")) && !others.find(&frame("b")));
        lost.hear(&OF, &frame("c"));
        lost.tell(&OF, false);
        let mut own = lost.came(&OF, true);
        assert!(own.find(&frame("b")) && own.find(&frame("c")) && !own.find(&frame("a")));
    }

    #[test]
    fn of_many_some_are_known() {
        let mut lost = LostHere::new();
        for n in 0..2 * MOST_LOST * MOST_ON_THEIR_WAY {
            lost.lose(&OF, &frame("a"), true);
            if n % MOST_LOST == 0 {
                lost.tell(&OF, false);
            }
        }
        let told: Vec<_> = (0..MOST_ON_THEIR_WAY).map(|_| lost.came(&OF, true)).collect();
        assert!(told.iter().map(|told| told.count).sum::<usize>() <= MOST_LOST * MOST_ON_THEIR_WAY);
        assert!(told.last().unwrap().may_be_more);
    }
}
