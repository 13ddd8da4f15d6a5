//! Who watches an app's webhooks on their way. In production nobody does; test mode logs them and makes them fail.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::clock::Advanced;
use super::config::Endpoint;
use super::log::Outcome;

/// Watches the webhooks of one app. It is asked and told on the thread that sends them, and must not block.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// How an attempt is to end that is about to be made; it is not made then. `None`: it is made.
    fn instead(&self, attempt: &Sending<'_>) -> Option<Instead>;

    /// An attempt is over. `fault`: the one that ended it, if it was not made.
    fn sent(&self, attempt: &Sending<'_>, outcome: &Outcome, fault: Option<u64>);

    /// The app's clock.
    fn clock(&self) -> Advanced;

    /// Whether nobody cares any more: what is queued is then tried once, and never again.
    fn over(&self) -> watch::Receiver<bool>;
}

/// One request to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending<'a> {
    /// To whom.
    pub(crate) endpoint: &'a Endpoint,
    /// What it tells, each as JSON.
    pub(crate) events: &'a [Arc<str>],
    /// From 1; more than that if the same webhook had been sent before.
    pub(crate) number: u32,
}

/// How an attempt ends that is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instead {
    /// The number of the fault that wants it.
    pub(crate) fault: u64,
    /// How.
    pub(crate) outcome: Outcome,
}

/// Whether both are the same one, or nobody.
pub(super) fn is_same(one: Option<&Arc<dyn Observer>>, other: Option<&Arc<dyn Observer>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}
