//! Answers requests for the state of channels: `GET /apps/{id}/channels`, `…/channels/{name}`,
//! `…/channels/{name}/users`, and the older `…/channels/{name}/stats`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::ApiError;
use super::answer::{json_response, whole_seconds};
use super::authentication::Authenticated;
use super::channel_list::ChannelList;
use super::event::channel_name;
use super::info::Info;
use crate::hub::{AppState, RateExceeded};
use crate::protocol::ChannelName;

/// Of an app with more channels than this, they are gathered on another thread.
const MAX_AT_ONCE: usize = 1000;

/// The occupied channels, all or those whose names begin with `filter_by_prefix`. Of an app that has many, their names
/// are gathered on another thread, and looked up and written in pieces: nothing on this worker waits for the list, and
/// it takes the memory of one reference for each channel.
pub(crate) async fn list(request: &Authenticated<'_>) -> Result<HttpResponse, ApiError> {
    let prefix = request.query.get("filter_by_prefix").unwrap_or_default();
    let info = Info::of_channels(&request.query.list("info").unwrap_or_default(), prefix, &request.app)?;
    admit(&request.app)?;
    if request.app.channel_count() > MAX_AT_ONCE {
        let app = Arc::clone(&request.app);
        let prefix = prefix.to_owned();
        let gathered = web::block(move || app.channel_names(&prefix)).await;
        let names = gathered.map_err(|_| ApiError::ShuttingDown)?;
        let app = Arc::clone(&request.app);
        let attributes = move |name: &ChannelName| {
            let channel = app.channel(name)?;
            Some(Value::Object(info.counts(Some(&channel))))
        };
        let list = ChannelList::new(names, attributes);
        return Ok(HttpResponse::Ok().content_type("application/json").body(list));
    }
    let channels = request.app.channels(prefix);
    let channels: Map<_, _> =
        channels.iter().map(|c| (c.name.to_string(), Value::Object(info.counts(Some(c))))).collect();
    Ok(json_response(&json!({ "channels": channels })))
}

/// One channel. An unknown one is not occupied; that is no error.
pub(crate) async fn show(request: &Authenticated<'_>, name: &str) -> Result<HttpResponse, ApiError> {
    let name = channel_name(name, &request.app.app().limits)?;
    let info = Info::of_channel(&request.query.list("info").unwrap_or_default(), &name, &request.app)?;
    admit(&request.app)?;
    let mut attributes = info.attributes(request.hub(), &request.app, &name).await;
    let occupied = name.channel_type().is_listed() && request.app.channel(&name).is_some();
    attributes.insert("occupied".into(), occupied.into());
    Ok(json_response(&Value::Object(attributes)))
}

/// The distinct members of a presence channel.
pub(crate) fn users(request: &Authenticated<'_>, name: &str) -> Result<HttpResponse, ApiError> {
    let name = channel_name(name, &request.app.app().limits)?;
    if !name.channel_type().is_presence() {
        return Err(ApiError::UsersNotPresence);
    }
    let extraneous: Vec<&str> = request.query.names().collect();
    if !extraneous.is_empty() {
        return Err(ApiError::Extraneous(extraneous.join(", ")));
    }
    admit(&request.app)?;
    let users: Vec<Value> = request.app.user_ids(&name).into_iter().map(|id| json!({ "id": id })).collect();
    Ok(json_response(&json!({ "users": users })))
}

/// What `show` was before attributes could be chosen.
pub(crate) fn stats(request: &Authenticated<'_>, name: &str) -> Result<HttpResponse, ApiError> {
    let name = channel_name(name, &request.app.app().limits)?;
    admit(&request.app)?;
    let channel = request.app.channel(&name).filter(|_| name.channel_type().is_listed());
    let mut stats = Map::from_iter([("occupied".to_owned(), channel.is_some().into())]);
    if let Some(channel) = channel {
        stats.insert("connection_count".into(), channel.subscription_count.into());
        if name.channel_type().is_presence() {
            stats.insert("user_count".into(), channel.user_count.into());
        }
    }
    Ok(json_response(&Value::Object(stats)))
}

/// Takes what a request for the state of channels costs of the app's rate: asked last, so that one that is refused for another
/// reason takes nothing.
///
/// # Errors
/// If the app's backend has asked too often.
pub(super) fn admit(app: &AppState) -> Result<(), ApiError> {
    let limit = app.app().limits.read_requests_per_second;
    app.admit_read_request(limit).map_err(|exceeded| {
        let wait = match exceeded {
            RateExceeded::After(wait) => wait,
            // A limit that allows none is no limit.
            RateExceeded::Never => Duration::ZERO,
        };
        ApiError::TooManyReads { limit, seconds: whole_seconds(wait) }
    })
}
