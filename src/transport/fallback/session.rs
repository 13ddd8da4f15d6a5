//! One session: a task that joins a client's many requests into one conversation.
//!
//! It runs on the worker that its first request came to. Requests reach it as [`SessionRequest`]s, and its frames leave
//! by its [`ResponseWriter`]. It ends when no response was attached for a while, and some seconds after its close frame.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc;
use tracing::info;

use super::Fallback;
use super::endpoint::SessionName;
use super::incoming_sends::{IncomingSends, PendingSend, UnreadMessages};
use super::introduction::IntroducedPath;
use super::response_channel::{Chunk, ResponseSink};
use super::response_format::Prelude;
use super::response_writer::ResponseWriter;
use super::session_signs::answers_among;
use super::session_stage::{ConnectedSession, SessionStage};
use super::session_table::SessionRequest;
use super::session_timer::{SessionDeadline, SessionTimer};
use crate::auth::request::Query;
use crate::connection::phase::Phase;
use crate::connection::{Probe, last_error};
use crate::http::Arrival;
use crate::hub::{Busy, Queued, Turn, come_again};
use crate::net::peer_field;
use crate::protocol::{CloseCode, Frame, ProtocolVersion};
use crate::recovery::GivenName;
use crate::transport::admission::{self, ConnectRequest, ConnectionPath, ConnectionRefusal};
use crate::transport::conversation::{Begun, CLOSE_GRACE, Conversation};

/// SockJS's answer to a second response while a first one is attached.
const ANOTHER_RECEIVES: &str = "c[2010,\"Another connection still open\"]";

/// Why the session of a client with a name ends that could have missed something.
const RESPONSE_LOST: &str = "A response has not arrived: come back, and its events are sent again";

/// The task of one session.
pub(super) struct FallbackSession {
    fallback: Rc<Fallback>,
    name: SessionName,
    requests: mpsc::Receiver<SessionRequest>,
    writer: Rc<ResponseWriter>,
    /// The very first frame, until a response takes it.
    opening_frame: Option<String>,
    stage: SessionStage,
    timer: SessionTimer,
    /// While it is polled: what it does comes before it is known what is waited for next.
    busy: Busy,
    incoming: IncomingSends,
    queued: Queued,
}

impl FallbackSession {
    /// A native session, whose first request names its app and its client.
    pub(super) fn native(
        fallback: &Rc<Fallback>,
        name: SessionName,
        requests: mpsc::Receiver<SessionRequest>,
        path: ConnectionPath,
        query: &Query,
        arrival: &Arrival,
    ) -> Self {
        let mut session =
            FallbackSession::new(fallback, name, requests, opening_frame(&fallback.config.hostname));
        let ConnectionPath { key, name: given } = path;
        let connect_request = ConnectRequest { key, name: given, query, arrival };
        // The client answers a heartbeat of a stream, and polls again after one.
        session.admit(&connect_request, |_| Probe::ControlFrame);
        session
    }

    /// A session of SockJS, whose client will name its app in its first message.
    pub(super) fn sockjs(
        fallback: &Rc<Fallback>,
        name: SessionName,
        requests: mpsc::Receiver<SessionRequest>,
        (arrival, given): (Arrival, GivenName),
    ) -> Self {
        let mut session = FallbackSession::new(fallback, name, requests, "o".to_owned());
        let until = Instant::now() + fallback.config.introduction_timeout;
        session.stage = SessionStage::AwaitingIntroduction { until, arrival, given };
        session
    }

    fn new(
        fallback: &Rc<Fallback>,
        name: SessionName,
        requests: mpsc::Receiver<SessionRequest>,
        opening_frame: String,
    ) -> Self {
        let stream_bytes = match name {
            SessionName::Native { .. } => usize::MAX,
            SessionName::SockJs(_) => fallback.config.sockjs_stream_bytes,
        };
        FallbackSession {
            fallback: Rc::clone(fallback),
            name,
            requests,
            writer: Rc::new(ResponseWriter::new(stream_bytes)),
            opening_frame: Some(opening_frame),
            stage: SessionStage::Ended,
            timer: SessionTimer::new(fallback.config.session_timeout),
            busy: Busy::default(),
            incoming: IncomingSends::default(),
            queued: Queued::default(),
        }
    }

