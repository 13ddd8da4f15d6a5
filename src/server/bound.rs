//! A broker that has its addresses, and its serving.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_server::{Server as ActixServer, ServerBuilder};
use tracing::{error, info, warn};

use super::accepting::Accepting;
use super::admin::{AdminListener, ServingAdmin};
use super::control::ControlSocket;
use super::files::OpenFiles;
use super::joining::JoiningNode;
use super::linking::Links;
use super::listening::{ListeningSocket, SocketHandle};
use super::predecessor::Predecessor;
use super::role::Role;
use super::service::ServiceParts;
use super::shared_apps;
use super::stop::{Stop, StopReason};
use super::upgrade::{self, PassableSockets, Upgrader, Upgrades};
use super::{Patience, Reloader, Supervision};
use crate::app_admin::ManagedApps;
use crate::cluster::RunningNode;
use crate::config::Config;
use crate::console::ConfigReload;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::net::tls::{self, Certificates};
use crate::node::Readiness;
use crate::pipe::{Hook, PipeCounts, RunningHook};
use crate::usage::{UsageBook, UsageKeeper};
use crate::webhook::Webhooks;

/// The schemes of a listener, without TLS and with it.
const HTTP: [&str; 2] = ["http", "https"];

/// The address of nothing.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// A broker that has its addresses. Connections wait in the kernel until it runs.
pub struct BoundServer {
    pub(super) parts: ServiceParts,
    pub(super) reloader: Reloader,
    pub(super) webhooks: Webhooks,
    pub(super) hooks: Vec<(String, Hook)>,
    /// The one that clients and backends are told of first.
    pub(super) sockets: Vec<ListeningSocket>,
    pub(super) admin: Option<AdminListener>,
    pub(super) files: OpenFiles,
    pub(super) metrics: Metrics,
    /// Where anybody takes note of usage.
    pub(super) usage: Option<UsageBook>,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) patience: Patience,
    /// A service manager is told how it goes.
    pub(super) supervision: Option<Supervision>,
    /// The broker that ran before, where this one succeeds it.
    pub(super) predecessor: Option<Predecessor>,
    /// Where it can be succeeded by another process.
    pub(super) upgrades: Option<Upgrades>,
    /// Where this node is to be one of several.
    pub(super) joining: Option<JoiningNode>,
    /// The files that the apps are of.
    pub(super) managed: Option<Arc<ManagedApps>>,
}

impl BoundServer {
    /// Where it listens; with the port it was given, if any free one was asked for.
    pub fn address(&self) -> SocketAddr {
        // The main address is of TCP, and there is no broker without it.
        self.sockets.iter().find_map(ListeningSocket::address).unwrap_or(NOWHERE)
    }

    /// The URL of the address, without a path.
    pub fn url(&self) -> String {
        let urls = self.sockets.iter().map(|listening| listening.url(HTTP));
        urls.take(1).collect()
    }

    /// Where else it listens, for clients as well as for the HTTP API: URLs without a path, and paths of Unix sockets as
    /// in `unix:/run/heliostat.sock (http)`.
    pub fn further_urls(&self) -> Vec<String> {
        let further = self.sockets.iter().skip(1).filter(|listening| listening.role == Role::Broker);
        further.map(|listening| listening.url(HTTP)).collect()
    }

    /// Where the pipe's wire is served on a port of its own, if it is.
    pub fn pipe_address(&self) -> Option<SocketAddr> {
        self.pipe().and_then(ListeningSocket::address)
    }

    /// The same as a URL, without a path.
    pub fn pipe_url(&self) -> Option<String> {
        self.pipe().map(|listening| listening.url(["ws", "wss"]))
    }

    /// The URL of the admin listener, if there is one, without a path.
    pub fn admin_url(&self) -> Option<String> {
        self.admin.as_ref().and_then(AdminListener::url)
    }

    /// The token that was drawn for the admin listener because neither a password nor a token is configured. Whoever has it
    /// may do there what there is to do.
    pub fn admin_token(&self) -> Option<&str> {
        self.admin.as_ref().and_then(|admin| admin.admin.access().drawn_token())
    }

    fn pipe(&self) -> Option<&ListeningSocket> {
        self.sockets.iter().find(|listening| listening.role == Role::Pipe)
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

    /// Tells the service manager that has started this process, if one has, how it goes.
    pub(crate) fn supervised(self, supervision: Supervision) -> Self {
        BoundServer { supervision: Some(supervision), ..self }
    }

    /// Takes the place of the broker that ran before, if there is one, as soon as it serves.
    pub(crate) fn succeeding(self, predecessor: Option<Predecessor>) -> Self {
        BoundServer { predecessor, ..self }
    }

    /// Has it succeeded by another process, which gets the sockets, and this one for commands.
    pub(crate) fn upgrader(&mut self, control: Option<Arc<ControlSocket>>) -> Upgrader {
        let (upgrader, upgrades) = upgrade::upgrades(control);
        self.upgrades = Some(upgrades);
        upgrader
    }

    /// Cuts short what the broker takes its time for when it is to stop.
    pub(crate) fn patience(&self) -> Patience {
        self.patience.clone()
    }

    /// Whether it should be sent new clients, and what it knows of its cluster.
    pub(crate) fn readiness(&self) -> Arc<Readiness> {
        Arc::clone(&self.parts.readiness)
    }

    /// What all its workers share.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.parts.hub)
    }

