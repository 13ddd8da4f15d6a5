//! One client's life as a pure state machine: a message and the time go in, [`Action`]s come out.
//!
//! [`Connection`] never awaits, spawns, reads a clock or draws a number, and knows neither sockets nor other
//! clients. The driver that owns it carries its actions out, in order.

mod action;
mod auth_state;
mod by_channel;
mod client_event;
mod config;
mod filming;
mod heartbeat;
mod joins;
mod pending;
pub(crate) mod phase;
mod rate_limit;
mod refusal;
mod signin;
mod subscribe;
mod subscriptions;
mod track;

pub use action::{Action, Join};
pub(crate) use action::{Answered, JoinAnswer, NotJoined, SignIn};
pub use config::ConnectionConfig;
pub use heartbeat::Probe;
pub(crate) use heartbeat::{Heartbeat, HeartbeatStep};
pub use pending::JoinNumber;
pub(crate) use pending::{HeldMessage, ReceivedMessage};
pub(crate) use rate_limit::RateLimit;
pub(crate) use refusal::Refusal;
pub(crate) use signin::SignedInUser;
pub(crate) use track::{PipeFilms, ViewerRequest, is_still};

use auth_state::AuthState;
use client_event::Sender;
use filming::FilmingAllowance;
use pending::PendingJoins;
use subscriptions::Subscriptions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::event::Destination;
use crate::protocol::client_message::{BadParameter, ClientMessage, MessageParameters};
use crate::protocol::event_name::{self, ClientEventKind};
use crate::protocol::{
    BinaryMessage, ChannelName, CloseCode, CloseStatus, Frame, ProtocolVersion, SocketId, server_message,
};

/// The silence after which a client that has named itself is to ask whether it is still heard: while its line is dead it
/// misses what it will be sent later.
const ACTIVITY_OF_NAMED: Duration = Duration::from_secs(15);

/// Tells whether some pipe wants an event of this name on this channel (or on none).
pub(crate) type PipeListens<'p> = dyn Fn(Option<&str>, &str) -> bool + 'p;

/// The state of one client's connection, from its greeting to its end.
#[derive(Debug)]
pub struct Connection {
    app: Arc<App>,
    config: Arc<ConnectionConfig>,
    socket_id: SocketId,
    version: ProtocolVersion,
    subscriptions: Subscriptions,
    /// The joins that have been asked for and not been answered, if there are any.
    pending: Option<Box<PendingJoins>>,
    last_join: JoinNumber,
    /// Whom it is signed in as, or that it must authorize itself yet. With most connections it is neither.
    auth: Option<Box<AuthState>>,
    heartbeat: Heartbeat,
    /// From the first client event on.
    client_event_rate: Option<Box<RateLimit>>,
    /// From the first message of a track on.
    filming: Option<Box<FilmingAllowance>>,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(
        app: Arc<App>,
        config: Arc<ConnectionConfig>,
        socket_id: SocketId,
        version: ProtocolVersion,
        probe: Probe,
        now: Instant,
    ) -> Self {
        Connection {
            app,
            config,
            socket_id,
            version,
            subscriptions: Subscriptions::default(),
            pending: None,
            last_join: JoinNumber::default(),
            auth: None,
            heartbeat: Heartbeat::new(probe, now),
            client_event_rate: None,
            filming: None,
        }
    }

    /// The app it belongs to.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// It is one of those that must authorize themselves: by `deadline` it must have signed in, or be subscribed to a
    /// channel that takes a signature.
    pub fn must_authorize_by(&mut self, deadline: Instant) {
        self.auth = Some(Box::new(AuthState::Waiting(deadline)));
    }

    /// Whether it must still authorize itself.
    pub fn is_unauthorized(&self) -> bool {
        self.deadline().is_some()
    }

