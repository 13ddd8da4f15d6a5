//! The broker stops: nothing new is begun, every connection is closed, and what is under way is waited for.

use std::convert::Infallible;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::protocol::CloseCode;

use super::Hub;
use super::mailbox::WorkerCommand;

/// Held by a connection or request while it lives: shutdown waits for it.
#[derive(Clone, Debug)]
pub struct ShutdownGuard {
    _sender: mpsc::Sender<Infallible>,
}

/// How a stopping broker closes its connections: with which of the two codes that let clients come back.
///
/// Official clients take 4200 literally: they try again at once, and where nobody listens yet most of them then wait for
/// as long as a failed attempt makes them wait, which is 15 s. 4100 makes them wait a second first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// 4200: another broker listens at this address already.
    AtOnce,
    /// 4100: one may in a moment.
    Soon,
}

impl Shutdown {
    pub const fn code(self) -> CloseCode {
        match self {
            Shutdown::AtOnce => CloseCode::Reconnect,
            Shutdown::Soon => CloseCode::OverCapacity,
        }
    }

    /// The reason that goes with it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Shutdown::AtOnce => CloseCode::Reconnect.sentence(),
            Shutdown::Soon => "The broker is stopping, come back soon",
        }
    }
}

/// What shutdown waits for, and whether it has begun.
pub(super) struct Work {
    /// Set when the broker begins to stop.
    shutdown: OnceLock<Shutdown>,
    /// Cloned by everything that shutdown waits for; gone once shutdown has begun.
    shutdown_guard: Mutex<Option<mpsc::Sender<Infallible>>>,
    /// Ends when the last clone is dropped.
    all_done: Mutex<Option<mpsc::Receiver<Infallible>>>,
}

impl Work {
    /// Nothing is under way, and shutdown has not begun.
    pub(super) fn new() -> Self {
        let (shutdown_guard, all_done) = mpsc::channel(1);
        Work {
            shutdown: OnceLock::new(),
            shutdown_guard: Mutex::new(Some(shutdown_guard)),
            all_done: Mutex::new(Some(all_done)),
        }
    }

    fn begin(&self) -> Option<ShutdownGuard> {
        self.shutdown_guard.lock().clone().map(|_sender| ShutdownGuard { _sender })
    }

    fn stop(&self, shutdown: Shutdown) {
        let _ = self.shutdown.set(shutdown);
        drop(self.shutdown_guard.lock().take());
    }

    /// Waits until everything that was begun is done.
    async fn all_done(&self) {
        let all_done = self.all_done.lock().take();
        if let Some(mut all_done) = all_done {
            // Nothing is ever sent; it ends when nobody is left who could.
            all_done.recv().await;
        }
    }
}

impl Hub {
    /// Says that something begins that shutdown should wait for; `None` if shutdown has begun.
    #[must_use]
    pub fn begin_work(&self) -> Option<ShutdownGuard> {
        self.work.begin()
    }

    /// Begins to stop: from now on nothing new is begun and nothing published for anybody who is told that it was.
    pub fn stop_work(&self, shutdown: Shutdown) {
        self.work.stop(shutdown);
    }

    /// How clients are closed, once the broker has begun to stop. Whoever publishes and says so must ask on the same
    /// worker's turn in which it publishes.
    pub fn shutdown(&self) -> Option<Shutdown> {
        self.work.shutdown.get().copied()
    }

    /// Ends every connection politely, after what was published before [`Hub::stop_work`], and waits until all are gone
    /// and all requests answered. `between` is called when nothing more is published and nobody has been closed.
    pub async fn drain(&self, between: impl FnOnce()) {
        self.turn_of_every_worker().await;
        between();
        let shutdown = self.shutdown().unwrap_or(Shutdown::Soon);
        let (code, reason) = (shutdown.code(), shutdown.sentence());
        self.mailboxes.post_to_all(|| WorkerCommand::Drain { code, reason });
        self.work.all_done().await;
    }
}
