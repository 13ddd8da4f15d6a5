//! Events of other nodes that came without a place in the stream that their channel has: their nodes have other settings, or older
//! ones. Whoever was not here has missed them, so the stream is to say that some are lost. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::channel::NodeId;

use super::adapter::Subject;
use super::recent::RecentMap;

/// How soon the stream is to say so: by then a node that could not have its event kept has said so itself.
const SAID_AFTER: Duration = Duration::from_secs(1);

/// It says so of a channel once in this time.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Channels of which that is known at once. Of a further one it is said at once.
const MOST_CHANNELS: usize = 1024;

/// Those of all channels.
#[derive(Debug)]
pub(super) struct PlainEvents {
    /// Of which it is to be said.
    unsaid: HashMap<Subject, Unsaid>,
    /// When it was last to be.
    last: RecentMap<Subject, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Unsaid {
    from: NodeId,
    is_only_one: bool,
    due: Instant,
}

impl PlainEvents {
    /// None.
    pub(super) fn new() -> Self {
        PlainEvents { unsaid: HashMap::new(), last: RecentMap::new(MOST_CHANNELS) }
    }

    /// One has come. Whether the stream is to say so now.
    pub(super) fn came(&mut self, subject: &Subject, from: NodeId, now: Instant) -> bool {
        if let Some(unsaid) = self.unsaid.get_mut(subject) {
            unsaid.is_only_one = false;
            return false;
        }
        if self.unsaid.len() >= MOST_CHANNELS {
            return true;
        }
        let again = self.last.get(subject).map(|last| last + SAID_EVERY);
        let due = again.map_or(now + SAID_AFTER, |again| again.max(now + SAID_AFTER));
        self.unsaid.insert(subject.clone(), Unsaid { from, is_only_one: true, due });
        false
    }

    /// Its node has said that an event of a channel is kept nowhere: the stream will say so, too.
    pub(super) fn is_said_by(&mut self, subject: &Subject, from: NodeId) {
        if self.unsaid.get(subject).is_some_and(|unsaid| unsaid.is_only_one && unsaid.from == from) {
            self.unsaid.remove(subject);
        }
    }

    /// The channels of which it is to be said by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Subject> {
        let due = self.unsaid.extract_if(|_, unsaid| unsaid.due <= now);
        let due: Vec<Subject> = due.map(|(subject, _)| subject).collect();
        due.iter().for_each(|subject| self.last.with(subject, || now, |last| *last = now));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    #[test]
    fn it_is_said_once_in_a_while_and_of_the_last_one_too() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (subject, one, other) = (Subject::State, NodeId::new(1), NodeId::new(2));
        let mut plain = PlainEvents::new();
        assert!(!plain.came(&subject, one, at(0)) && !plain.came(&subject, one, at(0)));
        assert!(plain.take_due(at(0)).is_empty());
        assert_eq!((plain.take_due(at(1)), plain.take_due(at(100))), (vec![subject.clone()], vec![]));
        assert!(!plain.came(&subject, one, at(2)));
        assert!(plain.take_due(at(10)).is_empty());
        assert_eq!(plain.take_due(at(11)), [subject.clone()]);
        // Its node has said so.
        plain.came(&subject, one, at(60));
        plain.is_said_by(&subject, other);
        assert_eq!(plain.take_due(at(61)), [subject.clone()]);
        plain.came(&subject, one, at(90));
        plain.is_said_by(&subject, one);
        assert!(plain.take_due(at(99)).is_empty());
    }

    #[test]
    fn of_too_many_it_is_said_at_once() {
        let now = Instant::now();
        let subject = |n: usize| {
            let channel = ChannelName::parse(&format!("c{n}"), 164).unwrap();
            Subject::Channel { app: "1".into(), channel }
        };
        let mut plain = PlainEvents::new();
        assert!((0..MOST_CHANNELS).all(|n| !plain.came(&subject(n), NodeId::new(1), now)));
        assert!(plain.came(&subject(MOST_CHANNELS), NodeId::new(1), now));
        assert_eq!(plain.take_due(now + SAID_AFTER).len(), MOST_CHANNELS);
    }
}
