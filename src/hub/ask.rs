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

    /// Waits until every worker has ended the turn that it is in, and read the commands that were posted before.
    pub(crate) async fn turn_of_every_worker(&self) {
        let (reply, mut replies) = mpsc::channel(1);
        self.mailboxes.post_to_started(|| WorkerCommand::Turn { _reply: reply.clone() });
        drop(reply);
        // Nothing is ever sent; it ends when the last command has been read.
        replies.recv().await;
    }
}
