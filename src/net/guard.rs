//! Guards a stream while it speaks HTTP, between the accepted socket and the HTTP server: it ends connections that take
//! longer than they may, or that are idle where others need the room, and stops reading what comes after a refusal.
//!
//! Its bounds are the only ones that the HTTP server's connections have while they wait: it keeps one timer for each, set
//! anew only when it goes off, where the HTTP server would make one for each request. An upgrade takes the stream out of it
//! again.

mod accept;
mod connection_task;
mod exchange;
#[cfg(test)]
mod tests;

pub(crate) use accept::{AcceptedStream, guarding};
pub(crate) use connection_task::UpgradeTask;
pub(crate) use exchange::{Exchange, ExchangeBounds};

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tracing::{debug, warn};

use super::slots::HttpSlot;
use super::{ConnectionPeers, Stream, peer_field};
use exchange::ExchangePhase;

/// Bytes that are handed on before the HTTP server has to look at them, unless they are of a body that is wanted. It
/// would read on otherwise, as far as there is something, and make of everything at once requests that wait: of 100 kB
/// some 6 MB.
const PIECE_BYTES: usize = 4 * 1024;

/// The least time after which a connection that owes nothing is looked at again.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

thread_local! {
    /// Where a piece is read to if the HTTP server has more room for it than it may fill.
    static PIECE: RefCell<[u8; PIECE_BYTES]> = const { RefCell::new([0; PIECE_BYTES]) };
}

/// The answer to a request that did not come in time.
const REQUEST_TIMEOUT_ANSWER: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A stream while it speaks HTTP.
#[derive(Debug)]
pub(crate) struct GuardedStream<S> {
    stream: S,
    exchange: Rc<Exchange>,
    bounds: ExchangeBounds,
    timer: Option<Pin<Box<Sleep>>>,
    /// Nothing has been read.
    new: bool,
    /// Bytes that were handed on since the HTTP server last looked at what it has.
    handed_on: usize,
    /// Something of an answer waits for the peer to take it, since it last took anything.
    write_waits: Option<Instant>,
    /// Nothing is read until the peer has taken that.
    reading_waits: bool,
    peers: ConnectionPeers,
    slot: HttpSlot,
    upgrade_task: UpgradeTask,
}

/// The HTTP slot of a connection that an upgrade has taken out of its guard, until it is dropped.
#[derive(Debug)]
pub(crate) struct UpgradeSlot {
    exchange: Rc<Exchange>,
    _slot: HttpSlot,
}

impl UpgradeSlot {
    /// Does this, unless the connection is evicted before it is done: it is not admitted yet.
    pub(crate) async fn unless_evicted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let entry = self.exchange.entry();
        let done = entry.unless_evicted(work).await;
        entry.set_busy();
        done
    }
}

impl<S> GuardedStream<S> {
    /// The stream without its guard, the place that it has had, and where to say what becomes of it. A connection that is
    /// not counted elsewhere yet keeps the slot.
    pub(crate) fn into_parts(self) -> (S, UpgradeSlot, UpgradeTask) {
        self.exchange.entry().set_busy();
        (self.stream, UpgradeSlot { exchange: self.exchange, _slot: self.slot }, self.upgrade_task)
    }

    /// Who is at its other end.
    pub(crate) fn peers(&self) -> ConnectionPeers {
        self.peers
    }

