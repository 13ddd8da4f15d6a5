//! Which broker a command asks, and as whom: arguments, the environment, and the requests themselves.

use std::cell::Cell;
use std::fmt::{Display, Write as _};
use std::io::IsTerminal;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use url::Url;

use super::told_values::number_of;
use crate::app::{App, Secret};
use crate::auth::request::{Query, string_to_sign};
use crate::http::unix_seconds;
use crate::outbound::{AGENT, HttpClient, shown};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of an answer that are read; a list that is longer has to be narrowed down.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What stands in the place of a refusal's sentence where it has none.
pub(super) const WORDLESS: &str = ", without saying why";

/// What to do about an address that was taken for that of an admin listener and is that of the clients.
pub(super) const NO_ADMIN_LISTENER: &str =
    "that is where clients connect: give the address of the admin listener by --admin";

/// Why an admin listener may not be where it is looked for.
pub(super) const ADMIN_MAY_BE_OFF: &str =
    "heliostat listens there only if [admin] in its configuration says so";

/// Where a broker is, if nothing says it.
const HERE: &str = "http://127.0.0.1:6001";

/// Where its admin listener is, if nothing says it.
const ADMIN_HERE: &str = "http://127.0.0.1:9601";

/// An app as it is given in an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenApp {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) secret: Secret,
}

impl GivenApp {
    /// Reads `id:key:secret`, as this argument says it. Only here, for a secret may stand in what is refused, and it would be
    /// shown by what reads the arguments.
    pub(super) fn parse(text: &str, named_by: &str) -> Result<Self, RemoteFailure> {
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        match parts[..] {
            [id, key, secret] if parts.iter().all(|part| !part.is_empty()) => Ok(Self::new(id, key, secret)),
            _ => {
                let got = match (parts.len(), parts.iter().any(|part| part.is_empty())) {
                    (_, true) => "one that is empty".to_owned(),
                    (number, false) => format!("only {number}"),
                };
                Err(RemoteFailure::usage(format!(
                    "{named_by}: expected the id, the key and the secret of an app with colons between, such as \
                     1001:app-key:app-secret, got {got}"
                )))
            }
        }
    }

    fn new(id: &str, key: &str, secret: &str) -> Self {
        GivenApp { id: id.to_owned(), key: key.to_owned(), secret: Secret::new(secret) }
    }

    pub(super) fn app(&self) -> App {
        App::new(&self.id, &self.key, self.secret.text())
    }
}

/// As which app.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct AppArguments {
    /// The app, with its key and secret [default: those of PUSHER_APP_ID, PUSHER_APP_KEY and PUSHER_APP_SECRET, or of
    /// HELIOSTAT_APP_ID, HELIOSTAT_APP_KEY and HELIOSTAT_APP_SECRET].
    #[arg(long = "app", value_name = "ID:KEY:SECRET")]
    app: Option<String>,
}

impl AppArguments {
    /// The app that is meant.
    ///
    /// # Errors
    /// If there is none: a line.
    pub(super) fn app(&self) -> Result<GivenApp, RemoteFailure> {
        let of_environment = |prefix: &str| {
            let of_app = |name| variable(&format!("{prefix}_APP_{name}"));
            Some(GivenApp::new(&of_app("ID")?, &of_app("KEY")?, &of_app("SECRET")?))
        };
        if let Some(text) = &self.app {
            return GivenApp::parse(text, "--app");
        }
        ["PUSHER", "HELIOSTAT"].into_iter().find_map(of_environment).ok_or_else(|| {
            RemoteFailure::usage(
                "expected an app, got none: give --app ID:KEY:SECRET (in development mode 1001:app-key:app-secret), or set \
                 PUSHER_APP_ID, PUSHER_APP_KEY and PUSHER_APP_SECRET",
            )
        })
    }

    /// Its id, which is all that an admin listener is told.
    pub(super) fn id(&self) -> Result<String, RemoteFailure> {
        id_or_of_environment(self.app.as_deref().filter(|id| !id.is_empty()).map(id_of))
    }
}

