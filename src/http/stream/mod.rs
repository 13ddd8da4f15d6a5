//! A channel as an HTTP answer that does not end: `…/channels/{name}/mjpeg`, the pictures of its frames, and
//! `…/channels/{name}/sse`, all its events. For an `<img>` tag, a video player, `curl -N` and dashboards.
//!
//! Each is an ordinary subscriber: a connection of the app with a socket id of its own, counted like one, with an outbox
//! whose bounds are those of every client. It hears and cannot speak.

mod body;
mod mjpeg;
mod picture;
mod sse;

use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::auth::request::Query;
use crate::hub::{AppState, Bounds, Client, NotAdmitted, Worker};
use crate::protocol::{ChannelName, ChannelType, ProtocolVersion};

use super::{ApiError, channel_name};
use body::{Shape, StreamBody};
use mjpeg::Mjpeg;
use sse::Sse;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mjpeg,
    Sse,
}

/// The channel that a request asks for, if the app gives its channels out in this way.
pub(super) fn channel(app: &AppState, name: &str) -> Result<ChannelName, ApiError> {
    let settings = app.app();
    if !settings.http_streams {
        return Err(ApiError::HttpStreamsOff);
    }
    if !settings.enabled {
        return Err(ApiError::AppDisabled);
    }
    let channel = channel_name(name, &settings.limits)?;
    match channel.channel_type() {
        ChannelType::ServerToUser => Err(ApiError::StreamOfUser),
        _ => Ok(channel),
    }
}

/// Subscribes to the channel, and answers with what comes on it. Whoever calls has seen to it that the request may.
pub(super) fn open(
    worker: &Rc<Worker>,
    app: Arc<AppState>,
    channel: ChannelName,
    kind: Kind,
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    let only = query.get("event");
    match kind {
        Kind::Mjpeg => subscribe(worker, app, channel, Mjpeg::new(only.unwrap_or("frame"))),
        Kind::Sse => subscribe(worker, app, channel, Sse::new(only)),
    }
}

fn subscribe<S: Shape>(
    worker: &Rc<Worker>,
    app: Arc<AppState>,
    channel: ChannelName,
    shape: S,
) -> Result<HttpResponse, ApiError> {
    let at_work = worker.hub().begin_work().ok_or(ApiError::ShuttingDown)?;
    let socket_id = worker.admit(&app).map_err(|full| {
        let limit = match full {
            NotAdmitted::AppFull => app.app().limits.connections,
            NotAdmitted::NodeFull => worker.hub().sockets().len(),
        };
        ApiError::Full { limit }
    })?;
    let config = worker.hub().connection_config();
    let bounds = Bounds { bytes: config.outbox_bytes, frames: config.outbox_frames };
    let version = ProtocolVersion::NEWEST;
    let client = Rc::new(Client::new(app, socket_id, version, bounds, shape));
    let content_type = client.transport().content_type();
    // From here on, dropping the body ends everything.
    let body = StreamBody::open(Rc::clone(worker), client, channel, at_work);
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store"))
        // So that a proxy passes on what comes when it comes.
        .insert_header(("x-accel-buffering", "no"))
        .body(body))
}
