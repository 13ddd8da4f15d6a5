//! Admits or refuses a backend that opens a pipe. It holds the app's secret, so it signs its request like one of the
//! HTTP API.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tracing::{info, warn};

use crate::auth::request::{Query, RequestAuthError, SignedRequest, authenticate, check_body};
use crate::diagnosis::{Diagnosis, DisputedRequest};
use crate::http::Arrival;
use crate::hub::{Hub, ShutdownGuard, Worker};
use crate::net::peer_field;
use crate::pipe::Context;
use crate::protocol::{CloseCode, SocketId};

use super::client::PipeClient;
use super::outgoing_queue::OutgoingBounds;
use super::session::PipeSession;
use super::{Dialect, PipeWire};

/// The method that a pipe's request is signed with.
const METHOD: &str = "WEBSOCKET";

/// Whether an upgrade on `/app/{…}` is a pipe's. Browsers never send these parameters, and pipes always do; what
/// `{…}` looks like says nothing.
pub(crate) fn is_pipe(query: &Query) -> bool {
    query.get("auth_key").is_some() && query.get("auth_signature").is_some()
}

/// The WebSocket handshake of a backend that opens a pipe.
#[derive(Debug)]
pub(crate) struct PipeHandshake<'a> {
    /// The path as it was sent.
    pub(crate) path: &'a str,
    /// Put before every path of the broker. A pipe may sign with or without it.
    pub(crate) path_prefix: &'a str,
    /// The parameters.
    pub(crate) query: &'a Query,
    /// How it came.
    pub(crate) arrival: &'a Arrival,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// A pipe client that has been admitted.
#[derive(Debug)]
pub(crate) struct AdmittedPipe {
    pub(super) session: PipeSession,
    pub(super) client: Arc<PipeClient>,
    pub(super) worker: Rc<Worker>,
    /// Bytes that one message of it may have.
    pub(super) message_bytes: usize,
    /// Shutdown waits for this connection.
    pub(super) shutdown_guard: ShutdownGuard,
    /// The address of the peer, for the log.
    pub(super) peer: Option<SocketAddr>,
}

/// Why a pipe client is not admitted.
#[derive(Debug)]
pub(crate) struct PipeRefusal {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    /// What it came from, if it was about a signature; for the log.
    pub(crate) diagnosis: Option<Box<Diagnosis>>,
}

impl PipeWire {
    /// The checks, in the order in which they are to be reported.
    pub(crate) fn admit(
        self: &Arc<Self>,
        worker: &Rc<Worker>,
        handshake: &PipeHandshake<'_>,
    ) -> Result<AdmittedPipe, PipeRefusal> {
        let hub = worker.hub();
        let refuse = |code: CloseCode, reason: String| PipeRefusal { code, reason, diagnosis: None };
        let plain = |code: CloseCode| refuse(code, code.sentence().to_owned());

        let Some(app_id) = app_id_of(handshake.path, handshake.path_prefix) else {
            let reason = format!("Path not found: expected /app/{{app id}}, got {}", handshake.path);
            return Err(refuse(CloseCode::PathNotFound, reason));
        };
        let paths = [handshake.path.into(), format!("/app/{app_id}").into()];
        let request = SignedRequest { method: METHOD, paths: &paths, query: handshake.query };
        let apps = hub.apps();
        let app = authenticate(apps.registry(), &request, handshake.now);
        let app = app
            .and_then(|app| check_body(handshake.query, b"").map(|()| app))
            .map_err(|error| unauthenticated(hub, handshake, &error))?;
        let Some(state) = apps.by_id(&app_id).filter(|_| app.id == app_id) else {
            return Err(refuse(CloseCode::UnknownApp, format!("App {app_id} not found")));
        };
        if !app.enabled {
            return Err(plain(CloseCode::AppDisabled));
        }
        if app.force_tls && !handshake.arrival.tls {
            return Err(plain(CloseCode::TlsOnly));
        }
        let dialect = Dialect::of(handshake.query.get("protocol_version"))
            .map_err(|unknown| refuse(CloseCode::UnsupportedVersion, unknown.to_string()))?;
        let shutdown_guard = hub.begin_work().filter(|_| !self.is_draining());
        let shutdown_guard = shutdown_guard.ok_or_else(|| plain(CloseCode::Reconnect))?;

        let socket_id = std::iter::repeat_with(draw).find(|id| !hub.is_connected(state, *id));
        // The iterator is endless.
        let socket_id = socket_id.ok_or_else(|| plain(CloseCode::OverCapacity))?;
        let bounds = OutgoingBounds { bytes: self.config.queue_bytes, messages: self.config.queue_messages };
        let signature = handshake.query.get("auth_signature").unwrap_or_default();
        let client = Arc::new(PipeClient::new(socket_id, dialect, signature, bounds));
        let clients = self.clients(&app.id);
        let (peer, proxy) = (peer_field(handshake.arrival.peer), handshake.arrival.proxy());
        let most = app.limits.pipe_connections;
        match clients.add(&client, if most == 0 { usize::MAX } else { most }) {
            None => {
                let reason = format!("{} ({most} pipe connections)", CloseCode::OverQuota.sentence());
                return Err(refuse(CloseCode::OverQuota, reason));
            }
            Some(true) => warn!(
                app = app.id, %socket_id, peer, proxy,
                "a pipe client connects with the signature of another that is connected: both were signed in the \
                 same second, or it was overheard"
            ),
            Some(false) => {}
        }
        info!(app = app.id, %socket_id, protocol = %dialect, peer, proxy, "pipe connected");
        let context = Context::borrowed(hub, state).into_owned();
        let session = PipeSession::new(context, Arc::clone(state), clients, Arc::clone(&client));
        let message_bytes = self.config.request_bytes;
        let peer = handshake.arrival.peer;
        Ok(AdmittedPipe { session, client, worker: Rc::clone(worker), message_bytes, shutdown_guard, peer })
    }
}

