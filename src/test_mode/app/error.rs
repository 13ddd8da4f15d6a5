//! Why something that was asked of an app under test cannot be.

use std::time::Duration;

use crate::hub::Timed;
use crate::test_mode::faults::{BadFault, TooManyFaults};

/// The most that a clock can be advanced at once: a year and a day.
pub(crate) const MOST_ADVANCE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Something that was asked of an app under test cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TestError {
    /// The app has been removed, or the broker has stopped.
    #[error("the app {0:?} is gone")]
    Gone(String),
    /// The fault is none.
    #[error(transparent)]
    Fault(#[from] BadFault),
    /// The app has as many faults as it may have; end some first.
    #[error(transparent)]
    TooManyFaults(#[from] TooManyFaults),
    /// The clock would be advanced too far.
    #[error("a clock can be advanced by at most {most} ms at once, got {0} ms", most = MOST_ADVANCE.as_millis())]
    TooFar(u128),
    /// Nothing waits for the clock.
    #[error("nothing is due: nothing waits for the app's clock any more{}", gone_on(*.by))]
    NothingDue {
        /// By how much it was advanced before that was known: where something had been due that there was nothing to do
        /// about any more.
        by: Duration,
    },
    /// What was due did not happen in time.
    #[error("expected what is due to happen within 10 seconds, it did not{}", .0.map(|what| format!(": {what}")).unwrap_or_default())]
    Overdue(Option<Timed>),
    /// No close frame can have the code.
    #[error("expected a close code of 1000 to 4999, and none of 1004, 1005, 1006 and 1015, got {0}")]
    CloseCode(u16),
    /// The share of the cases is not above 0 and up to 1.
    #[error("expected a share above 0 and at most 1, got {0}")]
    Share(f64),
    /// Connections were named, and there are none of them.
    #[error("there is no connection {wanted}; {there}")]
    NobodyMeant {
        /// What they should be.
        wanted: String,
        /// Who is there instead.
        there: String,
    },
}

/// As it ends the sentence that nothing is due.
fn gone_on(by: Duration) -> String {
    if by.is_zero() { String::new() } else { format!(", after {} ms", by.as_millis()) }
}
