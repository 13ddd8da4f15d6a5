//! One request to the HTTP transports, from its path to its response.

use std::rc::Rc;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::{mpsc, oneshot};
use tracing::field::display;
use tracing::info;

use super::Fallback;
use super::carrier::{Carrier, Prelude, is_callback};
use super::endpoint::{Endpoint, SessionName, Wish};
use super::error::FallbackError;
use super::pages::{self, uncached};
use super::response::response;
use super::sent::{self, BadBody};
use super::session::{Session, hello};
use super::sessions::{Found, Visit};
use crate::auth::request::Query;
use crate::http::Arrival;
use crate::http::{ApiError, body, close_if_stopping};
use crate::protocol::{CloseCode, Frame};
use crate::transport::caller::{Caller, Told};

/// Answers any request at a path that [`Fallback::serves`].
pub async fn handle(
    fallback: Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> HttpResponse {
    let at_work = fallback.worker.hub().begin_work();
    let mut answer = match answer(&fallback, request, payload, at_work.is_some()).await {
        Ok(answer) => answer,
        Err(error) => {
            let (method, path, status) = (request.method().as_str(), request.path(), error.status().as_u16());
            let arrival = arrival(&fallback, request);
            let (peer, origin) = (arrival.peer.map(display), arrival.origin());
            info!(method, path, status, reason = %error, peer, origin, "request refused");
            error.response()
        }
    };
    allow_origin(request.headers(), answer.headers_mut());
    close_if_stopping(fallback.worker.hub(), &mut answer);
    if let Some(at_work) = at_work {
        fallback.worker.end_work(at_work);
    }
    answer
}

async fn answer(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    at_work: bool,
) -> Result<HttpResponse, FallbackError> {
    let path = request.path();
    let endpoint = match path.strip_prefix(fallback.base.as_str()) {
        Some(below) => Endpoint::at(below),
        None => fallback.statistics_path(path).and_then(Endpoint::of_statistics),
    };
    let endpoint = endpoint.ok_or_else(|| FallbackError::NotFound(path.to_owned()))?;
    let method = match &endpoint {
        Endpoint::Session { wish, .. } => wish.method(),
        _ => "GET",
    };
    if request.method() == Method::OPTIONS && !matches!(endpoint, Endpoint::WebSocket(_)) {
        return Ok(preflight(request, method));
    }
    if request.method() != method {
        return Err(FallbackError::Method(if method == "POST" { "OPTIONS, POST" } else { "OPTIONS, GET" }));
    }
    // When the broker stops, a session still has to hear of it from a response that receives.
    let receives = matches!(&endpoint, Endpoint::Session { wish, .. } if wish.receives());
    if !at_work && !receives {
        return Err(ApiError::ShuttingDown.into());
    }
    match endpoint {
        Endpoint::Greeting => Ok(text("Welcome to SockJS!\n")),
        Endpoint::Info => Ok(pages::info(&fallback.config.hostname)),
        Endpoint::Iframe => Ok(pages::iframe(request, &fallback.config.sockjs_url)),
        Endpoint::StatisticsScript(id) => Ok(script(format!("Pusher.ScriptReceivers[{id}](null,{{}});"))),
        Endpoint::OldStatisticsScript(id) => Ok(script(format!("Pusher.JSONP.receive({id},null,{{}});"))),
        Endpoint::Statistics => Ok(uncached(HttpResponse::Ok().content_type("application/json")).body("{}")),
        Endpoint::WebSocket(_) => Err(FallbackError::NoUpgrade),
        Endpoint::Session { name, wish } => match wish {
            Wish::XhrSend | Wish::JsonpSend => send(fallback, request, payload, &name, wish).await,
            Wish::XhrStreaming | Wish::Xhr | Wish::EventSource | Wish::HtmlFile | Wish::Jsonp => {
                receive(fallback, request, payload, &name, wish).await
            }
        },
    }
}

/// Messages from the client.
async fn send(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    name: &SessionName,
    wish: Wish,
) -> Result<HttpResponse, FallbackError> {
    let Found::Session(visits) = fallback.sessions.find(name, origin(request)) else {
        return Err(FallbackError::NoSession);
    };
    let body = body::read(request, payload, &fallback.body).await?;
    let status = match name {
        SessionName::Native { .. } => StatusCode::BAD_REQUEST,
        SessionName::SockJs(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let messages = match wish {
        Wish::JsonpSend => sent::messages_of_form(&body, content_type(request)),
        _ => sent::messages(&body),
    };
    let messages = messages.map_err(|bad: BadBody| FallbackError::Body(bad, status))?;
    if fallback.worker.hub().shutdown().is_some() {
        return Err(ApiError::ShuttingDown.into());
    }
    let (taken, done) = oneshot::channel();
    let number = number(name, &Query::parse(request.query_string()));
    let sent =
        visits.send(Visit::Send { messages, number, arrival: arrival(fallback, request), taken }).await;
    if sent.is_err() || done.await.is_err() {
        return Err(FallbackError::NoSession);
    }
    Ok(match wish {
        Wish::JsonpSend => text("ok"),
        _ => uncached(HttpResponse::NoContent().content_type("text/plain; charset=UTF-8")).finish(),
    })
}

/// A response that receives.
async fn receive(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    payload: &mut web::Payload,
    name: &SessionName,
    wish: Wish,
) -> Result<HttpResponse, FallbackError> {
    let query = Query::parse(request.query_string());
    let carrier = carrier(wish, &query)?;
    let is_app = match name {
        SessionName::Native { key, .. } => fallback.worker.hub().state_by_key(key).is_some(),
        SessionName::SockJs(_) => true,
    };
    // Some clients send a body, which says nothing. Who is refused is told so before it has come.
    if is_app && fallback.sessions.would_serve(name, origin(request)) {
        body::read(request, payload, &fallback.body).await?;
    }
    let prelude = match name {
        SessionName::SockJs(_) => Prelude::Heartbeats,
        SessionName::Native { .. } if is_old_explorer(request.headers()) => Prelude::Spaces,
        SessionName::Native { .. } => Prelude::Plain,
    };
    let mut answer = HttpResponse::Ok();
    uncached(answer.content_type(carrier.content_type()));
    if !carrier.is_single() {
        // A proxy that collects a response before it passes it on would never have the whole of this one.
        answer.insert_header(("x-accel-buffering", "no"));
    }
    if matches!(carrier, Carrier::Jsonp(_) | Carrier::HtmlFile(_)) {
        answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    }
    loop {
        let visits = match fallback.sessions.find_or_begin(name, origin(request)) {
            Found::Session(visits) => visits,
            Found::New(visits, arriving) => {
                begin(fallback, request, name, &query, arriving);
                visits
            }
            Found::Full => return Ok(answer.body(too_many(fallback, request, (name, &query), &carrier))),
            Found::Nothing => return Err(FallbackError::NoSession),
        };
        let (receiver, response) = response(carrier.clone(), Rc::clone(&fallback.worker));
        let (taken, done) = oneshot::channel();
        let arrival = arrival(fallback, request);
        let sent = visits
            .send(Visit::Receive { receiver, prelude, number: number(name, &query), arrival, taken })
            .await;
        if sent.is_err() || done.await.is_err() {
            // It ended at this moment; the next of this name is another session.
            continue;
        }
        return Ok(match carrier.is_single() {
            true => answer.body(response.whole().await),
            false => answer.body(response),
        });
    }
}

fn arrival(fallback: &Fallback, request: &HttpRequest) -> Arrival {
    Arrival::of(request.headers(), fallback.settings.tls, fallback.settings.trust_forwarded_proto)
        .from(request.peer_addr())
}

fn begin(
    fallback: &Rc<Fallback>,
    request: &HttpRequest,
    name: &SessionName,
    query: &Query,
    visits: mpsc::Receiver<Visit>,
) {
    let arrival = arrival(fallback, request);
    let session = match name {
        SessionName::Native { key, .. } => {
            Session::native(fallback, name.clone(), visits, key, query, &arrival)
        }
        SessionName::SockJs(_) => Session::sockjs(fallback, name.clone(), visits, arrival),
    };
    actix_web::rt::spawn(session);
}

/// The whole of a session that there is no room for.
fn too_many(
    fallback: &Fallback,
    request: &HttpRequest,
    (name, query): (&SessionName, &Query),
    carrier: &Carrier,
) -> Bytes {
    let reason = format!("{} (no more sessions)", CloseCode::OverCapacity.sentence());
    let (caller, code) = (Caller::new(&arrival(fallback, request), query), CloseCode::OverCapacity.code());
    let Told { peer, origin, client, version } = caller.told();
    info!(session = ?name, code, reason, peer, origin, client, version, "session refused");
    let close = Frame::quoted_close(CloseCode::OverCapacity, &reason);
    let close = carrier.wrap(&String::from_utf8_lossy(close.json()));
    let hello = match (name, carrier) {
        // One call is all that a script may make.
        (_, Carrier::Jsonp(_)) => return close,
        (SessionName::Native { .. }, _) => hello(&fallback.config.hostname),
        (SessionName::SockJs(_), _) => "o".to_owned(),
    };
    let prelude = carrier.prelude(Prelude::Plain);
    Bytes::from([prelude, carrier.wrap(&hello), close].concat())
}

fn carrier(wish: Wish, query: &Query) -> Result<Carrier, FallbackError> {
    let callback = || match query.get("c").or_else(|| query.get("callback")) {
        None | Some("") => Err(FallbackError::NoCallback),
        Some(name) if is_callback(name) => Ok(name.to_owned()),
        Some(_) => Err(FallbackError::BadCallback),
    };
    Ok(match wish {
        Wish::XhrStreaming => Carrier::XhrStreaming,
        Wish::EventSource => Carrier::EventSource,
        Wish::HtmlFile => Carrier::HtmlFile(callback()?),
        Wish::Jsonp => Carrier::Jsonp(callback()?),
        Wish::Xhr | Wish::XhrSend | Wish::JsonpSend => Carrier::Xhr,
    })
}

/// The number that pusher-js gives each of its requests.
fn number(name: &SessionName, query: &Query) -> Option<u64> {
    match name {
        SessionName::Native { .. } => query.get("n")?.parse().ok(),
        SessionName::SockJs(_) => None,
    }
}

fn origin(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok())
}

fn content_type(request: &HttpRequest) -> &str {
    let value = request.headers().get(header::CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Internet Explorer 8 and 9 give a page nothing of a response before its first 2 KiB.
fn is_old_explorer(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.contains("MSIE "))
}

/// Lets the page that asks read the answer, wherever it is from. Nothing here depends on a cookie.
fn allow_origin(asked: &HeaderMap, answer: &mut HeaderMap) {
    let origin = asked.get(header::ORIGIN).filter(|origin| origin.as_bytes() != b"null");
    let origin = origin.cloned().unwrap_or(HeaderValue::from_static("*"));
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn preflight(request: &HttpRequest, method: &str) -> HttpResponse {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = asked.unwrap_or(HeaderValue::from_static("content-type"));
    let mut answer = HttpResponse::NoContent();
    answer
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, format!("OPTIONS, {method}")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, headers))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, pages::YEAR_SECONDS.to_string()));
    pages::cached(&mut answer).finish()
}

fn text(text: &'static str) -> HttpResponse {
    uncached(HttpResponse::Ok().content_type("text/plain; charset=UTF-8")).body(text)
}

fn script(script: String) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    uncached(answer.content_type("application/javascript; charset=UTF-8")).body(script)
}
