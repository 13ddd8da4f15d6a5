//! One app of a test's broker: what it is reached by, what it has seen, and what it is told to do wrong.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::protocol::SocketId;
use crate::test_mode::{
    AppUnderTest, Condition, ConnectionSummary, Counts, Credentials, Cut, Entry, Sockets, TestError,
    faults::Fault, timeline,
};

use super::advance::AdvanceToNext;
use super::conditions::Entries;
use super::running::Running;
use super::wait::Wait;

/// An app of a [`Broker`](super::Broker). One that a test has made ends when it is dropped: its connections are closed
/// with 4001, and nothing is left of it.
#[derive(Debug)]
pub struct TestApp {
    running: Arc<Running>,
    app: Arc<AppUnderTest>,
    credentials: Credentials,
    /// Whether it ends with this value.
    own: bool,
}

impl TestApp {
    pub(super) fn new(
        running: Arc<Running>,
        app: Arc<AppUnderTest>,
        credentials: Credentials,
        own: bool,
    ) -> Self {
        TestApp { running, app, credentials, own }
    }

    /// How it is reached.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Its id, for the HTTP API.
    pub fn id(&self) -> &str {
        &self.credentials.app_id
    }

    /// Its key, for clients.
    pub fn key(&self) -> &str {
        &self.credentials.key
    }

    /// Its secret, which signs.
    pub fn secret(&self) -> &str {
        &self.credentials.secret
    }

    /// Where clients connect to, with version 7 of the protocol.
    pub fn websocket_url(&self) -> String {
        let Credentials { scheme, key, path_prefix, .. } = &self.credentials;
        let scheme = if *scheme == "https" { "wss" } else { "ws" };
        format!("{scheme}://{}{path_prefix}/app/{key}?protocol=7&client=test&version=1", self.running.address)
    }

    /// The environment of a program under test: the variables that Pusher's libraries read, those of the control API,
    /// and twins with `VITE_`, `NEXT_PUBLIC_` and these prefixes of those that a page may know.
    pub fn environment(&self, more_prefixes: &[&str]) -> Vec<(String, String)> {
        let prefixes: Vec<String> = more_prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let token = self.running.test_mode.token();
        self.credentials.environment_with_control(&prefixes, token)
    }

    /// Waits until a condition holds: `app.until(subscribers("room", 2)).await?`.
    pub fn until(&self, condition: impl Into<Condition>) -> Wait {
        Wait::new(Arc::clone(&self.app), self.running.runtime.clone(), condition.into())
    }

    /// What has happened, as far as it is still remembered: 20,000 entries and 32 MiB of them.
    pub fn log(&self, entries: impl Into<Entries>) -> Vec<Arc<Entry>> {
        entries.into().of(self.app.log())
    }

    /// The number of the log's last entry: what comes later has a larger one. For [`Entries::after`].
    pub fn last(&self) -> u64 {
        self.app.log().last()
    }

    /// What has happened, as people read it.
    pub fn timeline(&self) -> String {
        timeline(self.app.log())
    }

    /// How much there is of everything.
    pub fn counts(&self) -> Counts {
        self.app.counts()
    }

    /// Who is connected, in the order in which they came.
    pub fn connections(&self) -> Vec<ConnectionSummary> {
        self.app.connections()
    }

    /// Has something go wrong from now on; returns the fault's number.
    ///
    /// # Errors
    /// If it could not do its work, there are too many, or the app is gone.
    pub fn fault(&self, fault: impl Into<Fault>) -> Result<u64, TestError> {
        self.app.add_fault(fault.into())
    }

    /// The faults at work, as the control API lists them.
    pub fn faults(&self) -> Vec<Value> {
        self.app.active_faults()
    }

    /// Ends one fault, and lets go what waits for its end; `false` if it was over.
    pub fn clear_fault(&self, id: u64) -> bool {
        self.app.clear_fault(id)
    }

    /// Ends all faults; returns how many there were.
    pub fn clear_faults(&self) -> usize {
        self.app.clear_faults()
    }

    /// Ends connections now, with or without a close frame; returns which.
    ///
    /// # Errors
    /// If the code or the share is none, or the app is gone.
    pub fn close(&self, sockets: &Sockets, cut: &Cut) -> Result<Vec<SocketId>, TestError> {
        self.app.cut(sockets, cut)
    }

    /// Advances the app's clock: what is due by then happens now, once. Returns by how much it has been advanced in all.
    ///
    /// # Errors
    /// If that is more than a year at once, or the app is gone.
    pub fn advance(&self, by: Duration) -> Result<Duration, TestError> {
        self.app.advance(by)
    }

    /// Advances the app's clock to whatever is due next, and waits until it has happened:
    /// `app.advance_to_next().await?.due`.
    pub fn advance_to_next(&self) -> AdvanceToNext {
        AdvanceToNext::new(Arc::clone(&self.app), self.running.runtime.clone())
    }

    /// Forgets what has happened, ends all faults, and forgets what cache channels remember and channels with a
    /// history keep. Connections stay.
    pub fn reset(&self) {
        self.app.reset();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.own {
            self.running.test_mode.remove_app(self.app.id());
        }
    }
}
