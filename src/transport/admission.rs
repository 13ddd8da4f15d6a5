//! Admits or refuses a new connection: the checks, the same for every transport, in the order in which they are to be
//! reported. How a refusal reaches the client is the transport's part.

use std::borrow::Cow;
use std::sync::Arc;

use tracing::{debug, info};

use crate::auth::request::Query;
use crate::connection::Probe;
use crate::diagnosis::Diagnosis;
use crate::http::{Arrival, is_close_of_a_stranger};
use crate::hub::{
    self, AddressFull, AddressPlace, Admission, AppState, Hub, NamedCaller, NotAdmitted, Shutdown,
    ShutdownGuard, Worker,
};
use crate::net::peer_field;
use crate::protocol::{CloseCode, CloseStatus, Negotiated, ProtocolVersion, VersionError};
use crate::recovery::GivenName;

use super::client_info::{ClientInfo, ClientLogFields};

/// A request to connect, as any transport makes it.
#[derive(Debug)]
pub(super) struct ConnectRequest<'r> {
    /// The key of the app that it wants, or what is wrong with the path that should name one.
    pub(super) key: Result<Cow<'r, str>, String>,
    /// What it calls itself.
    pub(super) name: GivenName,
    /// Its parameters.
    pub(super) query: &'r Query,
    /// How it came.
    pub(super) arrival: &'r Arrival,
}

/// The place that a new connection has among those of its app and of the node.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// Its place.
    pub(crate) admission: Admission,
    /// Shutdown waits for it.
    pub(crate) shutdown_guard: ShutdownGuard,
    /// Its place among the connections of its address, where they are bounded. It is given back with this.
    pub(crate) place: Option<AddressPlace>,
}

/// The client that hands all it hears on an encrypted channel to its decryption, `{}` alone excepted. Anything else
/// that is not encrypted ends in an exception that nobody catches, which on Android ends the app.
const DECRYPTS_EVERYTHING: &str = "java-client";

/// A connection that passed every check and has its place.
#[derive(Debug)]
pub(super) struct AdmittedConnection {
    pub(super) app: Arc<AppState>,
    pub(super) agreed: Negotiated,
    pub(super) admission: Admission,
    pub(super) shutdown_guard: ShutdownGuard,
    /// The client, for the log.
    pub(super) client_info: ClientInfo,
    /// It would try to decrypt whatever it hears on an encrypted channel.
    pub(super) decrypts_everything: bool,
    /// What it calls itself, if it came with a name.
    pub(super) named: Option<Box<NamedCaller>>,
}

/// Why a connection is refused.
#[derive(Debug)]
pub(super) struct ConnectionRefusal {
    pub(super) code: CloseStatus,
    pub(super) reason: String,
    /// The version, as far as it could be found out.
    pub(super) version: Option<ProtocolVersion>,
}

/// Checks everything, and gives the connection its place. Either is logged, and a refusal is announced.
pub(super) fn admit(
    worker: &Worker,
    connect_request: &ConnectRequest<'_>,
) -> Result<AdmittedConnection, ConnectionRefusal> {
    check_refusals(worker, connect_request.arrival)?;
    let admitted = check(worker, connect_request);
    let admitted = admitted.inspect(|AdmittedConnection { app, agreed, admission, client_info, .. }| {
        let app = app.id();
        let socket_id = admission.socket_id;
        let protocol = agreed.version.number();
        let ClientLogFields { peer, proxy, origin, client, version } = client_info.log_fields();
        debug!(app, %socket_id, peer, proxy, origin, protocol, client, version, "connected");
    });
    admitted.inspect_err(|refused| announce_refusal(worker.hub(), connect_request, refused))
}

/// Tells the log of a refused connection, and those who listen, and counts it where addresses are bounded.
#[cold]
fn announce_refusal(hub: &Hub, connect_request: &ConnectRequest<'_>, refused: &ConnectionRefusal) {
    let ConnectRequest { key, query, arrival, .. } = connect_request;
    let ConnectionRefusal { code, reason, .. } = refused;
    let (app, diagnosis) = match key {
        Ok(key) => {
            let app = hub.state_by_key(key);
            let diagnosis = if app.is_none() { hub.examine_key(key) } else { None };
            (app, diagnosis)
        }
        Err(problem) => (None, hub.examine_path(problem)),
    };
    let diagnosis = diagnosis.as_ref();
    let key = key.as_deref().ok().map(|key| Diagnosis::shown(diagnosis, key));
    let reason = Diagnosis::shown(diagnosis, reason);
    let cause = diagnosis.map(Diagnosis::sentence);
    let (peer, proxy, origin) = (peer_field(arrival.peer), arrival.proxy(), arrival.origin());
    let [client, version, channel] = ["client", "version", "channel"].map(|name| query.get(name));
    let number = code.code();
    info!(
        code = number,
        reason, cause, key, peer, proxy, origin, client, version, channel, "connection refused"
    );
    hub.announce_refusal(app.as_ref(), &hub::Refused::Connection { key, code: *code, reason, diagnosis });
    if is_close_of_a_stranger(*code) {
        arrival.count_refusal(hub);
    }
}

/// Makes sure that what comes from there may be looked at. Nobody is told where it may not: the log has heard why.
pub(super) fn check_refusals(worker: &Worker, arrival: &Arrival) -> Result<(), ConnectionRefusal> {
    arrival.check_refusals(worker.hub()).map_err(|too_often| ConnectionRefusal {
        code: CloseCode::OverCapacity.into(),
        reason: too_often.to_string(),
        version: None,
    })
}

