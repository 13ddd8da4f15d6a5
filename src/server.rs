//! The whole: builds the parts from a configuration, joins them on one listener, and ends them in order.

pub mod control;
mod files;
mod listeners;
mod ports;
mod reload;
mod routes;
mod stop;

pub use files::TooFewFiles;
pub use reload::{Reloaded, Reloader};

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{Extensions, HttpService, KeepAlive, Request};
use actix_server::Server as ActixServer;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_tls::accept::TlsError as Handshake;
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use actix_web::{App as WebApp, HttpRequest, HttpResponse, web};
use futures_util::future::Either;
use tracing::info;

use crate::app::DuplicateApp;
use crate::config::Config;
use crate::development::Development;
use crate::http::{self, BodyBounds, ListenerSettings, UnfinishedBodies, body};
use crate::hub::{Hub, Listener, Worker};
use crate::net::guard::{AcceptedStream, ExchangeBounds, GuardedStream, guarding};
use crate::net::slots::ConnectionSlots;
use crate::net::tls::{self, TlsError};
use crate::pipe::wire::PipeWire;
use crate::pipe::{Hook, Pipe, PipeCounts, RunningHook, Tap, TapListener};
use crate::test_mode::TestMode;
use crate::transport::fallback::{self, Fallback, Sessions};
use crate::transport::websocket;
use crate::webhook::{self, Webhooks, client::ClientError};

use files::OpenFiles;
use listeners::Listeners;
use ports::{Doors, Port};
use stop::Stop;

/// How long an HTTP client may go on sending after its request was refused and answered.
const HTTP_DISCONNECT: Duration = Duration::from_secs(1);

/// By how much the HTTP server's clock may be behind: it is read twice a second.
const CLOCK_SLACK: Duration = Duration::from_millis(500);

/// What one worker thread does with a connection: HTTP requests go to the API, upgrades become WebSockets. A macro,
/// because the type that it builds differs between plain and TLS streams and cannot be written down.
///
/// It panics if it is expanded on more threads than the hub was made for, which happens only if a worker thread died.
macro_rules! http_service {
    ($shared:expr, $pipes_only:expr, $accept:expr) => {{
        let Shared { hub, sessions, config, wire, test_mode, room, unfinished }: &Shared = $shared;
        let worker = Worker::of_this_thread(hub).expect("a hub has one half for each worker thread");
        let body = BodyBounds {
            bytes: config.server.http_body_bytes,
            timeout: config.server.http_request_timeout,
            unfinished: Arc::clone(unfinished),
        };
        let settings = listener_settings(config);
        let context = Rc::new(routes::Context {
            worker: Rc::clone(&worker),
            settings: settings.clone(),
            body: body.clone(),
            development: Development::new(config.development.clone(), config.server.host, &settings),
            test_mode: test_mode.clone(),
        });
        let wire = Arc::clone(wire);
        let endpoint =
            Rc::new(websocket::WebSocketListener::new(&settings, &config.fallback, wire, $pipes_only));
        let sessions = Arc::clone(sessions);
        let fallback = Fallback::new(Rc::clone(&worker), sessions, config.fallback.clone(), settings, body);
        let fallback = Rc::new(fallback);
        let api = || {
            let api = WebApp::new().app_data(Rc::clone(&context)).app_data(Rc::clone(&fallback));
            let api = match $pipes_only {
                true => api.default_service(web::to(answer_on_pipe_port)),
                false => api.default_service(web::to(answer)),
            };
            let api = api.into_factory().map_err(|error: actix_web::Error| error.error_response());
            map_config(api, |()| AppConfig::default())
        };
        let prefix = config.server.path_prefix.clone();
        let expecting = apply_fn_factory(api(), move |mut request: Request, app| {
            http::collapse_slashes(request.head_mut(), &prefix);
            http::answer_before_body(request, |request| Box::pin(app.call(request)))
        });
        let prefix = config.server.path_prefix.clone();
        let api =
            apply_fn_factory(api(), move |mut request: Request, app| match http::resume_answer(&request) {
                Some(answering) => Either::Left(answering),
                None => {
                    http::collapse_slashes(request.head_mut(), &prefix);
                    Either::Right(app.call(request))
                }
            });
        let bounds = ExchangeBounds {
            head: config.server.http_request_timeout,
            idle: config.server.keep_alive,
            // As long as a WebSocket may be silent, pinged and all.
            answer: config.connection.ping_after + config.connection.pong_timeout,
            unread_bytes: config.server.http_body_bytes,
        };
        let http = HttpService::build()
            // The guard bounds both.
            .client_request_timeout(Duration::ZERO)
            .keep_alive(KeepAlive::Os)
            .client_disconnect_timeout(HTTP_DISCONNECT + CLOCK_SLACK)
            // A client that has ended its side is gone: a stream must not wait for it until the next write.
            .h1_allow_half_closed(false)
            .on_connect_ext(|stream: &GuardedStream<_>, data: &mut Extensions| {
                data.insert(stream.exchange());
            })
            .expect(expecting)
            .upgrade(fn_service(move |(request, framed)| {
                websocket::upgrade(Rc::clone(&worker), Rc::clone(&endpoint), request, framed)
            }))
            .finish(api);
        guarding(room.of_this_thread(), bounds, $accept, http)
    }};
}

