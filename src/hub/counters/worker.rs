//! What one worker tells of itself: how long its turns take, and what a survey of its connections has found.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::counter::DurationCounter;

/// The ranges of a worker's turns. One that is bounded as it should be takes a millisecond or two.
const TURN_TIMES: [Duration; 9] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
];

/// What one worker writes of itself, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct WorkerCounters {
    /// Its turns.
    pub(crate) turns: DurationCounter<{ TURN_TIMES.len() }>,
    /// A survey was asked for and is not done.
    survey_asked: AtomicBool,
    clients: AtomicUsize,
    blocked: AtomicUsize,
    outbox_bytes: AtomicUsize,
    outbox_frames: AtomicUsize,
    queued_turns: AtomicUsize,
    timers: AtomicUsize,
}

/// What a worker's connections have at one moment, or in the turns that it took to ask them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerSurvey {
    /// Connections that it writes to.
    pub(crate) clients: usize,
    /// Those whose sockets take no more for now.
    pub(crate) blocked: usize,
    /// Bytes that wait in all outboxes.
    pub(crate) outbox_bytes: usize,
    /// Frames that do.
    pub(crate) outbox_frames: usize,
    /// Connections that queue for a turn.
    pub(crate) queued_turns: usize,
    /// Times at which it will look after something.
    pub(crate) timers: usize,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        WorkerCounters {
            turns: DurationCounter::new(&TURN_TIMES),
            survey_asked: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            outbox_bytes: AtomicUsize::new(0),
            outbox_frames: AtomicUsize::new(0),
            queued_turns: AtomicUsize::new(0),
            timers: AtomicUsize::new(0),
        }
    }
}

impl WorkerCounters {
    /// Asks for a survey. Returns whether none is under way: so a worker that answers nobody is asked once.
    pub(in crate::hub) fn ask_survey(&self) -> bool {
        !self.survey_asked.swap(true, Ordering::Relaxed)
    }

    /// The survey is done.
    pub(in crate::hub) fn surveyed(&self, survey: &WorkerSurvey) {
        self.clients.store(survey.clients, Ordering::Relaxed);
        self.blocked.store(survey.blocked, Ordering::Relaxed);
        self.outbox_bytes.store(survey.outbox_bytes, Ordering::Relaxed);
        self.outbox_frames.store(survey.outbox_frames, Ordering::Relaxed);
        self.queued_turns.store(survey.queued_turns, Ordering::Relaxed);
        self.timers.store(survey.timers, Ordering::Relaxed);
        self.survey_asked.store(false, Ordering::Relaxed);
    }

    /// What the last survey has found.
    pub(crate) fn last_survey(&self) -> WorkerSurvey {
        WorkerSurvey {
            clients: self.clients.load(Ordering::Relaxed),
            blocked: self.blocked.load(Ordering::Relaxed),
            outbox_bytes: self.outbox_bytes.load(Ordering::Relaxed),
            outbox_frames: self.outbox_frames.load(Ordering::Relaxed),
            queued_turns: self.queued_turns.load(Ordering::Relaxed),
            timers: self.timers.load(Ordering::Relaxed),
        }
    }
}