    /// Changes the configuration from now on, also while the broker serves.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Lets those who run the broker have it reloaded by this, at the admin listener.
    pub(crate) fn reloaded_by(&self, reload: Arc<dyn ConfigReload>) {
        if let Some(admin) = &self.admin {
            admin.console.reloaded_by(reload);
        }
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
        let (address, count, url) = (self.address(), self.sockets.len(), self.url());
        let mut shutdown = pin!(shutdown);
        let BoundServer { parts, reloader, files, supervision, predecessor, .. } = self;
        let per_worker = files.bounds.per_worker;
        hear(predecessor.as_ref());
        // Those who run the broker are answered by the one that has the place.
        let (later, admin) =
            self.admin.map_or((None, None), |admin| in_time((admin, url.clone()), predecessor.as_ref()));
        let begun = BegunServer::begin(&parts, self.hooks, self.usage, self.sockets, admin, per_worker)?;
        let mut node = None;
        if let Some(joining) = self.joining {
            // The service manager listens to nobody but the broker that it knows.
            let heard = supervision.as_ref().filter(|_| predecessor.is_none());
            let joined = joined_unless(joining.join(&parts.hub), shutdown.as_mut(), heard).await?;
            // It is to stop before it has served anybody.
            let Some(mut joined) = joined else { return begun.end_unserved().await };
            keep_apps(&mut joined, self.managed.clone(), &reloader).await?;
            node = Some(joined);
        }
        let links = Links::new(&parts.config);
        if !links.join(predecessor.as_ref(), &parts.hub, shutdown.as_mut()).await {
            return begun.end_unserved().await;
        }
        let BegunServer { hooks, keeper, server, mut handles, mut admin } = begun;
        let server = server.run();
        let handle = server.handle();
        let ServiceParts { hub, config, wire, test_mode, readiness, slots, relays, .. } = parts;
        files.tell();
        tell_what_is_served((address, count), &hub, &config, &handles);
        let mut running = actix_web::rt::spawn(server);
        let watching = self.certificates.map(|certificates| actix_web::rt::spawn(tls::watch(certificates)));
        let accepting =
            Accepting::new(handles.iter().map(SocketHandle::watched).collect(), Arc::clone(&slots));
        let supervised = supervision.clone().map(|of| of.supervise(Arc::clone(&hub), accepting, url));
        let supervising = supervised.map(|all| actix_web::rt::spawn(in_place(predecessor.clone(), all)));
        succeed(predecessor.as_ref(), &hub, &config);
        let succession = in_place(predecessor.clone(), async {
            admin = admin.take().or_else(|| serve_in_place(later, &config));
            let passable = PassableSockets {
                sockets: &mut handles,
                admin: admin.as_mut(),
                server: &handle,
                slots: &slots,
                supervision: supervision.as_ref(),
                hub: &hub,
                links: links.clone(),
                managed: self.managed,
            };
            Upgrades::until_succeeded(self.upgrades, passable).await
        });
        let succeeded = tokio::select! {
            ended = &mut running => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            () = shutdown.as_mut() => None,
            succeeded = succession => Some(succeeded),
        };
        watching.iter().for_each(|watching| watching.abort());
        let (successor, linked) = succeeded.unzip();
        let node = node.or(linked.flatten()).or_else(|| links.take_before());
        let reason = reason(successor.is_some(), predecessor.as_ref());
        let stop = Stop {
            config,
            hub,
            readiness,
            slots,
            patience: self.patience,
            supervision: supervision.filter(|_| reason != StopReason::TurnedDown),
            wire,
            test_mode,
            webhooks: self.webhooks,
            relays,
            hooks,
            sockets: handles,
            admin,
            reloader,
            node,
            reason,
        };
        let stopped = stop.run_until_asked(handle, running, shutdown).await;
        end(keeper).await;
        supervising.iter().for_each(|supervising| supervising.abort());
        stopped
    }
}

/// What of a broker has begun before it serves.
struct BegunServer {
    hooks: Vec<RunningHook>,
    keeper: Option<UsageKeeper>,
    server: ServerBuilder,
    handles: Vec<SocketHandle>,
    admin: Option<ServingAdmin>,
}

impl BegunServer {
    fn begin(
        parts: &ServiceParts,
        hooks: Vec<(String, Hook)>,
        usage: Option<UsageBook>,
        sockets: Vec<ListeningSocket>,
        admin: Option<AdminListener>,
        per_worker: usize,
    ) -> io::Result<Self> {
        let hooks = hooks.into_iter().map(|(_, hook)| hook.start()).collect::<io::Result<_>>()?;
        let keeper = usage.map(UsageKeeper::start).transpose()?;
        let server = ActixServer::build()
            .workers(parts.hub.worker_count())
            .max_concurrent_connections(per_worker)
            .disable_signals();
        let (server, handles) = serve_all(sockets, server, parts)?;
        let admin = admin.map(|admin| admin.serve(&parts.config)).transpose()?;
        // Whoever connects meanwhile waits in the kernel, and is refused by nobody.
        Ok(BegunServer { hooks, keeper, server, handles, admin })
    }

