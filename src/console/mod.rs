//! The console: what there is and what happens, in a browser and for the command line, on the admin listener.
//!
//! It answers requests that were let in, and knows neither sockets nor who may ask: that is `admin`'s. What happens comes
//! from the feed, and the apps tell it only while somebody watches them.

mod answer;
mod answering;
mod around;
mod asked;
mod assets;
mod channels;
mod connections;
mod elsewhere;
mod everywhere;
mod history;
mod list;
mod live;
mod merged;
mod nearest;
mod nodes_to_ask;
mod overview;
mod pauses;
mod payloads;
mod pipe;
mod reload;
mod send;
mod tracks;
mod watch;
mod watchers;
mod webhooks;

pub(crate) use reload::{ConfigReload, ReloadAnswer, ReloadPlan, ReloadRefusal};
pub(crate) use watchers::Watchers;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tracing::info;

use crate::admin::ControlRoutes;
use crate::auth::request::Query;
use crate::cluster::ClusterView;
use crate::feed::{ENTRY_TEXT_BYTES, Feed, FeedPlace, VIEWER_ENTRIES_PER_SECOND, VIEWERS};
use crate::http::{BodyBounds, UnfinishedBodies, body};
use crate::hub::{AppState, FeedHearer, Hub, unix_ms};
use crate::node::Readiness;
use crate::pipe::wire::PipeWire;
use crate::pipe::{HookFigures, RuleBook};
use crate::webhook::Webhooks;

use answer::{ConsoleError, done};
use around::FeedAround;
use elsewhere::OtherNodes;
use everywhere::AskedOfApp;
use merged::ListOf;
use nodes_to_ask::NodesToAsk;
use overview::{Overview, until_next_place};
use payloads::PayloadFetches;

/// Bytes of a body.
const BODY_BYTES: usize = 256 * 1024;

/// Bytes of bodies that have not come whole, all of the console's together.
const UNFINISHED_BYTES: usize = 4 * 1024 * 1024;

/// What the console is about.
pub(crate) struct Console {
    hub: Arc<Hub>,
    readiness: Arc<Readiness>,
    watchers: Arc<Watchers>,
    /// The API by which apps are changed.
    apps_api: Arc<dyn ControlRoutes>,
    webhooks: Webhooks,
    wire: Arc<PipeWire>,
    rules: Arc<RuleBook>,
    hooks: Vec<(String, HookFigures)>,
    written_config: Option<String>,
    /// Where it was read from files that can be read again.
    reload: OnceLock<Arc<dyn ConfigReload>>,
    /// Where clients come to.
    url: OnceLock<String>,
    overview: Arc<Overview>,
    others: OtherNodes,
    /// Those that may know of pauses of which this one has not heard.
    to_ask: Mutex<NodesToAsk>,
    /// What is heard of other nodes, for viewers.
    around: Arc<FeedAround>,
    fetches: PayloadFetches,
    bounds: BodyBounds,
    started: Instant,
}

/// What it is made of.
pub(crate) struct ConsoleParts {
    pub(crate) hub: Arc<Hub>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) apps_api: Arc<dyn ControlRoutes>,
    pub(crate) webhooks: Webhooks,
    pub(crate) wire: Arc<PipeWire>,
    pub(crate) rules: Arc<RuleBook>,
    /// The pipes of the embedding program, each with the id of its app.
    pub(crate) hooks: Vec<(String, HookFigures)>,
    /// Where this node is one of several.
    pub(crate) cluster: Option<Arc<dyn ClusterView>>,
    /// The configuration as text, as it was at the start.
    pub(crate) written_config: Option<String>,
    /// How long a body may take.
    pub(crate) body_timeout: Duration,
}

type ConsoleAnswer = Result<HttpResponse, ConsoleError>;

