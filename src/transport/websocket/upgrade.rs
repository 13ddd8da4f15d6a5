//! From an HTTP upgrade to a connection, or to a refusal that the client understands.
//!
//! A browser turns an HTTP error into close code 1006 and its client then retries for ever. So whatever is wrong,
//! the upgrade succeeds first, and the close frame says why. Only what is no handshake of a WebSocket is answered by HTTP,
//! and backends of the pipe whose address was refused too often: their clients read the answer.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::ws::HandshakeError;
use actix_http::{Request, Response, StatusCode, h1, ws};
use actix_web::HttpMessage;
use actix_web::http::header;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tracing::info;

use crate::auth::request::Query;
use crate::connection::last_error;
use crate::diagnosis::Diagnosis;
use crate::http::collapse_slashes;
use crate::hub::Worker;
use crate::pipe::wire::{self, PipeHandshake, PipeWire};
use crate::protocol::{Form, Frame, Negotiated};

use super::WebSocket;
use super::driver::Driver;
use super::listener::{WebSocketListener, close_handshake};
use super::{extension, sockjs};
use crate::http::{Arrival, is_close_of_a_stranger};
use crate::net::guard::{GuardedStream, UpgradeSlot, UpgradeTask};
use crate::net::{ConnectionPeers, Stream, peer_field};
use crate::transport::admission::{
    self, AdmittedConnection, ConnectRequest, ConnectionPath, ConnectionRefusal,
};
use crate::transport::conversation::Conversation;
use crate::transport::fallback;

/// Says which version of the WebSocket protocol is spoken.
const VERSION: &str = "upgrade: websocket\r\nsec-websocket-version: 13\r\nconnection: upgrade, close\r\n";

/// Says that nothing comes after the answer.
const CLOSE: &str = "connection: close\r\n";

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

