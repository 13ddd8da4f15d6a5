//! What happens, as it happens: a WebSocket for each viewer.
//!
//! What a viewer sends is bounded before it is put together; what it is sent comes from the feed at the viewer's own pace,
//! in batches, and nothing is kept for it that it does not take.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::Payload;
use actix_http::error::PayloadError;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode as WsCloseCode, CloseReason, Session};
use futures_util::{Stream, StreamExt};
use serde_json::json;
use tracing::{debug, info};

use super::Console;
use super::answer::ConsoleError;
use crate::feed::{
    ENTRY_TEXT_BYTES, FeedBatch, FeedKind, FeedViewer, VIEWER_ENTRIES_PER_SECOND, WrittenFilter,
};

/// The sub-protocol, for those who ask for one.
const PROTOCOL: &str = "heliostat.feed.v1";

/// Bytes of one message of a viewer, fragments included.
const MESSAGE_BYTES: usize = 16 * 1024;

/// Bytes that a viewer may send before one message of it is whole.
const UNREAD_BYTES: usize = 4 * MESSAGE_BYTES;

/// Messages of a viewer that are looked at between two batches.
const MESSAGES_AT_ONCE: u32 = 20;

/// What a viewer is told of the other nodes when it watches none of them any more.
const NO_NODES: &str = r#"{"type":"nodes","passing":[],"silent":[],"awaited":[]}"#;

/// The time between two batches.
const BATCH_EVERY: Duration = Duration::from_millis(100);

/// How often the apps that are watched are looked at, and a viewer is pinged, in batches.
const LOOK_EVERY: u32 = 10;
const PING_EVERY: u32 = 200;

/// How long a viewer may be silent: it answers pings.
const SILENCE: Duration = Duration::from_secs(60);

/// What a viewer sends, until it is too much.
struct BoundedPayload {
    payload: web::Payload,
    /// Bytes since a message was whole.
    unread: Rc<Cell<usize>>,
}

impl Stream for BoundedPayload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.unread.get() > UNREAD_BYTES {
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        let next = self.payload.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            self.unread.set(self.unread.get() + bytes.len());
        }
        next
    }
}

