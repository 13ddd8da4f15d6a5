//! Observes the webhooks of an app on their way: test mode logs them and makes them fail. In production nobody does.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::clock::AdvancedClock;
use super::endpoint::WebhookEndpoint;
use super::log::AttemptOutcome;

/// Watches the webhooks of one app. It is asked and told on the thread that sends them, and must not block.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// How an attempt is to end that is about to be made; it is not made then. `None`: it is made.
    fn injected_outcome(&self, attempt: &SendAttempt<'_>) -> Option<InjectedOutcome>;

    /// An attempt is over. `fault`: the one that ended it, if it was not made.
    fn sent(&self, attempt: &SendAttempt<'_>, outcome: &AttemptOutcome, fault: Option<u64>);

    /// The app's clock.
    fn clock(&self) -> AdvancedClock;

    /// Whether the test has ended: what is queued is then tried once, and never again.
    fn test_ended(&self) -> watch::Receiver<bool>;
}

/// An attempt to send that is about to be made, or was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendAttempt<'a> {
    /// To whom.
    pub(crate) endpoint: &'a WebhookEndpoint,
    /// What it tells, each as JSON.
    pub(crate) events: &'a [Arc<str>],
    /// From 1; more than that if the same webhook had been sent before.
    pub(crate) number: u32,
}

/// The outcome of an attempt that is not made, because a fault stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InjectedOutcome {
    /// The number of the fault that wants it.
    pub(crate) fault: u64,
    pub(crate) outcome: AttemptOutcome,
}

/// Whether both are the same observer, or none.
pub(super) fn is_same(one: Option<&Arc<dyn Observer>>, other: Option<&Arc<dyn Observer>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}
