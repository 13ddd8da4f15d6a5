//! Reads the request of a pipe client, one JSON object in one text message, into a command.

use serde_json::value::RawValue;

use crate::app::Limits;
use crate::event::NotificationFilter;
use crate::protocol::{json, quote};

use super::command::PipeCommand;
use super::params::{
    ChannelParams, CreditParams, EventsParams, HistoryParams, ListParams, MAX_LISTED, Params,
    SendToChannelParams, SendToSocketParams, SendToUserParams, SocketParams, SubscribeParams, kinds,
};
use super::{Dialect, PipeRequestError};

/// Bytes of a request's `id`, which is repeated in its answer.
const ID_BYTES: usize = 1024;

/// A request of a pipe client.
#[derive(Debug)]
pub(crate) struct PipeRequest<'a> {
    /// To be repeated in the answer, as it is. `None` where there was none.
    pub(crate) id: Option<&'a RawValue>,
    /// What to do, or why it cannot be done.
    pub(crate) command: Result<PipeCommand<'a>, PipeRequestError>,
}

impl<'a> PipeRequest<'a> {
    /// Reads a request as far as it can be read.
    pub(crate) fn parse(text: &'a str, dialect: Dialect, limits: &Limits) -> Self {
        let [id, method, params] = match json::members(text, ["id", "method", "params"]) {
            Ok(members) => members,
            Err(error) => {
                return PipeRequest {
                    id: None,
                    command: Err(PipeRequestError::Unreadable(error.to_string())),
                };
            }
        };
        let id_bytes = id.map_or(0, |id| id.get().len());
        if id_bytes > ID_BYTES {
            let reason = format!("the id may have {ID_BYTES} bytes, got {id_bytes}");
            return PipeRequest { id: None, command: Err(PipeRequestError::Unreadable(reason)) };
        }
        let command = match method.and_then(json::as_string) {
            Some(method) => command(&method, params, dialect, limits),
            None => Err(PipeRequestError::Unreadable(match method {
                Some(_) => "the method must be a string".to_owned(),
                None => "the method is missing".to_owned(),
            })),
        };
        PipeRequest { id, command }
    }
}

fn command<'a>(
    method: &str,
    params: Option<&'a RawValue>,
    dialect: Dialect,
    limits: &Limits,
) -> Result<PipeCommand<'a>, PipeRequestError> {
    let Some(method) = dialect.methods().iter().copied().find(|known| *known == method) else {
        return Err(PipeRequestError::UnknownMethod { method: quote(method).into_owned(), dialect });
    };
    let params = Params::new(method, params, limits);
    match method {
        "subscribe" if dialect.is_modern() => params.read::<SubscribeParams<'_>>()?.command(&params),
        "subscribe" => {
            let kinds = kinds(&params.read::<EventsParams<'_>>()?.events, dialect)?;
            Ok(PipeCommand::Subscribe {
                kinds,
                filter: Box::new(NotificationFilter::EVERYTHING),
                credit: None,
            })
        }
        "unsubscribe" => Ok(PipeCommand::Unsubscribe {
            kinds: kinds(&params.read::<EventsParams<'_>>()?.events, dialect)?,
        }),
        "send_to_socket" => {
            let SendToSocketParams { socket_id, event, data } = params.read()?;
            let (event, data) = params.event(event, data)?;
            Ok(PipeCommand::SendToSocket { socket: params.socket(socket_id)?, event, data })
        }
        "send_to_channel" => {
            let SendToChannelParams { channel, event, data, socket_id } = params.read()?;
            let channel = params.channel(&channel)?;
            let (event, data) = params.event(event, data)?;
            let except = socket_id.map(|text| params.socket(text)).transpose()?.map(|socket| socket.id);
            Ok(PipeCommand::SendToChannel { channel, event, data, except })
        }
        "send_to_user" => {
            let SendToUserParams { user_id, event, data } = params.read()?;
            let (event, data) = params.event(event, data)?;
            Ok(PipeCommand::SendToUser { user_id, event, data })
        }
        "close_socket" => Ok(PipeCommand::CloseSocket {
            socket: params.socket(params.read::<SocketParams<'_>>()?.socket_id)?,
        }),
        "channel" => Ok(PipeCommand::Channel {
            channel: params.channel(&params.read::<ChannelParams<'_>>()?.channel)?,
        }),
        "users" => {
            Ok(PipeCommand::Users { channel: params.channel(&params.read::<ChannelParams<'_>>()?.channel)? })
        }
        "history" => params.read::<HistoryParams<'_>>()?.command(&params),
        "channels" => {
            let ListParams { prefix, after, limit } = params.read()?;
            match limit.unwrap_or(MAX_LISTED) {
                limit @ 1..=MAX_LISTED => Ok(PipeCommand::Channels { prefix, after, limit }),
                limit => Err(params.bad(format!("limit must be from 1 to {MAX_LISTED}, got {limit}"))),
            }
        }
        "credit" => {
            Ok(PipeCommand::Credit { messages: params.credit(params.read::<CreditParams>()?.messages)? })
        }
        _ => Ok(PipeCommand::Ping),
    }
}

#[cfg(test)]
mod tests;