/// The same over plain connections.
macro_rules! over_tcp {
    ($shared:expr, $pipes_only:expr) => {{
        let room = $shared.room.of_this_thread();
        // All in one step: what the accepting side holds for a connection, it holds to its end.
        http_service!($shared, $pipes_only, move |stream: TcpStream| AcceptedStream::plain(stream, &room))
    }};
}

/// The same over TLS.
macro_rules! over_tls {
    ($tls:expr, $shared:expr, $pipes_only:expr) => {
        tls::accepting($tls.clone(), $shared.room.of_this_thread())
            .and_then(http_service!($shared, $pipes_only, std::convert::identity).map_err(Handshake::Service))
    };
}

/// What a configuration says of every request.
fn listener_settings(config: &Config) -> ListenerSettings {
    let server = &config.server;
    ListenerSettings {
        path_prefix: server.path_prefix.clone(),
        tls: server.tls_certificate.is_some(),
        trust_forwarded_proto: server.trust_forwarded_proto,
        cors: server.cors,
    }
}

/// Hands a request that is no upgrade to those who know its path.
async fn answer(request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    body::begin(&request);
    let fallback = request.app_data::<Rc<Fallback>>();
    let response = match fallback.filter(|fallback| fallback.serves(request.path())).cloned() {
        // Apart, because it is large, and every other request would have the room for it moved along.
        Some(fallback) => Box::pin(fallback::handle(fallback, &request, &mut payload)).await,
        None => routes::handle(&request, &mut payload).await,
    };
    body::finish(&request, response, payload).await
}

/// Answers a request that is no upgrade on the pipe's own port.
async fn answer_on_pipe_port(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    body::begin(&request);
    let response = routes::pipes_only(&request).await;
    body::finish(&request, response, payload).await
}

/// A broker that has been put together and does not listen yet.
pub struct Server {
    config: Config,
    /// Each with the id of its app.
    taps: Vec<(String, Arc<dyn Tap>)>,
    hooks: Vec<(String, Hook)>,
    test_mode: Option<Arc<TestMode>>,
}

/// What the services of all worker threads are made of.
#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    sessions: Arc<Sessions>,
    config: Config,
    wire: Arc<PipeWire>,
    test_mode: Option<Arc<TestMode>>,
    room: Arc<ConnectionSlots>,
    unfinished: Arc<UnfinishedBodies>,
}

/// A broker that has its address. Connections wait in the kernel until it runs.
pub struct BoundServer {
    shared: Shared,
    tls: Option<rustls::ServerConfig>,
    reloader: Reloader,
    webhooks: Webhooks,
    hooks: Vec<(String, Hook)>,
    port: Port,
    /// The pipe's own, if it has one.
    pipe: Option<Port>,
    files: OpenFiles,
}

