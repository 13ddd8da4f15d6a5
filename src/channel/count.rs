//! When the subscribers of a channel are told how many they are.

use std::time::{Duration, Instant};

/// Up to this many subscribers are told of every change. The protocol's own figure.
pub(crate) const TOLD_AT_ONCE: usize = 100;

/// More are told once per window of this length, and only if something changed. The protocol's own figure.
pub(crate) const WINDOW: Duration = Duration::from_secs(5);

/// What to do about a change of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountChange {
    /// Tell it now.
    Tell,
    /// A window begins: look again at its end.
    Later(Instant),
    /// A window has begun; its end will tell.
    Pending,
}

/// The window of one channel, if one is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CountWindow {
    ends: Option<Instant>,
}

impl CountWindow {
    /// The number of subscribers has changed to `count`.
    pub(super) fn changed(&mut self, count: usize, now: Instant) -> CountChange {
        if count <= TOLD_AT_ONCE {
            self.ends = None;
            return CountChange::Tell;
        }
        match self.ends {
            Some(_) => CountChange::Pending,
            None => {
                let ends = now + WINDOW;
                self.ends = Some(ends);
                CountChange::Later(ends)
            }
        }
    }

    /// Whether the window that was to end has: the latest count is to be told then, and the next change begins
    /// another.
    pub(super) fn take_end(&mut self, now: Instant) -> bool {
        self.ends.take_if(|ends| *ends <= now).is_some()
    }

    /// When the open window ends.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_are_told_of_everything() {
        let now = Instant::now();
        let mut window = CountWindow::default();
        assert!((1..=100).all(|count| window.changed(count, now) == CountChange::Tell));
        assert!(!window.take_end(now + WINDOW));
    }

    #[test]
    fn more_are_told_once_per_window_and_only_of_changes() {
        let now = Instant::now();
        let end = now + WINDOW;
        let mut window = CountWindow::default();
        assert_eq!(window.changed(101, now), CountChange::Later(end));
        assert_eq!(window.changed(102, now), CountChange::Pending);
        assert!(!window.take_end(end - Duration::from_millis(1)));
        assert!(window.take_end(end));
        assert!(!window.take_end(end + WINDOW), "nothing changed since");
        assert_eq!(window.changed(103, end), CountChange::Later(end + WINDOW));
        assert_eq!(window.changed(100, end), CountChange::Tell, "few enough again");
        assert!(!window.take_end(end + WINDOW), "it has been told");
    }
}
