//! Answers the requests of development mode: example pages, and endpoints that sign whatever they are asked to.
//!
//! They speak for the first app, and give whoever reaches them the rights of its backend. Each is off unless the
//! configuration says otherwise, and what signs answers this machine and its own pages alone (`guard`). No secret is
//! told but the one that everyone knows.

mod addresses;
mod auth;
mod config;
mod console_link;
pub(crate) mod guard;
mod pages;

pub(crate) use addresses::reachable;
pub use config::DevelopmentConfig;
use console_link::console_link;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::{App, AppRegistry, Key};
use crate::auth::EncryptionMasterKey;
use crate::http::{self, ApiError, ListenerSettings, is_local, names_this_machine, split_host};

/// One of the conveniences, asked for by who may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DevelopmentRequest<'p> {
    ChannelAuth,
    UserAuth,
    Settings,
    PusherJs,
    Page(&'p str),
}

impl DevelopmentRequest<'_> {
    /// Whether its answer depends on the body of the request.
    pub(crate) fn takes_a_body(self) -> bool {
        match self {
            DevelopmentRequest::ChannelAuth | DevelopmentRequest::UserAuth => true,
            DevelopmentRequest::Settings | DevelopmentRequest::PusherJs | DevelopmentRequest::Page(_) => {
                false
            }
        }
    }

    fn method(self) -> Method {
        if self.takes_a_body() { Method::POST } else { Method::GET }
    }
}

/// What is on. It speaks for the first app, with its oldest key; without one nothing is served.
#[derive(Clone, Debug)]
pub(crate) struct Development {
    pages: bool,
    auth_endpoints: bool,
    /// The configured one; without it, each app has its own.
    encryption_master_key: Option<EncryptionMasterKey>,
    pusher_js: Option<PathBuf>,
    /// What the listener says of every request.
    settings: Rc<ListenerSettings>,
    /// Only requests that name this machine as their host are answered: a page of another site that has its name
    /// resolved to this address gets nothing.
    loopback_only: bool,
    /// Where the broker listens.
    host: IpAddr,
    /// Where the admin listener does, if there is one.
    admin: Vec<SocketAddr>,
}

impl Development {
    /// What the configuration asks for, where the broker listens on `host` with these settings.
    pub(crate) fn new(
        config: DevelopmentConfig,
        host: IpAddr,
        admin: &[SocketAddr],
        settings: Rc<ListenerSettings>,
    ) -> Self {
        let DevelopmentConfig { pages, auth_endpoints, encryption_master_key, pusher_js } = config;
        Development {
            pages,
            auth_endpoints,
            encryption_master_key,
            pusher_js,
            settings,
            loopback_only: host.is_loopback(),
            host,
            admin: admin.to_vec(),
        }
    }

    /// Refuses what no request below `/dev/` may be: one that came by a proxy, or that another site's page sent.
    ///
    /// # Errors
    /// With what speaks against it.
    pub(crate) fn guard(&self, request: &HttpRequest) -> Result<(), ApiError> {
        if !self.auth_endpoints || !guard::is_guarded(request, &self.settings.path_prefix) {
            return Ok(());
        }
        guard::check(request)?;
        self.check_host(request)?;
        // Over TLS, the certificate proves the name.
        let host = http::host(request.headers());
        if !self.settings.tls && !is_local(host) {
            return Err(ApiError::PublicHost(host.to_owned()));
        }
        Ok(())
    }

