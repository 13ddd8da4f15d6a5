//! Serves the pipe's protocol: a WebSocket on which a backend, in any language, hears what clients say and answers at
//! once.
//!
//! Two protocols are spoken on it. The original one (0.2, and what came before it) is what the npm package
//! `pusher-pipe` of 2012 speaks; the broker's own (1.0) is a superset with filters, groups, acknowledgements and flow
//! control. `docs/pipe.md` specifies both. Requests, filters and queues are pure; [`PipeWire`] is the rest.

mod admission;
mod client;
mod clients;
mod command;
mod connection;
mod dialect;
mod election;
#[doc(hidden)]
pub(crate) mod fuzzing;
mod history;
mod message;
mod notification;
mod outgoing_queue;
mod params;
mod request;
mod request_error;
mod session;

pub(crate) use admission::{PipeHandshake, is_pipe};
pub(crate) use clients::{BackendFigures, PipeClients};
pub(crate) use connection::{refuse, serve};
pub use dialect::Dialect;
pub(crate) use outgoing_queue::OutgoingFigures;
pub(crate) use request_error::PipeRequestError;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::hub::Listener;
use crate::pipe::PipeConfig;
use crate::protocol::CloseCode;

/// The pipe clients of all apps of a node, and the settings of their protocol.
#[derive(Debug)]
pub(crate) struct PipeWire {
    config: PipeConfig,
    /// By the app's id. An app keeps its entry when it is configured anew.
    apps: Mutex<HashMap<String, Arc<PipeClients>>>,
    draining: AtomicBool,
}

impl PipeWire {
    /// Nobody is connected yet.
    pub(crate) fn new(config: PipeConfig) -> Arc<Self> {
        Arc::new(PipeWire { config, apps: Mutex::default(), draining: AtomicBool::new(false) })
    }

    /// What tells the clients of an app what happens in it.
    pub(crate) fn listener(&self, app_id: &str) -> Arc<dyn Listener> {
        self.clients(app_id)
    }

    /// Ends every client with 4200, and admits no more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.apps.lock().values().for_each(|clients| clients.end_all(CloseCode::Reconnect));
    }

    /// Ends the clients of an app, which is gone or switched off.
    pub(crate) fn end_app(&self, app_id: &str, code: CloseCode) {
        self.clients(app_id).end_all(code);
    }

    /// How many clients an app has, and what waits for them.
    pub(crate) fn figures_of(&self, app_id: &str) -> (usize, OutgoingFigures) {
        let clients = self.apps.lock().get(app_id).cloned();
        clients.map(|clients| clients.figures()).unwrap_or_default()
    }

    /// The first clients of an app, so many at the most, and what waits for each.
    pub(crate) fn backends_of(&self, app_id: &str, most: usize) -> Vec<BackendFigures> {
        let clients = self.apps.lock().get(app_id).cloned();
        clients.map(|clients| clients.each(most)).unwrap_or_default()
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn clients(&self, app_id: &str) -> Arc<PipeClients> {
        Arc::clone(self.apps.lock().entry(app_id.to_owned()).or_default())
    }
}
