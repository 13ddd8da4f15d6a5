//! Reads the body of a request within its bounds of size, time and the node's memory, and does not read that of one that
//! was refused.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ConnectionType;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::Version;
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, http::header};
use futures_util::StreamExt;

use super::ApiError;
use crate::net::guard::Exchange;

/// The bytes of a node's bodies that have not come whole, and their bound.
#[derive(Debug)]
pub(crate) struct UnfinishedBodies {
    bytes: AtomicUsize,
    most: usize,
}

impl UnfinishedBodies {
    /// Nothing yet, of `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        UnfinishedBodies { bytes: AtomicUsize::new(0), most }
    }

    /// The bytes that they hold now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The bytes that one body holds of that bound.
struct BodyShare<'u> {
    all: &'u UnfinishedBodies,
    bytes: usize,
}

impl BodyShare<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.bytes += bytes;
        let before = self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.all.most {
            return Err(ApiError::TooManyBodies);
        }
        Ok(())
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The bounds of a body.
#[derive(Clone, Debug)]
pub(crate) struct BodyBounds {
    pub bytes: usize,
    /// For the whole of one.
    pub timeout: Duration,
    /// All of the node's.
    pub unfinished: Arc<UnfinishedBodies>,
}

/// Reads the whole body. The caller has made sure from the head that it is wanted.
///
/// # Errors
/// If it is larger than it may be, by its own announcement or in fact, does not arrive in time, breaks off, or if there
/// are too many others at the same time.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut web::Payload,
    bounds: &BodyBounds,
) -> Result<Bytes, ApiError> {
    let limit = bounds.bytes;
    if declared_length(request).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let mut whole = pin!(read_all(payload, bounds));
    let body = match at_hand(whole.as_mut()).await {
        Some(body) => body?,
        None => tokio::time::timeout(bounds.timeout, whole).await.unwrap_or_else(|_| {
            Err(ApiError::Timeout { seconds: bounds.timeout.as_secs_f64().to_string() })
        })?,
    };
    if let Some(exchange) = exchange(request) {
        exchange.set_body_read();
    }
    Ok(body)
}

/// What comes without waiting for the peer. The HTTP server hands on what it has received with the head only when that is
/// asked for: so it is polled twice. Most bodies come so, and need no timer.
async fn at_hand<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polls == 2 => Poll::Ready(None),
            Poll::Pending => {
                // Nothing else may: of a request behind another one, the HTTP server has nothing to hand on.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

async fn read_all(payload: &mut web::Payload, bounds: &BodyBounds) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    let mut share = BodyShare { all: &bounds.unfinished, bytes: 0 };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::InvalidJson(format!("it broke off: {error}")))?;
        if body.len() + chunk.len() > bounds.bytes {
            return Err(ApiError::BodyTooLarge { limit: bounds.bytes });
        }
        share.grow(chunk.len())?;
        // Most bodies come in one piece, which need not be copied.
        if body.is_empty() {
            body = chunk.into();
        } else {
            body.extend_from_slice(&chunk);
        }
    }
    Ok(body.freeze())
}

fn declared_length(request: &HttpRequest) -> Option<u64> {
    let length = request.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

fn has_body(request: &HttpRequest) -> bool {
    request.headers().contains_key(header::TRANSFER_ENCODING)
        || declared_length(request).is_some_and(|length| length > 0)
}

fn exchange(request: &HttpRequest) -> Option<&Rc<Exchange>> {
    request.conn_data::<Rc<Exchange>>()
}

/// Tells the guard of the connection that a request is being carried out.
pub(crate) fn begin(request: &HttpRequest) {
    if let Some(exchange) = exchange(request) {
        exchange.begin(has_body(request));
    }
}

/// The connection speaks another protocol from now on, in what are the bodies of the request and of the answer: whoever has
/// them bounds what comes.
pub(crate) fn switched(request: &HttpRequest) {
    if let Some(exchange) = exchange(request) {
        exchange.begin(true);
    }
}

/// Makes an answer one that the connection can go on after, or that ends it: all answers pass here.
pub(crate) async fn finish(
    request: &HttpRequest,
    mut response: HttpResponse,
    mut payload: web::Payload,
) -> HttpResponse {
    let endless = response.body().size() == BodySize::Stream;
    if endless && request.version() < Version::HTTP_11 {
        // Chunks came with HTTP/1.1. Before, the end of the connection was that of the answer.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if request.head().upgrade() {
        // The HTTP server ends the connection after a request with "Connection: Upgrade" that was not upgraded: the
        // client has to know, or it loses the next request on it.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let Some(exchange) = exchange(request).cloned() else { return response };
    // To look would tell a client that waits to be asked for its body that it is wanted.
    let waits_to_be_asked = request.head().expect() && has_body(request);
    let unread = !exchange.is_body_read() && (waits_to_be_asked || !has_arrived(&mut payload).await);
    if unread {
        exchange.refuse(endless);
    }
    match (unread, endless) {
        (false, false) => {
            exchange.end();
            response
        }
        // The server drains a chunked body that is dropped, however long it is, and closes the connection on one that is
        // held. So the answer holds it.
        _ => response.map_body(|_, answer| {
            BoxBody::new(TrackedBody { answer, _payload: unread.then_some(payload), exchange })
        }),
    }
}

/// Whether the rest of a body that nobody wants has come already, so that the next request on the connection can follow.
/// It is thrown away.
async fn has_arrived(payload: &mut web::Payload) -> bool {
    for _ in 0..2 {
        let ended = std::future::poll_fn(|context| {
            loop {
                match payload.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(false)),
                    Poll::Ready(None) => return Poll::Ready(Some(true)),
                    Poll::Pending => return Poll::Ready(None),
                }
            }
        });
        if let Some(ended) = ended.await {
            return ended;
        }
        // What has been received with the head is handed on in between.
        tokio::task::yield_now().await;
    }
    false
}

/// The body of an answer that tells the guard of its connection when it has ended.
struct TrackedBody {
    answer: BoxBody,
    _payload: Option<web::Payload>,
    exchange: Rc<Exchange>,
}

impl MessageBody for TrackedBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().answer).poll_next(context)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.exchange.end();
    }
}
