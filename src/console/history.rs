//! What a channel keeps of its last events, the newest first; and who came back to channels, and with what.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Console;
use super::answer::ConsoleError;
use super::channels::{kept, name};
use super::list::{ListRequest, given, socket};
use crate::auth::request::Query;
use crate::channel::{HistoryPosition, HistoryStart};
use crate::http::history_event_json;
use crate::hub::{AppState, Recovery};

/// Bytes of the events on a page of a history, or one event.
const HISTORY_BYTES: usize = 1024 * 1024;

impl Console {
    /// A page of what a channel keeps of its last events, the newest first.
    pub(super) async fn channel_history(
        &self,
        app: &Arc<AppState>,
        text: &str,
        query: &Query,
    ) -> Result<Value, ConsoleError> {
        let (name, asked) = (name(app, text)?, ListRequest::read(query)?);
        let bounds = app.app().history(&name);
        let bounds = bounds
            .ok_or_else(|| ConsoleError::Nothing { what: "history of the channel", name: text.to_owned() })?;
        let position = |text: &String| {
            let expected = "the position of an event";
            HistoryPosition::parse(text)
                .ok_or_else(|| ConsoleError::parameter("after", expected, format_args!("{text:?}")))
        };
        let before = asked.after.as_ref().map(position).transpose()?;
        let most = (asked.limit, HISTORY_BYTES);
        let found = self.hub.read_history(app, &name, HistoryStart::Newest { before }, most).await;
        let found = found.unwrap_or_default();
        let next = found.events.first().filter(|_| found.has_more).map(|(place, _)| place.to_string());
        let events = found.events.iter().rev();
        let events: Vec<Value> =
            events.filter_map(|(place, event)| history_event_json(*place, event, &name)).collect();
        Ok(json!({
            "items": events,
            "next": next,
            "complete": found.complete,
            "history": kept(app, &name, &bounds),
            "node": self.node(),
        }))
    }

    /// Who came back last, to all channels or to one, or by one connection.
    pub(super) fn recoveries(&self, app: &AppState, query: &Query) -> Result<Value, ConsoleError> {
        let limit = ListRequest::read(query)?.limit;
        let channel = given(query, "channel");
        let connection = given(query, "socket_id").map(|id| socket("socket_id", &id)).transpose()?;
        let wanted = |recovery: &Recovery| {
            channel.as_deref().is_none_or(|channel| recovery.channel.as_str() == channel)
                && connection.is_none_or(|connection| recovery.socket_id == connection)
        };
        let found = app.recoveries().latest(limit, wanted);
        Ok(json!({
            "items": found.iter().map(recovery).collect::<Vec<_>>(),
            "node": self.node(),
            "scope": "node",
        }))
    }
}

fn recovery(recovery: &Recovery) -> Value {
    let Recovery { at, channel, socket_id, client, outcome, events, bytes } = recovery;
    let reason = outcome.reason();
    json!({
        "at": at,
        "channel": channel.as_str(),
        "socket_id": socket_id.to_string(),
        "client": client,
        "complete": reason.is_none(),
        "outcome": outcome.name(),
        "reason": reason,
        "events": events,
        "bytes": bytes,
    })
}
