//! The connections that have something to be written, and writing to them at the end of a turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::hub::Client;

use super::Worker;

/// Connections written per turn before others get their turn: about half a millisecond's worth.
const FLUSHES_PER_TURN: usize = 128;

/// Of them, those that are left to large broadcasts, however much else there is to write.
const BULK_FLUSHES_PER_TURN: usize = 32;

/// The connections that have something to be written at the end of the turn.
#[derive(Default)]
pub(super) struct Dirty {
    /// Those that are written first: answers, and broadcasts to few.
    pub(super) prompt: RefCell<VecDeque<Rc<Client>>>,
    /// Those of broadcasts to so many that nobody else should wait for all of them.
    pub(super) bulk: RefCell<VecDeque<Rc<Client>>>,
}

impl Dirty {
    pub(super) fn len(&self) -> usize {
        self.prompt.borrow().len() + self.bulk.borrow().len()
    }

    /// The lists are kept between broadcasts, but not at the size of connections that are long gone.
    pub(super) fn shrink(&self, clients: usize) {
        for list in [&self.prompt, &self.bulk] {
            let mut list = list.borrow_mut();
            if list.capacity() > 2 * clients.max(FLUSHES_PER_TURN) {
                list.shrink_to(clients);
            }
        }
    }
}

impl Worker {
    /// Writes to the connections that have something queued, as far as one turn allows. Returns whether that was all.
    pub(super) fn flush(&self) -> bool {
        let mut room = FLUSHES_PER_TURN;
        for (list, least_left) in [(&self.dirty.prompt, BULK_FLUSHES_PER_TURN), (&self.dirty.bulk, 0)] {
            while room > least_left {
                let Some(client) = list.borrow_mut().pop_front() else { break };
                client.flush();
                room -= 1;
            }
        }
        self.dirty.len() == 0
    }
}
