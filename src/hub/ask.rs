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

    /// Has a worker die, as a fault of the program would.
    #[cfg(test)]
    pub(crate) fn kill_worker(&self, worker: crate::channel::WorkerIndex) {
        self.mailbox(worker).post(WorkerCommand::Panic);
    }
}
