//! From an HTTP upgrade to a connection, or to a refusal that the client understands.
//!
//! A browser turns an HTTP error into close code 1006 and its client then retries for ever. So whatever is wrong,
//! the upgrade succeeds first, and the close frame says why.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::{Request, Response, StatusCode, h1, ws};
use actix_web::HttpMessage;
use actix_web::http::header;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{debug, info};

use crate::auth::request::Query;
use crate::connection::{Connection, Probe, last_error};
use crate::hub::{AppState, AtWork, Bounds, Client, NotAdmitted, Worker};
use crate::protocol::{CloseCode, Frame, Negotiated, ProtocolVersion, SocketId, VersionError};

use super::WebSocket;
use super::driver::Driver;
use super::extension;
use crate::transport::Stream;

/// How long a refused peer may take to answer the close frame.
const REFUSAL_GRACE: Duration = Duration::from_secs(5);

/// What the upgrade service tells the HTTP server about an upgrade that could not even be answered.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The socket failed.
    #[error("the connection was lost during the handshake: {0}")]
    Lost(#[from] std::io::Error),
}

impl From<UpgradeError> for Response<BoxBody> {
    fn from(_: UpgradeError) -> Self {
        Response::new(StatusCode::BAD_REQUEST)
    }
}

/// The endpoint that an upgrade asked for, as far as the listener is concerned.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Put before every path; empty, or `/` and segments.
    pub path_prefix: String,
    /// Whether `X-Forwarded-Proto` is believed.
    pub trust_forwarded_proto: bool,
}

/// A connection that passed every check and has its place.
struct Admitted {
    app: Arc<AppState>,
    agreed: Negotiated,
    socket_id: SocketId,
    at_work: AtWork,
}

/// Why a connection is refused.
#[derive(Debug)]
struct Refused {
    code: CloseCode,
    reason: String,
    /// The version, as far as it could be found out.
    version: Option<ProtocolVersion>,
}

/// Answers an upgrade request: with a connection that then lives as a task of its own, or with a refusal.
///
/// # Errors
/// If the socket fails before the answer is written.
pub async fn upgrade<S: Stream>(
    worker: Rc<Worker>,
    listener: Rc<Listener>,
    request: Request,
    framed: Framed<S, h1::Codec>,
) -> Result<(), UpgradeError> {
    let parts = framed.into_parts();
    let (mut stream, early) = (parts.io, parts.read_buf);
    let head = request.head();
    if let Err(error) = ws::handshake(head) {
        let reason = format!("Expected a WebSocket handshake (RFC 6455): {error}\n");
        let answer = http_answer("400 Bad Request", &reason);
        return Ok(stream.write_all(answer.as_bytes()).await?);
    }
    let compression = worker.hub().connection_config().compression && offers_compression(&request);
    stream.write_all(switching_protocols(&request, compression).as_bytes()).await?;
    let query = Query::parse(request.uri().query().unwrap_or_default());
    match admit::<S>(&worker, &listener, &request, &query) {
        Ok(admitted) => {
            let transport = WebSocket { stream: RefCell::new(stream), compression };
            actix_web::rt::spawn(connect(worker, admitted, &query, transport, early));
        }
        Err(refused) => {
            let path = request.path();
            info!(path, code = refused.code.code(), reason = refused.reason, "connection refused");
            actix_web::rt::spawn(refuse(stream, refused));
        }
    }
    Ok(())
}

