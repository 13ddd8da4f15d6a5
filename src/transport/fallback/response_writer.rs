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
use super::response_format::{Prelude, ResponseFormat};
use super::session_signs::{SessionSigns, is_question};
use crate::hub::{AppState, Busy, Due, Outbox, ShutdownGuard, Timed, Transport, Written};
use crate::protocol::{Form, Frame, server_message};

/// Bytes of messages that go into one frame, where one message alone is not larger.
const FRAME_BYTES: usize = 32 * 1024;

/// The time between two marks behind events: on a stream each costs its client a request.
const MARK_PACE: Duration = Duration::from_millis(250);

/// pusher-js begins a stream anew when it has read more than so many characters of it, as JavaScript counts them, to the end
/// of a line (`MAX_BUFFER_LENGTH` of its `http_request.ts`, in releases 3 to 8).
const RENEWED_AFTER: usize = 256 * 1024;

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
    /// Its client has given itself a name: it matters what it has received.
    is_named: bool,
    /// It answers questions.
    answers: bool,
    /// What it has received.
    signs: SessionSigns,
    /// Whether a request that follows the last one says that its response was read to the end. None before the first.
    tells_end: Option<bool>,
    /// Characters of the current response, of a stream that its client will begin anew.
    characters: usize,
    renewal: StreamRenewal,
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

/// Whether a stream waits for its client to begin it anew. A client gives up the old response for that, with what it has
/// not read of it, so nothing is written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamRenewal {
    /// Not yet.
    Ahead,
    /// All that the client will read of it is written.
    Awaited,
    /// It takes too long, or clients of this stream begin none anew.
    GivenUp,
}

/// The next frame of what waits.
#[derive(Debug, Default)]
struct NextFrame {
    text: String,
    /// The bytes of the outbox that it stands for.
    bytes: usize,
    /// What is to be noted once it is written.
    signs: Vec<FrameSign>,
}

