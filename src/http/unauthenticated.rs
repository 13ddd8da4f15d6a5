//! A request that is not authenticated, and what that came from.

use actix_web::HttpRequest;

use crate::auth::request::{Query, RequestAuthError, check_body};
use crate::diagnosis::{Diagnosis, DisputedRequest};
use crate::hub::Hub;

/// Why a request is not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Unauthenticated {
    pub(crate) error: RequestAuthError,
    /// What it came from, where that was looked for.
    pub(crate) diagnosis: Option<Box<Diagnosis>>,
}

impl From<RequestAuthError> for Unauthenticated {
    fn from(error: RequestAuthError) -> Self {
        Unauthenticated { error, diagnosis: None }
    }
}

impl Unauthenticated {
    /// What came of a request that was refused so.
    #[cold]
    pub(super) fn examined(
        hub: &Hub,
        request: &HttpRequest,
        query: &Query,
        error: RequestAuthError,
        now: u64,
    ) -> Self {
        let taken = request.headers().get("x-forwarded-prefix").and_then(|prefix| prefix.to_str().ok());
        let (method, path) = (request.method().as_str(), request.path());
        let disputed = DisputedRequest { method, path, query, prefix_taken: taken, now };
        let diagnosis = hub.examine_request(&disputed, &error);
        Unauthenticated { error, diagnosis }
    }
}

/// Checks that a body is the one whose hash was signed.
///
/// # Errors
/// If it is not.
pub(crate) fn check_signed_body(hub: &Hub, query: &Query, body: &[u8]) -> Result<(), Unauthenticated> {
    check_body(query, body).map_err(|error| body_refused(hub, query, body, error))
}

#[cold]
fn body_refused(hub: &Hub, query: &Query, body: &[u8], error: RequestAuthError) -> Unauthenticated {
    Unauthenticated { error, diagnosis: Some(Box::new(hub.examine_body(query, body))) }
}
