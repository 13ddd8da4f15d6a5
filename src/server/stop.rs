//! The end of the broker, in order: nothing new is begun, the listening sockets are closed, what was published reaches
//! whoever was subscribed, everybody is told to come back, and what is left is said.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_server::ServerHandle;
use actix_web::rt::task::JoinHandle;
use tracing::{info, warn};

use super::admin::ServingAdmin;
use super::listening::{self, SocketHandle};
use super::{Patience, Reloader, Supervision};
use crate::cluster::RunningNode;
use crate::config::{Config, ShutdownCode};
use crate::hub::{Hub, Shutdown};
use crate::net::slots::ConnectionSlots;
use crate::node::Readiness;
use crate::pipe::RunningHook;
use crate::pipe::wire::PipeWire;
use crate::relay::Relays;
use crate::telemetry;
use crate::test_mode::TestMode;
use crate::webhook::Webhooks;

/// How long the last webhooks and relayed events may take where the connections have used up the time that both have.
const LAST_WEBHOOKS: Duration = Duration::from_secs(1);

/// How long requests are served when nothing more is accepted, where somebody else takes over: who asks more often than that
/// is told to come by another connection, and has none closed under a request that is on its way.
const LAST_REQUESTS: Duration = Duration::from_millis(150);

/// How much longer where clients are in the midst of a TLS handshake, whose first request is to come with its end: two ways
/// there and back are to fit in, however far they are. Together with [`LAST_REQUESTS`] it is a second.
const LAST_HANDSHAKES: Duration = Duration::from_millis(850);

/// Seconds in which all clients are closed whom another process awaits, where nothing else is configured.
const SUCCEEDED_WITHIN: usize = 5;

/// How long requests are served at least by a process that another one has succeeded: nobody waits for its end.
const SUCCEEDED_REQUESTS: Duration = Duration::from_secs(2);

/// Of those so many a second, however few there are.
const FEWEST_AT_A_TIME: usize = 1000;

/// How long connections of a process that was turned down may take to their end, at most: it is awaited, and killed in the end.
const TURNED_DOWN_GRACE: Duration = Duration::from_secs(5);

/// Why a broker ends, which says who is there for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// It was asked to.
    Asked,
    /// Another process has taken over, and accepts already.
    Succeeded,
    /// It was to take over from another process, and is not to any more. It says nothing to those who run the broker, which it
    /// never was.
    TurnedDown,
}

/// What ends together.
pub(super) struct Stop {
    pub(super) config: Config,
    pub(super) hub: Arc<Hub>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) slots: Arc<ConnectionSlots>,
    pub(super) patience: Patience,
    /// A service manager is told how it goes.
    pub(super) supervision: Option<Supervision>,
    pub(super) wire: Arc<PipeWire>,
    pub(super) test_mode: Option<Arc<TestMode>>,
    pub(super) webhooks: Webhooks,
    pub(super) relays: Relays,
    pub(super) hooks: Vec<RunningHook>,
    pub(super) sockets: Vec<SocketHandle>,
    pub(super) admin: Option<ServingAdmin>,
    pub(super) reloader: Reloader,
    /// Where this node is one of several.
    pub(super) node: Option<RunningNode>,
    pub(super) reason: StopReason,
}

impl Stop {
    /// Ends everything as [`Stop::run`] does. One that another process has succeeded does not take its time any more when it is
    /// `asked` to stop; any other one has been asked.
    pub(super) async fn run_until_asked(
        self,
        server: ServerHandle,
        running: JoinHandle<io::Result<()>>,
        asked: impl Future<Output = ()>,
    ) -> io::Result<()> {
        if self.reason != StopReason::Succeeded {
            return self.run(server, running).await;
        }
        let patience = self.patience.clone();
        let mut ends = pin!(self.run(server, running));
        tokio::select! {
            biased;
            ended = &mut ends => return ended,
            () = asked => {
                patience.end();
            }
        }
        ends.await
    }

    /// Ends everything, within the grace period and a moment.
    async fn run(mut self, server: ServerHandle, running: JoinHandle<io::Result<()>>) -> io::Result<()> {
        if self.reason == StopReason::Asked {
            self.readiness.drain("the broker is stopping");
        }
        // Whoever is answered from now on is told to come by another connection.
        self.hub.begin_leaving();
        if let Some(node) = &self.node {
            node.begin_leaving();
        }
        if self.is_unhurried() {
            self.patience.begin();
        }
        match self.reason {
            StopReason::Asked => self.serve_on().await,
            StopReason::Succeeded => {
                // Those who run the broker ask its successor from now on.
                if let Some(mut admin) = self.admin.take() {
                    admin.close().await;
                    admin.end().await;
                }
            }
            StopReason::TurnedDown => {}
        }
        let expected = telemetry::suppress_messages(&telemetry::CLOSED_PORT_MESSAGES);
        self.stop_work(&server).await;
        self.patience.over();
        let grace = self.grace();
        let Stop { hub, wire, test_mode, webhooks, relays, hooks, admin, reloader, node, .. } = self;
        let deadline = tokio::time::Instant::now() + grace;
        if let Some(test_mode) = &test_mode {
            test_mode.end();
        }
        webhooks.flush();
        let mut drained = pin!(async {
            hub.drain(|| wire.drain()).await;
            // Nobody says anything any more: the pipes of this program hear what they have not heard yet.
            for hook in hooks {
                hook.stop().await;
            }
        });
        let ended = tokio::time::timeout_at(deadline, &mut drained).await;
        if ended.is_err() {
            warn!(?grace, "some connections did not end in time and are cut");
        }
        server.stop(false).await;
        // Until here somebody may want to change the apps.
        drop(reloader);
        let stopped = running.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        if let Some(admin) = admin {
            admin.end().await;
        }
        // The accepting threads have ended with the servers.
        drop(expected);
        // The connections that were cut have something to tell, too.
        let last = deadline.max(tokio::time::Instant::now() + LAST_WEBHOOKS);
        if ended.is_err() {
            let _ = tokio::time::timeout_at(last, drained).await;
        }
        // The others have been told of each that has gone.
        if let Some(node) = node {
            node.stop().await;
        }
        tokio::join!(webhooks.finish(last.into_std()), relays.finish(last.into_std()));
        stopped
    }