impl Console {
    /// Of this node, since now.
    pub(crate) fn new(parts: ConsoleParts) -> Self {
        let ConsoleParts {
            hub,
            readiness,
            watchers,
            apps_api,
            webhooks,
            wire,
            rules,
            hooks,
            cluster,
            written_config,
            body_timeout,
        } = parts;
        let unfinished = Arc::new(UnfinishedBodies::new(UNFINISHED_BYTES));
        let bounds = BodyBounds { bytes: BODY_BYTES, timeout: body_timeout, unfinished };
        watchers.listen_to_strangers(&hub);
        let around = FeedAround::new();
        if let Some(cluster) = readiness.cluster() {
            watchers.feed().set_place(FeedPlace::new(&cluster.me.to_string(), &cluster.name));
            hub.hear_feed_words(Arc::clone(&around) as Arc<dyn FeedHearer>);
        }
        let overview = Arc::default();
        Console {
            hub,
            readiness,
            watchers,
            apps_api,
            webhooks,
            wire,
            rules,
            hooks,
            written_config,
            reload: OnceLock::new(),
            url: OnceLock::new(),
            overview,
            others: OtherNodes::new(cluster),
            to_ask: Mutex::default(),
            around,
            fetches: PayloadFetches::new(),
            bounds,
            started: Instant::now(),
        }
    }

    fn feed(&self) -> &Arc<Feed> {
        self.watchers.feed()
    }

    /// Takes samples for the overview, until it is dropped.
    pub(crate) async fn keep_overview(self: Arc<Self>) {
        loop {
            let console = Arc::clone(&self);
            console.rules.sample(Instant::now());
            // It fails only if it panics: the next one may not.
            let _ = web::block(move || console.overview.sample(&console.hub, &console.webhooks)).await;
            // By the clock, so that one that is late makes none after it late.
            tokio::time::sleep(until_next_place(unix_ms())).await;
        }
    }

    /// Viewers have come or gone.
    fn look_at_watched(&self) {
        self.watchers.look(&self.hub);
    }

    /// The node's name.
    fn node(&self) -> String {
        self.hub.node_id().to_string()
    }

    async fn carry_out(
        self: &Arc<Self>,
        request: &HttpRequest,
        path: &[&str],
        payload: &mut web::Payload,
    ) -> ConsoleAnswer {
        if let ["api", "apps-admin", rest @ ..] = path {
            return Ok(self.apps_api.answer(request, rest, payload).await);
        }
        match *request.method() {
            Method::GET | Method::HEAD => self.show(request, path, payload).await,
            Method::POST => {
                let ["api", path @ ..] = path else { return Err(method(request, "GET, HEAD")) };
                let asked = self.body(request, payload).await?;
                self.act(request, path, &asked).await
            }
            _ => Err(method(request, "GET, HEAD, POST")),
        }
    }

    /// What is asked for without changing anything.
    async fn show(
        self: &Arc<Self>,
        request: &HttpRequest,
        path: &[&str],
        payload: &mut web::Payload,
    ) -> ConsoleAnswer {
        match path {
            [] => {
                Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/console/")).finish())
            }
            ["live"] => live::begin(self, request, payload).await,
            ["live", "payloads", seq] => self.payload(&self.node(), seq).await,
            ["live", "payloads", node, seq] => self.payload(node, seq).await,
            ["api", "status"] => Ok(done(&self.status())),
            ["api", "nodes"] => Ok(done(&self.nodes_everywhere().await)),
            ["api", "overview"] => Ok(done(&self.overview_everywhere(request.query_string()).await?)),
            ["api", "config"] => Ok(done(&self.config())),
            ["api", "reload"] => Ok(done(&self.plan_reload().await?)),
            ["api", "apps", app, rest @ ..] => {
                let app = self.app(app)?;
                let asked = AskedOfApp { app: &app, path: rest, query: request.query_string() };
                let shown = self.show_of_app(&asked).await?;
                shown.map(|shown| done(&shown)).ok_or_else(|| not_found(request))
            }
            [name] => assets::answer(request, name).ok_or_else(|| not_found(request)),
            _ => Err(not_found(request)),
        }
    }

    /// What there is of an app; `None` if the path leads nowhere.
    async fn show_of_app(&self, asked: &AskedOfApp<'_>) -> Result<Option<Value>, ConsoleError> {
        let AskedOfApp { app, path, query } = *asked;
        let query = &Query::parse(query);
        Ok(Some(match *path {
            ["channels"] => self.list_channels(app, query).await?,
            ["channels", name] => self.channel(app, name, query).await?,
            ["channels", name, "history"] => self.channel_history(app, name, query).await?,
            ["channels", _, "video"] => self.video_everywhere(asked).await?,
            ["recoveries"] => self.recoveries_everywhere(asked).await?,
            ["connections"] | ["channels", _, "subscribers"] => {
                self.list_everywhere(asked, ListOf::Connections).await?
            }
            ["connections", _] => self.wherever_it_is(asked).await?,
            ["users"] => self.list_everywhere(asked, ListOf::Users).await?,
            ["users", _] => self.user_everywhere(asked).await?,
            ["webhooks"] => self.webhooks_everywhere(asked).await?,
            ["pipe"] => self.pipe_everywhere(asked).await?,
            ["webhooks", _, "attempts", _] => return self.of_named_node(asked).await,
            _ => return Ok(None),
        }))
    }

