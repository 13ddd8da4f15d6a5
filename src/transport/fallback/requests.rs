//! Answers a request to the HTTP transports: finds the operation by its path, and hands the request to its session.

use std::rc::Rc;

use actix_web::http::header;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

use super::Fallback;
use super::endpoint::{FallbackEndpoint, SessionName, SessionOperation};
use super::error::FallbackError;
use super::headers::{allow_origin, content_type, is_old_explorer, origin, preflight, script, text};
use super::message_body::{self, MessageBodyError};
use super::pages::{self, uncached};
use super::response_channel::response_channel;
use super::response_format::{Prelude, ResponseFormat, is_callback};
use super::session::{FallbackSession, opening_frame};
use super::session_table::{SessionLookup, SessionRequest};
use crate::auth::request::Query;
use crate::diagnosis::Diagnosis;
use crate::http::Arrival;
use crate::http::{ApiError, body, close_if_stopping};
use crate::hub::RefusedTooOften;
use crate::net::{ConnectionPeers, peer_field};
use crate::protocol::{CloseCode, Frame};
use crate::recovery::GivenName;
use crate::transport::admission::ConnectionPath;
use crate::transport::client_info::{ClientInfo, ClientLogFields};

/// Answers any request at a path that [`Fallback::serves`].
pub(crate) async fn handle(
    fallback: Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> HttpResponse {
    let shutdown_guard = fallback.worker.hub().begin_work();
    let mut answer = match answer(&fallback, request, payload, shutdown_guard.is_some()).await {
        Ok(answer) => answer,
        Err(error) => {
            let method = request.method().as_str();
            let sent = request.path();
            let path = &*GivenName::hidden_in(sent, &fallback.settings.path_prefix);
            let status = error.status().as_u16();
            let arrival = arrival(&fallback, request);
            let (peer, proxy) = (peer_field(arrival.peer), arrival.proxy());
            let (origin, hub) = (arrival.origin(), fallback.worker.hub());
            if let FallbackError::Unread(ApiError::RefusedTooOften(_)) = error {
                // The log has heard why.
                debug!(method, path = hub.shown_path(path), status, reason = %error, peer, proxy, origin, "request refused");
            } else {
                let (in_path, told) = (hub.examine_path(path), error.to_string().replace(sent, path));
                let [path, reason] = [path, &told].map(|text| Diagnosis::shown(in_path.as_ref(), text));
                info!(method, path, status, reason, peer, proxy, origin, "request refused");
            }
            if error.is_of_a_stranger() {
                arrival.count_refusal(fallback.worker.hub());
            }
            error.response()
        }
    };
    allow_origin(request.headers(), answer.headers_mut());
    close_if_stopping(fallback.worker.hub(), &mut answer);
    if let Some(shutdown_guard) = shutdown_guard {
        fallback.worker.end_work(shutdown_guard);
    }
    answer
}

async fn answer(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    shutdown_guard: bool,
) -> Result<HttpResponse, FallbackError> {
    let path = request.path();
    let endpoint = match fallback.below(path) {
        Some((_, below)) => FallbackEndpoint::at(below),
        None => fallback.statistics_path(path).and_then(FallbackEndpoint::of_statistics),
    };
    if let Err(too_often) = check_refusals(fallback, request, endpoint.as_ref()) {
        return refused_unseen(fallback, request, endpoint.as_ref(), too_often);
    }
    let endpoint = endpoint.ok_or_else(|| FallbackError::NotFound(path.to_owned()))?;
    let method = match &endpoint {
        FallbackEndpoint::Session { operation, .. } => operation.method(),
        _ => "GET",
    };
    if request.method() == Method::OPTIONS && !matches!(endpoint, FallbackEndpoint::WebSocket(_)) {
        return Ok(preflight(request, method));
    }
    if request.method() != method {
        return Err(FallbackError::Method(if method == "POST" { "OPTIONS, POST" } else { "OPTIONS, GET" }));
    }
    // When the broker stops, a session still has to hear of it from a response that receives.
    let receives = matches!(&endpoint, FallbackEndpoint::Session { operation, .. } if operation.receives());
    if !shutdown_guard && !receives {
        return Err(ApiError::ShuttingDown.into());
    }
    match endpoint {
        FallbackEndpoint::Greeting => Ok(text("Welcome to SockJS!\n")),
        FallbackEndpoint::Info => Ok(pages::info(&fallback.config.hostname)),
        FallbackEndpoint::Iframe => Ok(pages::iframe(request, &fallback.config.sockjs_url)),
        FallbackEndpoint::StatisticsScript(id) => {
            Ok(script(format!("Pusher.ScriptReceivers[{id}](null,{{}});")))
        }
        FallbackEndpoint::OldStatisticsScript(id) => {
            Ok(script(format!("Pusher.JSONP.receive({id},null,{{}});")))
        }
        FallbackEndpoint::Statistics => {
            Ok(uncached(HttpResponse::Ok().content_type("application/json")).body("{}"))
        }
        FallbackEndpoint::WebSocket(_) => Err(FallbackError::NoUpgrade),
        FallbackEndpoint::Session { name, operation } => match operation {
            SessionOperation::XhrSend | SessionOperation::JsonpSend => {
                send(fallback, request, payload, &name, operation).await
            }
            SessionOperation::XhrStreaming
            | SessionOperation::Xhr
            | SessionOperation::EventSource
            | SessionOperation::HtmlFile
            | SessionOperation::Jsonp => receive(fallback, request, payload, &name, operation).await,
        },
    }
}

/// Makes sure that the address that asks was not refused too often of late. What belongs to a session that is open goes on.
fn check_refusals(
    fallback: &Fallback,
    request: &HttpRequest,
    endpoint: Option<&FallbackEndpoint>,
) -> Result<(), RefusedTooOften> {
    let hub = fallback.worker.hub();
    let is_open = |name| fallback.sessions.has(name);
    match endpoint {
        _ if !hub.refused_addresses().is_bounded() => Ok(()),
        Some(FallbackEndpoint::Session { name, .. }) if is_open(name) => Ok(()),
        _ => arrival(fallback, request).check_refusals(hub),
    }
}

/// The answer to an address that was refused too often: a session that would begin is closed, so that its client comes
/// back later; there is none for anything else.
fn refused_unseen(
    fallback: &Fallback,
    request: &HttpRequest,
    endpoint: Option<&FallbackEndpoint>,
    too_often: RefusedTooOften,
) -> Result<HttpResponse, FallbackError> {
    if let Some(FallbackEndpoint::Session { name, operation }) = endpoint
        && operation.receives()
        && request.method() == operation.method()
        && let Ok(format) = format(*operation, &Query::parse(request.query_string()))
    {
        let body = closed_at_once(fallback, name, &format, &too_often.to_string());
        return Ok(receiving(&format).body(body));
    }
    Err(ApiError::from(too_often).into())
}

/// Messages from the client.
async fn send(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    name: &SessionName,
    operation: SessionOperation,
) -> Result<HttpResponse, FallbackError> {
    let SessionLookup::Session(requests) = fallback.sessions.find(name, origin(request)) else {
        return Err(FallbackError::NoSession);
    };
    let body = body::read(request, payload, &fallback.body).await?;
    let status = match name {
        SessionName::Native { .. } => StatusCode::BAD_REQUEST,
        SessionName::SockJs(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let messages = match operation {
        SessionOperation::JsonpSend => message_body::messages_of_form(&body, content_type(request)),
        _ => message_body::messages(&body),
    };
    let messages = messages.map_err(|bad: MessageBodyError| FallbackError::Body(bad, status))?;
    if fallback.worker.hub().shutdown().is_some() {
        return Err(ApiError::ShuttingDown.into());
    }
    let (taken, done) = oneshot::channel();
    let query = Query::parse(request.query_string());
    let (number, mark) = (number(name, &query), mark(&query));
    let sent = requests
        .send(SessionRequest::Send { messages, number, mark, arrival: arrival(fallback, request), taken })
        .await;
    if sent.is_err() || done.await.is_err() {
        return Err(FallbackError::NoSession);
    }
    Ok(match operation {
        SessionOperation::JsonpSend => text("ok"),
        _ => uncached(HttpResponse::NoContent().content_type("text/plain; charset=UTF-8")).finish(),
    })
}

/// A response that receives.
async fn receive(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    name: &SessionName,
    operation: SessionOperation,
) -> Result<HttpResponse, FallbackError> {
    let query = Query::parse(request.query_string());
    let format = format(operation, &query)?;
    let is_app = match name {
        SessionName::Native { key, .. } => fallback.worker.hub().state_by_key(key).is_some(),
        SessionName::SockJs(_) => true,
    };
    // Some clients send a body, which has no meaning. A refusal is sent before it has come.
    if is_app && fallback.sessions.would_serve(name, origin(request)) {
        body::read(request, payload, &fallback.body).await?;
    }
    let prelude = match name {
        SessionName::SockJs(_) => Prelude::Heartbeats,
        SessionName::Native { .. } if is_old_explorer(request.headers()) => Prelude::Spaces,
        SessionName::Native { .. } => Prelude::Plain,
    };
    let mut answer = receiving(&format);
    loop {
        let requests = match fallback.sessions.find_or_begin(name, origin(request)) {
            SessionLookup::Session(requests) => requests,
            SessionLookup::New(requests, arriving) => {
                begin(fallback, request, name, &query, arriving);
                requests
            }
            SessionLookup::Full => {
                return Ok(answer.body(too_many(fallback, request, (name, &query), &format)));
            }
            SessionLookup::NotFound => return Err(FallbackError::NoSession),
        };
        let (sink, response) = response_channel(format.clone(), mark(&query), Rc::clone(&fallback.worker));
        let (taken, done) = oneshot::channel();
        let arrival = arrival(fallback, request);
        let sent = requests
            .send(SessionRequest::Receive { sink, prelude, number: number(name, &query), arrival, taken })
            .await;
        if sent.is_err() || done.await.is_err() {
            // It ended at this moment; the next of this name is another session.
            continue;
        }
        return Ok(if format.is_single() {
            answer.body(response.whole().await)
        } else {
            answer.body(response)
        });
    }
}

/// The head of a response that receives.
fn receiving(format: &ResponseFormat) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    uncached(answer.content_type(format.content_type()));
    if !format.is_single() {
        // A proxy that collects a response before it passes it on would never have the whole of this one.
        answer.insert_header(("x-accel-buffering", "no"));
    }
    if matches!(format, ResponseFormat::Jsonp(_) | ResponseFormat::HtmlFile(_)) {
        answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    }
    answer
}

fn arrival(fallback: &Fallback, request: &HttpRequest) -> Arrival {
    let peers = request.conn_data::<ConnectionPeers>().copied().unwrap_or_default();
    Arrival::of(request.headers(), &fallback.settings, peers)
}

fn begin(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    name: &SessionName,
    query: &Query,
    requests: mpsc::Receiver<SessionRequest>,
) {
    let arrival = arrival(fallback, request);
    let given = fallback.below(request.path()).map(|(given, _)| given).unwrap_or_default();
    let session = match name {
        SessionName::Native { key, .. } => {
            let path = ConnectionPath { key: Ok(key.clone().into()), name: given };
            FallbackSession::native(fallback, name.clone(), requests, path, query, &arrival)
        }
        SessionName::SockJs(_) => FallbackSession::sockjs(fallback, name.clone(), requests, (arrival, given)),
    };
    actix_web::rt::spawn(session);
}

/// The whole of a session that there is no room for.
fn too_many(
    fallback: &Fallback,
    request: &HttpRequest,
    (name, query): (&SessionName, &Query),
    format: &ResponseFormat,
) -> Bytes {
    let reason = format!("{} (no more sessions)", CloseCode::OverCapacity.sentence());
    let (client_info, code) =
        (ClientInfo::new(&arrival(fallback, request), query), CloseCode::OverCapacity.code());
    let ClientLogFields { peer, proxy, origin, client, version } = client_info.log_fields();
    let path = GivenName::hidden_in(request.path(), &fallback.settings.path_prefix);
    let path = fallback.worker.hub().shown_path(&path);
    info!(path, code, reason, peer, proxy, origin, client, version, "session refused");
    closed_at_once(fallback, name, format, &reason)
}

/// The whole of a session that is closed with 4100 before it has begun.
fn closed_at_once(fallback: &Fallback, name: &SessionName, format: &ResponseFormat, reason: &str) -> Bytes {
    let close = Frame::quoted_close(CloseCode::OverCapacity, reason);
    let close = format.wrap(&String::from_utf8_lossy(close.json()));
    let opening_frame = match (name, format) {
        // One call is all that a script may make.
        (_, ResponseFormat::Jsonp(_)) => return close,
        (SessionName::Native { .. }, _) => opening_frame(&fallback.config.hostname),
        (SessionName::SockJs(_), _) => "o".to_owned(),
    };
    let prelude = format.prelude(Prelude::Plain);
    Bytes::from([prelude, format.wrap(&opening_frame), close].concat())
}

fn format(operation: SessionOperation, query: &Query) -> Result<ResponseFormat, FallbackError> {
    let callback = || match query.get("c").or_else(|| query.get("callback")) {
        None | Some("") => Err(FallbackError::NoCallback),
        Some(name) if is_callback(name) => Ok(name.to_owned()),
        Some(_) => Err(FallbackError::BadCallback),
    };
    Ok(match operation {
        SessionOperation::XhrStreaming => ResponseFormat::XhrStreaming,
        SessionOperation::EventSource => ResponseFormat::EventSource,
        SessionOperation::HtmlFile => ResponseFormat::HtmlFile(callback()?),
        SessionOperation::Jsonp => ResponseFormat::Jsonp(callback()?),
        SessionOperation::Xhr | SessionOperation::XhrSend | SessionOperation::JsonpSend => {
            ResponseFormat::Xhr
        }
    })
}

/// What tells a request from every other one of its session: pusher-js's number, or the time that SockJS adds.
fn mark(query: &Query) -> Option<u64> {
    query.get("n").or_else(|| query.get("t"))?.parse().ok()
}

/// The number that pusher-js gives each of its requests.
fn number(name: &SessionName, query: &Query) -> Option<u64> {
    match name {
        SessionName::Native { .. } => query.get("n")?.parse().ok(),
        SessionName::SockJs(_) => None,
    }
}
