//! What a worker thread does with a connection: its HTTP requests go to whoever knows their path, its upgrades become
//! WebSockets.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_http::{Extensions, HttpService, KeepAlive, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_tls::accept::TlsError;
use actix_web::dev::AppConfig;
use actix_web::{App as WebApp, HttpRequest, HttpResponse, web};
use futures_util::future::Either;

use super::role::Role;
use super::route_name::route_name;
use super::routes;
use crate::config::{Config, ServerConfig};
use crate::development::Development;
use crate::feed::{Feed, FeedDetails, FeedKind, FeedSubject, beginning, exact_ms};
use crate::http::{self, BodyBounds, ListenerSettings, RequestCounts, UnfinishedBodies, body};
use crate::hub::{Hub, RefusedAddresses, Worker};
use crate::net::guard::{AcceptedStream, ExchangeBounds, GuardedStream, guarding};
use crate::net::slots::ConnectionSlots;
use crate::net::tls;
use crate::net::{self, Socket, Stream, TrustedProxies};
use crate::node::Readiness;
use crate::pipe::wire::PipeWire;
use crate::relay::Relays;
use crate::test_mode::TestMode;
use crate::transport::fallback::{self, Fallback, Sessions};
use crate::transport::websocket;

/// How long an HTTP client may go on sending after its request was refused and answered.
pub(super) const HTTP_DISCONNECT: Duration = Duration::from_secs(1);

/// By how much the HTTP server's clock may be behind: it is read twice a second.
pub(super) const CLOCK_SLACK: Duration = Duration::from_millis(500);

/// What the services of all worker threads are made of.
#[derive(Clone)]
pub(super) struct ServiceParts {
    pub(super) hub: Arc<Hub>,
    /// Of the admin listener's credentials.
    pub(super) guesses: Arc<RefusedAddresses>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) config: Config,
    pub(super) wire: Arc<PipeWire>,
    pub(super) test_mode: Option<Arc<TestMode>>,
    pub(super) slots: Arc<ConnectionSlots>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) unfinished: Arc<UnfinishedBodies>,
    pub(super) requests: Arc<RequestCounts>,
    pub(super) relays: Relays,
    pub(super) feed: Arc<Feed>,
    /// Where the admin listener is, if there is one.
    pub(super) admin: Vec<SocketAddr>,
}

