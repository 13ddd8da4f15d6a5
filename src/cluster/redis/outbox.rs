//! What waits to be sent to the engine: bounded in words and bytes, in one queue for each of its servers.

use std::collections::VecDeque;

use ::redis::Value;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::names::TAGS;
use crate::cluster::adapter::{EngineError, EngineTicket, OutboxCounts, OutboxFull, answer, for_events};

/// Commands of one batch, and their bytes: small enough that a probe does not wait long behind it.
const BATCH_COMMANDS: usize = 512;
const BATCH_BYTES: usize = 1024 * 1024;

/// A command that waits to be sent, as it is sent. It has one answer.
pub(super) struct EngineCommand {
    pub(super) packed: Vec<u8>,
    pub(super) to: Asker,
}

/// Who is told of the answer.
pub(super) enum Asker {
    /// Whoever said a word of so many bytes, an event or not.
    Said { bytes: usize, is_event: bool, ticket: Option<EngineTicket> },
    /// Whoever wants to know.
    Asked(oneshot::Sender<Result<Value, EngineError>>),
}

/// All queues. While the link is away nothing is in them.
pub(super) struct EngineOutbox {
    queues: Mutex<Queues>,
    max_words: usize,
    max_bytes: usize,
}

struct Queues {
    /// By server; none while the link is away.
    of_servers: Vec<(VecDeque<EngineCommand>, std::sync::Arc<Notify>)>,
    /// The server that each tag is on.
    routes: [u16; TAGS],
    counts: OutboxCounts,
}

impl EngineOutbox {
    pub(super) fn new(max_words: usize, max_bytes: usize) -> Self {
        let queues = Queues { of_servers: Vec::new(), routes: [0; TAGS], counts: OutboxCounts::default() };
        EngineOutbox { queues: Mutex::new(queues), max_words, max_bytes }
    }

    /// Takes commands from now on, for so many servers. What tells that a queue has something is returned for each.
    pub(super) fn open(&self, servers: usize, routes: [u16; TAGS]) -> Vec<std::sync::Arc<Notify>> {
        let mut queues = self.queues.lock();
        queues.routes = routes;
        queues.of_servers = (0..servers).map(|_| Default::default()).collect();
        queues.of_servers.iter().map(|(_, more)| std::sync::Arc::clone(more)).collect()
    }

    /// Takes none until it is opened again: what waited is lost.
    pub(super) fn close(&self) {
        let waiting = std::mem::take(&mut self.queues.lock().of_servers);
        for command in waiting.into_iter().flat_map(|(queue, _)| queue) {
            self.answer(command, Err(EngineError::Away));
        }
    }

    /// Puts a command into the queue of the server that its tag is on.
    pub(super) fn push(&self, tag: usize, command: EngineCommand) -> Result<(), OutboxFull> {
        let mut queues = self.queues.lock();
        let Queues { of_servers, routes, counts } = &mut *queues;
        let route = routes.get(tag).map_or(0, |route| usize::from(*route));
        let Some((queue, more)) = of_servers.get_mut(route) else {
            if matches!(command.to, Asker::Said { .. }) {
                counts.lost += 1;
            }
            drop(queues);
            command.to.tell(Err(EngineError::Away));
            return Ok(());
        };
        let bytes = counts.waiting.1.saturating_add(command.packed.len());
        let (max_words, max_bytes) = match command.to {
            Asker::Said { is_event: true, .. } => (for_events(self.max_words), for_events(self.max_bytes)),
            // Also when events come in a flood: the link would be taken for away, and this node for dead.
            Asker::Said { .. } | Asker::Asked(_) => (self.max_words, self.max_bytes),
        };
        if counts.waiting.0 >= max_words || bytes > max_bytes {
            counts.full += 1;
            return Err(OutboxFull);
        }
        counts.waiting = (counts.waiting.0 + 1, bytes);
        queue.push_back(command);
        more.notify_one();
        Ok(())
    }

    /// There is no room for something, whatever else waits.
    pub(super) fn refuse(&self) -> OutboxFull {
        self.queues.lock().counts.full += 1;
        OutboxFull
    }

    /// What is sent to a server next; nothing if nothing waits.
    pub(super) fn batch(&self, server: usize) -> Vec<EngineCommand> {
        let mut queues = self.queues.lock();
        let Some((queue, _)) = queues.of_servers.get_mut(server) else { return Vec::new() };
        let mut bytes = 0;
        let fits = |command: &&EngineCommand| {
            let first = bytes == 0;
            bytes += command.packed.len();
            first || bytes <= BATCH_BYTES
        };
        let count = queue.iter().take(BATCH_COMMANDS).take_while(fits).count();
        queue.drain(..count).collect()
    }

