//! What waits for the clock of an app under test: so that a test can have it advanced to whatever is due next.
//!
//! A wait on an app's clock can be had from [`Clock`](super::Clock) alone, and comes with a [`Due`] that stands for it
//! here as long as it lives. Where no test asks, a [`Due`] is empty and costs nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What can be due by an app's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timed {
    /// A connection has been silent, and is pinged.
    Ping,
    /// A ping went unanswered: the connection ends.
    PongTimeout,
    /// A connection that cannot be pinged has been silent for a day: it ends.
    Inactivity,
    /// A connection had to authorize itself by now.
    Authorization,
    /// The count of subscribers of a channel with many is told.
    SubscriptionCount,
    /// What a cache channel remembers is forgotten.
    CacheExpiry,
    /// A session of the HTTP fallbacks gives a sign of life on its stream.
    SessionHeartbeat,
    /// A poll of a session has been held long enough.
    PollHold,
    /// Nobody has received on a session for too long: it ends.
    SessionEnd,
    /// A stream over HTTP gives a sign of life.
    StreamHeartbeat,
    /// A backend on the pipe's wire has been silent, and is pinged.
    PipePing,
    /// A backend on the pipe's wire has not answered a ping: it is given up.
    PipePongTimeout,
    /// A pipe rule sends what its pace has kept waiting.
    PipePace,
    /// Webhooks tell a removal that was held back.
    WebhookRemoval,
    /// A webhook has waited long enough for further events.
    WebhookBatch,
    /// A webhook is tried again.
    WebhookRetry,
    /// A frame that a fault holds back is sent.
    HeldFrame,
    /// A fault is over.
    FaultEnd,
}

impl Timed {
    /// All of them.
    pub const ALL: [Timed; 18] = [
        Timed::Ping,
        Timed::PongTimeout,
        Timed::Inactivity,
        Timed::Authorization,
        Timed::SubscriptionCount,
        Timed::CacheExpiry,
        Timed::SessionHeartbeat,
        Timed::PollHold,
        Timed::SessionEnd,
        Timed::StreamHeartbeat,
        Timed::PipePing,
        Timed::PipePongTimeout,
        Timed::PipePace,
        Timed::WebhookRemoval,
        Timed::WebhookBatch,
        Timed::WebhookRetry,
        Timed::HeldFrame,
        Timed::FaultEnd,
    ];

    /// Its name, as the control API has it.
    pub fn name(self) -> &'static str {
        match self {
            Timed::Ping => "ping",
            Timed::PongTimeout => "pong_timeout",
            Timed::Inactivity => "inactivity",
            Timed::Authorization => "authorization",
            Timed::SubscriptionCount => "subscription_count",
            Timed::CacheExpiry => "cache_expiry",
            Timed::SessionHeartbeat => "session_heartbeat",
            Timed::PollHold => "poll_hold",
            Timed::SessionEnd => "session_end",
            Timed::StreamHeartbeat => "stream_heartbeat",
            Timed::PipePing => "pipe_ping",
            Timed::PipePongTimeout => "pipe_pong_timeout",
            Timed::PipePace => "pipe_pace",
            Timed::WebhookRemoval => "webhook_removal",
            Timed::WebhookBatch => "webhook_batch",
            Timed::WebhookRetry => "webhook_retry",
            Timed::HeldFrame => "held_frame",
            Timed::FaultEnd => "fault_end",
        }
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What waits for one app's clock, by when. There is one entry per wait, and as many waits as there are connections,
/// sessions, remembered events and so on, each of which is bounded where it lives.
#[derive(Debug, Default)]
pub struct Agenda {
    state: Mutex<AgendaState>,
    /// Told when a wait ends.
    ended: Notify,
}

#[derive(Debug, Default)]
struct AgendaState {
    /// What is waited for; nothing where something is being done.
    waits: BTreeMap<WaitKey, Option<Timed>>,
    last: u64,
    /// What has happened since somebody wanted to know, with the earliest time for which that was meant.
    noted: Option<BTreeMap<Timed, Instant>>,
}

/// When, and a number that tells it from others of the same time.
type WaitKey = (Instant, u64);

impl Agenda {
    /// Something is being done since `time`.
    pub fn busy(self: &Arc<Self>, time: Instant) -> Busy {
        Busy { _due: self.insert(time, None) }
    }

    /// Notes a wait.
    pub fn enter(self: &Arc<Self>, time: Instant, what: Timed) -> Due {
        self.insert(time, Some(what))
    }

    fn insert(self: &Arc<Self>, time: Instant, what: Option<Timed>) -> Due {
        let mut state = self.state.lock();
        state.last += 1;
        let key = (time, state.last);
        state.waits.insert(key, what);
        Due { entry: Some(Box::new(Entered { agenda: Arc::clone(self), key, what })) }
    }

