//! The answers to requests that are not carried out. Bodies are plain text.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use super::message_body::MessageBodyError;
use crate::http::ApiError;

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FallbackError {
    /// The path is none of ours.
    #[error("Not found: {0} is no endpoint of the HTTP transports")]
    NotFound(String),
    /// The session does not exist, has ended, or belongs to another origin.
    #[error("Session not found: it has ended or was never begun")]
    NoSession,
    /// The endpoint takes another method.
    #[error("Method not allowed, use {0}")]
    Method(&'static str),
    /// No callback was named.
    #[error("\"callback\" parameter required")]
    NoCallback,
    /// The callback's name could do more than be called.
    #[error("invalid \"callback\" parameter")]
    BadCallback,
    /// The body is no list of messages; the status is of the family.
    #[error("{0}")]
    Body(MessageBodyError, StatusCode),
    /// The body could not be read, or nothing of the request is looked at.
    #[error(transparent)]
    Unread(#[from] ApiError),
    /// A WebSocket was asked for without an upgrade.
    #[error("Can \"Upgrade\" only to \"WebSocket\".")]
    NoUpgrade,
}

impl FallbackError {
    /// The status, in one place for all.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            FallbackError::NotFound(_) | FallbackError::NoSession => StatusCode::NOT_FOUND,
            FallbackError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            // SockJS's choice.
            FallbackError::NoCallback | FallbackError::BadCallback => StatusCode::INTERNAL_SERVER_ERROR,
            FallbackError::Body(_, status) => *status,
            FallbackError::Unread(error) => error.status(),
            FallbackError::NoUpgrade => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether a stranger may be behind it: what is asked for is not there. A session may be gone whoever asks, after a
    /// restart or a pause; and what stands between a client and the broker may take the upgrade out of a handshake.
    pub(super) fn is_of_a_stranger(&self) -> bool {
        match self {
            FallbackError::NotFound(_)
            | FallbackError::Method(_)
            | FallbackError::NoCallback
            | FallbackError::BadCallback => true,
            FallbackError::Unread(error) => error.is_of_a_stranger(),
            FallbackError::NoSession | FallbackError::Body(..) | FallbackError::NoUpgrade => false,
        }
    }

    /// The answer.
    pub(super) fn response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status());
        if let FallbackError::Method(allowed) = self {
            return answer.insert_header((header::ALLOW, *allowed)).finish();
        }
        if let FallbackError::Unread(error) = self
            && let Some(seconds) = error.retry_after()
        {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        answer.content_type("text/plain; charset=UTF-8").body(format!("{self}\n"))
    }
}
