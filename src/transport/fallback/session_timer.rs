//! The timer of a session: it wakes the session's task at one deadline after the other.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::response_writer::ResponseWriter;
use crate::hub::{Due, Timed};

/// When to look at the time again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionDeadline {
    /// By the machine's clock.
    Machine(Instant),
    /// By the app's, for this.
    App(Instant, Timed),
}

/// The timer of one session.
pub(super) struct SessionTimer {
    sleep: Pin<Box<Sleep>>,
    /// What it is set to, and by how much the app's clock was advanced then.
    set_to: Option<(SessionDeadline, Duration)>,
    /// Stands for that.
    due: Due,
}

impl SessionTimer {
    /// A timer that is set when it is first polled, which is within `first`.
    pub(super) fn new(first: Duration) -> Self {
        SessionTimer { sleep: Box::pin(tokio::time::sleep(first)), set_to: None, due: Due::default() }
    }

    /// Sets the timer to this deadline. If it has come, returns what is to be held until that has happened which was
    /// waited for.
    pub(super) fn poll(
        &mut self,
        deadline: SessionDeadline,
        writer: &ResponseWriter,
        context: &mut Context<'_>,
    ) -> Option<Due> {
        let deadline = (deadline, writer.advanced());
        if self.set_to != Some(deadline) {
            self.set_to = Some(deadline);
            let (time, due) = match deadline.0 {
                SessionDeadline::Machine(time) => (time, Due::default()),
                SessionDeadline::App(time, what) => writer.wait_until(time, what),
            };
            std::mem::replace(&mut self.due, due).put_off();
            self.sleep.as_mut().reset(time.into());
        }
        if self.sleep.as_mut().poll(context).is_pending() {
            return None;
        }
        self.set_to = None;
        Some(std::mem::take(&mut self.due))
    }

    /// Holds `due` for as long as there is this timer.
    pub(super) fn hold(&mut self, due: Due) {
        self.due = due;
    }
}