    /// Serves on for as long as that is configured.
    async fn serve_on(&self) {
        let delay = self.config.server.drain_delay;
        if let Some(supervision) = &self.supervision {
            supervision.stopping(if delay.is_zero() { "stopping" } else { "draining" });
        }
        if !delay.is_zero() {
            info!(connections = self.hub.sockets().len(), ?delay, "draining: everything is served still");
            self.unhurried(tokio::time::sleep(delay)).await;
        }
    }

    /// Closes the places to listen, before anybody is told to come back: who comes at once must not come here. Then nothing
    /// new is begun. Where others take over, publishers are served for a moment in between, and clients closed in turn, while
    /// operators are answered.
    async fn stop_work(&mut self, server: &ServerHandle) {
        let shutdown = match self.reason {
            StopReason::Asked => {
                shutdown(self.config.server.shutdown_code, listening::are_held(&self.sockets))
            }
            StopReason::Succeeded | StopReason::TurnedDown => Shutdown::AtOnce,
        };
        let rate = self.rate();
        info!(connections = self.hub.sockets().len(), code = shutdown.code().code(), "shutting down");
        let unhurried = self.is_unhurried();
        if !unhurried {
            self.hub.stop_work(shutdown);
        }
        listening::close(std::mem::take(&mut self.sockets), server).await;
        let closing = self.hub.close_slowly(rate, shutdown);
        if self.reason == StopReason::Succeeded {
            // Whoever has a connection that is kept need not meet its end, for nobody waits for this process.
            let served = async { _ = tokio::join!(closing, tokio::time::sleep(SUCCEEDED_REQUESTS)) };
            self.patience.unless_ended(served).await;
            self.end_idle();
        } else if unhurried {
            // Publishers on connections that are kept are served once more, and told to come by another one.
            self.patience.unless_ended(self.serve_last_requests()).await;
            self.end_idle();
            if rate > 0 {
                self.unhurried(closing).await;
            }
        }
        if rate > 0 {
            info!(connections = self.hub.sockets().len(), "closed slowly; the rest is closed at once");
        }
        if let Some(admin) = &mut self.admin {
            admin.close().await;
        }
        if unhurried {
            self.hub.stop_work(shutdown);
        }
    }

    /// Ends the HTTP connections by which nobody asks anything at present.
    fn end_idle(&self) {
        let idle = self.slots.evict_all_idle();
        info!(idle, "idle HTTP connections are closed");
    }

    /// Whether it takes its time for others' sake.
    fn is_unhurried(&self) -> bool {
        let is_held = self.sockets.iter().any(SocketHandle::is_held);
        is_held || self.rate() > 0 || !self.config.server.drain_delay.is_zero()
    }

    /// How long connections may take to their end when they have been told to.
    fn grace(&self) -> Duration {
        let grace = self.config.server.shutdown_grace;
        if self.reason == StopReason::TurnedDown { grace.min(TURNED_DOWN_GRACE) } else { grace }
    }

    /// How many clients are closed in a second; 0: all at once. Those that another process awaits are closed some at a time.
    fn rate(&self) -> usize {
        match (self.reason, self.config.server.drain_connections_per_second) {
            (StopReason::TurnedDown, _) => 0,
            (StopReason::Succeeded, 0) => (self.hub.sockets().len() / SUCCEEDED_WITHIN).max(FEWEST_AT_A_TIME),
            (StopReason::Asked | StopReason::Succeeded, rate) => rate,
        }
    }

    /// Lets a moment pass in which whoever is connected is served, and some more for those who have begun to connect.
    async fn serve_last_requests(&self) {
        tokio::time::sleep(LAST_REQUESTS).await;
        // Whoever takes longer is cut.
        let _ = tokio::time::timeout(LAST_HANDSHAKES, self.slots.handshakes_done()).await;
    }

    /// Does this, unless the patience ends before. The service manager waits for it, and for what follows.
    async fn unhurried(&self, work: impl Future<Output = ()>) {
        let work = self.patience.unless_ended(work);
        let follows = self.config.server.shutdown_grace.saturating_add(LAST_WEBHOOKS);
        match &self.supervision {
            Some(supervision) => supervision.extending(follows, work).await,
            None => work.await,
        }
    }
}

/// How clients are closed, where somebody listens at this address when this broker has gone, and where nobody does. A
/// service manager that holds the socket does: connections wait there for the next broker.
fn shutdown(code: ShutdownCode, is_succeeded: bool) -> Shutdown {
    match (code, is_succeeded) {
        (ShutdownCode::AtOnce, _) | (ShutdownCode::Auto, true) => Shutdown::AtOnce,
        (ShutdownCode::Soon, _) | (ShutdownCode::Auto, false) => Shutdown::Soon,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_to_come_at_once_only_where_somebody_awaits_them() {
        let codes = |setting| [false, true].map(|succeeded| shutdown(setting, succeeded).code().code());
        assert_eq!(codes(ShutdownCode::Auto), [4100, 4200]);
        assert_eq!(codes(ShutdownCode::Soon), [4100, 4100]);
        assert_eq!(codes(ShutdownCode::AtOnce), [4200, 4200]);
    }
}
