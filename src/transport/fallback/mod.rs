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
mod session_signs;
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
use crate::recovery::GivenName;

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
        self.config.enabled && (self.below(path).is_some() || self.statistics_path(path).is_some())
    }

    /// What follows the base path, and what the client calls itself.
    fn below<'p>(&self, path: &'p str) -> Option<(GivenName, &'p str)> {
        below(path, &self.base, &self.settings.path_prefix)
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

/// The framing of the WebSocket at this path, if one of SockJS's is there, and what the client calls itself.
pub(super) fn websocket_at(path: &str, base: &str, prefix: &str) -> Option<(SockJsFraming, GivenName)> {
    let (name, below) = below(path, base, prefix)?;
    match endpoint::FallbackEndpoint::at(below) {
        Some(endpoint::FallbackEndpoint::WebSocket(framing)) => Some((framing, name)),
        _ => None,
    }
}

/// What follows the base path of the fallbacks. Clients that have a name take `{prefix}/r/{name}` for it, where
/// WebSockets are as well.
fn below<'p>(path: &'p str, base: &str, prefix: &str) -> Option<(GivenName, &'p str)> {
    if let Some(rest) = path.strip_prefix(base)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return Some((GivenName::None, rest));
    }
    let (name, rest) = GivenName::take_off(path.strip_prefix(prefix)?);
    let is_of_websockets = |key: &str| !key.trim_end_matches('/').contains('/');
    if !name.is_given() || rest.strip_prefix("/app/").is_some_and(is_of_websockets) {
        return None;
    }
    Some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::ClientName;

    #[test]
    fn a_name_in_the_path_stands_for_the_base_path() {
        const NAME: &str = "7f1b6ea4-8a9e-4e53-8f59-1d7a3e0b9c11";
        let fit = || GivenName::Fit(ClientName::parse(NAME).unwrap());
        for prefix in ["", "/x"] {
            let base = format!("{prefix}/pusher");
            let at = |path: &str| {
                let path = format!("{prefix}{path}");
                below(&path, &base, prefix).map(|(name, rest)| (name, rest.to_owned()))
            };
            for rest in ["", "/", "/info", "/app/key/1/abc/xhr_streaming", "/000/abc/xhr", "/websocket"] {
                assert_eq!(at(&format!("/pusher{rest}")), Some((GivenName::None, rest.to_owned())));
                assert_eq!(at(&format!("/r/{NAME}{rest}")), Some((fit(), rest.to_owned())));
                assert_eq!(at(&format!("/r/tab{rest}")), Some((GivenName::Unfit, rest.to_owned())));
            }
            for other in
                ["/pushers", "/app/key", "/r", "/r/", &format!("/r/{NAME}/app/key"), "/r/tab/app/key/"]
            {
                assert_eq!(at(other), None, "{other}");
            }
        }
        assert_eq!(below("/r/tab/info", "/x/pusher", "/x"), None, "it is not below the prefix");
    }
}