    /// What there is of an app on this node alone; `None` if the path leads nowhere. Other nodes may ask for it.
    async fn of_this_node(&self, asked: &AskedOfApp<'_>) -> Result<Option<Value>, ConsoleError> {
        let AskedOfApp { app, path, query } = *asked;
        let query = &Query::parse(query);
        Ok(Some(match *path {
            ["channels", name, "subscribers"] => self.subscribers(app, name, query).await?,
            ["channels", name, "video"] => self.channel_video(app, name).await?,
            ["recoveries"] => self.recoveries(app, query)?,
            ["connections"] => self.list_connections(app, query).await?,
            ["connections", socket] => self.connection(app, socket).await?,
            ["users"] => self.list_users(app, query).await?,
            ["users", id] => self.user(app, id),
            ["webhooks"] => self.webhooks(app),
            ["pipe"] => self.pipe(app),
            ["webhooks", index, "attempts", id] => self.webhook_attempt(app, index, id)?,
            _ => return Ok(None),
        }))
    }

    /// What changes something. The log hears who has done what.
    async fn act(&self, request: &HttpRequest, path: &[&str], asked: &Map<String, Value>) -> ConsoleAnswer {
        let peer = request.peer_addr().map(tracing::field::display);
        if *path == ["reload"] {
            info!(peer, path = request.path(), "asked of the console");
            return Ok(done(&self.reload(asked).await?));
        }
        let ["apps", app, path @ ..] = path else { return Err(not_found(request)) };
        let app = self.app(app)?;
        info!(peer, app = app.id(), path = request.path(), "asked of the console");
        let acted = match *path {
            ["connections", _, "close"] => {
                let of_app = AskedOfApp { app: &app, path, query: "" };
                self.act_wherever_it_is(&of_app, asked).await?
            }
            ["users", id, "terminate"] => self.terminate_user(&app, id).await?,
            ["send"] => self.send(&app, asked).await?,
            ["pipe", "try"] => self.try_pipe(&app, asked)?,
            ["why"] => {
                let refused = |sentence| ConsoleError::Refused(StatusCode::UNPROCESSABLE_ENTITY, sentence);
                self.hub.explain(&app, asked).map_err(refused)?
            }
            ["webhooks", index, change @ ("pause" | "resume")] => {
                let everywhere = AskedOfApp { app: &app, path, query: "" };
                self.pause_everywhere(&everywhere, index, change == "pause").await?
            }
            ["webhooks", ..] => {
                let acted = self.act_on_named_node(&AskedOfApp { app: &app, path, query: "" }, asked).await?;
                acted.ok_or_else(|| not_found(request))?
            }
            _ => return Err(not_found(request)),
        };
        Ok(done(&acted))
    }

    /// Does something on this node alone; `None` if the path leads nowhere. Other nodes may ask for it.
    async fn act_on_this_node(
        &self,
        asked: &AskedOfApp<'_>,
        body: &Map<String, Value>,
    ) -> Result<Option<Value>, ConsoleError> {
        let AskedOfApp { app, path, .. } = *asked;
        Ok(Some(match *path {
            ["connections", socket, "close"] => self.close_connection(app, socket, body)?,
            ["webhooks", ref path @ ..] => return self.act_on_webhooks(app, path, body).await,
            _ => return Ok(None),
        }))
    }

