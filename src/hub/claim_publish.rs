//! Claims the id under which something is to be published, and remembers it afterwards, or frees it.

use std::fmt;
use std::sync::Arc;

use crate::event::{PublishFingerprint, PublishId};

use super::AppState;
use super::recent_publishes::{EarlierPublish, IdDigest, PublishAnswer};

/// An id under which something may be published now, and nobody else publishes. Dropped before it was, the id is free again;
/// afterwards it is remembered.
#[must_use]
pub(crate) struct PublishClaim {
    app: Arc<AppState>,
    id: IdDigest,
    /// What the publisher is answered, once it was published.
    published: Option<PublishAnswer>,
}

impl AppState {
    /// Something is about to be published under an id.
    ///
    /// # Errors
    /// With what is known of the id, if something was published under it.
    pub(crate) fn claim_publish(
        self: &Arc<Self>,
        id: &PublishId,
        fingerprint: PublishFingerprint,
    ) -> Result<PublishClaim, EarlierPublish> {
        let id = id.digest();
        self.publishes.claim(id, fingerprint, || self.clock().now())?;
        Ok(PublishClaim { app: Arc::clone(self), id, published: None })
    }
}

impl PublishClaim {
    /// It was published, and this is the answer.
    pub(crate) fn published(&mut self, answer: PublishAnswer) {
        self.published = Some(answer);
    }
}

impl Drop for PublishClaim {
    fn drop(&mut self) {
        let app = &self.app;
        match self.published.take() {
            None => app.publishes.release(self.id),
            Some(answer) => {
                let most = app.app().limits.publish_ids;
                app.publishes.answer(self.id, answer, || app.clock().now(), most);
            }
        }
    }
}

impl fmt::Debug for PublishClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishClaim").field("app", &self.app.id()).finish_non_exhaustive()
    }
}
