//! Paths and methods: what a request asks for, and the way it takes to its endpoint.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use tracing::{debug, info};

use super::role::Role;
use crate::auth::request::{Query, check_stream_timestamp};
use crate::development::{Development, guard};
use crate::diagnosis::Diagnosis;
use crate::feed::Feed;
use crate::http::Arrival;
use crate::http::{
    ApiError, Authenticated, BodyBounds, ListenerSettings, Unauthenticated, WorkerRequests, authenticated,
    batch_events, body, channels, check_signed_body, chosen_answer, close_if_stopping, events, history,
    how_it_came, moved, not_allowed, preflight, segments, state_response, text_response, unix_seconds, users,
};
use crate::hub::{AppState, InjectedAnswer, Refused, Worker};
use crate::net::{ConnectionPeers, peer_field};
use crate::node::{Readiness, Ready};
use crate::pipe::wire::is_pipe;
use crate::protocol::ChannelType;
use crate::recovery::GivenName;
use crate::relay::{RELAY_HEADER, RelayMark, Relays};
use crate::test_mode::TestMode;
use crate::transport::stream;

/// The answer at the top, where there are no pages.
const ABOUT: &str = concat!(
    "heliostat: a Pusher Channels server. Documentation: ",
    env!("CARGO_PKG_REPOSITORY"),
    "/tree/main/docs\n"
);

/// What the endpoints need besides the request.
#[derive(Debug)]
pub(super) struct RouteContext {
    /// The calling thread's half of the hub.
    pub(super) worker: Rc<Worker>,
    /// What the socket is for that the request came in by.
    pub(super) role: Role,
    /// Whether the node should be sent new clients.
    pub(super) readiness: Arc<Readiness>,
    /// What the listener says of every request.
    pub(super) settings: Rc<ListenerSettings>,
    pub(super) body: BodyBounds,
    /// The conveniences of development mode, as far as they are on.
    pub(super) development: Development,
    pub(super) test_mode: Option<Arc<TestMode>>,
    /// Knows the requests that this broker has relayed itself.
    pub(super) relays: Relays,
    /// Counts the requests of this thread.
    pub(super) requests: Arc<WorkerRequests>,
    /// What those watch who want to know what happens.
    pub(super) feed: Arc<Feed>,
}

