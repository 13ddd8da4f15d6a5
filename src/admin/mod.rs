//! What those who run the broker are told, on a listener of its own: figures, readiness, usage; and the place of what
//! changes something.
//!
//! It answers requests and knows no sockets: `server` gives it some of its own, apart from those of clients, so that it
//! can be asked when they are exhausted.

mod access;
mod config;
mod error;
mod memory;
mod routes;
mod session;
mod usage;

pub(crate) use access::Access;
pub use config::{AdminConfig, OpenAdmin};
pub(crate) use routes::ControlRoutes;

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use tracing::{debug, info, warn};

use crate::auth::request::Query;
use crate::http::{segments, state_response, text_response};
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::node::Readiness;
use crate::usage::UsageBook;

use access::Area;
use error::AdminError;
use usage::UsageQuery;

/// What is at the top.
const INDEX: &str = concat!(
    "heliostat ",
    env!("CARGO_PKG_VERSION"),
    ", admin listener\n\n\
     /metrics  for Prometheus; ?json=1 as JSON\n\
     /live     the process lives\n\
     /ready    whether new clients should be sent here; 503 with the reason if not\n\
     /nodes    this node and the others that are one broker with it, as JSON\n\
     /usage    memory and connections, and what each app has used day by day, as JSON\n\
     /api/apps the apps, which can be changed; /api/openapi.json describes it\n\
     /console/ the console: what there is and what happens, in a browser\n"
);

/// What the admin listener is about.
#[derive(Debug)]
pub(crate) struct Admin {
    access: Access,
    hub: Arc<Hub>,
    readiness: Arc<Readiness>,
    metrics: Metrics,
    usage: UsageBook,
    /// What is below `/api`.
    api: Arc<dyn ControlRoutes>,
    /// What is below `/console`.
    console: Box<dyn ControlRoutes>,
    started: Instant,
}

impl Admin {
    /// Of this node, since now.
    pub(crate) fn new(
        access: Access,
        hub: Arc<Hub>,
        readiness: Arc<Readiness>,
        metrics: Metrics,
        usage: UsageBook,
        (api, console): (Arc<dyn ControlRoutes>, Box<dyn ControlRoutes>),
    ) -> Self {
        Admin { access, hub, readiness, metrics, usage, api, console, started: Instant::now() }
    }

    /// Who may ask.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Answers any request.
    pub(crate) async fn answer(&self, request: &HttpRequest, payload: &mut web::Payload) -> HttpResponse {
        let mut response = match self.try_answer(request, payload).await {
            Ok(response) => response,
            Err(error) => {
                tell(&self.hub, request, &error);
                let asks = area(request) == Area::Console || self.access.takes_a_password();
                error.response(asks)
            }
        };
        // What is told here is for whoever asked alone, and no link leads on with what is in the address.
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // The console's files may be kept if they are asked for each time.
        if !response.headers().contains_key(header::CACHE_CONTROL) {
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }

    async fn try_answer(
        &self,
        request: &HttpRequest,
        payload: &mut web::Payload,
    ) -> Result<HttpResponse, AdminError> {
        let segments: Vec<_> = segments(request.path()).skip(1).collect();
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        self.access.check(request, area(request))?;
        match segments.as_slice() {
            ["api", path @ ..] => return Ok(self.api.answer(request, path, payload).await),
            ["console", path @ ..] => return Ok(self.console(request, path, payload).await),
            _ => {}
        }
        let path = match segments.as_slice() {
            ["" | "metrics" | "live" | "ready" | "nodes" | "usage"] => segments[0],
            _ => return Err(AdminError::NotFound(request.path().to_owned())),
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(AdminError::Method(request.method().to_string()));
        }
        Ok(match path {
            "metrics" => self.metrics(request).await,
            "live" => state_response(self.readiness.check_life(), "live\n"),
            "ready" => state_response(self.readiness.check_all(), "ready\n"),
            "nodes" => self.nodes(),
            "usage" => self.usage(request)?,
            _ => text_response(INDEX),
        })
    }

    /// Answers a request of the console. Whoever has shown credentials is given a cookie; and a link that holds the token
    /// leads on to one that does not.
    async fn console(
        &self,
        request: &HttpRequest,
        path: &[&str],
        payload: &mut web::Payload,
    ) -> HttpResponse {
        let cookie = self.access.begin_session(request);
        let is_link = Query::parse(request.query_string()).get("token").is_some();
        let mut response = if is_link && path.first().is_none_or(|first| first.is_empty()) {
            HttpResponse::SeeOther().insert_header((header::LOCATION, "/console/")).finish()
        } else {
            self.console.answer(request, path, payload).await
        };
        if let Some(cookie) = cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// As soketi does, it takes any value of `json` that is not empty for a yes.
    async fn metrics(&self, request: &HttpRequest) -> HttpResponse {
        if Query::parse(request.query_string()).get("json").is_some_and(|json| !json.is_empty()) {
            let scrape = self.metrics.scrape_json().await;
            return HttpResponse::Ok().content_type(scrape.content_type).body(scrape.body);
        }
        let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let scrape = self.metrics.scrape(accept).await;
        HttpResponse::Ok().content_type(scrape.content_type).body(scrape.body)
    }

    /// The nodes of the cluster; none where this node is alone.
    fn nodes(&self) -> HttpResponse {
        let report = self.readiness.nodes().unwrap_or_else(|| json!({ "nodes": [] }));
        HttpResponse::Ok().content_type("application/json").body(report.to_string())
    }

    fn usage(&self, request: &HttpRequest) -> Result<HttpResponse, AdminError> {
        let asked = UsageQuery::parse(request.query_string())?;
        let report = self.usage.report(asked.days, asked.app.as_deref());
        let usage =
            usage::of(&self.hub, self.readiness.check_all().err().as_ref(), self.started.elapsed(), report);
        Ok(HttpResponse::Ok().content_type("application/json").body(usage.to_string()))
    }
}

/// What the path of a request belongs to.
fn area(request: &HttpRequest) -> Area {
    let first = segments(request.path()).nth(1);
    match first.as_deref() {
        Some("api") => Area::Control,
        Some("console") => Area::Console,
        _ => Area::Figures,
    }
}

/// Tells the log of a refusal. Who shows wrong credentials may be somebody who guesses.
fn tell(hub: &Hub, request: &HttpRequest, error: &AdminError) {
    let (method, sent, peer) = (request.method().as_str(), request.path(), request.peer_addr());
    let (path, peer) = (hub.shown_path(sent), peer.map(tracing::field::display));
    match error {
        // The log has heard of the wrong ones before.
        AdminError::RefusedTooOften(_) => {
            debug!(method, path, peer, reason = %error, "request refused unseen")
        }
        AdminError::WrongCredentials => {
            warn!(method, path, peer, "wrong credentials for the admin listener");
        }
        error => {
            let reason = error.to_string().replace(sent, path);
            info!(method, path, peer, reason, "request to the admin listener refused");
        }
    }
}
