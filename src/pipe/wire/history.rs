//! What a channel keeps of its last events, as a backend is told it.

use serde_json::{Map, Value, json};

use crate::channel::{HistoryPage, HistoryPosition, KeptEvent};
use crate::protocol::json as text;

/// Bytes of the events in one answer, or one event.
pub(super) const ANSWER_BYTES: usize = 512 * 1024;

/// The answer to a request for events of a channel.
pub(super) fn answer(page: &HistoryPage) -> Value {
    let events: Vec<Value> =
        page.events.iter().filter_map(|(place, event)| event_json(*place, event)).collect();
    json!({ "events": events, "complete": page.complete, "more": page.has_more })
}

fn event_json(place: HistoryPosition, event: &KeptEvent) -> Option<Value> {
    let frame = event.text();
    let members =
        text::members(std::str::from_utf8(frame.json()).ok()?, ["event", "data", "user_id"]).ok()?;
    let [name, data, user_id] = members.map(|member| Some(text::as_string(member?)?.into_owned()));
    let mut told = Map::from_iter([
        ("position".to_owned(), place.to_string().into()),
        ("time_ms".to_owned(), event.time_ms.into()),
        ("event".to_owned(), name?.into()),
        ("data".to_owned(), data?.into()),
    ]);
    told.extend(user_id.map(|user_id| ("user_id".to_owned(), user_id.into())));
    Some(Value::Object(told))
}