    /// What requests on it tell the guard.
    pub(crate) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    /// Whether the peer has had its time for what it owes. The task is woken when it has, and once in a while where it owes
    /// nothing: a bound begins with the end of an answer, too, after which nobody asks.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let of_answer = || self.write_waits.map(|since| since + self.bounds.answer);
        let deadline = self.exchange.deadline(&self.bounds).or_else(of_answer);
        let deadline = deadline.map(tokio::time::Instant::from_std);
        let longest = self.bounds.idle.min(self.bounds.answer).max(SHORTEST_LOOK);
        let next_look = || {
            let look = tokio::time::Instant::now() + longest;
            deadline.map_or(look, |deadline| deadline.min(look))
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next_look())));
        // One that goes off early is set anew then: most deadlines are never reached, and to set a timer costs.
        if let Some(deadline) = deadline.filter(|deadline| timer.deadline() > *deadline) {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if deadline.is_some_and(|deadline| timer.deadline() >= deadline) {
                return true;
            }
            timer.as_mut().reset(next_look());
        }
        false
    }

    /// The peer has had its time. It is told so if it owes a request and nothing is in the way; what it does not take
    /// is kept for it no longer, in the kernel neither.
    fn end(&mut self, context: &mut Context<'_>) -> io::Error
    where
        S: Stream,
    {
        self.slot.slots().counters().timed_out.add_from_anywhere(1);
        if self.write_waits.is_some() {
            self.stream.reset_on_drop();
            return io::ErrorKind::TimedOut.into();
        }
        if matches!(self.exchange.phase(), ExchangePhase::Head { .. }) {
            let _ = Pin::new(&mut self.stream).poll_write(context, REQUEST_TIMEOUT_ANSWER);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        io::ErrorKind::TimedOut.into()
    }

    /// How far a write came: all was taken, some of it, or nothing.
    fn note_write(&mut self, all: bool, some: bool, context: &Context<'_>) {
        self.write_waits = match self.write_waits {
            _ if all => None,
            Some(since) if !some => Some(since),
            _ => Some(Instant::now()),
        };
        if all && std::mem::take(&mut self.reading_waits) {
            context.waker().wake_by_ref();
        }
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
        PIECE.with_borrow_mut(|piece| {
            let mut piece = ReadBuf::new(&mut piece[..most]);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut piece);
            buffer.put_slice(piece.filled());
            read
        })
    }

    /// Logs that a peer speaks what is not expected here, which is hard to guess from a malformed request.
    fn warn_of_mismatch(&self, first: &[u8])
    where
        S: Stream,
    {
        let (hint, again) = match first {
            [0x16, 0x03, ..] if !S::IS_TLS => (
                "somebody speaks TLS to a plain port: is it meant for the proxy, or the URL for http and ws?",
                "TLS on a plain port",
            ),
            _ if first.starts_with(b"PROXY ") || first.starts_with(b"\r\n\r\n\0\r\nQUIT\n") => (
                "somebody sends a header of the PROXY protocol to a listener that expects none: set proxy_protocol for \
                 that listener, or have the proxy send none",
                "a PROXY header on a listener that expects none",
            ),
            _ => return,
        };
        let peer = peer_field(self.peers.peer);
        if self.slot.slots().may_warn_of_mismatch() {
            warn!(peer, "{hint}");
        } else {
            debug!(peer, "{again}");
        }
    }
}

impl<S: Stream> AsyncRead for GuardedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.entry().is_evicted() {
            return Poll::Ready(Err(evicted()));
        }
        let read = match this.exchange.phase() {
            ExchangePhase::Refused { left: 0, .. } | ExchangePhase::Request { left: 0 } => {
                this.exchange.await_next_phase(context);
                Poll::Pending
            }
            // Further requests are answered when there is room for the answers. Until then the HTTP server would only
            // keep what it reads, and have no rest with more than it keeps.
            ExchangePhase::Waiting { .. } | ExchangePhase::Head { .. } if this.write_waits.is_some() => {
                this.reading_waits = true;
                Poll::Pending
            }
            phase if this.handed_on >= PIECE_BYTES && phase != ExchangePhase::Body => {
                this.handed_on = 0;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            phase => {
                let before = buffer.filled().len();
                let read = match phase {
                    ExchangePhase::Body => Pin::new(&mut this.stream).poll_read(context, buffer),
                    _ => this.poll_read_piece(context, buffer, PIECE_BYTES - this.handed_on),
                };
                let bytes = &buffer.filled()[before..];
                if this.new && !bytes.is_empty() {
                    this.new = false;
                    this.warn_of_mismatch(bytes);
                }
                this.handed_on = match phase {
                    _ if read.is_pending() => 0,
                    ExchangePhase::Body => 0,
                    _ => this.handed_on + bytes.len(),
                };
                this.exchange.received(bytes.len());
                read
            }
        };
        match read {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(this.end(context))),
            Poll::Pending if this.exchange.poll_evicted(context).is_ready() => Poll::Ready(Err(evicted())),
            read => read,
        }
    }
}

impl<S: Stream> AsyncWrite for GuardedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.exchange.entry().is_evicted() {
            return Poll::Ready(Err(evicted()));
        }
        let has_waited = this.write_waits.is_some();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        let taken = matches!(written, Poll::Ready(Ok(taken)) if taken == bytes.len());
        this.note_write(taken, written.is_ready(), context);
        match written {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(this.end(context))),
            Poll::Pending => Poll::Pending,
            written => {
                if has_waited {
                    this.exchange.sent();
                }
                written
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.note_write(flushed.is_ready(), false, context);
        match flushed {
            Poll::Pending if this.is_late(context) => Poll::Ready(Err(this.end(context))),
            flushed => flushed,
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The error of a connection that was evicted.
fn evicted() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
