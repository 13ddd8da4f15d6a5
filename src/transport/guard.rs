//! What stands between an accepted stream and the HTTP server: it ends connections that take longer than they may, stops
//! reading what comes after a refusal, and counts the connections of the node that speak HTTP.
//!
//! The HTTP server's own timer is for the first head alone. From the second on, and for whatever is sent after an answer
//! that was given early, the guard's bounds hold. An upgrade takes the stream out of it again.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_service::{ServiceFactory, fn_service};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;
use tracing::{debug, warn};

use super::Stream;

/// By how much a bound of the HTTP server's own, which ends a connection in a friendlier way, may be late.
const SLACK: Duration = Duration::from_millis(1500);

/// Bytes of further requests that are taken from a client while one is being answered. The HTTP server keeps them, and has
/// no rest with a client that sends more than it keeps.
const PIPELINED_BYTES: usize = 4 * 1024;

/// Bytes that are handed on before the HTTP server has to look at them, unless they are of a body that is wanted. It would
/// read on otherwise, as far as there is something, and make of everything at once requests that wait: of 100 kB some
/// 6 MB.
const PIECE_BYTES: usize = 4 * 1024;

/// What a client hears whose further request did not come in time.
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What a connection hears that is one too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 32\r\n\r\nToo many HTTP connections here.\n";

/// How often it is said aloud that somebody speaks TLS to a plain port, or that there are too many connections.
const SECONDS_BETWEEN_WARNINGS: u64 = 60;

/// What the connections of one listener are held to.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a whole head, from its first byte on.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Bytes that are read, and thrown away, after a request was answered before its end.
    pub unread_bytes: usize,
}

/// The connections of a node that speak HTTP, and how many there may be.
#[derive(Debug)]
pub struct HttpConnections {
    open: AtomicUsize,
    /// 0 lifts it.
    most: usize,
    /// When it was last said aloud that there are too many, and that somebody speaks TLS to a plain port.
    told_of_too_many: AtomicU64,
    told_of_tls: AtomicU64,
}

impl HttpConnections {
    /// None yet, of `most`; 0 lifts the limit.
    #[must_use]
    pub fn new(most: usize) -> Self {
        HttpConnections {
            open: AtomicUsize::new(0),
            most,
            told_of_too_many: AtomicU64::new(0),
            told_of_tls: AtomicU64::new(0),
        }
    }

    fn begin(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (self.most == 0 || before < self.most).then_some(place)
    }
}

/// Whether it is time to say aloud again what strangers can bring about as often as they like; `told` is when that was last
/// done.
fn is_worth_a_warning(told: &AtomicU64) -> bool {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let before = told.load(Ordering::Relaxed);
    now.saturating_sub(before) >= SECONDS_BETWEEN_WARNINGS
        && told.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// The place of one connection among them, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<HttpConnections>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a connection is with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The last answer is given, and nothing has come since.
    Waiting { since: Instant },
    /// A head, or blank lines before it, has begun.
    Head { since: Instant },
    /// The body of a request is read: what bounds it knows the path.
    Body,
    /// A request is answered. What comes belongs to further ones, of which so much more is taken.
    Request { left: usize },
    /// The answer was given before the request had come whole.
    Refused { left: usize, answered: Option<Instant> },
}

/// What the guard of a connection and the requests on it tell each other.
#[derive(Debug)]
pub struct Exchange {
    phase: Cell<Phase>,
    body_read: Cell<bool>,
    unread_bytes: usize,
    /// The connection's task, where it is to read on with the next phase.
    waiting: RefCell<Option<Waker>>,
}

impl Exchange {
    fn new(now: Instant, unread_bytes: usize) -> Self {
        Exchange {
            phase: Cell::new(Phase::Head { since: now }),
            body_read: Cell::new(false),
            unread_bytes,
            waiting: RefCell::default(),
        }
    }

    /// A head has come whole, of a request that has a body or has none.
    pub fn begin(&self, has_body: bool) {
        self.body_read.set(!has_body);
        self.enter(if has_body { Phase::Body } else { Phase::Request { left: PIPELINED_BYTES } });
    }

    /// The body has come whole.
    pub fn set_body_read(&self) {
        self.body_read.set(true);
        self.enter(Phase::Request { left: PIPELINED_BYTES });
    }

    /// Whether the body has come whole.
    #[must_use]
    pub fn is_body_read(&self) -> bool {
        self.body_read.get()
    }

    /// The request is answered before its body has come whole: no more than a little of it is read, and less while the
    /// answer goes on.
    pub fn refuse(&self, endless: bool) {
        let left = if endless { PIPELINED_BYTES } else { self.unread_bytes };
        self.enter(Phase::Refused { left, answered: None });
    }

    /// The answer is complete.
    pub fn end(&self) {
        let now = Instant::now();
        self.enter(match self.phase.get() {
            Phase::Refused { left, .. } => Phase::Refused { left, answered: Some(now) },
            _ => Phase::Waiting { since: now },
        });
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }

    fn received(&self, bytes: usize) {
        match self.phase.get() {
            Phase::Waiting { .. } if bytes > 0 => self.phase.set(Phase::Head { since: Instant::now() }),
            Phase::Refused { left, answered } => {
                self.phase.set(Phase::Refused { left: left.saturating_sub(bytes), answered });
            }
            Phase::Request { left } => {
                self.phase.set(Phase::Request { left: left.saturating_sub(bytes) });
            }
            _ => {}
        }
    }