/// What a frame brings a client past.
#[derive(Debug)]
enum FrameSign {
    /// A mark; whether no event of the frame is before it.
    Mark(Frame, bool),
    /// What clients answer.
    Question,
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
                is_named: false,
                answers: false,
                signs: SessionSigns::new(),
                tells_end: None,
                characters: 0,
                renewal: StreamRenewal::GivenUp,
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
    /// frame is out. What a client that has a name says is listened to; some clients answer questions.
    pub(super) fn admitted(
        &self,
        app: &Arc<AppState>,
        shutdown_guard: ShutdownGuard,
        (is_named, answers): (bool, bool),
    ) {
        let state = &mut *self.state.borrow_mut();
        (state.is_named, state.answers) = (is_named, answers);
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
        let is_renewed = state.renewal == StreamRenewal::Awaited && !is_repeated;
        if (state.sink.is_some() && !is_renewed) || is_repeated {
            state.miss();
        }
        state.hear_request(&sink, is_renewed);
        (state.mark, state.carried) = (sink.mark, false);
        let before = sink.format.prelude(prelude);
        state.left = state.stream_bytes;
        state.characters = before.len();
        let is_renewable = state.is_native_stream(&sink.format);
        state.renewal = if is_renewable { StreamRenewal::Ahead } else { StreamRenewal::GivenUp };
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

    /// Whether a stream waits for its client to begin it anew.
    pub(super) fn awaits_renewal(&self) -> bool {
        let state = self.state.borrow();
        state.sink.is_some() && state.renewal == StreamRenewal::Awaited
    }

    /// The client begins no stream anew: this one goes on.
    pub(super) fn give_up_renewal(&self) {
        self.state.borrow_mut().renewal = StreamRenewal::GivenUp;
    }

    /// The mark up to which the client has received everything, if that was not told before.
    pub(super) fn take_received(&self) -> Option<Frame> {
        self.state.borrow_mut().signs.take_received()
    }

    /// Whether an answer to a question is waited for.
    pub(super) fn awaits_answer(&self) -> bool {
        self.state.borrow().signs.awaits_answer()
    }

    /// So many answers came with the request that has this of its own.
    pub(super) fn answered(&self, answers: usize, mark: Option<u64>) {
        self.state.borrow_mut().signs.answered(answers, mark);
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
            // Who begins it anew ends the old one first; whoever has lost it does not ask for another.
            if state.renewal != StreamRenewal::Awaited {
                state.miss();
            }
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

    /// The request for this response has come.
    fn hear_request(&mut self, sink: &ResponseSink, is_renewed: bool) {
        let is_later = self.mark.is_some_and(|last| sink.mark.is_some_and(|mark| mark > last));
        let is_over = self.sink.is_none() || is_renewed;
        self.signs.requested(self.tells_end.is_none_or(|tells_end| tells_end && is_later && is_over));
        // Who reads events or a page asks for the next ones whatever has become of the last.
        self.tells_end = Some(matches!(sink.format, ResponseFormat::Xhr | ResponseFormat::XhrStreaming));
    }

    /// Whether the client of such a response begins it anew after a while. The others end here.
    fn is_native_stream(&self, format: &ResponseFormat) -> bool {
        self.is_named && self.stream_bytes == usize::MAX && *format == ResponseFormat::XhrStreaming
    }

    fn detach(&mut self) {
        if self.sink.take().is_some() {
            self.response_changed = self.now();
        }
        self.permit = None;
    }

    fn write_frame(&mut self, frame: &str) -> bool {
        let Some(sink) = self.sink.as_ref().filter(|_| self.renewal != StreamRenewal::Awaited) else {
            return false;
        };
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
        if self.renewal == StreamRenewal::Ahead {
            self.characters += frame.chars().map(char::len_utf16).sum::<usize>() + 1;
            if self.characters > RENEWED_AFTER {
                self.renewal = StreamRenewal::Awaited;
            }
        }
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

impl WriterState {
    /// The next frame of what waits.
    fn next_frame(&self, outbox: &Outbox) -> NextFrame {
        let mut next = NextFrame::default();
        for frame in outbox.waiting() {
            let size = frame.websocket().len();
            let message = frame.quoted_message().and_then(|message| std::str::from_utf8(message).ok());
            match message {
                Some(message) if next.has_room(message) => {
                    next.push(message);
                    if self.is_named && is_question(message) {
                        next.signs.push(FrameSign::Question);
                    }
                }
                None if frame.is_ping_with_payload() => self.pass_mark(frame, &mut next),
                _ if next.bytes > 0 => break,
                // A control frame: the ping has its own form here, and the close is said in text.
                _ if frame.is_ping() => {
                    return NextFrame { text: HEARTBEAT.to_owned(), bytes: size, signs: Vec::new() };
                }
                _ if !frame.is_text() => {
                    return NextFrame { text: String::new(), bytes: size, signs: Vec::new() };
                }
                _ => {
                    let text = String::from_utf8_lossy(frame.json()).into_owned();
                    return NextFrame { text, bytes: size, signs: Vec::new() };
                }
            }
            next.bytes += size;
        }
        if !next.text.is_empty() {
            next.text = format!("a[{}]", next.text);
        }
        next
    }

    /// A mark stands between the messages of a frame. A stream asks behind it.
    #[cold]
    fn pass_mark(&self, mark: &Frame, next: &mut NextFrame) {
        next.signs.push(FrameSign::Mark(mark.clone(), next.text.is_empty()));
        let is_stream = self.sink.as_ref().is_some_and(|sink| !sink.format.is_single());
        let asked = next.signs.iter().filter(|sign| matches!(sign, FrameSign::Question)).count();
        if !(is_stream && self.answers && asked == 0 && self.signs.may_ask()) {
            return;
        }
        let ping = server_message::ping().quoted();
        if let Some(message) = ping.quoted_message().and_then(|message| std::str::from_utf8(message).ok()) {
            next.push(message);
            next.signs.push(FrameSign::Question);
        }
    }

    /// A frame was written that brings the client past these. `untouched`: it is the first of its response with events.
    #[cold]
    fn note(&mut self, signs: Vec<FrameSign>, untouched: bool) {
        for sign in signs {
            match sign {
                FrameSign::Mark(mark, is_first) => self.signs.passed(&mark, untouched && is_first),
                FrameSign::Question => self.signs.asked(),
            }
        }
    }
}

impl NextFrame {
    /// Whether one more message has room.
    fn has_room(&self, message: &str) -> bool {
        self.text.is_empty() || self.text.len() + message.len() < FRAME_BYTES
    }

    fn push(&mut self, message: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(message);
    }
}

impl Transport for Rc<ResponseWriter> {
    fn name(&self) -> &'static str {
        "fallback"
    }

    fn form(&self) -> Form {
        Form::Quoted
    }

    fn ping_pace(&self) -> Option<Duration> {
        Some(MARK_PACE)
    }

    fn has_receiver(&self) -> bool {
        self.has_response()
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        let state = &mut *self.state.borrow_mut();
        while !outbox.is_empty() {
            let untouched = !state.carried;
            let NextFrame { text, bytes, signs } = match state.sink {
                Some(_) => state.next_frame(outbox),
                None => return Ok(Written::Blocked),
            };
            if !text.is_empty() && !state.write_frame(&text) {
                return Ok(Written::Blocked);
            }
            outbox.advance(bytes);
            if !signs.is_empty() {
                state.note(signs, untouched);
            }
            if text.starts_with('c') {
                state.final_frame = Some(text);
                state.detach();
            }
            if state.sink.is_none() || state.signs.has_news() {
                // Its session has to know: it lives for so long and no longer.
                context.waker().wake_by_ref();
            }
        }
        Ok(Written::Everything)
    }
}
