//! Runs a connection as one task from its acceptance to its end: while it speaks HTTP, and after an upgrade.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::error::DispatchError;

use crate::net::slots::ConnectionSlot;

/// What a connection does from its upgrade on, until it ends.
type UpgradeFuture = Pin<Box<dyn Future<Output = ()>>>;

/// The place where an upgrade puts the future that the connection goes on with.
#[derive(Clone, Default)]
pub(crate) struct UpgradeTask(Rc<RefCell<Option<UpgradeFuture>>>);

impl UpgradeTask {
    /// Goes on like this once the HTTP server has done with the connection.
    pub(crate) fn set(&self, rest: impl Future<Output = ()> + 'static) {
        *self.0.borrow_mut() = Some(Box::pin(rest));
    }
}

impl std::fmt::Debug for UpgradeTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UpgradeTask").field(&self.0.borrow().is_some()).finish()
    }
}

/// The task of a connection from its acceptance to its end. Its slot is held until then. What HTTP needed is gone once
/// it is something else, for that is most of what an idle connection would cost.
pub(super) struct ConnectionTask<H> {
    now: TaskState<H>,
    _slot: ConnectionSlot,
}

/// What the task is doing.
enum TaskState<H> {
    Http(Pin<Box<H>>, UpgradeTask),
    Upgraded(UpgradeFuture),
}

impl<H> ConnectionTask<H> {
    /// Of a connection that the HTTP server has.
    pub(super) fn http(http: H, upgrade_task: UpgradeTask, slot: ConnectionSlot) -> Self {
        ConnectionTask { now: TaskState::Http(Box::pin(http), upgrade_task), _slot: slot }
    }

    /// Of one that never comes to it.
    pub(super) fn other(rest: impl Future<Output = ()> + 'static, slot: ConnectionSlot) -> Self {
        ConnectionTask { now: TaskState::Upgraded(Box::pin(rest)), _slot: slot }
    }
}

impl<H: Future<Output = Result<(), DispatchError>>> Future for ConnectionTask<H> {
    type Output = Result<(), DispatchError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.now {
                TaskState::Http(http, upgrade_task) => {
                    let outcome = ready!(http.as_mut().poll(context));
                    let Some(rest) = upgrade_task.0.take() else { return Poll::Ready(outcome) };
                    this.now = TaskState::Upgraded(rest);
                }
                TaskState::Upgraded(rest) => return rest.as_mut().poll(context).map(Ok),
            }
        }
    }
}