/// An endpoint of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'p> {
    Events,
    BatchEvents,
    Channels,
    Channel(&'p str),
    ChannelUsers(&'p str),
    ChannelEvents(&'p str),
    ChannelHistory(&'p str),
    ChannelStats(&'p str),
    ChannelStream(stream::StreamKind, &'p str),
    TerminateConnections(&'p str),
}

impl<'p> Endpoint<'p> {
    /// The endpoint at the segments that follow `/apps/{id}`.
    fn at(segments: &[&'p str]) -> Option<Self> {
        match *segments {
            ["events"] => Some(Endpoint::Events),
            ["batch_events"] => Some(Endpoint::BatchEvents),
            ["channels"] => Some(Endpoint::Channels),
            ["channels", name] => Some(Endpoint::Channel(name)),
            ["channels", name, "users"] => Some(Endpoint::ChannelUsers(name)),
            ["channels", name, "events"] => Some(Endpoint::ChannelEvents(name)),
            ["channels", name, "history"] => Some(Endpoint::ChannelHistory(name)),
            ["channels", name, "mjpeg"] => Some(Endpoint::ChannelStream(stream::StreamKind::Mjpeg, name)),
            ["channels", name, "sse"] => Some(Endpoint::ChannelStream(stream::StreamKind::Sse, name)),
            ["channels", name, "webm"] => Some(Endpoint::ChannelStream(stream::StreamKind::Webm, name)),
            ["channels", name, "stats"] => Some(Endpoint::ChannelStats(name)),
            ["users", id, "terminate_connections"] => Some(Endpoint::TerminateConnections(id)),
            _ => None,
        }
    }

    /// The method it takes.
    fn method(self) -> &'static str {
        match self {
            Endpoint::Events
            | Endpoint::BatchEvents
            | Endpoint::ChannelEvents(_)
            | Endpoint::TerminateConnections(_) => "POST",
            Endpoint::Channels
            | Endpoint::Channel(_)
            | Endpoint::ChannelUsers(_)
            | Endpoint::ChannelHistory(_)
            | Endpoint::ChannelStats(_)
            | Endpoint::ChannelStream(..) => "GET",
        }
    }
}

/// Answers any request that is no upgrade on the port that serves nothing but the pipe.
pub(super) async fn pipes_only(request: &HttpRequest) -> HttpResponse {
    let hub = request.app_data::<Rc<RouteContext>>().map(|context| context.worker.hub());
    let mut response = match hub.and_then(|hub| hub.shutdown()) {
        Some(_) => ApiError::ShuttingDown.response(),
        None => HttpResponse::UpgradeRequired()
            .insert_header((header::UPGRADE, "websocket"))
            .content_type("text/plain; charset=utf-8")
            .body("This port serves the pipe: expected a WebSocket handshake on /app/{app id}\n"),
    };
    if let Some(hub) = hub {
        close_if_stopping(hub, &mut response);
    }
    response
}

/// Answers any request that is no upgrade.
pub(super) async fn handle(request: &HttpRequest, payload: &mut web::Payload) -> HttpResponse {
    let Some(context) = request.app_data::<Rc<RouteContext>>().cloned() else {
        return HttpResponse::InternalServerError().finish();
    };
    let shutdown_guard = context.worker.hub().begin_work();
    let answered = match shutdown_guard {
        Some(_) => answer(&context, request, payload).await,
        None if asks_readiness(&context, request) => readiness(&context, request),
        None => Err(ApiError::ShuttingDown),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            refused(&context, request, &error);
            error.response()
        }
    };
    if context.settings.cors {
        if guard::is_guarded(request, &context.settings.path_prefix) {
            // What signs is for pages of this machine alone.
            guard::allow_origin(request, response.headers_mut())
        } else {
            let any = HeaderValue::from_static("*");
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
        }
    }
    close_if_stopping(context.worker.hub(), &mut response);
    if let Some(shutdown_guard) = shutdown_guard {
        context.worker.end_work(shutdown_guard);
    }
    response
}

/// Tells the log of a refused request, and those who listen to the app that its path names, if it is one; and counts it where
/// addresses are bounded.
fn refused(context: &RouteContext, request: &HttpRequest, error: &ApiError) {
    let (method, sent, status) = (request.method().as_str(), request.path(), error.status().as_u16());
    let path = &*GivenName::hidden_in(sent, &context.settings.path_prefix);
    let arrival = arrival(context, request);
    let (peer, proxy, origin) = (peer_field(arrival.peer), arrival.proxy(), arrival.origin());
    let hub = context.worker.hub();
    if let ApiError::RefusedTooOften(_) = error {
        // The log has heard why.
        debug!(method, path = hub.shown_path(path), status, reason = %error, peer, proxy, origin, "request refused");
        return;
    }
    let told = error.to_string().replace(sent, path);
    let in_path = hub.examine_path(path);
    let diagnosis = in_path.as_ref().or(error.diagnosis());
    let cause = diagnosis.map(Diagnosis::sentence);
    let (path, reason) = (Diagnosis::shown(in_path.as_ref(), path), Diagnosis::shown(diagnosis, &told));
    info!(method, path, status, reason, cause, peer, proxy, origin, "request refused");
    let named = named_app(sent, &context.settings.path_prefix);
    let app = named.and_then(|id| hub.apps().by_id(&id).cloned());
    hub.announce_refusal(app.as_ref(), &Refused::Request { method, path, status, reason, diagnosis });
    if error.is_of_a_stranger() {
        arrival.count_refusal(hub);
    }
}

/// Makes sure that the address that asks was not refused too often of late. Whether the node is well may be asked always.
fn check_refusals(context: &RouteContext, request: &HttpRequest) -> Result<(), ApiError> {
    let hub = context.worker.hub();
    if !hub.refused_addresses().is_bounded() {
        return Ok(());
    }
    let path = request.path().strip_prefix(context.settings.path_prefix.as_str());
    let is_probe = check_reading(request).is_ok()
        && path.is_some_and(|path| {
            let mut segments = segments(path).skip(1);
            let first = segments.next();
            segments.next().is_none() && first.is_some_and(|first| first == "health" || first == "ready")
        });
    if !is_probe {
        arrival(context, request).check_refusals(hub)?;
    }
    Ok(())
}

async fn answer(
    context: &RouteContext,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<HttpResponse, ApiError> {
    check_refusals(context, request)?;
    let sent_path = request.path();
    let not_found = || ApiError::NotFound(sent_path.to_owned());
    let path = sent_path.strip_prefix(context.settings.path_prefix.as_str()).ok_or_else(not_found)?;
    if path.is_empty() {
        // So that relative links of the pages lead below the prefix.
        return Ok(moved(&format!("{}/", context.settings.path_prefix)));
    }
    let Some(path) = path.strip_prefix('/') else { return Err(not_found()) };
    let segments: Vec<_> = segments(path).collect();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();

    context.development.guard(request)?;
    if request.method() == Method::OPTIONS && context.settings.cors {
        return Ok(preflight(request));
    }
    match segments.as_slice() {
        ["health"] => check_reading(request).map(|()| state_response(context.readiness.check_life(), "ok\n")),
        ["ready"] => readiness(context, request),
        ["app", key] | ["app", key, ""] | ["r", _, "app", key] | ["r", _, "app", key, ""] => {
            let is_known = names_an_app(context, request, key);
            let came = how_it_came(request.version(), request.headers());
            Err(ApiError::UpgradeRequired { came, is_known })
        }
        // One official library leaves the app out of this path; the key tells which it is.
        ["apps", ..] | ["users", _, "terminate_connections"] => {
            let (app_id, endpoint) = match segments.as_slice() {
                ["apps", app_id, endpoint @ ..] => (Some(*app_id), endpoint),
                endpoint => (None, endpoint),
            };
            let endpoint = Endpoint::at(endpoint).ok_or_else(not_found)?;
            if request.method() != endpoint.method() {
                return Err(not_allowed(request, endpoint.method()));
            }
            let query = Query::parse(request.query_string());
            if let (Some(app_id), Endpoint::ChannelStream(kind, name)) = (app_id, endpoint)
                && let Some(app) = app_of_public_stream(context, app_id, name)
            {
                return Box::pin(public_stream(context, request, app?, (kind, name), &query)).await;
            }
            // Only a stream is a client's.
            let is_stream = matches!(endpoint, Endpoint::ChannelStream(..));
            let arrival = if is_stream { arrival(context, request) } else { Arrival::default() };
            let prefix = &context.settings.path_prefix;
            let app = authenticated(context.worker.hub(), prefix, request, &query, app_id)?;
            let body = body::read(request, payload, &context.body).await?;
            check_signed_body(context.worker.hub(), &query, &body)?;
            context.worker.uncongested().await;
            if !app.app().enabled {
                return Err(ApiError::AppDisabled);
            }
            let is_relayed = is_relayed(context, request, &app)?;
            let headers = request.headers();
            let signed =
                BackendRequest { context, path: sent_path, app, headers, query: &query, body, is_relayed };
            signed.answer(endpoint, &arrival).await
        }
        ["test", asked @ ..] if context.test_mode.is_some() => {
            let test_mode = context.test_mode.as_ref().ok_or_else(not_found)?;
            if let Some(refusal) = test_mode.refusal(request, asked) {
                return Ok(refusal);
            }
            let body = body::read(request, payload, &context.body).await?;
            // Apart, because it is large and rare: every request would have the room for it moved along.
            Ok(Box::pin(test_mode.answer(request, asked, &context.settings.path_prefix, &body)).await)
        }
        segments => development_page(context, request, payload, segments).await,
    }
}

/// Answers what development mode has at these segments, or says that there is nothing.
async fn development_page(
    context: &RouteContext,
    request: &HttpRequest,
    payload: &mut web::Payload,
    segments: &[&str],
) -> Result<HttpResponse, ApiError> {
    let (development, apps) = (&context.development, context.worker.hub().apps());
    let asked = match development.request_kind(request, segments, apps.registry()) {
        Some(asked) => asked?,
        None if segments == [""] => return about(request),
        None => return Err(ApiError::NotFound(request.path().to_owned())),
    };
    let body =
        if asked.takes_a_body() { body::read(request, payload, &context.body).await? } else { Bytes::new() };
    // Asked for again: they may have changed while the body came.
    development.answer(request, asked, &body, context.worker.hub().apps().registry())
}

/// Whether another server has relayed a request whose signature is in order. It is asked only where that would be handed
/// on, or can have come from here: a relay that is no more sends what waits.
///
/// # Errors
/// If this broker has.
fn is_relayed(context: &RouteContext, request: &HttpRequest, app: &AppState) -> Result<bool, ApiError> {
    if !app.hears_calls() && !context.relays.have_begun() {
        return Ok(false);
    }
    let header = request.headers().get(RELAY_HEADER);
    match header.map(|header| context.relays.read_mark(app.id(), header.as_bytes())) {
        None => Ok(false),
        Some(RelayMark::Others) => Ok(true),
        Some(RelayMark::Own) => Err(ApiError::RelayLeadsBack),
    }
}

/// Whether the path of a handshake that came without its upgrade names an app: by the key, or as backends of the pipe do.
fn names_an_app(context: &RouteContext, request: &HttpRequest, key: &str) -> bool {
    let hub = context.worker.hub();
    hub.state_by_key(key).is_some()
        || (hub.apps().by_id(key).is_some() && is_pipe(&Query::parse(request.query_string())))
}

/// Whether a request is for the node's readiness, which is told until the end.
fn asks_readiness(context: &RouteContext, request: &HttpRequest) -> bool {
    let path = request.path().strip_prefix(context.settings.path_prefix.as_str());
    path.is_some_and(|path| segments(path).eq(["", "ready"]))
}

/// Whether the node should be sent new clients; whoever asks has one connection.
fn readiness(context: &RouteContext, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    check_reading(request)?;
    let ready = context.readiness.check_for_clients(1);
    // Strangers are told no more.
    let well = if ready == Ok(Ready::Degraded) { "degraded\n" } else { "ready\n" };
    Ok(state_response(ready.map(|_| ()), well))
}

/// What is here, for whoever opens the address where there are no pages. It tells strangers no version.
fn about(request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    check_reading(request)?;
    Ok(text_response(ABOUT))
}

/// Makes sure that a request only asks.
fn check_reading(request: &HttpRequest) -> Result<(), ApiError> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(not_allowed(request, "GET, HEAD")),
    }
}

/// A request of an app's backend, whose signature is in order.
struct BackendRequest<'r> {
    context: &'r RouteContext,
    path: &'r str,
    app: Arc<AppState>,
    headers: &'r HeaderMap,
    query: &'r Query,
    body: Bytes,
    is_relayed: bool,
}

impl BackendRequest<'_> {
    /// Answers it, and counts it.
    async fn answer(self, endpoint: Endpoint<'_>, arrival: &Arrival) -> Result<HttpResponse, ApiError> {
        let BackendRequest { context, path, app, headers, query, body, is_relayed } = self;
        let cells = Arc::clone(app.cells_of(context.worker.index()));
        cells.http_requests.add(1);
        cells.http_bytes_received.add(body.len() as u64);
        let request = Authenticated { app, headers, query, worker: &context.worker, body, is_relayed };
        let answered = match request.app.interceptor().answer(path) {
            None => dispatch(endpoint, &request, arrival).await,
            Some(InjectedAnswer::Status(status, body)) => Ok(chosen_answer(status, body)),
            Some(InjectedAnswer::After(end)) => {
                end.await;
                dispatch(endpoint, &request, arrival).await
            }
        };
        let sent = match &answered {
            Ok(response) => match response.body().size() {
                BodySize::Sized(bytes) => bytes,
                BodySize::None | BodySize::Stream => 0,
            },
            Err(error) => error.body().len() as u64,
        };
        cells.http_bytes_sent.add(sent);
        answered
    }
}

async fn dispatch(
    endpoint: Endpoint<'_>,
    request: &Authenticated<'_>,
    arrival: &Arrival,
) -> Result<HttpResponse, ApiError> {
    // Asked in the turn that publishes: who is told that an event was published was heard by everybody.
    if request.hub().shutdown().is_some() {
        return Err(ApiError::ShuttingDown);
    }
    match endpoint {
        Endpoint::Events => events::publish(request)?.answer().await,
        Endpoint::BatchEvents => batch_events::publish_batch(request)?.answer().await,
        Endpoint::ChannelEvents(name) => events::publish_body(request, name)?.answer().await,
        Endpoint::Channels => Box::pin(channels::list(request)).await,
        Endpoint::Channel(name) => Box::pin(channels::show(request, name)).await,
        Endpoint::ChannelUsers(name) => channels::users(request, name),
        Endpoint::ChannelHistory(name) => history::show(request, name).await,
        Endpoint::ChannelStats(name) => channels::stats(request, name),
        Endpoint::ChannelStream(kind, name) => {
            let channel = stream::channel(&request.app, name)?;
            check_stream_timestamp(request.query, unix_seconds()).map_err(Unauthenticated::from)?;
            let (query, last_event_id) = (request.query, last_event_id(request.headers));
            let stream_request = stream::StreamRequest { kind, query, arrival, last_event_id, signed: true };
            Box::pin(stream::open(request.worker, Arc::clone(&request.app), channel, &stream_request)).await
        }
        Endpoint::TerminateConnections(user_id) => Box::pin(users::terminate(request, user_id)).await,
    }
}

/// The header by which a reader of a stream tells the last event that it has.
fn last_event_id(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get("last-event-id").map(HeaderValue::as_bytes)
}

fn arrival(context: &RouteContext, request: &HttpRequest) -> Arrival {
    let peers = request.conn_data::<ConnectionPeers>().copied().unwrap_or_default();
    Arrival::of(request.headers(), &context.settings, peers)
}

/// A stream of a channel that anybody may subscribe to needs no signature, unless the app demands that connections
/// authorize themselves: there is no other way for a stream to do so. `None` if it needs one, else the app.
fn app_of_public_stream(
    context: &RouteContext,
    app_id: &str,
    name: &str,
) -> Option<Result<Arc<AppState>, ApiError>> {
    if ChannelType::of(name).needs_auth() {
        return None;
    }
    let app = context.worker.hub().apps().by_id(app_id).cloned();
    if app.as_ref().is_some_and(|app| app.app().authorized_connections) {
        return None;
    }
    Some(app.ok_or_else(|| ApiError::NoSuchApp(app_id.to_owned())))
}

/// Answers with such a stream.
async fn public_stream(
    context: &RouteContext,
    request: &HttpRequest,
    app: Arc<AppState>,
    (kind, name): (stream::StreamKind, &str),
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    let channel = stream::channel(&app, name)?;
    let arrival = arrival(context, request);
    let last_event_id = last_event_id(request.headers());
    let stream_request =
        stream::StreamRequest { kind, query, arrival: &arrival, last_event_id, signed: false };
    stream::open(&context.worker, app, channel, &stream_request).await
}

/// The id that a path of the HTTP API names an app by, whether there is such an app or not.
pub(super) fn named_app<'p>(path: &'p str, prefix: &str) -> Option<Cow<'p, str>> {
    let mut segments = segments(path.strip_prefix(prefix)?).skip(1);
    if segments.next()? == "apps" { segments.next().filter(|id| !id.is_empty()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_by_their_segments() {
        assert_eq!(Endpoint::at(&["events"]), Some(Endpoint::Events));
        assert_eq!(Endpoint::at(&["channels", "a", "users"]), Some(Endpoint::ChannelUsers("a")));
        assert_eq!(Endpoint::at(&["channels", "events"]), Some(Endpoint::Channel("events")));
        assert_eq!(Endpoint::at(&["channels", "a", "b"]), None);
        assert_eq!(Endpoint::at(&[]), None);
    }

    #[test]
    fn a_path_names_an_app_behind_the_prefix_alone() {
        assert_eq!(named_app("/apps/1/events", "").as_deref(), Some("1"));
        assert_eq!(named_app("/apps/apps/a%20b/channels", "/apps").as_deref(), Some("a b"));
        for (path, prefix) in [("/apps/1/events", "/apps"), ("/x/apps/1", ""), ("/apps/", ""), ("/app/1", "")]
        {
            assert_eq!(named_app(path, prefix), None, "{path} {prefix}");
        }
    }

    #[test]
    fn the_page_of_the_http_api_has_every_endpoint() {
        let page = include_str!("../../docs/http-api.md");
        let headings = page.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
        let told: Vec<_> = headings.filter_map(|heading| heading.split_once(" /apps/{app_id}/")).collect();
        for (method, path) in &told {
            let segments: Vec<&str> = path.split('/').collect();
            assert_eq!(Endpoint::at(&segments).map(Endpoint::method), Some(*method), "{path}");
        }
        let known = include_str!("routes.rs").matches(concat!("] => Some(", "Endpoint::")).count();
        assert_eq!(told.len(), known);
    }
}
