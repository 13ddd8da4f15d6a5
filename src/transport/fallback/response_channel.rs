//! Carries the chunks of a response from its session to the connection that asked for it, which may be on another thread.
//!
//! It holds a few chunks. When it is full, because the peer does not read, the session keeps what follows in the
//! client's outbox, whose bounds decide how long that goes well.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::response_format::ResponseFormat;
use crate::hub::{ShutdownGuard, Worker};

/// Chunks on their way.
const CHUNKS: usize = 4;

/// One piece of a response.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// With the close frame: shutdown waits until it is out.
    pub(super) shutdown_guard: Option<ShutdownGuard>,
}

/// The session's end of a response.
#[derive(Debug)]
pub(super) struct ResponseSink {
    pub(super) format: ResponseFormat,
    /// What its request has of its own, if it has anything. Browsers repeat a request, as it is, whose connection ended
    /// before any of the response had come.
    pub(super) mark: Option<u64>,
    pub(super) chunks: mpsc::Sender<Chunk>,
    /// Ends when the response is dropped.
    pub(super) gone: oneshot::Receiver<()>,
}

/// The connection's end of a response: its body.
pub(super) struct SessionResponse {
    /// That of the connection's thread.
    worker: Rc<Worker>,
    chunks: mpsc::Receiver<Chunk>,
    shutdown_guard: Option<ShutdownGuard>,
    _here: oneshot::Sender<()>,
}

/// Both ends; `worker` is the connection's.
pub(super) fn response_channel(
    format: ResponseFormat,
    mark: Option<u64>,
    worker: Rc<Worker>,
) -> (ResponseSink, SessionResponse) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let (here, gone) = oneshot::channel();
    (
        ResponseSink { format, mark, chunks: sender, gone },
        SessionResponse { worker, chunks, shutdown_guard: None, _here: here },
    )
}

impl SessionResponse {
    /// Waits for the whole of a response that ends after its first frame.
    pub(super) async fn whole(mut self) -> Bytes {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunks.recv().await {
            whole.extend_from_slice(&chunk.bytes);
            self.shutdown_guard = chunk.shutdown_guard.or_else(|| self.shutdown_guard.take());
        }
        whole.freeze()
    }
}

impl Drop for SessionResponse {
    fn drop(&mut self) {
        if let Some(shutdown_guard) = self.shutdown_guard.take() {
            self.worker.end_work(shutdown_guard);
        }
    }
}

impl MessageBody for SessionResponse {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        Poll::Ready(chunk.map(|Chunk { bytes, shutdown_guard }| {
            self.shutdown_guard = shutdown_guard.or_else(|| self.shutdown_guard.take());
            Ok(bytes)
        }))
    }
}
