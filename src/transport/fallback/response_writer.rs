//! Writes a session's frames into the response that is there to receive, if one is.
//!
//! To the hub it is a transport like a socket, one that is blocked while no response is attached.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::mpsc::error::{SendError, TrySendError};

use super::response_channel::{Chunk, ResponseSink};
use super::response_format::Prelude;
use crate::hub::{AppState, Busy, Due, Outbox, ShutdownGuard, Timed, Transport, Written};
use crate::protocol::Form;

/// Bytes of messages that go into one frame, where one message alone is not larger.
const FRAME_BYTES: usize = 32 * 1024;

/// A session's heartbeat. The client of a stream answers with one of its own.
pub(super) const HEARTBEAT: &str = "h";

/// What a client's heartbeat is answered with: a sign of life that asks for none. With a heartbeat in its place, the two
/// sides would answer each other without end.
const ACKNOWLEDGEMENT: &str = "a[]";

/// Writes the frames of one session into the response that receives.
pub(super) struct ResponseWriter {
    state: RefCell<WriterState>,
}

/// A permit for the next chunk, while the response is full.
type PendingPermit = Pin<Box<dyn Future<Output = Result<OwnedPermit<Chunk>, SendError<()>>>>>;

/// The response that receives at present, and what is owed to it.
struct WriterState {
    sink: Option<ResponseSink>,
    /// Bytes after which a stream is ended.
    stream_bytes: usize,
    /// Bytes that may still go over the current one.
    left: usize,
    /// Waits until a full response takes more.
    permit: Option<PendingPermit>,
    /// The app whose clock it goes by, once there is one.
    app: Option<Arc<AppState>>,
    /// When a response was attached, or the last one ended.
    response_changed: Instant,
    /// When something was last written.
    last_written: Instant,
    /// A client's heartbeat is to be answered, and no response was attached.
    acknowledgement_owed: bool,
    /// The mark of the request whose response was attached last.
    mark: Option<u64>,
    /// Messages were written into that response.
    carried: bool,
    /// Messages were written into a response that has gone, or was asked for once more.
    has_gap: bool,
    /// The frame that ends the session, once its turn has come.
    final_frame: Option<String>,
    shutdown_guard: Option<ShutdownGuard>,
}

impl ResponseWriter {
    /// A writer without a response.
    pub(super) fn new(stream_bytes: usize) -> Self {
        let now = Instant::now();
        ResponseWriter {
            state: RefCell::new(WriterState {
                sink: None,
                stream_bytes,
                left: 0,
                permit: None,
                app: None,
                response_changed: now,
                last_written: now,
                acknowledgement_owed: false,
                mark: None,
                carried: false,
                has_gap: false,
                final_frame: None,
                shutdown_guard: None,
            }),
        }
    }

    /// Its client has been admitted: from now on it goes by the app's clock, and shutdown waits until the close
    /// frame is out.
    pub(super) fn admitted(&self, app: &Arc<AppState>, shutdown_guard: ShutdownGuard) {
        let state = &mut *self.state.borrow_mut();
        state.shutdown_guard = Some(shutdown_guard);
        // What has been is as long ago by this clock as it was by the machine's.
        (state.response_changed, state.last_written) =
            (app.clock().at(state.response_changed), app.clock().at(state.last_written));
        state.app = Some(Arc::clone(app));
    }

    /// Something is to happen at `time`: what the machine's clock says then, if no test advances the app's before, and
    /// what is to be held until it has happened.
    pub(super) fn wait_until(&self, time: Instant, what: Timed) -> (Instant, Due) {
        let state = self.state.borrow();
        state.app.as_ref().map_or((time, Due::default()), |app| app.clock().wait_until(time, what))
    }

    /// Something is being done for the client.
    pub(super) fn busy(&self) -> Busy {
        let state = self.state.borrow();
        state.app.as_ref().map(|app| app.clock().busy()).unwrap_or_default()
    }

    /// By how much a test has advanced the app's clock.
    pub(super) fn advanced(&self) -> Duration {
        let state = self.state.borrow();
        state.app.as_ref().map_or(Duration::ZERO, |app| app.clock().advanced())
    }

    /// From now on this response receives, and one that did before ends.
    pub(super) fn attach(&self, sink: ResponseSink, prelude: Prelude) {
        let state = &mut *self.state.borrow_mut();
        let is_repeated = sink.mark.is_some() && sink.mark == state.mark;
        if state.sink.is_some() || is_repeated {
            state.miss();
        }
        (state.mark, state.carried) = (sink.mark, false);
        let before = sink.format.prelude(prelude);
        state.left = state.stream_bytes;
        state.sink = Some(sink);
        state.permit = None;
        state.response_changed = state.now();
        state.last_written = state.response_changed;
        if !before.is_empty() {
            state.try_send(before, None);
        }
    }

    /// Whether a response is attached.
    pub(super) fn has_response(&self) -> bool {
        self.state.borrow().sink.is_some()
    }

    /// Whether messages may have been lost with a response.
    pub(super) fn has_gap(&self) -> bool {
        self.state.borrow().has_gap
    }

    /// Whether who receives is given one frame and no more.
    pub(super) fn is_single(&self) -> bool {
        self.state.borrow().sink.as_ref().is_some_and(|sink| sink.format.is_single())
    }

    /// When a response was attached, or the last one ended.
    pub(super) fn response_changed(&self) -> Instant {
        self.state.borrow().response_changed
    }

    /// When something was last written.
    pub(super) fn last_written(&self) -> Instant {
        self.state.borrow().last_written
    }

