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
    untold: Vec<u64>,
    /// Of which it is, by the words that do.
    told: VecDeque<Vec<u64>>,
}

/// Those of one channel that one word is about.
#[derive(Debug)]
pub(super) struct LostFrames {
    frames: HashMap<u64, usize>,
    pub(super) count: usize,
    hasher: RandomState,
}

impl LostHere {
    /// None.
    pub(super) fn new() -> Self {
        LostHere { of: RecentMap::new(MOST_SUBJECTS), hasher: RandomState::new() }
    }

    /// An event is lost.
    pub(super) fn lose(&mut self, subject: &Subject, frame: &Frame) {
        let hash = self.hasher.hash_one(frame.websocket());
        self.of.with(subject, LostOfSubject::default, |of| {
            if of.untold.len() < MOST_LOST {
                of.untold.push(hash);
            }
        });
    }

    /// That those of a subject are lost is said now.
    pub(super) fn tell(&mut self, subject: &Subject) {
        if self.of.has(subject) {
            self.of.with(subject, LostOfSubject::default, |of| {
                if !of.untold.is_empty() && of.told.len() < MOST_ON_THEIR_WAY {
                    of.told.push_back(std::mem::take(&mut of.untold));
                }
            });
        }
    }

    /// The word has come that some of a subject are lost: which ones. Where one does not come, the next one says more.
    pub(super) fn came(&mut self, subject: &Subject) -> Option<LostFrames> {
        if !self.of.has(subject) {
            return None;
        }
        let lost = self.of.with(subject, LostOfSubject::default, |of| of.told.pop_front())?;
        let mut frames = HashMap::new();
        lost.iter().for_each(|hash| *frames.entry(*hash).or_insert(0) += 1);
        Some(LostFrames { frames, count: lost.len(), hasher: self.hasher.clone() })
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

    fn frame(text: &str) -> Frame {
        let channel = ChannelName::parse("c", 164).unwrap();
        server_message::channel_event("e", &Data::of_text(text), &channel, None)
    }

    #[test]
    fn a_word_is_about_what_was_lost_before_it_was_said() {
        let mut lost = LostHere::new();
        lost.tell(&Subject::State);
        assert!(lost.came(&Subject::State).is_none());
        for text in ["a", "b", "a"] {
            lost.lose(&Subject::State, &frame(text));
        }
        assert!(lost.came(&Subject::State).is_none(), "nobody has said so");
        lost.tell(&Subject::State);
        lost.lose(&Subject::State, &frame("c"));
        let mut first = lost.came(&Subject::State).unwrap();
        assert_eq!(first.count, 3);
        let found = ["c", "a", "a", "a", "b"].map(|text| first.find(&frame(text)));
        assert_eq!(found, [false, true, true, false, true]);
        assert!(lost.came(&Subject::State).is_none());
        // It is said twice, and comes once.
        lost.tell(&Subject::State);
        lost.tell(&Subject::State);
        assert_eq!(lost.came(&Subject::State).unwrap().count, 1);
        assert!(lost.came(&Subject::State).is_none());
    }

    #[test]
    fn of_many_some_are_known() {
        let mut lost = LostHere::new();
        for n in 0..2 * MOST_LOST * MOST_ON_THEIR_WAY {
            lost.lose(&Subject::State, &frame("a"));
            if n % MOST_LOST == 0 {
                lost.tell(&Subject::State);
            }
        }
        let told = std::iter::from_fn(|| lost.came(&Subject::State)).map(|told| told.count);
        assert!(told.sum::<usize>() <= MOST_LOST * MOST_ON_THEIR_WAY);
    }
}
