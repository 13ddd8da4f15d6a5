//! Looks for what refusals of signatures came from, as often as a node takes the time for it.

use std::net::IpAddr;
use std::time::Instant;

use serde_json::{Map, Value as Json};

use super::{AppState, Hub, unix_ms};
use crate::auth::request::{Query, RequestAuthError};
use crate::diagnosis::{
    Cause, Diagnosis, DisputedAuth, DisputedRequest, Knowledge, MOST_SIGNATURES, SigningContext,
    cause_of_auth, cause_of_body, cause_of_key, cause_of_request, explain, says_enough, told_in_auth,
    told_in_path, told_in_request,
};
use crate::protocol::SocketId;

/// Refusals that a node examines in a second. Whoever is refused beyond that is told as much as before, and the log that
/// it was not looked for; each costs no more than 16 signatures of 16 KiB, and mostly of some hundred bytes. Whether a secret
/// stands in what came is asked of each refusal: it decides what may be shown.
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
        let apps = self.apps();
        if let Some(told) = told_in_auth(apps.registry(), &disputed.auth) {
            return Diagnosis::Found(told);
        }
        if disputed.is_too_long() {
            return Diagnosis::NotExamined;
        }
        self.examine(|| {
            let others = self.sockets_of_late(app, address);
            let settings = app.app();
            let context =
                SigningContext { app: &settings, apps: apps.registry(), socket_id, others: &others };
            cause_of_auth(context, disputed)
        })
    }

    /// What the refusal of a signed request came from, if it does not say so itself.
    #[cold]
    pub(crate) fn examine_request(
        &self,
        request: &DisputedRequest<'_>,
        error: &RequestAuthError,
    ) -> Option<Box<Diagnosis>> {
        let apps = self.apps();
        if let Some(told) = told_in_request(apps.registry(), request) {
            return Some(Box::new(Diagnosis::Found(told)));
        }
        if *error == RequestAuthError::UnknownKey {
            // The refusal says it itself; what the key is instead can be looked up.
            let found = cause_of_request(apps.registry(), request, error);
            return found.map(|cause| Box::new(Diagnosis::Found(cause)));
        }
        let examined = || Box::new(self.examine(|| cause_of_request(apps.registry(), request, error)));
        (!says_enough(error)).then(examined)
    }

    /// What it came from that a client's key is none, if anything besides that can be told of it.
    #[cold]
    pub(crate) fn examine_key(&self, key: &str) -> Option<Diagnosis> {
        let apps = self.apps();
        let told = told_in_path(apps.registry(), key);
        told.or_else(|| cause_of_key(apps.registry(), key)).map(Diagnosis::Found)
    }

    /// Whether a secret stands in the path of what was refused, so that it must not be shown.
    #[cold]
    pub(crate) fn examine_path(&self, path: &str) -> Option<Diagnosis> {
        told_in_path(self.apps().registry(), path).map(Diagnosis::Found)
    }

    /// What may be shown of a path.
    pub(crate) fn shown_path<'p>(&self, path: &'p str) -> &'p str {
        Diagnosis::shown(self.examine_path(path).as_ref(), path)
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
        let now = unix_ms() / 1000;
        let known = Knowledge { app: &settings, apps: apps.registry(), sockets: &sockets, now };
        explain(known, pasted).map(|explained| explained.to_json())
    }

    /// An app's connections that came or went last, the likeliest first, and whether each is open: as many as can be tried
    /// besides the one that is examined.
    fn sockets_of_late(&self, app: &AppState, address: Option<IpAddr>) -> Vec<(SocketId, bool)> {
        let of_late = app.recent_sockets().likeliest(address);
        of_late
            .into_iter()
            .take(1 + MOST_SIGNATURES)
            .map(|other| (other, self.is_connected(app, other)))
            .collect()
    }

    fn examine(&self, look: impl FnOnce() -> Option<Cause>) -> Diagnosis {
        match self.examinations.take(1, EXAMINED_PER_SECOND, Instant::now()) {
            Ok(()) => Diagnosis::of(look()),
            Err(_) => Diagnosis::NotExamined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::connection::ConnectionConfig;
    use crate::diagnosis::SignedFor;
    use crate::protocol::ChannelName;

    fn hub() -> std::sync::Arc<Hub> {
        let apps = ["1", "2"].map(|id| App::new(id, format!("key-{id}"), format!("hush-{id}")));
        let apps = apps.into_iter().map(|app| (app, Vec::new())).collect();
        Hub::new(apps, ConnectionConfig::default(), 1, 0).unwrap()
    }

    /// Takes what a second has, so that nothing more is examined.
    fn exhaust(hub: &Hub) {
        let mut most = 100 * EXAMINED_PER_SECOND;
        while hub.examine(|| None) != Diagnosis::NotExamined {
            most -= 1;
            assert!(most > 0, "examinations do not end");
        }
    }

    fn examined(hub: &Hub, auth: &str, data: usize) -> Diagnosis {
        let app = hub.state_by_key("key-1").unwrap();
        let channel = ChannelName::parse("private-room", 164).unwrap();
        let of = SignedFor::Subscription { channel, channel_data: Some("x".repeat(data)) };
        let disputed = DisputedAuth { auth: auth.to_owned(), of };
        hub.examine_auth(&app, SocketId::new(1, 2), None, &disputed)
    }

    #[test]
    fn a_secret_is_found_also_where_nothing_else_is_looked_for() {
        let (hub, told) = (hub(), |diagnosis: &Diagnosis| diagnosis.name() == "secret_told");
        exhaust(&hub);
        assert!(told(&examined(&hub, "hush-1:00", 1)) && told(&examined(&hub, "key-1:hush-2", 1)));
        assert!(told(&examined(&hub, "key-1:hush-1", 100_000)), "too long to be examined otherwise");
        assert_eq!(examined(&hub, "key-1:00", 100_000), Diagnosis::NotExamined);
        let error = RequestAuthError::NoVersion;
        for (path, query) in [
            ("/apps/1/channels", "auth_key=hush-2"),
            ("/apps/1/channels", "auth_key=key-1&auth_signature=hush-1"),
            ("/apps/hush-1/channels", "auth_key=key-1"),
        ] {
            let query = &Query::parse(query);
            let request = DisputedRequest { method: "GET", path, query, prefix_taken: None, now: 0 };
            let found = hub.examine_request(&request, &error).unwrap();
            assert!(told(&found), "{path} {query:?}");
        }
        assert!(told(&hub.examine_key("hush-2").unwrap()));
        assert_eq!(hub.shown_path("/app/hush-1"), crate::diagnosis::HIDDEN);
        assert_eq!(hub.shown_path("/app/key-1"), "/app/key-1");
    }

    #[test]
    fn a_refusal_that_says_enough_has_no_cause() {
        let (hub, query) = (hub(), &Query::parse("auth_key=key-3"));
        let request = DisputedRequest { method: "GET", path: "/", query, prefix_taken: None, now: 0 };
        assert_eq!(hub.examine_request(&request, &RequestAuthError::NoTimestamp), None);
        // That no app has the key is said; what it is instead is added where it is known.
        assert_eq!(hub.examine_request(&request, &RequestAuthError::UnknownKey), None);
        let query = &Query::parse("auth_key=2");
        let request = DisputedRequest { query, ..request };
        let examined = hub.examine_request(&request, &RequestAuthError::UnknownKey);
        assert_eq!(examined.as_deref().map(Diagnosis::name), Some("id_as_key"));
    }

    #[test]
    fn a_key_that_is_none_is_told_from_an_id_and_from_one_in_other_letters() {
        let hub = hub();
        let of = |key: &str| hub.examine_key(key).map(|diagnosis| diagnosis.name());
        assert_eq!(
            (of("2"), of("KEY-1"), of("key-1 ")),
            (Some("id_as_key"), Some("almost_key"), Some("almost_key"))
        );
        assert_eq!((of("3"), of("key-3"), of("")), (None, None, None));
    }
}
