//! Events that wait for the changes of members that precede them. Those of one channel wait in the order in which the engine
//! gave them, whoever has said them: what one who waits for each answer sends through several nodes stays in its order. Pure.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::channel::NodeId;
use crate::hub::{HandedEvents, LiveEvent};

use super::adapter::Subject;
use super::awaited::NumberedAs;
use super::config::ClusterConfig;
use super::envelope::EventMessage;

/// An event that waits.
#[derive(Debug)]
pub(super) struct ParkedEvent {
    pub(super) from: NodeId,
    pub(super) subject: Subject,
    pub(super) word: ParkedWord,
    /// The number of the fact of its node that it waits for; 0 if it waits for others alone.
    pub(super) state: u64,
    /// The number that the engine gave it.
    pub(super) numbered: Option<NumberedAs>,
    /// Until when it waits at most.
    pub(super) until: Instant,
}

/// How it was said.
#[derive(Debug)]
pub(super) enum ParkedWord {
    /// To all nodes.
    Event(EventMessage),
    /// By the process before to the one that succeeds it, as something that its channel keeps.
    Kept(HandedEvents, Option<LiveEvent>),
}

/// Those of all channels.
#[derive(Debug, Default)]
pub(super) struct ParkedEvents {
    /// No queue is empty.
    channels: HashMap<Subject, VecDeque<ParkedEvent>>,
    backlog: ParkedBacklog,
    /// When the first of them has waited for long enough, or sooner.
    next: Option<Instant>,
    /// Something has come true since they were looked at that some may have waited for.
    pub(super) is_stale: bool,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ParkedBacklog {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl ParkedEvents {
    /// Whether an event of the channel waits. What comes behind it waits, too.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        !self.channels.is_empty() && self.channels.contains_key(subject)
    }

    /// Has an event wait. If too many do, returns those of its channel that have to go first, perhaps with this one.
    pub(super) fn park(&mut self, event: ParkedEvent, config: &ClusterConfig) -> Vec<ParkedEvent> {
        self.backlog.add(&event);
        self.next.get_or_insert(event.until);
        let subject = event.subject.clone();
        let queue = self.channels.entry(subject.clone()).or_default();
        queue.push_back(event);
        let mut early = Vec::new();
        while self.backlog.events > config.waiting_events || self.backlog.bytes > config.waiting_bytes {
            let Some(first) = queue.pop_front() else { break };
            self.backlog.remove(&first);
            early.push(first);
        }
        if queue.is_empty() {
            self.channels.remove(&subject);
        }
        // Those behind them may have waited for nothing else.
        self.is_stale |= !early.is_empty();
        early
    }

    /// Takes out those of a channel: they wait no longer.
    pub(super) fn take_of(&mut self, subject: &Subject) -> Vec<ParkedEvent> {
        let Some(queue) = self.channels.remove(subject) else { return Vec::new() };
        queue.iter().for_each(|event| self.backlog.remove(event));
        queue.into()
    }

    /// Takes out those that need not wait any more, each with whether what it waited for is true. `told` says up to which fact
    /// of a node all is; none if the node has gone.
    pub(super) fn take(
        &mut self,
        now: Instant,
        told: impl Fn(NodeId) -> Option<u64>,
    ) -> Vec<(ParkedEvent, bool)> {
        if !self.is_stale && self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        self.is_stale = false;
        let (mut ready, mut next, backlog) = (Vec::new(), None::<Instant>, &mut self.backlog);
        self.channels.retain(|_, queue| {
            while let Some(first) = queue.front() {
                let told = told(first.from);
                let is_true = first.state <= told.unwrap_or(0);
                if !is_true && told.is_some() && first.until > now {
                    next = Some(next.map_or(first.until, |next| next.min(first.until)));
                    break;
                }
                if let Some(first) = queue.pop_front() {
                    backlog.remove(&first);
                    ready.push((first, is_true));
                }
            }
            !queue.is_empty()
        });
        self.next = next;
        ready
    }

    /// When they are to be looked at again, if nothing comes true before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// How much waits.
    pub(super) fn backlog(&self) -> ParkedBacklog {
        self.backlog
    }
}

impl ParkedWord {
    fn bytes(&self) -> usize {
        match self {
            ParkedWord::Event(event) => event.frame.websocket().len(),
            ParkedWord::Kept(events, _) => events.bytes(),
        }
    }
}

impl ParkedBacklog {
    fn add(&mut self, event: &ParkedEvent) {
        self.events += 1;
        self.bytes += event.word.bytes();
    }

