//! The whole life of a connection, as the accepting side counts it: while it speaks HTTP, and what it becomes by an upgrade.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::error::DispatchError;

use crate::net::room::Counted;

/// What is left of a connection's life once the HTTP server has done with it.
type Rest = Pin<Box<dyn Future<Output = ()>>>;

/// Where an upgrade puts what the connection is to be from then on.
#[derive(Clone, Default)]
pub struct Afterwards(Rc<RefCell<Option<Rest>>>);

impl Afterwards {
    /// Goes on like this once the HTTP server has done with the connection.
    pub fn set(&self, rest: impl Future<Output = ()> + 'static) {
        *self.0.borrow_mut() = Some(Box::pin(rest));
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Afterwards").field(&self.0.borrow().is_some()).finish()
    }
}

/// A connection from its acceptance to its end: one task, which counts until it ends. What HTTP needed is gone once it is
/// something else, for that is most of what an idle connection would cost.
pub(super) struct Life<H> {
    now: Now<H>,
    _counted: Counted,
}

enum Now<H> {
    Http(Pin<Box<H>>, Afterwards),
    Upgraded(Rest),
}

impl<H> Life<H> {
    /// Of a connection that the HTTP server has.
    pub(super) fn http(http: H, afterwards: Afterwards, counted: Counted) -> Self {
        Life { now: Now::Http(Box::pin(http), afterwards), _counted: counted }
    }

    /// Of one that never comes to it.
    pub(super) fn other(rest: impl Future<Output = ()> + 'static, counted: Counted) -> Self {
        Life { now: Now::Upgraded(Box::pin(rest)), _counted: counted }
    }
}

impl<H: Future<Output = Result<(), DispatchError>>> Future for Life<H> {
    type Output = Result<(), DispatchError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.now {
                Now::Http(http, afterwards) => {
                    let outcome = ready!(http.as_mut().poll(context));
                    let Some(rest) = afterwards.0.take() else { return Poll::Ready(outcome) };
                    this.now = Now::Upgraded(rest);
                }
                Now::Upgraded(rest) => return rest.as_mut().poll(context).map(Ok),
            }
        }
    }
}
