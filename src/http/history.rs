//! Answers requests for what a channel keeps of its last events: `GET /apps/{id}/channels/{name}/history`.

use actix_web::HttpResponse;
use serde_json::{Map, Value, json};

use super::ApiError;
use super::answer::json_response;
use super::authentication::Authenticated;
use super::channels::admit;
use super::event::channel_name;
use crate::channel::{HistoryPage, HistoryPosition, HistoryStart, KeptEvent};
use crate::protocol::{ChannelName, Frame, json as text};

/// Events on a page, unless the request says otherwise; and at most.
const PAGE_EVENTS: usize = 100;
const MOST_EVENTS: usize = 1000;

/// Bytes of the events on a page, or one event.
const PAGE_BYTES: usize = 1024 * 1024;

/// What the request asks for.
struct PageRequest {
    limit: usize,
    after: Option<HistoryPosition>,
}

/// The events that the channel keeps, the oldest first, from a position on or from the beginning.
pub(crate) async fn show(request: &Authenticated<'_>, name: &str) -> Result<HttpResponse, ApiError> {
    let app = &request.app;
    let name = channel_name(name, &app.app().limits)?;
    if app.app().history(&name).is_none() {
        return Err(ApiError::NoHistory);
    }
    let PageRequest { limit, after } = PageRequest::read(request)?;
    admit(app)?;
    let start = after.map_or(HistoryStart::Oldest, HistoryStart::Behind);
    let page = request.hub().read_history(app, &name, start, (limit, PAGE_BYTES)).await.unwrap_or_default();
    let HistoryPage { events, complete, has_more } = page;
    let events: Vec<Value> =
        events.iter().filter_map(|(place, event)| event_json(*place, event, &name)).collect();
    Ok(json_response(&json!({ "events": events, "complete": complete, "has_more": has_more })))
}

impl PageRequest {
    fn read(request: &Authenticated<'_>) -> Result<Self, ApiError> {
        let extraneous: Vec<&str> =
            request.query.names().filter(|name| !["limit", "after"].contains(name)).collect();
        if !extraneous.is_empty() {
            return Err(ApiError::Extraneous(extraneous.join(", ")));
        }
        let limit = match request.query.get("limit") {
            None => Some(PAGE_EVENTS),
            Some(text) => text.parse().ok().filter(|limit| (1..=MOST_EVENTS).contains(limit)),
        };
        let expected = "an integer from 1 to 1000";
        let limit = limit.ok_or(ApiError::WrongType { parameter: "limit", expected })?;
        let expected = "the position of an event, as a page of the history has it";
        let wrong = ApiError::WrongType { parameter: "after", expected };
        let after = request.query.get("after");
        let after = after.map(|text| HistoryPosition::parse(text).ok_or(wrong)).transpose()?;
        Ok(PageRequest { limit, after })
    }
}

/// One event, as it was published.
pub(crate) fn event_json(place: HistoryPosition, event: &KeptEvent, channel: &ChannelName) -> Option<Value> {
    let [name, data, user_id] = parts(&event.text())?;
    let mut members = Map::from_iter([
        ("position".to_owned(), place.to_string().into()),
        ("time_ms".to_owned(), event.time_ms.into()),
        ("name".to_owned(), name?.into()),
        ("channel".to_owned(), channel.as_str().into()),
        ("data".to_owned(), data?.into()),
    ]);
    members.extend(user_id.map(|user_id| ("user_id".to_owned(), user_id.into())));
    Some(Value::Object(members))
}

/// The name, the payload and the sender of an event, of which this is the text.
fn parts(frame: &Frame) -> Option<[Option<String>; 3]> {
    let members =
        text::members(std::str::from_utf8(frame.json()).ok()?, ["event", "data", "user_id"]).ok()?;
    Some(members.map(|member| Some(text::as_string(member?)?.into_owned())))
}