    /// What a request wants of the conveniences, by its head alone: whether it may have it is known before its body is.
    /// `None` if it is for none that is on. `path` is what follows the path prefix, in segments.
    pub(crate) fn request_kind<'p>(
        &self,
        request: &HttpRequest,
        path: &[&'p str],
        apps: &AppRegistry,
    ) -> Option<Result<DevelopmentRequest<'p>, ApiError>> {
        first_app(apps)?;
        let kind = match *path {
            ["dev", "auth"] if self.auth_endpoints => DevelopmentRequest::ChannelAuth,
            ["dev", "user-auth"] if self.auth_endpoints => DevelopmentRequest::UserAuth,
            ["dev", "config.json"] if self.auth_endpoints => DevelopmentRequest::Settings,
            ["vendor", "pusher.min.js"] if self.pages => DevelopmentRequest::PusherJs,
            [page] if self.pages && pages::exists(page) => DevelopmentRequest::Page(page),
            _ => return None,
        };
        let checked = self.guard(request).and_then(|()| self.check(request, &kind.method()));
        Some(checked.map(|()| kind))
    }

    /// Answers a request for what [`Development::request_kind`] has found.
    ///
    /// # Errors
    /// If the body asks for what cannot be signed.
    pub(crate) fn answer(
        &self,
        request: &HttpRequest,
        kind: DevelopmentRequest<'_>,
        body: &[u8],
        apps: &AppRegistry,
    ) -> Result<HttpResponse, ApiError> {
        let (app, key) = first_app(apps).ok_or_else(|| ApiError::NotFound(request.path().to_owned()))?;
        match kind {
            DevelopmentRequest::ChannelAuth => {
                auth::channel(app, key, self.master_key(app, key).as_ref(), body)
            }
            DevelopmentRequest::UserAuth => auth::user_auth(key, body),
            DevelopmentRequest::Settings => Ok(self.settings(request, app, key)),
            DevelopmentRequest::PusherJs => Ok(pages::pusher_js(self.pusher_js.as_deref())),
            DevelopmentRequest::Page(page) => Ok(pages::page(page)),
        }
    }

    fn check_host(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let host = http::host(request.headers());
        if self.loopback_only && !names_this_machine(host) {
            return Err(ApiError::ForeignHost(host.to_owned()));
        }
        Ok(())
    }

    fn check(&self, request: &HttpRequest, expected: &Method) -> Result<(), ApiError> {
        self.check_host(request)?;
        let method = request.method();
        let fits = method == expected || (expected == Method::GET && method == Method::HEAD);
        let allowed = if expected == Method::GET { "GET, HEAD" } else { "POST" };
        if !fits {
            return Err(ApiError::MethodNotAllowed { method: method.to_string(), allowed });
        }
        Ok(())
    }

    /// The master key that may be told of an app with this key: the configured one, or one derived from the secret.
    /// None of an app that has a secret which is not public knowledge.
    fn master_key(&self, app: &App, key: &Key) -> Option<EncryptionMasterKey> {
        let derived = || EncryptionMasterKey::derived_from(&key.secret);
        has_public_secret(app).then(|| self.encryption_master_key.clone().unwrap_or_else(derived))
    }

    /// What the example pages need to know to connect, and to show to whoever reads them. Where the secret is not public
    /// knowledge, neither it nor the key for encrypted channels is in it.
    fn settings(&self, request: &HttpRequest, app: &App, key: &Key) -> HttpResponse {
        let (host, port) = split_host(http::host(request.headers()));
        let port = port.unwrap_or(if self.settings.tls { 443 } else { 80 });
        let mut settings = json!({
            "app_id": app.id,
            "key": key.key,
            "host": host,
            "port": port,
            "path_prefix": self.settings.path_prefix,
            "addresses": reachable(self.host),
            "pusher_js": "vendor/pusher.min.js",
        });
        if let Some(master_key) = self.master_key(app, key) {
            settings["secret"] = key.secret.text().into();
            settings["encryption_master_key_base64"] = master_key.to_base64().into();
        }
        // From a page that came over TLS it would be another site's.
        let listeners = if self.settings.tls { &[] } else { self.admin.as_slice() };
        let peer = request.peer_addr().map(|peer| peer.ip());
        settings["console"] = console_link(listeners, http::host(request.headers()), peer).into();
        HttpResponse::build(StatusCode::OK)
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(settings.to_string())
    }
}

/// The app for which the conveniences speak, with its oldest key.
fn first_app(apps: &AppRegistry) -> Option<(&App, &Key)> {
    let app = apps.first()?;
    Some((app, app.keys.first()?))
}

/// Whether everyone knows every secret of the app.
fn has_public_secret(app: &App) -> bool {
    app.keys.iter().all(|key| key.secret.text() == App::DEFAULT_SECRET)
}
