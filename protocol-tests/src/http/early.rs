//! Requests that a broker answers before their end.

/// Methods and paths of requests whose answer is known from the head, whatever their body. The app is the usual one.
pub const ANSWERED_EARLY: &[&str] = &[
    "GET /health",
    "GET /ready",
    "POST /nowhere",
    "OPTIONS /apps/x/events",
    "GET /app/app-key",
    "POST /apps/nobody/events",
    "POST /apps/nobody/batch_events",
    "GET /apps/nobody/channels",
    "GET /apps/nobody/channels/room/sse",
    "POST /users/u/terminate_connections",
    "GET /pusher/info",
    "GET /pusher/",
    "GET /pusher/iframe.html",
    "OPTIONS /pusher/1/abc/xhr",
    "POST /pusher/1/abc/xhr_send",
    "GET /pusher/1/abc/nothing",
    "GET /timeline/v2/jsonp/1",
    "POST /test/reset",
    "GET /",
];
