//! What this node says of its own connections: numbered in the order in which it became true, put together, and kept for
//! those who ask for all of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::channel::Fact;
use crate::hub::{AppState, Tellable};
use crate::protocol::ChannelName;

use super::envelope::{AppFact, FactBatch, FactListBuilder};
use super::replica::{NodeSnapshot, Replica};
use super::status::ReplicaSize;

/// Bytes of facts that are said at once, about.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Facts that wait to be said. Whoever tells one more says them all, unless all that was said is being put together for
/// somebody: then so many may wait, until whoever tells one more waits for that.
const MUCH_UNSAID: usize = 65_536;
const MOST_UNSAID: usize = 4 * MUCH_UNSAID;

/// Counts above this are told together, as they are from time to time.
const TOLD_AT_ONCE: u32 = 100;

/// What this node says of itself.
#[derive(Debug)]
pub(super) struct Telling {
    unsaid: Mutex<Unsaid>,
    /// What was said, and the number of the last fact. Who says facts holds it, so they are said in their order.
    said: Mutex<Replica>,
    /// The number of the last fact that was told.
    last: AtomicU64,
    /// The number of the last fact that was said, and how much is true by it, for those who do not wait for what was said.
    said_number: AtomicU64,
    size: Mutex<ReplicaSize>,
    /// There is something to say.
    wake: Notify,
}

#[derive(Debug, Default)]
struct Unsaid {
    facts: Vec<AppFact>,
    /// Large counts, each the last one of its channel, or of its app.
    counts: HashMap<(Arc<str>, Option<ChannelName>), Fact>,
}