/// Why a broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two apps could not be told apart.
    #[error(transparent)]
    Apps(#[from] DuplicateApp),
    /// TLS is configured but cannot be served.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Webhooks are configured but cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] ClientError),
    /// A pipe is for an app that does not exist.
    #[error("a pipe was added to the app {0:?}, but no app has this id")]
    PipeWithoutApp(String),
    /// The system lets the process open too few files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// Another program listens there.
    #[error(
        "cannot listen on {0}: the port is in use; stop the other program, or choose another port with --port"
    )]
    PortInUse(SocketAddr),
    /// This machine has no such address.
    #[error("cannot listen on {0}: this machine has no such address; check --host")]
    NoSuchAddress(SocketAddr),
    /// The port is reserved.
    #[error(
        "cannot listen on {0}: permission denied; ports below 1024 are reserved, choose another with --port"
    )]
    PermissionDenied(SocketAddr),
    /// The system refused for another reason.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// Finds what would keep a broker of this configuration from starting, as far as it can be found without starting.
///
/// # Errors
/// See [`StartError`].
pub fn check(config: &Config) -> Result<(), StartError> {
    load_tls(config)?;
    config.apps.iter().try_for_each(|app| webhook::check(&app.webhooks))?;
    Ok(())
}

fn load_tls(config: &Config) -> Result<Option<rustls::ServerConfig>, TlsError> {
    tls::load(config.server.tls_certificate.as_deref(), config.server.tls_key.as_deref())
}

impl Server {
    /// A broker of this configuration, with its pipe rules.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Server { config, taps: Vec::new(), hooks: Vec::new(), test_mode: None }
    }

    /// Adds a pipe to the app with this id.
    #[must_use]
    pub fn pipe(mut self, app_id: impl Into<String>, pipe: impl Pipe) -> Self {
        self.hooks.push((app_id.into(), Hook::new(pipe)));
        self
    }

    /// Adds a tap to the app with this id.
    #[must_use]
    pub fn tap(mut self, app_id: impl Into<String>, tap: impl Tap) -> Self {
        self.taps.push((app_id.into(), Arc::new(tap)));
        self
    }

    /// Puts all its apps under test, and serves the control API.
    #[must_use]
    pub fn test_mode(mut self, test_mode: Arc<TestMode>) -> Self {
        // Compressed broadcasts could not be looked into.
        self.config.connection.compression = false;
        self.test_mode = Some(test_mode);
        self
    }

    /// Takes the configured address.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind.
    pub fn bind(self) -> Result<BoundServer, StartError> {
        let Server { config, taps, hooks, test_mode } = self;
        config.apps.iter().try_for_each(|app| webhook::check(&app.webhooks))?;
        let taps = taps.into_iter().map(|(app_id, tap)| {
            let listener: Arc<dyn Listener> = Arc::new(TapListener(tap));
            (app_id, listener)
        });
        let own = hooks.iter().map(|(app_id, hook)| (app_id.clone(), Arc::clone(&hook.listener)));
        let (webhooks, wire) = (Webhooks::new(), PipeWire::new(config.pipe.clone()));
        let pipes = taps.chain(own).collect();
        let listeners = Listeners::new(pipes, webhooks.clone(), Arc::clone(&wire), test_mode.clone());
        if let Some(app_id) = listeners.without_app(&config.apps) {
            return Err(StartError::PipeWithoutApp(app_id.to_owned()));
        }
        let apps = config.apps.iter().map(|configured| (configured.app.clone(), listeners.of(configured)));
        let apps = apps.collect();
        let workers = config.server.worker_threads();
        let ports = 1 + usize::from(config.pipe.own_port);
        let files = OpenFiles::raise(config.server.max_connections, workers, ports)?;
        let hub = Hub::new(apps, config.connection.clone(), workers, files.room.max_connections)?;
        let tls = load_tls(&config)?;
        let port = Port::bind(config.server.address(), config.server.backlog)?;
        let pipe = match config.pipe.own_port {
            true => {
                let address = SocketAddr::new(config.server.host, config.pipe.port);
                Some(Port::bind(address, config.server.backlog)?)
            }
            false => None,
        };
        let reloader = Reloader::new(Arc::clone(&hub), listeners, config.clone());
        let sessions = Arc::new(Sessions::new(config.fallback.max_sessions));
        if let Some(test_mode) = &test_mode {
            test_mode.set_broker(reloader.as_broker());
        }
        let room = ConnectionSlots::new(config.server.max_http_connections, files.room.per_worker, workers);
        let room = Arc::new(room);
        let unfinished = Arc::new(UnfinishedBodies::new(config.server.http_unfinished_bytes));
        let shared = Shared { hub, sessions, config, wire, test_mode, room, unfinished };
        Ok(BoundServer { shared, tls, reloader, webhooks, hooks, port, pipe, files })
    }
}

