//! Making faults in Rust, one function for each kind, with the methods that fit it.

use std::time::Duration;

use super::fault::{
    Fault, FrameAction, Frames, Http, IgnorePings, RefuseConnections, Scope, WebhookFailure, What, on_purpose,
};

impl Fault<RefuseConnections> {
    /// New connections are closed at once with this code, 1000 to 4999.
    pub fn refuse_connections(code: u16) -> Self {
        Fault::new(RefuseConnections { code, reason: on_purpose() })
    }

    /// The reason of the close frame.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.what.reason = reason.into();
        self
    }
}

impl Fault<Frames> {
    /// Events to clients are not sent.
    pub fn drop_frames() -> Self {
        Fault::frames(FrameAction::Drop, None)
    }

    /// Events to clients are sent later, in their order; by a day at most.
    pub fn delay_frames(by: Duration) -> Self {
        Fault::frames(FrameAction::Delay, Some(milliseconds(by)))
    }

    /// Events to clients are sent twice.
    pub fn duplicate_frames() -> Self {
        Fault::frames(FrameAction::Duplicate, None)
    }

    /// Events to clients are sent after the connection's next frame, or after 30 s if there is none.
    pub fn reorder_frames() -> Self {
        Fault::frames(FrameAction::Reorder, None)
    }

    fn frames(action: FrameAction, delay_ms: Option<u64>) -> Self {
        Fault::new(Frames { action, delay_ms, event: None, channel: None, socket_id: None, user_id: None })
    }

    /// Only this event. Frames without a channel, such as the greeting, are meant only if they are named here.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.what.event = Some(name.into());
        self
    }

    /// Only on this channel.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.what.channel = Some(name.into());
        self
    }

    /// Only to the connection with this id.
    #[must_use]
    pub fn to_socket(mut self, id: impl Into<String>) -> Self {
        self.what.socket_id = Some(id.into());
        self
    }

    /// Only to connections signed in as this user.
    #[must_use]
    pub fn to_user(mut self, id: impl Into<String>) -> Self {
        self.what.user_id = Some(id.into());
        self
    }
}

impl Fault<IgnorePings> {
    /// Pings go unanswered, those of the WebSocket and `pusher:ping` alike.
    pub fn ignore_pings() -> Self {
        Fault::new(IgnorePings::default())
    }

    /// Only those of the connection with this id.
    #[must_use]
    pub fn of_socket(mut self, id: impl Into<String>) -> Self {
        self.what.socket_id = Some(id.into());
        self
    }

    /// Only those of connections signed in as this user.
    #[must_use]
    pub fn of_user(mut self, id: impl Into<String>) -> Self {
        self.what.user_id = Some(id.into());
        self
    }
}

impl Fault<Http> {
    /// Authenticated requests to the HTTP API are answered with this status, 200 to 599, and do nothing.
    pub fn http_status(status: u16) -> Self {
        Fault::new(Http { status: Some(status), body: on_purpose(), hang: false, path: None })
    }

    /// Authenticated requests to the HTTP API get no answer while the fault is at work.
    pub fn http_hang() -> Self {
        Fault::new(Http { status: None, body: on_purpose(), hang: true, path: None })
    }

    /// What is answered.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.what.body = body.into();
        self
    }

    /// Only requests whose path holds this text.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.what.path = Some(part.into());
        self
    }
}

impl Fault<WebhookFailure> {
    /// Webhooks count as answered with this status, 300 to 599, and are not sent.
    pub fn webhooks_status(status: u16) -> Self {
        Fault::new(WebhookFailure { status: Some(status) })
    }

    /// Webhooks fail as if nobody listened.
    pub fn webhooks_unreachable() -> Self {
        Fault::new(WebhookFailure { status: None })
    }
}

impl<W> Fault<W> {
    fn new(what: W) -> Self {
        Fault { what, scope: Scope::default() }
    }

    /// So many times, at least 1; without it, until it is cleared.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.scope.times = Some(times);
        self
    }

    /// For so long by the app's clock, 1 ms to a day.
    #[must_use]
    pub fn lasting(mut self, span: Duration) -> Self {
        self.scope.for_ms = Some(milliseconds(span));
        self
    }

    /// In this share of the cases, above 0 and up to 1, as `seed` has it: the same seed repeats itself.
    #[must_use]
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        (self.scope.share, self.scope.seed) = (Some(share), Some(seed));
        self
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Makes a narrow fault one of any type.
macro_rules! is_a_fault {
    ($($what:ident is $variant:ident),*) => {$(
        impl From<$what> for What {
            fn from(what: $what) -> Self {
                What::$variant(what)
            }
        }

        impl From<Fault<$what>> for Fault {
            fn from(Fault { what, scope }: Fault<$what>) -> Self {
                Fault { what: what.into(), scope }
            }
        }
    )*};
}

is_a_fault!(
    RefuseConnections is RefuseConnections,
    Frames is Frames,
    IgnorePings is IgnorePings,
    Http is Http,
    WebhookFailure is Webhooks
);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fault_made_in_rust_is_the_one_that_json_describes() {
        let day = Duration::from_secs(86_400);
        let cases: [(Fault, _); 10] = [
            (
                Fault::refuse_connections(4100).reason("full").times(2).into(),
                json!({ "type": "refuse_connections", "code": 4100, "reason": "full", "times": 2 }),
            ),
            (
                Fault::drop_frames().event("message").channel("room").into(),
                json!({ "type": "frames", "action": "drop", "event": "message", "channel": "room" }),
            ),
            (
                Fault::delay_frames(Duration::from_millis(50)).share(0.5, 7).into(),
                json!({ "type": "frames", "action": "delay", "delay_ms": 50, "share": 0.5, "seed": 7 }),
            ),
            (
                Fault::duplicate_frames().to_socket("1.2").into(),
                json!({ "type": "frames", "action": "duplicate", "socket_id": "1.2" }),
            ),
            (
                Fault::reorder_frames().to_user("ann").into(),
                json!({ "type": "frames", "action": "reorder", "user_id": "ann" }),
            ),
            (
                Fault::ignore_pings().of_socket("1.2").of_user("ann").lasting(day).into(),
                json!({ "type": "ignore_pings", "socket_id": "1.2", "user_id": "ann", "for_ms": 86_400_000 }),
            ),
            (
                Fault::http_status(503).body("down").path("/events").into(),
                json!({ "type": "http", "status": 503, "body": "down", "path": "/events" }),
            ),
            (Fault::http_hang().into(), json!({ "type": "http", "hang": true })),
            (Fault::webhooks_status(500).into(), json!({ "type": "webhooks", "status": 500 })),
            (Fault::webhooks_unreachable().into(), json!({ "type": "webhooks" })),
        ];
        for (made, json) in cases {
            assert_eq!(made, Fault::parse(&json).unwrap(), "{json}");
        }
    }

    #[test]
    fn what_is_made_wrong_is_found_before_it_acts() {
        let cases: [(Fault, &str); 4] = [
            (Fault::refuse_connections(1006).into(), "got 1006"),
            (Fault::http_status(99).into(), "got 99"),
            (Fault::drop_frames().share(0.0, 1).into(), "got 0"),
            (Fault::delay_frames(Duration::MAX).into(), "at most 86400000"),
        ];
        for (made, expected) in cases {
            let error = made.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
