//! Sends the events of a channel as the body of an answer that does not end: a subscription, and the chunks made of it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tracing::{debug, warn};

use crate::channel::Wanted;
use crate::connection::{Cleanup, Ending, Join, JoinAnswer, JoinNumber};
use crate::http::ApiError;
use crate::hub::{Client, ConnectionDetails, DriverRequest, Due, ShutdownGuard, Timed, Transport, Worker};
use crate::protocol::{ChannelName, CloseCode};
use crate::transport::client_info::{ClientInfo, ClientLogFields};

/// The reason of a stream that is ended because its reader did not keep up.
const TOO_SLOW: &str = "Too slow: more was waiting for this connection than is allowed";

/// How long nothing may come before it is looked whether an answer can begin without it.
const LOOKS_APART: Duration = Duration::from_millis(500);

/// How events become the bytes of a body. It is also the transport of the client that the body belongs to: what the hub
/// writes, it holds until the body asks, one chunk at most.
pub(super) trait StreamEncoder: Transport + 'static {
    /// The header `content-type`.
    fn content_type(&self) -> &'static str;

    /// What comes before everything else, if it is not empty.
    fn opening(&self, channel: &ChannelName) -> Bytes;

    /// Whether the answer can begin.
    fn begins(&self) -> Opening {
        Opening::Now
    }

    /// It is so late now, also where nothing comes.
    fn pass(&self, _now: Instant) {}

    /// What is ready to be sent.
    fn next(&self) -> Option<Bytes>;

    /// Why nothing more comes, if it is so.
    fn is_over(&self) -> Option<String> {
        None
    }

    /// What is sent after a silence, so that a lost connection is noticed.
    fn heartbeat(&self) -> Option<Bytes>;

    /// The last chunk, when the broker ends it.
    fn ending(&self, code: u16, reason: &str) -> Option<Bytes>;
}

/// Whether an answer can begin.
#[derive(Debug)]
pub(super) enum Opening {
    Now,
    /// Something has to come first.
    Later,
    /// What has come cannot be sent so.
    Never(ApiError),
}

/// A subscriber over HTTP. Whatever ends the answer drops this, and so the subscription.
pub(super) struct StreamBody<S: StreamEncoder> {
    worker: Rc<Worker>,
    client: Rc<Client<S>>,
    /// The same, as the hub knows it.
    shared: Rc<Client>,
    /// The client, for the log.
    client_info: ClientInfo,
    channel: ChannelName,
    state: StreamState,
    /// What ended it. A body that is dropped before the broker has ended it has lost its reader.
    ending: Ending,
    /// When the last chunk was handed on, by the app's clock.
    sent: Instant,
    /// A heartbeat is asked for.
    reminder_set: bool,
    /// Stands for it, if there is one to be given.
    due: Due,
    /// Shutdown waits for this answer.
    shutdown_guard: ShutdownGuard,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamState {
    /// Nothing has been sent.
    New,
    Open,
    Over,
}

impl<S: StreamEncoder> StreamBody<S> {
    /// Subscribes the client, which has been admitted, and returns when it is subscribed. Whoever gives up waiting drops
    /// this, and so the join.
    pub(crate) async fn open(
        worker: Rc<Worker>,
        client: Rc<Client<S>>,
        client_info: ClientInfo,
        (channel, wanted): (ChannelName, Wanted),
        shutdown_guard: ShutdownGuard,
    ) -> Self {
        let shared: Rc<Client> = client.clone();
        worker.open(&shared);
        // Only a member of a presence channel can be one too many, and a second subscription be refused: this is neither.
        let (member, number) = (None, JoinNumber::default());
        let wanted = (wanted != Wanted::Nothing).then(|| Box::new(wanted));
        let join = Join { channel: channel.clone(), member, authorizes: false, number, wanted };
        let joined = worker.join(&shared, &join);
        let state =
            if joined.as_ref().is_none_or(Result::is_ok) { StreamState::New } else { StreamState::Over };
        let app = client.app().id();
        let socket_id = client.socket_id();
        let ClientLogFields { peer, proxy, origin, client: library, version } = client_info.log_fields();
        debug!(app, %socket_id, %channel, peer, proxy, origin, client = library, version, "subscribed over HTTP");
        let sent = client.app().clock().now();
        let silence = worker.hub().connection_config_of(client.app()).ping_after;
        // Known before its first chunk is sent.
        let (_, due) = client.app().clock().wait_until(sent + silence, Timed::StreamHeartbeat);
        let ending = Ending::Lost;
        let mut body = StreamBody {
            worker,
            client,
            shared,
            client_info,
            channel,
            state,
            ending,
            sent,
            reminder_set: false,
            due,
            shutdown_guard,
        };
        if joined.is_none() {
            poll_fn(|context| body.poll_joined(context)).await;
        }
        body
    }

