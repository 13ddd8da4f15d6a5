//! Which channels' events this node wants of the engine: those that it has subscribers of, joins that wait, and for some
//! seconds those that it had.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::hub::Claim;

use super::adapter::{Adapter, EngineError, Subject};
use super::chains::Chains;
use super::counts::ClusterCounts;

/// So long a join waits at most, whatever is configured: the hub does not wait for much longer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Subjects that are given up at once, and how soon the next ones are.
const GIVEN_UP_AT_ONCE: usize = 2000;
const GIVES_UP_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How soon one is looked at again that nobody claims, and that is needed: an event of it is on its way back here.
const NEEDED_FOR: Duration = Duration::from_millis(500);

/// Subjects that stay although nobody claims them. Beyond that the oldest is given up at once.
const MOST_LINGERING: usize = 10_000;

/// How soon the engine is asked again for a subscription that it has refused.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 10_000 });

/// Hands the hub what the engine remembers of a channel.
pub(super) type Recalling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be known of a channel before those who wait for its events join.
#[derive(Default)]
pub(super) struct KnownFirst {
    /// What the engine remembers of it.
    pub(super) recall: Option<Recalling>,
    /// What its stream has, because it has a history.
    pub(super) is_chained: bool,
}

/// The channels that this node is subscribed to at the engine. One that nobody claims any more stays for a while, so that
/// a page that is loaded again costs nothing.
///
/// What is asked of the engine for a subject is asked under its entry, so in the order of what was wanted.
#[derive(Debug)]
pub(super) struct Claims {
    subjects: DashMap<Subject, Claimed>,
    /// Those that nobody claimed when they were put here, each once, by the time at which to look.
    lingering: Mutex<VecDeque<(Instant, Subject)>>,
    linger: Duration,
    wait: Duration,
    subscriptions: AtomicU64,
    is_away: AtomicBool,
    waiting: Arc<AtomicU64>,
    /// Those of the subjects with a history.
    chains: Arc<Chains>,
    counts: Arc<ClusterCounts>,
    /// Where confirmations are waited for.
    runtime: runtime::Handle,
}

#[derive(Debug)]
struct Claimed {
    /// Tells this subscription from others of the same subject.
    subscription: u64,
    claims: u32,
    confirmation: Confirmation,
    /// Since when there are no claims.
    unclaimed_since: Option<Instant>,
    /// It is among those that linger.
    is_listed: bool,
}

#[derive(Debug)]
enum Confirmation {
    /// The engine has not answered yet. These wait for it.
    Asked(Vec<oneshot::Sender<()>>),
    /// It has not answered in time, or has refused: whoever comes does not wait.
    Overdue,
    /// Events come.
    Confirmed,
}

/// A subject that the engine is asked for.
struct AskedSubject<A> {
    adapter: Weak<A>,
    subject: Subject,
    subscription: u64,
    /// It has a history.
    is_chained: bool,
}

impl Claims {
    /// None yet. Confirmations are waited for on this runtime, for so long; what is not claimed any more stays so long.
    pub(super) fn new(
        runtime: runtime::Handle,
        wait: Duration,
        linger: Duration,
        chains: Arc<Chains>,
        counts: Arc<ClusterCounts>,
    ) -> Arc<Self> {
        let wait = wait.min(LONGEST_WAIT);
        Arc::new(Claims {
            subjects: DashMap::new(),
            lingering: Mutex::default(),
            linger,
            wait,
            subscriptions: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            waiting: Arc::default(),
            chains,
            counts,
            runtime,
        })
    }

