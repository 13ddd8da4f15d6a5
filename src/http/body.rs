//! Reading a request's body within its bounds of size and time, and not reading one that was refused.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, http::header};
use futures_util::StreamExt;

use super::ApiError;

/// Reads the whole body.
///
/// # Errors
/// If it is larger than `limit` bytes, by its own announcement or in fact, does not arrive within `patience`, or
/// breaks off.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut web::Payload,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, ApiError> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::BodyTooLarge { limit });
    }
    let whole = tokio::time::timeout(patience, read_all(payload, limit)).await;
    whole.unwrap_or_else(|_| Err(ApiError::Timeout { seconds: patience.as_secs_f64().to_string() }))
}

async fn read_all(payload: &mut web::Payload, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::InvalidJson(format!("it broke off: {error}")))?;
        if body.len() + chunk.len() > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        // Most bodies come in one piece, which need not be copied.
        body = match body.is_empty() {
            true => chunk.into(),
            false => {
                body.extend_from_slice(&chunk);
                body
            }
        };
    }
    Ok(body.freeze())
}

/// Makes the connection end with this answer if the request's body has not been read to its end.
///
/// The server drains a chunked body that nobody holds any more, however long it is, and closes the connection on one
/// that somebody does. So the answer holds it.
pub(crate) fn unread(response: HttpResponse, payload: web::Payload) -> HttpResponse {
    response.map_body(|_, answer| BoxBody::new(Unread { answer, _payload: payload }))
}

struct Unread {
    answer: BoxBody,
    _payload: web::Payload,
}

impl MessageBody for Unread {
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
