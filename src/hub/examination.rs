//! Looks for what refusals of signatures came from, as often as a node takes the time for it.

use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};

use super::{AppState, Hub};
use crate::auth::request::{Query, RequestAuthError};
use crate::diagnosis::{
    Cause, Diagnosis, DisputedAuth, DisputedRequest, Knowledge, SigningContext, cause_of_auth, cause_of_body,
    cause_of_request, explain,
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
        if disputed.is_too_long() {
            return Diagnosis::NotExamined;
        }
        self.examine(|| {
            let apps = self.apps();
            let others = self.sockets_of_late(app, address);
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

    /// Explains what somebody who runs the broker has pasted of an app: see [`explain`].
    ///
    /// # Errors
    /// If something is missing or is not what it should be: a sentence.
    pub(crate) fn explain(&self, app: &AppState, pasted: &Map<String, Json>) -> Result<Json, String> {
        let (apps, settings, sockets) = (self.apps(), app.app(), self.sockets_of_late(app, None));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let known = Knowledge { app: &settings, apps: apps.registry(), sockets: &sockets, now };
        explain(known, pasted).map(|explained| explained.to_json())
    }

    /// An app's connections that came or went last, the likeliest first, and whether each is open.
    fn sockets_of_late(&self, app: &AppState, address: Option<IpAddr>) -> Vec<(SocketId, bool)> {
        let of_late = app.recent_sockets().likeliest(address);
        of_late.into_iter().map(|other| (other, self.is_connected(app, other))).collect()
    }

    fn examine(&self, look: impl FnOnce() -> Option<Cause>) -> Diagnosis {
        match self.examinations.take(1, EXAMINED_PER_SECOND, Instant::now()) {
            Ok(()) => Diagnosis::of(look()),
            Err(_) => Diagnosis::NotExamined,
        }
    }
}