/// The checks at connect time, in the order in which they are to be reported.
fn admit<S: Stream>(
    worker: &Worker,
    listener: &Listener,
    request: &Request,
    query: &Query,
) -> Result<Admitted, Refused> {
    let hub = worker.hub();
    let agreed = ProtocolVersion::negotiate(
        query.get("protocol"),
        query.get("version"),
        hub.connection_config().min_protocol,
        hub.connection_config().without_version,
    );
    let version = agreed.as_ref().ok().map(|agreed| agreed.version);
    let refuse = |code: CloseCode, reason: String| Refused { code, reason, version };

    let path = request.path();
    let Some(key) = key_of(path, &listener.path_prefix) else {
        let expected = format!("expected {}/app/{{key}}", listener.path_prefix);
        return Err(refuse(CloseCode::PathNotFound, format!("Path not found: {expected}, got {path}")));
    };
    let Some(app) = hub.state_by_key(&key) else {
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
    if settings.force_tls && !S::IS_TLS && !came_by_tls(listener, request) {
        return Err(refuse(CloseCode::TlsOnly, CloseCode::TlsOnly.sentence().to_owned()));
    }
    let Some(at_work) = hub.begin_work() else {
        return Err(refuse(CloseCode::Reconnect, CloseCode::Reconnect.sentence().to_owned()));
    };
    let socket_id = worker.admit(app).map_err(|full| {
        let (code, limit) = match full {
            NotAdmitted::AppFull => (CloseCode::OverQuota, settings.limits.connections),
            NotAdmitted::NodeFull => (CloseCode::OverCapacity, hub.sockets().len()),
        };
        refuse(code, format!("{} ({limit} connections)", code.sentence()))
    })?;
    Ok(Admitted { app: Arc::clone(app), agreed, socket_id, at_work })
}

/// The key in `{prefix}/app/{key}`: one segment, decoded.
fn key_of(path: &str, prefix: &str) -> Option<String> {
    let key = path.strip_prefix(prefix)?.strip_prefix("/app/")?;
    let key = key.strip_suffix('/').unwrap_or(key);
    match key.is_empty() || key.contains('/') {
        true => None,
        false => Some(percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()),
    }
}

fn version_code(error: &VersionError) -> CloseCode {
    match error {
        VersionError::NotAnInteger { .. } | VersionError::NotARelease { .. } => CloseCode::InvalidVersion,
        VersionError::Unsupported { .. } => CloseCode::UnsupportedVersion,
        VersionError::Missing => CloseCode::VersionMissing,
    }
}

/// Whether a trusted proxy says that the client reached it by TLS.
fn came_by_tls(listener: &Listener, request: &Request) -> bool {
    let forwarded = request.headers().get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    // Of several proxies, the first in the list is the one that the client reached.
    let reached = forwarded.and_then(|proto| proto.split(',').next()).map(str::trim);
    listener.trust_forwarded_proto && matches!(reached, Some("https" | "wss"))
}

/// Makes the connection that was admitted, greets it, and returns the task that is its life. Nothing that the
/// handshake needed goes along: this task is most of what an idle connection costs.
fn connect<S: Stream>(
    worker: Rc<Worker>,
    admitted: Admitted,
    query: &Query,
    transport: WebSocket<S>,
    mut early: BytesMut,
) -> Driver<S> {
    let Admitted { app, agreed: Negotiated { version, parameterless }, socket_id, at_work } = admitted;
    let probe = match query.get("flash") {
        Some("true") if version.understands_ping_event() => Probe::Event,
        Some("true") => Probe::Impossible,
        _ => Probe::ControlFrame,
    };
    debug!(
        app = app.app().id,
        %socket_id,
        protocol = version.number(),
        client = query.get("client"),
        version = query.get("version"),
        "connected"
    );
    let config = Arc::clone(worker.hub().connection_config());
    let bounds = Bounds { bytes: config.outbox_bytes, frames: config.outbox_frames };
    let message_limit = app.app().limits.inbound_message_bytes(app.has_listeners());
    let connection =
        Connection::new(Arc::clone(app.app()), config, socket_id, version, probe, Instant::now());
    let client = Rc::new(Client::new(app, socket_id, version, bounds, transport));
    let mut driver = Driver::new(worker, client, connection, message_limit, at_work);
    let channel = query.get("channel").filter(|_| parameterless);
    driver.start(parameterless, channel, &mut early);
    driver
}

/// Says why, and waits a moment for the peer to have read it: a socket closed with unread input would be reset,
/// and the reason lost.
async fn refuse<S: Stream>(mut stream: S, refused: Refused) {
    let Refused { code, reason, version } = refused;
    let error = last_error(version, code, &reason);
    let frames = error.into_iter().chain([Frame::close(code, &reason)]);
    let bytes = frames.map(|frame| frame.websocket().clone()).collect::<Vec<_>>().concat();
    let farewell = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // A peer that is gone, or stays without reading, is not worth more time.
    let _ = tokio::time::timeout(REFUSAL_GRACE, farewell).await;
}

/// The answer that completes the handshake. Apple's clients drop a connection whose offered sub-protocol is not
/// echoed.
fn switching_protocols(request: &Request, compression: bool) -> String {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| key.as_bytes()).unwrap_or_default();
    let accept = ws::hash_key(key);
    let accept = String::from_utf8_lossy(&accept);
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n"
    );
    if let Some(token) = offered_protocol(request) {
        answer.push_str(&format!("Sec-WebSocket-Protocol: {token}\r\n"));
    }
    if compression {
        answer.push_str(&format!("Sec-WebSocket-Extensions: {}\r\n", extension::ACCEPTED));
    }
    answer.push_str("\r\n");
    answer
}

/// Whether the client offers compression in a form that can be accepted.
fn offers_compression(request: &Request) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    offers.filter_map(|offer| offer.to_str().ok()).any(extension::is_offered)
}

/// The first offered sub-protocol that is one of ours. It does not decide the version; the query does.
fn offered_protocol(request: &Request) -> Option<&str> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut tokens = offers.filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    tokens.find_map(|token| {
        let token = token.trim();
        let number = token.strip_prefix("pusher-channels-protocol-")?;
        matches!(number, "1" | "2" | "3" | "4" | "5" | "6" | "7").then_some(token)
    })
}

fn http_answer(status: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{text}"
    )
}
