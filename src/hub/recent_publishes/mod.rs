//! What backends have published of late under ids of their own: who asks again is answered as the first time, and nothing is
//! sent twice.
//!
//! An id is claimed before anything is done, and belongs to its app and to the SHA-256 of what is published under it. It is
//! remembered for ten minutes of the app's clock from its answer on; of what was refused, nothing is.

mod table;

pub(crate) use table::{EarlierPublish, IdDigest, PublishAnswer, REMEMBERED_FOR};

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::PublishFingerprint;

use super::AppIndex;
use table::PublishTable;

/// What all apps' backends have published of late under ids.
#[derive(Debug, Default)]
pub(crate) struct RecentPublishes(Mutex<PublishTable>);

/// The same in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishFigures {
    /// Ids that are remembered or under way.
    pub(crate) ids: usize,
    /// Bytes of memory for them.
    pub(crate) bytes: usize,
    /// How often something was asked for again and not done again.
    pub(crate) repeated: u64,
    /// Ids that were forgotten before their time.
    pub(crate) forgotten: u64,
}

impl RecentPublishes {
    pub(crate) fn figures(&self) -> PublishFigures {
        let table = self.0.lock();
        let ((ids, bytes), repeated, forgotten) = (table.size(), table.repeated, table.forgotten);
        PublishFigures { ids, bytes, repeated, forgotten }
    }

    /// Forgets what is old enough of these apps, by their clocks, at most so many ids. Returns how many there were.
    pub(super) fn expire(&self, apps: impl Iterator<Item = (AppIndex, Instant)>, most: usize) -> usize {
        let mut table = self.0.lock();
        if table.is_empty() {
            return 0;
        }
        apps.fold(0, |count, (app, now)| count + table.expire(app, now, most - count))
    }
}

/// One app's part of that, which ends with the app.
#[derive(Debug)]
pub(super) struct PublishesOfApp {
    all: Arc<RecentPublishes>,
    app: AppIndex,
}

impl PublishesOfApp {
    /// Nothing yet.
    pub(super) fn new(all: Arc<RecentPublishes>, app: AppIndex) -> Self {
        PublishesOfApp { all, app }
    }

    /// As of [`PublishTable::claim`]. What the clock says is read under the lock: what is answered later is forgotten later.
    pub(super) fn claim(
        &self,
        id: IdDigest,
        fingerprint: PublishFingerprint,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), EarlierPublish> {
        let mut table = self.all.0.lock();
        table.claim(self.app, id, fingerprint, now())
    }

    /// As of [`PublishTable::answer`].
    pub(super) fn answer(
        &self,
        id: IdDigest,
        answer: PublishAnswer,
        now: impl FnOnce() -> Instant,
        most: usize,
    ) {
        let mut table = self.all.0.lock();
        table.answer(self.app, id, answer, now(), most);
    }

    /// Something was asked for again that another node has done.
    pub(super) fn count_repeated(&self) {
        self.all.0.lock().repeated += 1;
    }

    /// As of [`PublishTable::take`].
    pub(super) fn take(
        &self,
        published: (IdDigest, PublishFingerprint),
        (answer, expires_in): (PublishAnswer, Duration),
        now: impl FnOnce() -> Instant,
        most: usize,
    ) {
        let mut table = self.all.0.lock();
        let now = now();
        table.take(self.app, published, (answer, now + expires_in), now, most);
    }

    /// As of [`PublishTable::published`].
    pub(super) fn published(&self) -> Vec<IdDigest> {
        self.all.0.lock().published(self.app)
    }

    /// As of [`PublishTable::recall`].
    pub(super) fn recall(
        &self,
        id: IdDigest,
        now: Instant,
    ) -> Option<(PublishFingerprint, PublishAnswer, Duration)> {
        self.all.0.lock().recall(self.app, id, now)
    }

    /// As of [`PublishTable::release`].
    pub(super) fn release(&self, id: IdDigest) {
        self.all.0.lock().release(self.app, id);
    }
}

impl Drop for PublishesOfApp {
    fn drop(&mut self) {
        self.all.0.lock().forget_app(self.app);
    }
}
