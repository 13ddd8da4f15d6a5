//! Builds the answers of several endpoints: JSON, text, redirects and preflights.

use std::path::Path;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::hub::Hub;
use crate::node::Unready;

use super::ApiError;

/// Has a connection end with this answer once the node is to be left: on another it may find another broker.
pub(crate) fn close_if_stopping(hub: &Hub, response: &mut HttpResponse) {
    if hub.is_leaving() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// A time as `Retry-After` has it: never too short, and never none.
pub(super) fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// The answer that a test has chosen.
pub(crate) fn chosen_answer(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(body)
}

/// The refusal of a request by another method than an endpoint takes.
pub(crate) fn not_allowed(request: &HttpRequest, allowed: &'static str) -> ApiError {
    ApiError::MethodNotAllowed { method: request.method().to_string(), allowed }
}

/// Lets browsers ask from any origin. The API is meant for servers, but does no harm: it takes a signature.
pub(crate) fn preflight(request: &HttpRequest) -> HttpResponse {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = asked.unwrap_or(HeaderValue::from_static("content-type"));
    HttpResponse::build(StatusCode::NO_CONTENT)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, headers))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

/// A JSON answer.
pub(super) fn json_response(value: &Value) -> HttpResponse {
    json_answer(StatusCode::OK, value)
}

/// The same, with this status.
pub(crate) fn json_answer(status: StatusCode, value: &Value) -> HttpResponse {
    HttpResponse::build(status).content_type("application/json").body(value.to_string())
}

/// What a file of the pages is, by its name; one whose ending is unknown is a page.
pub(crate) fn content_type_of(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

/// A JSON answer of this text, or the one that says nothing but yes.
pub(super) fn text_of_json(text: Option<&str>) -> HttpResponse {
    match text {
        None => empty_object(),
        Some(text) => HttpResponse::Ok().content_type("application/json").body(text.to_owned()),
    }
}

/// The JSON answer that says nothing but yes.
pub(crate) fn empty_object() -> HttpResponse {
    let mut answer = HttpResponse::with_body(StatusCode::OK, BoxBody::new("{}"));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Sends the client to another path for good.
pub(crate) fn moved(location: &str) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, location)).finish()
}

/// A line of text.
pub(crate) fn text_response(text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}

/// Whether a node is what somebody asks about: the line that says so, or 503 with what speaks against it and when to ask
/// again.
pub(crate) fn state_response(state: Result<(), Unready>, well: &'static str) -> HttpResponse {
    match state {
        Ok(()) => text_response(well),
        Err(unready) => HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, "1"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("text/plain; charset=utf-8")
            .body(format!("{unready}\n")),
    }
}
