//! One fault as a test describes it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FrameFacts;
use crate::test_mode::meant::explained;

/// A fault: what goes wrong, and how often or for how long. `Fault<What>` is one of any type; the functions that make
/// faults answer narrower ones, which have the methods that make sense for them, and become it where it is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault<W = What> {
    /// What fails, and how.
    pub what: W,
    /// How often, for how long, by what chance.
    pub scope: Scope,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// New connections are closed at once.
    RefuseConnections(RefuseConnections),
    /// Frames to clients do not arrive as they should.
    Frames(Frames),
    /// Pings go unanswered, those of the WebSocket and `pusher:ping` alike.
    IgnorePings(IgnorePings),
    /// Authenticated requests to the HTTP API are answered with a status, or not at all.
    Http(Http),
    /// Webhooks fail without being sent.
    Webhooks(WebhookFailure),
}

/// How new connections are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RefuseConnections {
    /// With this close code.
    pub code: u16,
    /// The sentence that goes with the code.
    #[serde(default = "on_purpose")]
    pub reason: String,
}

/// Which frames to clients do not arrive as they should, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// What becomes of them.
    pub action: FrameAction,
    /// For [`FrameAction::Delay`]: by how much, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Of this event only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// On this channel only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// To this connection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// To connections signed in as this user, or members of a presence channel as this user, only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// Whose pings go unanswered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IgnorePings {
    /// Of this connection only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// Of connections signed in as this user, or members of a presence channel as this user, only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// How requests to the HTTP API are answered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// The status, 200 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What is answered.
    #[serde(default = "on_purpose")]
    pub body: String,
    /// On: no answer comes while the fault is at work.
    #[serde(default)]
    pub hang: bool,
    /// Only paths that hold this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// How webhooks fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookFailure {
    /// As if answered with this status, 300 to 599; without it, as if nobody listened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameAction {
    /// It is not sent.
    Drop,
    /// It is sent later. Delayed frames keep their order among themselves.
    Delay,
    /// It is sent twice.
    Duplicate,
    /// It is sent after the connection's next frame, or after 30 s if there is none.
    Reorder,
}

/// How often, for how long, by what chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Scope {
    /// So many times; without it, until it is cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// For so long, in milliseconds of the app's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// In this share of the cases, above 0 and up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What chance begins with; without it, one is drawn, and listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The JSON is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFault {
    /// What came is JSON, and no object; its text, shortened.
    #[error("expected a fault as a JSON object with a \"type\", got {0}")]
    NotAnObject(String),
    /// A member is missing, unknown or of another type.
    #[error("this is no fault: {0}")]
    Member(String),
    /// No close frame can have this code.
    #[error(
        "expected \"code\" to be a close code of 1000 to 4999, and none of 1004, 1005, 1006 and 1015, got {0}"
    )]
    CloseCode(u16),
    /// No answer can have this status.
    #[error("expected \"status\" to be from 200 to 599, got {0}")]
    Status(u16),
    /// With such an answer a webhook would count as delivered, or it is none.
    #[error("expected \"status\" to be from 300 to 599 for webhooks that fail, got {0}")]
    WebhookStatus(u16),
    /// There must be one of two.
    #[error("expected either \"status\" or \"hang\": true for the HTTP API")]
    StatusOrHang,
    /// It would never act, or is no share.
    #[error("expected \"share\" to be above 0 and at most 1, got {0}")]
    Share(String),
    /// It would never act.
    #[error("expected \"times\" and \"for_ms\" to be at least 1")]
    Never,
    /// A delay needs its length, and nothing else has one.
    #[error("expected \"delay_ms\" for the action delay, and for no other")]
    Delay,
    /// Longer than anything a test waits for.
    #[error("expected \"delay_ms\" and \"for_ms\" to be at most {MOST_MS}, got {0}")]
    TooLong(u64),
}

/// The longest delay, and the longest life of a fault, in milliseconds: a day.
const MOST_MS: u64 = 86_400_000;

pub(super) fn on_purpose() -> String {
    "A test asked for this".to_owned()
}

