//! Asking every worker: what it holds, or that it has read what was posted before.

use tokio::sync::mpsc;

use super::mailbox::WorkerCommand;
use super::{Hub, Totals};

impl Hub {
    /// What it holds now. The workers are asked, so it takes a turn of each.
    #[expect(clippy::disallowed_methods, reason = "each worker answers once")]
    pub async fn totals(&self) -> Totals {
        let (reply, mut replies) = mpsc::unbounded_channel();
        self.mailboxes.post_to_started(|| WorkerCommand::Totals { reply: reply.clone() });
        drop(reply);
        let mut totals = Totals::default();
        while let Some(worker) = replies.recv().await {
            totals.add_worker(worker);
        }
        totals.connections = self.sockets.len();
        totals.command_bytes = self.mailboxes.unread_bytes();
        self.apps().iter().for_each(|app| totals.add_app(app));
        for app in self.apps.removed() {
            totals.removed_apps += 1;
            totals.add_app(&app);
        }
        totals
    }

    /// Waits until every worker that runs has ended the turn that it is in, and read the commands that were posted before.
    /// Returns whether those were all: none has died, and all have started.
    pub(crate) async fn turn_of_every_worker(&self) -> bool {
        let (reply, mut replies) = mpsc::channel(self.worker_count());
        self.mailboxes.post_to_started(|| WorkerCommand::Turn { reply: reply.clone() });
        drop(reply);
        let mut answered = 0;
        // Of one that dies meanwhile the command is dropped.
        while replies.recv().await.is_some() {
            answered += 1;
        }
        answered == self.worker_count()
    }

    /// Waits until every worker has ended the turn that it is in, or one that it takes for this, however much there is in its
    /// mailbox. Returns whether those were all: none has died, and all have started. One at a time may ask.
    pub(crate) async fn sign_of_every_worker(&self) -> bool {
        let (reply, mut replies) = mpsc::channel(self.worker_count());
        self.mailboxes
            .started()
            .into_iter()
            .flatten()
            .for_each(|mailbox| mailbox.ask_for_a_turn(reply.clone()));
        drop(reply);
        let mut answered = 0;
        while replies.recv().await.is_some() {
            answered += 1;
        }
        answered == self.worker_count()
    }

    /// Has a worker die, as a fault of the program would.
    #[cfg(test)]
    pub(crate) fn kill_worker(&self, worker: crate::channel::WorkerIndex) {
        self.mailbox(worker).post(WorkerCommand::Panic);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, mpsc as blocking};
    use std::task::{Context, Poll, Waker};

    use crate::connection::ConnectionConfig;
    use crate::hub::Worker;

    use super::*;

    fn hub(workers: usize) -> Arc<Hub> {
        Hub::new(Vec::new(), ConnectionConfig::default(), workers, 0).unwrap()
    }

    #[test]
    fn a_worker_that_has_much_to_do_gives_a_sign_before_it_is_done() {
        let hub = hub(1);
        actix_web::rt::System::new().block_on(async {
            assert!(!hub.sign_of_every_worker().await, "nobody has started");
            let _worker = Worker::of_this_thread(&hub).unwrap();
            assert!(hub.sign_of_every_worker().await, "nothing is to be done");
            (0..1_000_000).for_each(|_| hub.mailbox(0).post(WorkerCommand::Relieved));
            assert!(hub.sign_of_every_worker().await && hub.sign_of_every_worker().await);
            assert!(!hub.mailbox(0).is_empty(), "all of it was waited for");
            assert!(hub.turn_of_every_worker().await && hub.mailbox(0).is_empty());
        });
    }

    #[test]
    fn a_worker_that_is_blocked_gives_no_sign_and_one_that_has_died_keeps_nobody_waiting() {
        let hub = hub(2);
        actix_web::rt::System::new().block_on(async {
            let _worker = Worker::of_this_thread(&hub).unwrap();
            let thread = actix_rt::Arbiter::new();
            let (is_blocked, blocked) = blocking::channel();
            let (release, released) = blocking::channel::<()>();
            let of_thread = Arc::clone(&hub);
            thread.spawn_fn(move || drop(Worker::of_this_thread(&of_thread)));
            hub.until_started().await;
            assert!(hub.sign_of_every_worker().await);
            thread.spawn_fn(move || {
                is_blocked.send(()).unwrap();
                released.recv().unwrap();
            });
            blocked.recv().unwrap();
            {
                let mut sign = pin!(hub.sign_of_every_worker());
                let mut look = || sign.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(look(), Poll::Pending);
                // The worker of this thread has given its own by then.
                let (reply, mut replies) = mpsc::channel(1);
                hub.mailbox(0).post(WorkerCommand::Turn { reply });
                replies.recv().await.unwrap();
                assert_eq!(look(), Poll::Pending, "the other is blocked");
                release.send(()).unwrap();
                assert!(sign.await);
            }
            hub.kill_worker(1);
            assert!(!hub.turn_of_every_worker().await && !hub.sign_of_every_worker().await);
            thread.join().unwrap();
        });
    }
}
