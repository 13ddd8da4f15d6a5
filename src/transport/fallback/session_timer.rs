//! The timer of a session: it wakes the session's task at one deadline after the other.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::config::FallbackConfig;
use super::response_writer::ResponseWriter;
use super::session_stage::SessionStage;
use crate::hub::{Due, Timed};

/// How long a stream waits for a client that should begin it anew: longer than a round trip on a bad line.
const RENEWAL_WAIT: Duration = Duration::from_secs(3);

/// When a session has something to do next, and by which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionDeadline {
    /// By the machine's clock.
    Machine(Instant),
    /// By the app's, for this.
    App(Instant, Timed),
}

impl SessionDeadline {
    /// The next deadline of a session. How long a response may last, and a session be without one, is measured by the
    /// app's clock, which a test can advance; until a client has named its app, and for the final frames, by the
    /// machine's.
    pub(super) fn of(stage: &SessionStage, writer: &ResponseWriter, config: &FallbackConfig) -> Self {
        let (time, what) = match (writer.has_response(), writer.is_single()) {
            (false, _) => (writer.response_changed() + config.session_timeout, Timed::SessionEnd),
            (true, false) if writer.awaits_renewal() => {
                (writer.last_written() + RENEWAL_WAIT, Timed::SessionHeartbeat)
            }
            (true, true) => (writer.response_changed() + config.poll_hold, Timed::PollHold),
            (true, false) => (writer.last_written() + config.heartbeat, Timed::SessionHeartbeat),
        };
        match stage {
            SessionStage::AwaitingIntroduction { until, .. } => SessionDeadline::Machine(time.min(*until)),
            SessionStage::Closing { until, .. } => SessionDeadline::Machine(*until),
            SessionStage::Connected(_) | SessionStage::Ended => SessionDeadline::App(time, what),
        }
    }
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
