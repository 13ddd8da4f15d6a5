//! The control API: test mode over HTTP and JSON, for tests in any language.
//!
//! Every request carries the token, and comes from this machine unless others were let in by name. What can be asked
//! is described by `openapi.json`, which is served as well; a test holds the two together.

mod create;
mod error;
pub(super) mod fuzzing;
mod log_request;
mod requests;
mod written_channel;

use std::sync::Arc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::auth::is_secret;
use crate::auth::request::Query;
use crate::http::{self, split_host};
use crate::hub::Timed;
use crate::net::ConnectionPeers;

use super::app::AppUnderTest;
use super::faults::Fault;
use super::log::EventLog;
use super::wait::Outcome;
use super::{NextDue, TestMode, credentials_of, draw_app};

use create::CreateRequest;
use error::ControlApiError;
use log_request::LogRequest;
use requests::{Advance, AdvanceRequest, CloseRequest, ResetRequest, WaitRequest};

/// The document that describes this API.
const OPENAPI: &str = include_str!("openapi.json");

/// Entries that a reader of the log is given at once, if it does not say how many.
const LOG_LIMIT: usize = 1000;

/// Every path and the methods it takes, below `/test`.
const ROUTES: [(&str, &[&str]); 15] = [
    ("", &["GET"]),
    ("openapi.json", &["GET"]),
    ("reset", &["POST"]),
    ("log", &["GET"]),
    ("apps", &["GET", "POST"]),
    ("apps/{app_id}", &["GET", "DELETE"]),
    ("apps/{app_id}/counts", &["GET"]),
    ("apps/{app_id}/connections", &["GET"]),
    ("apps/{app_id}/log", &["GET"]),
    ("apps/{app_id}/timeline", &["GET"]),
    ("apps/{app_id}/wait", &["POST"]),
    ("apps/{app_id}/close", &["POST"]),
    ("apps/{app_id}/clock", &["GET", "POST"]),
    ("apps/{app_id}/faults", &["GET", "POST", "DELETE"]),
    ("apps/{app_id}/faults/{fault}", &["DELETE"]),
];

type ControlApiAnswer = Result<HttpResponse, ControlApiError>;

impl TestMode {
    /// The refusal of a request to the control API from whom may not ask, or for what is not there: known before its
    /// body is. `path` is what follows `/test`, in segments.
    pub(crate) fn refusal(&self, request: &HttpRequest, path: &[&str]) -> Option<HttpResponse> {
        let judged = self.admit(request).and_then(|()| find(request, path));
        judged.err().map(|error| error.response())
    }

    /// Answers a request to the control API; one that gets no [`refusal`](TestMode::refusal).
    pub(crate) async fn answer(
        &self,
        request: &HttpRequest,
        path: &[&str],
        path_prefix: &str,
        body: &[u8],
    ) -> HttpResponse {
        let answer = self.carry_out(request, path, path_prefix, body).await;
        answer.unwrap_or_else(|error| error.response())
    }

    /// Who may ask.
    fn admit(&self, request: &HttpRequest) -> Result<(), ControlApiError> {
        let peer = request.peer_addr().map(|address| address.ip().to_canonical());
        // By a header of the PROXY protocol anybody may have named this machine.
        let proxied = request.conn_data::<ConnectionPeers>().is_some_and(|peers| peers.proxy.is_some());
        if !self.remote && (proxied || !peer.is_some_and(|ip| ip.is_loopback())) {
            return Err(ControlApiError::Remote);
        }
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        match token {
            Some(token) if is_secret(token.as_bytes(), self.token.as_bytes()) => Ok(()),
            _ => Err(ControlApiError::Token),
        }
    }

    async fn carry_out(
        &self,
        request: &HttpRequest,
        path: &[&str],
        path_prefix: &str,
        body: &[u8],
    ) -> ControlApiAnswer {
        let path = without_slash(path);
        let method = method_of(request);
        let query = Query::parse(request.query_string());
        match (method, path) {
            (_, []) => Ok(self.overview()),
            (_, ["openapi.json"]) => Ok(HttpResponse::Ok().content_type("application/json").body(OPENAPI)),
            (_, ["reset"]) => self.reset_as_asked(requests::parse(body)?).await,
            (_, ["log"]) => log(self.strangers(), &query),
            ("GET", ["apps"]) => {
                let ids: Vec<_> = self.apps().iter().map(|app| app.id().to_owned()).collect();
                Ok(json_answer(StatusCode::OK, &json!({ "apps": ids })))
            }
            (_, ["apps"]) => self.create(request, path_prefix, requests::parse(body)?),
            (_, ["apps", id, rest @ ..]) => {
                let app = self.app(id).ok_or_else(|| ControlApiError::NoSuchApp((*id).to_owned()))?;
                match (method, rest) {
                    ("DELETE", []) => {
                        self.remove_app(id);
                        Ok(HttpResponse::NoContent().finish())
                    }
                    (_, []) => self.show(request, path_prefix, id),
                    (method, rest) => of_app(&app, method, rest, &query, body).await,
                }
            }
            _ => Err(ControlApiError::NotFound(request.path().to_owned())),
        }
    }

