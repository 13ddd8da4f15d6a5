//! Advancing a clock to what is due next, in an asynchronous test and in one that blocks.

use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::test_mode::{AppUnderTest, NextDue, TestError};

/// A clock that is to be advanced to what is due next. Await it, or call [`AdvanceToNext::blocking`] where nothing is
/// asynchronous.
#[derive(Debug)]
#[must_use = "the clock is not advanced before this is awaited, or told to block"]
pub struct AdvanceToNext {
    app: Arc<AppUnderTest>,
    runtime: Handle,
}

impl AdvanceToNext {
    pub(super) fn new(app: Arc<AppUnderTest>, runtime: Handle) -> Self {
        AdvanceToNext { app, runtime }
    }

    /// Advances it, and waits here, on this thread, until what was due has happened.
    ///
    /// # Errors
    /// If nothing waits for the clock, what is due is not done in ten seconds, or the app is gone.
    ///
    /// # Panics
    /// Within an asynchronous function: await it there.
    pub fn blocking(self) -> Result<NextDue, TestError> {
        let id = self.app.id().to_owned();
        self.begin().blocking_recv().unwrap_or(Err(TestError::Gone(id)))
    }

    /// Begins, on the broker's thread.
    fn begin(self) -> oneshot::Receiver<Result<NextDue, TestError>> {
        let AdvanceToNext { app, runtime } = self;
        let (tell, reached) = oneshot::channel();
        runtime.spawn(async move {
            // Whoever waited may have lost interest.
            let _ = tell.send(app.advance_to_next().await);
        });
        reached
    }
}

impl IntoFuture for AdvanceToNext {
    type Output = Result<NextDue, TestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let id = self.app.id().to_owned();
        Box::pin(async move { self.begin().await.unwrap_or(Err(TestError::Gone(id))) })
    }
}
