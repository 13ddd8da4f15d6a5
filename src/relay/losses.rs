//! Counts what a relay could not do for its events, and tells the log of it from time to time.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::outbound::DropLog;

use super::counts::RelayCounts;
use super::settings::RelayUrl;

/// The losses of one relay, each kind counted by itself.
#[derive(Debug)]
pub(super) struct Losses {
    app_id: String,
    counts: Arc<RelayCounts>,
    logged: Mutex<LossLogs>,
}

#[derive(Debug, Default)]
struct LossLogs {
    refused: DropLog,
    unknown: DropLog,
    dropped: DropLog,
    given_up: DropLog,
    not_relayed: DropLog,
    waits: DropLog,
    /// It has been told that events wait, and not yet that they are taken again: so the two take turns.
    is_unreachable: bool,
}

impl Losses {
    pub(super) fn new(app_id: String, counts: Arc<RelayCounts>) -> Self {
        Losses { app_id, counts, logged: Mutex::default() }
    }

    /// The server has published these.
    pub(super) fn sent(&self, url: &RelayUrl, events: usize) {
        self.counts.sent.add_from_anywhere(events as u64);
        if std::mem::take(&mut self.logged.lock().is_unreachable) {
            info!(app = self.app_id, target = %url, "the relay's server takes events again");
        }
    }

    /// The server does not want these, in its own words.
    pub(super) fn refused(&self, url: &RelayUrl, events: usize, status: u16, answer: &[u8]) {
        self.counts.refused.add_from_anywhere(events as u64);
        let Some(lost) = self.logged.lock().refused.add(events as u64, Instant::now()) else { return };
        let answer = String::from_utf8_lossy(answer);
        let answer = answer.trim();
        warn!(app = self.app_id, target = %url, events = lost, status, answer, "the relay's server has refused events");
    }

    /// Nobody knows what became of these.
    pub(super) fn unknown(&self, url: &RelayUrl, events: usize, reason: &str) {
        if events == 0 {
            return;
        }
        self.counts.unknown.add_from_anywhere(events as u64);
        let Some(lost) = self.logged.lock().unknown.add(events as u64, Instant::now()) else { return };
        warn!(
            app = self.app_id,
            target = %url,
            events = lost,
            reason,
            "events were written to the relay's server, and no answer says what became of them: they are not sent again"
        );
    }

    /// Another server has relayed one here, so it goes no further.
    pub(super) fn not_relayed(&self, url: &RelayUrl) {
        self.counts.not_relayed.add_from_anywhere(1);
        let Some(kept) = self.logged.lock().not_relayed.add(1, Instant::now()) else { return };
        info!(app = self.app_id, target = %url, events = kept, "events that another server has relayed here are not relayed further");
    }

    /// There was no room for one more.
    pub(super) fn dropped(&self, url: &RelayUrl) {
        self.counts.dropped.add_from_anywhere(1);
        let Some(lost) = self.logged.lock().dropped.add(1, Instant::now()) else { return };
        warn!(app = self.app_id, target = %url, events = lost, "events are not relayed: too many are waiting");
    }

    /// These have waited for too long, or for longer than there was time.
    pub(super) fn given_up(&self, url: &RelayUrl, events: usize) {
        if events == 0 {
            return;
        }
        self.counts.given_up.add_from_anywhere(events as u64);
        let Some(lost) = self.logged.lock().given_up.add(events as u64, Instant::now()) else { return };
        warn!(app = self.app_id, target = %url, events = lost, "events are not relayed: they could not be sent in time");
    }

    /// A request that the server has not carried out is sent again.
    pub(super) fn again(&self, url: &RelayUrl, reason: &str) {
        self.counts.retries.add_from_anywhere(1);
        let mut logged = self.logged.lock();
        if logged.waits.add(1, Instant::now()).is_some() {
            logged.is_unreachable = true;
            warn!(app = self.app_id, target = %url, reason, "the relay's server does not take events; they wait");
        }
    }
}
