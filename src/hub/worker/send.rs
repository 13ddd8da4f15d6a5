//! One frame for one connection: queued in the form that the connection takes, to be written at the end of the turn.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::hub::{AppIndex, Client};
use crate::protocol::{Form, Frame, SocketId};

use super::Worker;

impl Worker {
    /// Queues a frame for one connection.
    pub fn send(&self, client: &Rc<Client>, frame: Frame) {
        self.queue_in_form(client, &frame, &self.dirty.prompt);
    }

    /// Queues a frame for a connection of this worker; `false` if it has no such one.
    pub(in crate::hub) fn send_to(&self, app: AppIndex, socket: SocketId, frame: &Frame) -> bool {
        let client = self.clients.borrow().get(&(app, socket)).cloned();
        if let Some(client) = &client {
            self.queue_in_form(client, frame, &self.dirty.prompt);
        }
        client.is_some()
    }

    /// Queues a frame for one connection, in its form, and counts it.
    pub(super) fn queue_in_form(
        &self,
        client: &Rc<Client>,
        frame: &Frame,
        dirty: &RefCell<VecDeque<Rc<Client>>>,
    ) {
        let frame = match client.form() {
            Form::Quoted => frame.quoted(),
            _ => frame.clone(),
        };
        client.app().cells_of(self.index).messages_sent.add(1);
        self.queue(client, frame, dirty);
    }

    /// Queues a frame that is in the client's form. Whoever calls this counts it.
    pub(super) fn queue(&self, client: &Rc<Client>, frame: Frame, dirty: &RefCell<VecDeque<Rc<Client>>>) {
        if client.enqueue(frame) {
            self.is_dirty(client, dirty);
        }
    }

    /// The connection has something to be written at the end of the turn.
    pub(super) fn is_dirty(&self, client: &Rc<Client>, dirty: &RefCell<VecDeque<Rc<Client>>>) {
        dirty.borrow_mut().push_back(Rc::clone(client));
        self.wake();
    }
}
