//! The HTTP transports, for clients that cannot have a WebSocket: pusher-js's own, and SockJS 0.3.
//!
//! Both are sessions made of many requests. A session is a conversation like any other, with a response writer in place
//! of a socket: its frames wait until a request is there to receive them. SockJS over a WebSocket is in here too, since it
//! begins in the same way; from then on it is a WebSocket connection.

mod config;
mod endpoint;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod headers;
mod incoming_sends;
mod introduction;
mod message_body;
mod pages;
mod requests;
mod response_channel;
mod response_format;
mod response_writer;
mod send_order;
mod session;
mod session_stage;
mod session_table;
mod session_timer;

pub use config::FallbackConfig;
pub(super) use introduction::IntroducedPath;
pub(super) use message_body::messages_of_frame;
pub(crate) use requests::handle;
pub(crate) use session_table::Sessions;

use std::rc::Rc;
use std::sync::Arc;

use crate::http::{BodyBounds, ListenerSettings};
use crate::hub::Worker;

/// The HTTP transports as one worker serves them.
#[derive(Debug)]
pub(crate) struct Fallback {
    worker: Rc<Worker>,
    sessions: Arc<Sessions>,
    config: FallbackConfig,
    settings: Rc<ListenerSettings>,
    /// The prefix, and the path of the fallbacks after it.
    base: String,
    body: BodyBounds,
}

impl Fallback {
    /// What a configuration asks for, on the worker of the calling thread; `sessions` are the whole node's.
    pub(crate) fn new(
        worker: Rc<Worker>,
        sessions: Arc<Sessions>,
        config: FallbackConfig,
        settings: Rc<ListenerSettings>,
        body: BodyBounds,
    ) -> Self {
        let base = format!("{}{}", settings.path_prefix, config.path);
        Fallback { worker, sessions, config, settings, base, body }
    }

    /// Whether requests at this path are for [`handle`].
    pub(crate) fn serves(&self, path: &str) -> bool {
        let below =
            |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.config.enabled && (below(&self.base) || self.statistics_path(path).is_some())
    }

    fn statistics_path<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.settings.path_prefix.as_str())?.strip_prefix("/timeline/")
    }
}

/// The framing that a WebSocket of SockJS has, by its path below the base path of the fallbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SockJsFraming {
    /// SockJS's own: arrays of messages.
    Framed,
    /// None: a message is a message.
    Raw,
}

/// The framing of the WebSocket at this path, if one of SockJS's is there.
pub(super) fn websocket_at(path: &str, base: &str) -> Option<SockJsFraming> {
    match endpoint::FallbackEndpoint::at(path.strip_prefix(base)?) {
        Some(endpoint::FallbackEndpoint::WebSocket(framing)) => Some(framing),
        _ => None,
    }
}
