//! Names of which the process before was asked what it knows.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::recovery::{NameNote, TakenName};

/// Who waits for it. They are connections that are about to subscribe.
#[derive(Debug, Default)]
pub(super) struct AskedNames(Mutex<AskedNumbers>);

#[derive(Debug, Default)]
struct AskedNumbers {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<TakenName>>,
}

impl AskedNames {
    /// Something is about to be asked, by this number.
    pub(super) fn ask(&self) -> (u64, oneshot::Receiver<TakenName>) {
        let (tell, told) = oneshot::channel();
        let mut asked = self.0.lock();
        asked.last += 1;
        let number = asked.last;
        asked.waiting.insert(number, tell);
        (number, told)
    }

    /// It was told.
    pub(super) fn told(&self, number: u64, note: Option<&Bytes>) {
        let waiter = self.0.lock().waiting.remove(&number);
        let note = note.and_then(|note| NameNote::decode(note).ok());
        // Whoever asked may have gone.
        let _ = waiter.map(|waiter| waiter.send(TakenName::Handed(note.map(Box::new))));
    }

    /// Nothing more will be told.
    pub(super) fn end(&self) {
        self.0.lock().waiting.clear();
    }
}
