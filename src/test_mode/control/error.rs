//! Refusals of the control API, as JSON.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde_json::json;

use crate::app::DuplicateApp;
use crate::test_mode::{BadCondition, TestError};

use super::json_answer;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlApiError {
    #[error("expected the header Authorization: Bearer TOKEN, with the token that was printed at the start")]
    Token,
    #[error(
        "the control API answers only to this machine; start the broker with --test-remote to let others use it"
    )]
    Remote,
    #[error("not found: {0} is no path of the control API; GET /test/openapi.json describes it")]
    NotFound(String),
    #[error("method {method} not allowed, use {allowed}")]
    Method { method: String, allowed: String },
    #[error("there is no app {0:?}")]
    NoSuchApp(String),
    #[error("there is no fault {0:?} in this app")]
    NoSuchFault(String),
    #[error("the request body: {0}")]
    Body(String),
    #[error("the query: {0}")]
    Query(String),
    #[error(transparent)]
    Condition(#[from] BadCondition),
    #[error(transparent)]
    Test(#[from] TestError),
    #[error("the app: {}", .0.join("; "))]
    App(Vec<String>),
    #[error(transparent)]
    Duplicate(DuplicateApp),
    #[error("the broker is stopping")]
    Stopping,
}

impl ControlApiError {
    fn status(&self) -> StatusCode {
        match self {
            ControlApiError::Token => StatusCode::UNAUTHORIZED,
            ControlApiError::Remote => StatusCode::FORBIDDEN,
            ControlApiError::NotFound(_)
            | ControlApiError::NoSuchApp(_)
            | ControlApiError::NoSuchFault(_)
            | ControlApiError::Test(
                TestError::Gone(_) | TestError::NobodyMeant { .. } | TestError::NothingDue { .. },
            ) => StatusCode::NOT_FOUND,
            ControlApiError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ControlApiError::Body(_)
            | ControlApiError::Query(_)
            | ControlApiError::Condition(_)
            | ControlApiError::App(_)
            | ControlApiError::Test(
                TestError::Fault(_)
                | TestError::TooManyFaults(_)
                | TestError::TooFar(_)
                | TestError::CloseCode(_)
                | TestError::Share(_),
            ) => StatusCode::BAD_REQUEST,
            // Not 409: that is a condition that was not met.
            ControlApiError::Duplicate(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlApiError::Test(TestError::Overdue(_)) => StatusCode::GATEWAY_TIMEOUT,
            ControlApiError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn response(&self) -> HttpResponse {
        let mut response = json_answer(self.status(), &json!({ "error": self.to_string() }));
        if let ControlApiError::Method { allowed, .. } = self
            && let Ok(allowed) = header::HeaderValue::from_str(allowed)
        {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}
