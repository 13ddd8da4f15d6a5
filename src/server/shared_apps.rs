//! Has the apps of a running broker be those of its cluster, on a thread of its own: it waits for the engine and for the disk.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

use super::Reloader;
use crate::app_admin::ManagedApps;
use crate::cluster::documents::{DocumentRings, DocumentStore};
use crate::cluster::failure::NodeFailure;

/// How often the engine is asked where nothing has rung: what rings may have been lost.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// The same, while there is something left to do.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Has these apps be those that the engine has, until it is left. Returns when that has been tried once.
///
/// # Errors
/// If there is no thread for it.
pub(super) async fn keep(
    managed: Arc<ManagedApps>,
    reloader: Reloader,
    (store, rings): (Arc<dyn DocumentStore>, DocumentRings),
    failure: NodeFailure,
) -> io::Result<()> {
    let (looked, has_looked) = oneshot::channel();
    thread::Builder::new().name("apps".to_owned()).spawn(move || {
        let _watched = failure.watch("the thread that takes the apps of the cluster");
        if let Err(error) = managed.share(store) {
            error!(%error, "this node does not take the apps of the cluster, and has those of its own files");
            return;
        }
        let mut looked = Some(looked);
        loop {
            let is_done = managed.take_shared(&reloader);
            // Whoever waited may have gone.
            let _ = looked.take().map(|looked| looked.send(()));
            if !rings.wait(if is_done { ASKED_EVERY } else { ASKED_AGAIN_AFTER }) {
                return;
            }
        }
    })?;
    // Where it could not, the log has told why.
    let _ = has_looked.await;
    Ok(())
}