/// Begins to serve a viewer.
///
/// # Errors
/// If there are too many, or the request is no handshake.
pub(super) async fn begin(
    console: &Arc<Console>,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<HttpResponse, ConsoleError> {
    let refused = |status, sentence: String| ConsoleError::Refused(status, sentence);
    let viewer = console.feed().enter().ok_or_else(|| {
        let most = crate::feed::VIEWERS;
        refused(
            actix_web::http::StatusCode::SERVICE_UNAVAILABLE,
            format!("{most} viewers watch already, and there may be no more"),
        )
    })?;
    let unread = Rc::<Cell<usize>>::default();
    let bounded = BoundedPayload { payload: take(request, payload).await, unread: Rc::clone(&unread) };
    let bounded = from(request, Payload::Stream { payload: Box::pin(bounded) }).await;
    let handled = actix_ws::handle_with_protocols(request, bounded, &[PROTOCOL]);
    let (response, session, messages) = handled.map_err(|error| {
        refused(error.as_response_error().status_code(), format!("expected a WebSocket handshake: {error}"))
    })?;
    let messages =
        messages.max_frame_size(MESSAGE_BYTES).aggregate_continuations().max_continuation_size(MESSAGE_BYTES);
    let viewing = Viewing {
        console: Arc::clone(console),
        viewer,
        session,
        silent_for: Duration::ZERO,
        messages: 0,
        told_of_nodes: None,
    };
    let peer = request.peer_addr().map(tracing::field::display);
    info!(peer, viewers = console.feed().figures().viewers, "a viewer of the console's feed has come");
    actix_web::rt::spawn(viewing.run(messages, unread));
    Ok(response)
}

/// The body of a request, taken from where it was.
async fn take(request: &HttpRequest, payload: &mut web::Payload) -> web::Payload {
    let nothing = from(request, Payload::None).await;
    std::mem::replace(payload, nothing)
}

async fn from(request: &HttpRequest, mut payload: Payload) -> web::Payload {
    match web::Payload::from_request(request, &mut payload).await {
        Ok(payload) => payload,
        Err(_) => unreachable!("it never fails"),
    }
}

/// One viewer while it is served.
struct Viewing {
    console: Arc<Console>,
    viewer: FeedViewer,
    session: Session,
    silent_for: Duration,
    /// That it has sent since the last batch.
    messages: u32,
    /// What it was told last of the other nodes.
    told_of_nodes: Option<Arc<String>>,
}

/// Why a viewer is served no longer.
enum ViewEnd {
    /// It has gone, or its line has.
    Gone,
    /// It is closed, with this code and reason.
    Closed(WsCloseCode, &'static str),
}

impl Viewing {
    async fn run(mut self, mut messages: AggregatedMessageStream, unread: Rc<Cell<usize>>) {
        let end = self.serve(&mut messages, &unread).await;
        let Viewing { console, viewer, session, .. } = self;
        drop(viewer);
        console.look_at_watched();
        debug!("a viewer of the console's feed has gone");
        if let ViewEnd::Closed(code, reason) = end {
            let reason = CloseReason { code, description: Some(reason.to_owned()) };
            // It waits for room in the line of one that takes nothing, whose time to take it is bounded.
            let _ = session.close(Some(reason)).await;
        }
    }

    async fn serve(&mut self, messages: &mut AggregatedMessageStream, unread: &Cell<usize>) -> ViewEnd {
        if self.send(&hello(&self.console)).await.is_err() {
            return ViewEnd::Gone;
        }
        let mut ticks = tokio::time::interval(BATCH_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tick = 0_u32;
        loop {
            let step = tokio::select! {
                message = messages.next(), if self.messages < MESSAGES_AT_ONCE => {
                    unread.set(0);
                    self.messages += 1;
                    match message {
                        Some(Ok(message)) => self.take(message).await,
                        Some(Err(error)) => {
                            debug!(%error, "a message of a viewer was not taken");
                            Err(ViewEnd::Closed(WsCloseCode::Size, "a message may have 16 KiB"))
                        }
                        None => Err(ViewEnd::Gone),
                    }
                }
                _ = ticks.tick() => {
                    tick = tick.wrapping_add(1);
                    self.messages = 0;
                    self.turn(tick).await
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Does what is to be done every so often.
    async fn turn(&mut self, tick: u32) -> Result<(), ViewEnd> {
        self.silent_for += BATCH_EVERY;
        if self.silent_for > SILENCE {
            return Err(ViewEnd::Closed(WsCloseCode::Policy, "no answer to a ping"));
        }
        if tick.is_multiple_of(LOOK_EVERY) {
            self.console.look_at_watched();
        }
        if tick.is_multiple_of(PING_EVERY) {
            self.session.ping(b"").await.map_err(|_| ViewEnd::Gone)?;
        }
        match self.console.around.told() {
            Some(told) if self.told_of_nodes.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &told)) => {
                self.send(&told).await?;
                self.told_of_nodes = Some(told);
            }
            None if self.told_of_nodes.take().is_some() => self.send(NO_NODES).await?,
            Some(_) | None => {}
        }
        let batch = self.viewer.next();
        if batch.is_empty() { Ok(()) } else { self.send(&written(&batch)).await }
    }

    /// Does what a message asks for.
    async fn take(&mut self, message: AggregatedMessage) -> Result<(), ViewEnd> {
        self.silent_for = Duration::ZERO;
        match message {
            AggregatedMessage::Text(text) => {
                let answer = self.answer(&text);
                self.send(&answer).await
            }
            AggregatedMessage::Binary(_) => Err(ViewEnd::Closed(WsCloseCode::Unsupported, "expected text")),
            AggregatedMessage::Ping(payload) => self.session.pong(&payload).await.map_err(|_| ViewEnd::Gone),
            AggregatedMessage::Pong(_) => Ok(()),
            AggregatedMessage::Close(_) => Err(ViewEnd::Closed(WsCloseCode::Normal, "")),
        }
    }

    fn answer(&mut self, text: &str) -> String {
        let error = |message: String| json!({ "type": "error", "message": message }).to_string();
        let message = match serde_json::from_str::<serde_json::Value>(text) {
            Ok(message) => message,
            Err(reason) => return error(format!("expected JSON: {reason}")),
        };
        match message.get("type").and_then(serde_json::Value::as_str) {
            Some("ping") => json!({ "type": "pong" }).to_string(),
            Some("filter") => {
                let read =
                    serde_json::from_value::<WrittenFilter>(message).map_err(|reason| reason.to_string());
                match read.and_then(|written| written.read().map_err(|reason| reason.to_string())) {
                    Ok(filter) => {
                        let from = self.viewer.set_filter(filter);
                        self.console.look_at_watched();
                        json!({ "type": "filtering", "from": from }).to_string()
                    }
                    Err(reason) => error(reason),
                }
            }
            _ => error("expected the type \"filter\" or \"ping\"".to_owned()),
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), ViewEnd> {
        self.session.text(text.to_owned()).await.map_err(|_| ViewEnd::Gone)
    }
}

/// What a viewer is told first.
fn hello(console: &Console) -> String {
    json!({
        "type": "hello",
        "version": env!("CARGO_PKG_VERSION"),
        "node": console.node(),
        "node_name": console.feed().place().map(|place| &place.name),
        "kinds": FeedKind::ALL.map(FeedKind::name),
        "entry_text_bytes": ENTRY_TEXT_BYTES,
        "entries_per_second": VIEWER_ENTRIES_PER_SECOND,
    })
    .to_string()
}

/// A batch as it is sent: the entries are written already.
fn written(batch: &FeedBatch) -> String {
    let entries: Vec<&str> = batch.entries.iter().map(|entry| entry.json()).collect();
    let FeedBatch { left_out, missed, lost, .. } = batch;
    let left_out = json!(left_out);
    format!(
        r#"{{"type":"entries","entries":[{}],"left_out":{left_out},"missed":{missed},"lost":{lost}}}"#,
        entries.join(",")
    )
}
