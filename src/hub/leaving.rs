//! Connections that have ended, and what is left of them: subscriptions, what others are to be told, and at last the socket.
//!
//! One connection may have had very many subscriptions, and very many connections may end in the same moment. A task that
//! learns of the end of its connection then does no more than queue it here: what is to be done about it is done by the
//! worker, in turns, and others' reads and answers come in between. Where there is little to do it is done at once, so that a
//! client that has read the last frame finds its place free.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;

use crate::connection::Cleanup;
use crate::protocol::ChannelName;

use super::{Client, ShutdownGuard};

/// What is ended per turn: subscriptions, and connections. About a millisecond's worth.
pub(super) const ENDS_PER_TURN: usize = 256;

/// What is ended at once between two turns of the worker: subscriptions, connections, and sockets.
pub(super) const ENDS_AT_ONCE: usize = 64;

/// One of them.
pub(super) struct Leaving {
    pub(super) client: Rc<Client>,
    /// Those that have not been ended.
    subscriptions: vec::IntoIter<ChannelName>,
    /// Everything else that it leaves behind; none where only its socket is left.
    pub(super) rest: Option<Cleanup>,
    /// Shutdown waits until it is done.
    _shutdown_guard: Option<ShutdownGuard>,
}

/// Those of one worker, the first of which is being seen to.
#[derive(Default)]
pub(super) struct Queue {
    leaving: RefCell<VecDeque<Leaving>>,
    /// What may still be ended: in this turn, or at once before the next.
    room: Cell<usize>,
    /// There will be no more turns: nobody may be queued.
    closed: Cell<bool>,
}

impl Queue {
    /// Queues a connection that has ended. If it leaves little behind and nobody is queued, or there will be no more turns,
    /// gives the cleanup back: it is to be done at once.
    pub(super) fn put(
        &self,
        client: &Rc<Client>,
        mut cleanup: Cleanup,
        shutdown_guard: Option<&ShutdownGuard>,
    ) -> Result<(), Cleanup> {
        if self.closed.get() || self.is_done_at_once(1 + cleanup.subscriptions.len()) {
            return Err(cleanup);
        }
        let subscriptions = std::mem::take(&mut cleanup.subscriptions);
        self.push(client, subscriptions, Some(cleanup), shutdown_guard);
        Ok(())
    }

    /// Queues a connection of which nothing is left but its socket, unless it may be closed at once: to close it may take
    /// longer than all the rest. Returns whether it was queued.
    pub(super) fn put_socket(&self, client: &Rc<Client>, shutdown_guard: &ShutdownGuard) -> bool {
        let queued = !self.closed.get() && !self.is_done_at_once(1);
        if queued {
            self.push(client, Vec::new(), None, Some(shutdown_guard));
        }
        queued
    }

    /// Whether so much may be ended at once; it is counted then.
    fn is_done_at_once(&self, ends: usize) -> bool {
        match self.room.get().checked_sub(ends) {
            Some(left) if self.is_empty() => {
                self.room.set(left);
                true
            }
            _ => false,
        }
    }

    fn push(
        &self,
        client: &Rc<Client>,
        subscriptions: Vec<ChannelName>,
        rest: Option<Cleanup>,
        shutdown_guard: Option<&ShutdownGuard>,
    ) {
        self.leaving.borrow_mut().push_back(Leaving {
            client: Rc::clone(client),
            subscriptions: subscriptions.into_iter(),
            rest,
            _shutdown_guard: shutdown_guard.cloned(),
        });
    }

    /// From now on so much may be ended: [`ENDS_PER_TURN`] or [`ENDS_AT_ONCE`].
    pub(super) fn renew(&self, room: usize) {
        self.room.set(room);
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
