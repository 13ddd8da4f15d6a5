//! Paths and methods: what a request asks for, and the way it takes to its endpoint.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tracing::info;

use crate::auth::request::{Query, SignedRequest, authenticate, check_body, check_stream_timestamp};
use crate::config::Config;
use crate::development::{Development, guard};
use crate::hub::{Answer, AppState, Hub, Refused, Worker};
use crate::test_mode::TestMode;
use crate::transport::admission::Arrival;

use crate::protocol::ChannelType;

use super::{ApiError, BodyBounds, body, channels, events, stream, users};

/// What the endpoints need besides the request.
#[derive(Debug)]
pub struct Context {
    /// The calling thread's half of the hub.
    pub worker: Rc<Worker>,
    /// Put before every path; empty, or `/` and segments.
    pub path_prefix: String,
    /// What bounds a body.
    pub body: BodyBounds,
    /// Whether answers allow any origin.
    pub cors: bool,
    /// Whether the listener itself speaks TLS.
    pub tls: bool,
    /// Whether `X-Forwarded-Proto` is believed.
    pub trust_forwarded_proto: bool,
    /// The conveniences of development mode, as far as they are on.
    pub development: Development,
    /// Test mode, where it is on.
    pub test_mode: Option<Arc<TestMode>>,
}

impl Context {
    /// What a configuration asks for, on the worker of the calling thread.
    #[must_use]
    pub fn new(
        worker: Rc<Worker>,
        config: &Config,
        test_mode: Option<Arc<TestMode>>,
        body: BodyBounds,
    ) -> Self {
        Context {
            worker,
            path_prefix: config.server.path_prefix.clone(),
            body,
            cors: config.server.cors,
            tls: config.server.tls_certificate.is_some(),
            trust_forwarded_proto: config.server.trust_forwarded_proto,
            development: Development::new(config),
            test_mode,
        }
    }
}

/// A request whose sender is known.
#[derive(Debug)]
pub(super) struct Authenticated<'a> {
    pub(super) app: Arc<AppState>,
    pub(super) query: &'a Query,
    worker: &'a Rc<Worker>,
    body: Bytes,
}

impl Authenticated<'_> {
    /// What all workers share.
    pub(super) fn hub(&self) -> &Arc<Hub> {
        self.worker.hub()
    }

    /// The body as text.
    pub(super) fn body_text(&self) -> Result<&str, ApiError> {
        std::str::from_utf8(&self.body).map_err(|_| ApiError::BodyNotUtf8)
    }
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
    ChannelStats(&'p str),
    ChannelStream(stream::Kind, &'p str),
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
            ["channels", name, "mjpeg"] => Some(Endpoint::ChannelStream(stream::Kind::Mjpeg, name)),
            ["channels", name, "sse"] => Some(Endpoint::ChannelStream(stream::Kind::Sse, name)),
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
            | Endpoint::ChannelStats(_)
            | Endpoint::ChannelStream(..) => "GET",
        }
    }
}

