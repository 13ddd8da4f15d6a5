//! A thread of its own for all that is sent to other servers of one kind, so that none of it is done on a worker's.

use std::convert::Infallible;
use std::io;
use std::time::Instant;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

/// A thread with a runtime. It ends when this is dropped, whatever is left to do.
#[derive(Debug)]
pub(crate) struct SenderThread {
    runtime: runtime::Handle,
    _stop: oneshot::Sender<Infallible>,
    /// Cloned by everything that has something to send.
    running: mpsc::Sender<Infallible>,
    /// Ends when the last clone is dropped.
    all_ended: mpsc::Receiver<Infallible>,
}

impl SenderThread {
    /// Starts one of this name.
    ///
    /// # Errors
    /// If the system gives none.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let own = runtime::Builder::new_current_thread().enable_all().build()?;
        let runtime = own.handle().clone();
        let (_stop, stopped) = oneshot::channel();
        let (running, all_ended) = mpsc::channel(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing is ever sent: it is ready when the other end is dropped.
            let _ = own.block_on(stopped);
            // A name that is being looked up may take its time.
            own.shutdown_background();
        })?;
        Ok(SenderThread { runtime, _stop, running, all_ended })
    }

    /// Runs a task that the end of the broker waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.running.clone();
        self.runtime.spawn(async move {
            task.await;
            drop(running);
        });
    }

    /// Waits until every task has ended, at most until then; `then` is told whether they have while those that have not
    /// are still there.
    pub(crate) async fn finish(self, deadline: Instant, then: impl FnOnce(bool)) {
        let SenderThread { running, mut all_ended, _stop, .. } = self;
        drop(running);
        // Nothing is ever sent on the channel; it closes when the last task has ended.
        then(tokio::time::timeout_at(deadline.into(), all_ended.recv()).await.is_ok());
    }
}
