//! Finds the session of a request, whichever worker it arrives at: the table of the sessions of the node.
//!
//! A session lives on the worker that its first request came to. Others reach it by a bounded channel; the table is
//! looked into once per request, and never for a delivery.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::{mpsc, oneshot};

use super::endpoint::SessionName;
use super::response_channel::ResponseSink;
use super::response_format::Prelude;
use crate::http::Arrival;

/// Requests that wait for one session. More wait at their connections.
const MAX_QUEUED_REQUESTS: usize = 4;

/// A request, as its session is given it.
#[derive(Debug)]
pub(super) enum SessionRequest {
    /// A response that receives.
    Receive {
        sink: ResponseSink,
        prelude: Prelude,
        /// Its number among all requests of the page, if it tells one.
        number: Option<u64>,
        /// How the request came.
        arrival: Arrival,
        /// Told when the session has it.
        taken: oneshot::Sender<()>,
    },
    /// Messages, in order.
    Send {
        messages: Vec<String>,
        /// As above.
        number: Option<u64>,
        /// What the request has of its own, if it has anything.
        mark: Option<u64>,
        /// How the request came.
        arrival: Arrival,
        /// Told when the session has read them.
        taken: oneshot::Sender<()>,
    },
}

/// The sessions of all workers.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: DashMap<SessionName, SessionEntry>,
    count: AtomicUsize,
    /// 0 lifts it.
    limit: usize,
    impatient: AtomicU64,
}

/// The entry of one session in the table.
#[derive(Debug)]
struct SessionEntry {
    requests: mpsc::Sender<SessionRequest>,
    /// The origin of the first request that told one. Scripts and same-origin requests need not tell theirs.
    origin: OnceLock<String>,
}

/// The result of looking a session up.
pub(super) enum SessionLookup {
    Session(mpsc::Sender<SessionRequest>),
    /// It is to be begun: these are its requests.
    New(mpsc::Sender<SessionRequest>, mpsc::Receiver<SessionRequest>),
    /// It is not there, and no other may be.
    Full,
    /// It is not there, or is none of this origin's.
    NotFound,
}

impl Sessions {
    /// None yet.
    pub(crate) fn new(limit: usize) -> Self {
        Sessions { table: DashMap::new(), count: AtomicUsize::new(0), limit, impatient: AtomicU64::new(0) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// So many sends of a session that ends have waited in vain for those before them.
    pub(super) fn count_impatient(&self, sends: u64) {
        self.impatient.fetch_add(sends, Ordering::Relaxed);
    }

    /// How many have, of all sessions that have ended.
    pub(crate) fn impatient(&self) -> u64 {
        self.impatient.load(Ordering::Relaxed)
    }

    /// Finds a session for a request from `origin`.
    pub(super) fn find(&self, name: &SessionName, origin: Option<&str>) -> SessionLookup {
        match self.table.get(name) {
            Some(entry) => entry.open_to(origin),
            None => SessionLookup::NotFound,
        }
    }

    /// Whether there is a session of this name, whoever asks.
    pub(super) fn has(&self, name: &SessionName) -> bool {
        self.table.contains_key(name)
    }

    /// Whether a request from `origin` would find a session, or room for a new one.
    pub(super) fn would_serve(&self, name: &SessionName, origin: Option<&str>) -> bool {
        match self.table.get(name) {
            Some(entry) => matches!(entry.open_to(origin), SessionLookup::Session(_)),
            None => self.limit == 0 || self.count.load(Ordering::Relaxed) < self.limit,
        }
    }

    /// Finds a session, or makes room for a new one.
    pub(super) fn find_or_begin(&self, name: &SessionName, origin: Option<&str>) -> SessionLookup {
        match self.table.entry(name.clone()) {
            Entry::Occupied(entry) => entry.get().open_to(origin),
            Entry::Vacant(vacant) => {
                let before = self.count.fetch_add(1, Ordering::Relaxed);
                if self.limit > 0 && before >= self.limit {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return SessionLookup::Full;
                }
                let (sender, requests) = mpsc::channel(MAX_QUEUED_REQUESTS);
                let entry = SessionEntry { requests: sender.clone(), origin: OnceLock::new() };
                let _ = entry.open_to(origin);
                vacant.insert(entry);
                SessionLookup::New(sender, requests)
            }
        }
    }

    /// Forgets a session that has ended.
    pub(super) fn remove(&self, name: &SessionName) {
        if self.table.remove(name).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl SessionEntry {
    fn open_to(&self, origin: Option<&str>) -> SessionLookup {
        let foreign = origin.is_some_and(|origin| self.origin.get_or_init(|| origin.to_owned()) != origin);
        if foreign { SessionLookup::NotFound } else { SessionLookup::Session(self.requests.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> SessionName {
        SessionName::SockJs(id.to_owned())
    }

    #[test]
    fn a_session_is_found_by_its_own_name_and_origin_alone() {
        let sessions = Sessions::new(0);
        assert!(matches!(sessions.find(&name("a"), None), SessionLookup::NotFound));
        assert!(matches!(sessions.find_or_begin(&name("a"), None), SessionLookup::New(..)));
        assert!(matches!(sessions.find(&name("a"), None), SessionLookup::Session(_)));
        assert!(matches!(sessions.find(&name("A"), None), SessionLookup::NotFound));
        assert!(sessions.has(&name("a")) && !sessions.has(&name("A")));
        // The first that tells its origin binds the session to it.
        assert!(matches!(sessions.find(&name("a"), Some("https://a.example")), SessionLookup::Session(_)));
        assert!(matches!(sessions.find(&name("a"), Some("https://b.example")), SessionLookup::NotFound));
        assert!(!sessions.would_serve(&name("a"), Some("https://b.example")));
        assert!(matches!(sessions.find_or_begin(&name("a"), Some("null")), SessionLookup::NotFound));
        assert!(matches!(sessions.find(&name("a"), None), SessionLookup::Session(_)));
        sessions.remove(&name("a"));
        assert!(matches!(sessions.find(&name("a"), None), SessionLookup::NotFound));
    }

    #[test]
    fn there_are_no_more_than_the_limit_and_a_place_given_back_can_be_taken() {
        let sessions = Sessions::new(1);
        assert!(matches!(sessions.find_or_begin(&name("a"), None), SessionLookup::New(..)));
        assert!(sessions.would_serve(&name("a"), None) && !sessions.would_serve(&name("b"), None));
        assert!(matches!(sessions.find_or_begin(&name("b"), None), SessionLookup::Full));
        assert!(matches!(sessions.find_or_begin(&name("a"), None), SessionLookup::Session(_)));
        sessions.remove(&name("b"));
        sessions.remove(&name("a"));
        sessions.remove(&name("a"));
        assert!(matches!(sessions.find_or_begin(&name("b"), None), SessionLookup::New(..)));
    }
}
