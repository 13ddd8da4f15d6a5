//! `Expect: 100-continue`: a client is told to go on when its body is wanted, and never before a refusal.
//!
//! The HTTP server says "100 Continue" between two services: one that it asks about the head, and the one that answers.
//! Whether the body is wanted is known only to what answers. So that is begun within the first, over a body that tells
//! when somebody reads it, and carried on within the second.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::error::PayloadError;
use actix_http::{HttpMessage, Payload, Request};
use actix_web::HttpResponse;
use actix_web::dev::ServiceResponse;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};

/// An answer that is being made.
pub type Answering = Pin<Box<dyn Future<Output = Result<ServiceResponse, HttpResponse>>>>;

/// An answer that waits for the body, on its way from the first service to the second.
struct Carried(Answering);

/// Has `answer` answer the request until it wants the body; [`resume`] takes it on from there.
///
/// # Errors
/// With the answer, if it comes without the body.
pub fn before_the_body(
    mut request: Request,
    answer: impl FnOnce(Request) -> Answering,
) -> Pin<Box<dyn Future<Output = Result<Request, HttpResponse>>>> {
    let wanted = Rc::new(Cell::new(false));
    let body = Told { body: request.take_payload(), wanted: Rc::clone(&wanted) };
    *request.payload() = Payload::Stream { payload: Box::pin(body) };
    Box::pin(carry(answer(request), wanted))
}

async fn carry(mut answering: Answering, wanted: Rc<Cell<bool>>) -> Result<Request, HttpResponse> {
    let answered = poll_fn(|context| match answering.as_mut().poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if wanted.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match answered.await {
        Some(answered) => Err(answered.map_or_else(|failed| failed, HttpResponse::from)),
        None => {
            let request = Request::new();
            request.extensions_mut().insert(Carried(answering));
            Ok(request)
        }
    }
}

/// The answer that [`before_the_body`] has begun, if the request is one of its.
pub fn resume(request: &Request) -> Option<Answering> {
    request.extensions_mut().remove::<Carried>().map(|carried| carried.0)
}

/// A body that tells when it is wanted.
struct Told {
    body: Payload,
    wanted: Rc<Cell<bool>>,
}

impl Stream for Told {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.wanted.set(true);
        self.body.poll_next_unpin(context)
    }
}
