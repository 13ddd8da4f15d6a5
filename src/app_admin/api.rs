//! The API of the apps on the admin listener: `/api/apps`. Whoever gets here may ask; what is asked is judged here.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value as Json, json};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::refusal::ApiRefusal;
use super::{
    AppChange, AppChanged, AppView, AppsError, LiveApps, ManagedApps, draw_key, openapi, with_credentials,
};
use crate::admin::ControlRoutes;
use crate::app::{Key, Secret};
use crate::http::{BodyBounds, UnfinishedBodies, body, json_answer};

/// Bytes of a body: room for an app with hundreds of rules.
const BODY_BYTES: usize = 256 * 1024;

/// Bytes of bodies that have not come whole, all of the admin listener's connections together.
const UNFINISHED_BYTES: usize = 8 * 1024 * 1024;

/// Requests whose work on files is done at once; changes wait for one another anyway.
const TURNS: usize = 4;

/// Every path below `/api`, and the methods it takes.
pub(super) const ROUTES: [(&str, &[&str]); 5] = [
    ("openapi.json", &["GET"]),
    ("apps", &["GET", "POST"]),
    ("apps/{id}", &["GET", "PATCH", "DELETE"]),
    ("apps/{id}/keys", &["POST"]),
    ("apps/{id}/keys/{key}", &["DELETE"]),
];

/// The API of the apps of a running broker.
pub(crate) struct AppsApi {
    /// None where the apps are not those of files.
    apps: Option<Arc<ManagedApps>>,
    live: Arc<dyn LiveApps>,
    bounds: BodyBounds,
    /// What reads and writes files at once.
    turns: Arc<Semaphore>,
}

type ApiAnswer = Result<HttpResponse, ApiRefusal>;

impl AppsApi {
    /// Of these apps; `timeout`: how long a body may take.
    pub(crate) fn new(apps: Option<Arc<ManagedApps>>, live: Arc<dyn LiveApps>, timeout: Duration) -> Self {
        let unfinished = Arc::new(UnfinishedBodies::new(UNFINISHED_BYTES));
        let bounds = BodyBounds { bytes: BODY_BYTES, timeout, unfinished };
        AppsApi { apps, live, bounds, turns: Arc::new(Semaphore::new(TURNS)) }
    }

    async fn carry_out(&self, request: &HttpRequest, path: &[&str], payload: &mut web::Payload) -> ApiAnswer {
        let route = route(request.path(), path)?;
        let method = match *request.method() {
            Method::HEAD => "GET",
            ref method => method.as_str(),
        };
        if !route.contains(&method) {
            let mut allowed = route.join(", ");
            if route.contains(&"GET") {
                allowed += ", HEAD";
            }
            return Err(ApiRefusal::Method { method: request.method().to_string(), allowed });
        }
        match (method, path) {
            (_, ["openapi.json"]) => Ok(json_answer(StatusCode::OK, &openapi::document())),
            ("GET", ["apps"]) => self.list().await,
            ("POST", ["apps"]) => {
                let settings = with_credentials(self.body(request, payload, &["application/json"]).await?);
                let id = settings.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
                let changed = self.change(request, &id, AppChange::Create(settings)).await?;
                let mut answer =
                    self.whole(StatusCode::CREATED, changed.view.as_ref().ok_or(AppsError::Gone)?);
                set_location(&mut answer, &format!("/api/apps/{id}"));
                Ok(answer)
            }
            ("GET", ["apps", id]) => {
                let id = (*id).to_owned();
                let view = self.blocking(move |apps, _| apps.one(&id)).await?;
                Ok(self.whole(StatusCode::OK, &view))
            }
            ("PATCH", ["apps", id]) => {
                let types = ["application/json", "application/merge-patch+json"];
                let mut settings = self.body(request, payload, &types).await?;
                if let Some(other) = settings.remove("id").filter(|new| new != id) {
                    let kind = if other.is_string() { "another" } else { kind_of(&other) };
                    let told =
                        format!("the id of an app cannot be changed: expected {id:?} or none, got {kind}");
                    return Err(AppsError::Body(told).into());
                }
                let changed = self.change(request, id, AppChange::Set(settings)).await?;
                Ok(self.whole(StatusCode::OK, changed.view.as_ref().ok_or(AppsError::Gone)?))
            }
            ("DELETE", ["apps", id]) => {
                self.change(request, id, AppChange::Delete).await?;
                Ok(HttpResponse::NoContent().finish())
            }
            (_, ["apps", id, "keys"]) => {
                let key = new_key(self.body(request, payload, &["application/json"]).await?)?;
                let pair = json!({ "key": key.key, "secret": key.secret.text() });
                let location = format!("/api/apps/{id}/keys/{}", key.key);
                let changed = self.change(request, id, AppChange::Rotate(key)).await?;
                let mut answer = json_answer(StatusCode::CREATED, &pair);
                set_location(&mut answer, &location);
                changed.view.iter().for_each(|view| set_tag(&mut answer, view));
                Ok(answer)
            }
            (_, ["apps", id, "keys", key]) => {
                self.change(request, id, AppChange::Revoke((*key).to_owned())).await?;
                Ok(HttpResponse::NoContent().finish())
            }
            _ => Err(ApiRefusal::NotFound(request.path().to_owned())),
        }
    }

