//! Connections that have ended, where what they leave behind takes more than this turn: because one of them had very many
//! subscriptions, or because very many of them end at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;

use crate::connection::Cleanup;
use crate::protocol::ChannelName;

use super::{AtWork, Client};

/// What is ended per turn: subscriptions, and connections. About a millisecond's worth.
pub(super) const ENDS_PER_TURN: usize = 256;

/// One of them.
pub(super) struct Leaving {
    pub(super) client: Rc<Client>,
    /// Those that have not been ended.
    subscriptions: vec::IntoIter<ChannelName>,
    /// Everything else.
    pub(super) rest: Cleanup,
    /// Shutdown waits until it is done.
    _at_work: Option<AtWork>,
}

/// Those of one worker, the first of which is being seen to.
#[derive(Default)]
pub(super) struct Queue {
    leaving: RefCell<VecDeque<Leaving>>,
    /// What may still be ended in this turn.
    room: Cell<usize>,
    /// There will be no more turns: nobody may be queued.
    closed: Cell<bool>,
}

impl Queue {
    /// Queues a connection if it leaves too much behind for this turn, or others queue; else gives the cleanup back.
    pub(super) fn put(
        &self,
        client: &Rc<Client>,
        mut cleanup: Cleanup,
        at_work: Option<&AtWork>,
    ) -> Result<(), Cleanup> {
        let left = self.room.get().checked_sub(1 + cleanup.subscriptions.len());
        let left = left.filter(|_| self.is_empty());
        if self.closed.get() || left.is_some() {
            self.room.set(left.unwrap_or(0));
            return Err(cleanup);
        }
        let subscriptions = std::mem::take(&mut cleanup.subscriptions).into_iter();
        self.leaving.borrow_mut().push_back(Leaving {
            client: Rc::clone(client),
            subscriptions,
            rest: cleanup,
            _at_work: at_work.cloned(),
        });
        Ok(())
    }

    /// Another turn begins.
    pub(super) fn renew(&self) {
        self.room.set(ENDS_PER_TURN);
    }

    /// Whether nobody is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.leaving.borrow().is_empty()
    }

    /// Ends subscriptions of the first by `leave`, as far as this turn allows. Gives it back when it has none left.
    pub(super) fn step(&self, leave: impl Fn(&Client, &ChannelName)) -> Option<Leaving> {
        let mut queue = self.leaving.borrow_mut();
        let Leaving { client, subscriptions, .. } = queue.front_mut()?;
        let room = self.room.get();
        if room == 0 {
            return None;
        }
        let ended = subscriptions.len().min(room - 1);
        subscriptions.by_ref().take(ended).for_each(|channel| leave(client, &channel));
        self.room.set(room - 1 - ended);
        if subscriptions.len() > 0 { None } else { queue.pop_front() }
    }

    /// From now on nobody is queued.
    pub(super) fn close(&self) {
        self.closed.set(true);
    }
}
