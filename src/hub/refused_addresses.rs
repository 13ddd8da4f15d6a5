//! How often each client address was refused of late, where that is bounded: who guesses keys and signatures, or floods the
//! log with refusals, is not listened to for a while.
//!
//! A window of a minute begins with the first refusal of an address. What comes of it once the window holds as many
//! refusals as are allowed is refused unseen, and counts no more: so every window ends.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::addresses::AddressGroup;
use super::counters::Counter;

/// How long a window lasts.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered at once. Of one more, the one whose window began first is forgotten.
const MOST_ADDRESSES: usize = 16_384;

/// The refusals of each address. Nobody is remembered while there is no bound.
#[derive(Debug, Default)]
pub struct RefusedAddresses {
    most: AtomicUsize,
    unseen: Counter,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    by_address: HashMap<AddressGroup, Window>,
    /// In the order in which their windows began.
    order: VecDeque<AddressGroup>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    refusals: usize,
}

/// The address was refused as often as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests from this address were refused: try again in {seconds} s")]
pub struct RefusedTooOften {
    /// How long it lasts, in whole seconds, at least one.
    pub seconds: u64,
}

impl RefusedTooOften {
    fn for_time(left: Duration) -> Self {
        RefusedTooOften { seconds: left.as_secs_f64().ceil() as u64 }
    }
}

impl RefusedAddresses {
    /// How often an address may be refused per minute; 0 lifts the bound. It is told at the start, and holds until the end.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
        *self.windows.lock() = Windows::default();
    }

    /// Whether there is a bound: without one, nobody need find out who asks.
    pub fn is_bounded(&self) -> bool {
        self.most.load(Ordering::Relaxed) > 0
    }

    /// Whether what comes of this address may be looked at. What may not is counted.
    ///
    /// # Errors
    /// If the address was refused as often as it may be.
    pub fn check(&self, address: Option<AddressGroup>, now: Instant) -> Result<(), RefusedTooOften> {
        let most = self.most.load(Ordering::Relaxed);
        let Some(address) = address.filter(|_| most > 0) else { return Ok(()) };
        let window = self.windows.lock().by_address.get(&address).copied();
        let left = window.filter(|window| window.refusals >= most).map(|window| window.left(now));
        match left.filter(|left| !left.is_zero()) {
            None => Ok(()),
            Some(left) => {
                self.unseen.add_from_anywhere(1);
                Err(RefusedTooOften::for_time(left))
            }
        }
    }

    /// This address was refused once more. Tells when that is as often as it may be: nothing more is looked at until the
    /// window ends.
    pub fn add(&self, address: Option<AddressGroup>, now: Instant) -> Option<RefusedTooOften> {
        let most = self.most.load(Ordering::Relaxed);
        let address = address.filter(|_| most > 0)?;
        let mut windows = self.windows.lock();
        windows.forget(now);
        let window = windows.enter(address, now);
        window.refusals += 1;
        (window.refusals == most).then(|| RefusedTooOften::for_time(window.left(now)))
    }

    /// How many addresses are remembered.
    pub fn len(&self, now: Instant) -> usize {
        let mut windows = self.windows.lock();
        windows.forget(now);
        windows.order.len()
    }

    /// How often something was refused unseen.
    pub fn unseen(&self) -> u64 {
        self.unseen.get()
    }
}

impl Window {
    fn left(&self, now: Instant) -> Duration {
        WINDOW.saturating_sub(now.saturating_duration_since(self.began))
    }
}

impl Windows {
    /// Forgets those whose windows have ended, and gives the room back that many have taken.
    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.order.front() {
            if self.by_address.get(first).is_some_and(|window| !window.left(now).is_zero()) {
                break;
            }
            self.forget_first();
        }
        if self.order.capacity() > 64 && self.order.len() < self.order.capacity() / 8 {
            self.order.shrink_to(2 * self.order.len());
            self.by_address.shrink_to(2 * self.order.len());
        }
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.order.pop_front() {
            self.by_address.remove(&first);
        }
    }

    /// The window of an address, which begins now if there is none.
    fn enter(&mut self, address: AddressGroup, now: Instant) -> &mut Window {
        if !self.by_address.contains_key(&address) {
            if self.order.len() >= MOST_ADDRESSES {
                self.forget_first();
            }
            self.order.push_back(address);
        }
        self.by_address.entry(address).or_insert(Window { began: now, refusals: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<AddressGroup> {
        text.parse().ok().map(AddressGroup::of)
    }

    #[test]
    fn who_is_refused_too_often_is_not_looked_at_until_the_minute_is_over() {
        let (refused, now) = (RefusedAddresses::default(), Instant::now());
        let one = address("192.0.2.1");
        assert_eq!((refused.add(one, now), refused.len(now)), (None, 0), "there is no bound");
        refused.set_most(3);
        for n in 0..2 {
            assert_eq!(refused.add(one, now + Duration::from_secs(n)), None);
            assert_eq!(refused.check(one, now), Ok(()));
        }
        let told = Some(RefusedTooOften { seconds: 50 });
        assert_eq!(refused.add(one, now + Duration::from_secs(10)), told, "it is told once");
        assert_eq!(refused.add(one, now + Duration::from_secs(10)), None);
        let later = |millis| now + Duration::from_millis(millis);
        assert_eq!(refused.check(one, later(59_500)), Err(RefusedTooOften { seconds: 1 }));
        assert_eq!(refused.check(one, later(60_000)), Ok(()));
        assert_eq!(refused.add(one, later(60_000)), None, "another window");
        assert_eq!((refused.len(later(60_000)), refused.len(later(120_000)), refused.unseen()), (1, 0, 1));
        for other in ["192.0.2.2", "2001:db8::1", "no address"] {
            assert_eq!(refused.check(address(other), now), Ok(()), "{other}");
        }
    }

    #[test]
    fn a_network_of_version_6_is_one_address_and_who_hides_behind_a_proxy_another() {
        let (refused, now) = (RefusedAddresses::default(), Instant::now());
        refused.set_most(1);
        let _ = refused.add(address("2001:db8::1"), now);
        let proxy = "10.0.0.1".parse().ok();
        let _ = refused.add(Some(AddressGroup::behind(proxy)), now);
        assert!(refused.check(address("2001:db8::ffff:0:0:1"), now).is_err());
        assert!(refused.check(address("2001:db8:0:1::1"), now).is_ok());
        assert!(refused.check(Some(AddressGroup::behind(proxy)), now).is_err());
        assert!(refused.check(address("10.0.0.1"), now).is_ok(), "the proxy's own programs go on");
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let (refused, now) = (RefusedAddresses::default(), Instant::now());
        refused.set_most(1);
        let numbered = |n: u32| Some(AddressGroup::of(std::net::Ipv4Addr::from(n).into()));
        for n in 0..20_000 {
            let _ = refused.add(numbered(n), now);
        }
        assert_eq!(refused.len(now), MOST_ADDRESSES);
        assert_eq!(refused.windows.lock().by_address.len(), MOST_ADDRESSES);
        assert!(refused.check(numbered(0), now).is_ok() && refused.check(numbered(19_999), now).is_err());
        assert_eq!(refused.len(now + WINDOW), 0);
        assert!(refused.windows.lock().order.capacity() <= 64);
    }
}