    /// Tells whoever waits what has become of a command that was in a batch.
    pub(super) fn answer(&self, command: EngineCommand, found: Result<Value, EngineError>) {
        {
            let counts = &mut self.queues.lock().counts;
            counts.waiting.0 = counts.waiting.0.saturating_sub(1);
            counts.waiting.1 = counts.waiting.1.saturating_sub(command.packed.len());
            if let Asker::Said { bytes, .. } = command.to {
                match found {
                    Ok(_) => counts.taken = (counts.taken.0 + 1, counts.taken.1 + bytes as u64),
                    Err(EngineError::Refused(_)) => counts.refused += 1,
                    Err(EngineError::Away) => counts.lost += 1,
                }
            }
        }
        command.to.tell(found);
    }

    pub(super) fn counts(&self) -> OutboxCounts {
        self.queues.lock().counts
    }
}

impl Asker {
    fn tell(self, found: Result<Value, EngineError>) {
        match self {
            Asker::Said { ticket, .. } => answer(ticket, found.map(|_| ())),
            Asker::Asked(asker) => drop(asker.send(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: usize) -> (EngineCommand, oneshot::Receiver<Result<(), EngineError>>) {
        let (ticket, told) = oneshot::channel();
        let to = Asker::Said { bytes, is_event: false, ticket: Some(ticket.into()) };
        (EngineCommand { packed: vec![0; bytes], to }, told)
    }

    #[test]
    fn events_leave_room_for_probes_and_for_what_the_node_says_of_itself() {
        let event = |bytes| {
            let to = Asker::Said { bytes, is_event: true, ticket: None };
            EngineCommand { packed: vec![0; bytes], to }
        };
        let outbox = EngineOutbox::new(16, 8000);
        outbox.open(1, [0; TAGS]);
        assert_eq!((0..20).filter(|_| outbox.push(0, event(1)).is_ok()).count(), 14);
        let probe = EngineCommand { packed: vec![0; 1], to: Asker::Asked(oneshot::channel().0) };
        assert!(outbox.push(0, probe).is_ok() && outbox.push(0, said(1).0).is_ok());
        assert_eq!(outbox.push(0, said(1).0), Err(OutboxFull));
        let outbox = EngineOutbox::new(1000, 8000);
        outbox.open(1, [0; TAGS]);
        assert!(outbox.push(0, event(6900)).is_ok());
        assert_eq!((outbox.push(0, event(200)), outbox.push(0, said(1000).0)), (Err(OutboxFull), Ok(())));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_waits_is_lost_with_the_link() {
        let outbox = EngineOutbox::new(3, 1000);
        let (command, mut told) = said(10);
        outbox.push(0, command).unwrap();
        assert_eq!(told.try_recv().unwrap(), Err(EngineError::Away), "before it is open");
        outbox.open(1, [0; TAGS]);
        let (first, mut told) = said(600);
        outbox.push(5, first).unwrap();
        assert_eq!(outbox.push(5, said(600).0), Err(OutboxFull));
        outbox.push(5, said(1).0).unwrap();
        outbox.push(5, said(1).0).unwrap();
        assert_eq!(outbox.push(5, said(1).0), Err(OutboxFull));
        let mut batch = outbox.batch(0);
        assert_eq!(batch.len(), 3);
        assert_eq!(outbox.counts().waiting, (3, 602), "until it is answered");
        outbox.answer(batch.remove(0), Ok(Value::Int(0)));
        assert_eq!(told.try_recv().unwrap(), Ok(()));
        let (last, mut told) = said(7);
        outbox.push(0, last).unwrap();
        outbox.close();
        assert_eq!(told.try_recv().unwrap(), Err(EngineError::Away));
        batch.into_iter().for_each(|command| outbox.answer(command, Err(EngineError::Away)));
        let (refused, mut told) = said(1);
        let refusal = EngineError::Refused("its memory is full".to_owned());
        outbox.answer(refused, Err(refusal.clone()));
        assert_eq!(told.try_recv().unwrap(), Err(refusal));
        let counts = outbox.counts();
        assert_eq!((counts.waiting, counts.taken, counts.full), ((0, 0), (1, 600), 2));
        assert_eq!((counts.lost, counts.refused), (4, 1), "which is told apart");
    }

    #[test]
    fn a_batch_is_bounded_and_a_large_command_is_one_of_its_own() {
        let outbox = EngineOutbox::new(10_000, usize::MAX);
        outbox.open(1, [0; TAGS]);
        for bytes in [2 * BATCH_BYTES, 1, BATCH_BYTES - 1, 1] {
            outbox.push(0, said(bytes).0).unwrap();
        }
        let sizes = || outbox.batch(0).iter().map(|command| command.packed.len()).collect::<Vec<_>>();
        assert_eq!(sizes(), [2 * BATCH_BYTES]);
        assert_eq!(sizes(), [1, BATCH_BYTES - 1]);
        assert_eq!(sizes(), [1]);
        (0..600).for_each(|_| outbox.push(0, said(1).0).unwrap());
        assert_eq!((sizes().len(), sizes().len(), sizes().len()), (512, 88, 0));
    }
}
