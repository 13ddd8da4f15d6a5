//! Connections to a server that is examined, and requests over them: each on a connection of its own, so that no check
//! depends on what another has left behind.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Incoming;
use hyper::http::{Response, response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::place::CheckedPlace;
use crate::cli::remote::told_status;
use crate::cli::web_socket::{ByteStream, SocketError, beginning};

/// Bytes of an answer that are read.
pub(super) const ANSWER_BYTES: usize = 256 * 1024;

/// How long a connection, and TLS on it, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) struct HeardAnswer {
    /// Status, version and headers.
    pub(super) head: response::Parts,
    /// The body, or its beginning.
    pub(super) body: Bytes,
    /// From the request to the head of the answer.
    pub(super) took: Duration,
}

impl HeardAnswer {
    /// The status, or the one that is told in the place of that of a success.
    pub(super) fn status(&self) -> u16 {
        told_status(self.head.status.as_u16(), &self.text())
    }

    /// A header as text; empty if it did not come.
    pub(super) fn header(&self, name: &str) -> &str {
        header_of(&self.head, name)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A header of an answer as text; empty if it did not come.
pub(super) fn header_of<'h>(head: &'h response::Parts, name: &str) -> &'h str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnheardError {
    /// There was no connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// TLS could not be agreed on.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// The connection ended before the answer, or what came was none.
    #[error("{}", sentence_of(.0))]
    Http(#[from] hyper::Error),
    /// The request itself cannot be sent.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// What came is no WebSocket's.
    #[error("{0}")]
    Socket(SocketError),
    /// A WebSocket was asked for, and this status came.
    #[error("a WebSocket was refused with the status {0}")]
    NoSocket(u16),
    /// Nothing came in time.
    #[error("nothing came within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// A connection that ends while a WebSocket is asked for has ended like any other.
impl From<SocketError> for UnheardError {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::Http(error) => UnheardError::Http(error),
            other => UnheardError::Socket(other),
        }
    }
}

/// What hyper says, in words that name what happened.
fn sentence_of(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "the connection was closed without an answer".to_owned();
    }
    if error.is_parse() {
        return "what came is no HTTP".to_owned();
    }
    crate::outbound::client::with_causes(error)
}

/// Connects to a place: to the address that answered before, if one has.
///
/// # Errors
/// If there is no connection, or no TLS on it.
pub(super) async fn open(
    place: &CheckedPlace,
    tls: &Arc<ClientConfig>,
) -> Result<Box<dyn ByteStream>, UnheardError> {
    Ok(open_from(place, tls).await?.0)
}

/// The same, with this machine's address on the connection.
///
/// # Errors
/// If there is no connection, or no TLS on it.
pub(super) async fn open_from(
    place: &CheckedPlace,
    tls: &Arc<ClientConfig>,
) -> Result<(Box<dyn ByteStream>, SocketAddr), UnheardError> {
    let tcp = connect(place).await?;
    let local = tcp.local_addr().map_err(UnheardError::Connect)?;
    if !place.is_tls() {
        return Ok((Box::new(tcp), local));
    }
    let name = ServerName::try_from(place.host().to_owned());
    let name = name.map_err(|error| UnheardError::Tls(io::Error::other(error)))?;
    let secured = TlsConnector::from(Arc::clone(tls)).connect(name, tcp);
    match tokio::time::timeout(CONNECT_TIMEOUT, secured).await {
        Ok(secured) => Ok((Box::new(secured.map_err(UnheardError::Tls)?), local)),
        Err(_) => Err(UnheardError::Timeout(CONNECT_TIMEOUT)),
    }
}

/// The connection alone, without TLS.
///
/// # Errors
/// If there is none.
pub(super) async fn connect(place: &CheckedPlace) -> Result<TcpStream, UnheardError> {
    let connecting = async {
        let tcp = match place.answering {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((place.host(), place.port())).await,
        }?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(UnheardError::Connect),
        Err(_) => Err(UnheardError::Timeout(CONNECT_TIMEOUT)),
    }
}

/// One address, tried by itself: how long it took, or what was in the way.
pub(super) async fn try_address(address: SocketAddr, within: Duration) -> Result<Duration, io::Error> {
    let begun = Instant::now();
    match tokio::time::timeout(within, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(|_| begun.elapsed()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sends a request whose URI is a path, on this connection; the answer comes when its head has come.
///
/// # Errors
/// If no head of an answer comes.
pub(super) async fn send(
    stream: Box<dyn ByteStream>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, UnheardError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the connection that it drives.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// The whole answer to a request, or the beginning of a long one.
///
/// # Errors
/// If no head of an answer comes.
pub(super) async fn exchange(
    stream: Box<dyn ByteStream>,
    request: Request<Full<Bytes>>,
) -> Result<HeardAnswer, UnheardError> {
    let begun = Instant::now();
    let (head, body) = send(stream, request).await?.into_parts();
    let took = begun.elapsed();
    Ok(HeardAnswer { head, body: beginning(body, ANSWER_BYTES).await.0, took })
}
