//! One client's conversation with the broker, whatever carries it: what the transport hears goes into the state
//! machine, and what that asks for is carried out.
//!
//! It knows nothing of sockets, requests or framing. A transport owns one, feeds it, and lets go of its peer when the
//! conversation is over. Whatever ends it, dropping it runs the disconnect procedure if nothing else has.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tracing::{debug, info, trace, warn};

use crate::connection::phase::{Phase, PhaseEvent, PhaseStep};
use crate::connection::{
    Action, Answered, Connection, Ending, HeldMessage, Join, JoinAnswer, JoinNumber, NotJoined, Probe,
    ReceivedMessage, Refusal, SignIn, last_error,
};
use crate::diagnosis::Diagnosis;
use crate::event::AcceptedEvent;
use crate::hub::{
    Admission, AppState, Bounds, Client, ConnectionDetails, DriverRequest, Due, Refused, ShutdownGuard,
    Timed, Transport, Worker,
};
use crate::protocol::{ChannelName, ChannelType, CloseCode, CloseStatus, Form, Frame, Negotiated};

use super::admission::AdmittedConnection;
use super::client_info::{ClientInfo, ClientLogFields};
use crate::http::Arrival;
use crate::net::{PeerField, ProxyField, peer_field};

/// How long a peer may take to answer the close frame before the transport lets go of it.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// Channels that are named where a connection is described. Of more it is told how many there are.
const DESCRIBED_CHANNELS: usize = 200;

/// Seconds since this was first asked: the age of a connection need not be told more exactly, and one is kept for each.
fn seconds_since_start() -> u32 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(START.elapsed().as_secs()).unwrap_or(u32::MAX)
}

/// Everything that one connection is, but for the transport that carries it.
pub(super) struct Conversation {
    worker: Rc<Worker>,
    client: Rc<Client>,
    connection: Connection,
    /// Who is at the other end, for the log.
    client_info: ClientInfo,
    /// Of the app's settings that the connection has.
    generation: u32,
    /// From the close frame on: the peer's time to answer it.
    grace: Option<Pin<Box<Sleep>>>,
    phase: Phase,
    /// When it began, in seconds since the process first asked for them.
    opened: u32,
    /// Stands for the time at which it is to be looked at again.
    due: Due,
    /// Shutdown waits for this connection.
    shutdown_guard: ShutdownGuard,
}

/// A client that has been admitted, and its conversation.
pub(super) struct Begun<T> {
    pub(super) client: Rc<Client<T>>,
    pub(super) conversation: Conversation,
    /// Bytes that one message from the client may have.
    pub(super) message_limit: usize,
}

