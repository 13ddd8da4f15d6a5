//! What a pipe client's requests do.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::{debug, trace};

use crate::connection::ConnectionConfig;
use crate::hub::{AppState, ChannelSummary, Clock, Hub};
use crate::pipe::Context;
use crate::protocol::{ChannelName, quote};

use super::filter::Filter;
use super::lines::{GroupDisagrees, Line, Lines};
use super::request::{Command, Request, Socket};
use super::{Dialect, Fault, Kind, message};

/// One client's session: its requests, one after the other.
#[derive(Debug)]
pub(crate) struct Session {
    context: Context<'static>,
    app: Arc<AppState>,
    lines: Arc<Lines>,
    line: Arc<Line>,
}

impl Session {
    /// How connections of its app are treated.
    pub(super) fn connection_config<'a>(&'a self, hub: &'a Hub) -> &'a ConnectionConfig {
        hub.connection_config_of(&self.app)
    }

    /// The clock of its app.
    pub(super) fn clock(&self) -> &Clock {
        self.app.clock()
    }

    /// The session of a client that has just been let in: the greeting is queued, and the oldest dialect hears
    /// everything from the start.
    pub(crate) fn new(
        context: Context<'static>,
        app: Arc<AppState>,
        lines: Arc<Lines>,
        line: Arc<Line>,
    ) -> Self {
        line.answer(message::connection_established(line.dialect, line.socket_id, app.id()));
        let session = Session { context, app, lines, line };
        if session.line.dialect == Dialect::Unversioned {
            let kinds = Kind::SocketMessage.bit() | Kind::SocketExistence.bit();
            // It is in no group, so no group can be disagreed on.
            let _ = session.subscribe(kinds, Filter::EVERYTHING);
        }
        session
    }

    /// A text message arrived: does what it asks for, and queues the answer.
    pub(crate) fn receive(&self, text: &str) {
        trace!(socket_id = %self.line.socket_id, text, "a pipe client says");
        let request = Request::parse(text, self.line.dialect, &self.context.app().limits);
        // In this broker's own protocol, who gives no id wants no answer, unless something is wrong.
        let wants_answer = request.id.is_some() || !self.line.dialect.is_modern();
        match request.command.and_then(|command| self.carry_out(command)) {
            Ok(result) if wants_answer => self.line.answer(message::answer(request.id, &result.to_string())),
            Ok(_) => {}
            Err(fault) => {
                debug!(socket_id = %self.line.socket_id, code = fault.code(), %fault, "refused a pipe client");
                self.line.answer(message::fault(request.id, &fault));
            }
        }
    }

    /// Answers that a message was not even text.
    pub(crate) fn refuse(&self, reason: &str) {
        self.line.answer(message::fault(None, &Fault::Unreadable(reason.to_owned())));
    }

    fn carry_out(&self, command: Command<'_>) -> Result<Value, Fault> {
        let Session { context, line, .. } = self;
        // Whoever would be told that it was done would believe that somebody has heard it.
        if command.acts() && context.is_stopping() {
            return Err(Fault::Stopping);
        }
        match command {
            Command::Subscribe { kinds, filter, credit } => {
                self.subscribe(kinds, *filter)?;
                if credit.is_some() {
                    line.grant(credit);
                }
            }
            Command::Unsubscribe { kinds } => {
                self.lines.unsubscribe(line, kinds);
                self.app.listening_changed();
            }
            Command::SendToSocket { socket, event, data } => {
                let sent = socket.id.ours().is_some_and(|id| context.send_to_socket(id, &event, &data));
                return self.done_to(sent, &socket);
            }
            Command::SendToChannel { channel, event, data, except } => {
                let except = except.and_then(crate::protocol::WrittenSocketId::ours);
                let modern = line.dialect.is_modern();
                let subscribers = if modern { self.app.subscription_count(&channel) } else { 0 };
                context.trigger_except(&channel, &event, &data, except);
                if modern {
                    return Ok(json!({ "subscription_count": subscribers }));
                }
            }
            Command::SendToUser { user_id, event, data } => {
                let sent = context.send_to_user(&user_id, &event, &data);
                let connections = sent
                    .map_err(|reason| Fault::params("send_to_user", format!("invalid user_id: {reason}")))?;
                return Ok(json!({ "connections": connections }));
            }
            Command::CloseSocket { socket } => {
                let closed = socket.id.ours().is_some_and(|id| context.close_socket(id));
                return self.done_to(closed, &socket);
            }
            Command::Channel { channel } => return Ok(self.channel(&channel)),
            Command::Channels { prefix, after, limit } => return Ok(self.channels(&prefix, &after, limit)),
            Command::Users { channel } if !channel.channel_type().is_presence() => {
                let got = quote(channel.as_str());
                return Err(Fault::params("users", format!("expected a presence channel, got {got:?}")));
            }
            Command::Users { channel } => return Ok(json!({ "users": context.user_ids(&channel) })),
            Command::Credit { messages } => return Ok(json!({ "credit": line.grant(messages) })),
            Command::Ping => {}
        }
        Ok(json!({}))
    }

    fn subscribe(&self, kinds: u8, filter: Filter) -> Result<(), Fault> {
        self.lines.subscribe(&self.line, kinds, filter).map_err(|GroupDisagrees { by }| {
            Fault::params("subscribe", format!("the group is shared by {:?} already", by.name()))
        })?;
        self.app.listening_changed();
        Ok(())
    }

    fn done_to(&self, done: bool, socket: &Socket<'_>) -> Result<Value, Fault> {
        match done {
            true => Ok(json!({})),
            false => Err(Fault::UnknownSocket(quote(&socket.written).into_owned())),
        }
    }

    fn channel(&self, channel: &ChannelName) -> Value {
        match self.context.channel_state(channel) {
            Some(state) => Value::Object(attributes(&state)),
            None => json!({ "occupied": false, "subscription_count": 0 }),
        }
    }

    fn channels(&self, prefix: &str, after: &str, limit: usize) -> Value {
        let mut found = self.context.channels_behind(after, prefix, limit.saturating_add(1));
        let more = found.len() > limit;
        found.truncate(limit);
        let listed = found.iter().map(|state| (state.name.to_string(), Value::Object(attributes(state))));
        json!({ "channels": listed.collect::<Map<_, _>>(), "more": more })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.lines.remove(&self.line);
        self.app.listening_changed();
    }
}

fn attributes(state: &ChannelSummary) -> Map<String, Value> {
    let mut attributes = Map::new();
    attributes.insert("occupied".to_owned(), true.into());
    attributes.insert("subscription_count".to_owned(), state.subscription_count.into());
    if state.name.channel_type().is_presence() {
        attributes.insert("user_count".to_owned(), state.user_count.into());
    }
    attributes
}