/// The id in `{prefix}/app/{id}`, where the prefix may be missing: original clients cannot be told one.
fn app_id_of(path: &str, prefix: &str) -> Option<String> {
    let path = path.strip_prefix(prefix).unwrap_or(path);
    let id = path.strip_prefix("/app/")?;
    let id = id.strip_suffix('/').unwrap_or(id);
    let sound = !id.is_empty() && !id.contains('/');
    sound.then(|| percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned())
}

#[cold]
fn unauthenticated(hub: &Hub, handshake: &PipeHandshake<'_>, error: &RequestAuthError) -> PipeRefusal {
    let PipeHandshake { path, query, now, .. } = *handshake;
    let disputed = DisputedRequest { method: METHOD, path, query, prefix_taken: None, now };
    let diagnosis = hub.examine_request(&disputed, error);
    PipeRefusal { code: code_of(error), reason: error.to_string(), diagnosis }
}

/// The close code for a request that is not authenticated.
fn code_of(error: &RequestAuthError) -> CloseCode {
    match error {
        RequestAuthError::NoKey | RequestAuthError::UnknownKey => CloseCode::UnknownApp,
        RequestAuthError::NoVersion
        | RequestAuthError::UnsupportedVersion
        | RequestAuthError::NoTimestamp
        | RequestAuthError::TimestampExpired { .. }
        | RequestAuthError::TimestampAhead { .. }
        | RequestAuthError::WrongSignature { .. }
        | RequestAuthError::WrongBodyHash => CloseCode::Unauthorized,
    }
}

fn draw() -> SocketId {
    let mut random = rand::rng();
    let mut number = || rand::RngExt::random_range(&mut random, 1..=SocketId::MAX);
    SocketId::new(number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{App, AppRegistry};

    /// The worked example of the original client's URL.
    #[test]
    fn the_original_clients_signature_verifies() {
        let query = Query::parse(
            "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0&protocol_version=0.2\
             &auth_signature=baf3632d91ce215d0cd74a7696898c6b34dc48f2452f99760a36118fe4aa2484",
        );
        let apps = AppRegistry::new([App::new("1", "app-key", "app-secret")]).unwrap();
        let paths = ["/app/1".into()];
        let request = SignedRequest { method: METHOD, paths: &paths, query: &query };
        assert!(is_pipe(&query));
        assert_eq!(authenticate(&apps, &request, 1_700_000_599).unwrap().id, "1");
        assert!(authenticate(&apps, &request, 1_700_000_600).is_err(), "the window");
        let paths = ["/app/2".into()];
        let elsewhere = SignedRequest { paths: &paths, ..request };
        assert!(authenticate(&apps, &elsewhere, 1_700_000_000).is_err(), "the path is signed");
    }

    #[test]
    fn the_app_is_named_with_or_without_the_prefix() {
        for (path, prefix, id) in [
            ("/app/1001", "", Some("1001")),
            ("/app/1001/", "", Some("1001")),
            ("/x/app/1001", "/x", Some("1001")),
            ("/app/1001", "/x", Some("1001")),
            ("/app/", "", None),
            ("/app/1/2", "", None),
            ("/apps/1", "", None),
        ] {
            assert_eq!(app_id_of(path, prefix).as_deref(), id, "{path}");
        }
    }
}
