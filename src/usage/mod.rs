//! What each app has used, day by day: kept in memory, and across restarts in a file, for whoever bills or plans by it.
//!
//! The hub counts; this takes note of its counts once a minute and at midnight, on a thread of its own. Whatever is wrong
//! with the file, nothing is lost of what is in memory: it is tried again each minute, and what was used meanwhile added to
//! what the file has.

mod day;
mod file;
mod keeper;
mod ledger;

pub(crate) use keeper::UsageKeeper;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use serde_json::Value;
use tracing::{info, warn};

use crate::hub::Hub;

use day::Day;
use file::{UsageFile, UsageFileError, text_of};
use ledger::UsageLedger;

/// The same complaint about the file is repeated no sooner.
const REPEAT: Duration = Duration::from_secs(3600);

/// What the apps of a node have used. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct UsageBook {
    hub: Arc<Hub>,
    path: Option<PathBuf>,
    state: Arc<Mutex<BookState>>,
    /// Held while the file is written: nobody who only asks waits for a disk.
    file: Arc<Mutex<Option<UsageFile>>>,
}

#[derive(Debug)]
struct BookState {
    /// What the file has, as far as it could be read, and what was used since.
    ledger: UsageLedger,
    /// The day that the counts belong to which nobody has taken note of yet.
    day: Day,
    /// Something is not in the file.
    is_changed: bool,
    trouble: Option<FileTrouble>,
    failures: u64,
}

/// What is wrong with the file.
#[derive(Clone, Debug)]
struct FileTrouble {
    reason: String,
    told: Instant,
}

/// What there is to tell of usage.
#[derive(Debug)]
pub(crate) struct UsageReport {
    /// It is kept in a file.
    pub(crate) is_persisted: bool,
    /// Why it is not, where it should be.
    pub(crate) trouble: Option<String>,
    /// Days, each with apps, as JSON.
    pub(crate) days: Value,
}

/// What the metrics tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsageFigures {
    /// Figures that are kept: one for each day and app.
    pub(crate) rows: usize,
    /// How often the file could not be read or written.
    pub(crate) failures: u64,
}

impl UsageBook {
    /// The most days that can be asked for.
    pub(crate) const MOST_DAYS: usize = ledger::MOST_DAYS;

    /// Of the apps of this node from now on, and what the file at `path` has.
    pub(crate) fn open(hub: Arc<Hub>, path: Option<PathBuf>) -> Self {
        UsageBook::open_at(hub, path, SystemTime::now())
    }

    fn open_at(hub: Arc<Hub>, path: Option<PathBuf>, now: SystemTime) -> Self {
        let state = BookState {
            ledger: UsageLedger::default(),
            day: Day::of(now),
            is_changed: false,
            trouble: None,
            failures: 0,
        };
        let book = UsageBook { hub, path, state: Arc::new(Mutex::new(state)), file: Arc::default() };
        // From now on the hub remembers apps that go.
        book.take_note(now);
        if let Some(path) = &book.path
            && let Err(error) = book.take_file(path, &mut book.file.lock())
        {
            book.tell_trouble(&error);
        }
        book
    }

    /// Takes note of what was used since the last time. It belongs to the day on which that time began.
    fn take_note(&self, now: SystemTime) {
        let mut state = self.state.lock();
        let state = &mut *state;
        for (id, usage) in self.hub.take_usage() {
            state.is_changed |= state.ledger.add(&state.day, &id, &usage);
        }
        let today = Day::of(now);
        if today != state.day {
            state.day = today;
        }
        state.ledger.prune(&state.day);
    }

    /// Writes the file, where there is one and something is not in it.
    fn write(&self) {
        let Some(path) = &self.path else { return };
        let mut file = self.file.lock();
        match self.try_write(path, &mut file) {
            Ok(()) => {
                let healed = self.state.lock().trouble.take();
                if healed.is_some() {
                    info!(file = %path.display(), "usage is kept in its file again");
                }
            }
            Err(error) => self.tell_trouble(&error),
        }
    }

    fn try_write(&self, path: &Path, file: &mut Option<UsageFile>) -> Result<(), UsageFileError> {
        self.take_file(path, file)?;
        let Some(file) = file else { return Ok(()) };
        let text = {
            let mut state = self.state.lock();
            if !state.is_changed {
                return if state.trouble.is_none() { Ok(()) } else { file.write(&text_of(&state.ledger)) };
            }
            state.is_changed = false;
            text_of(&state.ledger)
        };
        file.write(&text).inspect_err(|_| self.state.lock().is_changed = true)
    }

    /// Takes the file if that has not happened yet, and adds what it has to what is known.
    fn take_file(&self, path: &Path, file: &mut Option<UsageFile>) -> Result<(), UsageFileError> {
        if file.is_some() {
            return Ok(());
        }
        let (taken, mut ledger) = UsageFile::take(path)?;
        *file = Some(taken);
        let mut state = self.state.lock();
        ledger.merge(&state.ledger);
        state.ledger = ledger;
        let today = state.day.clone();
        state.ledger.prune(&today);
        Ok(())
    }

    /// Something is wrong with the file. The same is told again after an hour.
    fn tell_trouble(&self, error: &UsageFileError) {
        let reason = error.to_string();
        let mut state = self.state.lock();
        state.failures += 1;
        let known = state.trouble.as_ref().is_some_and(|t| t.reason == reason && t.told.elapsed() < REPEAT);
        if known {
            return;
        }
        if let Some(path) = &self.path {
            warn!(file = %path.display(), reason, "usage is kept in memory alone: its file is in trouble, and tried again");
        }
        state.trouble = Some(FileTrouble { reason, told: Instant::now() });
    }

    /// What was used until now, on the last days on which anything was, no more than so many; of one app or all.
    pub(crate) fn report(&self, days: usize, app: Option<&str>) -> UsageReport {
        self.report_at(SystemTime::now(), days, app)
    }

    fn report_at(&self, now: SystemTime, days: usize, app: Option<&str>) -> UsageReport {
        self.take_note(now);
        let state = self.state.lock();
        let trouble = state.trouble.as_ref().map(|trouble| trouble.reason.clone());
        let last = state.ledger.last(days, app);
        drop(state);
        UsageReport {
            is_persisted: self.path.is_some() && trouble.is_none(),
            trouble,
            // Nothing of it can fail: all keys are text.
            days: serde_json::to_value(&last).unwrap_or_default(),
        }
    }

    /// For the metrics.
    pub(crate) fn figures(&self) -> UsageFigures {
        let state = self.state.lock();
        UsageFigures { rows: state.ledger.rows(), failures: state.failures }
    }
}

#[cfg(test)]
mod tests;