    fn remove(&mut self, event: &ParkedEvent) {
        self.events -= 1;
        self.bytes -= event.word.bytes();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{ChannelName, Frame};

    const WAIT: Duration = Duration::from_secs(1);

    fn subject(name: &str) -> Subject {
        Subject::Channel { app: "1".into(), channel: ChannelName::parse(name, 164).unwrap() }
    }

    /// An event that its node has said after so many facts.
    fn event(from: u128, channel: &str, number: u64, state: u64, now: Instant) -> ParkedEvent {
        let frame = Frame::ping();
        let event = EventMessage {
            epoch: 1,
            number,
            state,
            except: None,
            latest: None,
            frame,
            restored: None,
            is_remembered: false,
            is_of_track: false,
        };
        let (from, subject, word) = (NodeId::new(from), subject(channel), ParkedWord::Event(event));
        ParkedEvent { from, subject, word, state, numbered: None, until: now + WAIT }
    }

    fn number_of(parked: &ParkedEvent) -> u64 {
        match &parked.word {
            ParkedWord::Event(event) => event.number,
            ParkedWord::Kept(..) => unreachable!(),
        }
    }

    fn park(parked: &mut ParkedEvents, event: ParkedEvent) {
        assert!(parked.park(event, &ClusterConfig::default()).is_empty());
    }

    fn taken(parked: &mut ParkedEvents, now: Instant, told: [Option<u64>; 2]) -> Vec<(u64, bool)> {
        parked.is_stale = true;
        let ready = parked.take(now, |node| told[usize::from(node == NodeId::new(2))]);
        let mut ready: Vec<_> = ready.iter().map(|(one, is_true)| (number_of(one), *is_true)).collect();
        // Those of one channel have rising numbers here.
        ready.sort_by_key(|(number, _)| number / 10);
        ready
    }

    #[test]
    fn within_a_channel_nobody_overtakes_whoever_has_said_it() {
        let now = Instant::now();
        let mut parked = ParkedEvents::default();
        park(&mut parked, event(1, "presence-a", 10, 5, now));
        park(&mut parked, event(2, "presence-a", 11, 0, now));
        park(&mut parked, event(1, "presence-a", 12, 6, now));
        park(&mut parked, event(2, "presence-b", 20, 3, now));
        assert!(parked.has(&subject("presence-a")) && !parked.has(&subject("presence-c")));
        assert_eq!(taken(&mut parked, now, [Some(4), Some(3)]), [(20, true)]);
        let all_true = |_| Some(9);
        assert!(parked.take(now, all_true).is_empty(), "nothing has come true, as far as it was told");
        assert_eq!(taken(&mut parked, now, [Some(5), Some(3)]), [(10, true), (11, true)]);
        assert_eq!(parked.next_deadline(), Some(now + WAIT));
        assert_eq!(taken(&mut parked, now + WAIT, [Some(5), Some(3)]), [(12, false)]);
        assert!(!parked.has(&subject("presence-a")) && parked.next_deadline().is_none());
        assert_eq!(parked.backlog(), ParkedBacklog::default());
    }

    #[test]
    fn nothing_waits_for_a_node_that_has_gone() {
        let now = Instant::now();
        let mut parked = ParkedEvents::default();
        park(&mut parked, event(1, "presence-a", 10, 5, now));
        park(&mut parked, event(2, "presence-a", 11, 7, now));
        assert_eq!(taken(&mut parked, now, [None, Some(7)]), [(10, false), (11, true)]);
    }

    #[test]
    fn of_too_many_the_first_of_the_channel_go_early_and_in_order() {
        let now = Instant::now();
        let mut parked = ParkedEvents::default();
        let config = ClusterConfig { waiting_events: 2, ..ClusterConfig::default() };
        let numbers = |early: Vec<ParkedEvent>| early.iter().map(number_of).collect::<Vec<_>>();
        let mut one_more =
            |channel: &str, number| numbers(parked.park(event(1, channel, number, 5, now), &config));
        assert_eq!([one_more("presence-a", 10), one_more("presence-a", 11)].concat(), [0; 0]);
        assert_eq!(one_more("presence-a", 12), [10]);
        assert_eq!(one_more("presence-b", 20), [20], "those of others are not touched");
        assert_eq!(parked.backlog().events, 2);
        assert_eq!(numbers(parked.take_of(&subject("presence-a"))), [11, 12]);
        assert_eq!(parked.backlog(), ParkedBacklog::default());
    }
}
