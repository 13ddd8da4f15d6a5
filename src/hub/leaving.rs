//! Connections that have ended and left so many subscriptions behind that ending them takes several turns.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;

use crate::connection::Departure;
use crate::protocol::ChannelName;

use super::{AtWork, Client};

/// Subscriptions that are ended per turn: about half a millisecond's worth. A connection that has no more leaves at once.
pub(super) const LEAVES_PER_TURN: usize = 128;

/// One of them.
pub(super) struct Leaving {
    pub(super) client: Rc<Client>,
    /// Those that have not been ended.
    subscriptions: vec::IntoIter<ChannelName>,
    /// Everything else.
    pub(super) rest: Departure,
    /// Shutdown waits until it is done.
    _at_work: Option<AtWork>,
}

/// Those of one worker, the first of which is being seen to.
#[derive(Default)]
pub(super) struct Queue {
    leaving: RefCell<VecDeque<Leaving>>,
    /// There will be no more turns: nobody may be queued.
    closed: Cell<bool>,
}

impl Queue {
    /// Queues a connection if it leaves too much behind for one turn; else gives the departure back.
    pub(super) fn put(
        &self,
        client: &Rc<Client>,
        mut departure: Departure,
        at_work: Option<&AtWork>,
    ) -> Result<(), Departure> {
        if departure.subscriptions.len() <= LEAVES_PER_TURN || self.closed.get() {
            return Err(departure);
        }
        let subscriptions = std::mem::take(&mut departure.subscriptions).into_iter();
        self.leaving.borrow_mut().push_back(Leaving {
            client: Rc::clone(client),
            subscriptions,
            rest: departure,
            _at_work: at_work.cloned(),
        });
        Ok(())
    }

    /// Whether nobody is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.leaving.borrow().is_empty()
    }

    /// Ends subscriptions of the first, at most so many, by `leave`. Gives it back when it has none left.
    pub(super) fn step(&self, most: usize, leave: impl Fn(&Client, &ChannelName)) -> Option<Leaving> {
        let mut queue = self.leaving.borrow_mut();
        let first = queue.front_mut()?;
        let Leaving { client, subscriptions, .. } = first;
        subscriptions.by_ref().take(most).for_each(|channel| leave(client, &channel));
        if subscriptions.len() > 0 { None } else { queue.pop_front() }
    }

    /// From now on nobody is queued.
    pub(super) fn close(&self) {
        self.closed.set(true);
    }
}
