//! What this node wants to hear, and what it has not yet told the engine of it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::names::{TAGS, tag};
use crate::cluster::adapter::{EngineError, EngineTicket, Subject, answer};

/// Changes that the engine has not yet been told of. Beyond them the connection is given up, and what is wanted is
/// subscribed to anew: that is less than the changes.
const MAX_CHANGES: usize = 100_000;

/// A subscription that begins or ends.
pub(super) struct WantedChange {
    pub(super) name: Arc<str>,
    pub(super) wants: bool,
    pub(super) ticket: Option<EngineTicket>,
}

/// All that this node wants. It stays when the link goes.
#[derive(Default)]
pub(super) struct WantedSubjects {
    inner: Mutex<WantedNow>,
}

#[derive(Default)]
struct WantedNow {
    subjects: HashMap<Arc<str>, Subject>,
    /// By server; none while there is no connection.
    changes: Vec<(VecDeque<WantedChange>, Arc<Notify>)>,
    routes: Option<Box<[u16; TAGS]>>,
    has_overflown: bool,
}

impl WantedSubjects {
    /// The subject of a channel, if it is wanted. What the engine sends of others is nobody's.
    pub(super) fn subject(&self, channel: &[u8]) -> Option<Subject> {
        let name = std::str::from_utf8(channel).ok()?;
        self.inner.lock().subjects.get(name).cloned()
    }

    pub(super) fn change(&self, name: String, subject: &Subject, wants: bool, ticket: Option<EngineTicket>) {
        let name: Arc<str> = name.into();
        let mut inner = self.inner.lock();
        if wants {
            inner.subjects.insert(Arc::clone(&name), subject.clone());
        } else {
            inner.subjects.remove(&name);
        }
        let route = inner.routes.as_ref().and_then(|routes| routes.get(tag(subject)).copied());
        let changes = route.and_then(|route| inner.changes.get_mut(usize::from(route)));
        match changes {
            Some((changes, more)) if changes.len() < MAX_CHANGES => {
                changes.push_back(WantedChange { name, wants, ticket });
                more.notify_one();
            }
            Some((_, more)) => {
                more.notify_one();
                inner.has_overflown = true;
                drop(inner);
                answer(ticket, Err(EngineError::Away));
            }
            None => {
                drop(inner);
                answer(ticket, Err(EngineError::Away));
            }
        }
    }

    /// Begins a connection to so many servers: what is wanted now, by server, and what tells that changes wait. Later
    /// changes wait for them.
    pub(super) fn open(&self, servers: usize, routes: [u16; TAGS]) -> (Vec<Vec<Arc<str>>>, Vec<Arc<Notify>>) {
        let mut inner = self.inner.lock();
        let mut now = vec![Vec::new(); servers];
        for (name, subject) in &inner.subjects {
            if let Some(of_server) = routes.get(tag(subject)).and_then(|at| now.get_mut(usize::from(*at))) {
                of_server.push(Arc::clone(name));
            }
        }
        inner.changes = (0..servers).map(|_| Default::default()).collect();
        inner.routes = Some(Box::new(routes));
        inner.has_overflown = false;
        let more = inner.changes.iter().map(|(_, more)| Arc::clone(more)).collect();
        (now, more)
    }

    /// The connection has ended: whoever waits for a confirmation gets none.
    pub(super) fn close(&self) {
        let changes = {
            let mut inner = self.inner.lock();
            inner.routes = None;
            std::mem::take(&mut inner.changes)
        };
        for change in changes.into_iter().flat_map(|(changes, _)| changes) {
            answer(change.ticket, Err(EngineError::Away));
        }
    }

    /// The next changes of a server, in their order.
    ///
    /// # Errors
    /// If there were too many.
    pub(super) fn batch(&self, server: usize, most: usize) -> Result<Vec<WantedChange>, TooManyChanges> {
        let mut inner = self.inner.lock();
        if inner.has_overflown {
            return Err(TooManyChanges);
        }
        let Some((changes, _)) = inner.changes.get_mut(server) else { return Ok(Vec::new()) };
        let count = changes.len().min(most);
        Ok(changes.drain(..count).collect())
    }
}

/// More subscriptions have changed than the engine takes.
#[derive(Debug, thiserror::Error)]
#[error("more subscriptions have changed than the engine takes")]
pub(super) struct TooManyChanges;