    fn overview(&self) -> HttpResponse {
        let ids: Vec<_> = self.apps().iter().map(|app| app.id().to_owned()).collect();
        let overview = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "apps": ids,
            "strangers": self.strangers().last(),
        });
        json_answer(StatusCode::OK, &overview)
    }

    async fn reset_as_asked(&self, ResetRequest { app_id, connections }: ResetRequest) -> ControlApiAnswer {
        let apps = match app_id {
            Some(id) => vec![self.app(&id).ok_or(ControlApiError::NoSuchApp(id))?],
            None => {
                self.strangers().clear();
                self.apps()
            }
        };
        for app in &apps {
            if connections {
                app.disconnect().await?;
            }
            app.reset();
        }
        let ids: Vec<_> = apps.iter().map(|app| app.id()).collect();
        Ok(json_answer(StatusCode::OK, &json!({ "reset": ids })))
    }

    fn create(&self, request: &HttpRequest, path_prefix: &str, asked: CreateRequest) -> ControlApiAnswer {
        let broker = self.broker().ok_or(ControlApiError::Stopping)?;
        let apps = broker.apps();
        let like = match &asked.like {
            Some(id) => apps
                .iter()
                .find(|app| app.app.id == *id)
                .ok_or_else(|| ControlApiError::NoSuchApp(id.clone()))?,
            None => apps.first().ok_or(ControlApiError::Stopping)?,
        };
        let (app, connection) = asked.apply(draw_app(like), broker.hub().connection_config())?;
        let id = app.app.id.clone();
        self.add_app_with(app, connection)
            .map_err(|error| error.map_or(ControlApiError::Stopping, ControlApiError::Duplicate))?;
        let mut answer = self.show(request, path_prefix, &id)?;
        *answer.status_mut() = StatusCode::CREATED;
        Ok(answer)
    }

    /// The credentials of an app, for whoever reaches the broker as this request did.
    fn show(&self, request: &HttpRequest, path_prefix: &str, id: &str) -> ControlApiAnswer {
        let broker = self.broker().ok_or(ControlApiError::Stopping)?;
        let no_such = || ControlApiError::NoSuchApp(id.to_owned());
        let settings = broker.hub().apps().by_id(id).ok_or_else(no_such)?.app().share();
        let tls = request.connection_info().scheme() == "https";
        // By what the request itself says: anybody can say what host a proxy was reached by.
        let (host, port) = split_host(http::host(request.headers()));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let credentials = credentials_of(&settings, host, port, tls, path_prefix);
        let environment: serde_json::Map<_, _> = credentials
            .environment(&[])
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        let mut answer = json!(credentials);
        answer["environment"] = environment.into();
        Ok(json_answer(StatusCode::OK, &answer))
    }
}

/// Makes sure that there is such a path, and that it takes the method.
fn find(request: &HttpRequest, path: &[&str]) -> Result<(), ControlApiError> {
    let not_found = || ControlApiError::NotFound(request.path().to_owned());
    let allowed = methods_of(without_slash(path)).ok_or_else(not_found)?;
    let method = method_of(request);
    if allowed.contains(&method) {
        Ok(())
    } else {
        Err(ControlApiError::Method { method: method.to_owned(), allowed: allowed.join(", ") })
    }
}

fn without_slash<'a, 'p>(path: &'a [&'p str]) -> &'a [&'p str] {
    if path == [""] { &[] } else { path }
}

fn method_of(request: &HttpRequest) -> &str {
    match *request.method() {
        Method::HEAD => "GET",
        ref method => method.as_str(),
    }
}

