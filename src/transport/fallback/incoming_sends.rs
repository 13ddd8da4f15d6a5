//! The messages that a session's requests bring: those that wait for their turn, and those whose turn has come but that
//! have not been read.

use std::pin::Pin;
use std::task::Context;
use std::time::Instant;
use std::vec;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::send_order::SendOrder;

/// A send that waits for its turn: messages, in order, and who is told when they have been read.
pub(super) struct PendingSend {
    pub(super) messages: Vec<String>,
    /// What its request has of its own, if it has anything.
    pub(super) mark: Option<u64>,
    pub(super) taken: oneshot::Sender<()>,
}

/// The messages of a send that have not been read, in order.
pub(super) struct UnreadMessages {
    pub(super) messages: vec::IntoIter<String>,
    pub(super) taken: oneshot::Sender<()>,
}

/// The sends of one session.
pub(super) struct IncomingSends {
    /// Those that wait for their turn, and those whose turn has come.
    pub(super) order: SendOrder<PendingSend>,
    /// The rest of a send that was read in part.
    pub(super) unread: Option<UnreadMessages>,
    /// While a send waits for its turn.
    timer: Option<Pin<Box<Sleep>>>,
}

impl IncomingSends {
    /// A request has come that sends nothing.
    pub(super) fn take_number(&mut self, number: Option<u64>) {
        self.order.take_number(number, Instant::now());
    }

    /// A send has come. `taken` is told when all its messages have been read.
    pub(super) fn take_send(
        &mut self,
        (number, mark): (Option<u64>, Option<u64>),
        messages: Vec<String>,
        taken: oneshot::Sender<()>,
    ) {
        let bytes = messages.iter().map(String::len).sum();
        self.order.take_send(number, PendingSend { messages, mark, taken }, bytes, Instant::now());
    }

    /// Whether a send has waited long enough for its turn.
    pub(super) fn poll_due(&mut self, context: &mut Context<'_>) -> bool {
        let Some(due) = self.order.due().map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

impl Default for IncomingSends {
    fn default() -> Self {
        IncomingSends { order: SendOrder::new(), unread: None, timer: None }
    }
}
