//! The broker stops: nothing new is begun, every connection is closed, and what is under way is waited for.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// How often some of the connections are closed, where not all are to be at once.
const SLICE: Duration = Duration::from_millis(50);

/// What shutdown waits for, and whether it has begun.
pub(super) struct Work {
    /// The node is to be left: on another connection a client may find another.
    leaving: AtomicBool,
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
            leaving: AtomicBool::new(false),
            shutdown: OnceLock::new(),
            shutdown_guard: Mutex::new(Some(shutdown_guard)),
            all_done: Mutex::new(Some(all_done)),
        }
    }

    fn begin(&self) -> Option<ShutdownGuard> {
        self.shutdown_guard.lock().clone().map(|_sender| ShutdownGuard { _sender })
    }

    fn stop(&self, shutdown: Shutdown) {
        self.leaving.store(true, Ordering::Relaxed);
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

    /// Has whoever is answered from now on come by another connection the next time.
    pub fn begin_leaving(&self) {
        self.work.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether clients had better come by another connection the next time.
    pub fn is_leaving(&self) -> bool {
        self.work.leaving.load(Ordering::Relaxed)
    }

    /// Closes the connections that there are now, so many per second, the same number on each worker. Returns when all have
    /// been told, as far as they are spread evenly; [`Hub::drain`] closes the rest.
    pub async fn close_slowly(&self, per_second: usize, shutdown: Shutdown) {
        let (code, reason) = (shutdown.code(), shutdown.sentence());
        let workers = self.mailboxes.len();
        let mut left = self.sockets().len();
        let (mut thousandths, mut next) = (0, 0);
        let mut slices = tokio::time::interval(SLICE);
        while left > 0 {
            slices.tick().await;
            // Clients go by themselves, too.
            left = left.min(self.sockets().len());
            thousandths += per_second.saturating_mul(SLICE.as_millis() as usize);
            let due = (thousandths / 1000).min(left);
            thousandths %= 1000;
            left -= due;
            for (index, mailbox) in self.mailboxes.iter().enumerate() {
                let first = (index + workers - next) % workers;
                let most = (due + workers - 1 - first) / workers;
                if most > 0 {
                    mailbox.post(WorkerCommand::DrainSome { most, code, reason });
                }
            }
            next = (next + due) % workers;
        }
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
    /// and all requests answered, down to the sockets. `between` is called when nothing more is published and nobody has been
    /// closed.
    pub async fn drain(&self, between: impl FnOnce()) {
        // Those that have died hold nobody up.
        let _ = self.turn_of_every_worker().await;
        if let Some(bus) = self.bus() {
            bus.deliver_awaited();
        }
        between();
        let shutdown = self.shutdown().unwrap_or(Shutdown::Soon);
        let (code, reason) = (shutdown.code(), shutdown.sentence());
        self.mailboxes.post_to_all(|| WorkerCommand::Drain { code, reason });
        self.work.all_done().await;
        // What is done with the last byte of an answer is done before that is written. By its next turn a worker has written it.
        let _ = self.turn_of_every_worker().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, mpsc as blocking};
    use std::task::{Context, Poll, Waker};

    use tokio::sync::oneshot;

    use crate::connection::ConnectionConfig;
    use crate::hub::Worker;

    use super::*;

    #[test]
    fn a_worker_writes_what_it_is_at_before_the_broker_ends() {
        let hub = Hub::new(Vec::new(), ConnectionConfig::default(), 1, 0).unwrap();
        actix_web::rt::System::new().block_on(async {
            let thread = actix_rt::Arbiter::new();
            let of_thread = Arc::clone(&hub);
            thread.spawn_fn(move || drop(Worker::of_this_thread(&of_thread)));
            hub.until_started().await;
            let guard = hub.begin_work().unwrap();
            hub.stop_work(Shutdown::Soon);
            let (is_between, between) = oneshot::channel();
            let mut drained = pin!(hub.drain(|| is_between.send(()).unwrap()));
            tokio::select! {
                biased;
                () = &mut drained => panic!("an answer is under way"),
                told = between => told.unwrap(),
            }
            let (is_done, done) = blocking::channel();
            let (write, is_written) = blocking::channel::<()>();
            thread.spawn_fn(move || {
                drop(guard);
                is_done.send(()).unwrap();
                is_written.recv().unwrap();
            });
            done.recv().unwrap();
            let look = drained.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(look, Poll::Pending, "the answer is made, and not written");
            write.send(()).unwrap();
            drained.await;
            thread.stop();
            thread.join().unwrap();
        });
    }
}