/// The id of the app that is named so: by itself, or with its key and secret.
fn id_of(given: &str) -> &str {
    if GivenApp::parse(given, "--app").is_ok() { given.split(':').next().unwrap_or(given) } else { given }
}

/// The id of the app that is named so, or by the environment.
fn id_or_of_environment(given: Option<&str>) -> Result<String, RemoteFailure> {
    let of_environment = || ["PUSHER_APP_ID", "HELIOSTAT_APP_ID"].into_iter().find_map(variable);
    given
        .map(str::to_owned)
        .or_else(of_environment)
        .ok_or_else(|| RemoteFailure::usage("expected the id of an app, got none: give --app ID"))
}

/// Which broker, and as which app.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct BrokerArguments {
    /// The address of the broker, with its path prefix if it has one [default: that of PUSHER_HOST, PUSHER_PORT and
    /// PUSHER_SCHEME, or http://127.0.0.1:6001].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    pub(super) app: AppArguments,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl BrokerArguments {
    /// Whether it was said where it is.
    pub(super) fn is_named(&self) -> bool {
        self.url.is_some()
    }
}

/// Where an admin listener is, and what it is shown.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminPlace {
    /// The address of the admin listener [default: http://127.0.0.1:9601].
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// The token of the admin listener [default: that of HELIOSTAT_ADMIN_TOKEN].
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Which admin listener.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminArguments {
    #[command(flatten)]
    pub(super) place: AdminPlace,
    /// The id of the app [default: that of PUSHER_APP_ID or HELIOSTAT_APP_ID].
    #[arg(long = "app", value_name = "ID")]
    app: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteFailure {
    /// A line, without the program's name.
    pub(super) told: String,
    pub(super) exit_code: u8,
    /// It is what the server said to it.
    pub(super) is_of_server: bool,
}

impl RemoteFailure {
    /// What was asked for makes no sense.
    pub(super) fn usage(told: impl Display) -> Self {
        RemoteFailure { told: told.to_string(), exit_code: 2, is_of_server: false }
    }

    /// It was not done.
    pub(super) fn not_done(told: impl Display) -> Self {
        RemoteFailure { told: told.to_string(), exit_code: 1, is_of_server: false }
    }
}

/// A server that is asked, and with what.
#[derive(Debug)]
pub(super) struct Remote {
    base: Url,
    pass: Pass,
    /// Whether the prefix of the path is signed: Reverb signs what stands behind it.
    signs_prefix: Cell<bool>,
    runtime: tokio::runtime::Runtime,
    client: HttpClient,
}

/// What a request shows.
#[derive(Debug)]
enum Pass {
    Signed(GivenApp),
    Token(String),
}

/// What a server answered that took the request.
pub(super) type AskedFor = Result<Json, RemoteFailure>;

/// What a variable of the environment says, if it says anything.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Remote {
    /// The broker, as this app.
    pub(super) fn broker(arguments: &BrokerArguments) -> Result<Self, RemoteFailure> {
        let (url, named_by) = broker_url(arguments.url.as_deref(), "--url");
        Self::at(&url, (named_by, HERE), Pass::Signed(arguments.app.app()?))
    }

    /// The admin listener.
    pub(super) fn admin(place: &AdminPlace) -> Result<Self, RemoteFailure> {
        let (url, linked) = of_link(place.admin.as_deref().unwrap_or(ADMIN_HERE));
        let given = place.token.clone().or(linked).or_else(|| variable("HELIOSTAT_ADMIN_TOKEN"));
        let token = given.ok_or_else(|| {
            RemoteFailure::usage(
                "expected the token of the admin listener, got none: give --token, or set HELIOSTAT_ADMIN_TOKEN",
            )
        })?;
        Self::at(url, ("--admin", ADMIN_HERE), Pass::Token(token))
    }

    /// A server that is not there.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        let app = GivenApp::new("1", "app-key", "app-secret");
        Self::at("http://127.0.0.1:9", ("--url", HERE), Pass::Signed(app)).unwrap()
    }

    fn at(url: &str, (named_by, such_as): (&str, &str), pass: Pass) -> Result<Self, RemoteFailure> {
        // The address of a WebSocket is often at hand, and where that is the API is as well.
        let http = url.strip_prefix("ws").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
        let base = Url::parse(&http.map_or_else(|| url.to_owned(), |rest| format!("http{rest}"))).ok();
        let base = base.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let base = base.ok_or_else(|| {
            RemoteFailure::usage(format!(
                "{named_by}: expected an address such as {such_as}, got {}",
                no_address(url)
            ))
        })?;
        // What else stands there may be a password or a token: it would be left out of the requests, and told in messages.
        let part = [
            (base.query(), "a query"),
            (base.fragment(), "a fragment"),
            (base.password(), "a password"),
            (Some(base.username()).filter(|name| !name.is_empty()), "a user"),
        ];
        if let Some((_, part)) = part.into_iter().find(|(text, _)| text.is_some()) {
            let told =
                format!("{named_by}: expected only an address, such as {such_as}, got one with {part}");
            return Err(RemoteFailure::usage(told));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(RemoteFailure::not_done)?;
        let client = HttpClient::new(None).map_err(RemoteFailure::not_done)?;
        Ok(Remote { base, pass, signs_prefix: Cell::new(true), runtime, client })
    }

    /// Where it is, for messages.
    fn place(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The path of an app's endpoint: of the app that signs.
    pub(super) fn app_path(&self, rest: &[&str]) -> String {
        match &self.pass {
            Pass::Signed(app) => path_of(&["apps", &app.id], rest),
            Pass::Token(_) => path_of(&[], rest),
        }
    }

    pub(super) fn get(&self, path: &str, pairs: &[(&str, &str)]) -> AskedFor {
        self.ask(&Method::GET, path, pairs, None)
    }

    /// All items of a list of the console's, page by page as many as there are, and the nodes that have told nothing.
    pub(super) fn list(
        &self,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<(Vec<Json>, Vec<Json>), RemoteFailure> {
        let (mut all, mut silent) = (Vec::new(), Vec::new());
        let mut after: Option<String> = None;
        loop {
            let mut of_page = vec![("limit", "500")];
            of_page.extend(pairs);
            of_page.extend(after.as_deref().map(|after| ("after", after)));
            let mut page = self.get(path, &of_page)?;
            let Some(items) = page.get_mut("items").and_then(Json::as_array_mut) else {
                return Err(self.no_list());
            };
            all.append(items);
            silent = page["silent"].as_array().cloned().unwrap_or(silent);
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                return Ok((all, silent));
            }
        }
    }

    /// An admin listener would have answered a list.
    pub(super) fn no_list(&self) -> RemoteFailure {
        RemoteFailure::not_done(format!("{} answered no list, so it may be no admin listener", self.place()))
    }

    pub(super) fn post(&self, path: &str, body: &Json) -> AskedFor {
        self.ask(&Method::POST, path, &[], Some(body.to_string()))
    }

    fn ask(&self, method: &Method, path: &str, pairs: &[(&str, &str)], body: Option<String>) -> AskedFor {
        self.block_on(self.request(method, path, pairs, body))
    }

    /// Runs what waits.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What is at this path, for whoever waits already.
    pub(super) async fn fetch(&self, path: &str, pairs: &[(&str, &str)]) -> AskedFor {
        self.request(&Method::GET, path, pairs, None).await
    }

    /// Where the admin listener tells what happens, and the token that it is shown.
    pub(super) fn feed(&self) -> (Url, &str) {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/console/live", self.base.path().trim_end_matches('/')));
        (url, self.token().unwrap_or_default())
    }

    /// The token that an admin listener is shown.
    pub(super) fn token(&self) -> Option<&str> {
        match &self.pass {
            Pass::Token(token) => Some(token),
            Pass::Signed(_) => None,
        }
    }

    /// What stands before all paths.
    fn prefix(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    async fn request(
        &self,
        method: &Method,
        path: &str,
        pairs: &[(&str, &str)],
        body: Option<String>,
    ) -> AskedFor {
        let body = body.unwrap_or_default();
        let signs_prefix = self.signs_prefix.get();
        let mut reply = self.exchange(method, path, pairs, &body, signs_prefix).await?;
        let may_sign_less = signs_prefix && !self.prefix().is_empty() && matches!(self.pass, Pass::Signed(_));
        if reply.told_status() == 401 && may_sign_less {
            let other = self.exchange(method, path, pairs, &body, false).await?;
            if other.told_status() != 401 {
                self.signs_prefix.set(false);
                reply = other;
            }
        }
        self.read(&reply)
    }

    /// A request and what came of it.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        pairs: &[(&str, &str)],
        body: &str,
        signs_prefix: bool,
    ) -> Result<ToldReply, RemoteFailure> {
        let whole_path = format!("{}{path}", self.prefix());
        let mut request = Request::builder().method(method).header(USER_AGENT, AGENT);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let query = match &self.pass {
            Pass::Signed(app) => {
                let signed_path = if signs_prefix { &whole_path } else { path };
                SignedUrl::of(app, method.as_str(), signed_path, pairs, body, unix_seconds()).query
            }
            Pass::Token(token) => {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
                encoded(pairs.iter().copied())
            }
        };
        let mut url = self.base.clone();
        url.set_path(&whole_path);
        url.set_query((!query.is_empty()).then_some(&query));
        let request = request.uri(url.as_str()).body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        let request = request.map_err(RemoteFailure::usage)?;
        let asked = self.client.ask(request, TIMEOUT, ANSWER_BYTES).await;
        let place = self.place();
        let (reply, is_whole) = asked.map_err(|error| {
            let error = error.to_string();
            // That it was one of the client in connecting, the sentence says.
            let why = error.strip_prefix("client error (Connect): ").unwrap_or(&error);
            let change = match &self.pass {
                Pass::Signed(_) if self.base.scheme() == "https" => {
                    "see whether the server runs there, and with TLS; --url names another address"
                }
                Pass::Signed(_) => "see whether the server runs there; --url names another address",
                Pass::Token(_) => ADMIN_MAY_BE_OFF,
            };
            RemoteFailure::not_done(format!("{place} cannot be asked: {why}; {change}"))
        })?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        Ok(ToldReply { status: reply.status, text, is_whole })
    }

    /// What a server answered that took the request.
    fn read(&self, reply: &ToldReply) -> AskedFor {
        let ToldReply { status, text, is_whole } = reply;
        let (place, told_status) = (self.place(), reply.told_status());
        if !(200..300).contains(&told_status) {
            let code =
                if told_status == *status { String::new() } else { format!(" with the code {told_status}") };
            let why = match sentence_of(text).as_str() {
                "" => WORDLESS.to_owned(),
                sentence => format!(": {sentence}"),
            };
            let is_of_clients =
                matches!(self.pass, Pass::Token(_)) && why.ends_with("is no endpoint of this broker");
            let change = match told_status {
                _ if is_of_clients => format!("; {NO_ADMIN_LISTENER}"),
                300..400 => "; redirects are not followed: give the address that it leads to".to_owned(),
                _ => String::new(),
            };
            let told = format!("{place} answered {status}{code}{why}{change}");
            return Err(RemoteFailure { is_of_server: true, ..RemoteFailure::not_done(told) });
        }
        if !is_whole {
            let told =
                format!("the answer of {place} is longer than {ANSWER_BYTES} bytes: ask for less of it");
            return Err(RemoteFailure::not_done(told));
        }
        if text.trim().is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_str(text).map_err(|_| {
            let told = harmless(&text.chars().take(100).collect::<String>());
            RemoteFailure::not_done(format!("{place} answered no JSON, so it may be no broker: {told}"))
        })
    }
}

/// An answer as it came.
#[derive(Debug)]
struct ToldReply {
    status: u16,
    text: String,
    is_whole: bool,
}

impl ToldReply {
    fn told_status(&self) -> u16 {
        told_status(self.status, &self.text)
    }
}

/// The status that an answer tells: that of HTTP, or that within the body of a refusal which came with the status of a success.
/// soketi answers `{"error":"…","code":401}` with 200.
pub(super) fn told_status(status: u16, body: &str) -> u16 {
    if !(200..300).contains(&status) || !body.starts_with('{') {
        return status;
    }
    let read: Option<serde_json::Map<String, Json>> = serde_json::from_str(body).ok();
    // Nothing else that is answered has these two members and no others.
    let refusal = read.filter(|members| members.len() == 2 && members.contains_key("error"));
    let code = refusal.and_then(|members| number_of(members.get("code")?)?.try_into().ok());
    code.filter(|code| (400..600).contains(code)).unwrap_or(status)
}

/// The address of an admin listener, and the token that is shown there, of a link to its console: the broker prints such
/// links, and browsers show them.
fn of_link(url: &str) -> (&str, Option<String>) {
    let Some((listener, behind)) = url.split_once("/console") else { return (url, None) };
    let before_fragment = behind.split('#').next().unwrap_or_default();
    let query = before_fragment.split_once('?').map_or("", |(_, query)| query);
    (listener, Query::parse(query).get("token").map(str::to_owned))
}

impl AdminPlace {
    /// Whether it was said that there is one.
    pub(super) fn is_named(&self) -> bool {
        self.admin.is_some() || self.token.is_some()
    }
}

impl AdminArguments {
    /// The id of the app, if it was given here: alone, or with its key and secret as other commands take it.
    pub(super) fn given_app(&self) -> Option<&str> {
        self.app.as_deref().filter(|id| !id.is_empty()).map(id_of)
    }

    /// The id of the app that is meant.
    pub(super) fn app_id(&self) -> Result<String, RemoteFailure> {
        id_or_of_environment(self.given_app())
    }
}

/// Where the broker is, and what says it: the address that was given, or else that of the environment.
pub(super) fn broker_url(given: Option<&str>, named_by: &'static str) -> (String, &'static str) {
    let of_environment = || {
        let host = variable("PUSHER_HOST")?;
        let scheme = variable("PUSHER_SCHEME").unwrap_or_else(|| "http".to_owned());
        let port = variable("PUSHER_PORT").map(|port| format!(":{port}")).unwrap_or_default();
        Some((format!("{scheme}://{host}{port}"), "PUSHER_HOST, PUSHER_PORT and PUSHER_SCHEME"))
    };
    let given = given.map(|url| (url.to_owned(), named_by));
    given.or_else(of_environment).unwrap_or_else(|| (HERE.to_owned(), named_by))
}

/// What is no address, in quotes, and what it lacks where that is all.
pub(super) fn no_address(text: &str) -> String {
    let lacks_scheme = !text.contains("://") && !text.contains(['@', '?', '#']);
    let would_be_one = Url::parse(&format!("http://{text}")).is_ok_and(|url| url.has_host());
    let lacks = if lacks_scheme && would_be_one { ", which lacks http:// or https://" } else { "" };
    format!("{:?}{lacks}", shown(text))
}

/// Whether what is printed is read by a person at a terminal that knows colours.
pub(super) fn is_colourful() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A request that is signed: what was signed, and the query that goes with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedUrl {
    pub(super) string_to_sign: String,
    pub(super) signature: String,
    pub(super) query: String,
}

impl SignedUrl {
    /// Of an app, with these parameters besides those of the signature.
    pub(super) fn of(
        app: &GivenApp,
        method: &str,
        path: &str,
        pairs: &[(&str, &str)],
        body: &str,
        now: u64,
    ) -> Self {
        let (now, hash) = (now.to_string(), crate::auth::request::body_hash(body.as_bytes()));
        let mut all = vec![("auth_key", app.key.as_str()), ("auth_timestamp", &now), ("auth_version", "1.0")];
        if !body.is_empty() {
            all.push(("body_md5", &hash));
        }
        all.extend(pairs);
        let string_to_sign = string_to_sign(method, path, &Query::of_pairs(all.iter().copied()));
        let signature = crate::auth::sign(&app.secret, &string_to_sign);
        let query = encoded(all.into_iter().chain([("auth_signature", signature.as_str())]));
        SignedUrl { string_to_sign, signature, query }
    }
}

/// A query string of these.
fn encoded<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// What is encoded in a path: all but what names of channels and users may hold, so that it is signed as it is sent.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'=')
    .remove(b'@')
    .remove(b',')
    .remove(b'.')
    .remove(b';');

/// A path of these segments, each encoded.
pub(super) fn path_of(first: &[&str], rest: &[&str]) -> String {
    let segments = first.iter().chain(rest);
    segments.map(|segment| format!("/{}", utf8_percent_encode(segment, ENCODED))).collect()
}

/// The sentence of a refusal: the text, or the member `error` or `message` of its JSON; empty where it has none.
pub(super) fn sentence_of(text: &str) -> String {
    let parsed: Option<Json> = serde_json::from_str(text).ok();
    let member = |name| parsed.as_ref().and_then(|json| json[name].as_str());
    let is_wordless = parsed.as_ref().is_some_and(|json| *json == Json::Object(serde_json::Map::new()));
    let whole = if is_wordless { "" } else { text };
    let told = member("error").or_else(|| member("message")).unwrap_or(whole).trim();
    harmless(&told.chars().take(1000).collect::<String>())
}

/// A text of others, which must not move a terminal's cursor, or turn the direction of what is read.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// JSON in one line, in which such characters are written by their numbers. They stand nowhere but within strings.
pub(super) fn json_line(value: &Json) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if is_harmful(c) {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether it is a control character, or one that turns the direction of what follows. All of them have four digits.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// So many of these, with the right number of the word.
pub(super) fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// So many connections are subscribed: a sentence without its end.
pub(super) fn are_subscribed(number: u64) -> String {
    format!("{} {} subscribed", count(number, "connection"), if number == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_read_and_its_secret_may_hold_colons() {
        let app = GivenApp::parse("7:k:s:t", "--app").unwrap();
        assert_eq!((app.id.as_str(), app.key.as_str(), app.secret.text()), ("7", "k", "s:t"));
        for wrong in ["", "7", "7:k", "7:k:", ":k:s"] {
            assert!(GivenApp::parse(wrong, "--app").is_err(), "{wrong}");
        }
        let told = |text: &str| GivenApp::parse(text, "--app").unwrap_err().told;
        assert!(told("app-key:app-hush").ends_with("such as 1001:app-key:app-secret, got only 2"));
        assert!(told("7::hush").ends_with("got one that is empty") && !told("7::hush").contains("hush"));
    }

    #[test]
    fn what_is_no_address_alone_is_refused_without_being_shown() {
        let told = |url: &str| {
            let at = Remote::at(url, ("--admin", ADMIN_HERE), Pass::Token(String::new()));
            at.map(|remote| remote.place()).unwrap_or_else(|failure| failure.told)
        };
        assert_eq!(told("https://h:1/x/"), "https://h:1/x");
        assert_eq!((told("ws://h:1"), told("wss://h")), ("http://h:1".to_owned(), "https://h".to_owned()));
        for (url, got) in [
            ("http://h/?token=hush", "got one with a query"),
            ("http://h/#hush", "got one with a fragment"),
            ("http://user:hush@h", "got one with a password"),
            ("http://hush@h", "got one with a user"),
            ("h?token=hush", "got \"h?…\""),
            ("localhost:6001", "got \"localhost:6001\", which lacks http:// or https://"),
            ("ftp://user:hush@h", "got \"…@h\""),
            ("", "got \"\""),
        ] {
            let told = told(url);
            assert!(told.contains("such as http://127.0.0.1:9601") && !told.contains("hush"), "{told}");
            assert!(told.ends_with(got), "{told}");
        }
    }

    #[test]
    fn who_cannot_be_asked_or_leads_elsewhere_is_told_with_what_to_do() {
        let nowhere = Remote::nowhere();
        let told = nowhere.get("/", &[]).unwrap_err().told;
        assert!(told.starts_with("http://127.0.0.1:9 cannot be asked: tcp connect error: "), "{told}");
        assert!(told.ends_with("; see whether the server runs there; --url names another address"), "{told}");
        let reply = ToldReply { status: 301, text: String::new(), is_whole: true };
        let told = nowhere.read(&reply).unwrap_err().told;
        assert!(
            told.contains("answered 301") && told.ends_with("give the address that it leads to"),
            "{told}"
        );
    }

    #[test]
    fn a_link_to_the_console_names_its_listener_and_may_hold_the_token() {
        let token = |token: &str| Some(token.to_owned());
        for (url, expected) in [
            ("http://h:1", ("http://h:1", None)),
            ("http://h:1/console", ("http://h:1", None)),
            ("http://h:1/x/console/#/live?token=other", ("http://h:1/x", None)),
            ("http://h:1/console/?token=a%2Bb#/live", ("http://h:1", token("a+b"))),
        ] {
            assert_eq!(of_link(url), expected, "{url}");
        }
    }

    #[test]
    fn requests_are_signed_as_the_specification_has_it() {
        let app = GivenApp::new("1", "app-key", "app-secret");
        let pairs = [("filter_by_prefix", "presence-"), ("info", "user_count")];
        let signed = SignedUrl::of(&app, "GET", "/apps/1/channels", &pairs, "", 1_700_000_000);
        assert_eq!(signed.signature, "985aebc7e3bd1977bb4ab10e11ad6eba7624244a20ac945c884f459dd1366359");
        assert!(signed.query.ends_with(&format!("&auth_signature={}", signed.signature)), "{}", signed.query);
        let body = r#"{"name":"greet","channel":"room","data":"{\"hi\":1}"}"#;
        let signed = SignedUrl::of(&app, "POST", "/apps/1/events", &[], body, 1_700_000_000);
        assert_eq!(signed.signature, "eb77bfc14cd5dac92813cb2a6074c494de49baf0c0112714461dc05188e0463f");
    }

    #[test]
    fn what_others_say_is_shown_without_control_characters() {
        assert_eq!(sentence_of("{\"error\":\"no\\u001b[2J\"}"), "no\u{fffd}[2J");
        assert_eq!(sentence_of("Unknown auth_key\n"), "Unknown auth_key");
        // Laravel's own errors; what Reverb answers of a channel that has no members.
        assert_eq!(sentence_of("{\"message\":\"Server Error\"}"), "Server Error");
        assert_eq!(sentence_of("{}"), "");
        assert_eq!(harmless("a\u{9b}2J\u{202e}b\u{2066}c"), "a\u{fffd}2J\u{fffd}b\u{fffd}c");
        let value = Json::from("\u{1b}\u{7f}\u{9b}\u{202e}é");
        let line = json_line(&value);
        assert_eq!(line, "\"\\u001b\\u007f\\u009b\\u202eé\"");
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), value);
        assert_eq!(
            path_of(&["apps", "1"], &["channels", "presence-a/b@c_d"]),
            "/apps/1/channels/presence-a%2Fb@c_d"
        );
        assert_eq!(
            (count(1, "connection"), count(0, "connection")),
            ("1 connection".into(), "0 connections".into())
        );
    }
    #[test]
    fn a_refusal_that_came_with_the_status_of_a_success_is_one() {
        // soketi 1.6.1, with another secret, another id, and a payload that is too large.
        for (body, status) in [
            ("{\"error\":\"The secret authentication failed\",\"code\":401}", 401),
            ("{\"error\":\"The app 9999 could not be found.\",\"code\":404}", 404),
            ("{\"error\":\"The event data should be less than 100 KB.\",\"code\":413}", 413),
            ("{\"error\":\"Unauthorized\",\"code\":\"401\"}", 401),
        ] {
            assert_eq!(told_status(200, body), status, "{body}");
        }
        for body in [
            "{\"ok\":true}",
            "{}",
            "{\"error\":\"timed out\",\"status\":null,\"duration_ms\":3}",
            "{\"error\":\"x\",\"code\":4009}",
            "{\"channels\":{\"code\":{}}}",
            "OK",
        ] {
            assert_eq!(told_status(200, body), 200, "{body}");
        }
        assert_eq!(told_status(503, "{\"error\":\"x\",\"code\":401}"), 503);
    }
}
