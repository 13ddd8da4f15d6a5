//! Events of other nodes that came without a place in the stream that their channel has: their nodes have other settings, or older
//! ones. Whoever was not here has missed them, so the stream is to say that some are lost. Pure.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use crate::channel::NodeId;

use super::adapter::Subject;
use super::recent::RecentMap;

/// How soon the stream is to say so: by then a node that could not have its event kept has said so itself.
const SAID_AFTER: Duration = Duration::from_secs(1);

/// So much later at most one of several nodes says so that hear the same. Whoever hears another one say so does not.
const LATER_BY: Duration = Duration::from_secs(3);

/// It says so of a channel once in this time.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Channels of which that is known at once. Of others a part of their hashes is, of so many: all that have it count as such.
const MOST_CHANNELS: usize = 1024;
const MOST_PARTS: u64 = 65_536;

/// Those of all channels.
#[derive(Debug)]
pub(super) struct PlainEvents {
    me: NodeId,
    /// Of which it is to be said.
    unsaid: HashMap<Subject, PlainOfSubject>,
    /// When it was last said.
    last: RecentMap<Subject, Instant>,
    /// Of which there was no room, and when it is to be said of these.
    others: HashSet<u64>,
    others_due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct PlainOfSubject {
    from: NodeId,
    is_only_one: bool,
    due: Instant,
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl PlainEvents {
    /// None, of this node.
    pub(super) fn new(me: NodeId) -> Self {
        let last = RecentMap::new(MOST_CHANNELS);
        PlainEvents { me, unsaid: HashMap::new(), last, others: HashSet::new(), others_due: None }
    }

    /// One has come.
    pub(super) fn came(&mut self, subject: &Subject, from: NodeId, now: Instant) {
        if let Some(unsaid) = self.unsaid.get_mut(subject) {
            unsaid.is_only_one = false;
            return;
        }
        let later = Duration::from_millis(hash_of((self.me, subject)) % LATER_BY.as_millis() as u64);
        if self.unsaid.len() >= MOST_CHANNELS {
            self.others.insert(hash_of(subject) % MOST_PARTS);
            self.others_due.get_or_insert(now + SAID_EVERY + later);
            return;
        }
        let again = self.last.get(subject).map(|last| last + SAID_EVERY);
        let due = again.map_or(now + SAID_AFTER, |again| again.max(now + SAID_AFTER)) + later;
        self.unsaid.insert(subject.clone(), PlainOfSubject { from, is_only_one: true, due });
    }

    /// Its node has said that an event of a channel is kept nowhere: the stream will say so, too.
    pub(super) fn is_said_by(&mut self, subject: &Subject, from: NodeId) {
        if self.unsaid.get(subject).is_some_and(|unsaid| unsaid.is_only_one && unsaid.from == from) {
            self.unsaid.remove(subject);
        }
    }

    /// The stream of a channel says so of all that has come by now.
    pub(super) fn is_said(&mut self, subject: &Subject, now: Instant) {
        if self.unsaid.remove(subject).is_some() {
            self.last.with(subject, || now, |last| *last = now);
        }
    }

    /// The channels of which it is to be said by now. `followed`: all that this node follows.
    pub(super) fn take_due(&mut self, now: Instant, followed: impl FnOnce() -> Vec<Subject>) -> Vec<Subject> {
        let due = self.unsaid.extract_if(|_, unsaid| unsaid.due <= now);
        let mut due: Vec<Subject> = due.map(|(subject, _)| subject).collect();
        if self.others_due.is_some_and(|others_due| others_due <= now) {
            let others = std::mem::take(&mut self.others);
            self.others_due = None;
            let is_one = |subject: &Subject| {
                others.contains(&(hash_of(subject) % MOST_PARTS)) && !self.unsaid.contains_key(subject)
            };
            due.extend(followed().into_iter().filter(is_one));
        }
        due.iter().for_each(|subject| self.last.with(subject, || now, |last| *last = now));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    fn due(plain: &mut PlainEvents, now: Instant) -> Vec<Subject> {
        plain.take_due(now, Vec::new)
    }

    #[test]
    fn it_is_said_once_in_a_while_and_of_the_last_one_too() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (subject, one, other) = (Subject::State, NodeId::new(1), NodeId::new(2));
        let mut plain = PlainEvents::new(NodeId::new(3));
        plain.came(&subject, one, at(0));
        plain.came(&subject, one, at(0));
        assert!(due(&mut plain, at(0)).is_empty());
        assert_eq!((due(&mut plain, at(4)), due(&mut plain, at(100))), (vec![subject.clone()], vec![]));
        plain.came(&subject, one, at(5));
        assert!(due(&mut plain, at(13)).is_empty());
        assert_eq!(due(&mut plain, at(17)), std::slice::from_ref(&subject));
        // Its node has said so.
        plain.came(&subject, one, at(60));
        plain.is_said_by(&subject, other);
        assert_eq!(due(&mut plain, at(64)), std::slice::from_ref(&subject));
        plain.came(&subject, one, at(90));
        plain.is_said_by(&subject, one);
        assert!(due(&mut plain, at(99)).is_empty());
        // Or somebody else.
        plain.came(&subject, one, at(120));
        plain.came(&subject, other, at(120));
        plain.is_said(&subject, at(120));
        assert!(due(&mut plain, at(125)).is_empty());
        plain.came(&subject, one, at(125));
        assert_eq!((due(&mut plain, at(129)), due(&mut plain, at(134))), (vec![], vec![subject]));
    }

    #[test]
    fn of_those_who_hear_the_same_few_say_so_at_once() {
        let start = Instant::now();
        let mut nodes: Vec<_> = (0..20).map(|node| PlainEvents::new(NodeId::new(node))).collect();
        nodes.iter_mut().for_each(|plain| plain.came(&Subject::State, NodeId::new(99), start));
        let mut said = 0;
        for tick in 1.. {
            let now = start + tick * Duration::from_millis(100);
            let due = nodes.iter_mut().filter_map(|plain| due(plain, now).pop()).count();
            said += due;
            if due > 0 {
                nodes.iter_mut().for_each(|plain| plain.is_said(&Subject::State, now));
            }
            if nodes.iter().all(|plain| plain.unsaid.is_empty()) {
                break;
            }
        }
        assert!((1..=5).contains(&said), "{said}");
    }

    #[test]
    fn of_too_many_it_is_said_together() {
        let now = Instant::now();
        let subject = |n: usize| {
            let channel = ChannelName::parse(&format!("c{n}"), 164).unwrap();
            Subject::Channel { app: "1".into(), channel }
        };
        let mut plain = PlainEvents::new(NodeId::new(3));
        (0..MOST_CHANNELS).for_each(|n| plain.came(&subject(n), NodeId::new(1), now));
        (0..100).for_each(|_| plain.came(&subject(MOST_CHANNELS), NodeId::new(1), now));
        assert_eq!(plain.take_due(now + SAID_AFTER + LATER_BY, Vec::new).len(), MOST_CHANNELS);
        let followed = || vec![subject(MOST_CHANNELS)];
        let later = now + SAID_EVERY + LATER_BY;
        assert_eq!(plain.take_due(later, followed), followed());
        assert!(plain.take_due(later + SAID_EVERY, followed).is_empty());
    }
}