    fn admit(&mut self, connect_request: &ConnectRequest<'_>, probe: impl FnOnce(ProtocolVersion) -> Probe) {
        let worker = &self.fallback.worker;
        let admitted = match admission::admit(worker, connect_request) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse(&refusal),
        };
        let agreed = admitted.agreed;
        let signs = (admitted.named.is_some(), agreed.version.understands_ping_event());
        self.writer.admitted(&admitted.app, admitted.shutdown_guard.clone(), signs);
        self.busy = self.writer.busy();
        let transport = Rc::clone(&self.writer);
        let begun = Conversation::begin(Rc::clone(worker), admitted, probe(agreed.version), transport);
        let Begun { client, mut conversation, .. } = begun;
        conversation.greet(agreed.parameterless, connect_request.query.get("channel"));
        self.stage = SessionStage::Connected(Box::new(ConnectedSession { client, conversation }));
    }

    fn refuse(&mut self, refusal: &ConnectionRefusal) {
        let ConnectionRefusal { code, reason, version } = refusal;
        let error = last_error(*version, *code, reason).map(|error| error.quoted());
        let final_frames = error.into_iter().chain([Frame::quoted_close(*code, reason)]);
        let final_frames =
            final_frames.map(|frame| String::from_utf8_lossy(frame.json()).into_owned()).collect();
        self.stage = SessionStage::Closing { final_frames, until: Instant::now() + CLOSE_GRACE };
        self.send_final_frames();
    }

    /// Writes the final frames, as many as are taken.
    fn send_final_frames(&mut self) {
        let SessionStage::Closing { final_frames, .. } = &mut self.stage else { return };
        while let Some(frame) = final_frames.front() {
            if !self.writer.write_frame(frame) {
                return;
            }
            if final_frames.len() == 1 {
                return self.writer.end_response();
            }
            final_frames.pop_front();
        }
    }

    fn take(&mut self, request: SessionRequest, turn: &mut Turn<'_>) {
        match request {
            SessionRequest::Receive { sink, prelude, number, arrival, taken } => {
                self.stage.check_arrival(&arrival);
                self.attach_response(sink, prelude);
                // The request may have been given up meanwhile; the response writer notices.
                let _ = taken.send(());
                self.incoming.take_number(number);
            }
            SessionRequest::Send { messages, number, mark, arrival, taken } => {
                self.stage.check_arrival(&arrival);
                self.incoming.take_send((number, mark), messages, taken);
            }
        }
        self.receive_in_order(turn);
    }

    /// Reads the sends whose turn has come, as far as this turn of the task goes.
    fn receive_in_order(&mut self, turn: &mut Turn<'_>) {
        let now = Instant::now();
        while !turn.is_over() {
            let Some(mut unread) = self.incoming.unread.take().or_else(|| self.next_send(now)) else {
                return;
            };
            while !turn.is_over()
                && let Some(message) = unread.messages.next()
            {
                turn.spend(message.len());
                self.receive(&message);
            }
            match unread.messages.len() {
                // The request may have been given up meanwhile.
                0 => drop(unread.taken.send(())),
                _ => self.incoming.unread = Some(unread),
            }
        }
    }

    /// The next send whose turn has come, if the session still reads.
    fn next_send(&mut self, now: Instant) -> Option<UnreadMessages> {
        let PendingSend { messages, mark, taken } = self.incoming.order.next(now)?;
        if !matches!(self.stage, SessionStage::AwaitingIntroduction { .. } | SessionStage::Connected(_)) {
            // Its request is answered that there is no session; nothing of it is read.
            return self.next_send(now);
        }
        if messages.is_empty() {
            self.writer.acknowledge();
        }
        if self.writer.awaits_answer() {
            self.writer.answered(answers_among(&messages), mark);
            self.tell_received();
        }
        if let SessionStage::Connected(connected) = &mut self.stage {
            connected.heard(connected.conversation.now());
        }
        Some(UnreadMessages { messages: messages.into_iter(), taken })
    }

    fn attach_response(&mut self, sink: ResponseSink, prelude: Prelude) {
        let is_native = matches!(self.name, SessionName::Native { .. });
        if !is_native && self.writer.has_response() {
            let bytes = sink.format.wrap(ANOTHER_RECEIVES);
            // A new response has room, and one that is given up needs nothing.
            let _ = sink.chunks.try_send(Chunk { bytes, shutdown_guard: None });
            return;
        }
        self.writer.attach(sink, prelude);
        self.tell_received();
        self.end_for_gap();
        let writer = &self.writer;
        let _ = self.opening_frame.take_if(|opening_frame| writer.write_frame(opening_frame));
        match &mut self.stage {
            SessionStage::Connected(connected) => {
                connected.heard(connected.conversation.now());
                connected.flush();
                self.writer.send_owed_acknowledgement();
            }
            SessionStage::Closing { .. } => self.send_final_frames(),
            SessionStage::AwaitingIntroduction { .. } | SessionStage::Ended => {}
        }
    }

    /// What the client is known to have received counts as echoed.
    fn tell_received(&self) {
        if let SessionStage::Connected(connected) = &self.stage
            && let Some(mark) = self.writer.take_received()
        {
            connected.conversation.echoed(mark.payload());
        }
    }

    /// A session goes on behind what was lost with a response, and its client knows of nothing. One that has a name is sent
    /// away in place of that: when it comes back, it is sent what it has not received.
    fn end_for_gap(&mut self) {
        let SessionStage::Connected(connected) = &self.stage else { return };
        if !self.writer.has_gap() || connected.client.named().is_none() {
            return;
        }
        let close = Frame::quoted_close(CloseCode::Reconnect, RESPONSE_LOST);
        let close = String::from_utf8_lossy(close.json()).into_owned();
        self.stage =
            SessionStage::Closing { final_frames: [close].into(), until: Instant::now() + CLOSE_GRACE };
    }

    fn receive(&mut self, message: &str) {
        match &mut self.stage {
            SessionStage::AwaitingIntroduction { arrival, given, .. } => {
                let (arrival, given) = (std::mem::take(arrival), std::mem::take(given));
                self.read_introduction(message, &arrival, given);
            }
            SessionStage::Connected(connected) => {
                connected.conversation.count_received(message.len());
                connected.receive(message, connected.conversation.now());
            }
            SessionStage::Closing { .. } | SessionStage::Ended => {}
        }
    }

    /// The first message of SockJS, which names the path that a WebSocket would have been opened at.
    fn read_introduction(&mut self, message: &str, arrival: &Arrival, given: GivenName) {
        let path = IntroducedPath::read(message, &self.fallback.settings.path_prefix, given);
        let ConnectionPath { key, name } = path.named;
        let connect_request = ConnectRequest { key, name, query: &path.query, arrival };
        self.admit(&connect_request, |version| {
            if version.understands_ping_event() { Probe::Event } else { Probe::Impossible }
        });
    }

    /// Polls the conversation and the response that receives, and moves on to the next stage if either has ended.
    fn poll_conversation(&mut self, context: &mut Context<'_>) {
        let has_room = self.writer.poll(context);
        self.tell_received();
        self.end_for_gap();
        match &mut self.stage {
            SessionStage::Connected(connected) => {
                connected.conversation.attend(context);
                if has_room {
                    connected.flush();
                }
                match connected.conversation.phase() {
                    Phase::Closed => self.stage = SessionStage::Ended,
                    Phase::Closing => {
                        if let Some(last) = self.writer.final_frame() {
                            let until = Instant::now() + CLOSE_GRACE;
                            self.stage = SessionStage::Closing { final_frames: [last].into(), until };
                        }
                    }
                    Phase::Open => {}
                }
            }
            SessionStage::Closing { .. } if has_room => self.send_final_frames(),
            SessionStage::Closing { .. }
            | SessionStage::AwaitingIntroduction { .. }
            | SessionStage::Ended => {}
        }
    }

    /// A deadline has come.
    fn on_deadline(&mut self, now: Instant) {
        match &self.stage {
            SessionStage::AwaitingIntroduction { until, arrival, .. } if now >= *until => {
                let code = CloseCode::Unauthorized;
                let reason =
                    "No app was named in time, expected {\"path\":\"/app/KEY?protocol=7\"}".to_owned();
                let (peer, proxy) = (peer_field(arrival.peer), arrival.proxy());
                let origin = arrival.origin();
                info!(session = ?self.name, code = code.code(), reason, peer, proxy, origin, "session refused");
                admission::announce_nameless(self.fallback.worker.hub(), arrival, code.into(), &reason);
                self.refuse(&ConnectionRefusal {
                    code: code.into(),
                    reason,
                    version: Some(ProtocolVersion::NEWEST),
                });
            }
            SessionStage::Closing { .. } => self.stage = SessionStage::Ended,
            SessionStage::Connected(connected) if self.writer.awaits_renewal() => {
                self.writer.give_up_renewal();
                connected.flush();
            }
            _ if self.writer.has_response() => self.writer.write_heartbeat(),
            _ => self.stage = SessionStage::Ended,
        }
    }

    /// Whether a send has waited long enough for its turn.
    fn poll_incoming(&mut self, turn: &mut Turn<'_>, context: &mut Context<'_>) -> bool {
        let is_due = self.incoming.poll_due(context);
        if is_due {
            self.receive_in_order(turn);
        }
        is_due
    }

    /// Whether the deadline had come.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = SessionDeadline::of(&self.stage, &self.writer, &self.fallback.config);
        let Some(due) = self.timer.poll(deadline, &self.writer, context) else { return false };
        self.on_deadline(Instant::now());
        if matches!(self.stage, SessionStage::Ended) {
            // What was to happen then has happened when the session is gone.
            self.timer.hold(due);
        }
        true
    }

    /// Whether the client's messages have to wait.
    fn is_held_up(&self, context: &Context<'_>) -> bool {
        matches!(self.stage, SessionStage::Connected(_)) && self.fallback.worker.is_congested(context.waker())
    }
}