    /// Whether the bus is known to be away: nobody waits for it then.
    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Claims a subject, and has the engine asked for it if it is not yet. What is to be known first is asked for when its events
    /// come, before those who wait are told so.
    pub(super) fn claim(
        self: &Arc<Self>,
        adapter: &Arc<impl Adapter>,
        subject: Subject,
        first: KnownFirst,
    ) -> Claim {
        match self.subjects.entry(subject) {
            Entry::Occupied(mut entry) => {
                let claimed = entry.get_mut();
                claimed.claims += 1;
                claimed.unclaimed_since = None;
                match &mut claimed.confirmation {
                    Confirmation::Confirmed if !self.is_away.load(Ordering::Relaxed) => Claim::Settled,
                    Confirmation::Asked(waiters) if !self.is_away.load(Ordering::Relaxed) => {
                        Claim::Waiting(self.new_waiter(waiters))
                    }
                    Confirmation::Asked(_) | Confirmation::Overdue | Confirmation::Confirmed => {
                        self.unconfirmed()
                    }
                }
            }
            Entry::Vacant(entry) => {
                let subscription = self.subscriptions.fetch_add(1, Ordering::Relaxed) + 1;
                let mut waiters = Vec::new();
                let KnownFirst { recall, is_chained } = first;
                if is_chained {
                    self.chains.open(entry.key(), subscription);
                }
                let claim = if self.is_away.load(Ordering::Relaxed) {
                    if is_chained {
                        self.chains.be_late(entry.key(), subscription);
                    }
                    self.unconfirmed()
                } else {
                    Claim::Waiting(self.new_waiter(&mut waiters))
                };
                let (ticket, answer) = oneshot::channel();
                adapter.subscribe(entry.key(), Some(ticket.into()));
                let subject = entry.key().clone();
                let adapter = Arc::downgrade(adapter);
                let asked = AskedSubject { adapter, subject, subscription, is_chained };
                self.runtime.spawn(Arc::clone(self).until_confirmed(asked, answer, recall));
                entry.insert(Claimed {
                    subscription,
                    claims: 1,
                    confirmation: Confirmation::Asked(waiters),
                    unclaimed_since: None,
                    is_listed: false,
                });
                claim
            }
        }
    }

    /// A claim has ended.
    pub(super) fn release(&self, adapter: &impl Adapter, subject: &Subject) {
        let oldest = {
            let Some(mut claimed) = self.subjects.get_mut(subject) else { return };
            claimed.claims = claimed.claims.saturating_sub(1);
            if claimed.claims > 0 {
                return;
            }
            let now = Instant::now();
            claimed.unclaimed_since = Some(now);
            if std::mem::replace(&mut claimed.is_listed, true) {
                return;
            }
            let mut lingering = self.lingering.lock();
            lingering.push_back((now + self.linger, subject.clone()));
            if lingering.len() <= MOST_LINGERING {
                return;
            }
            lingering.pop_front()
        };
        if let Some((_, oldest)) = oldest {
            self.give_up_one(adapter, oldest, None);
        }
    }

    /// Gives up what has been unclaimed for long enough, or some of it, so that the engine is not asked for more at once than
    /// is said to it meanwhile. Returns when to look again.
    /// What is still needed stays for a moment.
    pub(super) fn give_up(
        &self,
        adapter: &impl Adapter,
        now: Instant,
        is_needed: impl Fn(&Subject) -> bool,
    ) -> Option<Instant> {
        for _ in 0..GIVEN_UP_AT_ONCE {
            let subject = {
                let mut lingering = self.lingering.lock();
                let (due, _) = lingering.front()?;
                if *due > now {
                    return Some(*due);
                }
                lingering.pop_front()?.1
            };
            if is_needed(&subject) {
                self.lingering.lock().push_back((now + NEEDED_FOR, subject));
                continue;
            }
            self.give_up_one(adapter, subject, Some(now));
        }
        Some(now + GIVES_UP_AGAIN_AFTER)
    }

    /// Gives up a subject that was taken from those that linger, if nobody claims it and its time has come, should that be
    /// asked for.
    fn give_up_one(&self, adapter: &impl Adapter, subject: Subject, now: Option<Instant>) {
        let Entry::Occupied(mut entry) = self.subjects.entry(subject) else { return };
        match entry.get().unclaimed_since.map(|since| since + self.linger) {
            Some(due) if now.is_none_or(|now| due <= now) => {
                adapter.unsubscribe(entry.key());
                self.chains.end(entry.key(), entry.get().subscription);
                if let Confirmation::Asked(waiters) = entry.remove().confirmation {
                    self.waiting.fetch_sub(waiters.len() as u64, Ordering::Relaxed);
                }
            }
            Some(due) => self.lingering.lock().push_back((due, entry.key().clone())),
            None => entry.get_mut().is_listed = false,
        }
    }

    /// Some subjects may have a history by now. They are followed from now on, and nothing is known of them: those whose events do not
    /// come yet are only known when they do.
    pub(super) fn follow(&self, has_history: impl Fn(&Subject) -> bool) {
        for entry in &self.subjects {
            if has_history(entry.key()) {
                let is_confirmed = matches!(entry.confirmation, Confirmation::Confirmed);
                self.chains.open_adrift(entry.key(), entry.subscription, is_confirmed);
            }
        }
    }

