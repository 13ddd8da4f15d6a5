//! What an engine that carries events to other nodes gives for each: whoever answers a publisher waits for them.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{BusAway, Carried, Taken};

/// The time that a publisher waits at most until the engine has taken its events. Then it is answered all the same: they
/// have been accepted, and are on their way.
pub(super) const ENGINE_TIME: Duration = Duration::from_secs(1);

/// The receipts for what one request has published. Where there are no other nodes, there are none.
#[derive(Debug, Default)]
pub(crate) struct Receipts(Vec<Carried>);

impl Receipts {
    /// What is to be told when the engine has taken one more event.
    pub(super) fn ask(&mut self) -> Taken {
        let (taken, carried) = oneshot::channel();
        self.0.push(carried);
        taken
    }

    /// Whether nothing is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until the engine has taken everything, or has said that it will not; for a second at the most.
    pub(crate) async fn all(self) {
        if self.0.is_empty() {
            return;
        }
        let each = async {
            for carried in self.0 {
                // What could not be carried is counted where it was dropped; on this node it was delivered.
                let _ = carried.await;
            }
        };
        // Whoever is too late is told nothing else.
        let _ = timeout(ENGINE_TIME, each).await;
    }
}

/// Waits until the engine has taken one thing.
///
/// # Errors
/// If it will not, or has not within the second: whether it does is not known then.
pub(super) async fn until_taken(carried: Carried) -> Result<(), BusAway> {
    match timeout(ENGINE_TIME, carried).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(BusAway),
    }
}