    /// An hour of figures of this node.
    fn own_overview(&self, query: &Query) -> Result<Value, ConsoleError> {
        let app = list::given(query, "app");
        let shown = self.overview.show(app.as_deref());
        let mut shown = shown.ok_or_else(|| ConsoleError::Nothing {
            what: "overview of the app",
            name: app.clone().unwrap_or_default(),
        })?;
        let refusals = self.hub.refusals().into_iter();
        let refusals =
            refusals.map(|((what, code), count)| json!({ "what": what, "code": code, "count": count }));
        shown.insert("refusals".into(), app.is_none().then(|| refusals.collect::<Vec<_>>()).into());
        shown.insert("app".into(), app.into());
        shown.insert("node".into(), self.node().into());
        shown.insert("now".into(), unix_ms().into());
        Ok(Value::Object(shown))
    }

    /// The body of a request that changes something: a JSON object, as no form of another page can send it.
    async fn body(
        &self,
        request: &HttpRequest,
        payload: &mut web::Payload,
    ) -> Result<Map<String, Value>, ConsoleError> {
        let given = request.headers().get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok());
        let media_type = given.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(ConsoleError::NotJson(given.unwrap_or_default().to_owned()));
        }
        let text = body::read(request, payload, &self.bounds).await?;
        serde_json::from_slice(&text).map_err(|error| {
            ConsoleError::parameter("the body", "a JSON object", format_args!("something else: {error}"))
        })
    }

    /// The app of this id.
    fn app(&self, id: &str) -> Result<Arc<AppState>, ConsoleError> {
        let nothing = || ConsoleError::Nothing { what: "app", name: id.to_owned() };
        self.hub.apps().by_id(id).cloned().ok_or_else(nothing)
    }

    /// Clients come to this URL, without a path.
    pub(crate) fn clients_come_to(&self, url: String) {
        // There is one.
        let _ = self.url.set(url);
    }

    fn status(&self) -> Value {
        let reason = self.readiness.check_all().err();
        let state = self.hub.apps();
        let apps: Vec<Value> = state.iter().map(|app| self.app_status(app)).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.node(),
            "url": self.url.get(),
            "uptime_ms": millis(self.started.elapsed()),
            "now": unix_ms(),
            "cluster": self.readiness.nodes().is_some(),
            "ready": reason.is_none(),
            "reason": reason.map(|reason| reason.to_string()),
            "viewers": self.feed().figures().viewers,
            "apps": apps,
            "limits": {
                "entry_text_bytes": ENTRY_TEXT_BYTES,
                "viewers": VIEWERS,
                "entries_per_second": VIEWER_ENTRIES_PER_SECOND,
            },
        })
    }

    fn app_status(&self, state: &AppState) -> Value {
        let app = state.app();
        json!({
            "id": app.id,
            "key": app.keys.first().map(|key| &key.key),
            "enabled": app.enabled,
            "connections": self.hub.connections_of(state),
            "client_events": app.client_events,
            "subscription_count": app.subscription_count,
            "history": app.keeps_history(),
            "video": app.carries_tracks(),
            "webhooks": self.webhooks.endpoints(&app.id).len(),
        })
    }

    /// What this node tells of itself as a whole.
    fn own_state(&self) -> Value {
        let reason = self.readiness.check_all().err();
        let apps = self.hub.apps();
        json!({
            "connections": apps.iter().map(|app| self.hub.connections_of(app)).sum::<usize>(),
            "uptime_ms": millis(self.started.elapsed()),
            "ready": reason.is_none(),
            "reason": reason.map(|reason| reason.to_string()),
        })
    }

    /// The configuration as it was at the start.
    fn config(&self) -> Value {
        let can_reload = self.reload.get().is_some();
        json!({ "toml": self.written_config, "as_of": "start", "can_reload": can_reload, "node": self.node() })
    }
}

/// Milliseconds of a time.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn not_found(request: &HttpRequest) -> ConsoleError {
    ConsoleError::NotFound(request.path().to_owned())
}

fn method(request: &HttpRequest, expected: &'static str) -> ConsoleError {
    ConsoleError::Method { expected, got: request.method().to_string() }
}

impl ControlRoutes for Arc<Console> {
    fn answer<'r>(
        &'r self,
        request: &'r HttpRequest,
        path: &'r [&'r str],
        payload: &'r mut web::Payload,
    ) -> Pin<Box<dyn Future<Output = HttpResponse> + 'r>> {
        Box::pin(async move {
            match self.carry_out(request, path, payload).await {
                Ok(answer) => answer,
                Err(error) => error.response(),
            }
        })
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}
