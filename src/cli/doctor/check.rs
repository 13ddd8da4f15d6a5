//! What a check is: one thing that is tried, within a bounded time, after what it needs.

use std::pin::Pin;
use std::time::Duration;

use super::finding::CheckOutcome;
use super::visit::Visit;

/// A check while it runs.
pub(super) type RunningCheck<'v> = Pin<Box<dyn Future<Output = CheckOutcome> + 'v>>;

/// One thing that is tried. It is in a file of its own, whose pure part judges what came.
#[derive(Clone, Copy)]
pub(super) struct Check {
    /// What it is called in the report, in one or two words.
    pub(super) name: &'static str,
    /// What it tries, where there is no more to say than that it did not come to it.
    pub(super) tries: &'static str,
    /// The names of the checks without which it makes no sense.
    pub(super) needs: &'static [&'static str],
    /// How long it may take.
    pub(super) within: Duration,
    pub(super) run: for<'v> fn(&'v mut Visit) -> RunningCheck<'v>,
}