impl Future for FallbackSession {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.busy = this.writer.busy();
        let polled = this.poll_turn(context);
        this.busy = Busy::default();
        polled
    }
}

impl FallbackSession {
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let this = self;
        let fallback = Rc::clone(&this.fallback);
        let Some(mut turn) = fallback.worker.turn_of(&mut this.queued, context) else { return Poll::Pending };
        while !turn.is_over() {
            turn.spend(0);
            this.poll_conversation(context);
            if matches!(this.stage, SessionStage::Ended) {
                return Poll::Ready(());
            }
            let held_up = this.is_held_up(context);
            if !held_up {
                // What the last turn was too short for.
                this.receive_in_order(&mut turn);
                if this.incoming.unread.is_some() {
                    come_again(context);
                    return Poll::Pending;
                }
            }
            // No request is taken before all messages of the last one have been read.
            let must_wait = held_up || this.incoming.unread.is_some();
            let request = if must_wait { Poll::Pending } else { this.requests.poll_recv(context) };
            match request {
                Poll::Ready(Some(request)) => this.take(request, &mut turn),
                // The table holds a sender for as long as the session lives.
                Poll::Ready(None) | Poll::Pending => {
                    let timers = [this.poll_incoming(&mut turn, context), this.poll_timer(context)];
                    if !timers.contains(&true) {
                        return Poll::Pending;
                    }
                }
            }
        }
        come_again(context);
        Poll::Pending
    }
}

impl Drop for FallbackSession {
    fn drop(&mut self) {
        self.fallback.sessions.count_impatient(self.incoming.order.out_of_order());
        self.fallback.sessions.remove(&self.name);
    }
}

/// The first frame of a native session; clients send everything later to the host it names.
pub(super) fn opening_frame(hostname: &str) -> String {
    match hostname {
        "" => "o".to_owned(),
        hostname => format!("o{}", serde_json::json!({ "hostname": hostname })),
    }
}