    async fn list(&self) -> ApiAnswer {
        let list = |apps: &ManagedApps, live: &dyn LiveApps| {
            let apps = apps.all()?;
            let in_force = live.have(&apps.iter().map(|app| &app.configured).collect::<Vec<_>>());
            let apps = apps.iter().zip(in_force);
            Ok(apps.map(|(app, in_force)| app.to_json(Some(in_force))).collect::<Vec<_>>())
        };
        let apps = self.blocking(list).await?;
        Ok(json_answer(StatusCode::OK, &json!({ "apps": apps })))
    }

    fn whole(&self, status: StatusCode, view: &AppView) -> HttpResponse {
        let mut answer =
            json_answer(status, &view.whole(self.live.have(&[&view.listed.configured]).first().copied()));
        set_tag(&mut answer, view);
        answer
    }

    /// Makes the change, tells the log who has made it, and has it done whether its maker waits for it or not.
    async fn change(
        &self,
        request: &HttpRequest,
        id: &str,
        change: AppChange,
    ) -> Result<AppChanged, ApiRefusal> {
        let expected = if_match(request.headers());
        let (id, peer) = (id.to_owned(), request.peer_addr());
        self.blocking(move |apps, live| {
            let is_expected = |view: &AppView| match &expected {
                Some(tags) => tags.iter().any(|tag| tag == "*" || *tag == view.tag()),
                None => true,
            };
            let changed = apps.change(&id, &change, is_expected, live)?;
            tell(peer, &id, &change, &changed);
            Ok(changed)
        })
        .await
    }

    /// Does what reads and writes files, on a thread where that keeps nobody waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ManagedApps, &dyn LiveApps) -> Result<T, AppsError> + Send + 'static,
    ) -> Result<T, ApiRefusal> {
        let apps = Arc::clone(self.apps.as_ref().ok_or(AppsError::NotFromFiles)?);
        let live = Arc::clone(&self.live);
        // Work goes on when its connection has ended, and so is bounded by itself.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ApiRefusal::Failed)?;
        let done = web::block(move || {
            let _turn = turn;
            work(&apps, &*live)
        })
        .await;
        Ok(done.map_err(|_| ApiRefusal::Failed)??)
    }

    /// The object that a request carries. Where it carries nothing, an empty one.
    async fn body(
        &self,
        request: &HttpRequest,
        payload: &mut web::Payload,
        types: &[&'static str],
    ) -> Result<Map<String, Json>, ApiRefusal> {
        // Known before anything is read.
        let given =
            request.headers().get(header::CONTENT_TYPE).map(|given| given.to_str().unwrap_or_default());
        let media_type = given.map(|given| given.split(';').next().unwrap_or_default().trim());
        let is_known = |given: &str| types.iter().any(|known| given.eq_ignore_ascii_case(known));
        if let Some(other) = media_type.filter(|given| !is_known(given)) {
            return Err(ApiRefusal::MediaType { expected: types[0], got: format!("{other:?}") });
        }
        let bytes = body::read(request, payload, &self.bounds).await.map_err(ApiRefusal::Read)?;
        if bytes.is_empty() {
            return Ok(Map::new());
        }
        if media_type.is_none() {
            return Err(ApiRefusal::MediaType { expected: types[0], got: "none".to_owned() });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Json::Object(object)) => Ok(object),
            Ok(_) => Err(AppsError::Body("expected a JSON object, got another value".to_owned()).into()),
            Err(error) => Err(AppsError::Body(format!("expected a JSON object, got none: {error}")).into()),
        }
    }
}

