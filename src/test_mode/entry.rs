//! One thing that happened in an app under test, as tests read it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Makes the kinds from one table: each with its name in JSON.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A connection was accepted.
    Connected = "connected",
    /// A connection was refused: `code` and `reason` are those of the close frame.
    ConnectionRefused = "connection_refused",
    /// A connection ended. `code` and `reason` where the broker closed it; `code` alone where the client did.
    Disconnected = "disconnected",
    /// A connection subscribed to a channel; on presence channels with its `user_id`.
    Subscribed = "subscribed",
    /// A subscription ended.
    Unsubscribed = "unsubscribed",
    /// A channel got its first subscriber.
    ChannelOccupied = "channel_occupied",
    /// A channel lost its last subscriber.
    ChannelVacated = "channel_vacated",
    /// A user's first connection joined a presence channel.
    MemberAdded = "member_added",
    /// A user's last connection left a presence channel.
    MemberRemoved = "member_removed",
    /// A connection signed in as a user.
    SignedIn = "signed_in",
    /// The broker did not do what a client asked for, and told it so in a `pusher:error`.
    Refused = "refused",
    /// The HTTP API refused a request: `status` and `reason` are those of the answer.
    HttpRefused = "http_refused",
    /// An event was accepted: from a client, or over the HTTP API (`source`).
    Event = "event",
    /// An event was handed to one connection.
    Delivered = "delivered",
    /// A subscriber was told whether what it was sent of the channel's history is all that it missed or asked for: `data` is
    /// that of `pusher:resumed`.
    Resumed = "resumed",
    /// An event was delivered in a webhook, to the URL in `path`: `status` is the answer's.
    Webhook = "webhook",
    /// An attempt to deliver it failed: `status` is the answer's, or `reason` says why there was none. `fault` is there
    /// if a test wanted it; it was not sent then.
    WebhookFailed = "webhook_failed",
    /// A fault did its work: `reason` says what.
    Fault = "fault",
    /// The app's clock was advanced.
    ClockAdvanced = "clock_advanced",
    /// Somebody waited in vain: `reason` says for what. It is a mark between what happened, and is taken for something
    /// that happened only where it is asked for by its name.
    GaveUp = "gave_up",
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSource {
    /// A client sent it.
    Client,
    /// A backend published it over the HTTP API.
    Http,
}

/// One entry of the event log. Which members it has depends on its kind; those it has not are left out in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Counted from 1 within the app, without gaps.
    pub seq: u64,
    /// Milliseconds since the app came under test, by the machine's clock.
    pub at_ms: f64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The rest.
    #[serde(flatten)]
    pub details: Details,
}

/// What an entry says beyond its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// The connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<Arc<str>>,
    /// The user: the member of a presence channel, or whom a connection is signed in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Arc<str>>,
    /// The name of the event or webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// The payload as subscribers are sent it: text, which often is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Arc<str>>,
    /// Where an event came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EventSource>,
    /// A close code, or the code of a `pusher:error` that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// An HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The path of a request, or the URL that a webhook is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Arc<str>>,
    /// The fault that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<u64>,
    /// Which attempt to send a webhook it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// By how much the clock was advanced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced_ms: Option<u64>,
}

impl Details {
    /// What the entry counts for in the log's bound, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let Details { socket_id, user_id, channel, name, data, reason, path, .. } = self;
        let texts = [socket_id, user_id, channel, name, data, reason, path];
        size_of::<Entry>() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_json() {
        for &kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(serde_json::from_value::<Kind>(kind.name().into()).unwrap(), kind);
        }
    }

    #[test]
    fn what_an_entry_does_not_have_is_left_out() {
        let details = Details { channel: Some("room".into()), ..Details::default() };
        let entry = Entry { seq: 1, at_ms: 0.5, kind: Kind::ChannelOccupied, details };
        let json = serde_json::to_string(&entry).unwrap();
        assert_eq!(json, r#"{"seq":1,"at_ms":0.5,"type":"channel_occupied","channel":"room"}"#);
    }
}