    /// Ends what has begun of a broker that has not served.
    async fn end_unserved(self) -> io::Result<()> {
        for hook in self.hooks {
            hook.stop().await;
        }
        if let Some(mut admin) = self.admin {
            admin.close().await;
            admin.end().await;
        }
        end(self.keeper).await;
        Ok(())
    }
}

/// Does this when the broker has the place of the one before it, if there is one; and never if it does not get it.
async fn in_place<T>(predecessor: Option<Predecessor>, work: impl Future<Output = T>) -> T {
    if let Some(predecessor) = predecessor
        && !predecessor.has_succeeded().await
    {
        std::future::pending::<()>().await;
    }
    work.await
}

/// Has a node that has joined have the apps of its cluster, where they are of files.
async fn keep_apps(
    node: &mut RunningNode,
    managed: Option<Arc<ManagedApps>>,
    reloader: &Reloader,
) -> io::Result<()> {
    let Some((managed, documents)) = managed.zip(node.take_documents()) else { return Ok(()) };
    shared_apps::keep(managed, reloader.clone(), documents, node.failure().clone()).await
}

/// Hears what the broker before this one says, if there is one.
fn hear(predecessor: Option<&Predecessor>) {
    if let Some(predecessor) = predecessor.cloned() {
        actix_web::rt::spawn(async move { predecessor.hear().await });
    }
}

/// The listener as the one that is served in the place of another broker, or as the one that is served at once.
fn in_time(
    (admin, url): (AdminListener, String),
    predecessor: Option<&Predecessor>,
) -> (Option<AdminListener>, Option<AdminListener>) {
    admin.console.clients_come_to(url);
    if predecessor.is_some() { (Some(admin), None) } else { (None, Some(admin)) }
}

/// Serves the admin listener, if there is one, now that this broker has its place. Without it the broker serves its clients.
fn serve_in_place(admin: Option<AdminListener>, config: &Config) -> Option<ServingAdmin> {
    let serving = admin?.serve(config);
    serving.inspect_err(|error| error!(%error, "the admin listener is not served")).ok()
}

/// Why a broker ends that has not ended by a fault.
fn reason(is_succeeded: bool, predecessor: Option<&Predecessor>) -> StopReason {
    match predecessor {
        _ if is_succeeded => StopReason::Succeeded,
        Some(predecessor) if !predecessor.has_place() => StopReason::TurnedDown,
        _ => StopReason::Asked,
    }
}

async fn end(keeper: Option<UsageKeeper>) {
    if let Some(keeper) = keeper {
        keeper.end().await;
    }
}

/// Tells the broker before this one, if there is one, that this one serves, and takes its place.
fn succeed(predecessor: Option<&Predecessor>, hub: &Arc<Hub>, config: &Config) {
    if let Some(predecessor) = predecessor.cloned() {
        let (hub, health) = (Arc::clone(hub), format!("{}/health", config.server.path_prefix));
        actix_web::rt::spawn(async move { predecessor.succeed(&hub, health).await });
    }
}

/// Tells the log what is served from now on, by a broker of so many listeners.
fn tell_what_is_served(
    (address, listeners): (SocketAddr, usize),
    hub: &Hub,
    config: &Config,
    sockets: &[SocketHandle],
) {
    warn_of_slow_drain(config, sockets);
    let workers = hub.worker_count();
    info!(%address, listeners, workers, apps = config.apps.len(), "serving");
}

/// Warns of a setting that keeps new connections waiting.
fn warn_of_slow_drain(config: &Config, sockets: &[SocketHandle]) {
    if config.server.drain_connections_per_second > 0 && sockets.iter().any(SocketHandle::is_held) {
        warn!(
            "server.drain_connections_per_second: where a service manager holds the socket, new connections wait until the \
             last client is closed; 0 has the next broker take them at once"
        );
    }
}

/// Has a node join the others, unless it is to stop before. A service manager waits for it.
async fn joined_unless(
    joined: impl Future<Output = io::Result<RunningNode>>,
    stop: impl Future<Output = ()>,
    supervision: Option<&Supervision>,
) -> io::Result<Option<RunningNode>> {
    let mut node = Ok(None);
    let joining = async {
        tokio::select! {
            joined = joined => node = joined.map(Some),
            () = stop => {}
        }
    };
    match supervision {
        Some(supervision) => supervision.extending(Duration::ZERO, joining).await,
        None => joining.await,
    }
    node
}

/// Has the HTTP server serve all these sockets. Returns what closes them, in their order.
fn serve_all(
    sockets: Vec<ListeningSocket>,
    mut server: ServerBuilder,
    parts: &ServiceParts,
) -> io::Result<(ServerBuilder, Vec<SocketHandle>)> {
    let mut handles = Vec::new();
    for listening in sockets {
        let (with_it, handle) = listening.serve(server, parts)?;
        server = with_it;
        handles.push(handle);
    }
    Ok((server, handles))
}
