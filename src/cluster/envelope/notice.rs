//! What backends on the pipe hear of other nodes, as bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::NodeId;
use crate::protocol::{ChannelName, SocketId};

use super::Unreadable;
use super::fields::{FieldReader, FieldWriter, Malformed};

/// Something that happened on the node that says it. The app is that of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoticeMessage {
    /// As of an event.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    /// The groups of backends of which one is to hear it, each with the node that this one is connected to.
    pub(crate) groups: Vec<(NodeId, Arc<str>)>,
    pub(crate) notice: CarriedNotice,
}

/// What happened to a connection of the node, or what was said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CarriedNotice {
    /// An event was accepted.
    Message {
        /// The client that sent it; none if it was published over HTTP.
        sender: Option<SocketId>,
        user_id: Option<Arc<str>>,
        channel: Option<ChannelName>,
        name: Box<str>,
        /// JSON text, not looked at.
        payload: Bytes,
    },
    Opened {
        socket: SocketId,
    },
    SignedIn {
        socket: SocketId,
        user_id: Arc<str>,
    },
    Closed {
        socket: SocketId,
        user_id: Option<Arc<str>>,
    },
    Subscribed {
        socket: SocketId,
        channel: ChannelName,
        user_id: Option<Arc<str>>,
    },
    Unsubscribed {
        socket: SocketId,
        channel: ChannelName,
        user_id: Option<Arc<str>>,
    },
}

const MESSAGE: u8 = 1;
const OPENED: u8 = 2;
const SIGNED_IN: u8 = 3;
const CLOSED: u8 = 4;
const SUBSCRIBED: u8 = 5;
const UNSUBSCRIBED: u8 = 6;

impl NoticeMessage {
    /// The groups of which a backend of this node is to hear it.
    pub(crate) fn groups_of(&self, node: NodeId) -> impl Iterator<Item = Arc<str>> + '_ {
        self.groups.iter().filter(move |(of, _)| *of == node).map(|(_, group)| Arc::clone(group))
    }

    /// About as many bytes as it takes, beyond a few numbers.
    pub(super) fn bytes(&self) -> usize {
        let groups: usize = self.groups.iter().map(|(_, name)| size_of::<NodeId>() + name.len()).sum();
        groups
            + match &self.notice {
                CarriedNotice::Message { name, payload, .. } => name.len() + payload.len(),
                CarriedNotice::Opened { .. }
                | CarriedNotice::SignedIn { .. }
                | CarriedNotice::Closed { .. }
                | CarriedNotice::Subscribed { .. }
                | CarriedNotice::Unsubscribed { .. } => 0,
            }
    }

    pub(super) fn write(&self, out: &mut FieldWriter) {
        out.number(self.epoch);
        out.number(self.number);
        out.number(self.groups.len() as u64);
        for (node, group) in &self.groups {
            out.node(*node);
            out.text(group);
        }
        self.notice.write(out);
    }

    pub(super) fn read(fields: &mut FieldReader<'_>) -> Result<Self, Unreadable> {
        let (epoch, number) = (fields.number()?, fields.number()?);
        // It takes memory only as it is read.
        let group = |fields: &mut FieldReader<'_>| Ok((fields.node()?, fields.text()?.into()));
        let groups: Result<_, Malformed> = (0..fields.number()?).map(|_| group(fields)).collect();
        Ok(NoticeMessage { epoch, number, groups: groups?, notice: CarriedNotice::read(fields)? })
    }
}

impl CarriedNotice {
    fn write(&self, out: &mut FieldWriter) {
        let user = |out: &mut FieldWriter, user_id: &Option<Arc<str>>| out.optional_text(user_id.as_deref());
        match self {
            CarriedNotice::Message { sender, user_id, channel, name, payload } => {
                out.byte(MESSAGE);
                out.byte(sender.is_some().into());
                out.socket(sender.unwrap_or(SocketId::new(0, 0)));
                user(out, user_id);
                out.optional_text(channel.as_ref().map(ChannelName::as_str));
                out.text(name);
                out.bytes(payload);
            }
            CarriedNotice::Opened { socket } => {
                out.byte(OPENED);
                out.socket(*socket);
            }
            CarriedNotice::SignedIn { socket, user_id } => {
                out.byte(SIGNED_IN);
                out.socket(*socket);
                out.text(user_id);
            }
            CarriedNotice::Closed { socket, user_id } => {
                out.byte(CLOSED);
                out.socket(*socket);
                user(out, user_id);
            }
            CarriedNotice::Subscribed { socket, channel, user_id }
            | CarriedNotice::Unsubscribed { socket, channel, user_id } => {
                let came = matches!(self, CarriedNotice::Subscribed { .. });
                out.byte(if came { SUBSCRIBED } else { UNSUBSCRIBED });
                out.socket(*socket);
                out.text(channel.as_str());
                user(out, user_id);
            }
        }
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<Self, Unreadable> {
        let kind = fields.byte()?;
        Ok(match kind {
            MESSAGE => {
                let has_sender = fields.flag()?;
                let socket = fields.socket()?;
                CarriedNotice::Message {
                    sender: has_sender.then_some(socket),
                    user_id: user(fields)?,
                    channel: fields.optional_text()?.map(channel).transpose()?,
                    name: fields.text()?.into(),
                    payload: fields.bytes()?,
                }
            }
            OPENED => CarriedNotice::Opened { socket: fields.socket()? },
            SIGNED_IN => {
                let socket = fields.socket()?;
                CarriedNotice::SignedIn { socket, user_id: fields.text()?.into() }
            }
            CLOSED => CarriedNotice::Closed { socket: fields.socket()?, user_id: user(fields)? },
            SUBSCRIBED | UNSUBSCRIBED => {
                let (socket, channel) = (fields.socket()?, channel(fields.text()?)?);
                let user_id = user(fields)?;
                match kind {
                    SUBSCRIBED => CarriedNotice::Subscribed { socket, channel, user_id },
                    _ => CarriedNotice::Unsubscribed { socket, channel, user_id },
                }
            }
            other => return Err(Unreadable::Kind(other)),
        })
    }
}

fn user(fields: &mut FieldReader<'_>) -> Result<Option<Arc<str>>, Malformed> {
    Ok(fields.optional_text()?.map(Arc::from))
}

fn channel(name: &str) -> Result<ChannelName, Malformed> {
    // How long a name may be was judged by the node that has the connection.
    ChannelName::parse(name, usize::MAX).map_err(|_| Malformed)
}
