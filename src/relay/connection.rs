//! The connection of one relay to its server: one request at a time, and what was written of it when it fails.
//!
//! A connection of our own, and not one of a pool: only what counts the bytes that it hands to the system knows whether a
//! request that failed may be sent again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::RETRY_AFTER;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::task::JoinHandle;
use tokio::time::timeout_at;
use tower_service::Service;

use crate::outbound::client::{body, with_causes};

/// How long a connection is kept for the next request. Node closes idle ones after 5 seconds, others later; and what is
/// written into a connection that the other side has just closed cannot be told from what has arrived.
const KEPT: Duration = Duration::from_secs(2);

/// For so long no connection is kept after what was written into a kept one got no answer: the server may be one that closes
/// connections without saying so in its answers.
const KEPT_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The answer of the server.
#[derive(Debug)]
pub(super) struct RelayReply {
    pub(super) status: u16,
    /// The header of this name.
    pub(super) retry_after: Option<String>,
    /// The body, or the beginning of a long one; empty if it broke off.
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExchangeError {
    /// Nothing of the request was written: it may be sent again.
    #[error("{0}")]
    NothingWritten(String),
    /// Something was written. Nobody knows whether it was carried out.
    #[error("{0}")]
    Written(String),
}

/// Exchanges requests for answers, by one connection after the other.
pub(super) struct RelayLink {
    connector: HttpsConnector<HttpConnector>,
    server: Uri,
    open: Option<OpenConnection>,
    /// When what was written into a kept connection was last lost.
    lost: Option<Instant>,
    /// Bytes of requests, on all connections.
    written: Arc<AtomicU64>,
    /// How many they were when the last request began.
    written_before: u64,
}

struct OpenConnection {
    sender: SendRequest<Full<Bytes>>,
    /// Reads and writes. Once it is aborted, nothing more is.
    driver: JoinHandle<()>,
    /// Since when it has had nothing to do.
    idle_since: Instant,
}

impl RelayLink {
    /// None is made yet.
    pub(super) fn new(connector: HttpsConnector<HttpConnector>, server: Uri) -> Self {
        RelayLink { connector, server, open: None, lost: None, written: Arc::default(), written_before: 0 }
    }

    /// Whether anything of the last request was written. Where an exchange has been dropped, nothing more will be.
    pub(super) fn has_written(&self) -> bool {
        self.written.load(Ordering::Relaxed) != self.written_before
    }

    /// Sends a request once, and waits for its answer. Redirects are answers like any other.
    ///
    /// # Errors
    /// If none comes in time. The connection is given up then.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<RelayReply, ExchangeError> {
        let deadline = tokio::time::Instant::now() + timeout;
        self.written_before = self.written.load(Ordering::Relaxed);
        if let Some(kept) = self.open.take() {
            // What has come by it is read first: the end of it above all.
            tokio::task::yield_now().await;
            if kept.is_usable() {
                match self.exchange_by(kept, request.clone(), deadline).await {
                    // The server has hung up meanwhile.
                    Err(ExchangeError::NothingWritten(_)) => {}
                    Err(lost) => {
                        self.lost = Some(Instant::now());
                        return Err(lost);
                    }
                    answered => return answered,
                }
            }
        }
        let fresh = match timeout_at(deadline, self.connect()).await {
            Ok(connected) => connected.map_err(ExchangeError::NothingWritten)?,
            Err(_) => {
                return Err(ExchangeError::NothingWritten(format!("no connection within {timeout:?}")));
            }
        };
        self.exchange_by(fresh, request, deadline).await
    }

    async fn connect(&mut self) -> Result<OpenConnection, String> {
        let connecting = self.connector.call(self.server.clone());
        let stream = connecting.await.map_err(|error| with_causes(&*error))?;
        let counted = CountingStream { stream, written: Arc::clone(&self.written) };
        let handshake = http1::Builder::new().title_case_headers(true).handshake(counted).await;
        let (sender, connection) = handshake.map_err(|error| with_causes(&error))?;
        let driver = tokio::spawn(async move {
            // Whoever waits for the answer hears of it.
            let _ = connection.await;
        });
        Ok(OpenConnection { sender, driver, idle_since: Instant::now() })
    }

    async fn exchange_by(
        &mut self,
        mut connection: OpenConnection,
        request: Request<Full<Bytes>>,
        deadline: tokio::time::Instant,
    ) -> Result<RelayReply, ExchangeError> {
        let sending = async {
            connection.sender.ready().await?;
            connection.sender.send_request(request).await
        };
        let failure = match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => {
                let status = response.status().as_u16();
                let retry_after = response.headers().get(RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
                // The status says it all. The body is for the log, and for the connection to go on.
                let read = timeout_at(deadline, body(response)).await;
                let read = read.ok().and_then(Result::ok);
                let may_be_kept = self.lost.is_none_or(|since| since.elapsed() > KEPT_AGAIN_AFTER);
                if may_be_kept && read.as_ref().is_some_and(|body| body.is_whole) {
                    connection.idle_since = Instant::now();
                    self.open = Some(connection);
                }
                let body = read.map(|body| body.bytes).unwrap_or_default();
                return Ok(RelayReply { status, retry_after, body });
            }
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        // From here on nothing more is written: the driver has no turn between the two.
        connection.driver.abort();
        let error = if self.has_written() { ExchangeError::Written } else { ExchangeError::NothingWritten };
        Err(error(failure))
    }
}

impl OpenConnection {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.idle_since.elapsed() < KEPT
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A stream that counts what is written: below HTTP and above TLS, so that what TLS holds back counts, too.
struct CountingStream<S> {
    stream: S,
    written: Arc<AtomicU64>,
}

impl<S: Read + Unpin> Read for CountingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S> CountingStream<S> {
    fn count(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &poll {
            self.written.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        poll
    }
}

impl<S: Write + Unpin> Write for CountingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.count(poll)
    }
}