    /// The subscription by which events of a subject come, if it is wanted.
    pub(super) fn subscription(&self, subject: &Subject) -> Option<u64> {
        self.subjects.get(subject).map(|claimed| claimed.subscription)
    }

    /// Whether the engine has confirmed that the events of a subject come.
    pub(super) fn is_confirmed(&self, subject: &Subject) -> bool {
        let claimed = self.subjects.get(subject);
        claimed.is_some_and(|claimed| matches!(claimed.confirmation, Confirmation::Confirmed))
    }

    /// The cache channels among those that are wanted.
    pub(super) fn cached(&self) -> Vec<Subject> {
        let is_cache = |subject: &Subject| matches!(subject, Subject::Channel { channel, .. } if channel.channel_type().is_cache());
        self.subjects.iter().map(|entry| entry.key().clone()).filter(is_cache).collect()
    }

    /// Subjects that this node is subscribed to at the engine, or has asked for.
    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Joins that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) as usize
    }

    fn new_waiter(&self, waiters: &mut Vec<oneshot::Sender<()>>) -> oneshot::Receiver<()> {
        let (waiter, settled) = oneshot::channel();
        if waiters.len() == waiters.capacity() {
            // A client may subscribe and leave in turn: only those take room who still wait.
            let before = waiters.len();
            waiters.retain(|waiter| !waiter.is_closed());
            self.waiting.fetch_sub((before - waiters.len()) as u64, Ordering::Relaxed);
        }
        waiters.push(waiter);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.counts.joins_waited.add_from_anywhere(1);
        settled
    }

    fn unconfirmed(&self) -> Claim {
        self.counts.joins_unconfirmed.add_from_anywhere(1);
        Claim::Settled
    }

    /// Settles those who wait for a subscription, once the engine has answered or for too long has not. Where it refuses, it is
    /// asked again from time to time.
    async fn until_confirmed<A: Adapter>(
        self: Arc<Self>,
        asked: AskedSubject<A>,
        mut answer: oneshot::Receiver<Result<(), EngineError>>,
        mut recall: Option<Recalling>,
    ) {
        loop {
            let mut answering = Box::pin(async {
                let answer = answer.await;
                if let Ok(Ok(())) = &answer {
                    if asked.is_chained {
                        // It has ended by then, if nobody tells.
                        let _ = self.chains.begin(&asked.subject, asked.subscription).await;
                    }
                    if let Some(recall) = recall.take() {
                        recall.await;
                    }
                }
                answer
            });
            let in_time = timeout(self.wait, &mut answering).await;
            let answered = match in_time {
                Ok(answered) => answered,
                Err(_) => {
                    self.be_late(&asked);
                    let late = self.settle(&asked, Confirmation::Overdue);
                    self.counts.joins_timed_out.add_from_anywhere(late as u64);
                    answering.await
                }
            };
            let (confirmation, is_known) = match &answered {
                Ok(Ok(())) => (Confirmation::Confirmed, true),
                // Whoever is subscribed while the link is away is confirmed before it is up again.
                Ok(Err(EngineError::Away)) => (Confirmation::Confirmed, false),
                // It does not want to, or the adapter has gone.
                Ok(Err(EngineError::Refused(_))) | Err(_) => (Confirmation::Overdue, false),
            };
            if !is_known {
                self.be_late(&asked);
            }
            let is_confirmed = matches!(confirmation, Confirmation::Confirmed);
            let unconfirmed = self.settle(&asked, confirmation);
            if is_confirmed && !asked.is_chained {
                // It may have a history since.
                self.chains.confirm(&asked.subject, asked.subscription);
            }
            if !is_known {
                self.counts.joins_unconfirmed.add_from_anywhere(unconfirmed as u64);
            }
            let Ok(Err(EngineError::Refused(reason))) = answered else { return };
            tracing::warn!(%reason, "the engine refuses a subscription: events of other nodes do not come");
            sleep(ASKS_AGAIN_AFTER).await;
            let Some(again) = self.ask_again(&asked) else { return };
            answer = again;
        }
    }

    /// Whoever waits joins, without knowing what there is.
    fn be_late<A>(&self, asked: &AskedSubject<A>) {
        if asked.is_chained {
            self.chains.be_late(&asked.subject, asked.subscription);
        }
    }

    /// Asks the engine once more for a subject, if it is still wanted by the same subscription.
    fn ask_again(
        &self,
        asked: &AskedSubject<impl Adapter>,
    ) -> Option<oneshot::Receiver<Result<(), EngineError>>> {
        let adapter = asked.adapter.upgrade()?;
        let claimed = self.subjects.get(&asked.subject)?;
        if claimed.subscription != asked.subscription {
            return None;
        }
        let (ticket, answer) = oneshot::channel();
        adapter.subscribe(claimed.key(), Some(ticket.into()));
        Some(answer)
    }

    /// Settles those who wait; returns how many they were.
    fn settle<A>(&self, asked: &AskedSubject<A>, confirmation: Confirmation) -> usize {
        let Some(mut claimed) = self.subjects.get_mut(&asked.subject) else { return 0 };
        if claimed.subscription != asked.subscription {
            return 0;
        }
        let before = std::mem::replace(&mut claimed.confirmation, confirmation);
        let Confirmation::Asked(waiters) = before else { return 0 };
        self.waiting.fetch_sub(waiters.len() as u64, Ordering::Relaxed);
        // Whoever does not wait any more has released its claim.
        waiters.into_iter().filter_map(|waiter| waiter.send(()).ok()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inbox::inbox;
    use super::super::local::{LocalAdapter, LocalEngine};
    use super::*;
    use crate::channel::NodeId;
    use crate::protocol::ChannelName;

    const LINGER: Duration = Duration::from_secs(5);

    /// An engine, a member of it, and the claims of that.
    fn world() -> (LocalEngine, Arc<LocalAdapter>, Arc<Claims>, Arc<ClusterCounts>) {
        let engine = LocalEngine::new();
        let adapter = Arc::new(engine.join(inbox(1000, 1 << 20).0));
        let counts = Arc::<ClusterCounts>::default();
        let wait = Duration::from_millis(50);
        let claims = Claims::new(
            runtime::Handle::current(),
            wait,
            LINGER,
            Arc::new(Chains::new(0, 0)),
            Arc::clone(&counts),
        );
        (engine, adapter, claims, counts)
    }

    fn subject() -> Subject {
        Subject::Channel { app: "1".into(), channel: ChannelName::parse("news", 164).unwrap() }
    }

    fn block_on(test: impl Future<Output = ()>) {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn whoever_waits_for_too_long_waits_no_longer_and_is_counted() {
        block_on(async {
            let (_engine, adapter, claims, counts) = world();
            adapter.faults().delay(Duration::from_secs(3600));
            let Claim::Waiting(settled) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            assert_eq!(claims.waiting(), 1);
            settled.await.unwrap();
            assert!(
                matches!(claims.claim(&adapter, subject(), KnownFirst::default()), Claim::Settled),
                "nor the next one"
            );
            let figures = counts.read();
            assert_eq!((figures.joins_waited, figures.joins_timed_out, figures.joins_unconfirmed), (1, 1, 1));
            assert_eq!(claims.waiting(), 0);
        });
    }

    #[test]
    fn a_subscription_that_was_refused_is_asked_for_again_as_long_as_it_is_wanted() {
        block_on(async {
            let (engine, adapter, claims, counts) = world();
            adapter.faults().refuse(subject());
            let Claim::Waiting(settled) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            settled.await.unwrap();
            assert_eq!((claims.is_confirmed(&subject()), counts.read().joins_unconfirmed), (false, 1));
            let confirmed = async {
                while !claims.is_confirmed(&subject()) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(60), confirmed).await.unwrap();
            assert_eq!(engine.wanted_by(&subject()), 1);
            assert!(matches!(claims.claim(&adapter, subject(), KnownFirst::default()), Claim::Settled));
        });
    }

    #[test]
    fn nobody_waits_while_the_bus_is_away() {
        block_on(async {
            let (_engine, adapter, claims, counts) = world();
            claims.set_away(true);
            assert!(matches!(claims.claim(&adapter, subject(), KnownFirst::default()), Claim::Settled));
            assert_eq!(counts.read().joins_unconfirmed, 1);
            claims.set_away(false);
            let Claim::Waiting(settled) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            settled.await.unwrap();
            claims.set_away(true);
            assert!(matches!(claims.claim(&adapter, subject(), KnownFirst::default()), Claim::Settled));
            assert_eq!(counts.read().joins_unconfirmed, 2, "although it was confirmed before");
        });
    }

    #[test]
    fn many_are_given_up_some_at_a_time_and_nobody_is_left_waiting() {
        block_on(async {
            let (_engine, adapter, claims, _) = world();
            adapter.faults().delay(Duration::from_secs(3600));
            let many = GIVEN_UP_AT_ONCE + 1;
            for n in 0..many {
                let channel = ChannelName::parse(&format!("room-{n}"), 164).unwrap();
                let subject = Subject::Channel { app: "1".into(), channel };
                assert!(matches!(
                    claims.claim(&adapter, subject.clone(), KnownFirst::default()),
                    Claim::Waiting(_)
                ));
                claims.release(&*adapter, &subject);
            }
            let later = Instant::now() + LINGER;
            assert_eq!(claims.give_up(&*adapter, later, |_| false), Some(later + GIVES_UP_AGAIN_AFTER));
            assert_eq!(claims.len(), 1);
            assert_eq!(
                (claims.give_up(&*adapter, later, |_| false), claims.len(), claims.waiting()),
                (None, 0, 0)
            );
        });
    }

    #[test]
    fn whoever_leaves_while_it_waits_takes_no_room() {
        block_on(async {
            let (_engine, adapter, claims, _) = world();
            adapter.faults().delay(Duration::from_secs(3600));
            let Claim::Waiting(_stays) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            for _ in 0..10_000 {
                assert!(matches!(
                    claims.claim(&adapter, subject(), KnownFirst::default()),
                    Claim::Waiting(_)
                ));
                claims.release(&*adapter, &subject());
            }
            assert!(claims.waiting() < 10, "{}", claims.waiting());
        });
    }

    #[test]
    fn what_is_claimed_again_within_time_is_not_given_up() {
        block_on(async {
            let (engine, adapter, claims, _) = world();
            let Claim::Waiting(settled) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            settled.await.unwrap();
            let first = claims.subscription(&subject());
            claims.release(&*adapter, &subject());
            assert!(matches!(claims.claim(&adapter, subject(), KnownFirst::default()), Claim::Settled));
            let later = Instant::now() + LINGER;
            assert_eq!(claims.give_up(&*adapter, later, |_| false), None);
            assert_eq!((engine.wanted_by(&subject()), claims.subscription(&subject())), (1, first));
            claims.release(&*adapter, &subject());
            assert!(claims.give_up(&*adapter, later - LINGER, |_| false).is_some(), "not yet");
            assert_eq!(claims.give_up(&*adapter, later + LINGER, |_| false), None);
            assert_eq!((engine.wanted_by(&subject()), claims.subscription(&subject())), (0, None));
            let Claim::Waiting(_) = claims.claim(&adapter, subject(), KnownFirst::default()) else {
                panic!()
            };
            assert_ne!(claims.subscription(&subject()), first);
        });
    }

    #[test]
    fn what_is_needed_is_given_up_a_moment_later() {
        block_on(async {
            let (engine, adapter, claims, _) = world();
            claims.claim(&adapter, subject(), KnownFirst::default());
            claims.release(&*adapter, &subject());
            let then = Instant::now() + LINGER;
            let again = claims.give_up(&*adapter, then, |needed| *needed == subject());
            assert_eq!((again, engine.wanted_by(&subject())), (Some(then + NEEDED_FOR), 1));
            assert_eq!(claims.give_up(&*adapter, then + NEEDED_FOR, |_| false), None);
            assert_eq!(engine.wanted_by(&subject()), 0);
        });
    }

    #[test]
    fn the_oldest_of_too_many_that_linger_is_given_up_at_once() {
        block_on(async {
            let (engine, adapter, claims, _) = world();
            let subject = |n: usize| Subject::Node(NodeId::new(n as u128));
            for n in 0..=MOST_LINGERING {
                claims.claim(&adapter, subject(n), KnownFirst::default());
                claims.release(&*adapter, &subject(n));
            }
            assert_eq!(claims.len(), MOST_LINGERING);
            assert_eq!([0, 1, MOST_LINGERING].map(|n| engine.wanted_by(&subject(n))), [0, 1, 1]);
        });
    }
}
