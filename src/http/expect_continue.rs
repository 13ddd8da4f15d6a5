//! Answers `Expect: 100-continue`: a client is told to go on when its body is wanted, and never before a refusal.
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

/// A future answer.
pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Result<ServiceResponse, HttpResponse>>>>;

/// An answer that waits for the body, on its way from the first service to the second.
struct PendingAnswer(AnswerFuture);

/// Has `answer` answer the request until it wants the body; [`resume_answer`] takes it on from there.
///
/// # Errors
/// With the answer, if it comes without the body.
pub(crate) fn answer_before_body(
    mut request: Request,
    answer: impl FnOnce(Request) -> AnswerFuture,
) -> Pin<Box<dyn Future<Output = Result<Request, HttpResponse>>>> {
    let wanted = Rc::new(Cell::new(false));
    let body = WatchedBody { body: request.take_payload(), wanted: Rc::clone(&wanted) };
    *request.payload() = Payload::Stream { payload: Box::pin(body) };
    Box::pin(answer_or_wait(answer(request), wanted))
}

async fn answer_or_wait(
    mut answer_future: AnswerFuture,
    wanted: Rc<Cell<bool>>,
) -> Result<Request, HttpResponse> {
    let answered = poll_fn(|context| match answer_future.as_mut().poll(context) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if wanted.get() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match answered.await {
        Some(answered) => Err(answered.map_or_else(|failed| failed, HttpResponse::from)),
        None => {
            let request = Request::new();
            request.extensions_mut().insert(PendingAnswer(answer_future));
            Ok(request)
        }
    }
}

/// The answer that [`answer_before_body`] has begun, if the request is one of its.
pub(crate) fn resume_answer(request: &Request) -> Option<AnswerFuture> {
    request.extensions_mut().remove::<PendingAnswer>().map(|pending| pending.0)
}

/// A body that tells when it is wanted.
struct WatchedBody {
    body: Payload,
    wanted: Rc<Cell<bool>>,
}

impl Stream for WatchedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.wanted.set(true);
        self.body.poll_next_unpin(context)
    }
}
