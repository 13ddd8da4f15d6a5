//! The refusals of the admin listener, and their answers.

use actix_web::HttpResponse;
use actix_web::http::{ConnectionType, StatusCode, header};

use crate::hub::RefusedTooOften;

/// Why a request was refused. Nothing has happened then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AdminError {
    /// It was asked for under a name that others may own.
    #[error(
        "Forbidden: the admin listener answers only to localhost, loopback addresses, its own address and \
         admin.hostnames, not to {0:?}"
    )]
    ForeignHost(String),
    /// A page of another site, or of another port, asks for what changes something.
    #[error("Forbidden: the admin listener takes this from its own pages only, not from those of {0:?}")]
    ForeignOrigin(String),
    /// Nothing was shown.
    #[error(
        "Unauthorized: expected the user admin with admin.password (Basic), or admin.token (Bearer), got neither"
    )]
    NoCredentials,
    /// Something else was shown.
    #[error(
        "Unauthorized: expected the user admin with admin.password (Basic), or admin.token (Bearer), got others"
    )]
    WrongCredentials,
    /// Wrong ones were shown too often from this address.
    #[error(transparent)]
    RefusedTooOften(#[from] RefusedTooOften),
    /// There is nothing at this path.
    #[error("Not found: {0} is no path of the admin listener; GET / lists them")]
    NotFound(String),
    /// A parameter is not what it should be.
    #[error("Bad request: {name} must be {expected}, got {got:?}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
    /// There is, for another method.
    #[error("Method {0} not allowed, use GET, HEAD")]
    Method(String),
}

impl AdminError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            AdminError::ForeignHost(_) | AdminError::ForeignOrigin(_) => StatusCode::FORBIDDEN,
            AdminError::NoCredentials | AdminError::WrongCredentials => StatusCode::UNAUTHORIZED,
            AdminError::RefusedTooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            AdminError::NotFound(_) => StatusCode::NOT_FOUND,
            AdminError::Parameter { .. } => StatusCode::BAD_REQUEST,
            AdminError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The answer; `takes_a_password` where a browser may ask its user for one.
    pub(super) fn response(&self, takes_a_password: bool) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status());
        answer.content_type("text/plain; charset=utf-8");
        match self {
            AdminError::NoCredentials | AdminError::WrongCredentials => {
                if takes_a_password {
                    let basic = "Basic realm=\"heliostat admin\", charset=\"UTF-8\"";
                    answer.append_header((header::WWW_AUTHENTICATE, basic));
                }
                answer.append_header((header::WWW_AUTHENTICATE, "Bearer realm=\"heliostat admin\""));
            }
            AdminError::RefusedTooOften(RefusedTooOften { seconds }) => {
                answer.insert_header((header::RETRY_AFTER, *seconds));
            }
            AdminError::Method(_) => {
                answer.insert_header((header::ALLOW, "GET, HEAD"));
            }
            AdminError::ForeignHost(_)
            | AdminError::ForeignOrigin(_)
            | AdminError::NotFound(_)
            | AdminError::Parameter { .. } => {}
        }
        let mut answer = answer.body(format!("{self}\n"));
        if matches!(self, AdminError::WrongCredentials | AdminError::RefusedTooOften(_)) {
            // Whoever guesses pays for a connection each time.
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        answer
    }
}