/// Answers an upgrade request: with a connection that then lives as a task of its own, or with a refusal.
///
/// # Errors
/// If the socket fails before the answer is written.
pub(crate) async fn upgrade<S: Stream>(
    worker: Rc<Worker>,
    listener: Rc<WebSocketListener>,
    mut request: Request,
    framed: Framed<GuardedStream<S>, h1::Codec>,
) -> Result<(), UpgradeError> {
    let parts = framed.into_parts();
    let ((mut stream, slot, upgrade_task), early) = (parts.io.into_parts(), parts.read_buf);
    collapse_slashes(request.head_mut(), &listener.settings.path_prefix);
    let head = request.head();
    if let Err(error) = ws::handshake(head) {
        let reason = format!("Expected a WebSocket handshake (RFC 6455): {error}\n");
        // A client of another version is told which one is spoken here.
        let answer = match error {
            HandshakeError::UnsupportedVersion => http_answer("426 Upgrade Required", VERSION, &reason),
            _ => http_answer("400 Bad Request", CLOSE, &reason),
        };
        return Ok(stream.write_all(answer.as_bytes()).await?);
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let peers = request.conn_data::<ConnectionPeers>().copied().unwrap_or_default();
    let arrival = Arrival::of(request.headers(), &listener.settings, peers);
    if listener.pipes_only || wire::is_pipe(&query) {
        if let Err(too_often) = arrival.check_refusals(worker.hub()) {
            let fields = format!("retry-after: {}\r\n{CLOSE}", too_often.seconds);
            let answer = http_answer("429 Too Many Requests", &fields, &format!("{too_often}\n"));
            return Ok(stream.write_all(answer.as_bytes()).await?);
        }
        stream.write_all(switching_protocols(&request, None).as_bytes()).await?;
        let path = request.path();
        let path_prefix = listener.settings.path_prefix.as_str();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let handshake = PipeHandshake { path, path_prefix, query: &query, arrival: &arrival, now };
        open_pipe(&worker, &listener.pipes, &handshake, (stream, slot, upgrade_task), early);
        return Ok(());
    }
    let path_prefix = listener.settings.path_prefix.as_str();
    let at = |base: &str| fallback::websocket_at(request.path(), base, path_prefix);
    let sockjs = listener.sockjs.as_deref().and_then(at);
    let may_compress = worker.hub().connection_config().compression && sockjs.is_none();
    let compression = may_compress.then(|| compression(&request)).flatten();
    stream.write_all(switching_protocols(&request, compression).as_bytes()).await?;
    if let Some((framing, name)) = sockjs {
        match admission::check_refusals(&worker, &arrival) {
            Ok(()) => {
                let named = (framing, name);
                upgrade_task.set(sockjs::connect(worker, listener, named, arrival, (stream, slot), early));
            }
            Err(refused) => upgrade_task.set(sockjs::refuse(stream, slot, framing, refused)),
        }
        return Ok(());
    }
    let ConnectionPath { key, name } = ConnectionPath::read(request.path(), path_prefix);
    let connect_request = ConnectRequest { key, name, query: &query, arrival: &arrival };
    match admission::admit(&worker, &connect_request) {
        Ok(admitted) => {
            let form = Form::of(compression.is_some(), query.get("binary") == Some("1"));
            let cells = Arc::clone(admitted.app.cells_of(worker.index()));
            let transport = WebSocket { stream: RefCell::new(stream), form, cells };
            upgrade_task.set(connect(worker, admitted, &query, transport, early));
        }
        Err(refused) => upgrade_task.set(refuse(stream, slot, refused)),
    }
    Ok(())
}

/// Lets a backend in, or tells it why not.
fn open_pipe<S: Stream>(
    worker: &Rc<Worker>,
    pipes: &Arc<PipeWire>,
    handshake: &PipeHandshake<'_>,
    (stream, slot, upgrade_task): (S, UpgradeSlot, UpgradeTask),
    early: BytesMut,
) {
    match pipes.admit(worker, handshake) {
        Ok(admitted) => upgrade_task.set(wire::serve(stream, early, admitted)),
        Err(refused) => {
            let code = refused.code.code();
            let in_path = worker.hub().examine_path(handshake.path);
            let diagnosis = in_path.as_ref().or(refused.diagnosis.as_deref());
            let reason = Diagnosis::shown(diagnosis, &refused.reason);
            let cause = diagnosis.map(Diagnosis::sentence);
            let (path, peer, proxy, origin) = (
                Diagnosis::shown(in_path.as_ref(), handshake.path),
                peer_field(handshake.arrival.peer),
                handshake.arrival.proxy(),
                handshake.arrival.origin(),
            );
            info!(path, code, reason, cause, peer, proxy, origin, "pipe refused");
            worker.hub().count_refused_backend(refused.code);
            if is_close_of_a_stranger(refused.code.into()) {
                handshake.arrival.count_refusal(worker.hub());
            }
            upgrade_task.set(async move {
                slot.unless_evicted(wire::refuse(stream, refused)).await;
            });
        }
    }
}

/// Makes the connection that was admitted, greets it, and returns what is its life from then on. Nothing that the
/// handshake needed goes along: this is most of what an idle connection costs.
fn connect<S: Stream>(
    worker: Rc<Worker>,
    admitted: AdmittedConnection,
    query: &Query,
    transport: WebSocket<S>,
    mut early: BytesMut,
) -> Driver<S> {
    let Negotiated { version, parameterless } = admitted.agreed;
    let probe = admission::websocket_probe(query, version);
    let mut driver = Driver::new(Conversation::begin(worker, admitted, probe, transport));
    driver.start(parameterless, query.get("channel"), &mut early);
    driver
}

/// Says why, and waits a moment for the peer to have read it: a socket closed with unread input would be reset,
/// and the reason lost. It counts as an HTTP connection until then.
async fn refuse<S: Stream>(stream: S, slot: UpgradeSlot, refused: ConnectionRefusal) {
    let ConnectionRefusal { code, reason, version } = refused;
    let error = last_error(version, code, &reason);
    let frames = error.into_iter().chain([Frame::close(code, &reason)]);
    slot.unless_evicted(close_handshake(stream, frames)).await;
}

/// The answer that completes the handshake. Apple's clients drop a connection whose offered sub-protocol is not
/// echoed.
fn switching_protocols(request: &Request, compression: Option<&str>) -> String {
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
    if let Some(agreed) = compression {
        answer.push_str(&format!("Sec-WebSocket-Extensions: {agreed}\r\n"));
    }
    answer.push_str("\r\n");
    answer
}

/// The compression that is agreed to, if the client offers one that can be accepted.
fn compression(request: &Request) -> Option<&'static str> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    offers.filter_map(|offer| offer.to_str().ok()).find_map(extension::answer)
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

fn http_answer(status: &str, headers: &str, text: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         {headers}\r\n{text}"
    )
}
