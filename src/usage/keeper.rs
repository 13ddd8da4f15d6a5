//! The thread that takes note of usage: each minute, at midnight, and at the end.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tracing::warn;

use super::UsageBook;
use super::day::until_next;

/// How often note is taken. A crash loses what was used since.
const EACH: Duration = Duration::from_secs(60);

/// How long the last write may take, of a disk that does not answer.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// The thread while it runs. Dropped, it writes once more by itself.
#[derive(Debug)]
pub(crate) struct UsageKeeper {
    end: Sender<oneshot::Sender<()>>,
}

impl UsageKeeper {
    /// Keeps this book from now on.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(book: UsageBook) -> io::Result<Self> {
        let (end, ended) = channel();
        thread::Builder::new().name("usage".to_owned()).spawn(move || keep(&book, &ended))?;
        Ok(UsageKeeper { end })
    }

    /// Takes note for the last time, and waits until that is written.
    pub(crate) async fn end(self) {
        let (done, written) = oneshot::channel();
        let told = self.end.send(done).is_ok();
        if told && tokio::time::timeout(LAST_WRITE, written).await.is_err() {
            warn!(within = ?LAST_WRITE, "the last usage was not written in time");
        }
    }
}

fn keep(book: &UsageBook, ended: &Receiver<oneshot::Sender<()>>) {
    loop {
        let wait = EACH.min(until_next(SystemTime::now()));
        let told = ended.recv_timeout(wait);
        book.take_note(SystemTime::now());
        book.write();
        match told {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(done) => {
                let _ = done.send(());
                return;
            }
        }
    }
}
