//! The commands of pipe clients, as they are carried out once a request has been read.

use std::borrow::Cow;

use crate::channel::HistoryStart;
use crate::event::NotificationFilter;
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, WrittenSocketId};

/// What a request asks the broker to do.
#[derive(Debug)]
pub(crate) enum PipeCommand<'a> {
    /// Tell of these kinds (bits) what the filter lets through.
    Subscribe {
        kinds: u8,
        filter: Box<NotificationFilter>,
        credit: Option<u64>,
    },
    /// Tell of these kinds (bits) no more.
    Unsubscribe {
        kinds: u8,
    },
    /// Send an event to a connection.
    SendToSocket {
        socket: TargetSocket<'a>,
        event: Cow<'a, str>,
        data: Data<'a>,
    },
    /// Send an event to a channel, but not to one connection.
    SendToChannel {
        channel: ChannelName,
        event: Cow<'a, str>,
        data: Data<'a>,
        except: Option<WrittenSocketId>,
    },
    SendToUser {
        user_id: Cow<'a, str>,
        event: Cow<'a, str>,
        data: Data<'a>,
    },
    /// End a connection.
    CloseSocket {
        socket: TargetSocket<'a>,
    },
    /// Tell how a channel is occupied.
    Channel {
        channel: ChannelName,
    },
    /// Tell which channels are occupied: those that begin with `prefix` and come after `after`, at most `limit`.
    Channels {
        prefix: Cow<'a, str>,
        after: Cow<'a, str>,
        limit: usize,
    },
    /// Tell who is a member of a channel.
    Users {
        channel: ChannelName,
    },
    /// Tell what a channel keeps of its last events, at most `limit` of them.
    History {
        channel: ChannelName,
        from: HistoryStart,
        limit: usize,
    },
    /// Send so many notifications more; `None`: any number.
    Credit {
        messages: Option<u64>,
    },
    /// Answer.
    Ping,
}

impl PipeCommand<'_> {
    /// Whether it does something to clients of the app.
    pub(crate) fn acts(&self) -> bool {
        match self {
            PipeCommand::SendToSocket { .. }
            | PipeCommand::SendToChannel { .. }
            | PipeCommand::SendToUser { .. }
            | PipeCommand::CloseSocket { .. } => true,
            PipeCommand::Subscribe { .. }
            | PipeCommand::Unsubscribe { .. }
            | PipeCommand::Channel { .. }
            | PipeCommand::Channels { .. }
            | PipeCommand::Users { .. }
            | PipeCommand::History { .. }
            | PipeCommand::Credit { .. }
            | PipeCommand::Ping => false,
        }
    }
}

/// The connection that a command is about, as the client wrote it.
#[derive(Debug)]
pub(crate) struct TargetSocket<'a> {
    /// The text.
    pub(crate) written: Cow<'a, str>,
    /// What it means.
    pub(crate) id: WrittenSocketId,
}