impl ControlRoutes for AppsApi {
    fn answer<'r>(
        &'r self,
        request: &'r HttpRequest,
        path: &'r [&'r str],
        payload: &'r mut web::Payload,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + 'r>> {
        Box::pin(async move {
            self.carry_out(request, path, payload).await.unwrap_or_else(|refusal| {
                let (method, path, peer) = (request.method().as_str(), request.path(), request.peer_addr());
                let peer = peer.map(tracing::field::display);
                info!(method, path, peer, reason = %refusal, "request to the API of the apps refused");
                refusal.response()
            })
        })
    }
}

impl fmt::Debug for AppsApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppsApi").field("apps", &self.apps).finish_non_exhaustive()
    }
}

/// The methods of a path.
fn route(shown: &str, path: &[&str]) -> Result<&'static [&'static str], ApiRefusal> {
    let fits = |pattern: &str| {
        let mut segments = path.iter();
        let all = pattern
            .split('/')
            .all(|own| segments.next().is_some_and(|given| own.starts_with('{') || own == *given));
        all && segments.next().is_none()
    };
    let found = ROUTES.iter().find(|(pattern, _)| fits(pattern));
    found.map(|(_, methods)| *methods).ok_or_else(|| ApiRefusal::NotFound(shown.to_owned()))
}

fn tell(peer: Option<SocketAddr>, app: &str, change: &AppChange, changed: &AppChanged) {
    let (peer, done, told) = (peer.map(tracing::field::display), change.done(), &changed.told);
    match change {
        AppChange::Create(settings) | AppChange::Set(settings) => {
            let names: Vec<_> = settings.keys().map(String::as_str).collect();
            info!(peer, app, settings = names.join(" "), told, "app {done} by the API");
        }
        AppChange::Rotate(Key { key, .. }) | AppChange::Revoke(key) => {
            info!(peer, app, key, told, "app {done} by the API");
        }
        AppChange::Delete => info!(peer, app, told, "app {done} by the API"),
    }
    changed.warnings.iter().for_each(|warning| warn!("{warning}"));
    if changed.needs_restart {
        warn!("the configuration was read again, and is not all in force: {told}");
    }
}

/// What a value is, in a sentence; it itself is not shown.
fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// The pair that a request names, completed.
fn new_key(mut asked: Map<String, Json>) -> Result<Key, AppsError> {
    let mut text = |name: &str| match asked.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(AppsError::Body(format!("{name} must be a string"))),
    };
    let (key, secret) = (text("key")?, text("secret")?);
    if let Some(name) = asked.keys().next() {
        return Err(AppsError::Body(format!(
            "unknown member {name:?}; expected \"key\", \"secret\", both or none"
        )));
    }
    let drawn = draw_key();
    Ok(Key { key: key.unwrap_or(drawn.key), secret: secret.map_or(drawn.secret, Secret::new) })
}

/// The tags of `If-Match`, if there is one.
fn if_match(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut given = headers.get_all(header::IF_MATCH).peekable();
    given.peek()?;
    let texts = given.map(|value| value.to_str().unwrap_or_default());
    Some(texts.flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect())
}

fn set_location(answer: &mut HttpResponse, location: &str) {
    // Ids and keys are made of what may stand in a path.
    if let Ok(location) = location.try_into() {
        answer.headers_mut().insert(header::LOCATION, location);
    }
}

fn set_tag(answer: &mut HttpResponse, view: &AppView) {
    if let Ok(tag) = view.tag().try_into() {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}
