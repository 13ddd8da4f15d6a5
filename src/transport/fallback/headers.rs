//! The headers of requests and answers of the HTTP transports: origins, preflights, caching and media types.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::pages::{self, uncached};

pub(super) fn origin(request: &HttpRequest) -> Option<&str> {
    request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok())
}

pub(super) fn content_type(request: &HttpRequest) -> &str {
    let value = request.headers().get(header::CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Internet Explorer 8 and 9 give a page nothing of a response before its first 2 KiB.
pub(super) fn is_old_explorer(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.contains("MSIE "))
}

/// Lets the page that asks read the answer, wherever it is from. Nothing here depends on a cookie.
pub(super) fn allow_origin(asked: &HeaderMap, answer: &mut HeaderMap) {
    let origin = asked.get(header::ORIGIN).filter(|origin| origin.as_bytes() != b"null");
    let origin = origin.cloned().unwrap_or(HeaderValue::from_static("*"));
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    answer.append(header::VARY, HeaderValue::from_static("Origin"));
}

pub(super) fn preflight(request: &HttpRequest, method: &str) -> HttpResponse {
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let headers = asked.unwrap_or(HeaderValue::from_static("content-type"));
    let mut answer = HttpResponse::NoContent();
    answer
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, format!("OPTIONS, {method}")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, headers))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, pages::YEAR_SECONDS.to_string()));
    pages::cached(&mut answer).finish()
}

pub(super) fn text(text: &'static str) -> HttpResponse {
    uncached(HttpResponse::Ok().content_type("text/plain; charset=UTF-8")).body(text)
}

pub(super) fn script(script: String) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    uncached(answer.content_type("application/javascript; charset=UTF-8")).body(script)
}
