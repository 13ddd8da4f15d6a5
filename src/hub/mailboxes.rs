//! The mailboxes of all workers: posting to one, to all, and whether some worker is far behind with its own.

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::channel::WorkerIndex;

use super::mailbox::{Mailbox, MailboxReader, WorkerCommand, mailbox};

/// One mailbox per worker.
pub(super) struct Mailboxes {
    all: Vec<Mailbox>,
    /// Their other ends, until the workers start and take them.
    readers: Mutex<Vec<Option<MailboxReader>>>,
    /// Told when the last of them has done so.
    all_taken: Notify,
}

impl Mailboxes {
    /// For so many workers, none of which has started.
    pub(super) fn new(workers: usize) -> Self {
        let (all, readers): (_, Vec<MailboxReader>) = (0..workers).map(|_| mailbox()).unzip();
        let readers = Mutex::new(readers.into_iter().map(Some).collect());
        Mailboxes { all, readers, all_taken: Notify::new() }
    }

    /// How many workers there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn of(&self, worker: WorkerIndex) -> &Mailbox {
        &self.all[usize::from(worker)]
    }

    /// All of them, in the order of the workers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mailbox> {
        self.all.iter()
    }

    /// Posts a command to each worker.
    pub(super) fn post_to_all(&self, command: impl Fn() -> WorkerCommand) {
        self.all.iter().for_each(|mailbox| mailbox.post(command()));
    }

    /// Posts a command to each worker but one.
    pub(super) fn post_to_others(&self, worker: WorkerIndex, command: impl Fn() -> WorkerCommand) {
        let others = self.all.iter().enumerate().filter(|(index, _)| *index != usize::from(worker));
        others.for_each(|(_, mailbox)| mailbox.post(command()));
    }

    /// Posts a command to each worker that has started: to those that read it.
    pub(super) fn post_to_started(&self, command: impl Fn() -> WorkerCommand) {
        let readers = self.readers.lock();
        let started = self.all.iter().zip(readers.iter()).filter(|(_, reader)| reader.is_none());
        started.for_each(|(mailbox, _)| mailbox.post(command()));
    }

    /// Those of workers that have started, in the order of the workers.
    pub(super) fn started(&self) -> Vec<Option<&Mailbox>> {
        let readers = self.readers.lock();
        self.all
            .iter()
            .zip(readers.iter())
            .map(|(mailbox, reader)| reader.is_none().then_some(mailbox))
            .collect()
    }

    /// The reading end of a mailbox that no worker has taken yet.
    pub(super) fn take_reader(&self) -> Option<(WorkerIndex, MailboxReader)> {
        let mut readers = self.readers.lock();
        let found = readers.iter_mut().enumerate().find_map(|(index, reader)| Some((index, reader.take()?)));
        if readers.iter().all(Option::is_none) {
            self.all_taken.notify_waiters();
        }
        found.and_then(|(index, reader)| Some((WorkerIndex::try_from(index).ok()?, reader)))
    }

    /// Whether every worker has started.
    pub(super) fn all_started(&self) -> bool {
        self.readers.lock().iter().all(Option::is_none)
    }

    /// Waits until every worker has started.
    pub(super) async fn until_all_started(&self) {
        // It hears of what comes after this line, also while it is not polled.
        let all_taken = self.all_taken.notified();
        if !self.all_started() {
            all_taken.await;
        }
    }

    /// Whether some worker has started and is no more.
    pub(super) fn is_one_abandoned(&self) -> bool {
        self.all.iter().any(Mailbox::is_abandoned)
    }

    /// Whether some worker is far behind.
    pub(super) fn is_congested(&self) -> bool {
        self.all.iter().any(Mailbox::is_congested)
    }

    /// Bytes of commands that have not been read.
    pub(super) fn unread_bytes(&self) -> usize {
        self.all.iter().map(Mailbox::unread_bytes).sum()
    }
}