    /// The time for which somebody waits that comes next, and for what; for nothing where something is being done.
    pub fn next(&self) -> Option<(Instant, Option<Timed>)> {
        self.state.lock().waits.first_key_value().map(|((time, _), what)| (*time, *what))
    }

    /// From now on it is noted what happens.
    pub fn note(&self) {
        self.state.lock().noted = Some(BTreeMap::new());
    }

    /// What has happened since, of that which was due at `now` or before. No more is noted.
    pub fn noted(&self, now: Instant) -> Vec<Timed> {
        let noted = self.state.lock().noted.take().unwrap_or_default();
        noted.into_iter().filter(|(_, time)| *time <= now).map(|(what, _)| what).collect()
    }

    /// Waits until nobody waits any more for what was due at `now` or before: it is done, or given up.
    pub async fn settled(&self, now: Instant) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // What ends from here on is noticed.
            ended.as_mut().enable();
            if self.next().is_none_or(|(time, _)| time > now) {
                return;
            }
            ended.await;
        }
    }

    /// A wait is over; `what` has happened, if its time has come.
    fn leave(&self, key: WaitKey, what: Option<Timed>) {
        {
            let mut state = self.state.lock();
            state.waits.remove(&key);
            if let (Some(noted), Some(what)) = (&mut state.noted, what) {
                let earliest = noted.entry(what).or_insert(key.0);
                *earliest = key.0.min(*earliest);
            }
        }
        self.ended.notify_waiters();
    }
}

/// Stands for one wait on an app's clock. Who waits holds it until what was waited for is done; dropped after its time
/// it says so, before its time that nobody waits any more.
#[derive(Debug, Default)]
#[must_use = "the wait is given up when this is dropped"]
pub struct Due {
    entry: Option<Box<Entered>>,
}

/// Stands for something that is being done. Nothing was waited for, so nothing happens when it is done.
#[derive(Debug, Default)]
pub struct Busy {
    _due: Due,
}

#[derive(Debug)]
struct Entered {
    agenda: Arc<Agenda>,
    key: WaitKey,
    what: Option<Timed>,
}

impl Due {
    /// Nothing has happened: something came in between, or it will be later.
    pub fn put_off(mut self) {
        if let Some(entry) = &mut self.entry {
            entry.what = None;
        }
    }

    /// This is what happened, more exactly than it was announced.
    pub fn happened(mut self, what: Timed) {
        if let Some(entry) = &mut self.entry {
            entry.what = Some(what);
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.agenda.leave(self.key, self.what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_due_next_is_known_while_somebody_waits_for_it() {
        let (agenda, start) = (Arc::new(Agenda::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(agenda.next(), None);
        let later = agenda.enter(at(9), Timed::CacheExpiry);
        let sooner = agenda.enter(at(5), Timed::Ping);
        let same = agenda.enter(at(5), Timed::FaultEnd);
        assert_eq!(agenda.next(), Some((at(5), Some(Timed::Ping))));
        drop(sooner);
        assert_eq!(agenda.next(), Some((at(5), Some(Timed::FaultEnd))));
        drop(same);
        assert_eq!(agenda.next(), Some((at(9), Some(Timed::CacheExpiry))));
        drop(later);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn what_happens_is_told_from_what_is_given_up() {
        let (agenda, start) = (Arc::new(Agenda::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        drop(agenda.enter(at(1), Timed::HeldFrame));
        agenda.note();
        agenda.enter(at(5), Timed::Ping).put_off();
        drop(agenda.busy(at(5)));
        drop(agenda.enter(at(6), Timed::CacheExpiry));
        assert_eq!(agenda.noted(at(5)), [], "put off, nothing, and given up before its time");
        agenda.note();
        agenda.enter(at(5), Timed::Ping).happened(Timed::PongTimeout);
        drop(agenda.enter(at(6), Timed::FaultEnd));
        drop(agenda.enter(at(4), Timed::FaultEnd));
        assert_eq!(agenda.noted(at(5)), [Timed::PongTimeout, Timed::FaultEnd]);
        assert_eq!(agenda.noted(at(5)), []);
    }

    #[tokio::test]
    async fn it_is_settled_when_all_that_was_due_is_done() {
        let (agenda, start) = (Arc::new(Agenda::default()), Instant::now());
        let (due, other) = (agenda.enter(start, Timed::Ping), agenda.enter(start, Timed::Ping));
        let later = agenda.enter(start + Duration::from_secs(1), Timed::Ping);
        let doing = async {
            drop(due);
            tokio::task::yield_now().await;
            drop(other);
        };
        tokio::join!(agenda.settled(start), doing);
        assert_eq!(agenda.next().map(|(time, _)| time), Some(start + Duration::from_secs(1)));
        drop(later);
        agenda.settled(start + Duration::from_secs(9)).await;
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Timed::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Timed::ALL.len());
    }
}