    /// It is authorized, for the rest of its life.
    pub fn authorized(&mut self) {
        if self.is_unauthorized() {
            self.auth = None;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.auth.as_deref().and_then(AuthState::deadline)
    }

    pub(crate) fn user(&self) -> Option<&SignedInUser> {
        self.auth.as_deref().and_then(AuthState::user)
    }

    /// The app's settings have changed: from now on these hold.
    pub fn set_app(&mut self, app: Arc<App>) {
        if app.limits.client_events_per_second != self.app.limits.client_events_per_second {
            // The next event begins with a full second's worth at the new rate.
            self.client_event_rate = None;
        }
        self.app = app;
    }

    /// Bytes arrived, whatever they were: the client is there.
    pub fn heard(&mut self, now: Instant) {
        self.heartbeat.heard(now);
    }

    /// For how long nothing has come from it, how long its last answer to a ping took, and for how long one is awaited.
    pub(crate) fn silence(&self, now: Instant) -> (Duration, Option<Duration>, Option<Duration>) {
        self.heartbeat.silence(now)
    }

    /// What it is subscribed to, in no particular order, and how many channels that are.
    pub(crate) fn subscribed(&self) -> (impl Iterator<Item = &ChannelName>, usize) {
        (self.subscriptions.channels(), self.subscriptions.len())
    }

    /// The first frames to it. A client that named no version is greeted by both names of the first frame, and one that
    /// may send binary messages is told how large they may be. Whoever has given itself a name is to ask sooner than others
    /// whether the line is dead.
    pub fn greeting(&self, parameterless: bool, binary: bool, has_name: bool) -> impl Iterator<Item = Frame> {
        let most = if has_name { ACTIVITY_OF_NAMED } else { Duration::MAX };
        let timeout = self.config.activity_timeout.min(most);
        let binary = binary.then_some(self.app.limits.binary_message_bytes);
        let greet =
            move |version| server_message::connection_established(version, self.socket_id, timeout, binary);
        let second = parameterless.then_some(ProtocolVersion::FIRST_WITH_PREFIX).map(greet);
        [greet(self.version)].into_iter().chain(second)
    }

    /// Looks at the time: what to do now, and when to look again.
    pub fn tick(&mut self, now: Instant) -> (Option<Action<'static>>, Option<Instant>) {
        match self.deadline() {
            Some(deadline) if now >= deadline => {
                if self.app.authorized_connections {
                    return (Some(Action::Close(CloseCode::Unauthorized)), None);
                }
                // It has been switched off meanwhile. What the heartbeat wants is looked at next.
                (Some(Action::Authorize), Some(now))
            }
            deadline => {
                let (action, again) = self.beat(now);
                (action, again.map(|again| deadline.map_or(again, |deadline| again.min(deadline))))
            }
        }
    }

    fn beat(&mut self, now: Instant) -> (Option<Action<'static>>, Option<Instant>) {
        match self.heartbeat.poll(now, self.config.ping_after, self.config.pong_timeout) {
            HeartbeatStep::Wait(until) => (None, Some(until)),
            HeartbeatStep::Ping(until) => {
                let ping = match self.heartbeat.probe() {
                    Probe::Event => Action::Send(server_message::ping()),
                    Probe::ControlFrame | Probe::Impossible => Action::Ping,
                };
                // If it answers, the next ping may be due before an answer to this one would have been missed.
                (Some(ping), Some(until.min(now + self.config.ping_after)))
            }
            HeartbeatStep::PongMissing => (Some(Action::Close(CloseCode::PongMissing)), None),
            HeartbeatStep::Inactive => (Some(Action::Close(CloseCode::Inactive)), None),
        }
    }

    /// A text message arrived: what to do about it, if anything.
    pub fn receive<'m>(
        &mut self,
        text: &'m str,
        now: Instant,
        pipe_listens: &PipeListens<'_>,
    ) -> Option<Action<'m>> {
        let outcome = match ClientMessage::parse(text) {
            Ok(message) => self.hold_or_handle(message, text, now, pipe_listens),
            Err(unreadable) => Err(Refusal::unnumbered(unreadable)),
        };
        outcome.unwrap_or_else(|refusal| Some(Action::Refuse(refusal)))
    }

    /// A binary message arrived, on a connection that may send them: what to do about it.
    pub fn receive_binary<'m>(
        &mut self,
        message: &'m [u8],
        now: Instant,
        pipe_listens: &PipeListens<'_>,
        pipe_films: &PipeFilms<'_>,
    ) -> Option<Action<'m>> {
        let outcome = match BinaryMessage::parse(message) {
            Ok(parsed) => self.hold_or_handle_binary(parsed, message, now, (pipe_listens, pipe_films)),
            Err(fault) => Err(Refusal::unnumbered(format!("Received an invalid binary message: {fault}"))),
        };
        outcome.unwrap_or_else(|refusal| Some(Action::Refuse(refusal)))
    }

    /// It is signed in as the user, from now on.
    pub fn signed_in(&mut self, user: SignedInUser) {
        self.auth = Some(Box::new(AuthState::SignedIn(user)));
    }

    /// The connection is over: what is to be cleaned up. There is nothing of it from now on.
    pub fn disconnect(&mut self, ending: Ending) -> Cleanup {
        let user_id = self.user().map(|user| Arc::clone(user.id()));
        self.auth = None;
        let mut subscriptions = self.subscriptions.take_channels();
        if let Some(mut pending) = self.pending.take() {
            subscriptions.append(&mut pending.take_channels());
        }
        Cleanup { subscriptions, user_id, ending }
    }

    fn hold_or_handle<'m>(
        &mut self,
        message: ClientMessage<'m>,
        text: &str,
        now: Instant,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<Option<Action<'m>>, Refusal> {
        if self.pending.is_some()
            && let Some(held) = self.hold(&message, || HeldMessage::text(text, now))
        {
            return held.map(|()| None);
        }
        self.handle(message, now, pipe_listens)
    }

    fn hold_or_handle_binary<'m>(
        &mut self,
        message: BinaryMessage<'m>,
        bytes: &[u8],
        now: Instant,
        pipes: (&PipeListens<'_>, &PipeFilms<'_>),
    ) -> Result<Option<Action<'m>>, Refusal> {
        if self.pending.is_some()
            && let Some(held) = self.hold_binary(&message, || HeldMessage::binary(bytes, now))
        {
            return held.map(|()| None);
        }
        self.binary_event(message, bytes.len(), now, pipes).map(Some)
    }

    fn handle<'m>(
        &mut self,
        message: ClientMessage<'m>,
        now: Instant,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<Option<Action<'m>>, Refusal> {
        match message.event.as_ref() {
            "pusher:ping" => Ok(Some(Action::Send(server_message::pong()))),
            "pusher:pong" => Ok(None),
            "pusher:subscribe" => self.subscribe(MessageParameters::of(message.data)),
            "pusher:signin" => self.sign_in(MessageParameters::of(message.data)).map(Some),
            "pusher:unsubscribe" => self.unsubscribe(MessageParameters::of(message.data)),
            name => match event_name::kind(name) {
                ClientEventKind::ClientEvent => self.client_event(message, now).map(Some),
                ClientEventKind::Reserved => self.reserved_event(&message).map(Some),
                ClientEventKind::Unprefixed => self.pipe_event(message, pipe_listens).map(Some),
            },
        }
    }

    /// An event of the protocol's own that is none of those above: a viewer's request, or nothing that there is.
    #[cold]
    fn reserved_event<'m>(&self, message: &ClientMessage<'m>) -> Result<Action<'m>, Refusal> {
        match self.viewer_request(message) {
            Some(request) => request.map(|request| Action::Watch(Box::new(request))),
            None => Err(client_event::unsupported(&message.event)),
        }
    }

    fn sign_in<'m>(
        &mut self,
        parameters: Result<MessageParameters<'_>, BadParameter>,
    ) -> Result<Action<'m>, Refusal> {
        let signin::SignInRequest { user, user_data, watchlist, watchlist_cut } =
            signin::sign_in(&self.app, self.socket_id, parameters, self.user())?;
        let answer = server_message::signin_success(&user_data);
        let warning = watchlist_cut.then(|| Refusal::watchlist(&watchlist));
        let authorizes = self.is_unauthorized();
        Ok(Action::SignIn(Box::new(SignIn { user, answer, watchlist, warning, authorizes })))
    }

    fn client_event<'m>(&mut self, message: ClientMessage<'m>, now: Instant) -> Result<Action<'m>, Refusal> {
        let event = self.sender().client_event(message)?;
        self.check_rate(now)?;
        Ok(Action::Accept(event))
    }

    /// An event that only a pipe can want. It is not broadcast, and the rate of client events does not bind it.
    fn pipe_event<'m>(
        &self,
        message: ClientMessage<'m>,
        pipe_listens: &PipeListens<'_>,
    ) -> Result<Action<'m>, Refusal> {
        self.sender().pipe_event(message, pipe_listens).map(Action::Accept)
    }

    /// An event that came as a binary message.
    fn binary_event<'m>(
        &mut self,
        message: BinaryMessage<'m>,
        bytes: usize,
        now: Instant,
        (pipe_listens, pipe_films): (&PipeListens<'_>, &PipeFilms<'_>),
    ) -> Result<Action<'m>, Refusal> {
        let event = self.sender().binary_event(message, bytes, pipe_listens)?;
        if self.check_filming(&event, pipe_films)? {
            self.admit_filming(&event, now)?;
        } else if let Destination::Subscribers { .. } = event.to {
            self.check_rate(now)?;
        }
        Ok(Action::Accept(event))
    }

    fn check_rate(&mut self, now: Instant) -> Result<(), Refusal> {
        let per_second = self.app.limits.client_events_per_second;
        let rate = self.client_event_rate.get_or_insert_with(|| Box::new(RateLimit::per_second(per_second)));
        if rate.admit(now) { Ok(()) } else { Err(client_event::too_fast(per_second)) }
    }

    fn sender(&self) -> Sender<'_> {
        Sender { app: &self.app, socket_id: self.socket_id, subscriptions: &self.subscriptions }
    }
}

/// What is to be cleaned up when a connection ends.
#[derive(Debug, Default)]
pub struct Cleanup {
    /// What it was subscribed to, or has asked to be subscribed to.
    pub subscriptions: Vec<ChannelName>,
    /// Whom it was signed in as.
    pub user_id: Option<Arc<str>>,
    pub ending: Ending,
}

/// What ended a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The line was lost, or the client dropped it without a word.
    #[default]
    Lost,
    /// The client left, with this code if it named one.
    Left(Option<u16>),
    /// The broker closed it, with this code and reason.
    Closed(CloseStatus, String),
}

/// The error frame that must precede a fatal close for clients of this version, if one must. A version that is
/// not known is taken for an old one.
pub(crate) fn last_error(
    version: Option<ProtocolVersion>,
    status: CloseStatus,
    reason: &str,
) -> Option<Frame> {
    let needed = version.is_none_or(ProtocolVersion::needs_error_before_close) && status.is_protocols_own();
    needed.then(|| server_message::fatal_error(status, reason))
}

#[cfg(test)]
mod tests;
