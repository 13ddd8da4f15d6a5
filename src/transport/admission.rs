//! Who may connect: the checks at connect time, the same for every transport, in the order in which they are to be
//! reported. How a refusal reaches the client is the transport's part.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap, HeaderName};

use crate::auth::request::Query;
use crate::connection::Probe;
use crate::hub::{self, Admission, AppState, AtWork, NotAdmitted, Worker};
use crate::protocol::{CloseCode, Negotiated, ProtocolVersion, VersionError};

/// What a client tells of itself when it connects.
#[derive(Debug)]
pub(super) struct Introduction<'r> {
    /// The key of the app that it wants, or what is wrong with the path that should name one.
    pub(super) key: Result<Cow<'r, str>, String>,
    /// Its parameters.
    pub(super) query: &'r Query,
    /// How it came.
    pub(super) arrival: &'r Arrival,
}

/// How a client came, as its first request shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whether what it sends is encrypted on its way, as far as that is known and believed.
    pub(super) tls: bool,
    /// The web page that it speaks for, if it says so.
    pub(super) origin: Option<String>,
}

impl Arrival {
    /// What a request with these headers shows, that came by TLS or did not; `proxied` where a trusted proxy may tell
    /// that the client's own did.
    pub(super) fn of(headers: &HeaderMap, tls: bool, proxied: bool) -> Self {
        let origin = headers.get(header::ORIGIN);
        Arrival {
            tls: tls || (proxied && came_by_tls(headers)),
            origin: origin.map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned()),
        }
    }
}

/// A connection that passed every check and has its place.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) app: Arc<AppState>,
    pub(super) agreed: Negotiated,
    pub(super) admission: Admission,
    pub(super) at_work: AtWork,
}

/// Why a connection is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) code: CloseCode,
    pub(super) reason: String,
    /// The version, as far as it could be found out.
    pub(super) version: Option<ProtocolVersion>,
}

/// Checks everything, and gives the connection its place. A refusal is announced.
pub(super) fn admit(worker: &Worker, introduction: &Introduction<'_>) -> Result<Admitted, Refused> {
    check(worker, introduction).inspect_err(|Refused { code, reason, .. }| {
        let key = introduction.key.as_deref().ok();
        let app = key.and_then(|key| worker.hub().state_by_key(key));
        worker.hub().announce_refusal(app.as_ref(), &hub::Refused::Connection { key, code: *code, reason });
    })
}

fn check(worker: &Worker, introduction: &Introduction<'_>) -> Result<Admitted, Refused> {
    let Introduction { key, query, arrival: Arrival { tls, origin } } = introduction;
    let hub = worker.hub();
    let agreed = ProtocolVersion::negotiate(
        query.get("protocol"),
        query.get("version"),
        hub.connection_config().min_protocol,
        hub.connection_config().without_version,
    );
    let version = agreed.as_ref().ok().map(|agreed| agreed.version);
    let refuse = |code: CloseCode, reason: String| Refused { code, reason, version };

    let key = match key {
        Ok(key) => key,
        Err(problem) => return Err(refuse(CloseCode::PathNotFound, problem.clone())),
    };
    let Some(app) = hub.state_by_key(key) else {
        return Err(refuse(CloseCode::UnknownApp, format!("Could not find app by key {key}")));
    };
    let agreed = match &agreed {
        Ok(agreed) => *agreed,
        Err(error) => return Err(refuse(version_code(error), error.to_string())),
    };
    let settings = app.app();
    if !settings.enabled {
        return Err(refuse(CloseCode::AppDisabled, CloseCode::AppDisabled.sentence().to_owned()));
    }
    if settings.force_tls && !tls {
        return Err(refuse(CloseCode::TlsOnly, CloseCode::TlsOnly.sentence().to_owned()));
    }
    if !settings.admits_origin(origin.as_deref()) {
        return Err(refuse(CloseCode::Unauthorized, "Origin not allowed".to_owned()));
    }
    if let Some((code, reason)) = app.meddler().and_then(|meddler| meddler.refuses()) {
        return Err(refuse(CloseCode::Chosen(code), reason));
    }
    let Some(at_work) = hub.begin_work() else {
        return Err(refuse(CloseCode::Reconnect, CloseCode::Reconnect.sentence().to_owned()));
    };
    let admission = worker.admit_client(&app).map_err(|full| {
        let (code, limit) = match full {
            NotAdmitted::AppFull => (CloseCode::OverQuota, settings.limits.connections),
            NotAdmitted::NodeFull => (CloseCode::OverCapacity, hub.sockets().len()),
        };
        refuse(code, format!("{} ({limit} connections)", code.sentence()))
    })?;
    Ok(Admitted { app, agreed, admission, at_work })
}

/// The key in `{prefix}/app/{key}`: one segment, decoded.
///
/// # Errors
/// With a sentence, if the path is another.
pub(super) fn key_in_path(path: &str, prefix: &str) -> Result<Cow<'static, str>, String> {
    let key = path.strip_prefix(prefix).and_then(|path| path.strip_prefix("/app/"));
    let key = key.map(|key| key.strip_suffix('/').unwrap_or(key));
    match key.filter(|key| !key.is_empty() && !key.contains('/')) {
        Some(key) => {
            Ok(Cow::Owned(percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()))
        }
        None => Err(format!("Path not found: expected {prefix}/app/{{key}}, got {path}")),
    }
}

/// How a client on a WebSocket that speaks the bare protocol can be asked whether it lives.
pub(super) fn websocket_probe(query: &Query, version: ProtocolVersion) -> Probe {
    match query.get("flash") {
        Some("true") if version.understands_ping_event() => Probe::Event,
        Some("true") => Probe::Impossible,
        _ => Probe::ControlFrame,
    }
}

/// Whether a proxy says that the client reached it by TLS. To be asked only of a proxy that is trusted.
fn came_by_tls(headers: &HeaderMap) -> bool {
    const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    // Of several proxies, the first in the list is the one that the client reached.
    let reached = forwarded.and_then(|proto| proto.split(',').next()).map(str::trim);
    matches!(reached, Some("https" | "wss"))
}

fn version_code(error: &VersionError) -> CloseCode {
    match error {
        VersionError::NotAnInteger { .. } | VersionError::NotARelease { .. } => CloseCode::InvalidVersion,
        VersionError::Unsupported { .. } => CloseCode::UnsupportedVersion,
        VersionError::Missing => CloseCode::VersionMissing,
    }
}
