//! How long a broker that is to stop takes its time, and how that is cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The patience of a stopping broker. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience(Arc<PatienceState>);

#[derive(Debug, Default)]
struct PatienceState {
    /// It takes its time at present, or is about to.
    waits: AtomicBool,
    ended: AtomicBool,
    notify: Notify,
}

impl Patience {
    /// Has the broker go on at once with its end. Returns false if it does not wait for anything that could be left out.
    pub(crate) fn end(&self) -> bool {
        let waited = self.0.waits.load(Ordering::Acquire) && !self.0.ended.swap(true, Ordering::AcqRel);
        if waited {
            self.0.notify.notify_one();
        }
        waited
    }

    /// From now on the broker takes its time, until that is [`over`](Patience::over).
    pub(super) fn begin(&self) {
        self.0.waits.store(true, Ordering::Release);
    }

    /// There is nothing any more that could be left out.
    pub(super) fn over(&self) {
        self.0.waits.store(false, Ordering::Release);
    }

    /// Does this, unless the patience ends before.
    pub(super) async fn unless_ended(&self, work: impl Future<Output = ()>) {
        if !self.0.ended.load(Ordering::Acquire) {
            tokio::select! {
                () = work => {}
                () = self.0.notify.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_hurried_once_and_who_does_not_is_not() {
        let patience = Patience::default();
        assert!(!patience.end(), "nothing is waited for");
        patience.unless_ended(async {}).await;
        assert!(!patience.end(), "nothing is waited for that could be left out");
        patience.begin();
        let waits = patience.unless_ended(std::future::pending());
        let ends = async {
            while !patience.end() {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(waits, ends);
        assert!(!patience.end(), "it was told");
        // Nor does it begin to.
        patience.unless_ended(std::future::pending()).await;
        patience.over();
        assert!(!patience.end());
    }

    #[tokio::test]
    async fn who_is_hurried_between_two_waits_begins_no_second() {
        let patience = Patience::default();
        patience.begin();
        assert!(patience.end());
        patience.unless_ended(std::future::pending()).await;
    }
}
