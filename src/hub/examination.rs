//! Looks for what refusals of signatures came from, as often as a node takes the time for it.

use std::net::IpAddr;
use std::time::Instant;

use super::{AppState, Hub};
use crate::auth::request::{Query, RequestAuthError};
use crate::diagnosis::{
    Cause, Diagnosis, DisputedAuth, DisputedRequest, SigningContext, cause_of_auth, cause_of_body,
    cause_of_request,
};
use crate::protocol::SocketId;

/// Refusals that a node examines in a second. Whoever is refused beyond that is told as much as before, and the log that
/// it was not looked for; each costs no more than 16 signatures, so all together some milliseconds of a core.
pub(super) const EXAMINED_PER_SECOND: u32 = 100;

impl Hub {
    /// What the refusal of a client's signature came from. The client came from this address.
    #[cold]
    pub(crate) fn examine_auth(
        &self,
        app: &AppState,
        socket_id: SocketId,
        address: Option<IpAddr>,
        disputed: &DisputedAuth,
    ) -> Diagnosis {
        self.examine(|| {
            let apps = self.apps();
            let others = app.recent_sockets().likeliest(address);
            let others: Vec<_> =
                others.into_iter().map(|other| (other, self.is_connected(app, other))).collect();
            let settings = app.app();
            let context =
                SigningContext { app: &settings, apps: apps.registry(), socket_id, others: &others };
            cause_of_auth(context, disputed)
        })
    }

    /// What the refusal of a signed request came from.
    #[cold]
    pub(crate) fn examine_request(
        &self,
        request: &DisputedRequest<'_>,
        error: &RequestAuthError,
    ) -> Diagnosis {
        self.examine(|| cause_of_request(self.apps().registry(), request, error))
    }

    /// What the refusal of the body of a signed request came from.
    #[cold]
    pub(crate) fn examine_body(&self, query: &Query, body: &[u8]) -> Diagnosis {
        self.examine(|| cause_of_body(query, body))
    }

    fn examine(&self, look: impl FnOnce() -> Option<Cause>) -> Diagnosis {
        match self.examinations.take(1, EXAMINED_PER_SECOND, Instant::now()) {
            Ok(()) => Diagnosis::of(look()),
            Err(_) => Diagnosis::NotExamined,
        }
    }
}
