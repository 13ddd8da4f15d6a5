//! Doubt whether who holds a track may still film: settings have changed, and what comes of it will tell.

use std::time::{Duration, Instant};

/// So long after the settings have changed, what comes may have been judged by those before.
const JUDGED_WITHIN: Duration = Duration::from_secs(1);

/// The settings have changed, and nothing has come yet that was judged by those that there are now.
#[derive(Clone, Copy, Debug)]
pub(super) struct HolderDoubt {
    since: Instant,
    /// When they changed for the last time.
    last: Instant,
}

impl HolderDoubt {
    /// The settings change. Where there is doubt already, its time goes on.
    pub(super) fn raised(before: Option<HolderDoubt>, now: Instant) -> Self {
        HolderDoubt { since: before.map_or(now, |doubt| doubt.since), last: now }
    }

    /// Since when there is doubt.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// What is left of it when something has come and was taken: what was judged by earlier settings says nothing of later ones.
    pub(super) fn after_message(self, now: Instant) -> Option<Self> {
        let is_open = |changed: &Instant| *changed + JUDGED_WITHIN > now;
        let last = Some(self.last).filter(is_open)?;
        Some(HolderDoubt { since: Some(self.since).filter(is_open).unwrap_or(last), last })
    }
}
