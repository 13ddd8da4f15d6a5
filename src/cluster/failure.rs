//! That a part of a node has ended that must not: the bus counts as away from then on, and only a restart mends it.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use super::status::BusTrouble;

/// Whether a part of a node has ended that must not. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFailure(Arc<OnceLock<BusTrouble>>);

impl NodeFailure {
    /// A part has ended. The log and `/ready` are told which; of several the first one.
    pub(crate) fn set(&self, ended: &str) {
        let reason = format!("{ended} has ended by a fault of the program: restart this node");
        tracing::error!(reason, "this node is no part of the cluster any more");
        // The first one stays.
        let _ = self.0.set(BusTrouble { since: Instant::now(), reason: reason.into() });
    }

    /// Which part has ended, if one has.
    pub(crate) fn get(&self) -> Option<BusTrouble> {
        self.0.get().cloned()
    }

    /// Sees whether the thread that holds what is returned ends by a panic.
    pub(crate) fn watch(self, part: &'static str) -> WatchedThread {
        WatchedThread { failure: self, part }
    }
}

/// What a thread holds for as long as it must not end.
#[derive(Debug)]
pub(crate) struct WatchedThread {
    failure: NodeFailure,
    part: &'static str,
}

impl Drop for WatchedThread {
    fn drop(&mut self) {
        if thread::panicking() {
            self.failure.set(self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_is_missed_and_one_that_ends_is_not() {
        let failure = NodeFailure::default();
        let watched = failure.clone().watch("a thread");
        thread::spawn(move || drop(watched)).join().unwrap();
        assert_eq!(failure.get(), None);
        let watched = failure.clone().watch("another thread");
        let ended = thread::spawn(move || {
            let _watched = watched;
            panic!("as a fault of the program would have it")
        });
        assert!(ended.join().is_err());
        let trouble = failure.get().unwrap();
        failure.set("a third one");
        assert!(trouble.reason.starts_with("another thread") && failure.get() == Some(trouble));
    }
}