/// Whether a close frame may have this code. The four that are left out are never sent.
pub(crate) fn is_close_code(code: u16) -> bool {
    (1000..=4999).contains(&code) && !matches!(code, 1004 | 1005 | 1006 | 1015)
}

impl Fault {
    /// Reads a fault from JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(value: &Value) -> Result<Self, BadFault> {
        let Some(members) = value.as_object() else { return Err(BadFault::NotAnObject(value.to_string())) };
        let mut rest = members.clone();
        let scope: serde_json::Map<String, Value> = ["times", "for_ms", "share", "seed"]
            .into_iter()
            .filter_map(|name| rest.remove_entry(name))
            .collect();
        let wrong = |error: serde_json::Error| {
            BadFault::Member(explained(&error, &["times", "for_ms", "share", "seed"]))
        };
        let scope: Scope = serde_json::from_value(scope.into()).map_err(wrong)?;
        let what: What = serde_json::from_value(rest.into()).map_err(wrong)?;
        let fault = Fault { what, scope };
        fault.check()?;
        Ok(fault)
    }

    /// Looks for what the types leave open.
    ///
    /// # Errors
    /// If it could not do its work.
    pub fn check(&self) -> Result<(), BadFault> {
        let Scope { times, for_ms, share, .. } = self.scope;
        if times == Some(0) || for_ms == Some(0) {
            return Err(BadFault::Never);
        }
        if let Some(share) = share.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(BadFault::Share(share.to_string()));
        }
        let delay = match &self.what {
            What::Frames(Frames { action, delay_ms, .. }) => {
                if (*action == FrameAction::Delay) != delay_ms.is_some() {
                    return Err(BadFault::Delay);
                }
                *delay_ms
            }
            _ => None,
        };
        if let Some(long) = delay.into_iter().chain(for_ms).find(|ms| *ms > MOST_MS) {
            return Err(BadFault::TooLong(long));
        }
        match &self.what {
            What::RefuseConnections(RefuseConnections { code, .. }) if !is_close_code(*code) => {
                Err(BadFault::CloseCode(*code))
            }
            What::Http(Http { status, hang, .. }) if status.is_some() == *hang => Err(BadFault::StatusOrHang),
            What::Http(Http { status: Some(status), .. }) if !(200..=599).contains(status) => {
                Err(BadFault::Status(*status))
            }
            What::Webhooks(WebhookFailure { status: Some(status) }) if !(300..=599).contains(status) => {
                Err(BadFault::WebhookStatus(*status))
            }
            _ => Ok(()),
        }
    }

    /// The fault as JSON, as it can be read again.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(&self.what).unwrap_or_default();
        if let (Some(members), Ok(Value::Object(scope))) =
            (value.as_object_mut(), serde_json::to_value(self.scope))
        {
            members.extend(scope);
        }
        value
    }
}

impl What {
    /// Whether a fault of frames concerns this one.
    pub(super) fn concerns(&self, facts: &FrameFacts<'_>) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let is_user = |wanted: &Option<String>, users: &[Arc<str>]| {
            wanted.as_deref().is_none_or(|wanted| users.iter().any(|user| **user == *wanted))
        };
        match self {
            What::Frames(Frames { event, channel, socket_id, user_id, .. }) => {
                // Without the name of an event, only what subscribers and members of channels are told is meant: to
                // lose the handshake or a pong by accident would be no use to anybody.
                let kind = match event {
                    Some(event) => facts.event == Some(event),
                    None => facts.event.is_some() && facts.channel.is_some(),
                };
                kind && same(channel, facts.channel)
                    && same(socket_id, Some(facts.socket_id))
                    && is_user(user_id, facts.users)
            }
            What::IgnorePings(IgnorePings { socket_id, user_id }) => {
                facts.answers_ping && same(socket_id, Some(facts.socket_id)) && is_user(user_id, facts.users)
            }
            What::RefuseConnections(_) | What::Http(_) | What::Webhooks(_) => false,
        }
    }
}
