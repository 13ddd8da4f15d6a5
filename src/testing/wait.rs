//! Waiting in a test, in an asynchronous one and in one that blocks.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::test_mode::{AppUnderTest, Condition, MOST_PATIENCE, Outcome, PATIENCE, timeline};

/// A condition that is to be waited for. Await it, or call [`Wait::blocking`] where nothing is asynchronous.
///
/// It is waited for on the broker's own thread: under any runtime, and by the machine's clock, also where a test has
/// paused the clock of its runtime.
#[derive(Debug)]
#[must_use = "nothing is waited for before it is awaited, or told to block"]
pub struct Wait {
    app: Arc<AppUnderTest>,
    runtime: Handle,
    condition: Condition,
    patience: Duration,
    holds: Duration,
}

/// What was waited for did not come about. It prints, in either way, what was expected, what was found, and what the
/// broker saw.
#[derive(Clone, PartialEq, thiserror::Error)]
pub enum NotMet {
    /// Not in time, or it cannot come about any more.
    #[error("{outcome}; what the broker saw:\n{timeline}")]
    Condition {
        /// What came of waiting.
        outcome: Box<Outcome>,
        /// What had happened in the app.
        timeline: String,
    },
    /// The broker has stopped.
    #[error("expected {0}, but the broker had stopped")]
    Stopped(Box<Condition>),
}

impl Wait {
    pub(super) fn new(app: Arc<AppUnderTest>, runtime: Handle, condition: Condition) -> Self {
        Wait { app, runtime, condition, patience: PATIENCE, holds: Duration::ZERO }
    }

    /// Waits for so long at most: 5 seconds if nothing is said, ten minutes at the most.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience.min(MOST_PATIENCE);
        self
    }

    /// The condition must hold for so long without interruption, ten minutes at the most: that is how "exactly once"
    /// becomes certain.
    pub fn holding(mut self, holds: Duration) -> Self {
        self.holds = holds.min(MOST_PATIENCE);
        self
    }

    /// Waits here, on this thread.
    ///
    /// # Errors
    /// If the condition does not hold in time, or the broker stops.
    ///
    /// # Panics
    /// Within an asynchronous function: await it there.
    pub fn blocking(self) -> Result<Outcome, NotMet> {
        let (outcome, end) = self.begin();
        end.of(outcome.blocking_recv())
    }

    /// Begins to wait, on the broker's thread.
    fn begin(self) -> (oneshot::Receiver<Outcome>, WaitEnd) {
        let Wait { app, runtime, condition, patience, holds } = self;
        let end = WaitEnd { app: Arc::clone(&app), condition: condition.clone() };
        let (mut tell, outcome) = oneshot::channel();
        runtime.spawn(async move {
            tokio::select! {
                outcome = app.wait(condition, patience, holds) => {
                    let _ = tell.send(outcome);
                }
                // Whoever waited has lost interest.
                () = tell.closed() => {}
            }
        });
        (outcome, end)
    }
}

impl IntoFuture for Wait {
    type Output = Result<Outcome, NotMet>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (outcome, end) = self.begin();
            end.of(outcome.await)
        })
    }
}

/// What is to be said at the end of waiting.
struct WaitEnd {
    app: Arc<AppUnderTest>,
    condition: Condition,
}

impl WaitEnd {
    fn of(self, outcome: Result<Outcome, oneshot::error::RecvError>) -> Result<Outcome, NotMet> {
        match outcome {
            Ok(outcome) if outcome.met => Ok(outcome),
            Ok(outcome) => {
                let timeline = timeline(self.app.log());
                Err(NotMet::Condition { outcome: Box::new(outcome), timeline })
            }
            Err(_) => Err(NotMet::Stopped(Box::new(self.condition))),
        }
    }
}

/// As a test that unwraps it prints it.
impl fmt::Debug for NotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