/// A connection was refused that had named no app, or nothing that can be read. The log has heard of it; this tells
/// whoever listens, and counts it.
pub(super) fn announce_nameless(hub: &Hub, arrival: &Arrival, code: CloseStatus, reason: &str) {
    hub.announce_refusal(None, &hub::Refused::Connection { key: None, code, reason, diagnosis: None });
    arrival.count_refusal(hub);
}

fn check(
    worker: &Worker,
    connect_request: &ConnectRequest<'_>,
) -> Result<AdmittedConnection, ConnectionRefusal> {
    let ConnectRequest { key, name, query, arrival } = connect_request;
    let hub = worker.hub();
    let agreed = ProtocolVersion::negotiate(
        query.get("protocol"),
        query.get("version"),
        hub.connection_config().min_protocol,
        hub.connection_config().without_version,
    );
    let version = agreed.as_ref().ok().map(|agreed| agreed.version);
    let refuse = |code: CloseStatus, reason: String| ConnectionRefusal { code, reason, version };

    let key = match key {
        Ok(key) => key,
        Err(problem) => return Err(refuse(CloseCode::PathNotFound.into(), problem.clone())),
    };
    let Some(app) = hub.state_by_key(key) else {
        return Err(refuse(CloseCode::UnknownApp.into(), format!("Could not find app by key {key}")));
    };
    let agreed = match &agreed {
        Ok(agreed) => *agreed,
        Err(error) => return Err(refuse(version_code(error).into(), error.to_string())),
    };
    let reservation = reserve(worker, &app, arrival, false).map_err(|(code, reason)| refuse(code, reason))?;
    let Reservation { admission, shutdown_guard, place } = reservation;
    let decrypts_everything = query.get("client") == Some(DECRYPTS_EVERYTHING);
    let client_info = ClientInfo::new(arrival, query).holding(place);
    let named = name.is_given().then(|| {
        Box::new(NamedCaller { key: key.as_ref().into(), name: name.clone(), address: arrival.counted_as })
    });
    Ok(AdmittedConnection { app, agreed, admission, shutdown_guard, client_info, decrypts_everything, named })
}

/// What every connection of an app has to pass, whatever carries it, before it has its place. `authorized`: it has shown
/// already what the app may demand of connections.
///
/// # Errors
/// With the close code and the reason.
pub(crate) fn reserve(
    worker: &Worker,
    app: &AppState,
    arrival: &Arrival,
    authorized: bool,
) -> Result<Reservation, (CloseStatus, String)> {
    let hub = worker.hub();
    let settings = app.app();
    if !settings.enabled {
        return Err((CloseCode::AppDisabled.into(), CloseCode::AppDisabled.sentence().to_owned()));
    }
    arrival.check(&settings).map_err(|(code, reason)| (code.into(), reason.to_owned()))?;
    if let Some(refusal) = app.interceptor().refusal() {
        return Err(refusal);
    }
    let Some(shutdown_guard) = hub.begin_work() else {
        let shutdown = hub.shutdown().unwrap_or(Shutdown::Soon);
        return Err((shutdown.code().into(), shutdown.sentence().to_owned()));
    };
    let place = hub.addresses().take(arrival.counted_as).map_err(|AddressFull(most)| {
        let sentence = CloseCode::OverCapacity.sentence();
        (CloseCode::OverCapacity.into(), format!("{sentence} ({most} connections from one address)"))
    })?;
    let admission = worker.admit(app, authorized).map_err(|full| {
        let (code, limit) = match full {
            NotAdmitted::AppFull => (CloseCode::OverQuota, settings.limits.connections),
            NotAdmitted::NodeFull => (CloseCode::OverCapacity, hub.sockets().len()),
        };
        (code.into(), format!("{} ({limit} connections)", code.sentence()))
    })?;
    Ok(Reservation { admission, shutdown_guard, place })
}

/// What the path of a connection names.
#[derive(Debug)]
pub(super) struct ConnectionPath {
    /// The key of the app, or why it has none.
    pub(super) key: Result<Cow<'static, str>, String>,
    /// What the client calls itself.
    pub(super) name: GivenName,
}

impl ConnectionPath {
    /// Reads `{prefix}/app/{key}` or `{prefix}/r/{name}/app/{key}`: the key is one segment, decoded.
    pub(super) fn read(path: &str, prefix: &str) -> Self {
        let (name, below) = match path.strip_prefix(prefix).map(GivenName::take_off) {
            Some((name, below)) => (name, Some(below)),
            None => (GivenName::None, None),
        };
        let key = below.and_then(|path| path.strip_prefix("/app/"));
        let key = key.map(|key| key.strip_suffix('/').unwrap_or(key));
        let key = match key.filter(|key| !key.is_empty() && !key.contains('/')) {
            Some(key) => {
                Ok(Cow::Owned(percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned()))
            }
            None => {
                let named = if name.is_given() { "/r/{name}" } else { "" };
                let path = GivenName::hidden_in(path, prefix);
                Err(format!("Path not found: expected {prefix}{named}/app/{{key}}, got {path}"))
            }
        };
        ConnectionPath { key, name }
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

fn version_code(error: &VersionError) -> CloseCode {
    match error {
        VersionError::NotAnInteger { .. } | VersionError::NotARelease { .. } => CloseCode::InvalidVersion,
        VersionError::Unsupported { .. } => CloseCode::UnsupportedVersion,
        VersionError::Missing => CloseCode::VersionMissing,
    }
}