impl BoundServer {
    /// Where it listens; with the port it was given, if any free one was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The URL of the address, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.port.address)
    }

    /// Where the pipe's wire is served on a port of its own, if it is.
    #[must_use]
    pub fn pipe_address(&self) -> Option<SocketAddr> {
        self.pipe.as_ref().map(|port| port.address)
    }

    /// The same as a URL, without a path.
    #[must_use]
    pub fn pipe_url(&self) -> Option<String> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        self.pipe_address().map(|address| format!("{scheme}://{address}"))
    }

    /// Tells what became of the events that the pipes of this program were to hear: one entry for each pipe, with the id
    /// of its app, in the order in which they were added. It may be asked at any time, from any thread.
    pub fn pipe_counts(&self) -> impl Fn() -> Vec<(String, PipeCounts)> + Send + Sync + use<> {
        let hooks: Vec<_> = self.hooks.iter().map(|(app_id, hook)| (app_id.clone(), hook.counts())).collect();
        move || hooks.iter().map(|(app_id, counts)| (app_id.clone(), counts())).collect()
    }

    /// What all its workers share.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.shared.hub)
    }

    /// Changes the configuration from now on, also while the broker serves.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The webhooks, and what became of them.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks {
        self.webhooks.clone()
    }

    /// Serves until `shutdown` is ready, then ends every connection and stops. Must run within an
    /// [`actix_web::rt::System`].
    ///
    /// # Errors
    /// If the worker threads cannot be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let BoundServer { shared, tls, reloader, webhooks, hooks, port, pipe, files } = self;
        let address = port.address;
        let doors = Doors::of([&port].into_iter().chain(&pipe))?;
        let Shared { hub, config, wire, test_mode, .. } = shared.clone();
        let hooks =
            hooks.into_iter().map(|(_, hook)| hook.start()).collect::<io::Result<Vec<RunningHook>>>()?;
        let workers = hub.worker_count();
        let server = {
            let server = ActixServer::build()
                .workers(workers)
                .max_concurrent_connections(files.room.per_worker)
                .disable_signals();
            let for_pipe = shared.clone();
            match (tls, pipe) {
                (None, None) => server.listen("heliostat", port.socket, move || over_tcp!(&shared, false))?,
                (None, Some(pipe)) => server
                    .listen("heliostat", port.socket, move || over_tcp!(&shared, false))?
                    .listen("pipe", pipe.socket, move || over_tcp!(&for_pipe, true))?,
                (Some(tls), None) => {
                    server.listen("heliostat", port.socket, move || over_tls!(tls, &shared, false))?
                }
                (Some(tls), Some(pipe)) => {
                    let pipe_tls = tls.clone();
                    server.listen("heliostat", port.socket, move || over_tls!(tls, &shared, false))?.listen(
                        "pipe",
                        pipe.socket,
                        move || over_tls!(pipe_tls, &for_pipe, true),
                    )?
                }
            }
            .run()
        };
        let handle = server.handle();
        files.tell();
        info!(%address, workers, apps = config.apps.len(), "serving");
        let mut running = actix_web::rt::spawn(server);
        tokio::select! {
            ended = &mut running => return ended.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            () = shutdown => {}
        }
        let stop = Stop { config, hub, wire, test_mode, webhooks, hooks, doors, reloader };
        stop.run(handle, running).await
    }
}
