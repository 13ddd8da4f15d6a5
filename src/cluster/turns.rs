//! Something long that is done by one after the other, and by none for whom another one has come meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    last: AtomicU64,
    alone: Semaphore,
}

/// The turn of one of them, until it is dropped.
#[derive(Debug)]
pub(super) struct TaskTurn<'t> {
    turns: &'t Turns,
    number: u64,
    /// The only one. It is never closed.
    _alone: Option<SemaphorePermit<'t>>,
}

impl Default for Turns {
    fn default() -> Self {
        Turns { last: AtomicU64::new(0), alone: Semaphore::new(1) }
    }
}

impl Turns {
    /// Waits until those before have ended, who are told that there is another one.
    pub(super) async fn begin(&self) -> TaskTurn<'_> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        TaskTurn { turns: self, number, _alone: self.alone.acquire().await.ok() }
    }
}

impl TaskTurn<'_> {
    /// Whether nobody has come since.
    pub(super) fn is_last(&self) -> bool {
        self.turns.last.load(Ordering::Relaxed) == self.number
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn whoever_is_under_way_is_told_of_the_next_one_who_waits_for_it() {
        let mut context = Context::from_waker(Waker::noop());
        let turns = Turns::default();
        let Poll::Ready(first) = pin!(turns.begin()).poll(&mut context) else { panic!() };
        assert!(first.is_last());
        let mut second = pin!(turns.begin());
        assert!(second.as_mut().poll(&mut context).is_pending() && !first.is_last());
        drop(first);
        let Poll::Ready(second) = second.poll(&mut context) else { panic!() };
        assert!(second.is_last());
    }
}
