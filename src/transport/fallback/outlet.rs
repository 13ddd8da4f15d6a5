//! How a session's frames leave: by the response that is there to receive, if one is.
//!
//! To the hub it is a transport like a socket, one that is blocked while nobody receives.

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

use super::carrier::Prelude;
use super::response::{Chunk, Receiver};
use crate::hub::{AppState, AtWork, Busy, Due, Outbox, Timed, Transport, Written};
use crate::protocol::Form;

/// Bytes of messages that go into one frame, where one message alone is not larger.
const FRAME_BYTES: usize = 32 * 1024;

/// A session's heartbeat. The client of a stream answers with one of its own.
pub(super) const HEARTBEAT: &str = "h";

/// What a client's heartbeat is answered with: a sign of life that asks for none. With a heartbeat in its place, the two
/// sides would answer each other without end.
const ACKNOWLEDGEMENT: &str = "a[]";

/// The outlet of one session.
pub(super) struct Outlet {
    state: RefCell<State>,
}

type Room = Pin<Box<dyn Future<Output = Result<OwnedPermit<Chunk>, SendError<()>>>>>;

struct State {
    receiver: Option<Receiver>,
    /// Bytes after which a stream is ended.
    stream_bytes: usize,
    /// Bytes that may still go over the current one.
    left: usize,
    /// Waits until a full response takes more.
    room: Option<Room>,
    /// The app whose clock it goes by, once there is one.
    app: Option<Arc<AppState>>,
    /// When somebody began to receive, or ceased to.
    changed: Instant,
    /// When something was last said.
    said: Instant,
    /// A client's heartbeat is to be answered, and nobody was there to be told.
    acknowledgement_owed: bool,
    /// The frame that ends the session, once its turn has come.
    final_frame: Option<String>,
    at_work: Option<AtWork>,
}

impl Outlet {
    /// Nobody receives yet.
    pub(super) fn new(stream_bytes: usize) -> Self {
        let now = Instant::now();
        Outlet {
            state: RefCell::new(State {
                receiver: None,
                stream_bytes,
                left: 0,
                room: None,
                app: None,
                changed: now,
                said: now,
                acknowledgement_owed: false,
                final_frame: None,
                at_work: None,
            }),
        }
    }

    /// Its client has been admitted: from now on it goes by the app's clock, and shutdown waits until the final frame
    /// is out.
    pub(super) fn admitted(&self, app: &Arc<AppState>, at_work: AtWork) {
        let state = &mut *self.state.borrow_mut();
        state.at_work = Some(at_work);
        // What has been is as long ago by this clock as it was by the machine's.
        (state.changed, state.said) = (app.clock().at(state.changed), app.clock().at(state.said));
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
    pub(super) fn attach(&self, receiver: Receiver, prelude: Prelude) {
        let state = &mut *self.state.borrow_mut();
        let before = receiver.carrier.prelude(prelude);
        state.left = state.stream_bytes;
        state.receiver = Some(receiver);
        state.room = None;
        state.changed = state.now();
        state.said = state.changed;
        if !before.is_empty() {
            state.put(before, None);
        }
    }

    /// Whether somebody receives.
    pub(super) fn is_received(&self) -> bool {
        self.state.borrow().receiver.is_some()
    }

    /// Whether who receives is given one frame and no more.
    pub(super) fn is_single(&self) -> bool {
        self.state.borrow().receiver.as_ref().is_some_and(|receiver| receiver.carrier.is_single())
    }

    /// When somebody began to receive, or ceased to.
    pub(super) fn changed(&self) -> Instant {
        self.state.borrow().changed
    }

    /// When something was last said.
    pub(super) fn said(&self) -> Instant {
        self.state.borrow().said
    }

    /// The frame that ended the session, if it has been reached.
    pub(super) fn final_frame(&self) -> Option<String> {
        self.state.borrow().final_frame.clone()
    }

    /// Says a frame now; `false` if nobody takes it.
    pub(super) fn say(&self, frame: &str) -> bool {
        self.state.borrow_mut().say(frame)
    }

    /// Answers a client's heartbeat: now, or to the next that receives.
    pub(super) fn acknowledge(&self) {
        let state = &mut *self.state.borrow_mut();
        // A response that is full has signs enough under way.
        state.acknowledgement_owed = !state.say(ACKNOWLEDGEMENT) && state.receiver.is_none();
    }

    /// Gives the sign of life that is due after a silence.
    pub(super) fn tick(&self) {
        let state = &mut *self.state.borrow_mut();
        // To a response that is full there is no silence.
        let _ = state.say(HEARTBEAT);
        state.said = state.now();
    }

    /// Gives the answer that is owed.
    pub(super) fn settle(&self) {
        if self.state.borrow().acknowledgement_owed {
            self.acknowledge();
        }
    }

    /// Ends the response that receives.
    pub(super) fn end(&self) {
        self.state.borrow_mut().detach();
    }

    /// Notices who has gone; whether a response that was full takes more again.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> bool {
        let state = &mut *self.state.borrow_mut();
        let gone = |receiver: &mut Receiver| Pin::new(&mut receiver.gone).poll(context).is_ready();
        if state.receiver.as_mut().is_some_and(gone) {
            state.detach();
        }
        match state.room.as_mut().map(|room| room.as_mut().poll(context)) {
            Some(Poll::Ready(_)) => {
                state.room = None;
                true
            }
            Some(Poll::Pending) | None => false,
        }
    }
}

impl State {
    /// What time it is.
    fn now(&self) -> Instant {
        self.app.as_ref().map_or_else(Instant::now, |app| app.clock().now())
    }

    fn detach(&mut self) {
        if self.receiver.take().is_some() {
            self.changed = self.now();
        }
        self.room = None;
    }

    fn say(&mut self, frame: &str) -> bool {
        let Some(receiver) = &self.receiver else { return false };
        let single = receiver.carrier.is_single();
        let chunk = receiver.carrier.wrap(frame);
        let bytes = chunk.len();
        let at_work = frame.starts_with('c').then(|| self.at_work.take()).flatten();
        if !self.put(chunk, at_work) {
            return false;
        }
        self.said = self.now();
        self.acknowledgement_owed = false;
        self.left = self.left.saturating_sub(bytes);
        if single || self.left == 0 {
            self.detach();
        }
        true
    }

    fn put(&mut self, bytes: Bytes, at_work: Option<AtWork>) -> bool {
        let Some(receiver) = &self.receiver else { return false };
        match receiver.chunks.try_send(Chunk { bytes, at_work }) {
            Ok(()) => true,
            Err(TrySendError::Full(chunk)) => {
                self.at_work = chunk.at_work.or_else(|| self.at_work.take());
                self.room = Some(Box::pin(receiver.chunks.clone().reserve_owned()));
                false
            }
            Err(TrySendError::Closed(chunk)) => {
                self.at_work = chunk.at_work.or_else(|| self.at_work.take());
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

impl Transport for Rc<Outlet> {
    fn form(&self) -> Form {
        Form::Quoted
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        let state = &mut *self.state.borrow_mut();
        while !outbox.is_empty() {
            let (frame, bytes) = match state.receiver {
                Some(_) => next_frame(outbox),
                None => return Ok(Written::Blocked),
            };
            if !frame.is_empty() && !state.say(&frame) {
                return Ok(Written::Blocked);
            }
            outbox.advance(bytes);
            if frame.starts_with('c') {
                state.final_frame = Some(frame);
                state.detach();
            }
            if state.receiver.is_none() {
                // Its session has to know: it lives for so long and no longer.
                context.waker().wake_by_ref();
            }
        }
        Ok(Written::Everything)
    }
}
