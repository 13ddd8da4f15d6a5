//! The settings of the HTTP transports: `[fallback]`.

use std::time::Duration;

/// `[fallback]`: the HTTP transports, for clients that cannot have a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackConfig {
    /// Off: their paths are not found.
    pub enabled: bool,
    /// Where they begin, after the server's path prefix: `/` and segments without a trailing slash. Clients call it
    /// `httpPath`.
    pub path: String,
    /// The host that clients are told to send a session's later requests to; empty tells them none.
    pub hostname: String,
    /// The silence after which a stream is sent a heartbeat.
    pub heartbeat: Duration,
    /// How long a poll is held that has nothing to deliver.
    pub poll_hold: Duration,
    /// How long a session lives without a response to write to. Over it: the disconnect procedure.
    pub session_timeout: Duration,
    /// How long a SockJS client may take to name its app. Over it: close 4009.
    pub introduction_timeout: Duration,
    /// Bytes after which a stream of SockJS is ended, for the client to begin another. Native streams are never ended.
    pub sockjs_stream_bytes: usize,
    /// Sessions of this node at once, all apps together; 0 lifts the limit. Over it: close 4100.
    pub max_sessions: usize,
    /// The SockJS client that the iframe page loads, a URL.
    pub sockjs_url: String,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        FallbackConfig {
            enabled: true,
            path: "/pusher".to_owned(),
            hostname: String::new(),
            heartbeat: Duration::from_secs(25),
            poll_hold: Duration::from_secs(25),
            session_timeout: Duration::from_secs(5),
            introduction_timeout: Duration::from_secs(10),
            sockjs_stream_bytes: 128 * 1024,
            max_sessions: 100_000,
            sockjs_url: "https://js.pusher.com/8.4/sockjs.min.js".to_owned(),
        }
    }
}
