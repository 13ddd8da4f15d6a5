//! A broker that has its addresses, and its serving.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use actix_server::Server as ActixServer;
use tracing::info;

use super::Reloader;
use super::files::OpenFiles;
use super::listening::{ListeningSocket, SocketHandles};
use super::role::Role;
use super::service::ServiceParts;
use super::stop::Stop;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::net::tls::{self, Certificates};
use crate::pipe::{Hook, PipeCounts, RunningHook};
use crate::webhook::Webhooks;

/// A broker that has its addresses. Connections wait in the kernel until it runs.
pub struct BoundServer {
    pub(super) parts: ServiceParts,
    pub(super) reloader: Reloader,
    pub(super) webhooks: Webhooks,
    pub(super) hooks: Vec<(String, Hook)>,
    /// The one that clients and backends are told of.
    pub(super) main: ListeningSocket,
    /// All others.
    pub(super) further: Vec<ListeningSocket>,
    pub(super) files: OpenFiles,
    pub(super) metrics: Metrics,
    pub(super) certificates: Option<Arc<Certificates>>,
}

impl BoundServer {
    /// Where it listens; with the port it was given, if any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.main.address
    }

    /// The URL of the address, without a path.
    pub fn url(&self) -> String {
        self.main.url(["http", "https"])
    }

    /// Where the pipe's wire is served on a port of its own, if it is.
    pub fn pipe_address(&self) -> Option<SocketAddr> {
        self.pipe().map(|listening| listening.address)
    }

    /// The same as a URL, without a path.
    pub fn pipe_url(&self) -> Option<String> {
        self.pipe().map(|listening| listening.url(["ws", "wss"]))
    }

    fn pipe(&self) -> Option<&ListeningSocket> {
        self.further.iter().find(|listening| listening.role == Role::Pipe)
    }

    /// Tells what became of the events that the pipes of this program were to hear: one entry for each pipe, with the id
    /// of its app, in the order in which they were added. It may be asked at any time, from any thread.
    pub fn pipe_counts(&self) -> impl Fn() -> Vec<(String, PipeCounts)> + Send + Sync + use<> {
        let hooks: Vec<_> = self.hooks.iter().map(|(app_id, hook)| (app_id.clone(), hook.counts())).collect();
        move || hooks.iter().map(|(app_id, counts)| (app_id.clone(), counts())).collect()
    }

    /// What the broker counts, for whoever scrapes it by other ways than the broker's own. It may be asked at any time.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// What all its workers share.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.parts.hub)
    }

    /// Changes the configuration from now on, also while the broker serves.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The webhooks, and what became of them.
    pub fn webhooks(&self) -> Webhooks {
        self.webhooks.clone()
    }

    /// Serves until `shutdown` is ready, then ends every connection and stops. Must run within an
    /// [`actix_web::rt::System`].
    ///
    /// # Errors
    /// If the worker threads cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let BoundServer { parts, reloader, webhooks, hooks, main, further, files, certificates, .. } = self;
        let address = main.address;
        let sockets: Vec<_> = [main].into_iter().chain(further).collect();
        let handles = SocketHandles::of(sockets.iter())?;
        let hooks =
            hooks.into_iter().map(|(_, hook)| hook.start()).collect::<io::Result<Vec<RunningHook>>>()?;
        let workers = parts.hub.worker_count();
        let server = ActixServer::build()
            .workers(workers)
            .max_concurrent_connections(files.bounds.per_worker)
            .disable_signals();
        let server =
            sockets.into_iter().try_fold(server, |server, listening| listening.serve(server, &parts))?;
        let server = server.run();
        let handle = server.handle();
        let ServiceParts { hub, config, wire, test_mode, readiness, .. } = parts;
        files.tell();
        info!(%address, workers, apps = config.apps.len(), "serving");
        let mut running = actix_web::rt::spawn(server);
        let watching = certificates.map(|certificates| actix_web::rt::spawn(tls::watch(certificates)));
        tokio::select! {
            ended = &mut running => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            () = shutdown => {}
        }
        if let Some(watching) = watching {
            watching.abort();
        }
        let stop =
            Stop { config, hub, readiness, wire, test_mode, webhooks, hooks, sockets: handles, reloader };
        stop.run(handle, running).await
    }
}
