//! The admin listener's socket, and its serving: on a thread of its own, with connections of its own, so that an operator
//! is answered when the workers are busy or full.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, KeepAlive};
use actix_server::{Server as ActixServer, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::dev::AppConfig;
use actix_web::http::StatusCode;
use actix_web::rt::task::JoinHandle;
use actix_web::{App as WebApp, HttpRequest, HttpResponse, web};
use tracing::{debug, info};

use super::StartError;
use super::inherited::InheritedSocket;
use super::listening::{self, ListeningSocket, PlainSocket, SocketHandle};
use super::role::Role;
use super::service::{self, CLOCK_SLACK, HTTP_DISCONNECT};
use super::wanted::WantedListener;
use crate::admin::Admin;
use crate::config::Config;
use crate::console::Console;
use crate::http::body;
use crate::net::Socket;
use crate::net::guard::{AcceptedStream, ExchangeBounds, GuardedStream, guarding};
use crate::net::slots::ConnectionSlots;

/// Connections at once. Those who run a broker are few; where one more comes, the one that is idle longest is ended.
const CONNECTIONS: usize = 32;

/// Open files that the listener takes, its connections among them: its sockets, twice, and what its two threads poll.
pub(super) const FILES: u64 = CONNECTIONS as u64 + 14;

/// The admin listener with its address, or two where it is `localhost`, or the sockets that were passed on for it.
/// Connections wait in the kernel until it serves.
pub(super) struct AdminListener {
    pub(super) sockets: Vec<ListeningSocket>,
    pub(super) admin: Arc<Admin>,
    pub(super) console: Arc<Console>,
}

impl AdminListener {
    /// Takes what it wants and what was inherited for it. `any_port`: where the port is taken, any free one will do.
    pub(super) fn bind(
        (wanted, inherited): (WantedListener, Vec<InheritedSocket>),
        backlog: u32,
        any_port: bool,
    ) -> Result<Vec<ListeningSocket>, StartError> {
        let any_port = any_port && inherited.is_empty();
        match ListeningSocket::bind((wanted.clone(), inherited), backlog, None) {
            Err(StartError::Admin { error, .. }) if any_port && error.kind() == io::ErrorKind::AddrInUse => {
                ListeningSocket::bind((wanted.at_any_port(), Vec::new()), backlog, None)
            }
            bound => bound,
        }
    }

    /// Its first address, and the URL of that.
    pub(super) fn place(&self) -> Option<(IpAddr, String)> {
        let address = self.sockets.first().and_then(ListeningSocket::address)?;
        Some((address.ip(), self.url()?))
    }

    /// The URL of its first address, without a path.
    pub(super) fn url(&self) -> Option<String> {
        self.sockets.first().map(|socket| socket.url(["http", "https"]))
    }

    /// Serves until it is ended. Must be called within an [`actix_web::rt::System`].
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub(super) fn serve(self, config: &Config) -> io::Result<ServingAdmin> {
        let url = self.url();
        let AdminListener { sockets, admin, console } = self;
        let slots = Arc::new(ConnectionSlots::new(0, CONNECTIONS, 1));
        let bounds = service::bounds(config);
        let mut server =
            ActixServer::build().workers(1).max_concurrent_connections(CONNECTIONS).disable_signals();
        let mut handles = Vec::new();
        for socket in sockets {
            let (socket, handle) = socket.split()?;
            let (admin, slots) = (Arc::clone(&admin), Arc::clone(&slots));
            let name = Role::Admin.name();
            server = match socket {
                PlainSocket::Tcp(socket) => {
                    server.listen(name, socket, move || connections(&admin, &slots, bounds))?
                }
                PlainSocket::Unix(socket) => {
                    server.listen_uds(name, socket, move || connections(&admin, &slots, bounds))?
                }
            };
            handles.push(handle);
        }
        let server = server.run();
        let handle = server.handle();
        info!(url, "serving the admin listener");
        let overview = actix_web::rt::spawn(Arc::clone(&console).keep_overview());
        let answering = actix_web::rt::spawn(Arc::clone(&console).answer_nodes());
        let watching = actix_web::rt::spawn(console.watch_around());
        Ok(ServingAdmin {
            handle,
            running: actix_web::rt::spawn(server),
            overview,
            answering,
            watching,
            sockets: handles,
        })
    }
}

/// The admin listener while it serves.
pub(super) struct ServingAdmin {
    handle: ServerHandle,
    running: JoinHandle<io::Result<()>>,
    /// Takes samples.
    overview: JoinHandle<()>,
    /// Answers what other nodes ask.
    answering: JoinHandle<()>,
    /// Hears what happens on other nodes, and tells them what happens here.
    watching: JoinHandle<()>,
    sockets: Vec<SocketHandle>,
}

impl ServingAdmin {
    /// What it listens on.
    pub(super) fn sockets(&self) -> &[SocketHandle] {
        &self.sockets
    }

    pub(super) fn sockets_mut(&mut self) -> &mut [SocketHandle] {
        &mut self.sockets
    }

    /// Accepts nothing, until it resumes.
    pub(super) async fn pause(&self) {
        listening::pause(&self.handle).await;
    }

    pub(super) async fn resume(&self) {
        self.handle.resume().await;
    }

    /// Takes no more connections, and gives the port back. Those that are open are answered.
    pub(super) async fn close(&mut self) {
        listening::close(std::mem::take(&mut self.sockets), &self.handle).await;
    }

    /// Ends what is left.
    pub(super) async fn end(self) {
        self.overview.abort();
        self.answering.abort();
        self.watching.abort();
        self.handle.stop(false).await;
        if let Ok(Err(error)) = self.running.await {
            debug!(%error, "the admin listener did not end in order");
        }
    }
}

/// Serves connections on the calling thread.
fn connections<S: Socket>(
    admin: &Arc<Admin>,
    slots: &Arc<ConnectionSlots>,
    bounds: ExchangeBounds,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<S> {
    let app = WebApp::new().app_data(Arc::clone(admin)).default_service(web::to(answer)).into_factory();
    let app = app.map_err(|error: actix_web::Error| error.error_response());
    let app = map_config(app, |()| AppConfig::default());
    let http = HttpService::build()
        // The guard bounds both.
        .client_request_timeout(std::time::Duration::ZERO)
        .keep_alive(KeepAlive::Os)
        .client_disconnect_timeout(HTTP_DISCONNECT + CLOCK_SLACK)
        .h1_allow_half_closed(false)
        .on_connect_ext(|stream: &GuardedStream<S>, data: &mut Extensions| {
            data.insert(stream.exchange());
        })
        .finish(app);
    let room = slots.of_this_thread();
    let accept = {
        let room = std::rc::Rc::clone(&room);
        move |stream: S| AcceptedStream::plain(stream, &room)
    };
    guarding(room, bounds, accept, http)
}

/// Answers any request.
async fn answer(request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    body::begin(&request);
    let response = match request.app_data::<Arc<Admin>>() {
        Some(admin) => admin.answer(&request, &mut payload).await,
        None => HttpResponse::InternalServerError().finish(),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        body::switched(&request);
        return response;
    }
    body::finish(&request, response, payload).await
}