/// Serves plain connections on the calling worker thread.
pub(super) fn plain<S: Socket>(
    parts: &ServiceParts,
    role: Role,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<S> {
    let slots = parts.slots.of_this_thread();
    // All in one step: what the accepting side holds for a connection, it holds to its end.
    http_service(parts, role, move |stream: S| AcceptedStream::plain(stream, &slots))
}

/// Serves plain connections that begin with a header of the PROXY protocol, on the calling worker thread.
pub(super) fn proxied<S: Socket>(
    parts: &ServiceParts,
    role: Role,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<S> {
    let accepting = net::accepting_proxied(trusted_proxies(parts), parts.slots.of_this_thread());
    accepting.and_then(http_service(parts, role, std::convert::identity))
}

/// The proxies that may name clients.
fn trusted_proxies(parts: &ServiceParts) -> Arc<TrustedProxies> {
    Arc::new(parts.config.server.trusted_proxies.clone())
}

/// Serves connections over TLS on the calling worker thread. With `proxy_protocol`, each begins with a header of it.
pub(super) fn over_tls<S: Socket>(
    tls: rustls::ServerConfig,
    parts: &ServiceParts,
    role: Role,
    proxy_protocol: bool,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = TlsError<io::Error, DispatchError>, InitError = ()>
+ use<S> {
    let http = http_service(parts, role, std::convert::identity).map_err(TlsError::Service);
    let proxied = proxy_protocol.then(|| trusted_proxies(parts));
    tls::accepting(tls, proxied, parts.slots.of_this_thread()).and_then(http)
}

/// Serves streams of bytes, as `accept` makes them of what comes.
///
/// # Panics
/// If this is called on more threads than the hub was made for, which happens only if a worker thread died.
fn http_service<R, S: Stream, A: Fn(R) -> AcceptedStream<S> + Clone>(
    parts: &ServiceParts,
    role: Role,
    accept: A,
) -> impl ServiceFactory<R, Config = (), Response = (), Error = DispatchError, InitError = ()> + use<R, S, A>
{
    let ServiceParts {
        hub,
        sessions,
        config,
        wire,
        test_mode,
        slots,
        readiness,
        unfinished,
        requests,
        relays,
        feed,
        admin,
        ..
    } = parts;
    let worker = Worker::of_this_thread(hub).expect("a hub has one half for each worker thread");
    let settings = Rc::new(listener_settings(&config.server, S::IS_TLS));
    let body = BodyBounds {
        bytes: config.server.http_body_bytes,
        timeout: config.server.http_request_timeout,
        unfinished: Arc::clone(unfinished),
    };
    let widest_host = config.server.widest_host();
    let development = Development::new(config.development.clone(), widest_host, admin, Rc::clone(&settings));
    let context = Rc::new(routes::RouteContext {
        worker: Rc::clone(&worker),
        role,
        readiness: Arc::clone(readiness),
        settings: Rc::clone(&settings),
        body: body.clone(),
        development,
        test_mode: test_mode.clone(),
        relays: relays.clone(),
        requests: requests.for_worker(),
        feed: Arc::clone(feed),
    });
    let (wire, is_for_pipe) = (Arc::clone(wire), role == Role::Pipe);
    let listener =
        websocket::WebSocketListener::new(Rc::clone(&settings), &config.fallback, wire, is_for_pipe);
    let listener = Rc::new(listener);
    let fallback =
        Fallback::new(Rc::clone(&worker), Arc::clone(sessions), config.fallback.clone(), settings, body);
    let fallback = Rc::new(fallback);
    let api = || {
        let api = WebApp::new().app_data(Rc::clone(&context)).app_data(Rc::clone(&fallback));
        let api = api.default_service(web::to(answer)).into_factory();
        let api = api.map_err(|error: actix_web::Error| error.error_response());
        map_config(api, |()| AppConfig::default())
    };
    let prefix = config.server.path_prefix.clone();
    let expecting = apply_fn_factory(api(), move |mut request: Request, app| {
        http::collapse_slashes(request.head_mut(), &prefix);
        http::answer_before_body(request, |request| Box::pin(app.call(request)))
    });
    let prefix = config.server.path_prefix.clone();
    let api = apply_fn_factory(api(), move |mut request: Request, app| match http::resume_answer(&request) {
        Some(answering) => Either::Left(answering),
        None => {
            http::collapse_slashes(request.head_mut(), &prefix);
            Either::Right(app.call(request))
        }
    });
    let http = HttpService::build()
        // The guard bounds both.
        .client_request_timeout(Duration::ZERO)
        .keep_alive(KeepAlive::Os)
        .client_disconnect_timeout(HTTP_DISCONNECT + CLOCK_SLACK)
        // A client that has ended its side is gone: a stream must not wait for it until the next write.
        .h1_allow_half_closed(false)
        .on_connect_ext(|stream: &GuardedStream<S>, data: &mut Extensions| {
            data.insert(stream.exchange());
            data.insert(stream.peers());
        })
        .expect(expecting)
        .upgrade(fn_service(move |(request, framed)| {
            websocket::upgrade(Rc::clone(&worker), Rc::clone(&listener), request, framed)
        }))
        .finish(api);
    guarding(slots.of_this_thread(), bounds(config), accept, http)
}

/// What a configuration says of every request on a listener that speaks TLS, or does not.
fn listener_settings(server: &ServerConfig, tls: bool) -> ListenerSettings {
    ListenerSettings {
        path_prefix: server.path_prefix.clone(),
        tls,
        trust_forwarded_proto: server.trust_forwarded_proto,
        trusted_proxies: Arc::new(server.trusted_proxies.clone()),
        cors: server.cors,
    }
}

/// What bounds a connection while it speaks HTTP.
pub(super) fn bounds(config: &Config) -> ExchangeBounds {
    ExchangeBounds {
        head: config.server.http_request_timeout,
        idle: config.server.keep_alive,
        // As long as a WebSocket may be silent, pinged and all.
        answer: config.connection.ping_after + config.connection.pong_timeout,
        unread_bytes: config.server.http_body_bytes,
    }
}

/// Hands a request that is no upgrade to whoever knows its path.
async fn answer(request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    let began = Instant::now();
    body::begin(&request);
    let role = request.app_data::<Rc<routes::RouteContext>>().map(|context| context.role);
    let response = match role {
        Some(Role::Pipe) => routes::pipes_only(&request).await,
        Some(Role::Broker | Role::Admin) | None => {
            let fallback = request.app_data::<Rc<Fallback>>();
            match fallback.filter(|fallback| fallback.serves(request.path())).cloned() {
                // Apart, because it is large, and every other request would have the room for it moved along.
                Some(fallback) => Box::pin(fallback::handle(fallback, &request, &mut payload)).await,
                None => routes::handle(&request, &mut payload).await,
            }
        }
    };
    if let Some(context) = request.app_data::<Rc<routes::RouteContext>>() {
        let fallback = request.app_data::<Rc<Fallback>>();
        let route = match role {
            Some(Role::Pipe) => "pipe",
            _ if fallback.is_some_and(|fallback| fallback.serves(request.path())) => "fallback",
            _ => route_name(request.path(), &context.settings.path_prefix),
        };
        context.requests.add(route, request.method(), response.status().as_u16(), began.elapsed());
        if context.feed.wants_kind(FeedKind::Api) {
            tell_of_call(context, &request, response.status().as_u16(), began.elapsed());
        }
    }
    body::finish(&request, response, payload).await
}

/// Tells those who watch of a request that was answered, without what signs it.
#[cold]
fn tell_of_call(context: &routes::RouteContext, request: &HttpRequest, status: u16, duration: Duration) {
    // Of a path that holds a secret the refusal tells.
    let path = context.worker.hub().shown_path(request.path());
    let Some(app) = routes::named_app(path, &context.settings.path_prefix) else { return };
    context.feed.tell(&FeedSubject::in_app(FeedKind::Api, &app), || FeedDetails {
        what: "call".into(),
        method: Some(request.method().as_str().into()),
        path: Some(beginning(path).into()),
        status: Some(status),
        duration_ms: Some(exact_ms(duration)),
        ..FeedDetails::default()
    });
}
