//! A survey of a worker's connections, for the metrics: what waits for them, looked up in several turns.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::vec;

use tokio::sync::mpsc::Sender;

use crate::hub::counters::WorkerSurvey;

use super::{ClientKey, Worker};

/// Connections that are looked at in one turn of a survey: some tens of microseconds' worth.
const SURVEYED_PER_TURN: usize = 1024;

/// Surveys that are under way, the first of which is gone on with.
pub(super) type Surveys = VecDeque<Survey>;

/// A survey that is under way.
pub(super) struct Survey {
    left: vec::IntoIter<ClientKey>,
    found: WorkerSurvey,
    /// Whoever asks waits until this is dropped.
    _asked: Sender<Infallible>,
}

impl Worker {
    /// Begins a survey.
    pub(super) fn begin_survey(&self, asked: Sender<Infallible>) {
        let clients: Vec<ClientKey> = self.clients.borrow().keys().copied().collect();
        let found = WorkerSurvey { clients: clients.len(), ..WorkerSurvey::default() };
        let survey = Survey { left: clients.into_iter(), found, _asked: asked };
        self.surveys.borrow_mut().push_back(survey);
    }

    /// Goes on with it, as far as one turn allows. Returns whether that was all.
    pub(super) fn go_on_with_survey(&self) -> bool {
        let mut surveys = self.surveys.borrow_mut();
        let Some(survey) = surveys.front_mut() else { return true };
        let clients = self.clients.borrow();
        for key in survey.left.by_ref().take(SURVEYED_PER_TURN) {
            // Who has gone meanwhile is owed nothing.
            let Some(client) = clients.get(&key) else { continue };
            let (bytes, frames) = client.owed();
            survey.found.outbox_bytes += bytes;
            survey.found.outbox_frames += frames;
            survey.found.blocked += usize::from(client.is_blocked());
        }
        if survey.left.len() == 0 {
            survey.found.queued_turns = self.allowance.queued();
            survey.found.timers = self.timers();
            self.counters.surveyed(&survey.found);
            surveys.pop_front();
        }
        surveys.is_empty()
    }
}
