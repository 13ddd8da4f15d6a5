//! Carries out the requests of a pipe client.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tracing::{debug, trace};

use crate::channel::HistoryStart;
use crate::connection::ConnectionConfig;
use crate::event::{NotificationFilter, NotificationKind};
use crate::hub::{AppState, ChannelSummary, Clock, Hub, Receipts};
use crate::pipe::Context;
use crate::protocol::{ChannelName, quote};

use super::client::PipeClient;
use super::clients::{GroupConflict, PipeClients};
use super::command::{PipeCommand, TargetSocket};
use super::history::{self, ANSWER_BYTES};
use super::request::PipeRequest;
use super::{Dialect, PipeRequestError, message};

/// The session of one pipe client: it carries out its requests, one after the other.
#[derive(Debug)]
pub(crate) struct PipeSession {
    context: Context<'static>,
    app: Arc<AppState>,
    clients: Arc<PipeClients>,
    client: Arc<PipeClient>,
}

impl PipeSession {
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
        clients: Arc<PipeClients>,
        client: Arc<PipeClient>,
    ) -> Self {
        client.answer(message::connection_established(client.dialect, client.socket_id, app.id()));
        let session = PipeSession { context, app, clients, client };
        if session.client.dialect == Dialect::Unversioned {
            let kinds = NotificationKind::SocketMessage.bit() | NotificationKind::SocketExistence.bit();
            // It is in no group, so no group can be disagreed on.
            let _ = session.subscribe(kinds, NotificationFilter::EVERYTHING);
        }
        session
    }

    /// A text message arrived: does what it asks for, and queues the answer. It is that events have been sent only when the
    /// engine that carries them to other nodes has taken them, where there is one.
    pub(crate) async fn receive(&self, text: &str) {
        trace!(socket_id = %self.client.socket_id, text, "a pipe client says");
        let request = PipeRequest::parse(text, self.client.dialect, &self.context.app().limits);
        // In this broker's own protocol a request without an id gets no answer, unless something is wrong with it.
        let wants_answer = request.id.is_some() || !self.client.dialect.is_modern();
        let mut receipts = Receipts::default();
        let wanted = wants_answer.then_some(&mut receipts);
        let done = match request.command {
            Ok(command) => self.carry_out(command, wanted).await,
            Err(error) => Err(error),
        };
        if !receipts.is_empty() {
            receipts.all().await;
        }
        match done {
            Ok(result) if wants_answer => {
                self.client.answer(message::answer(request.id, &result.to_string()))
            }
            Ok(_) => {}
            Err(error) => {
                debug!(socket_id = %self.client.socket_id, code = error.code(), %error, "refused a pipe client");
                self.answer_error(message::request_error(request.id, &error));
            }
        }
    }

    /// Answers that a message was not even text.
    pub(crate) fn refuse(&self, reason: &str) {
        self.answer_error(message::request_error(None, &PipeRequestError::Unreadable(reason.to_owned())));
    }

    fn answer_error(&self, answer: Bytes) {
        self.app.count(|cells| &cells.pipe_requests_refused, 1);
        self.client.answer(answer);
    }

    async fn carry_out(
        &self,
        command: PipeCommand<'_>,
        receipts: Option<&mut Receipts>,
    ) -> Result<Value, PipeRequestError> {
        let PipeSession { context, client, .. } = self;
        // An answer that it was done would say that clients have received it.
        if command.acts() && context.is_stopping() {
            return Err(PipeRequestError::Stopping);
        }
        match command {
            PipeCommand::Subscribe { kinds, filter, credit } => {
                self.subscribe(kinds, *filter)?;
                if credit.is_some() {
                    client.grant(credit);
                }
            }
            PipeCommand::Unsubscribe { kinds } => {
                self.clients.unsubscribe(client, kinds);
                self.listening_changed();
            }
            PipeCommand::SendToSocket { socket, event, data } => {
                let sent = socket.id.ours().is_some_and(|id| context.send_to_socket(id, &event, &data));
                return self.done_to(sent, &socket);
            }
            PipeCommand::SendToChannel { channel, event, data, except } => {
                let except = except.and_then(crate::protocol::WrittenSocketId::ours);
                let modern = client.dialect.is_modern();
                let subscribers = if modern { self.app.subscription_count(&channel) } else { 0 };
                context.publish(&channel, &event, &data, except, receipts);
                if modern {
                    return Ok(json!({ "subscription_count": subscribers }));
                }
            }
            PipeCommand::SendToUser { user_id, event, data } => {
                let sent = context.publish_to_user(&user_id, &event, &data, receipts);
                let connections = sent.map_err(|reason| {
                    PipeRequestError::params("send_to_user", format!("invalid user_id: {reason}"))
                })?;
                return Ok(json!({ "connections": connections }));
            }
            PipeCommand::CloseSocket { socket } => {
                let closed = socket.id.ours().is_some_and(|id| context.close_socket(id));
                return self.done_to(closed, &socket);
            }
            PipeCommand::Channel { channel } => return Ok(self.channel(&channel)),
            PipeCommand::Channels { prefix, after, limit } => {
                return Ok(self.channels(&prefix, &after, limit));
            }
            PipeCommand::Users { channel } if !channel.channel_type().is_presence() => {
                let got = quote(channel.as_str());
                return Err(PipeRequestError::params(
                    "users",
                    format!("expected a presence channel, got {got:?}"),
                ));
            }
            PipeCommand::Users { channel } => return Ok(json!({ "users": context.user_ids(&channel) })),
            PipeCommand::History { channel, from, limit } => {
                return self.history(&channel, from, limit).await;
            }
            PipeCommand::Credit { messages } => return Ok(json!({ "credit": client.grant(messages) })),
            PipeCommand::Ping => {}
        }
        Ok(json!({}))
    }

    fn subscribe(&self, kinds: u8, filter: NotificationFilter) -> Result<(), PipeRequestError> {
        self.clients.subscribe(&self.app, &self.client, kinds, filter).map_err(|GroupConflict { by }| {
            PipeRequestError::params("subscribe", format!("the group is shared by {:?} already", by.name()))
        })?;
        self.listening_changed();
        Ok(())
    }

    /// The clients of this node want to hear more, or less, than before.
    fn listening_changed(&self) {
        self.app.listening_changed();
        self.clients.tell_demand(&self.app, self.context.bus().as_ref());
    }

    fn done_to(&self, done: bool, socket: &TargetSocket<'_>) -> Result<Value, PipeRequestError> {
        if done {
            Ok(json!({}))
        } else {
            Err(PipeRequestError::UnknownSocket(quote(&socket.written).into_owned()))
        }
    }

    fn channel(&self, channel: &ChannelName) -> Value {
        match self.context.channel_state(channel) {
            Some(state) => Value::Object(attributes(&state)),
            None => json!({ "occupied": false, "subscription_count": 0 }),
        }
    }

    async fn history(
        &self,
        channel: &ChannelName,
        from: HistoryStart,
        limit: usize,
    ) -> Result<Value, PipeRequestError> {
        let page = self.context.read_history(channel, from, (limit, ANSWER_BYTES)).await;
        let page = page.ok_or_else(|| {
            let got = quote(channel.as_str());
            PipeRequestError::params("history", format!("expected a channel with a history, got {got:?}"))
        })?;
        Ok(history::answer(&page))
    }

    fn channels(&self, prefix: &str, after: &str, limit: usize) -> Value {
        let mut found = self.context.channels_behind(after, prefix, limit.saturating_add(1));
        let more = found.len() > limit;
        found.truncate(limit);
        let listed = found.iter().map(|state| (state.name.to_string(), Value::Object(attributes(state))));
        json!({ "channels": listed.collect::<Map<_, _>>(), "more": more })
    }
}

impl Drop for PipeSession {
    fn drop(&mut self) {
        self.clients.remove(&self.client);
        self.listening_changed();
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