    /// The frame that ended the session, if it has been reached.
    pub(super) fn final_frame(&self) -> Option<String> {
        self.state.borrow().final_frame.clone()
    }

    /// Writes a frame now; `false` if no response takes it.
    pub(super) fn write_frame(&self, frame: &str) -> bool {
        self.state.borrow_mut().write_frame(frame)
    }

    /// Answers a client's heartbeat: now, or to the next that receives.
    pub(super) fn acknowledge(&self) {
        let state = &mut *self.state.borrow_mut();
        // A response that is full has signs enough under way.
        state.acknowledgement_owed = !state.write_frame(ACKNOWLEDGEMENT) && state.sink.is_none();
    }

    /// Writes the heartbeat that is due after a silence.
    pub(super) fn write_heartbeat(&self) {
        let state = &mut *self.state.borrow_mut();
        // To a response that is full there is no silence.
        let _ = state.write_frame(HEARTBEAT);
        state.last_written = state.now();
    }

    /// Answers the heartbeat whose answer is owed.
    pub(super) fn send_owed_acknowledgement(&self) {
        if self.state.borrow().acknowledgement_owed {
            self.acknowledge();
        }
    }

    /// Ends the response that receives.
    pub(super) fn end_response(&self) {
        self.state.borrow_mut().detach();
    }

    /// Notices that the response has gone; whether one that was full takes more again.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        let gone = |sink: &mut ResponseSink| Pin::new(&mut sink.gone).poll(context).is_ready();
        if state.sink.as_mut().is_some_and(gone) {
            state.miss();
            state.detach();
        }
        match state.permit.as_mut().map(|permit| permit.as_mut().poll(context)) {
            Some(Poll::Ready(_)) => {
                state.permit = None;
                true
            }
            Some(Poll::Pending) | None => false,
        }
    }
}

impl WriterState {
    /// What time it is.
    fn now(&self) -> Instant {
        self.app.as_ref().map_or_else(Instant::now, |app| app.clock().now())
    }

    /// Nobody knows whether what was written into the last response has arrived.
    fn miss(&mut self) {
        self.has_gap |= self.carried;
    }

    fn detach(&mut self) {
        if self.sink.take().is_some() {
            self.response_changed = self.now();
        }
        self.permit = None;
    }

    fn write_frame(&mut self, frame: &str) -> bool {
        let Some(sink) = &self.sink else { return false };
        let single = sink.format.is_single();
        let chunk = sink.format.wrap(frame);
        let bytes = chunk.len();
        let shutdown_guard = frame.starts_with('c').then(|| self.shutdown_guard.take()).flatten();
        if !self.try_send(chunk, shutdown_guard) {
            return false;
        }
        if let Some(app) = &self.app {
            app.count(|cells| &cells.bytes_sent, bytes as u64);
        }
        self.last_written = self.now();
        self.carried |= frame.starts_with('a') && frame != ACKNOWLEDGEMENT;
        self.acknowledgement_owed = false;
        self.left = self.left.saturating_sub(bytes);
        if single || self.left == 0 {
            self.detach();
        }
        true
    }

    fn try_send(&mut self, bytes: Bytes, shutdown_guard: Option<ShutdownGuard>) -> bool {
        let Some(sink) = &self.sink else { return false };
        match sink.chunks.try_send(Chunk { bytes, shutdown_guard }) {
            Ok(()) => true,
            Err(TrySendError::Full(chunk)) => {
                self.shutdown_guard = chunk.shutdown_guard.or_else(|| self.shutdown_guard.take());
                self.permit = Some(Box::pin(sink.chunks.clone().reserve_owned()));
                false
            }
            Err(TrySendError::Closed(chunk)) => {
                self.shutdown_guard = chunk.shutdown_guard.or_else(|| self.shutdown_guard.take());
                self.miss();
                self.detach();
                false
            }
        }
    }
}

/// The next frame of what waits, and the bytes of the outbox that it stands for.
fn next_frame(outbox: &Outbox) -> (String, usize) {
    let mut messages = String::new();
    let mut bytes = 0;
    for frame in outbox.waiting() {
        let size = frame.websocket().len();
        let message = frame.quoted_message().and_then(|message| std::str::from_utf8(message).ok());
        match message {
            Some(message) if messages.is_empty() => messages.push_str(message),
            Some(message) if messages.len() + message.len() < FRAME_BYTES => {
                messages.push(',');
                messages.push_str(message);
            }
            _ if !messages.is_empty() => break,
            // A control frame: the ping has its own form here, and the close is said in text.
            _ if frame.is_ping() => return (HEARTBEAT.to_owned(), size),
            _ if !frame.is_text() => return (String::new(), size),
            _ => return (String::from_utf8_lossy(frame.json()).into_owned(), size),
        }
        bytes += size;
    }
    (format!("a[{messages}]"), bytes)
}

impl Transport for Rc<ResponseWriter> {
    fn form(&self) -> Form {
        Form::Quoted
    }

    fn has_receiver(&self) -> bool {
        self.has_response()
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        let state = &mut *self.state.borrow_mut();
        while !outbox.is_empty() {
            let (frame, bytes) = match state.sink {
                Some(_) => next_frame(outbox),
                None => return Ok(Written::Blocked),
            };
            if !frame.is_empty() && !state.write_frame(&frame) {
                return Ok(Written::Blocked);
            }
            outbox.advance(bytes);
            if frame.starts_with('c') {
                state.final_frame = Some(frame);
                state.detach();
            }
            if state.sink.is_none() {
                // Its session has to know: it lives for so long and no longer.
                context.waker().wake_by_ref();
            }
        }
        Ok(Written::Everything)
    }
}