impl Telling {
    /// Nothing is true yet.
    pub(super) fn new() -> Self {
        Telling {
            unsaid: Mutex::default(),
            said: Mutex::new(Replica::of_this_node()),
            last: AtomicU64::new(0),
            said_number: AtomicU64::new(0),
            size: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Something has become true of an app, unless another one of its id has followed it. Whether so much waits that it should
    /// be said at once.
    #[must_use]
    pub(super) fn tell_of(&self, app: &AppState, fact: Fact) -> bool {
        let mut unsaid = self.unsaid.lock();
        let Tellable { is_renewed, is_last } = app.tellable();
        if is_renewed {
            unsaid.counts.retain(|(of, _), _| of != app.shared_id());
            self.push(&mut unsaid, AppFact { app: Arc::clone(app.shared_id()), fact: Fact::Renewed });
        }
        if is_last {
            self.add(unsaid, app.shared_id(), fact)
        } else {
            drop(unsaid);
            self.wake.notify_one();
            false
        }
    }

    /// Something has become true, whichever app it is that the id stands for now. Whether so much waits that it should be said
    /// at once.
    #[must_use]
    pub(super) fn tell(&self, app: &Arc<str>, fact: Fact) -> bool {
        self.add(self.unsaid.lock(), app, fact)
    }

    fn add(&self, mut unsaid: MutexGuard<'_, Unsaid>, app: &Arc<str>, fact: Fact) -> bool {
        if let Some((channel, count)) = counted(&fact) {
            if count > TOLD_AT_ONCE {
                unsaid.counts.insert((Arc::clone(app), channel.cloned()), fact);
                return false;
            }
            if !unsaid.counts.is_empty() {
                // It is older.
                unsaid.counts.remove(&(Arc::clone(app), channel.cloned()));
            }
        }
        self.push(&mut unsaid, AppFact { app: Arc::clone(app), fact });
        let is_much = unsaid.facts.len() >= MUCH_UNSAID;
        drop(unsaid);
        self.wake.notify_one();
        is_much
    }

    /// The counts that were left for later become facts like others.
    pub(super) fn tell_counts(&self) {
        let mut unsaid = self.unsaid.lock();
        let counts = std::mem::take(&mut unsaid.counts);
        let is_any = !counts.is_empty();
        counts.into_iter().for_each(|((app, _), fact)| self.push(&mut unsaid, AppFact { app, fact }));
        drop(unsaid);
        if is_any {
            self.wake.notify_one();
        }
    }

    fn push(&self, unsaid: &mut Unsaid, fact: AppFact) {
        unsaid.facts.push(fact);
        // Under the lock: whoever reads it after it has told a fact finds that fact's number, or a larger one.
        self.last.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the last fact that was told, by this thread at least.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Waits until there is something to say.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Says what has not been said, batch by batch. It is put off while somebody else says it, or while all that was said is
    /// put together, unless too much waits.
    pub(super) fn flush(&self, say: impl FnMut(FactBatch)) {
        let said = match self.said.try_lock() {
            Some(said) => said,
            None if self.unsaid.lock().facts.len() < MOST_UNSAID => return,
            None => self.said.lock(),
        };
        self.say_all(said, say);
    }

    /// The same, whoever has to be waited for.
    pub(super) fn flush_last(&self, say: impl FnMut(FactBatch)) {
        self.say_all(self.said.lock(), say);
    }

    fn say_all(&self, mut said: MutexGuard<'_, Replica>, mut say: impl FnMut(FactBatch)) {
        let facts = std::mem::take(&mut self.unsaid.lock().facts);
        let mut batch = FactListBuilder::default();
        let mut first = said.number() + 1;
        for AppFact { app, fact } in facts {
            batch.push(&app, &fact);
            let number = said.say(&app, fact);
            if batch.bytes() >= BATCH_BYTES {
                say(FactBatch { first, facts: batch.take() });
                self.said_number.store(number, Ordering::Release);
                first = number + 1;
            }
        }
        if !batch.is_empty() {
            say(FactBatch { first, facts: batch.take() });
        }
        self.said_number.store(said.number(), Ordering::Release);
        *self.size.lock() = said.size();
        self.leave(said);
    }

    /// Whoever has put off meanwhile what it wanted to say is told.
    fn leave(&self, said: MutexGuard<'_, Replica>) {
        drop(said);
        if !self.unsaid.lock().facts.is_empty() {
            self.wake.notify_one();
        }
    }

    /// The number of the last fact that was said. More may be by now.
    pub(super) fn said_number(&self) -> u64 {
        self.said_number.load(Ordering::Acquire)
    }

    /// All that is true, for those who have asked. It takes its time where that is much.
    pub(super) fn snapshot(&self) -> NodeSnapshot {
        let said = self.said.lock();
        let snapshot = said.snapshot(BATCH_BYTES);
        self.leave(said);
        snapshot
    }

    pub(super) fn size(&self) -> ReplicaSize {
        *self.size.lock()
    }

    /// Facts that wait to be said.
    pub(super) fn unsaid(&self) -> usize {
        let unsaid = self.unsaid.lock();
        unsaid.facts.len() + unsaid.counts.len()
    }
}

/// The channel of a fact that is a count, and the count.
fn counted(fact: &Fact) -> Option<(Option<&ChannelName>, u32)> {
    match fact {
        Fact::Subscribers { channel, count, .. } => Some((Some(channel), *count)),
        Fact::Connections { count } => Some((None, *count)),
        Fact::Joined { .. }
        | Fact::Left { .. }
        | Fact::SignedIn { .. }
        | Fact::SignedOut { .. }
        | Fact::CacheMissed { .. }
        | Fact::Backends { .. }
        | Fact::Renewed => None,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::channel::ChannelVersion;

    fn subscribers(count: u32) -> Fact {
        let channel = ChannelName::parse("news", 164).unwrap();
        Fact::Subscribers { channel, count, version: ChannelVersion::new(count.into()) }
    }

    /// What is said, with the number of each.
    fn said(telling: &Telling) -> Vec<(u64, Fact)> {
        let mut said = Vec::new();
        telling.flush(|batch| {
            let facts = batch.facts.iter().map(|fact| fact.unwrap().fact);
            said.extend((batch.first..).zip(facts));
        });
        said
    }

    #[test]
    fn facts_are_numbered_as_they_were_told() {
        let (telling, app) = (Telling::new(), Arc::from("1"));
        assert!(!telling.tell(&app, subscribers(1)) && !telling.tell(&app, subscribers(2)));
        assert_eq!((telling.last(), telling.unsaid()), (2, 2));
        assert_eq!(said(&telling), [(1, subscribers(1)), (2, subscribers(2))]);
        assert!(!telling.tell(&app, subscribers(3)));
        assert_eq!(said(&telling), [(3, subscribers(3))]);
        assert_eq!((telling.said_number(), telling.size().channels), (3, 1));
    }

    fn is_woken(telling: &Telling) -> bool {
        pin!(telling.wait()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn nobody_waits_while_all_of_it_is_put_together_and_nothing_is_forgotten() {
        let (telling, app) = (Telling::new(), Arc::from("1"));
        let (heard, hears) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let being_put_together = telling.said.lock();
            scope.spawn(|| {
                assert!(!telling.tell(&app, subscribers(1)));
                assert!(is_woken(&telling));
                let said = said(&telling);
                heard.send((said, telling.said_number(), telling.size().channels)).unwrap();
            });
            let found = hears.recv_timeout(Duration::from_secs(60));
            telling.leave(being_put_together);
            assert_eq!(found, Ok((Vec::new(), 0, 0)));
        });
        assert!(is_woken(&telling), "by who held it up");
        assert_eq!((said(&telling), telling.said_number()), (vec![(1, subscribers(1))], 1));
    }

    #[test]
    fn too_much_is_said_by_whoever_tells_more() {
        let (telling, app) = (Telling::new(), Arc::from("1"));
        let fact = || Fact::SignedOut { user_id: "ann".into() };
        let being_put_together = telling.said.lock();
        (1..MUCH_UNSAID).for_each(|_| assert!(!telling.tell(&app, fact())));
        (MUCH_UNSAID..MOST_UNSAID).for_each(|_| assert!(telling.tell(&app, fact())));
        assert_eq!(telling.unsaid(), MOST_UNSAID - 1);
        telling.flush(|_| panic!("it is put off"));
        drop(being_put_together);
        assert!(telling.tell(&app, fact()));
        assert_eq!((said(&telling).len(), telling.unsaid()), (MOST_UNSAID, 0));
    }

    #[test]
    fn large_counts_are_told_together_and_never_after_newer_ones() {
        let (telling, app) = (Telling::new(), Arc::from("1"));
        for count in 101..1000 {
            assert!(!telling.tell(&app, subscribers(count)));
        }
        assert_eq!((said(&telling), telling.last()), (Vec::new(), 0));
        telling.tell_counts();
        assert_eq!(said(&telling), [(1, subscribers(999))]);
        assert!(!telling.tell(&app, subscribers(101)) && !telling.tell(&app, subscribers(100)));
        telling.tell_counts();
        assert_eq!(said(&telling), [(2, subscribers(100))]);
    }

    #[test]
    fn much_is_said_in_batches_that_follow_each_other() {
        let (telling, app) = (Telling::new(), Arc::from("1"));
        let users = (0..20_000).map(|n| Fact::SignedIn { user_id: format!("user-{n}").into() });
        users.for_each(|fact| assert!(!telling.tell(&app, fact)));
        let (mut next, mut batches) = (1, 0);
        telling.flush(|batch| {
            assert_eq!(batch.first, next);
            assert!(batch.facts.bytes() < 2 * BATCH_BYTES);
            next += u64::from(batch.facts.len());
            batches += 1;
        });
        assert_eq!(next, 20_001);
        assert!((3..20).contains(&batches), "{batches}");
    }
}