    /// Whether its join, which had to wait, has been answered, or will not be because the end of the connection has begun.
    fn poll_joined(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.client.set_waker(context.waker());
        match self.worker.take_answers(&self.shared).pop() {
            Some(JoinAnswer { result: Err(_), .. }) => self.state = StreamState::Over,
            Some(JoinAnswer { result: Ok(()), .. }) => {}
            None if self.client.is_stopped() => {}
            None => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Waits until its answer can begin, for so long at most.
    pub(super) async fn begin(&mut self, within: Duration) -> Result<(), ApiError> {
        let begun = async {
            loop {
                let begins = poll_fn(|context| self.poll_begun(context));
                if let Ok(begun) = tokio::time::timeout(LOOKS_APART, begins).await {
                    return begun;
                }
                self.client.transport().pass(self.client.app().clock().now());
            }
        };
        let begun = tokio::time::timeout(within, begun).await;
        begun.unwrap_or(Err(ApiError::NoTrack { seconds: within.as_secs() }))
    }

    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        self.client.set_waker(context.waker());
        match self.client.transport().begins() {
            Opening::Now => return Poll::Ready(Ok(())),
            Opening::Never(error) => return Poll::Ready(Err(error)),
            Opening::Later => {}
        }
        if self.state == StreamState::Over || self.client.is_stopped() {
            return Poll::Ready(Err(ApiError::ShuttingDown));
        }
        let (code, reason) = match self.client.take_signals().asked.map(|asked| *asked) {
            Some(DriverRequest::Close(code, reason)) => (code, reason.into_owned()),
            Some(DriverRequest::Describe(reply)) => {
                reply.tell(self.describe());
                return Poll::Pending;
            }
            None => return Poll::Pending,
        };
        self.ending = Ending::Closed(code, reason.clone());
        Poll::Ready(Err(ApiError::NotAdmitted { code, reason }))
    }

    /// What there is of it.
    #[cold]
    fn describe(&self) -> ConnectionDetails {
        self.client_info.describe(ConnectionDetails {
            channels: vec![self.channel.to_string()],
            channel_count: 1,
            ..self.client.details()
        })
    }

    /// A chunk of the body, or its end, if there is either now.
    fn advance(&mut self, now: Instant) -> Option<Option<Bytes>> {
        match self.state {
            StreamState::Over => return Some(None),
            StreamState::New => {
                self.state = StreamState::Open;
                let opening = self.client.transport().opening(&self.channel);
                if !opening.is_empty() {
                    return Some(Some(opening));
                }
            }
            StreamState::Open => {}
        }
        let signals = self.client.take_signals();
        if signals.timer {
            self.reminder_set = false;
        }
        if signals.lost {
            self.state = StreamState::Over;
            return Some(None);
        }
        if signals.overflow {
            let (bytes, frames) = self.client.owed();
            let app = self.client.app().id();
            let socket_id = self.client.socket_id();
            let closed = self.worker.hub().count_slow_reader();
            let (channel, ClientLogFields { peer, proxy, origin, client, version }) =
                (&self.channel, self.client_info.log_fields());
            warn!(
                app, %socket_id, %channel, bytes, frames, closed, peer, proxy, origin, client, version,
                "slow reader of an HTTP stream closed"
            );
            self.ending = Ending::Closed(CloseCode::OverCapacity.into(), TOO_SLOW.to_owned());
            self.state = StreamState::Over;
            return Some(None);
        }
        match signals.asked.map(|asked| *asked) {
            Some(DriverRequest::Close(status, reason)) => {
                let ending = self.client.transport().ending(status.code(), &reason);
                self.ending = Ending::Closed(status, reason.into_owned());
                self.state = StreamState::Over;
                return Some(ending);
            }
            Some(DriverRequest::Describe(reply)) => reply.tell(self.describe()),
            None => {}
        }
        self.client.transport().pass(now);
        if let Some(chunk) = self.client.transport().next() {
            // There is room for the next one.
            self.client.unblock();
            self.client.flush();
            return Some(Some(chunk));
        }
        if let Some(reason) = self.client.transport().is_over() {
            self.ending = Ending::Closed(CloseCode::Normal.into(), reason);
            self.state = StreamState::Over;
            return Some(None);
        }
        let app = self.client.app();
        let due = self.sent + self.worker.hub().connection_config_of(app).ping_after;
        let heartbeat = (now >= due).then(|| self.client.transport().heartbeat());
        if heartbeat.is_some() {
            (self.sent, self.reminder_set) = (now, false);
        }
        if let Some(Some(heartbeat)) = heartbeat {
            let silence = self.worker.hub().connection_config_of(app).ping_after;
            // Known before this one is given.
            let (_, due) = app.clock().wait_until(now + silence, Timed::StreamHeartbeat);
            drop(std::mem::replace(&mut self.due, due));
            return Some(Some(heartbeat));
        }
        if !self.reminder_set {
            self.reminder_set = true;
            let due = self.sent + self.worker.hub().connection_config_of(app).ping_after;
            let (time, due) = app.clock().wait_until(due, Timed::StreamHeartbeat);
            std::mem::replace(&mut self.due, due).put_off();
            if self.client.transport().heartbeat().is_none() {
                // It has nothing to say.
                std::mem::take(&mut self.due).put_off();
            }
            self.worker.remind(&self.shared, time);
        }
        None
    }
}

impl<S: StreamEncoder> MessageBody for StreamBody<S> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        this.client.set_waker(context.waker());
        let now = this.client.app().clock().now();
        match this.advance(now) {
            Some(chunk) => {
                this.sent = now;
                let bytes = chunk.as_ref().map_or(0, Bytes::len);
                this.client.app().cells_of(this.worker.index()).bytes_sent.add(bytes as u64);
                Poll::Ready(chunk.map(Ok))
            }
            None => Poll::Pending,
        }
    }
}

// Nothing in it is pinned.
impl<S: StreamEncoder> Unpin for StreamBody<S> {}

impl<S: StreamEncoder> Drop for StreamBody<S> {
    fn drop(&mut self) {
        let subscriptions = vec![self.channel.clone()];
        let ending = std::mem::take(&mut self.ending);
        let app = self.client.app().id();
        let socket_id = self.client.socket_id();
        let (channel, ClientLogFields { peer, proxy, origin, client, version }) =
            (&self.channel, self.client_info.log_fields());
        debug!(app, %socket_id, %channel, ?ending, peer, proxy, origin, client, version, "HTTP stream ended");
        let cleanup = Cleanup { subscriptions, ending, ..Cleanup::default() };
        self.worker.disconnect(&self.shared, cleanup, Some(&self.shutdown_guard));
    }
}
