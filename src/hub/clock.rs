//! The time of one app: the machine's, and what a test has added to it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::recovery::NameTimes;

use super::due::{Agenda, Busy, Due, Timed};

/// Milliseconds since 1970, by the machine's clock.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}

/// An app's clock. Everything that an app measures is measured by it: silence, what is remembered, rates. It goes as
/// the machine's does and is never set back; in test mode it can be advanced.
#[derive(Debug, Default)]
pub struct Clock {
    /// By how much it has been advanced.
    advanced_ms: AtomicU64,
    /// Told each time it is.
    advances: Notify,
    /// In test mode: what waits for it.
    agenda: OnceLock<Arc<Agenda>>,
}

thread_local! {
    /// The clock that stands still on this thread, by its address, and by how much it was advanced then.
    static HELD: Cell<Option<(usize, u64)>> = const { Cell::new(None) };
}

/// A piece of work during which a clock stands still on this thread, as far as tests advance it. It lasts until this is
/// dropped.
pub struct ClockStep {
    before: Option<(usize, u64)>,
    _busy: Busy,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

impl Drop for ClockStep {
    fn drop(&mut self) {
        HELD.set(self.before);
    }
}

impl Clock {
    /// What time it is.
    pub fn now(&self) -> Instant {
        self.at(Instant::now())
    }

    /// The same, as clients' names are kept by it.
    pub(super) fn name_times(&self) -> NameTimes {
        NameTimes { node: Instant::now(), app: self.now(), ms: unix_ms() }
    }

    /// What time it is when the machine's clock says `machine`.
    pub fn at(&self, machine: Instant) -> Instant {
        match self.advanced_ms.load(Ordering::Acquire) {
            0 => machine,
            ms => machine + Duration::from_millis(self.held_ms().unwrap_or(ms)),
        }
    }

    /// A step of the work on this thread, which sees no advance while it lasts. Test mode needs that: something is announced
    /// to several, one of them tells a test, and the test advances the clock before the others have looked at it.
    pub fn step(&self) -> ClockStep {
        let before = HELD.get();
        if before.is_none() {
            HELD.set(Some((self.address(), self.advanced_ms.load(Ordering::Acquire))));
        }
        ClockStep { before, _busy: self.busy(), _thread: PhantomData }
    }

    fn held_ms(&self) -> Option<u64> {
        HELD.get().filter(|(address, _)| *address == self.address()).map(|(_, ms)| ms)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// From now on it is known what waits for it. The first list that is given stays.
    pub fn set_agenda(&self, agenda: Arc<Agenda>) {
        let _ = self.agenda.set(agenda);
    }

    /// Something is to happen when this clock says `time`. Returns what the machine's says then, if this one is not
    /// advanced before, and what is to be held until it has happened.
    pub fn wait_until(&self, time: Instant, what: Timed) -> (Instant, Due) {
        let due = self.agenda.get().map_or_else(Due::default, |agenda| agenda.enter(time, what));
        (self.machine_time(time), due)
    }

    /// Waits until this clock says `time`; that somebody does is known at once. What is returned is to be held until that
    /// has happened which was waited for, and until it is known what will be waited for next.
    pub fn sleep_until(&self, time: Instant, what: Timed) -> impl Future<Output = Due> {
        let (_, due) = self.wait_until(time, what);
        async move {
            loop {
                let mut advanced = pin!(self.advances.notified());
                // An advance from here on is noticed.
                advanced.as_mut().enable();
                tokio::select! {
                    () = tokio::time::sleep_until(self.machine_time(time).into()) => return due,
                    () = advanced => {}
                }
            }
        }
    }

    /// Something is being done now: whoever waits for what is due waits for that, too, because it may find more that is to
    /// be waited for.
    pub fn busy(&self) -> Busy {
        self.agenda.get().map(|agenda| agenda.busy(self.now())).unwrap_or_default()
    }

    /// What the machine's clock says when this one says `time`. Whoever waits for that asks by
    /// [`wait_until`](Clock::wait_until).
    fn machine_time(&self, time: Instant) -> Instant {
        time.checked_sub(self.advanced()).unwrap_or(time)
    }

    /// By how much it has been advanced.
    pub fn advanced(&self) -> Duration {
        Duration::from_millis(self.advanced_ms.load(Ordering::Acquire))
    }

    /// Advances it; [`Hub::advance_clock`](super::Hub::advance_clock) does, and has everything looked at again.
    pub(super) fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX / 2);
        self.advanced_ms.fetch_add(ms, Ordering::AcqRel);
        self.advances.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advanced_clock_is_ahead_of_the_machines() {
        let clock = Clock::default();
        let now = Instant::now();
        assert_eq!((clock.at(now), clock.machine_time(now)), (now, now));
        clock.advance(Duration::from_secs(60));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.advanced(), Duration::from_secs(65));
        let later = now + Duration::from_secs(65);
        assert_eq!((clock.at(now), clock.machine_time(later)), (later, now));
        assert!(clock.now() >= later);
    }

    #[test]
    fn a_held_clock_is_not_advanced_for_its_thread() {
        let (clock, other) = (Clock::default(), Clock::default());
        let hour = Duration::from_secs(3600);
        let now = Instant::now();
        let outer = clock.step();
        {
            let _inner = clock.step();
            clock.advance(hour);
            other.advance(hour);
        }
        assert_eq!((clock.at(now), other.at(now)), (now, now + hour), "until the outer one ends");
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(clock.at(now), now + hour, "others see it at once"));
        });
        drop(outer);
        assert_eq!(clock.at(now), now + hour);
    }

    #[test]
    fn what_is_being_done_is_waited_for() {
        let clock = Clock::default();
        clock.set_agenda(Arc::default());
        let agenda = clock.agenda.get().unwrap();
        let held = clock.step();
        assert!(agenda.next().is_some_and(|(time, _)| time <= clock.now()));
        agenda.note();
        drop(held);
        assert_eq!((agenda.next(), agenda.noted(clock.now())), (None, Vec::new()));
    }

    #[tokio::test]
    async fn who_sleeps_is_woken_by_an_advance() {
        let clock = Clock::default();
        let hour = Duration::from_secs(3600);
        let until = clock.now() + hour;
        let advancing = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                clock.advance(hour / 2);
            }
        };
        let _ = tokio::join!(clock.sleep_until(until, Timed::Ping), advancing);
        assert!(clock.now() >= until);
    }
}