/// What can be asked of one app.
async fn of_app(
    app: &Arc<AppUnderTest>,
    method: &str,
    path: &[&str],
    query: &Query,
    body: &[u8],
) -> ControlApiAnswer {
    let ok = |value: Value| Ok(json_answer(StatusCode::OK, &value));
    match (method, path) {
        (_, ["counts"]) => ok(json!(app.counts())),
        (_, ["connections"]) => ok(json!({ "connections": app.connections() })),
        (_, ["log"]) => log(app.log(), query),
        (_, ["timeline"]) => {
            let text = super::timeline(app.log());
            Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
        }
        (_, ["wait"]) => {
            let WaitRequest { condition, patience, holds } = WaitRequest::parse(body)?;
            Ok(outcome(&app.wait(condition, patience, holds).await))
        }
        (_, ["close"]) => {
            let (sockets, cut) = requests::parse::<CloseRequest>(body)?.chosen()?;
            let closed: Vec<_> = app.cut(&sockets, &cut)?.iter().map(ToString::to_string).collect();
            ok(json!({ "closed": closed }))
        }
        ("POST", ["clock"]) => match requests::parse::<AdvanceRequest>(body)?.chosen()? {
            Advance::By(time) => ok(json!({ "advanced_ms": app.advance(time)?.as_millis() as u64 })),
            Advance::ToNext => {
                let NextDue { by, advanced, due } = app.advance_to_next().await?;
                let due: Vec<_> = due.into_iter().map(Timed::name).collect();
                let (by, advanced) = (by.as_millis() as u64, advanced.as_millis() as u64);
                ok(json!({ "advanced_ms": advanced, "by_ms": by, "due": due }))
            }
        },
        (_, ["clock"]) => ok(json!({ "advanced_ms": app.advanced().as_millis() as u64 })),
        ("POST", ["faults"]) => {
            let fault = Fault::parse(&requests::parse(body)?).map_err(super::TestError::Fault)?;
            let id = app.add_fault(fault)?;
            let shown = app.faults().show(id).unwrap_or_default();
            Ok(json_answer(StatusCode::CREATED, &shown))
        }
        ("DELETE", ["faults"]) => ok(json!({ "cleared": app.clear_faults() })),
        (_, ["faults"]) => ok(json!({ "faults": app.active_faults() })),
        (_, ["faults", id]) => {
            let number = id.parse().map_err(|_| ControlApiError::NoSuchFault((*id).to_owned()))?;
            if app.clear_fault(number) {
                ok(json!({ "cleared": 1 }))
            } else {
                Err(ControlApiError::NoSuchFault((*id).to_owned()))
            }
        }
        _ => Err(ControlApiError::NotFound(path.join("/"))),
    }
}

/// The methods that a path takes, if it is one of ours.
fn methods_of(path: &[&str]) -> Option<&'static [&'static str]> {
    let fits = |template: &str| {
        let parts: Vec<&str> = if template.is_empty() { Vec::new() } else { template.split('/').collect() };
        parts.len() == path.len()
            && parts.iter().zip(path).all(|(part, segment)| part == segment || part.starts_with('{'))
    };
    ROUTES.iter().find(|(template, _)| fits(template)).map(|(_, methods)| *methods)
}

fn log(log: &EventLog, query: &Query) -> ControlApiAnswer {
    let LogRequest { filter, after, limit } = LogRequest::parse(query)?;
    let mut excerpt = log.after(after, |entry| filter.accepts(entry));
    let limit = limit.unwrap_or(LOG_LIMIT);
    // Who reads on from the last entry it was given must not miss those that were left out.
    if excerpt.entries.len() > limit {
        excerpt.entries.truncate(limit);
        excerpt.last = excerpt.entries.last().map_or(after, |entry| entry.seq);
    }
    let answer = json!({ "entries": excerpt.entries, "last": excerpt.last, "forgotten": excerpt.forgotten });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn outcome(outcome: &Outcome) -> HttpResponse {
    let status = if outcome.met { StatusCode::OK } else { StatusCode::CONFLICT };
    let answer = json!({
        "met": outcome.met,
        "waited_ms": outcome.waited.as_millis() as u64,
        "expected": outcome.expected,
        "found": outcome.found,
        "entries": outcome.entries,
        "near": outcome.near,
        "last": outcome.last,
        "message": outcome.to_string(),
    });
    json_answer(status, &answer)
}

fn json_answer(status: StatusCode, value: &Value) -> HttpResponse {
    let mut answer = http::json_answer(status, value);
    answer.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<String> = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described.push(format!("{} {path}", method.to_uppercase()));
            }
        }
        let path = |template: &str| {
            if template.is_empty() { "/test".to_owned() } else { format!("/test/{template}") }
        };
        let mut served: Vec<String> = ROUTES
            .iter()
            .flat_map(|(template, methods)| methods.iter().map(move |m| format!("{m} {}", path(template))))
            .collect();
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }

    #[test]
    fn the_document_knows_everything_that_can_be_due() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let names = Timed::ALL.map(Timed::name);
        assert_eq!(document["components"]["schemas"]["Timed"]["enum"], json!(names));
    }

    #[test]
    fn paths_are_found_by_their_segments() {
        assert_eq!(methods_of(&[]), Some(&["GET"][..]));
        assert_eq!(methods_of(&["apps", "7", "faults", "1"]), Some(&["DELETE"][..]));
        assert_eq!(methods_of(&["apps", "7", "nothing"]), None);
        assert_eq!(methods_of(&["apps", "7", "log", "x"]), None);
    }
}