    /// A peer that takes its answer slowly is not idle.
    fn sent(&self) {
        if let Phase::Waiting { .. } = self.phase.get() {
            self.phase.set(Phase::Waiting { since: Instant::now() });
        }
    }

    fn deadline(&self, bounds: &Bounds) -> Option<Instant> {
        match self.phase.get() {
            Phase::Waiting { since } | Phase::Refused { answered: Some(since), .. } => {
                Some(since + bounds.idle + SLACK)
            }
            Phase::Head { since } => Some(since + bounds.head + SLACK),
            Phase::Body | Phase::Request { .. } | Phase::Refused { answered: None, .. } => None,
        }
    }
}

/// A stream while it speaks HTTP.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    exchange: Rc<Exchange>,
    bounds: Bounds,
    timer: Option<Pin<Box<Sleep>>>,
    /// Nothing has been read.
    new: bool,
    /// Bytes that were handed on since the HTTP server last looked at what it has.
    handed_on: usize,
    /// Something of an answer waits for the peer to take it.
    write_waits: bool,
    peer: Option<SocketAddr>,
    place: Place,
}

impl<S> Guarded<S> {
    /// The stream without its guard, and the place that it has had. Whoever is not yet counted elsewhere keeps that.
    pub fn into_parts(self) -> (S, Place) {
        (self.stream, self.place)
    }

    /// What requests on it tell the guard.
    #[must_use]
    pub fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(deadline) = self.exchange.deadline(&self.bounds) else { return false };
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // One that goes off early is set anew then: most deadlines are never reached, and to set a timer costs.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }

    /// The peer has had its time. It is told so if it has begun a request and nothing is in the way.
    fn end(&mut self, context: &mut Context<'_>) -> io::Error
    where
        S: Stream,
    {
        if matches!(self.exchange.phase.get(), Phase::Head { .. }) && !self.write_waits {
            let _ = Pin::new(&mut self.stream).poll_write(context, TOO_LATE);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// Reads no more than so many bytes.
    fn poll_read_piece(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>>
    where
        S: Stream,
    {
        if buffer.remaining() <= most {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(most));
        let read = Pin::new(&mut self.stream).poll_read(context, &mut piece);
        let bytes = piece.filled().len();
        buffer.advance(bytes);
        read
    }

    /// Says what nobody would guess from a malformed request.
    fn look_for_tls(&self, first: &[u8]) {
        if let [0x16, 0x03, ..] = first {
            let peer = self.peer.map(tracing::field::display);
            match is_worth_a_warning(&self.place.0.told_of_tls) {
                true => warn!(
                    peer,
                    "somebody speaks TLS to a plain port: is it meant for the proxy, or the URL for http and ws?"
                ),
                false => debug!(peer, "TLS on a plain port"),
            }
        }
    }
}

impl<S: Stream> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = match this.exchange.phase.get() {
            Phase::Refused { left: 0, .. } | Phase::Request { left: 0 } => {
                *this.exchange.waiting.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
            phase if this.handed_on >= PIECE_BYTES && phase != Phase::Body => {
                this.handed_on = 0;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            phase => {
                let before = buffer.filled().len();
                let read = match phase {
                    Phase::Body => Pin::new(&mut this.stream).poll_read(context, buffer),
                    _ => this.poll_read_piece(context, buffer, PIECE_BYTES - this.handed_on),
                };
                let bytes = &buffer.filled()[before..];
                if !S::IS_TLS && this.new && !bytes.is_empty() {
                    this.new = false;
                    this.look_for_tls(bytes);
                }
                this.handed_on = match phase {
                    _ if read.is_pending() => 0,
                    Phase::Body => 0,
                    _ => this.handed_on + bytes.len(),
                };
                this.exchange.received(bytes.len());
                read
            }
        };
        match read {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(this.end(context))),
            read => read,
        }
    }
}

impl<S: Stream> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.write_waits = !matches!(written, Poll::Ready(Ok(taken)) if taken == bytes.len());
        if written.is_ready() {
            this.exchange.sent();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// A stream as the HTTP server takes it, with its peer.
pub type Accepted<S> = (S, Protocol, Option<SocketAddr>);

/// Guards every stream; one too many is told so and closed.
pub fn guarding<S: Stream>(
    connections: Arc<HttpConnections>,
    bounds: Bounds,
) -> impl ServiceFactory<
    Accepted<S>,
    Config = (),
    Response = Accepted<Guarded<S>>,
    Error = DispatchError,
    InitError = (),
> {
    fn_service(move |(mut stream, protocol, peer): Accepted<S>| {
        let place = connections.begin();
        let connections = Arc::clone(&connections);
        async move {
            let Some(place) = place else {
                if is_worth_a_warning(&connections.told_of_too_many) {
                    warn!(limit = connections.most, "more HTTP connections than server.max_http_connections");
                }
                // A new socket has room for it; a peer that makes it wait is not worth the time.
                let told = tokio::time::timeout(Duration::from_millis(100), async {
                    stream.write_all(TOO_MANY).await?;
                    stream.shutdown().await
                });
                let _ = told.await;
                return Err(DispatchError::Io(io::Error::other("too many HTTP connections")));
            };
            let exchange = Rc::new(Exchange::new(Instant::now(), bounds.unread_bytes));
            let guarded = Guarded {
                stream,
                exchange,
                bounds,
                timer: None,
                new: true,
                handed_on: 0,
                write_waits: false,
                peer,
                place,
            };
            Ok((guarded, protocol, peer))
        }
    })
}