/// Answers any request that is no upgrade on the port that serves nothing but the pipe.
pub async fn pipes_only(request: &HttpRequest) -> HttpResponse {
    let hub = request.app_data::<Rc<Context>>().map(|context| context.worker.hub());
    let mut response = match hub.and_then(|hub| hub.farewell()) {
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
pub async fn handle(request: &HttpRequest, payload: &mut web::Payload) -> HttpResponse {
    let Some(context) = request.app_data::<Rc<Context>>().cloned() else {
        return HttpResponse::InternalServerError().finish();
    };
    let at_work = context.worker.hub().begin_work();
    let answered = match at_work {
        Some(_) => answer(&context, request, payload).await,
        None => Err(ApiError::ShuttingDown),
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            let (method, path, status) = (request.method().as_str(), request.path(), error.status().as_u16());
            let arrival = arrival(&context, request);
            let (peer, origin) = (arrival.peer.map(tracing::field::display), arrival.origin());
            info!(method, path, status, reason = %error, peer, origin, "request refused");
            announce_refusal(&context, request, &error);
            error.response()
        }
    };
    if context.cors {
        match guard::is_guarded(request, &context.path_prefix) {
            // What signs is for pages of this machine alone.
            true => guard::allow_origin(request, response.headers_mut()),
            false => {
                let any = HeaderValue::from_static("*");
                response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
            }
        }
    }
    close_if_stopping(context.worker.hub(), &mut response);
    if let Some(at_work) = at_work {
        context.worker.end_work(at_work);
    }
    response
}

/// Has a connection end with this answer once the broker stops: on another it may find another broker.
pub(crate) fn close_if_stopping(hub: &Hub, response: &mut HttpResponse) {
    if hub.farewell().is_some() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

async fn answer(
    context: &Context,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<HttpResponse, ApiError> {
    let sent_path = request.path();
    let not_found = || ApiError::NotFound(sent_path.to_owned());
    let path = sent_path.strip_prefix(context.path_prefix.as_str()).ok_or_else(not_found)?;
    if path.is_empty() {
        // So that relative links of the pages lead below the prefix.
        return Ok(moved(&format!("{}/", context.path_prefix)));
    }
    let Some(path) = path.strip_prefix('/') else { return Err(not_found()) };
    let segments: Vec<_> = segments(path).collect();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();

    context.development.guard(request)?;
    if request.method() == Method::OPTIONS && context.cors {
        return Ok(preflight(request));
    }
    match segments.as_slice() {
        ["health"] => match *request.method() {
            Method::GET | Method::HEAD => Ok(text_response("ok\n")),
            _ => Err(not_allowed(request, "GET, HEAD")),
        },
        ["app", _] => Err(ApiError::UpgradeRequired),
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
                && let Some(answer) = public_stream(context, request, app_id, (kind, name), &query)
            {
                return answer;
            }
            let arrival = arrival(context, request);
            let app = authenticated(context, request, &query, app_id)?;
            let body = body::read(request, payload, &context.body).await?;
            check_body(&query, &body)?;
            context.worker.uncongested().await;
            if !app.app().enabled {
                return Err(ApiError::AppDisabled);
            }
            let request = Authenticated { app, query: &query, worker: &context.worker, body };
            match request.app.meddler().and_then(|meddler| meddler.answer(sent_path)) {
                None => dispatch(endpoint, &request, &arrival).await,
                Some(Answer::Status(status, body)) => Ok(chosen_answer(status, body)),
                Some(Answer::After(end)) => {
                    end.await;
                    dispatch(endpoint, &request, &arrival).await
                }
            }
        }
        ["test", asked @ ..] if context.test_mode.is_some() => {
            let test_mode = context.test_mode.as_ref().ok_or_else(not_found)?;
            if let Some(refusal) = test_mode.refusal(request, asked) {
                return Ok(refusal);
            }
            let body = body::read(request, payload, &context.body).await?;
            Ok(test_mode.answer(request, asked, &context.path_prefix, &body).await)
        }
        segments => {
            let (development, apps) = (&context.development, context.worker.hub().apps());
            let wish = development.wish(request, segments, apps.registry());
            let wish = wish.unwrap_or_else(|| Err(not_found()))?;
            let body = match wish.takes_a_body() {
                true => body::read(request, payload, &context.body).await?,
                false => Bytes::new(),
            };
            // Asked for again: they may have changed while the body came.
            development.answer(request, wish, &body, context.worker.hub().apps().registry())
        }
    }
}

async fn dispatch(
    endpoint: Endpoint<'_>,
    request: &Authenticated<'_>,
    arrival: &Arrival,
) -> Result<HttpResponse, ApiError> {
    // Asked in the turn that publishes: who is told that an event was published was heard by everybody.
    if request.hub().farewell().is_some() {
        return Err(ApiError::ShuttingDown);
    }
    match endpoint {
        Endpoint::Events => events::publish(request),
        Endpoint::BatchEvents => events::publish_batch(request),
        Endpoint::ChannelEvents(name) => events::publish_body(request, name),
        Endpoint::Channels => channels::list(request).await,
        Endpoint::Channel(name) => channels::show(request, name),
        Endpoint::ChannelUsers(name) => channels::users(request, name),
        Endpoint::ChannelStats(name) => channels::stats(request, name),
        Endpoint::ChannelStream(kind, name) => {
            let channel = stream::channel(&request.app, name)?;
            check_stream_timestamp(request.query, unix_seconds())?;
            let wish = stream::Wish { kind, query: request.query, arrival, signed: true };
            stream::open(request.worker, Arc::clone(&request.app), channel, &wish)
        }
        Endpoint::TerminateConnections(user_id) => Ok(users::terminate(request, user_id)),
    }
}

fn arrival(context: &Context, request: &HttpRequest) -> Arrival {
    Arrival::of(request.headers(), context.tls, context.trust_forwarded_proto).from(request.peer_addr())
}

/// A stream of a channel that anybody may subscribe to needs no signature, unless the app demands that connections
/// authorize themselves: there is no other way for a stream to do so. `None` if it needs one.
fn public_stream(
    context: &Context,
    request: &HttpRequest,
    app_id: &str,
    (kind, name): (stream::Kind, &str),
    query: &Query,
) -> Option<Result<HttpResponse, ApiError>> {
    if ChannelType::of(name).needs_auth() {
        return None;
    }
    let app = context.worker.hub().apps().by_id(app_id).cloned();
    if app.as_ref().is_some_and(|app| app.app().authorized_connections) {
        return None;
    }
    let app = app.ok_or_else(|| ApiError::NoSuchApp(app_id.to_owned()));
    Some(app.and_then(|app| {
        let channel = stream::channel(&app, name)?;
        let arrival = arrival(context, request);
        let wish = stream::Wish { kind, query, arrival: &arrival, signed: false };
        stream::open(&context.worker, app, channel, &wish)
    }))
}

/// Finds out who sent the request, and that the path names the same app.
fn authenticated(
    context: &Context,
    request: &HttpRequest,
    query: &Query,
    app_id: Option<&str>,
) -> Result<Arc<AppState>, ApiError> {
    let hub = context.worker.hub();
    let now = unix_seconds();
    let paths = signed_paths(request.path(), &context.path_prefix);
    let method = request.method().as_str();
    let signed = SignedRequest { method, paths: &paths, query };
    let apps = hub.apps();
    let app = authenticate(apps.registry(), &signed, now)?;
    if let Some(other) = app_id.filter(|id| *id != app.id) {
        return Err(ApiError::AppNotFound(other.to_owned()));
    }
    if !app.enabled {
        return Err(ApiError::AppDisabled);
    }
    let app = apps.state_of(&app).ok_or_else(|| ApiError::AppNotFound(app.id.clone()))?;
    Ok(Arc::clone(app))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The paths that libraries may have signed: as sent, decoded, and each of them without the path prefix.
fn signed_paths(sent: &str, prefix: &str) -> Vec<String> {
    let mut paths = vec![sent.to_owned()];
    paths.extend(percent_decode_str(sent).decode_utf8().map(String::from));
    if !prefix.is_empty() {
        let short: Vec<String> =
            paths.iter().filter_map(|path| path.strip_prefix(prefix)).map(str::to_owned).collect();
        paths.extend(short);
    }
    paths.dedup();
    paths
}

/// Tells those who listen to the app that the path names, if it is one, of a refused request.
fn announce_refusal(context: &Context, request: &HttpRequest, error: &ApiError) {
    let (method, path, reason) = (request.method().as_str(), request.path(), error.to_string());
    let hub = context.worker.hub();
    let named = path.strip_prefix(context.path_prefix.as_str()).and_then(|path| {
        let mut segments = segments(path).skip(1);
        if segments.next()? == "apps" { segments.next() } else { None }
    });
    let app = named.and_then(|id| hub.apps().by_id(&id).cloned());
    let status = error.status().as_u16();
    hub.announce_refusal(app.as_ref(), &Refused::Request { method, path, status, reason: &reason });
}

/// The answer that a test has chosen.
fn chosen_answer(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(body)
}

fn not_allowed(request: &HttpRequest, allowed: &'static str) -> ApiError {
    ApiError::MethodNotAllowed { method: request.method().to_string(), allowed }
}

/// Lets browsers ask from any origin. The API is meant for servers, but does no harm: it takes a signature.
fn preflight(request: &HttpRequest) -> HttpResponse {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = asked.unwrap_or(HeaderValue::from_static("content-type"));
    HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, headers))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

/// The segments of a path, decoded; whatever looks at a path looks at these. Bytes that are no UTF-8 become a character
/// that no name may hold.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy())
}

/// A JSON answer.
pub(super) fn json_response(value: &Value) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(value.to_string())
}

fn moved(location: &str) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, location)).finish()
}

fn text_response(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_tried_in_every_form_that_may_have_been_signed() {
        assert_eq!(signed_paths("/apps/1/events", ""), ["/apps/1/events"]);
        let encoded = signed_paths("/apps/1/channels/a%40b", "");
        assert_eq!(encoded, ["/apps/1/channels/a%40b", "/apps/1/channels/a@b"]);
        assert_eq!(signed_paths("/x/apps/1/events", "/x"), ["/x/apps/1/events", "/apps/1/events"]);
    }

    #[test]
    fn endpoints_are_found_by_their_segments() {
        assert_eq!(Endpoint::at(&["events"]), Some(Endpoint::Events));
        assert_eq!(Endpoint::at(&["channels", "a", "users"]), Some(Endpoint::ChannelUsers("a")));
        assert_eq!(Endpoint::at(&["channels", "events"]), Some(Endpoint::Channel("events")));
        assert_eq!(Endpoint::at(&["channels", "a", "b"]), None);
        assert_eq!(Endpoint::at(&[]), None);
    }
}
