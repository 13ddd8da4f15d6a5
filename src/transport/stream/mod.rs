//! A channel as an HTTP answer that does not end: `…/channels/{name}/mjpeg`, the pictures of its frames, and
//! `…/channels/{name}/sse`, all its events; `…/channels/{name}/webm`, a track of a video channel. For an `<img>` or `<video>`
//! tag, a video player, `curl -N` and dashboards.
//!
//! Each is an ordinary subscriber: a connection of the app with a socket id of its own, counted like one, with an outbox
//! whose bounds are those of every client. It hears and cannot speak.

mod body;
mod mjpeg;
mod picture;
mod resumption;
mod sse;
mod webm;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::auth::request::Query;
use crate::channel::Wanted;
use crate::http::Arrival;
use crate::hub::{AppState, Bounds, Client, Worker};
use crate::protocol::{ChannelName, ChannelType, ProtocolVersion};
use crate::transport::admission::{self, Reservation};
use crate::transport::client_info::ClientInfo;
use crate::video::{TrackRequest, WebmPictures};

use crate::http::{ApiError, channel_name};
use body::{StreamBody, StreamEncoder};
use mjpeg::Mjpeg;
use sse::Sse;
use webm::Webm;

/// How long a request for a track waits for its first key frame: one comes each two seconds, and is asked for.
const KEY_FRAME_WAIT: Duration = Duration::from_secs(10);

/// The kind of a stream: pictures, server-sent events, or a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Mjpeg,
    Sse,
    Webm,
}

/// A request for a stream, besides its channel.
#[derive(Debug)]
pub(crate) struct StreamRequest<'r> {
    pub(crate) kind: StreamKind,
    pub(crate) query: &'r Query,
    pub(crate) arrival: &'r Arrival,
    /// The header by which a reader that comes back tells the last event that it has.
    pub(crate) last_event_id: Option<&'r [u8]>,
    /// Whether it was signed, and so has shown what an app may demand of connections.
    pub(crate) signed: bool,
}

/// The channel that a request asks for, if the app gives its channels out in this way.
pub(crate) fn channel(app: &AppState, name: &str) -> Result<ChannelName, ApiError> {
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

/// Subscribes to the channel, and answers with what comes on it. The caller has checked that the request may do so.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    app: Arc<AppState>,
    channel: ChannelName,
    request: &StreamRequest<'_>,
) -> Result<HttpResponse, ApiError> {
    let only = request.query.get("event");
    match request.kind {
        StreamKind::Mjpeg => {
            let encoder = Mjpeg::new(only.unwrap_or("frame"));
            subscribe(worker, app, (channel, Wanted::Nothing), request, (encoder, None)).await
        }
        StreamKind::Sse => {
            let has_history = app.app().history(&channel).is_some();
            let wanted = resumption::wanted(request.query, request.last_event_id, has_history)?;
            let encoder = Sse::new(only, has_history);
            subscribe(worker, app, (channel, wanted), request, (encoder, None)).await
        }
        StreamKind::Webm => {
            if app.app().video(&channel).is_none() {
                return Err(ApiError::NoVideoChannel);
            }
            let tracks = webm::wanted(request.query, &worker.hub().track_names(&app, &channel));
            let pictures = match &tracks.pictures {
                WebmPictures::Of(pictures) => Some(pictures.clone()),
                WebmPictures::First | WebmPictures::Named(_) => None,
            };
            let encoder = Webm::new(&app, &channel, tracks);
            subscribe(worker, app, (channel, Wanted::Nothing), request, (encoder, pictures)).await
        }
    }
}

async fn subscribe<S: StreamEncoder>(
    worker: &Rc<Worker>,
    app: Arc<AppState>,
    subscription: (ChannelName, Wanted),
    request: &StreamRequest<'_>,
    (encoder, only): (S, Option<TrackRequest>),
) -> Result<HttpResponse, ApiError> {
    let reservation = admission::reserve(worker, &app, request.arrival, request.signed);
    let Reservation { admission, shutdown_guard, place } =
        reservation.map_err(|(code, reason)| ApiError::NotAdmitted { code, reason })?;
    let config = worker.hub().connection_config_of(&app);
    let bounds = Bounds::of(&app.app().limits, config);
    let version = ProtocolVersion::NEWEST;
    let client = Rc::new(Client::new(app, admission.socket_id, version, bounds, encoder));
    let content_type = client.transport().content_type();
    // From here on, dropping the body ends everything.
    let client_info = ClientInfo::new(request.arrival, request.query).holding(place);
    if let Some(only) = only {
        worker.watch_only(&client, &subscription.0, only);
    }
    let mut body =
        StreamBody::open(Rc::clone(worker), client, client_info, subscription, shutdown_guard).await;
    body.begin(KEY_FRAME_WAIT).await?;
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store"))
        // So that a proxy passes on what comes when it comes.
        .insert_header(("x-accel-buffering", "no"))
        .body(body))
}
