//! What the console answers: JSON, and what speaks against a request.

use std::fmt;

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde_json::{Value, json};

use crate::http::{self, ApiError};

/// Why a request was not carried out. Nothing has happened then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConsoleError {
    /// There is nothing at this path.
    #[error("{0} is no path of the console")]
    NotFound(String),
    /// What it names does not exist.
    #[error("there is no {what} {name:?}")]
    Nothing {
        /// What it would be.
        what: &'static str,
        name: String,
    },
    /// There is, for another method.
    #[error("expected {expected}, got {got}")]
    Method {
        /// The method that it takes.
        expected: &'static str,
        got: String,
    },
    /// A form of another page could send it.
    #[error("expected a body of application/json, got {0:?}")]
    NotJson(String),
    /// A parameter or a member is not what it should be.
    #[error("{name} must be {expected}, got {got}")]
    Parameter {
        /// Its name.
        name: &'static str,
        expected: String,
        got: String,
    },
    /// What it asks for cannot be done, and why.
    #[error("{1}")]
    Refused(StatusCode, String),
}

impl ConsoleError {
    /// A parameter or a member is this, and must be something else.
    pub(super) fn parameter(name: &'static str, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        ConsoleError::Parameter { name, expected: expected.into(), got: got.to_string() }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            ConsoleError::NotFound(_) | ConsoleError::Nothing { .. } => StatusCode::NOT_FOUND,
            ConsoleError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ConsoleError::NotJson(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ConsoleError::Parameter { .. } => StatusCode::BAD_REQUEST,
            ConsoleError::Refused(status, _) => *status,
        }
    }

    pub(super) fn response(&self) -> HttpResponse {
        let mut answer = json_answer(self.status(), &json!({ "error": self.to_string() }));
        if let ConsoleError::Method { expected, .. } = self {
            answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(expected));
        }
        answer
    }
}

/// What speaks against it is what would speak against a request of the app's backend.
impl From<ApiError> for ConsoleError {
    fn from(error: ApiError) -> Self {
        ConsoleError::Refused(error.status(), error.to_string())
    }
}

/// An answer that is read by a program: shown as a page, it is inert.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> HttpResponse {
    let mut answer = http::json_answer(status, body);
    let policy = header::HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

/// An answer to what was done, or asked.
pub(super) fn done(body: &Value) -> HttpResponse {
    json_answer(StatusCode::OK, body)
}
