//! The event log of one app under test: what happened, in order, and a word to those who wait for more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::entry::{Details, Entry, Kind};

/// Entries that the log of one app holds. Over it: the oldest are forgotten, and their number is told.
pub(crate) const LOG_ENTRIES: usize = 20_000;

/// Bytes that they hold together. Over it: the oldest are forgotten.
pub(crate) const LOG_BYTES: usize = 32 * 1024 * 1024;

/// The log of one app. Writing to it never waits for those who read.
#[derive(Debug)]
pub struct EventLog {
    began: Instant,
    ring: Mutex<Ring>,
    /// The number of the last entry; changes with each, and with whatever else is worth another look.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number of the last entry.
    last: u64,
    /// The number of the last entry that is no longer there because the log was full or cleared.
    forgotten: u64,
    /// The last entry that was cleared away by a reset: nothing up to it is missed.
    cleared: u64,
}

/// Entries of a log, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excerpt {
    pub entries: Vec<Arc<Entry>>,
    /// The number of the last entry that was looked at.
    pub last: u64,
    /// Entries that should have been looked at, but had been forgotten.
    pub forgotten: u64,
}

impl Default for EventLog {
    fn default() -> Self {
        EventLog { began: Instant::now(), ring: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl EventLog {
    /// Writes an entry.
    pub fn write(&self, kind: Kind, details: Details) {
        let at_ms = (self.began.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        {
            let mut ring = self.ring.lock();
            ring.last += 1;
            ring.bytes += details.bytes();
            let entry = Entry { seq: ring.last, at_ms, kind, details };
            ring.entries.push_back(Arc::new(entry));
            while ring.entries.len() > LOG_ENTRIES || ring.bytes > LOG_BYTES {
                let Some(oldest) = ring.entries.pop_front() else { break };
                ring.bytes -= oldest.details.bytes();
                ring.forgotten = oldest.seq;
            }
        }
        self.touch();
    }

    /// Forgets everything. Numbers go on where they were.
    pub fn clear(&self) {
        {
            let mut ring = self.ring.lock();
            ring.entries = VecDeque::new();
            (ring.bytes, ring.forgotten, ring.cleared) = (0, ring.last, ring.last);
        }
        self.touch();
    }

    /// The entries after number `after` (0: all) that `wanted` accepts.
    pub fn after(&self, after: u64, mut wanted: impl FnMut(&Entry) -> bool) -> Excerpt {
        // What is looked at is shared, so that nobody who writes waits for the filter.
        let (entries, last, forgotten) = {
            let ring = self.ring.lock();
            let from = ring.entries.partition_point(|entry| entry.seq <= after);
            let entries: Vec<_> = ring.entries.range(from..).cloned().collect();
            (entries, ring.last, ring.forgotten.saturating_sub(after.max(ring.cleared)))
        };
        let entries = entries.into_iter().filter(|entry| wanted(entry)).collect();
        Excerpt { entries, last, forgotten }
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.ring.lock().last
    }

    /// Told of every entry from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Has those who wait look again.
    pub fn touch(&self) {
        // Nobody is woken under the ring's lock.
        let last = self.last();
        self.last.send_replace(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Details {
        Details { name: Some(name.into()), ..Details::default() }
    }

    #[test]
    fn entries_are_numbered_and_can_be_had_from_any_number_on() {
        let log = EventLog::default();
        for name in ["a", "b", "c"] {
            log.write(Kind::Event, named(name));
        }
        let all = log.after(0, |_| true);
        assert_eq!(all.entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
        let some = log.after(1, |entry| entry.details.name.as_deref() != Some("b"));
        assert_eq!(some.entries.len(), 1);
        assert_eq!((some.last, some.forgotten), (3, 0));
        assert!(log.after(9, |_| true).entries.is_empty());
    }

    #[test]
    fn a_full_log_forgets_the_oldest_and_says_so() {
        let log = EventLog::default();
        for _ in 0..LOG_ENTRIES + 7 {
            log.write(Kind::Connected, Details::default());
        }
        let all = log.after(0, |_| true);
        assert_eq!((all.entries.len(), all.forgotten), (LOG_ENTRIES, 7));
        assert_eq!(log.after(5, |_| true).forgotten, 2);
        assert_eq!(log.after(50, |_| true).forgotten, 0);
        let large = "x".repeat(LOG_BYTES / 2);
        for _ in 0..3 {
            log.write(Kind::Event, named(&large));
        }
        assert_eq!(log.after(0, |_| true).entries.len(), 1, "two would be too many bytes");
    }

    #[test]
    fn a_cleared_log_misses_nothing_and_counts_on() {
        let log = EventLog::default();
        log.write(Kind::Connected, Details::default());
        log.clear();
        log.write(Kind::Connected, Details::default());
        let all = log.after(0, |_| true);
        assert_eq!((all.entries.len(), all.entries[0].seq, all.forgotten), (1, 2, 0));
    }

    #[test]
    fn every_entry_is_announced() {
        let log = EventLog::default();
        let watch = log.watch();
        assert!(!watch.has_changed().unwrap());
        log.write(Kind::Connected, Details::default());
        assert!(watch.has_changed().unwrap());
    }
}