impl Conversation {
    /// Makes the connection that was admitted. Nothing has been said yet.
    pub(super) fn begin<T: Transport + 'static>(
        worker: Rc<Worker>,
        admitted: AdmittedConnection,
        probe: Probe,
        transport: T,
    ) -> Begun<T> {
        let AdmittedConnection {
            app,
            agreed: Negotiated { version, .. },
            admission,
            shutdown_guard,
            client_info,
            decrypts_everything,
            named,
        } = admitted;
        let Admission { socket_id, authorize_within } = admission;
        let config = Arc::clone(worker.hub().connection_config_of(&app));
        let message_limit = message_bytes(&app, transport.form());
        let now = app.clock().now();
        // Before the settings: see AppState::generation.
        let generation = app.generation();
        let bounds = Bounds::of(&app.app().limits, &config);
        let mut connection = Connection::new(app.app().share(), config, socket_id, version, probe, now);
        if let Some(time) = authorize_within {
            connection.must_authorize_by(now + time);
        }
        let client = Rc::new(Client::new(app, socket_id, version, bounds, transport));
        if decrypts_everything {
            client.decrypts_all();
        }
        let shared: Rc<Client> = client.clone();
        if let Some(named) = named {
            worker.name(&shared, *named);
        }
        worker.open(&shared);
        shared.app().recent_sockets().note(socket_id, client_info.address());
        let conversation = Conversation {
            worker,
            client: shared,
            connection,
            generation,
            client_info,
            grace: None,
            phase: Phase::Open,
            opened: seconds_since_start(),
            due: Due::default(),
            shutdown_guard,
        };
        Begun { client, conversation, message_limit }
    }

    /// Sends the greeting; the very first release names a channel in its URL that it wants right away.
    pub(super) fn greet(&mut self, parameterless: bool, channel: Option<&str>) {
        let binary = self.client.form().is_binary();
        let greeting: Vec<Frame> =
            self.connection.greeting(parameterless, binary, self.client.named().is_some()).collect();
        greeting.into_iter().for_each(|frame| self.send(frame));
        if let Some(channel) = channel.filter(|_| parameterless)
            && let Some(action) = self.connection.subscribe_at_connect(channel)
        {
            self.carry_out(action);
        }
        self.tick();
    }

    /// What time it is for the client.
    pub(super) fn now(&self) -> Instant {
        self.client.app().clock().now()
    }

    /// The worker that it lives on.
    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Where it is in its life.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Something came from the client, whatever it was.
    pub(super) fn heard(&mut self, now: Instant) {
        self.connection.heard(now);
        if let Some(named) = self.client.named() {
            named.heard(now);
        }
        self.see_new_settings();
    }

    /// From now on the app's settings are those of now.
    fn see_new_settings(&mut self) {
        let app = self.client.app();
        let generation = app.generation();
        if generation != self.generation {
            self.generation = generation;
            let settings = app.app().share();
            self.client.set_bounds(Bounds::of(&settings.limits, self.worker.hub().connection_config_of(app)));
            self.connection.set_app(settings);
        }
    }

    /// Bytes that one message may have, as of now.
    pub(super) fn message_bytes(&self) -> usize {
        message_bytes(self.client.app(), self.client.form())
    }

    /// Counts bytes that came from the client, where the transport does not.
    pub(super) fn count_received(&self, bytes: usize) {
        self.client.app().cells_of(self.worker.index()).bytes_received.add(bytes as u64);
    }

    /// A message came from the client. Once the close frame is sent, it is ignored.
    pub(super) fn receive(&mut self, text: &str, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        trace!(socket_id = %self.client.socket_id(), text, "received");
        let app = self.client.app();
        app.cells_of(self.worker.index()).messages_received.add(1);
        let listens = |channel: Option<&str>, event: &str| app.is_listened_to(channel, event);
        if let Some(action) = self.connection.receive(text, now, &listens) {
            self.carry_out(action);
        }
    }

    /// A binary message came from the client, which may send such.
    pub(super) fn receive_binary(&mut self, message: &[u8], now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        trace!(socket_id = %self.client.socket_id(), bytes = message.len(), "received");
        let app = self.client.app();
        app.cells_of(self.worker.index()).messages_received.add(1);
        let listens = |channel: Option<&str>, event: &str| app.is_listened_to(channel, event);
        let films = |event: &AcceptedEvent<'_>| app.is_filmed(event);
        if let Some(action) = self.connection.receive_binary(message, now, &listens, &films) {
            self.carry_out(action);
        }
    }

    /// The client has returned what a ping carried, or something else.
    pub(super) fn echoed(&self, payload: &[u8]) {
        if let Some(named) = self.client.named() {
            named.echoed(payload);
        }
        self.client.track_echoed(payload);
    }

    /// Sends the client a frame.
    pub(super) fn send(&self, frame: Frame) {
        self.worker.send(&self.client, frame);
    }

    /// Does what its transport's task has been woken for. To be called at each of the task's turns, whose waker it
    /// keeps.
    pub(super) fn attend(&mut self, context: &mut Context<'_>) {
        self.client.set_waker(context.waker());
        let signals = self.client.take_signals();
        if signals.lost {
            self.lost();
        }
        if signals.overflow {
            self.overflowed();
        }
        match signals.asked.map(|asked| *asked) {
            Some(DriverRequest::Close(status, reason)) => self.close(status, &reason),
            Some(DriverRequest::Describe(reply)) => reply.tell(self.describe()),
            None => {}
        }
        if signals.timer {
            self.tick();
        }
        if signals.joined {
            self.take_answers();
        }
        if self.grace.as_mut().is_some_and(|grace| grace.as_mut().poll(context).is_ready()) {
            self.grace = None;
            if self.step(PhaseEvent::GraceOver) == PhaseStep::Reset {
                self.client.reset();
            }
        }
    }

    /// What there is of it.
    #[cold]
    fn describe(&self) -> ConnectionDetails {
        let (silent, round_trip, pinged) = self.connection.silence(self.now());
        let (channels, channel_count) = self.connection.subscribed();
        let mut channels: Vec<String> = channels.take(DESCRIBED_CHANNELS).map(ToString::to_string).collect();
        channels.sort_unstable();
        self.client_info.describe(ConnectionDetails {
            user_id: self.connection.user().map(|user| user.id().to_string()),
            age: Some(Duration::from_secs((seconds_since_start() - self.opened).into())),
            silent: Some(silent),
            round_trip,
            pinged,
            channels,
            channel_count,
            ..self.client.details()
        })
    }

    /// Ends it from our side.
    pub(super) fn close(&mut self, status: impl Into<CloseStatus>, reason: &str) {
        let status = status.into();
        if self.step(PhaseEvent::Close) == PhaseStep::SendClose {
            self.disconnect(Ending::Closed(status, reason.to_owned()));
            // Whoever receives by a request that is under way hears it, and does not say so.
            let hears = self.client.has_receiver();
            self.send_close(status, reason);
            let now = self.now();
            if let Some(named) = self.client.named().filter(|named| hears && named.was_heard_lately(now)) {
                self.worker.hub().takeover_heard(named);
            }
        }
    }

    /// Ends it for what the client did, or has not done, which the log tells like every refusal.
    pub(super) fn turn_away(&mut self, status: impl Into<CloseStatus>, reason: &str) {
        let status = status.into();
        let ClientLogFields { peer, proxy, origin, .. } = self.client_info.log_fields();
        self.tell_turned_away(status, reason, (peer, proxy), origin);
        self.close(status, reason);
    }

    /// Ends it because a request that came so may not be part of it.
    pub(super) fn turn_away_for(&mut self, came: &Arrival, status: impl Into<CloseStatus>, reason: &str) {
        let status = status.into();
        self.tell_turned_away(
            status,
            reason,
            (peer_field(came.peer), came.proxy()),
            came.origin().as_deref(),
        );
        self.close(status, reason);
    }

    fn tell_turned_away(
        &self,
        status: CloseStatus,
        reason: &str,
        (peer, proxy): (PeerField, ProxyField),
        origin: Option<&str>,
    ) {
        if self.phase != Phase::Open {
            return;
        }
        let (app, socket_id, code) = (&self.connection.app().id, self.client.socket_id(), status.code());
        let ClientLogFields { client, version, .. } = self.client_info.log_fields();
        info!(app, %socket_id, code, reason, peer, proxy, origin, client, version, "refused and closed");
    }

    /// The peer's close frame came. Returns whether `answer` was queued as ours; if not, ours went before.
    pub(super) fn peer_closed(&mut self, answer: Frame) -> bool {
        let answers = self.step(PhaseEvent::PeerClosed) == PhaseStep::EchoClose;
        if answers {
            self.disconnect(Ending::Left(answer.close_code()));
            self.send_final_frames([answer]);
        } else if let Some(named) = self.client.named()
            && answer.close_code() == Some(CloseCode::OverCapacity.code())
        {
            // A client that goes of its own accord gives another code.
            self.worker.hub().takeover_heard(named);
        }
        answers
    }

    /// The peer is gone without a word.
    pub(super) fn lost(&mut self) {
        if self.step(PhaseEvent::Lost) == PhaseStep::Forget {
            self.disconnect(Ending::Lost);
        }
    }

    fn carry_out(&mut self, action: Action<'_>) {
        match action {
            Action::Send(frame) => self.send(frame),
            Action::Ping => self.send(Frame::ping()),
            Action::Refuse(refusal) => self.refuse(&refusal),
            Action::Join(join) => self.join(&join),
            Action::Leave(channel) => {
                self.worker.leave(&self.client, &channel);
                debug!(socket_id = %self.client.socket_id(), %channel, "unsubscribed");
            }
            Action::SignIn(sign_in) => self.sign_in(*sign_in),
            Action::Accept(event) => {
                self.worker.hub().accept(self.client.app(), &event);
            }
            Action::Watch(request) => {
                if let Err(fault) = self.worker.watch(&self.client, *request) {
                    self.refuse(&Refusal::unnumbered(format!(
                        "Received an invalid pusher:track_wanted: {fault}"
                    )));
                }
            }
            Action::Authorize => match self.worker.count(&self.client) {
                Ok(_) => self.connection.authorized(),
                Err(_) => self.turn_away(CloseCode::OverQuota, CloseCode::OverQuota.sentence()),
            },
            Action::Close(code @ (CloseCode::Unauthorized | CloseCode::OverQuota)) => {
                self.turn_away(code, code.sentence());
            }
            Action::Close(code) => self.close(code, code.sentence()),
        }
    }

    /// Has the hub subscribe it, and does what the connection makes of the answer, if there is one already.
    fn join(&mut self, join: &Join) {
        if let Some(result) = self.worker.join(&self.client, join) {
            self.joined(&join.channel, join.number, result);
        }
    }

    /// Does what the connection makes of answers that had to be waited for.
    #[cold]
    fn take_answers(&mut self) {
        for JoinAnswer { channel, number, result } in self.worker.take_answers(&self.client) {
            self.joined(&channel, number, result);
        }
    }

    fn joined(&mut self, channel: &ChannelName, number: JoinNumber, result: Result<(), NotJoined>) {
        if result.is_ok() {
            debug!(socket_id = %self.client.socket_id(), %channel, "subscribed");
        }
        let Answered { action, held } = self.connection.joined(channel, number, result);
        if let Some(action) = action {
            self.carry_out(action);
        }
        for HeldMessage { message, received } in held {
            match message {
                ReceivedMessage::Text(text) => self.receive(&text, received),
                ReceivedMessage::Binary(bytes) => self.receive_binary(&bytes, received),
            }
        }
    }

    fn sign_in(&mut self, sign_in: SignIn) {
        let SignIn { user, answer, watchlist, warning, authorizes } = sign_in;
        if self.worker.sign_in(&self.client, user.id(), &watchlist, answer, authorizes).is_err() {
            return self.turn_away(CloseCode::OverQuota, CloseCode::OverQuota.sentence());
        }
        debug!(socket_id = %self.client.socket_id(), user_id = %user.id(), "signed in");
        self.connection.signed_in(user);
        if let Some(warning) = warning {
            self.refuse(&warning);
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: &Refusal) {
        let diagnosis = refusal.disputed.as_ref().map(|disputed| {
            let (socket_id, address) = (self.client.socket_id(), self.client_info.address());
            self.worker.hub().examine_auth(self.client.app(), socket_id, address, disputed)
        });
        let shown = match &diagnosis {
            Some(diagnosis) if diagnosis.hides_the_reason() => {
                Cow::Owned(refusal.in_words(Diagnosis::shown(Some(diagnosis), &refusal.message)))
            }
            _ => Cow::Borrowed(refusal),
        };
        let (app, code, reason) = (&self.connection.app().id, refusal.code.code(), &shown.message);
        let cause = diagnosis.as_ref().map(Diagnosis::sentence);
        let channel = refusal.subscription.as_ref().map(|(channel, _)| channel);
        let (socket_id, ClientLogFields { peer, proxy, origin, client, version }) =
            (self.client.socket_id(), self.client_info.log_fields());
        info!(app, %socket_id, code, reason, cause, channel, peer, proxy, origin, client, version, "refused");
        let refused = Refused::ClientMessage { socket_id, refusal: &shown, diagnosis: diagnosis.as_ref() };
        self.worker.hub().announce_refusal(Some(self.client.app()), &refused);
        let with_event = self.worker.hub().connection_config().subscription_error_event;
        let encrypted = |channel: &String| ChannelType::of(channel).is_encrypted();
        let of_encrypted = refusal.subscription.as_ref().is_some_and(|(channel, _)| encrypted(channel));
        // The `pusher:error` tells it the reason anyway.
        let with_event = with_event && !(of_encrypted && self.client.decrypts_everything());
        let told = diagnosis.as_ref().and_then(Diagnosis::for_outsiders);
        refusal.frames(with_event, told.as_deref()).for_each(|frame| self.send(frame));
    }

    /// Looks at the time, for everything that waits for it.
    fn tick(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        // Whether it must authorize itself is looked up when its time is over.
        self.see_new_settings();
        let (action, again) = self.connection.tick(self.now());
        let was_due = std::mem::take(&mut self.due);
        if let Some(again) = again {
            let (time, due) = self.client.app().clock().wait_until(again, Timed::Ping);
            self.due = due;
            self.worker.remind(&self.client, time);
        }
        match action {
            None => was_due.put_off(),
            Some(action) => {
                let what = timed(&action);
                self.carry_out(action);
                was_due.happened(what);
            }
        }
    }

    /// Steps the table of phases; what it says is to be done by whoever steps it.
    #[must_use]
    fn step(&mut self, event: PhaseEvent) -> PhaseStep {
        let (phase, step) = self.phase.on(event);
        self.phase = phase;
        step
    }

    fn send_close(&mut self, status: CloseStatus, reason: &str) {
        let error = last_error(Some(self.client.version()), status, reason);
        let close = Frame::close(status, reason);
        match self.client.form() {
            Form::Quoted => {
                let error = error.map(|error| error.quoted());
                let text = Frame::quoted_close(status, reason);
                self.send_final_frames(error.into_iter().chain([text, close]));
            }
            _ => self.send_final_frames(error.into_iter().chain([close])),
        }
    }

    fn send_final_frames(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.client.queue_final_frames(frames);
        self.grace = Some(Box::pin(tokio::time::sleep(CLOSE_GRACE)));
        // Polled at once, so that its end wakes the task.
        self.client.wake();
        self.client.flush();
    }

    /// The client could not keep up. What waits for it is given up but for the rest of a frame that it has begun to
    /// receive, and the close frame goes behind that: a client that reads on within the grace period learns that it is
    /// to back off, where a reset would make some releases distrust WebSockets altogether.
    fn overflowed(&mut self) {
        let (bytes, frames) = self.client.owed();
        let (app, socket_id) = (&self.connection.app().id, self.client.socket_id());
        let closed = self.worker.hub().count_slow_reader();
        let ClientLogFields { peer, proxy, origin, client, version } = self.client_info.log_fields();
        warn!(app, %socket_id, bytes, frames, closed, peer, proxy, origin, client, version, "slow reader closed");
        self.client.abandon_outbox();
        let reason = "Too slow: more was waiting for this connection than is allowed";
        self.close(CloseCode::OverCapacity, reason);
    }

    /// The disconnect procedure. The table of phases has it run once, whatever the cause.
    fn disconnect(&mut self, ending: Ending) {
        let (app, socket_id) = (&self.connection.app().id, self.client.socket_id());
        let ClientLogFields { peer, proxy, origin, client, version } = self.client_info.log_fields();
        debug!(app, %socket_id, ?ending, peer, proxy, origin, client, version, "disconnected");
        self.client.app().recent_sockets().note(socket_id, self.client_info.address());
        std::mem::take(&mut self.due).put_off();
        self.worker.leave_name(&self.client);
        self.worker.disconnect(&self.client, self.connection.disconnect(ending), Some(&self.shutdown_guard));
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.lost();
        self.worker.let_go(&self.client, &self.shutdown_guard);
    }
}

/// What an action is that the time demands.
fn timed(action: &Action<'_>) -> Timed {
    match action {
        Action::Close(CloseCode::PongMissing) => Timed::PongTimeout,
        Action::Close(CloseCode::Inactive) => Timed::Inactivity,
        Action::Close(_) | Action::Authorize => Timed::Authorization,
        _ => Timed::Ping,
    }
}

/// Bytes that one message may have, in the form that the client takes and sends.
fn message_bytes(app: &AppState, form: Form) -> usize {
    let text = app.message_bytes();
    if form.is_binary() { app.app().limits.inbound_bytes_with_binary(text) } else { text }
}
