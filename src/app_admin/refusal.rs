//! The refusals of the API, and their answers: one sentence as plain text.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use super::AppsError;
use crate::http::ApiError;

/// Why a request was refused. Nothing has happened then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiRefusal {
    /// The app was not changed, or not shown.
    #[error(transparent)]
    Apps(#[from] AppsError),
    /// The body did not come as it should.
    #[error(transparent)]
    Read(ApiError),
    /// There is nothing at this path.
    #[error("Not found: {0} is no path of the API; GET /api/openapi.json describes it")]
    NotFound(String),
    /// There is, for other methods.
    #[error("Method {method} not allowed, use {allowed}")]
    Method { method: String, allowed: String },
    /// The body is of another kind.
    #[error("expected a body of the type {expected}, got {got}")]
    MediaType { expected: &'static str, got: String },
    /// The work was not done, by a fault of the broker.
    #[error(
        "the broker could not do it, and does not know whether the apps file was changed: see what the app is now"
    )]
    Failed,
}

impl ApiRefusal {
    fn status(&self) -> StatusCode {
        match self {
            ApiRefusal::Apps(error) => error.status(),
            ApiRefusal::Read(error) => error.status(),
            ApiRefusal::NotFound(_) => StatusCode::NOT_FOUND,
            ApiRefusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiRefusal::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiRefusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status());
        answer.content_type("text/plain; charset=utf-8");
        if let ApiRefusal::Method { allowed, .. } = self {
            answer.insert_header((header::ALLOW, allowed.as_str()));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((header::RETRY_AFTER, "1"));
        }
        answer.body(format!("{self}\n"))
    }
}
